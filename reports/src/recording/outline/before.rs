//! Rows of the sample before, which those of the next one are looked for in.

use crate::recording::edits::Keyed;
use crate::recording::tables::Key;
use std::collections::HashMap;

/// Rows stay in their order, so that those that are gone stand before the one that is looked for. Most stand where they are
/// expected; of the others the place is looked up.
pub struct Before<'a, L> {
    lines: &'a [L],
    /// Where the next one is expected.
    next: usize,
    /// The places of all, once one was not where it was expected.
    places: Option<HashMap<&'a Key, usize>>,
}

impl<'a, L: Keyed> Before<'a, L> {
    /// These rows.
    pub fn new(lines: &'a [L]) -> Self {
        Before { lines, next: 0, places: None }
    }

    /// The row of that key, unless it is gone or stands before one that was found already.
    pub fn find(&mut self, key: &Key) -> Option<&'a L> {
        let all = self.lines;
        let at = match all.get(self.next)? {
            line if line.key() == key => self.next,
            _ => {
                let places = || all.iter().enumerate().map(|(at, line)| (line.key(), at)).collect();
                *self.places.get_or_insert_with(places).get(key)?
            }
        };
        if at < self.next {
            return None;
        }
        self.next = at + 1;
        all.get(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Line(Key);

    impl Keyed for Line {
        fn key(&self) -> &Key {
            &self.0
        }
    }

    fn key(number: u64) -> Key {
        Key { numbers: vec![number], texts: Vec::new() }
    }

    proptest! {
        #[test]
        fn rows_are_found_as_if_all_that_follow_were_looked_at(
            before in proptest::collection::hash_set(0..20_u64, 0..20),
            now in proptest::collection::vec(0..20_u64, 0..20),
        ) {
            let lines: Vec<_> = before.into_iter().map(|number| Line(key(number))).collect();
            let (mut before, mut rest) = (Before::new(&lines), lines.iter());
            for number in now {
                let expected = rest.clone().position(|line| line.0 == key(number)).and_then(|at| rest.nth(at));
                let found = before.find(&key(number));
                prop_assert_eq!(found.map(|line| &line.0), expected.map(|line| &line.0));
            }
        }
    }
}
