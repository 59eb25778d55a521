//! The commands of the README and the book, executed as a reader would.

use crate::docs::{EXEMPT, Needs, blocks, execute, fixtures};
use rayon::prelude::*;
use std::fmt::Write as _;

#[test]
fn commands_of_the_book_work() {
    let Some(repository) = blocks::repository() else {
        println!("SKIPPED: the book's commands, outside the repository");
        return;
    };
    let pages = blocks::pages(&repository);
    let files = fixtures::files();
    let mut exempt = String::new();
    for block in pages.iter().flatten().filter(|block| block.info.first().is_some_and(|word| word == "sh")) {
        if let Some(need) = block.info.get(1).filter(|need| EXEMPT.contains(&need.as_str())) {
            writeln!(exempt, "{} ({need})\n{}", block.page, block.text).unwrap();
        }
    }
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("docs-exempt", exempt);
    });
    let needs = Needs::found(&["", "ffmpeg", "torch"]);
    let failures: Vec<String> =
        pages.par_iter().flat_map_iter(|page| execute(page, &files, &repository, &needs)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
