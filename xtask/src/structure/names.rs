//! The names in a source file, read with `syn`: those that each of its modules defines, imports and mentions, without
//! code under `#[cfg(test)]`.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::{BTreeSet, HashSet};
use syn::visit::{self, Visit};
use syn::{Attribute, Ident, Item, Meta, UseTree, Visibility};

/// The names of one module.
#[derive(Default)]
pub struct Names {
    pub defined: Vec<String>,
    /// Modules inside it. One with a body in this file comes with its names.
    pub children: Vec<(String, Option<Names>)>,
    pub uses: Vec<Use>,
    /// Paths in code, in attributes and in the arguments of macros.
    pub paths: BTreeSet<Vec<String>>,
}

/// One name that a `use` brings in.
pub struct Use {
    pub path: Vec<String>,
    /// The name it gets here, `*` for all names of a module.
    pub name: String,
    /// Passed on to other modules; only a mention of it in code ties the file to it.
    pub passed_on: bool,
    /// The path begins with `::`, so it names another crate.
    pub absolute: bool,
}

pub fn read(text: &str) -> syn::Result<Names> {
    Ok(names(&syn::parse_file(text)?.items))
}

fn names(items: &[Item]) -> Names {
    let mut reader = Reader::default();
    for item in items {
        let (attributes, name) = head(item);
        if is_test(attributes) {
            continue;
        }
        if let Item::Mod(module) = item {
            let body = module.content.as_ref().map(|(_, items)| names(items));
            reader.names.children.push((module.ident.to_string(), body));
        } else {
            reader.names.defined.extend(name.map(Ident::to_string));
            reader.visit_item(item);
        }
    }
    reader.names
}

/// An item's attributes and the name that it defines.
fn head(item: &Item) -> (&[Attribute], Option<&Ident>) {
    match item {
        Item::Const(item) => (&item.attrs, Some(&item.ident)),
        Item::Enum(item) => (&item.attrs, Some(&item.ident)),
        Item::ExternCrate(item) => (&item.attrs, None),
        Item::Fn(item) => (&item.attrs, Some(&item.sig.ident)),
        Item::ForeignMod(item) => (&item.attrs, None),
        Item::Impl(item) => (&item.attrs, None),
        Item::Macro(item) => (&item.attrs, item.ident.as_ref()),
        Item::Mod(item) => (&item.attrs, None),
        Item::Static(item) => (&item.attrs, Some(&item.ident)),
        Item::Struct(item) => (&item.attrs, Some(&item.ident)),
        Item::Trait(item) => (&item.attrs, Some(&item.ident)),
        Item::Type(item) => (&item.attrs, Some(&item.ident)),
        Item::Union(item) => (&item.attrs, Some(&item.ident)),
        Item::Use(item) => (&item.attrs, None),
        _ => (&[], None),
    }
}

/// Whether the attributes compile an item for tests only.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            let condition = list.tokens.to_string().replace(' ', "");
            condition == "test" || condition.starts_with("all(test,")
        }
        _ => false,
    })
}

fn is_capital(name: &str) -> bool {
    name.starts_with(char::is_uppercase)
}

/// The names of variables and arguments.
#[derive(Clone, Default)]
struct Variables(HashSet<String>);

impl Visit<'_> for Variables {
    fn visit_pat_ident(&mut self, pattern: &syn::PatIdent) {
        let name = pattern.ident.to_string();
        if !is_capital(&name) {
            self.0.insert(name);
        }
    }
}

#[derive(Default)]
struct Reader {
    names: Names,
    /// Variables of the current item: alone, such a name stands for the variable.
    variables: Variables,
}

impl Reader {
    fn mention(&mut self, path: Vec<String>) {
        if path.len() > 1 || !self.variables.0.contains(&path[0]) {
            self.names.paths.insert(path);
        }
    }

    /// Notes every path in the arguments of a macro, which are no syntax tree.
    fn scan(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let sign = |at: Option<usize>, wanted| {
            at.and_then(|at| tokens.get(at))
                .is_some_and(|token| matches!(token, TokenTree::Punct(sign) if sign.as_char() == wanted))
        };
        let mut at = 0;
        while at < tokens.len() {
            let (before, twice) = (at.checked_sub(1), at.checked_sub(2));
            at += 1;
            match &tokens[at - 1] {
                TokenTree::Group(group) => self.scan(group.stream()),
                TokenTree::Ident(first) => {
                    let field = sign(before, '.') && !sign(twice, '.');
                    let absolute = sign(before, ':') && sign(twice, ':');
                    let mut path = vec![first.to_string()];
                    while sign(Some(at), ':')
                        && sign(Some(at + 1), ':')
                        && let Some(TokenTree::Ident(next)) = tokens.get(at + 2)
                    {
                        path.push(next.to_string());
                        at += 3;
                    }
                    // A lone word may be anything, such as a key or an element of HTML.
                    let called = matches!(
                        tokens.get(at),
                        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis
                    );
                    if !field && !absolute && (path.len() > 1 || called || is_capital(&path[0])) {
                        self.mention(path);
                    }
                }
                _ => {}
            }
        }
    }

    fn import(&mut self, tree: &UseTree, mut path: Vec<String>, like: (bool, bool)) {
        let name = match tree {
            UseTree::Path(tree) => {
                path.push(tree.ident.to_string());
                return self.import(&tree.tree, path, like);
            }
            UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.import(tree, path.clone(), like));
            }
            UseTree::Glob(_) => "*".to_owned(),
            UseTree::Name(name) => {
                path.push(name.ident.to_string());
                path.iter().rfind(|name| *name != "self").cloned().unwrap_or_default()
            }
            UseTree::Rename(tree) => {
                path.push(tree.ident.to_string());
                tree.rename.to_string()
            }
        };
        let (passed_on, absolute) = like;
        self.names.uses.push(Use { path, name, passed_on, absolute });
    }
}

impl Visit<'_> for Reader {
    fn visit_item(&mut self, item: &Item) {
        if !is_test(head(item).0) {
            let outer = self.variables.clone();
            self.variables.visit_item(item);
            visit::visit_item(self, item);
            self.variables = outer;
        }
    }

    fn visit_impl_item_fn(&mut self, function: &syn::ImplItemFn) {
        if !is_test(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_use(&mut self, item: &syn::ItemUse) {
        let passed_on = !matches!(item.vis, Visibility::Inherited);
        self.import(&item.tree, Vec::new(), (passed_on, item.leading_colon.is_some()));
    }

    fn visit_path(&mut self, path: &syn::Path) {
        if path.leading_colon.is_none() {
            self.mention(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &syn::Macro) {
        self.visit_path(&call.path);
        self.scan(call.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.scan(list.tokens.clone());
        }
    }
}
