//! What a release publishes, as files in `dist` of the build folder: `cargo xtask dist`.
//!
//! `cargo xtask dist-test` installs these files in empty folders and uses them (`install.rs`). Uploads are left to
//! `.github/workflows/release.yml`.

mod binary;
mod install;
mod packages;
mod release;
mod sbom;

use crate::shared::checksums;
use anyhow::{Context, bail, ensure};
use release::Release;
use std::fs;
use std::path::PathBuf;

type Build = fn(&Release) -> anyhow::Result<Vec<PathBuf>>;
type Test = fn(&Release) -> anyhow::Result<()>;

/// The parts by name, how they are built, and how their files are tested.
const PARTS: [(&str, Build, Option<Test>); 5] = [
    ("binary", binary::build, Some(install::binary)),
    ("wheel", packages::wheel, Some(install::wheel)),
    ("npm", packages::npm, Some(install::npm)),
    ("crates", packages::crates, Some(install::crates)),
    ("sbom", sbom::build, None),
];

/// Builds all parts, or those that are named, and writes the checksums of all files of the folder.
pub fn dist(arguments: &[String]) -> anyhow::Result<()> {
    let (release, parts) = options(arguments)?;
    if parts.is_empty() && release.folder.exists() {
        fs::remove_dir_all(&release.folder)?;
    }
    fs::create_dir_all(&release.folder)?;
    for (_, build, _) in chosen(&parts) {
        for file in build(&release)? {
            let size = fs::metadata(&file).with_context(|| file.display().to_string())?.len();
            println!("{}: {} kB", file.display(), size.div_ceil(1000));
        }
    }
    checksums(&release.folder)
}

/// Installs the files of all parts, or of those that are named, without the repository, and predicts with them.
pub fn test(arguments: &[String]) -> anyhow::Result<()> {
    let (release, parts) = options(arguments)?;
    for (name, _, test) in chosen(&parts) {
        if let Some(test) = test {
            println!("== {name}");
            test(&release).with_context(|| format!("the installed {name} does not work"))?;
        }
    }
    Ok(())
}

fn chosen(parts: &[String]) -> impl Iterator<Item = &'static (&'static str, Build, Option<Test>)> {
    PARTS.iter().filter(|(name, ..)| parts.is_empty() || parts.iter().any(|part| part == name))
}

/// `[--target TRIPLE] [--allow-dirty] [PART…]`
fn options(arguments: &[String]) -> anyhow::Result<(Release, Vec<String>)> {
    let (mut target, mut dirty, mut parts) = (None, false, Vec::new());
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--target" => target = Some(arguments.next().context("--target needs the name of a target")?.clone()),
            "--allow-dirty" => dirty = true,
            part if PARTS.iter().any(|(name, ..)| *name == part) => parts.push(part.to_owned()),
            other => {
                let names: Vec<&str> = PARTS.iter().map(|(name, ..)| *name).collect();
                bail!("{other} is neither an option nor a part; the parts are {}", names.join(", "));
            }
        }
    }
    let release = Release::new(target, dirty)?;
    ensure!(!release.version.is_empty(), "the workspace has no version");
    Ok((release, parts))
}

#[cfg(test)]
mod tests {
    use super::options;

    #[test]
    fn options_are_a_target_and_parts() {
        let given = |text: &str| options(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        let (release, parts) = given("npm --target x86_64-unknown-linux-musl crates").unwrap();
        assert_eq!(release.target.as_deref(), Some("x86_64-unknown-linux-musl"));
        assert_eq!(parts, ["npm", "crates"]);
        assert!(given("whale").err().unwrap().to_string().contains("binary, wheel, npm"));
        assert!(given("--target").is_err());
    }
}
