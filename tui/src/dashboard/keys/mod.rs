//! Which key does what.

mod action;
mod file;
mod key;

pub use action::{Action, ENTRIES, Entry, Group};
pub use file::{default_path, load};
pub use key::Key;

use std::collections::HashMap;

/// A key map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyMap {
    actions: HashMap<Key, Action>,
    /// The keys of each action, in the order in which they are shown.
    keys: HashMap<Action, Vec<Key>>,
}

impl Default for KeyMap {
    fn default() -> Self {
        let mut map = KeyMap { actions: HashMap::new(), keys: HashMap::new() };
        for entry in ENTRIES {
            entry.default_keys().for_each(|key| map.add(key, entry.action));
        }
        map
    }
}

impl KeyMap {
    /// What `key` does.
    pub fn action(&self, key: Key) -> Option<Action> {
        self.actions.get(&key).copied()
    }

    /// The keys for `action`; the first is the one to show where there is room for one.
    pub fn keys(&self, action: Action) -> &[Key] {
        self.keys.get(&action).map_or(&[], Vec::as_slice)
    }

    /// All keys for `action` in words; empty where the user has left it none.
    pub fn shown(&self, action: Action) -> String {
        self.keys(action).iter().map(Key::to_string).collect::<Vec<_>>().join(" ")
    }

    /// The first key for `action`, if it has any.
    pub fn first(&self, action: Action) -> Option<String> {
        self.keys(action).first().map(Key::to_string)
    }

    /// `key` does `action` from now on, and nothing else.
    fn add(&mut self, key: Key, action: Action) {
        if let Some(before) = self.actions.insert(key, action) {
            self.keys.entry(before).or_default().retain(|other| *other != key);
        }
        self.keys.entry(action).or_default().push(key);
    }

    /// No key does `action`.
    fn clear(&mut self, action: Action) {
        for key in self.keys.remove(&action).unwrap_or_default() {
            self.actions.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_action_has_keys_of_its_own() {
        let mut seen = HashSet::new();
        for entry in ENTRIES {
            assert_eq!(entry.default_keys().count(), entry.keys.len(), "{}", entry.name);
            for key in entry.default_keys() {
                assert!(seen.insert(key), "{key} does two things");
                assert_eq!(KeyMap::default().action(key), Some(entry.action));
            }
        }
        let names: HashSet<_> = ENTRIES.iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), ENTRIES.len());
    }

    #[test]
    fn a_key_does_one_thing() {
        let mut map = KeyMap::default();
        let key: Key = "q".parse().unwrap();
        map.add(key, Action::Help);
        assert_eq!(map.action(key), Some(Action::Help));
        assert_eq!(map.shown(Action::Quit), "ctrl-c");
        map.clear(Action::Help);
        assert_eq!((map.action(key), map.first(Action::Help)), (None, None));
    }
}
