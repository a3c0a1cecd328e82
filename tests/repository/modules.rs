//! Reads the modules of a crate, and which file uses which names of which other file.
//!
//! Names are resolved as the compiler does it, as far as files are concerned: through `use`, re-exports and globs, to the
//! file that defines the name. Methods are not: a call `value.method()` names no file. Items behind `#[cfg(test)]`
//! do not count; all other alternatives of `cfg` do.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::LazyLock;

use regex::Regex;
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, Item, Meta, Token, UseTree, Visibility};

use super::code::code_of;

/// Between two files, by their index: the names that the first uses of the second.
pub(crate) type Edges = BTreeMap<(usize, usize), BTreeSet<String>>;

/// The modules of one crate.
pub(crate) struct Crate {
    /// Paths as `read` takes them.
    pub(crate) files: Vec<String>,
    modules: Vec<Module>,
    paths: Vec<Mention>,
}

#[derive(Default)]
struct Module {
    file: usize,
    parent: Option<usize>,
    names: BTreeMap<String, Vec<Definition>>,
    globs: Vec<Vec<String>>,
}

enum Definition {
    /// Defined in the module itself.
    Here,
    Module(usize),
    Import(Vec<String>),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Module(usize),
    File(usize),
}

/// A path in the code of a module.
struct Mention {
    module: usize,
    path: Vec<String>,
    kind: Kind,
}

#[derive(PartialEq, Eq)]
enum Kind {
    Path,
    Import,
    Glob,
    /// `pub use`: no use of its own where the name comes from below the module.
    ReExport,
    ReExportedGlob,
}

impl Crate {
    /// Reads the crate whose root is the file `root`; `read` returns the text of a file, if there is one.
    pub(crate) fn read(root: &str, read: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut all = Self { files: Vec::new(), modules: Vec::new(), paths: Vec::new() };
        let directory = root.rsplit_once('/').map_or("", |(directory, _)| directory).to_owned();
        all.file(root, &directory, None, read);
        all
    }

    fn file(
        &mut self,
        path: &str,
        children: &str,
        parent: Option<usize>,
        read: &dyn Fn(&str) -> Option<String>,
    ) -> usize {
        let text = read(path).unwrap_or_else(|| panic!("there is no {path}"));
        let items = syn::parse_file(&text).unwrap_or_else(|e| panic!("{path}: {e}")).items;
        // A file may be a module twice.
        let file = self.files.iter().position(|known| known == path).unwrap_or_else(|| {
            self.files.push(path.to_owned());
            self.files.len() - 1
        });
        self.module(file, children, parent, &items, read)
    }

    fn module(
        &mut self,
        file: usize,
        children: &str,
        parent: Option<usize>,
        items: &[Item],
        read: &dyn Fn(&str) -> Option<String>,
    ) -> usize {
        let module = self.modules.len();
        self.modules.push(Module { file, parent, ..Module::default() });
        for item in items.iter().filter(|item| !for_tests(attributes(item))) {
            if let Item::Mod(child) = item {
                let name = child.ident.to_string();
                let below = join(children, &name);
                let id = match &child.content {
                    Some((_, items)) => self.module(file, &below, Some(module), items, read),
                    None => {
                        let (path, below) = self.place(file, children, &name, &child.attrs, read);
                        self.file(&path, &below, Some(module), read)
                    }
                };
                self.define(module, name, Definition::Module(id));
            } else {
                if let Some(name) = defined(item) {
                    self.define(module, name, Definition::Here);
                }
                let mut code = Code::default();
                code.visit_item(item);
                for (path, kind, alias) in code.imports {
                    match kind {
                        Kind::Glob | Kind::ReExportedGlob => {
                            self.modules[module].globs.push(path.clone());
                        }
                        _ => self.define(module, alias, Definition::Import(path.clone())),
                    }
                    self.paths.push(Mention { module, path, kind });
                }
                let paths = code.paths.into_iter();
                self.paths.extend(paths.map(|path| Mention { module, path, kind: Kind::Path }));
            }
        }
        module
    }

    fn define(&mut self, module: usize, name: String, definition: Definition) {
        self.modules[module].names.entry(name).or_default().push(definition);
    }

    /// The file of `mod name;`, and the directory of the modules below it.
    fn place(
        &self,
        file: usize,
        children: &str,
        name: &str,
        attributes: &[Attribute],
        read: &dyn Fn(&str) -> Option<String>,
    ) -> (String, String) {
        let told = attributes.iter().find(|attribute| attribute.path().is_ident("path"));
        if let Some(Meta::NameValue(told)) = told.map(|attribute| &attribute.meta) {
            let path = match &told.value {
                Expr::Lit(literal) => match &literal.lit {
                    syn::Lit::Str(path) => path.value(),
                    _ => panic!("a path that is not a string"),
                },
                _ => panic!("a path that is not a literal"),
            };
            let directory =
                self.files[file].rsplit_once('/').map_or("", |(directory, _)| directory);
            let path = join(directory, &path);
            let below = path.rsplit_once('/').map_or("", |(directory, _)| directory).to_owned();
            return (path, below);
        }
        let below = join(children, name);
        let (flat, nested) = (format!("{below}.rs"), format!("{below}/mod.rs"));
        (if read(&flat).is_some() { flat } else { nested }, below)
    }

    /// Which file uses names of which other.
    pub(crate) fn edges(&self) -> Edges {
        let mut edges = Edges::new();
        for Mention { module, path, kind } in &self.paths {
            if *kind == Kind::Path && self.is_imported(*module, &path[0]) {
                continue;
            }
            let from = self.modules[*module].file;
            for target in self.resolve(*module, path, &mut Vec::new()) {
                let (to, is_below) = match target {
                    Target::File(file) => (file, self.is_below(*module, path)),
                    // The names that are used through it tell what is used of it.
                    Target::Module(_) if !matches!(kind, Kind::Glob | Kind::ReExportedGlob) => {
                        continue;
                    }
                    Target::Module(globbed) => {
                        (self.modules[globbed].file, self.descends(globbed, *module))
                    }
                };
                let facade = matches!(kind, Kind::ReExport | Kind::ReExportedGlob) && is_below;
                if to != from && !facade {
                    let glob = matches!(kind, Kind::Glob | Kind::ReExportedGlob);
                    let name = path.join("::") + if glob { "::*" } else { "" };
                    edges.entry((from, to)).or_default().insert(name);
                }
            }
        }
        edges
    }

    /// Whether a `use` in the module names the file of `name`, so that the `use` counts already. A re-export that does
    /// not count, or a module, does not.
    fn is_imported(&self, module: usize, name: &str) -> bool {
        let definitions = self.modules[module].names.get(name).map_or(&[][..], Vec::as_slice);
        let counts = |definition: &Definition| match definition {
            Definition::Import(path) => {
                let is_file = |target| matches!(target, Target::File(_));
                !self.is_below(module, path)
                    && self.resolve(module, path, &mut Vec::new()).into_iter().all(is_file)
            }
            _ => false,
        };
        !definitions.is_empty() && definitions.iter().all(counts)
    }

    /// Whether the path begins with a module declared in `module`.
    fn is_below(&self, module: usize, path: &[String]) -> bool {
        let mut path = path;
        while path.first().is_some_and(|first| first == "self") {
            path = &path[1..];
        }
        let declared = |first: &String| self.modules[module].names.get(first);
        path.first().and_then(declared).is_some_and(|definitions| {
            definitions.iter().any(|definition| matches!(definition, Definition::Module(_)))
        })
    }

    fn descends(&self, mut module: usize, from: usize) -> bool {
        while let Some(parent) = self.modules[module].parent {
            if parent == from {
                return true;
            }
            module = parent;
        }
        false
    }

    /// What a path means in a module; nothing if it leads out of the crate.
    fn resolve(
        &self,
        module: usize,
        path: &[String],
        asked: &mut Vec<(usize, String)>,
    ) -> BTreeSet<Target> {
        let Some((first, rest)) = path.split_first() else {
            return BTreeSet::from([Target::Module(module)]);
        };
        let start = match first.as_str() {
            "self" => Some(module),
            "super" => self.modules[module].parent,
            "crate" => Some(0),
            _ => {
                let mut found = self.lookup(module, first, asked);
                // A function may have the name of a module: in front of `::` it is the module.
                if !rest.is_empty()
                    && found.iter().any(|target| matches!(target, Target::Module(_)))
                {
                    found.retain(|target| matches!(target, Target::Module(_)));
                }
                let behind = |target| match target {
                    Target::Module(inner) => self.resolve(inner, rest, asked),
                    Target::File(_) => BTreeSet::from([target]),
                };
                return found.into_iter().flat_map(behind).collect();
            }
        };
        start.map_or_else(BTreeSet::new, |start| self.resolve(start, rest, asked))
    }

    fn lookup(
        &self,
        module: usize,
        name: &str,
        asked: &mut Vec<(usize, String)>,
    ) -> BTreeSet<Target> {
        let question = (module, name.to_owned());
        if asked.contains(&question) {
            return BTreeSet::new();
        }
        asked.push(question);
        let mut found = BTreeSet::new();
        for definition in self.modules[module].names.get(name).into_iter().flatten() {
            match definition {
                Definition::Here => drop(found.insert(Target::File(self.modules[module].file))),
                Definition::Module(inner) => drop(found.insert(Target::Module(*inner))),
                Definition::Import(path) => found.extend(self.resolve(module, path, asked)),
            }
        }
        if found.is_empty() {
            for glob in &self.modules[module].globs {
                for target in self.resolve(module, glob, asked) {
                    if let Target::Module(globbed) = target {
                        found.extend(self.lookup(globbed, name, asked));
                    }
                }
            }
        }
        asked.pop();
        found
    }
}

/// The circles of a graph: the files of each, in order.
pub(crate) fn circles(edges: &Edges) -> Vec<Vec<usize>> {
    let reaches = |from: usize| {
        let (mut seen, mut rest) = (BTreeSet::new(), vec![from]);
        while let Some(file) = rest.pop() {
            for (_, to) in edges.keys().filter(|(from, _)| *from == file) {
                if seen.insert(*to) {
                    rest.push(*to);
                }
            }
        }
        seen
    };
    let files: BTreeSet<_> = edges.keys().map(|(from, _)| *from).collect();
    let reached: BTreeMap<_, _> = files.into_iter().map(|file| (file, reaches(file))).collect();
    let both = |a: &usize, b: &usize| {
        reached[a].contains(b) && reached.get(b).is_some_and(|reached| reached.contains(a))
    };
    let circle = |file: &usize| {
        let others = reached[file].iter().copied().filter(|other| both(file, other));
        others.collect::<Vec<_>>()
    };
    let circles: BTreeSet<_> = reached.keys().map(circle).filter(|c| !c.is_empty()).collect();
    circles.into_iter().collect()
}

fn join(directory: &str, path: &str) -> String {
    let mut parts: Vec<_> = directory.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        if part == ".." {
            parts.pop();
        } else if part != "." {
            parts.push(part);
        }
    }
    parts.join("/")
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

fn defined(item: &Item) -> Option<String> {
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
struct Code {
    imports: Vec<(Vec<String>, Kind, String)>,
    paths: Vec<Vec<String>>,
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
        if let Expr::Path(function) = &*call.func {
            if let Some(name) = function.path.get_ident() {
                self.paths.push(vec![name.to_string()]);
            }
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
