//! The user's own key map: lines of `action = key key ...`; what is not named keeps its keys.

use super::{ENTRIES, Key, KeyMap};
use anyhow::{Context, anyhow};
use std::env;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Where the key map is looked for: `rumpscope/keys` in the user's folder of settings.
pub fn default_path() -> Option<PathBuf> {
    let folder = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let settings = folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")))?;
    Some(settings.join("rumpscope").join("keys"))
}

/// The key map of `path`; where there is no such file and the user did not name it (`must_exist`), the one that we have.
///
/// # Errors
/// When the file cannot be read, or a line of it is not understood.
pub fn load(path: &Path, must_exist: bool) -> anyhow::Result<KeyMap> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text).with_context(|| format!("the key map {}", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound && !must_exist => Ok(KeyMap::default()),
        Err(error) => Err(error).with_context(|| format!("cannot read the key map {}", path.display())),
    }
}

/// The key map that `text` makes of ours.
fn parse(text: &str) -> anyhow::Result<KeyMap> {
    let mut map = KeyMap::default();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            set(&mut map, line).map_err(|problem| anyhow!("line {number}: {problem}"))?;
        }
    }
    Ok(map)
}

fn set(map: &mut KeyMap, line: &str) -> Result<(), String> {
    let (name, keys) = line.split_once('=').ok_or("not of the form `action = key`")?;
    let name = name.trim();
    let entry = ENTRIES.iter().find(|entry| entry.name == name).ok_or_else(|| {
        let names: Vec<_> = ENTRIES.iter().map(|entry| entry.name).collect();
        format!("there is no action `{name}`; there are {}", names.join(", "))
    })?;
    let keys = keys.split_whitespace().map(str::parse::<Key>).collect::<Result<Vec<_>, _>>()?;
    map.clear(entry.action);
    keys.into_iter().for_each(|key| map.add(key, entry.action));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Action;
    use super::*;

    fn problem(text: &str) -> String {
        format!("{:#}", parse(text).unwrap_err())
    }

    #[test]
    fn what_is_named_is_changed_and_nothing_else() {
        let map = parse("# mine\n\nquit = x ctrl-q\nup =\n").unwrap();
        assert_eq!(map.shown(Action::Quit), "x ctrl-q");
        assert_eq!(map.action("q".parse().unwrap()), None);
        assert_eq!(map.keys(Action::Up), []);
        assert_eq!(map.keys(Action::Down), KeyMap::default().keys(Action::Down));
    }

    #[test]
    fn a_key_goes_to_who_asks_last() {
        let map = parse("save = q").unwrap();
        assert_eq!(map.action("q".parse().unwrap()), Some(Action::Save));
        assert_eq!(map.shown(Action::Quit), "ctrl-c");
    }

    #[test]
    fn problems_are_said_with_their_line() {
        assert!(problem("quit = q\nfly = f").starts_with("line 2: there is no action `fly`; there are quit, "));
        assert_eq!(problem("quit"), "line 1: not of the form `action = key`");
        assert_eq!(problem("\nquit = entr"), "line 2: there is no key `entr`");
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error_only_where_it_was_named() {
        let path = Path::new("/nowhere/keys");
        assert_eq!(load(path, false).unwrap(), KeyMap::default());
        assert!(format!("{:#}", load(path, true).unwrap_err()).contains("cannot read the key map /nowhere/keys"));
    }
}
