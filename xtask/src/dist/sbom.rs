//! The parts of the program as a CycloneDX document (SBOM): every package of the default build, with the checksum of its
//! source, and the weights of the face detector.

use super::release::Release;
use crate::licenses::{self, Linked};
use crate::shared::root;
use anyhow::Context;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// Writes the document. It has no time and no serial number, so that it is the same for the same sources.
pub fn build(release: &Release) -> anyhow::Result<Vec<PathBuf>> {
    let lock = fs::read_to_string(root().join("Cargo.lock"))?;
    let document = document(&release.version, &licenses::linked(&licenses::COMMAND)?, &checksums(&lock))?;
    let file = release.folder.join(format!("moue-{}.cdx.json", release.version));
    fs::write(&file, serde_json::to_string_pretty(&document)? + "\n")?;
    Ok(vec![file])
}

fn document(version: &str, linked: &Linked, checksums: &BTreeMap<String, String>) -> anyhow::Result<Value> {
    let text = |package: &Value, key: &str| package[key].as_str().unwrap_or_default().to_owned();
    let reference = |package: &Value| format!("pkg:cargo/{}@{}", text(package, "name"), text(package, "version"));
    let program = format!("pkg:cargo/moue-cli@{version}");
    let (mut components, mut dependencies) = (Vec::new(), Vec::new());
    for package in &linked.packages {
        let (name, own) = (text(package, "name"), reference(package));
        let needed: Vec<String> = linked.dependencies(package).into_iter().map(reference).collect();
        dependencies.push(json!({"ref": own, "dependsOn": needed}));
        if own == program {
            continue;
        }
        let mut component = json!({
            "type": "library", "bom-ref": own, "name": name, "version": package["version"], "purl": own,
        });
        if let Some(license) = package["license"].as_str() {
            // Old manifests separate alternatives by a slash.
            component["licenses"] = json!([{"expression": license.replace('/', " OR ")}]);
        }
        if !package["source"].is_null() {
            let title = format!("{name} {}", text(package, "version"));
            let checksum = checksums.get(&title).with_context(|| format!("Cargo.lock has no checksum of {title}"))?;
            component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
        }
        if let Some(address) = package["repository"].as_str() {
            component["externalReferences"] = json!([{"type": "vcs", "url": address}]);
        }
        components.push(component);
    }
    components.push(json!({
        "type": "machine-learning-model",
        "bom-ref": "yunet",
        "name": "YuNet",
        "description": "Weights of the face detector, from OpenCV Zoo, trained on WIDER FACE",
        "licenses": [{"license": {"id": "MIT"}}],
        "externalReferences": [{"type": "vcs", "url": "https://github.com/opencv/opencv_zoo"}],
    }));
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {
            "type": "application", "bom-ref": program, "name": "moue", "version": version, "purl": program,
            "licenses": [{"expression": "MIT OR Apache-2.0"}],
        }},
        "components": components,
        "dependencies": dependencies,
    }))
}

/// The checksums in a `Cargo.lock`, by name and version.
fn checksums(lock: &str) -> BTreeMap<String, String> {
    let field = |package: &str, key: &str| {
        let line = package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""));
        line.map(|value| value.trim_end_matches('"').to_owned())
    };
    lock.split("[[package]]")
        .filter_map(|package| {
            let title = format!("{} {}", field(package, "name")?, field(package, "version")?);
            Some((title, field(package, "checksum")?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_package_of_the_program_is_listed() {
        let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
        let linked = licenses::linked(&licenses::COMMAND).unwrap();
        let document = document("1.2.3", &linked, &checksums(&lock)).unwrap();
        let names = |list: &Value, key: &str| -> BTreeSet<String> {
            list.as_array().unwrap().iter().map(|entry| entry[key].as_str().unwrap().to_owned()).collect()
        };
        let components = names(&document["components"], "bom-ref");

        // The list that `moue licenses` prints: `serde 1.0.0 (MIT)`.
        let licenses = fs::read_to_string(licenses::path()).unwrap();
        let listed = licenses.lines().skip_while(|line| *line != licenses::LIST).skip(2);
        let mut count = 0;
        for line in listed.take_while(|line| !line.is_empty()) {
            let (name, version) = line.split_once(' ').unwrap();
            let version = version.split(' ').next().unwrap();
            assert!(components.contains(&format!("pkg:cargo/{name}@{version}")), "{line}");
            count += 1;
        }
        assert!(count > 100, "{count}");
        for own in ["moue", "moue-engine", "moue-server", "moue-train"] {
            assert!(components.iter().any(|name| name.starts_with(&format!("pkg:cargo/{own}@"))), "{own}");
        }
        for dependency in document["dependencies"].as_array().unwrap() {
            for needed in dependency["dependsOn"].as_array().unwrap() {
                let needed = needed.as_str().unwrap();
                assert!(components.contains(needed), "{needed} is no component");
            }
        }
    }

    #[test]
    fn checksums_are_found_by_name_and_version() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"r\"\nchecksum = \"0f\"\n\n\
                    [[package]]\nname = \"b\"\nversion = \"2.0.0\"\n";
        assert_eq!(checksums(lock).into_iter().collect::<Vec<_>>(), [("a 1.0.0".to_owned(), "0f".to_owned())]);
    }
}
