//! No circle among the files of a crate: what a file uses of others can be read first.
//!
//! A file uses another where its code, tests left out, names something that the other defines. `mod x;` is no use, and
//! neither is `pub use child::Name;` in a parent: who imports `parent::Name` uses the file of the child.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use testkit::program::repository;

use super::modules::{Crate, Edges, circles};

/// The circles there still are: the root of the crate, and the files of the circle below the root's directory.
const ALLOWED: &[(&str, &[&str])] = &[];

/// The roots of the crates of the workspace.
pub(crate) fn roots() -> Vec<String> {
    let mut roots = vec!["src/lib.rs".to_owned(), "src/main.rs".to_owned()];
    for directory in fs::read_dir(repository().join("crates")).unwrap() {
        let name = directory.unwrap().file_name().into_string().unwrap();
        let both = ["lib", "main"].map(|root| format!("crates/{name}/src/{root}.rs"));
        roots.extend(both.into_iter().filter(|root| repository().join(root).exists()));
    }
    roots.sort();
    roots
}

pub(crate) fn read(path: &str) -> Option<String> {
    fs::read_to_string(repository().join(path)).ok()
}

/// Each circle with the names that tie it.
fn told(files: &[String], edges: &Edges, circle: &[usize]) -> String {
    let mut text = String::new();
    for ((from, to), names) in edges {
        if circle.contains(from) && circle.contains(to) {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            writeln!(text, "    {} uses {}: {}", files[*from], files[*to], names.join(", "))
                .unwrap();
        }
    }
    text
}

#[test]
fn no_crate_has_a_circle_of_files() {
    let mut faults = String::new();
    let mut allowed: BTreeSet<(String, Vec<String>)> = ALLOWED
        .iter()
        .map(|(root, files)| {
            let directory = root.rsplit_once('/').unwrap().0;
            let mut files: Vec<_> =
                files.iter().map(|file| format!("{directory}/{file}")).collect();
            files.sort();
            ((*root).to_owned(), files)
        })
        .collect();
    let mut uses = 0;
    for root in roots() {
        let all = Crate::read(&root, &read);
        let edges = all.edges();
        uses += edges.len();
        for circle in circles(&edges) {
            let mut files: Vec<_> = circle.iter().map(|file| all.files[*file].clone()).collect();
            files.sort();
            if !allowed.remove(&(root.clone(), files.clone())) {
                writeln!(faults, "{root}: a circle of {}:", files.join(", ")).unwrap();
                faults.push_str(&told(&all.files, &edges, &circle));
            }
        }
    }
    assert!(uses > 500, "the sources were not read: {uses} uses");
    for (root, files) in allowed {
        writeln!(faults, "{root}: ALLOWED names a circle that is gone: {}", files.join(", "))
            .unwrap();
    }
    assert!(
        faults.is_empty(),
        "{faults}Move what both need into a file of its own, or give the one what it needs as an argument."
    );
}

/// The edges and circles of a crate made of these files.
fn scanned(files: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let files: BTreeMap<_, _> = files.iter().copied().collect();
    let all = Crate::read("lib.rs", &|path| files.get(path).map(|text| (*text).to_owned()));
    let edges = all.edges();
    let name = |file: &usize| all.files[*file].trim_end_matches(".rs").to_owned();
    let circle = |circle: &Vec<usize>| circle.iter().map(name).collect::<Vec<_>>().join(" ");
    let circles = circles(&edges).iter().map(circle).collect();
    let edge = |((from, to), names): (&(usize, usize), &BTreeSet<String>)| {
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        format!("{} > {}: {}", name(from), name(to), names.join(" "))
    };
    (edges.iter().map(edge).collect(), circles)
}

#[test]
fn a_circle_is_found_with_the_names_that_tie_it() {
    let (edges, circles) = scanned(&[
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use super::b::{B, f as g}; pub struct A; fn h(_: B) { g() }"),
        ("b.rs", "pub struct B; pub fn f() { let _ = crate::c::C::new(); }"),
        ("c.rs", "pub struct C { a: Option<super::a::A> } impl C { pub fn new() {} }"),
    ]);
    assert_eq!(
        edges,
        ["a > b: super::b::B super::b::f", "b > c: crate::c::C::new", "c > a: super::a::A"]
    );
    assert_eq!(circles, ["a b c"]);
}

#[test]
fn a_facade_is_none() {
    let parent = "mod child; mod other; pub use child::Name; pub(crate) use self::child::*;";
    let (edges, circles) = scanned(&[
        ("lib.rs", "mod parent;"),
        ("parent/mod.rs", &format!("{parent} pub fn help() {{}}")),
        ("parent/child.rs", "use super::help; pub struct Name; pub struct Second;"),
        ("parent/other.rs", "use super::{Name, Second}; use crate::parent::help;"),
    ]);
    assert_eq!(
        edges,
        [
            "parent/child > parent/mod: super::help",
            "parent/other > parent/mod: crate::parent::help",
            "parent/other > parent/child: super::Name super::Second",
        ]
    );
    assert!(circles.is_empty());

    // A parent that uses the name itself is no mere facade.
    for used in ["fn f(_: Name) {}", "fn f() { child::g() }", "fn f() { assert!(child::g()) }"] {
        let (edges, circles) = scanned(&[
            ("lib.rs", "mod parent;"),
            ("parent.rs", &format!("mod child; pub use child::Name; pub fn help() {{}} {used}")),
            ("parent/child.rs", "use super::help; pub struct Name; pub fn g() {}"),
        ]);
        assert_eq!(circles, ["parent parent/child"], "{used}: {edges:?}");
    }
}

#[test]
fn tests_do_not_count() {
    let (edges, _) = scanned(&[
        ("lib.rs", "mod a; mod b; #[cfg(test)] mod missing;"),
        (
            "a.rs",
            "#[cfg(test)] use super::b::B; #[cfg(all(test, unix))] mod tests { use crate::b::B; }",
        ),
        (
            "b.rs",
            "pub struct B { #[cfg(test)] a: super::a::A } impl B { #[cfg(test)] fn f() { crate::a::f() } }",
        ),
    ]);
    assert!(edges.is_empty(), "{edges:?}");
}

#[test]
fn every_kind_of_mention_counts() {
    let a = "pub mod deep { pub fn f() {} } pub struct A; pub enum E { One } #[macro_export] macro_rules! m { () => {} }";
    for mention in [
        "use super::*; fn f(_: A) {}",
        "use super::a::*;",
        "use crate::a; fn f() { a::deep::f() }",
        "use crate::{a::{self as other}}; fn f() { let x = other::A; }",
        "fn f() { use super::a::E::One; }",
        "fn f() -> crate::a::E { todo() }",
        "fn f() { println!(\"{}\", crate::a::deep::f()) }",
        "#[derive(x)] struct X { #[arg(value_parser = super::a::deep::f)] y: u8 }",
        "#[derive(x)] struct X { #[serde(with = \"crate::a::deep\", default = \"crate::a::deep::f\")] y: u8 }",
        "#[cfg(feature = \"x\")] impl super::a::A {}",
    ] {
        let files = [("lib.rs", "mod a; mod b; pub use a::A;"), ("a.rs", a), ("b.rs", mention)];
        let (edges, _) = scanned(&files);
        let found = edges.iter().filter(|edge| edge.starts_with("b > ")).count();
        assert!(found > 0, "{mention}: {edges:?}");
    }
    for none in [
        "use std::fmt; fn f() -> fmt::Result { a() }",
        "fn f() { let a = 1; print!(\"crate::a::A {a}\") }",
        "use super::a;",
        "pub(in crate::a) struct X;",
        "// crate::a::A\nfn f() {}",
    ] {
        let (edges, _) = scanned(&[("lib.rs", "mod a; mod b;"), ("a.rs", a), ("b.rs", none)]);
        assert!(edges.is_empty(), "{none}: {edges:?}");
    }
}

#[test]
fn alternatives_and_told_paths_count() {
    let (edges, _) = scanned(&[
        (
            "lib.rs",
            "#[cfg(x)] mod a; #[cfg(not(x))] #[path = \"other/no_a.rs\"] mod a; mod b; mod c;",
        ),
        ("a.rs", "pub fn f() {}"),
        ("other/no_a.rs", "pub fn f() { super::c::g() }"),
        ("b.rs", "use super::a::f;"),
        ("c.rs", "pub fn g() {}"),
    ]);
    assert_eq!(
        edges,
        ["other/no_a > c: super::c::g", "b > a: super::a::f", "b > other/no_a: super::a::f"]
    );
}
