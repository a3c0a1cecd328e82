//! The methods of the large types stand together: `impl` blocks are in the type's own file, or in the folder beside it.
#![allow(clippy::unwrap_used)] // helpers of tests

use syn::visit::{self, Visit};
use syn::{Item, ItemImpl, Type};

use super::circles::read;
use super::mentions::{attributes, for_tests};
use super::modules::Crate;

/// A type, the root of its crate, and files outside its own that still have `impl` blocks of it.
const OWNED: &[(&str, &str, &[&str])] =
    &[("Shard", "crates/turn/src/lib.rs", &[]), ("Engine", "crates/net/src/lib.rs", &[])];

/// Counts the inherent `impl` blocks of a type, tests left out.
struct Blocks<'a> {
    of: &'a str,
    found: usize,
}

impl<'ast> Visit<'ast> for Blocks<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_impl(&mut self, block: &'ast ItemImpl) {
        if let (None, Type::Path(name)) = (&block.trait_, &*block.self_ty) {
            let last = name.path.segments.last();
            self.found += usize::from(last.is_some_and(|last| last.ident == self.of));
        }
        visit::visit_item_impl(self, block);
    }
}

fn blocks(of: &str, text: &str) -> usize {
    let mut blocks = Blocks { of, found: 0 };
    blocks.visit_file(&syn::parse_file(text).unwrap());
    blocks.found
}

/// Whether `path` is `shard.rs`, `shard/mod.rs` or another file below a folder `shard`, for `Shard`.
fn is_own(of: &str, path: &str) -> bool {
    let name = of.to_lowercase();
    path.split('/').any(|part| part == name || part.strip_suffix(".rs") == Some(&name))
}

#[test]
fn the_methods_of_a_large_type_stand_together() {
    for (of, root, allowed) in OWNED {
        let files = Crate::read(root, &read).files;
        let outside = files.iter().filter(|path| !is_own(of, path));
        let mut found: Vec<_> =
            outside.filter(|path| blocks(of, &read(path).unwrap()) > 0).collect();
        found.sort();
        assert_eq!(found, *allowed, "files with `impl {of}` outside its own file or folder");
    }
}

#[test]
fn an_impl_block_is_found_wherever_it_stands() {
    let text =
        "impl Shard { fn f() {} } impl super::Shard {} impl<T> Shard<T> {} mod x { impl Shard {} }
                impl Clone for Shard {} #[cfg(test)] mod tests { impl Shard {} } impl Sharded {}";
    assert_eq!(blocks("Shard", text), 4);
    assert!(is_own("Shard", "src/shard.rs") && is_own("Shard", "src/shard/relay.rs"));
    assert!(!is_own("Shard", "src/relay.rs") && !is_own("Shard", "src/sharding.rs"));
}
