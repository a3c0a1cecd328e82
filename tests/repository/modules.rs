//! Reads the modules of a crate, and which file uses which names of which other file.
//!
//! Names are resolved as the compiler does it, as far as files are concerned: through `use`, re-exports and globs, to the
//! file that defines the name. Methods are not: a call `value.method()` names no file. Items behind `#[cfg(test)]`
//! do not count; all other alternatives of `cfg` do.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::Visit as _;
use syn::{Attribute, Expr, Item, Meta};

use super::mentions::{Code, Kind, attributes, defined, for_tests};

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
