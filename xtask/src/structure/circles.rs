//! Circles of imports: files of one crate that need each other, found from their texts.
//!
//! A file needs another when it names something that is defined there. A re-export is
//! followed to the definition, so a `mod.rs` that only passes names on needs nothing.

use super::names::{self, Names, Use};
use anyhow::{Context, bail};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Path and text of each file.
pub type Sources = BTreeMap<String, String>;

/// Which file needs which, and the names that tie them.
pub type Edges = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// The names that are being looked up: module, name, and whether it must be a module.
type UnderWay = Vec<(usize, String, bool)>;

struct Module {
    file: String,
    parent: Option<usize>,
    defined: HashSet<String>,
    children: HashMap<String, usize>,
    uses: Vec<Use>,
    paths: BTreeSet<Vec<String>>,
}

/// What a path refers to; modules are given by their number. The order is that of
/// preference where a name means several things.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    Item(usize),
    Module(usize),
    OtherCrate,
    /// The module does not show such a name: a macro may make it there.
    Unknown(usize),
}

/// The modules of one crate, its root first.
#[derive(Default)]
struct Tree(Vec<Module>);

impl Tree {
    /// Reads a file and the modules that it declares, which are in `folder`.
    fn read(&mut self, file: &str, folder: &str, parent: Option<usize>, sources: &Sources) -> anyhow::Result<usize> {
        let text = sources.get(file).with_context(|| format!("{file} is missing"))?;
        let names = names::read(text).with_context(|| format!("{file} cannot be read"))?;
        self.add(names, file, folder, parent, sources)
    }

    fn add(
        &mut self,
        names: Names,
        file: &str,
        folder: &str,
        parent: Option<usize>,
        sources: &Sources,
    ) -> anyhow::Result<usize> {
        let Names { defined, children, uses, paths } = names;
        let (file, defined) = (file.to_owned(), defined.into_iter().collect());
        let own = self.0.len();
        self.0.push(Module { file: file.clone(), parent, defined, children: HashMap::new(), uses, paths });
        for (name, body) in children {
            let inner = format!("{folder}/{name}");
            let places = [format!("{inner}.rs"), format!("{inner}/mod.rs")];
            let child = match (body, places.iter().find(|place| sources.contains_key(*place))) {
                (Some(names), _) => self.add(names, &file, &inner, Some(own), sources)?,
                (None, Some(place)) => self.read(place, &inner, Some(own), sources)?,
                (None, None) => bail!("{file} declares a module {name}, but it has no file"),
            };
            self.0[own].children.insert(name, child);
        }
        Ok(own)
    }

    /// Follows a path from a module; also returns the name that it ended with. Re-exports
    /// in a ring come to an end because nothing that is `under_way` is looked up again.
    fn follow<'a>(&self, from: usize, path: &'a [String], under_way: &mut UnderWay) -> (Found, &'a str) {
        let mut at = None;
        for (index, name) in path.iter().enumerate() {
            let next = match name.as_str() {
                "crate" => Found::Module(0),
                "self" => Found::Module(at.unwrap_or(from)),
                "super" => self.0[at.unwrap_or(from)].parent.map_or(Found::OtherCrate, Found::Module),
                _ => match (self.look_up(at.unwrap_or(from), name, index + 1 < path.len(), under_way), at) {
                    (Some(found), _) => found,
                    (None, Some(module)) => Found::Unknown(module),
                    (None, None) => Found::OtherCrate,
                },
            };
            let Found::Module(module) = next else { return (next, name) };
            at = Some(module);
        }
        let name = path.iter().rfind(|name| *name != "self").map_or("self", String::as_str);
        (Found::Module(at.unwrap_or(from)), name)
    }

    /// What a name means inside a module; `inside`: whether the path continues into it.
    fn look_up(&self, module: usize, name: &str, inside: bool, under_way: &mut UnderWay) -> Option<Found> {
        let key = (module, name.to_owned(), inside);
        if under_way.contains(&key) {
            return None;
        }
        under_way.push(key);
        let own = &self.0[module];
        let mut found: Vec<Found> = own.children.get(name).map(|&child| Found::Module(child)).into_iter().collect();
        found.extend(own.defined.contains(name).then_some(Found::Item(module)));
        for import in own.uses.iter().filter(|import| import.name == name) {
            found.push(self.target(module, import, under_way).0);
        }
        if found.iter().all(|found| matches!(found, Found::Unknown(_))) {
            for import in own.uses.iter().filter(|import| import.name == "*") {
                if let (Found::Module(other), _) = self.target(module, import, under_way) {
                    found.extend(self.look_up(other, name, inside, under_way));
                }
            }
        }
        under_way.pop();
        let modules = found.iter().find(|found| inside && matches!(found, Found::Module(_)));
        modules.or(found.iter().min()).copied()
    }

    fn target<'a>(&self, from: usize, import: &'a Use, under_way: &mut UnderWay) -> (Found, &'a str) {
        if import.absolute { (Found::OtherCrate, "") } else { self.follow(from, &import.path, under_way) }
    }

    fn edges(&self) -> Edges {
        let mut edges = Edges::new();
        for (number, module) in self.0.iter().enumerate() {
            let imports = module.uses.iter().filter(|import| !import.passed_on);
            let imports = imports.map(|import| self.target(number, import, &mut Vec::new()));
            let paths = module.paths.iter().map(|path| self.follow(number, path, &mut Vec::new()));
            // In code a module by itself means nothing: the word is a variable or a key.
            let paths = paths.filter(|(found, _)| !matches!(found, Found::Module(_)));
            for (found, name) in imports.chain(paths) {
                let (Found::Item(to) | Found::Module(to) | Found::Unknown(to)) = found else { continue };
                if self.0[to].file != module.file {
                    let from = edges.entry(module.file.clone()).or_default();
                    from.entry(self.0[to].file.clone()).or_default().insert(name.to_owned());
                }
            }
        }
        edges
    }
}

/// The edges between the files of a crate whose root is `root`.
pub fn edges(root: &str, sources: &Sources) -> anyhow::Result<Edges> {
    let mut tree = Tree::default();
    let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder);
    tree.read(root, folder, None, sources)?;
    Ok(tree.edges())
}

/// The sets of files of which each reaches every other.
pub fn circles(edges: &Edges) -> Vec<BTreeSet<&str>> {
    let reach: BTreeMap<&str, BTreeSet<&str>> =
        edges.keys().map(|file| (file.as_str(), reached(file, edges))).collect();
    let mut circles: Vec<BTreeSet<&str>> = Vec::new();
    for (&file, ahead) in &reach {
        if ahead.contains(file) && !circles.iter().any(|circle| circle.contains(file)) {
            circles.push(
                ahead
                    .iter()
                    .copied()
                    .filter(|&other| reach.get(other).is_some_and(|back| back.contains(file)))
                    .collect(),
            );
        }
    }
    circles
}

fn reached<'a>(file: &str, edges: &'a Edges) -> BTreeSet<&'a str> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![file]);
    while let Some(file) = open.pop() {
        for next in edges.get(file).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(next.as_str()) {
                open.push(next);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The circles of a crate that exists only here, each as its files in one line.
    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Sources = files.iter().map(|&(path, text)| (path.to_owned(), text.to_owned())).collect();
        let edges = edges("src/lib.rs", &sources).unwrap();
        circles(&edges).into_iter().map(|circle| circle.into_iter().collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn a_child_that_uses_what_its_parent_defines_closes_a_circle() {
        let parent = "mod b; pub struct X; pub fn f() { b::g(); }";
        let child = "use super::X; pub fn g() -> X { X }";
        let files = [("src/lib.rs", "mod a;"), ("src/a/mod.rs", parent), ("src/a/b.rs", child)];
        assert_eq!(found(&files), ["src/a/b.rs src/a/mod.rs"]);
    }

    #[test]
    fn a_parent_that_only_passes_names_on_is_in_no_circle() {
        let parent = "mod b; mod c; pub use b::X; pub(crate) use c::g;";
        let files = [
            ("src/lib.rs", "mod a; pub use a::X;"),
            ("src/a/mod.rs", parent),
            ("src/a/b.rs", "pub struct X;"),
            ("src/a/c.rs", "use super::X; pub fn g(_: X) {}"),
        ];
        assert!(found(&files).is_empty());
        // A real use of a name that is passed on ties the parent to the child.
        let parent = parent.to_owned() + " pub struct Y; fn own() { g(X) }";
        let child = "use super::{X, Y}; pub fn g(_: X) -> Y { Y }";
        let files = [files[0], ("src/a/mod.rs", &parent), files[2], ("src/a/c.rs", child)];
        assert_eq!(found(&files), ["src/a/c.rs src/a/mod.rs"]);
    }

    #[test]
    fn re_exports_are_followed_to_the_definition() {
        let files = [
            ("src/lib.rs", "mod a; mod d; pub use a::*;"),
            ("src/a/mod.rs", "mod b; pub use self::b::X as Z;"),
            ("src/a/b.rs", "use crate::d::D; pub struct X(D);"),
            ("src/d.rs", "use crate::Z; pub struct D(Box<Z>);"),
        ];
        assert_eq!(found(&files), ["src/a/b.rs src/d.rs"]);
    }

    #[test]
    fn a_function_may_have_the_name_of_its_module() {
        let files = [
            ("src/lib.rs", "mod a; mod d;"),
            ("src/a/mod.rs", "mod b; pub use b::b;"),
            ("src/a/b.rs", "pub fn b() { crate::d::d() }"),
            ("src/d.rs", "use crate::a; pub fn d() { a::b() }"),
        ];
        assert_eq!(found(&files), ["src/a/b.rs src/d.rs"]);
        // What follows the name is inside the module, wherever the function is from.
        let files = [
            ("src/lib.rs", "mod a; mod d;"),
            ("src/a/mod.rs", "pub mod b; mod c; pub use c::b;"),
            ("src/a/b.rs", "pub fn f() { crate::d::d() }"),
            ("src/a/c.rs", "pub fn b() {}"),
            ("src/d.rs", "use crate::a; pub fn d() { a::b::f() }"),
        ];
        assert_eq!(found(&files), ["src/a/b.rs src/d.rs"]);
    }

    #[test]
    fn re_exports_in_a_ring_come_to_an_end() {
        let files = [
            ("src/lib.rs", "mod a; mod b; mod c;"),
            ("src/a.rs", "pub use crate::b::*; pub use crate::c::*;"),
            ("src/b.rs", "pub use crate::a::*; pub fn of_b() { of_c() }"),
            ("src/c.rs", "pub fn of_c() { crate::a::of_b() }"),
        ];
        assert_eq!(found(&files), ["src/b.rs src/c.rs"]);
    }

    #[test]
    fn a_path_in_code_counts() {
        let root = ("src/lib.rs", "mod a; mod b;");
        for code in [
            "use crate::a; pub fn g() { a::f() }",
            "pub fn g() { crate::a::f() }",
            "pub fn g(_: super::a::X) {}",
            "pub fn g(x: u8) { match x { crate::a::LIMIT => (), _ => () } }",
            "pub fn g() { use crate::a::f; f() }",
            "pub fn g() { Vec::<crate::a::X>::new(); }",
        ] {
            let a = "pub struct X; pub const LIMIT: u8 = 1; pub fn f() { crate::b::g() }";
            assert_eq!(found(&[root, ("src/a.rs", a), ("src/b.rs", code)]), ["src/a.rs src/b.rs"], "{code}");
        }
    }

    #[test]
    fn a_path_in_the_arguments_of_a_macro_or_an_attribute_counts() {
        let root = ("src/lib.rs", "mod a; mod b;");
        for code in [
            "pub fn g() { println!(\"{}\", crate::a::f(1)); }",
            "pub fn g() { json!({ \"a\": [crate::a::f(0..2)] }); }",
            "#[api(paths(crate::a::f))] pub struct g;",
        ] {
            let a = "pub fn f() { crate::b::g() }";
            assert_eq!(found(&[root, ("src/a.rs", a), ("src/b.rs", code)]), ["src/a.rs src/b.rs"], "{code}");
        }
        let a = ("src/a.rs", "pub fn f() { crate::b::g() }");
        let b = "pub use crate::a::f; pub fn g() { println!(\"{}\", f(1)); }";
        assert_eq!(found(&[root, a, ("src/b.rs", b)]), ["src/a.rs src/b.rs"]);
        let method = b.replace("f(1)", "1.f()");
        assert!(found(&[root, a, ("src/b.rs", &method)]).is_empty());
    }

    #[test]
    fn test_code_does_not_count() {
        let root = ("src/lib.rs", "mod a; mod b;");
        let a = ("src/a.rs", "pub fn f() { crate::b::g() }");
        for code in [
            "#[cfg(test)] mod tests { use crate::a::f; }",
            "#[cfg(all(test, unix))] fn h() { crate::a::f() }",
            "struct S; impl S { #[cfg(test)] fn h() { crate::a::f() } }",
            "fn h() { #[cfg(test)] use crate::a; }",
        ] {
            let code = format!("pub fn g() {{}} {code}");
            assert!(found(&[root, a, ("src/b.rs", &code)]).is_empty(), "{code}");
            let code = code.replace("test", "windows");
            assert_eq!(found(&[root, a, ("src/b.rs", &code)]), ["src/a.rs src/b.rs"], "{code}");
        }
    }

    #[test]
    fn a_crate_may_have_the_name_of_a_module() {
        let root = ("src/lib.rs", "mod csv; mod b;");
        let csv = ("src/csv.rs", "pub fn f() { crate::b::g() }");
        for code in ["use csv::f;", "pub fn h() { csv::f() }"] {
            let code = format!("pub fn g() {{}} {code}");
            assert!(found(&[root, csv, ("src/b.rs", &code)]).is_empty(), "{code}");
        }
        for code in ["use crate::csv::f;", "use crate::csv; fn h() { csv::f() }"] {
            let code = format!("pub fn g() {{}} {code}");
            assert_eq!(found(&[root, csv, ("src/b.rs", &code)]), ["src/b.rs src/csv.rs"], "{code}");
        }
        // Where the module is declared, only `::` names the crate.
        let csv = ("src/csv.rs", "pub fn f() { crate::r() }");
        for code in ["use csv::f;", "fn h() { csv::f() }"] {
            let code = format!("mod csv; pub fn r() {{}} {code}");
            assert_eq!(found(&[("src/lib.rs", &code), csv]), ["src/csv.rs src/lib.rs"], "{code}");
            let code = code.replace("csv::", "::csv::");
            assert!(found(&[("src/lib.rs", &code), csv]).is_empty(), "{code}");
        }
    }

    #[test]
    fn a_variable_is_no_use_of_the_function_of_its_name() {
        let parent = "mod b; pub use b::mean; pub struct X; pub fn f() -> u8 { let mean = 1; mean }";
        let child = ("src/b.rs", "use super::X; pub fn mean(_: X) {}");
        assert!(found(&[("src/lib.rs", parent), child]).is_empty());
        let parent = parent.replace("let mean = 1; mean", "[].map(mean)");
        assert_eq!(found(&[("src/lib.rs", &parent), child]), ["src/b.rs src/lib.rs"]);
    }
}
