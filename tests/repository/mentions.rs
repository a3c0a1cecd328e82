//! What one item of a module imports and names.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::mem;
use std::sync::LazyLock;

use regex::Regex;
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, Item, Meta, Token, UseTree, Visibility};

use super::code::code_of;

/// How a path is mentioned.
#[derive(PartialEq, Eq)]
pub(crate) enum Kind {
    Path,
    Import,
    Glob,
    /// `pub use`: no use of its own where the name comes from below the module.
    ReExport,
    ReExportedGlob,
}

/// Whether `#[cfg(test)]` or `#[cfg(all(test, ..))]` is among the attributes.
pub(crate) fn for_tests(attributes: &[Attribute]) -> bool {
    fn is_test(condition: &Meta) -> bool {
        match condition {
            Meta::Path(path) => path.is_ident("test"),
            Meta::List(list) if list.path.is_ident("all") => {
                let parts = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
                parts.is_ok_and(|parts| parts.iter().any(is_test))
            }
            _ => false,
        }
    }
    let conditions = attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"));
    conditions.filter_map(|cfg| cfg.parse_args::<Meta>().ok()).any(|condition| is_test(&condition))
}

/// The attributes of an item.
pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The name that an item defines.
pub(crate) fn defined(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

/// What one item imports and names.
#[derive(Default)]
pub(crate) struct Code {
    /// Path, kind and the name it gets.
    pub(crate) imports: Vec<(Vec<String>, Kind, String)>,
    pub(crate) paths: Vec<Vec<String>>,
}

impl Code {
    fn import(&mut self, tree: &UseTree, before: &mut Vec<String>, public: bool) {
        let kind = if public { Kind::ReExport } else { Kind::Import };
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.import(&path.tree, before, public);
                before.pop();
            }
            UseTree::Name(name) if name.ident == "self" => {
                let alias = before.last().cloned().unwrap_or_default();
                self.imports.push((before.clone(), kind, alias));
            }
            UseTree::Name(name) => {
                let name = name.ident.to_string();
                let path = [before.as_slice(), std::slice::from_ref(&name)].concat();
                self.imports.push((path, kind, name));
            }
            UseTree::Rename(name) => {
                let mut path = before.clone();
                if name.ident != "self" {
                    path.push(name.ident.to_string());
                }
                self.imports.push((path, kind, name.rename.to_string()));
            }
            UseTree::Glob(_) => {
                let kind = if public { Kind::ReExportedGlob } else { Kind::Glob };
                self.imports.push((before.clone(), kind, String::new()));
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, before, public);
                }
            }
        }
    }

    /// Paths within a macro or an attribute, which are tokens. A name alone counts where it is a type or is called: in
    /// other places it is most often a variable.
    fn tokens(&mut self, tokens: &str) {
        let (mut path, mut separated, mut behind_dot) = (Vec::<String>::new(), false, false);
        for token in split(&code_of(tokens)) {
            let is_name = token.starts_with(|c: char| c.is_alphabetic() || c == '_');
            if is_name && (separated || path.is_empty()) {
                path.push(token.to_owned());
                separated = false;
                continue;
            }
            if token == "::" && !path.is_empty() {
                separated = true;
                continue;
            }
            let called = token == "(" || token == "!";
            self.end(&mut path, called, behind_dot);
            (separated, behind_dot) = (false, token == ".");
            if is_name {
                path.push(token.to_owned());
            }
        }
        self.end(&mut path, false, behind_dot);
    }

    fn end(&mut self, path: &mut Vec<String>, called: bool, behind_dot: bool) {
        let path = mem::take(path);
        let Some(first) = path.first() else { return };
        let is_type = first.starts_with(char::is_uppercase);
        if !behind_dot && (path.len() > 1 || called || is_type) {
            self.paths.push(path);
        }
    }
}

/// Names, `::`, and single characters.
fn split(tokens: &str) -> Vec<&str> {
    static TOKEN: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\w+|::|\S").unwrap());
    TOKEN.find_iter(tokens).map(|found| found.as_str()).collect()
}

impl<'ast> Visit<'ast> for Code {
    fn visit_item(&mut self, item: &'ast Item) {
        if !for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast syn::ImplItem) {
        let attributes: &[Attribute] = match item {
            syn::ImplItem::Const(item) => &item.attrs,
            syn::ImplItem::Fn(item) => &item.attrs,
            syn::ImplItem::Type(item) => &item.attrs,
            _ => &[],
        };
        if !for_tests(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if !for_tests(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_field_value(&mut self, field: &'ast syn::FieldValue) {
        if !for_tests(&field.attrs) {
            visit::visit_field_value(self, field);
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if !for_tests(&local.attrs) {
            visit::visit_local(self, local);
        }
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if !for_tests(&arm.attrs) {
            visit::visit_arm(self, arm);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let public = !matches!(item.vis, Visibility::Inherited);
        self.import(&item.tree, &mut Vec::new(), public);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        // A single name in lower case is most often a variable; `visit_expr_call` has the functions.
        if names.len() > 1 || names[0].starts_with(char::is_uppercase) {
            self.paths.push(names);
        }
        visit::visit_path(self, path);
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let Expr::Path(function) = &*call.func
            && let Some(name) = function.path.get_ident()
        {
            self.paths.push(vec![name.to_string()]);
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        if let Some(name) = call.path.get_ident() {
            self.paths.push(vec![name.to_string()]);
        }
        self.tokens(&call.tokens.to_string());
        visit::visit_macro(self, call);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            let text = list.tokens.to_string();
            // serde names functions and modules in quotes.
            let text = if list.path.is_ident("serde") { text.replace('"', " ") } else { text };
            self.tokens(&text);
        }
    }

    /// `pub(in crate::a)` uses nothing of `a`.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}
