//! Tasks of the repository: `cargo xtask` lists them.
#![forbid(unsafe_code)]

mod aarch64;
mod book;
mod dist;
mod gates;
mod inputs;
mod licenses;
mod release_files;
mod shared;
mod structure;
mod web;
mod words;

use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask COMMAND [ARGUMENTS…]

  check        formatting, lints, structure, licenses, versions, workflows and documentation
  test         all tests of the workspace
  test-slow    tests of optional features, of training in several processes (MPI), of commands that are killed at
               random moments, and of the Python wheel
  test-aarch64 tests of the engine and the library on 64-bit ARM in an emulator (qemu-user, gcc-aarch64-linux-gnu and
               the target aarch64-unknown-linux-gnu), and a comparison of predictions with those of this machine
  snapshots    accept the current output of the tests as their snapshots
  docs         build the documentation of the libraries (`--open` shows it)
  book         check the links of all Markdown files, and build the book into target/book where mdbook is installed
  web          build the page and its npm package into crates/server/dist (`--check`: only check that it is up to date)
  reference    write docs/reference from the code; a test fails when it is stale
  licenses     write the licenses.txt of the command, the wheel and the npm package (`--check`: only check that they
               are up to date)
  structure    check imports, the size of files and the dependencies of crates
  words        check that texts avoid the words of a list, and print what to write instead
  bench        measure the speed of a network, by default bench/resnet layer by layer
  dist         build what a release publishes into target/dist: all parts, or those that are named (`binary`, `wheel`,
               `npm`, `crates`, `sbom`); `--target TRIPLE` for another system, `--allow-dirty` for uncommitted changes
  dist-test    install the files of target/dist in empty folders, without the repository, and predict with them

More arguments go to cargo; those of `bench` go to `moue bench`.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((command, rest)) = arguments.split_first() else {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    };
    let only_check = rest == ["--check"];
    let done = match command.as_str() {
        "check" if rest.is_empty() => gates::check(),
        "test" => gates::test(rest),
        "test-slow" if rest.is_empty() => gates::test_slow(),
        "test-aarch64" if rest.is_empty() => aarch64::test(),
        "book" if rest.is_empty() => book::build(),
        "snapshots" => gates::snapshots(rest),
        "docs" => gates::docs(rest),
        "web" if only_check => inputs::check(),
        "web" => web::build(rest),
        "licenses" if only_check => licenses::check(),
        "licenses" if rest.is_empty() => licenses::write(),
        "structure" if rest.is_empty() => structure::check(),
        "words" if rest.is_empty() => words::check(),
        "reference" if rest.is_empty() => gates::reference(),
        "bench" => gates::bench(rest),
        "dist" => dist::dist(rest),
        "dist-test" => dist::test(rest),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    // Without a backtrace: most often another program has failed and printed its own error.
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
