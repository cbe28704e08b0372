//! Keys, and how people write them.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::fmt;
use std::str::FromStr;

/// A key with its modifiers. Shift is told only of keys whose character it does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    code: KeyCode,
    modifiers: KeyModifiers,
}

/// Names of keys without a character; the first name of a key is the one that is shown.
const NAMES: [(&str, KeyCode); 17] = [
    ("space", KeyCode::Char(' ')),
    ("enter", KeyCode::Enter),
    ("return", KeyCode::Enter),
    ("esc", KeyCode::Esc),
    ("escape", KeyCode::Esc),
    ("tab", KeyCode::Tab),
    ("backspace", KeyCode::Backspace),
    ("delete", KeyCode::Delete),
    ("insert", KeyCode::Insert),
    ("up", KeyCode::Up),
    ("down", KeyCode::Down),
    ("left", KeyCode::Left),
    ("right", KeyCode::Right),
    ("home", KeyCode::Home),
    ("end", KeyCode::End),
    ("pageup", KeyCode::PageUp),
    ("pagedown", KeyCode::PageDown),
];

impl From<KeyEvent> for Key {
    fn from(event: KeyEvent) -> Self {
        let mut modifiers = event.modifiers & (KeyModifiers::CONTROL | KeyModifiers::ALT | KeyModifiers::SHIFT);
        let code = match event.code {
            // Terminals tell shift and tab as a key of its own.
            KeyCode::BackTab => {
                modifiers |= KeyModifiers::SHIFT;
                KeyCode::Tab
            }
            KeyCode::Char(character) => {
                let shifted = modifiers.contains(KeyModifiers::SHIFT);
                modifiers -= KeyModifiers::SHIFT;
                KeyCode::Char(if shifted { character.to_ascii_uppercase() } else { character })
            }
            code => code,
        };
        Key { code, modifiers }
    }
}

impl FromStr for Key {
    type Err = String;

    /// A character or the name of a key, behind `ctrl-`, `alt-`, `shift-`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut modifiers = KeyModifiers::NONE;
        let mut rest = text;
        while let Some((modifier, after)) = rest.split_once('-').filter(|(_, after)| !after.is_empty()) {
            modifiers |= match modifier.to_ascii_lowercase().as_str() {
                "ctrl" | "control" => KeyModifiers::CONTROL,
                "alt" => KeyModifiers::ALT,
                "shift" => KeyModifiers::SHIFT,
                _ => return Err(format!("`{modifier}-` is not ctrl-, alt- or shift-")),
            };
            rest = after;
        }
        let mut characters = rest.chars();
        let code = match (characters.next(), characters.next()) {
            (Some(character), None) => KeyCode::Char(character),
            _ => named(rest).ok_or_else(|| format!("there is no key `{rest}`"))?,
        };
        Ok(KeyEvent::new(code, modifiers).into())
    }
}

fn named(name: &str) -> Option<KeyCode> {
    let name = name.to_ascii_lowercase();
    let number = || name.strip_prefix('f')?.parse().ok().filter(|number| (1..=24).contains(number));
    NAMES.iter().find(|known| known.0 == name).map(|known| known.1).or_else(|| number().map(KeyCode::F))
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let modifiers =
            [(KeyModifiers::CONTROL, "ctrl-"), (KeyModifiers::ALT, "alt-"), (KeyModifiers::SHIFT, "shift-")];
        for (_, name) in modifiers.iter().filter(|(modifier, _)| self.modifiers.contains(*modifier)) {
            formatter.write_str(name)?;
        }
        match (self.code, NAMES.iter().find(|known| known.1 == self.code)) {
            (_, Some((name, _))) => formatter.write_str(name),
            (KeyCode::Char(character), _) => write!(formatter, "{character}"),
            (KeyCode::F(number), _) => write!(formatter, "f{number}"),
            (code, _) => write!(formatter, "{code:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        text.parse().unwrap()
    }

    #[test]
    fn keys_are_written_as_they_are_read() {
        for text in
            ["q", "Q", "?", "-", "ctrl-c", "shift-tab", "f12", "space", "alt-enter", "shift-left", "ctrl--", "/"]
        {
            assert_eq!(key(text).to_string(), text);
        }
        assert_eq!(key("Escape"), key("esc"));
    }

    #[test]
    fn what_terminals_tell_is_the_same_key() {
        let event = |code, modifiers| Key::from(KeyEvent::new(code, modifiers));
        assert_eq!(event(KeyCode::BackTab, KeyModifiers::SHIFT), key("shift-tab"));
        assert_eq!(event(KeyCode::BackTab, KeyModifiers::NONE), key("shift-tab"));
        assert_eq!(event(KeyCode::Char('G'), KeyModifiers::SHIFT), key("G"));
        assert_eq!(event(KeyCode::Char('g'), KeyModifiers::SHIFT), key("G"));
        assert_eq!(event(KeyCode::Char('?'), KeyModifiers::SHIFT), key("?"));
    }

    #[test]
    fn what_is_no_key_is_said() {
        for text in ["", "hyper-x", "entr", "f99", "ctrl-nothing"] {
            assert!(text.parse::<Key>().is_err(), "{text}");
        }
    }
}
