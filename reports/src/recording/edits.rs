//! Rows that come and go: a table's keys as changes of those before.

use super::bytes::{Flaw, Sink, Source, unzigzag, zigzag};
use super::tables::{Key, Table};
use std::collections::HashMap;

/// Memory that the tables of one sample may take, in bytes: twice what the largest segment has, since a row takes more
/// than a block. A forged frame is refused before it has taken more.
pub(super) const MEMORY: usize = 512 << 20;

/// What is left of [`MEMORY`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Room(pub usize);

impl Room {
    pub fn take(&mut self, bytes: usize) -> Result<(), Flaw> {
        self.0 = self.0.checked_sub(bytes).ok_or(Flaw("it says more than fits into a segment"))?;
        Ok(())
    }
}

/// Some rows stay, some after them go, and others come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Edit {
    kept: usize,
    removed: usize,
    added: usize,
}

/// What has a key.
pub(super) trait Keyed {
    fn key(&self) -> &Key;
}

/// The rows of `after` as they were in `before`; those that are new are made by `empty`. What was done to the keys is
/// written to `sink`.
pub(super) fn write<R: Keyed>(before: Vec<R>, after: &Table, empty: impl Fn(Key) -> R, sink: &mut Sink) -> Vec<R> {
    let edits = edits(&before, after);
    sink.put(edits.len() as u64);
    let mut old = before.into_iter();
    let mut rows = Vec::with_capacity(after.len());
    let mut last = Key::default();
    for edit in edits {
        [edit.kept, edit.removed, edit.added].iter().for_each(|count| sink.put(*count as u64));
        rows.extend(old.by_ref().take(edit.kept));
        old.by_ref().take(edit.removed).for_each(drop);
        for row in &after[rows.len()..rows.len() + edit.added] {
            write_key(&row.key, &last, sink);
            last.clone_from(&row.key);
            rows.push(empty(row.key.clone()));
        }
    }
    rows.extend(old);
    rows
}

/// The same from what [`write`] has written. `bytes`: what a row takes without its key.
pub(super) fn read<R>(
    before: Vec<R>,
    empty: impl Fn(Key) -> R,
    bytes: usize,
    source: &mut Source,
    room: &mut Room,
) -> Result<Vec<R>, Flaw> {
    let edits = source.take_count()?;
    let mut rows = before;
    // Those that are yet to be looked at. Most often rows come at the end alone, and none of the others is moved.
    let mut old = Vec::new().into_iter();
    let mut last = Key::default();
    for number in 0..edits {
        let [mut kept, removed, added] = [source.take_count()?, source.take_count()?, source.take_count()?];
        if number == 0 && kept <= rows.len() {
            old = rows.split_off(kept).into_iter();
            kept = 0;
        }
        if kept.checked_add(removed).is_none_or(|count| count > old.len()) {
            return Err(Flaw("it changes rows that are not there"));
        }
        rows.extend(old.by_ref().take(kept));
        old.by_ref().take(removed).for_each(drop);
        for _ in 0..added {
            let key = read_key(&last, source, room)?;
            last.clone_from(&key);
            room.take(bytes)?;
            rows.push(empty(key));
        }
    }
    rows.extend(old);
    Ok(rows)
}

/// What leads from the keys of `before` to those of `after`: short where rows were only added or removed.
fn edits<R: Keyed>(before: &[R], after: &Table) -> Vec<Edit> {
    let mut edits = Vec::new();
    let mut edit = Edit::default();
    let mut positions = None;
    let (mut old, mut new) = (0, 0);
    while let Some(row) = before.get(old) {
        if after.get(new).is_some_and(|other| other.key == *row.key()) {
            if (edit.removed, edit.added) != (0, 0) {
                edits.push(std::mem::take(&mut edit));
            }
            edit.kept += 1;
            (old, new) = (old + 1, new + 1);
            continue;
        }
        let positions = positions.get_or_insert_with(|| positions_of(after));
        let later = positions.get(row.key()).and_then(|at| at.get(at.partition_point(|at| *at < new)));
        match later {
            Some(&at) => {
                edit.added += at - new;
                new = at;
            }
            None => {
                edit.removed += 1;
                old += 1;
            }
        }
    }
    edit.added += after.len() - new;
    if (edit.removed, edit.added) != (0, 0) {
        edits.push(edit);
    }
    edits
}

fn positions_of(table: &Table) -> HashMap<&Key, Vec<usize>> {
    let mut positions = HashMap::<_, Vec<usize>>::new();
    for (position, row) in table.iter().enumerate() {
        positions.entry(&row.key).or_default().push(position);
    }
    positions
}

/// Numbers as differences from those at the same position of the key that was written before.
fn write_key(key: &Key, last: &Key, sink: &mut Sink) {
    sink.put(key.numbers.len() as u64);
    for (position, number) in key.numbers.iter().enumerate() {
        sink.put(zigzag(number.wrapping_sub(last.numbers.get(position).copied().unwrap_or(0))));
    }
    sink.put(key.texts.len() as u64);
    key.texts.iter().for_each(|text| sink.put_bytes(text.as_bytes()));
}

fn read_key(last: &Key, source: &mut Source, room: &mut Room) -> Result<Key, Flaw> {
    let count = source.take_count()?;
    room.take(count.saturating_mul(8))?;
    let mut numbers = Vec::new();
    for position in 0..count {
        let before = last.numbers.get(position).copied().unwrap_or(0);
        numbers.push(before.wrapping_add(unzigzag(source.take()?)));
    }
    let count = source.take_count()?;
    room.take(count.saturating_mul(size_of::<String>()))?;
    let mut texts = Vec::new();
    for _ in 0..count {
        let text = source.take_text()?;
        room.take(text.len())?;
        texts.push(text);
    }
    Ok(Key { numbers, texts })
}

#[cfg(test)]
mod tests {
    use super::super::tables::Row;
    use super::*;
    use proptest::prelude::*;

    fn row(key: Key) -> Row {
        Row { key, ..Row::default() }
    }

    fn table(keys: &[u8]) -> Table {
        let key = |&number: &u8| Key { numbers: vec![u64::from(number); 2], texts: vec![number.to_string()] };
        keys.iter().map(|number| row(key(number))).collect()
    }

    proptest! {
        #[test]
        fn keys_survive(before in proptest::collection::vec(0..20u8, 0..30), after in proptest::collection::vec(0..20u8, 0..30)) {
            let (before, after) = (table(&before), table(&after));
            let mut sink = Sink::default();
            prop_assert_eq!(&write(before.clone(), &after, row, &mut sink), &after);
            let mut source = Source(&sink.0);
            prop_assert_eq!(&read(before, row, 8, &mut source, &mut Room(1 << 20)), &Ok(after));
            prop_assert!(source.0.is_empty());
        }
    }

    #[test]
    fn what_stays_costs_nothing() {
        let before = table(&[1, 2, 3, 4]);
        assert_eq!(edits(&before, &before), []);
        let added = Edit { kept: 4, removed: 0, added: 1 };
        assert_eq!(edits(&before, &table(&[1, 2, 3, 4, 5])), [added]);
        let removed = Edit { kept: 1, removed: 1, added: 0 };
        assert_eq!(edits(&before, &table(&[1, 3, 4])), [removed]);
    }
}
