//! Words that the project avoids, and what it writes instead: `cargo xtask words`.
//!
//! Checked are string literals and documentation comments of the crates outside `#[cfg(test)]`, the guides, the
//! comments of presets, the page, Python files, shell scripts, and the notebook's Markdown cells. Uses that are meant
//! are listed in `allow.txt`.

mod mask;
mod phrases;

use crate::shared::root;
use anyhow::{Context, ensure};
use phrases::AVOIDED;
use std::fs;
use walkdir::WalkDir;

/// Uses that are meant, one a line: words, file and reason, separated by ` | `.
const ALLOWED: &str = include_str!("allow.txt");

/// Folders and files that are checked, of those with an ending that `mask::text` knows.
const CHECKED: [&str; 12] = [
    ".ci",
    ".github",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "ARCHITECTURE.md",
    "SECURITY.md",
    "docs",
    "bench",
    "crates",
    "deploy",
    "examples",
];

/// Checks everything and prints all findings.
pub fn check() -> anyhow::Result<()> {
    let mut findings = Vec::new();
    for (file, source) in sources()? {
        findings.extend(find(&file, &mask::text(&file, &source)));
    }
    let faults = faults(&findings, ALLOWED)?;
    for fault in &faults {
        eprintln!("{fault}");
    }
    ensure!(faults.is_empty(), "{} avoided words; xtask/src/words/allow.txt lists uses that are meant", faults.len());
    Ok(())
}

/// An avoided phrase where it stands.
#[derive(Debug, PartialEq)]
struct Finding {
    file: String,
    line: usize,
    words: String,
    instead: &'static str,
}

fn sources() -> anyhow::Result<Vec<(String, String)>> {
    let (root, mut sources) = (root(), Vec::new());
    for path in CHECKED {
        for entry in WalkDir::new(root.join(path)).sort_by_file_name() {
            let entry = entry.with_context(|| format!("{path} cannot be read"))?;
            let file = entry.path().strip_prefix(&root)?.to_string_lossy().replace('\\', "/");
            if entry.file_type().is_file() && checked(&file) {
                sources.push((file, fs::read_to_string(entry.path()).with_context(|| path.to_owned())?));
            }
        }
    }
    Ok(sources)
}

/// Of the crates only scripts and what is written for users are checked, and nothing that is built or generated. Dated
/// results of benchmarks are not edited.
fn checked(file: &str) -> bool {
    let ending = mask::ending(file);
    let parts: Vec<&str> = file.split('/').collect();
    let place = match parts.as_slice() {
        ["crates", _, "README.md"] | ["crates", "web", "page", ..] | ["crates", "python", "python", ..] => true,
        ["crates", _, "src", .., name] => name.ends_with(".rs") && *name != "tests.rs",
        ["crates", "train", "presets", ..] => true,
        ["crates", ..] => mask::SCRIPTS.contains(&ending),
        ["bench", "results", ..] => false,
        _ => true,
    };
    let known = mask::TEXTS.contains(&ending) || mask::SCRIPTS.contains(&ending);
    let other = |part: &&str| part.starts_with('.') || ["node_modules", "target"].contains(part);
    known && place && !parts.iter().skip(1).any(other)
}

/// What is neither allowed nor used: findings without an entry, and entries without a finding.
fn faults(findings: &[Finding], allowed: &str) -> anyhow::Result<Vec<String>> {
    let entries = allowed.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')).map(|line| {
        let mut fields = line.splitn(3, " | ");
        let entry = fields.next().zip(fields.next()).zip(fields.next());
        entry.map(|((words, file), _reason)| (words, file)).with_context(|| format!("allow.txt: {line}"))
    });
    let entries: Vec<(&str, &str)> = entries.collect::<Result<_, _>>()?;
    let matches = |finding: &Finding, entry: &(&str, &str)| finding.words == entry.0 && finding.file == entry.1;
    let found = findings.iter().filter(|finding| !entries.iter().any(|entry| matches(finding, entry)));
    let unused = entries.iter().filter(|entry| !findings.iter().any(|finding| matches(finding, entry)));
    let found =
        found.map(|Finding { file, line, words, instead }| format!("{file}:{line}: {words} (write: {instead})"));
    Ok(found.chain(unused.map(|(words, file)| format!("allow.txt: \"{words}\" is not in {file}"))).collect())
}

/// A word in lower case, its line, and whether it continues the sentence of the word before it.
struct Word {
    text: String,
    line: usize,
    continues: bool,
}

fn words(text: &str) -> Vec<Word> {
    let (mut words, mut word, mut gap, mut line) = (Vec::new(), String::new(), String::new(), 1);
    for character in text.chars().chain([mask::BREAK]) {
        if character.is_alphanumeric() || character == '_' {
            word.extend(character.to_lowercase());
            continue;
        }
        if !word.is_empty() {
            let ends = |mark: char| !mark.is_whitespace() && !"*`\"".contains(mark);
            let continues = !gap.contains(ends) && gap.matches('\n').count() < 2;
            words.push(Word { text: std::mem::take(&mut word), line, continues });
            gap.clear();
        }
        gap.push(character);
        line += usize::from(character == '\n');
    }
    words
}

fn find(file: &str, text: &str) -> Vec<Finding> {
    let (words, mut findings) = (words(text), Vec::new());
    for start in 0..words.len() {
        for (phrase, instead) in AVOIDED {
            let forms: Vec<&str> = phrase.split(' ').collect();
            let Some(place) = words.get(start..start + forms.len()) else { continue };
            let same = place.iter().zip(&forms).all(|(word, forms)| forms.split('|').any(|form| form == word.text));
            if same && place.iter().skip(1).all(|word| word.continues) {
                let texts: Vec<&str> = place.iter().map(|word| word.text.as_str()).collect();
                findings.push(Finding {
                    file: file.to_owned(),
                    line: words[start].line,
                    words: texts.join(" "),
                    instead,
                });
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTEBOOK: &str = "crates/python/notebook/tutorial.ipynb";

    fn found(text: &str) -> Vec<(usize, String)> {
        find("a.md", text).into_iter().map(|finding| (finding.line, finding.words)).collect()
    }

    #[test]
    fn every_form_of_every_phrase_is_found() {
        for (phrase, instead) in AVOIDED {
            for form in 0..=phrase.matches('|').count() {
                let word = |forms: &'static str| forms.split('|').cycle().nth(form).unwrap_or(forms);
                let text = phrase.split(' ').map(word).collect::<Vec<_>>().join(" ");
                let findings = find("a.md", &format!("So, {}, here.", text.to_uppercase()));
                assert_eq!(findings, [Finding { file: "a.md".into(), line: 1, words: text, instead }], "{phrase}");
            }
        }
    }

    #[test]
    fn phrases_continue_on_the_next_line_but_not_in_another_sentence() {
        assert_eq!(found("one\n\nare *taken\n  for* sad"), [(3, "are taken for".to_owned())]);
        assert!(found("Models in the. Box; drawn\n\nfaces").is_empty());
    }

    #[test]
    fn only_whole_words_are_found() {
        assert!(found("filmed, prejudge, untold, nobody_here, unsettled, redrawn faces").is_empty());
        assert_eq!(found("the film's end"), [(1, "film".to_owned())]);
    }

    #[test]
    fn an_entry_allows_its_words_in_its_file_and_must_be_of_use() {
        let findings = find("a.md", "a film\nand nobody");
        let faults = |allowed: &str| faults(&findings, allowed).unwrap();
        assert_eq!(faults("film | a.md | of oil"), ["a.md:2: nobody (write: no one)"]);
        assert_eq!(faults("# a note\n\nfilm | b.md | of oil").len(), 3);
        assert_eq!(faults("film | a.md | of oil\nnobody | a.md | a quotation"), [""; 0]);
        assert!(super::faults(&findings, "film | a.md").is_err(), "without a reason");
    }

    #[test]
    fn what_users_read_is_checked() {
        let read = ["README.md", "docs/lesson/net.toml", "crates/moue/src/predict/mod.rs", "crates/web/page/page.ts"];
        let scripts = [".ci/run", "bench/run", "bench/peer.py", "crates/moue/models/train.sh", NOTEBOOK];
        let other = ["crates/moue/models/tiny.md", "crates/moue/tests/it/main.rs", "docs/images/lesson.png"];
        let sources = sources().unwrap();
        let is_source = |name: &&str| sources.iter().any(|(file, _)| file == name);
        assert!(read.iter().chain(&scripts).all(is_source) && !other.iter().any(is_source));
        assert!(!sources.iter().any(|(file, _)| file.starts_with("bench/results/")));
    }

    #[test]
    fn avoided_words_in_scripts_and_in_the_notebook_are_found() {
        for (file, source) in sources().unwrap() {
            let (place, fault) = match mask::ending(&file) {
                "py" | "sh" | "run" => ("\n\n", "\n# These are\n# taken for sad.\n\n"),
                "ipynb" => ("\"source\": [\n", "\"source\": [\n    \"They are\\n\",\n    \"taken for sad.\\n\",\n"),
                _ => continue,
            };
            let findings = find(&file, &mask::text(&file, &source.replacen(place, fault, 1)));
            assert!(findings.iter().any(|finding| finding.words == "are taken for"), "{file}");
        }
    }
}
