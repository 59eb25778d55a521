//! The command as an archive, with completions, man pages and licenses.

use super::release::Release;
use crate::licenses;
use crate::shared::{output, root, run};
use anyhow::Context;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::env::consts::EXE_SUFFIX;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use tar::{Builder, Header};

/// The shells, and the names under which they find a script of completions.
const COMPLETIONS: [(&str, &str); 5] = [
    ("bash", "moue.bash"),
    ("elvish", "moue.elv"),
    ("fish", "moue.fish"),
    ("powershell", "_moue.ps1"),
    ("zsh", "_moue"),
];

/// Files of the repository that are part of the archive.
const TEXTS: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"];

/// A file of the archive: its path, its content, and whether it is a program.
type Entry = (String, Vec<u8>, bool);

pub fn build(release: &Release) -> anyhow::Result<Vec<PathBuf>> {
    licenses::check()?;
    let program = program(release)?;
    let mut entries: Vec<Entry> = vec![(format!("moue{EXE_SUFFIX}"), read(&program)?, true)];
    for name in TEXTS {
        entries.push((name.to_owned(), read(&root().join(name))?, false));
    }
    entries.push(("licenses.txt".to_owned(), read(&licenses::path())?, false));
    for (shell, name) in COMPLETIONS {
        let script = output(Command::new(&program).args(["completions", shell]))?;
        entries.push((format!("completions/{name}"), script.into_bytes(), false));
    }
    let pages = release.build.join("dist-man");
    if pages.exists() {
        fs::remove_dir_all(&pages)?;
    }
    output(Command::new(&program).arg("man").arg(&pages))?;
    for page in fs::read_dir(&pages)? {
        let page = page?;
        entries.push((format!("man/{}", page.file_name().to_string_lossy()), read(&page.path())?, false));
    }
    entries.sort();
    let name = release.archive_name()?;
    let archive = release.folder.join(format!("{name}.tar.gz"));
    write(&archive, &name, &entries)?;
    Ok(vec![archive])
}

/// Builds the program. Only the program itself is stripped, so that its crates are those of `cargo build --release`.
fn program(release: &Release) -> anyhow::Result<PathBuf> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root());
    cargo.args(["rustc", "--release", "--locked", "--package", "moue-cli", "--bin", "moue"]);
    let mut folder = release.build.clone();
    if let Some(target) = &release.target {
        cargo.args(["--target", target]);
        folder.push(target);
    }
    run(cargo.args(["--", "-Cstrip=symbols"]))?;
    Ok(folder.join("release").join(format!("moue{EXE_SUFFIX}")))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| path.display().to_string())
}

/// Writes the archive, without times and owners: the same files give the same archive.
fn write(path: &Path, folder: &str, entries: &[Entry]) -> anyhow::Result<()> {
    let mut archive = Builder::new(GzEncoder::new(File::create(path)?, Compression::best()));
    for (name, content, program) in entries {
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(if *program { 0o755 } else { 0o644 });
        archive.append_data(&mut header, format!("{folder}/{name}"), content.as_slice())?;
    }
    archive.into_inner()?.finish()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::write;
    use std::fs;

    #[test]
    fn the_same_files_give_the_same_archive() {
        let folder = tempfile::tempdir().unwrap();
        let entries = [("a/b".to_owned(), vec![1, 2, 3], false), ("moue".to_owned(), vec![0; 70_000], true)];
        let archive = |name: &str| {
            let path = folder.path().join(name);
            write(&path, "moue-1", &entries).unwrap();
            fs::read(path).unwrap()
        };
        assert_eq!(archive("one"), archive("two"));
    }
}
