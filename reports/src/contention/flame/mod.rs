//! Flame graphs: stacks as boxes, one on the other, as wide as their time.

mod svg;

use super::offcpu::Stacks;
use std::collections::BTreeMap;

pub use svg::{Caption, draw};

/// A function within its callers.
#[derive(Debug, Default)]
struct Node {
    /// The time of all stacks that go through here, in nanoseconds.
    total: u64,
    /// By name, so that pictures of the same stacks are the same.
    children: BTreeMap<String, Node>,
}

impl Node {
    fn new(stacks: &Stacks) -> Self {
        let mut root = Node::default();
        for (stack, nanoseconds) in stacks {
            root.total = root.total.saturating_add(*nanoseconds);
            let mut node = &mut root;
            for name in stack {
                node = node.children.entry(name.clone()).or_default();
                node.total = node.total.saturating_add(*nanoseconds);
            }
        }
        root
    }
}

/// A box of the picture.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Slab<'a> {
    name: &'a str,
    /// 0: the root.
    depth: usize,
    /// The time of the boxes beside it, on its left, in nanoseconds.
    begin: u64,
    /// In nanoseconds.
    total: u64,
    /// It stands behind the separator.
    holder: bool,
}

/// The boxes of at least `least` nanoseconds; each comes after the one that it stands on, and before those beside that.
fn slabs<'a>(root: &'a Node, name: &'a str, least: u64) -> Vec<Slab<'a>> {
    let mut slabs = Vec::new();
    // Not by recursion: a stack may be as deep as it likes.
    let mut open = vec![(root, Slab { name, depth: 0, begin: 0, total: root.total, holder: false })];
    while let Some((node, slab)) = open.pop() {
        let mut begin = slab.begin;
        let mut above = Vec::new();
        for (name, child) in &node.children {
            let holder = slab.holder || slab.name == super::offcpu::SEPARATOR;
            if child.total >= least.max(1) {
                above.push((child, Slab { name, depth: slab.depth + 1, begin, total: child.total, holder }));
            }
            begin = begin.saturating_add(child.total);
        }
        open.extend(above.into_iter().rev());
        slabs.push(slab);
    }
    slabs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stacks(of: &[(&str, u64)]) -> Stacks {
        of.iter().map(|(stack, time)| (stack.split(';').map(str::to_owned).collect(), *time)).collect()
    }

    #[test]
    fn boxes_stand_on_their_callers() {
        let stacks = stacks(&[("a;b", 10), ("a;c;--;d", 5), ("a", 1), ("z", 4)]);
        let root = Node::new(&stacks);
        let slabs = slabs(&root, "all", 0);
        let drawn: Vec<_> =
            slabs.iter().map(|slab| (slab.name, slab.depth, slab.begin, slab.total, slab.holder)).collect();
        let expected = [
            ("all", 0, 0, 20, false),
            ("a", 1, 0, 16, false),
            ("b", 2, 0, 10, false),
            ("c", 2, 10, 5, false),
            ("--", 3, 10, 5, false),
            ("d", 4, 10, 5, true),
            ("z", 1, 16, 4, false),
        ];
        assert_eq!(drawn, expected);
    }

    #[test]
    fn what_is_too_narrow_keeps_its_room() {
        let stacks = stacks(&[("a", 1), ("b", 100)]);
        let root = Node::new(&stacks);
        let slabs = slabs(&root, "all", 10);
        assert_eq!(slabs.len(), 2);
        assert_eq!((slabs[1].name, slabs[1].begin), ("b", 1));
    }

    proptest! {
        #[test]
        fn no_box_is_wider_than_what_it_stands_on(
            of in proptest::collection::btree_map(proptest::collection::vec("[a-c]", 1..12), 1..1_000u64, 0..40)
        ) {
            let root = Node::new(&of);
            let slabs = slabs(&root, "all", 0);
            for (index, slab) in slabs.iter().enumerate().skip(1) {
                let below = slabs[..index].iter().rev().find(|below| below.depth + 1 == slab.depth).unwrap();
                prop_assert!(below.begin <= slab.begin && slab.begin + slab.total <= below.begin + below.total);
            }
            for row in 0..14 {
                let mut end = 0;
                for slab in slabs.iter().filter(|slab| slab.depth == row) {
                    prop_assert!(slab.begin >= end);
                    end = slab.begin + slab.total;
                }
            }
        }
    }
}
