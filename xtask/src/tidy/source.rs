//! One Rust file as tidy sees it: the paths that it names, and where.

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// What a file names.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// Every path, from `use` lines, code and macros' arguments, once per place.
    pub(super) paths: Vec<Named>,
    /// The lines with the word `unsafe`.
    pub(super) unsafe_lines: Vec<usize>,
}

/// A path and its place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// Its segments. One inside the host's crate begins with `crate`, however it was written.
    pub(super) segments: Vec<String>,
    pub(super) line: usize,
    /// Whether it's in code that only tests compile.
    pub(super) in_tests: bool,
}

impl Source {
    /// Reads a file; `name` is its path from the root, which says what `super` means in it.
    pub(super) fn parse(name: &str, text: &str) -> syn::Result<Source> {
        let file = syn::parse_file(text)?;
        let mut reader = Reader { source: Source::default(), module: module_of(name), in_tests: is_test_file(name) };
        reader.visit_file(&file);
        let tokens: TokenStream =
            text.parse().map_err(|error| syn::Error::new(proc_macro2::Span::call_site(), error))?;
        find_unsafe(tokens, &mut reader.source.unsafe_lines);
        Ok(reader.source)
    }
}

/// The module path of a file below `src`: `host/src/store/append.rs` is `[store, append]`.
fn module_of(name: &str) -> Vec<String> {
    let inside = name.split_once("src/").map_or(name, |(_, inside)| inside);
    let mut module: Vec<String> = inside.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        module.pop();
    }
    module
}

fn is_test_file(name: &str) -> bool {
    name.contains("/tests/") || name.ends_with("/tests.rs")
}

struct Reader {
    source: Source,
    /// The module being read, which `self` and `super` start from.
    module: Vec<String>,
    in_tests: bool,
}

impl Reader {
    fn add(&mut self, segments: Vec<String>, line: usize) {
        let segments = self.absolute(segments);
        self.source.paths.push(Named { segments, line, in_tests: self.in_tests });
    }

    /// The path with `self` and `super` resolved.
    fn absolute(&self, segments: Vec<String>) -> Vec<String> {
        let supers = segments.iter().take_while(|segment| *segment == "super" || *segment == "self").count();
        if supers == 0 {
            return segments;
        }
        let up = segments[..supers].iter().filter(|segment| *segment == "super").count();
        let base = &self.module[..self.module.len().saturating_sub(up)];
        let whole = std::iter::once("crate").chain(base.iter().map(String::as_str));
        whole.chain(segments[supers..].iter().map(String::as_str)).map(str::to_owned).collect()
    }

    fn read_use(&mut self, tree: &syn::UseTree, before: &[String]) {
        let joined = |ident: &syn::Ident| {
            let mut segments = before.to_vec();
            segments.push(ident.to_string());
            segments
        };
        match tree {
            syn::UseTree::Path(path) => self.read_use(&path.tree, &joined(&path.ident)),
            syn::UseTree::Name(name) => {
                self.add(joined(&name.ident), name.ident.span().start().line);
            }
            syn::UseTree::Rename(rename) => {
                self.add(joined(&rename.ident), rename.ident.span().start().line);
            }
            syn::UseTree::Glob(glob) => {
                self.add(before.to_vec(), glob.star_token.span().start().line);
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.read_use(item, before)),
        }
    }

    /// Finds paths in tokens that aren't parsed: a macro's arguments.
    fn read_tokens(&mut self, tokens: TokenStream) {
        let mut segments: Vec<String> = Vec::new();
        let mut line = 0;
        // Colons seen since the last word; a path goes on after two.
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(word) => {
                    if colons != 2 {
                        self.end_path(&mut segments, line);
                        line = word.span().start().line;
                    }
                    segments.push(word.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.end_path(&mut segments, line);
                    colons = 0;
                    self.read_tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    self.end_path(&mut segments, line);
                    colons = 0;
                }
            }
        }
        self.end_path(&mut segments, line);
    }

    fn end_path(&mut self, segments: &mut Vec<String>, line: usize) {
        let path = std::mem::take(segments);
        // One word alone names something that a `use` line or this file brought in.
        if path.len() > 1 {
            self.add(path, line);
        }
    }

    /// Reads an item, as part of the tests if it's marked so.
    fn within(&mut self, attributes: &[syn::Attribute], read: impl FnOnce(&mut Reader)) {
        let before = self.in_tests;
        self.in_tests |= attributes.iter().any(is_for_tests);
        read(self);
        self.in_tests = before;
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.within(&item.attrs, |reader| {
            reader.module.push(item.ident.to_string());
            visit::visit_item_mod(reader, item);
            reader.module.pop();
        });
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.within(&item.attrs, |reader| visit::visit_item_fn(reader, item));
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.within(&item.attrs, |reader| reader.read_use(&item.tree, &[]));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.add(segments, path.span().start().line);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.read_tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.read_tokens(list.tokens.clone());
        }
        visit::visit_attribute(self, attribute);
    }
}

/// `#[cfg(test)]`, `#[test]`, `#[tokio::test]`.
fn is_for_tests(attribute: &syn::Attribute) -> bool {
    let is_test = |path: &syn::Path| path.segments.last().is_some_and(|last| last.ident == "test");
    match &attribute.meta {
        syn::Meta::List(list) if list.path.is_ident("cfg") => list.tokens.to_string() == "test",
        meta => is_test(meta.path()),
    }
}

fn find_unsafe(tokens: TokenStream, lines: &mut Vec<usize>) {
    for token in tokens {
        match token {
            TokenTree::Ident(word) if word == "unsafe" => lines.push(word.span().start().line),
            TokenTree::Group(group) => find_unsafe(group.stream(), lines),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(name: &str, text: &str) -> Vec<(String, usize)> {
        let source = Source::parse(name, text).unwrap();
        source.paths.into_iter().map(|named| (named.segments.join("::"), named.line)).collect()
    }

    #[test]
    fn use_lines_are_taken_apart() {
        let text = "use crate::{model::Event, store::{self, Page}};\nuse axum::*;\nuse sqlx as database;";
        let found = paths("host/src/http/page.rs", text);
        let expected = [
            ("crate::model::Event", 1),
            ("crate::store::self", 1),
            ("crate::store::Page", 1),
            ("axum", 2),
            ("sqlx", 3),
        ];
        assert_eq!(found, expected.map(|(path, line)| (path.to_owned(), line)));
    }

    #[test]
    fn super_leads_where_the_file_lies() {
        let text = "use super::super::store::Page;\nmod tests { use super::super::page; }";
        let found = paths("host/src/http/page.rs", text);
        assert_eq!(found[0].0, "crate::store::Page");
        assert_eq!(found[1].0, "crate::http::page");
        assert_eq!(paths("host/src/http/mod.rs", "use super::store;")[0].0, "crate::store");
    }

    #[test]
    fn paths_in_code_and_in_macros_are_found() {
        let text = "fn f() {\n  crate::store::load();\n  info!(\"{}\", crate::cli::name(a, b::c));\n}";
        let found = paths("host/src/http/page.rs", text);
        assert!(found.contains(&("crate::store::load".to_owned(), 2)), "{found:?}");
        assert!(found.contains(&("crate::cli::name".to_owned(), 3)), "{found:?}");
        assert!(found.contains(&("b::c".to_owned(), 3)), "{found:?}");
    }

    #[test]
    fn test_code_is_marked() {
        let text = "use a::b;\n#[cfg(test)]\nmod tests { use c::d; }\n#[tokio::test]\nasync fn t() { e::f() }";
        let source = Source::parse("host/src/lib.rs", text).unwrap();
        let in_tests =
            |path: &str| source.paths.iter().find(|named| named.segments.join("::") == path).unwrap().in_tests;
        assert!(!in_tests("a::b"));
        assert!(in_tests("c::d"));
        assert!(in_tests("e::f"));
    }
}
