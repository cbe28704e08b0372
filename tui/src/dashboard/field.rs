//! A line of text that is typed.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What is typed to filter or to search. Lower case letters match both cases, an upper case letter only itself.
#[derive(Clone, Debug, Default)]
pub struct Field {
    text: String,
    /// The text before it was edited, as long as it is.
    before: Option<String>,
}

/// More than any name is long.
const LONGEST: usize = 64;

impl Field {
    /// What stands in it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether keys go to it.
    pub fn is_edited(&self) -> bool {
        self.before.is_some()
    }

    /// Keys go to it from now on.
    pub fn begin(&mut self) {
        self.before.get_or_insert_with(|| self.text.clone());
    }

    /// It is empty, and keys go elsewhere; whether that changed anything.
    pub fn clear(&mut self) -> bool {
        let changed = !self.text.is_empty() || self.is_edited();
        *self = Field::default();
        changed
    }

    /// Takes a key: enter keeps the text, escape brings back the one before, the others edit it. Whether it was of use; keys
    /// that are not (the arrows, for one) may mean something to others.
    pub fn key(&mut self, key: KeyEvent) -> bool {
        match (key.code, key.modifiers.contains(KeyModifiers::CONTROL)) {
            (KeyCode::Enter, _) => self.before = None,
            (KeyCode::Esc, _) => self.text = self.before.take().unwrap_or_default(),
            (KeyCode::Char('c' | 'g'), true) => self.text = self.before.take().unwrap_or_default(),
            (KeyCode::Char('u'), true) => self.text.clear(),
            (KeyCode::Char('w'), true) => {
                let kept = self.text.trim_end().rfind(' ').map_or(0, |space| space + 1);
                self.text.truncate(kept);
            }
            (KeyCode::Backspace, _) => drop(self.text.pop()),
            (KeyCode::Char(character), false) if self.text.chars().count() < LONGEST => self.text.push(character),
            (KeyCode::Char(_), _) => {}
            _ => return false,
        }
        true
    }

    /// Whether all its words are in `text`.
    pub fn matches(&self, text: &str) -> bool {
        let lower = text.to_lowercase();
        self.text
            .split_whitespace()
            .all(|word| if word.chars().any(char::is_uppercase) { text.contains(word) } else { lower.contains(word) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(field: &mut Field, code: KeyCode) -> bool {
        field.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    fn type_in(field: &mut Field, text: &str) {
        text.chars().for_each(|character| assert!(press(field, KeyCode::Char(character))));
    }

    #[test]
    fn enter_keeps_and_escape_brings_back() {
        let mut field = Field::default();
        field.begin();
        type_in(&mut field, "cvw");
        press(&mut field, KeyCode::Backspace);
        press(&mut field, KeyCode::Enter);
        assert_eq!((field.text(), field.is_edited()), ("cv", false));
        field.begin();
        type_in(&mut field, "_wait");
        assert_eq!(field.text(), "cv_wait");
        press(&mut field, KeyCode::Esc);
        assert_eq!((field.text(), field.is_edited()), ("cv", false));
        assert!(field.clear());
        assert!(!field.clear());
    }

    #[test]
    fn a_word_and_all_of_it_can_be_taken_back() {
        let mut field = Field::default();
        field.begin();
        type_in(&mut field, "one two");
        field.key(KeyEvent::new(KeyCode::Char('w'), KeyModifiers::CONTROL));
        assert_eq!(field.text(), "one ");
        field.key(KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL));
        assert_eq!(field.text(), "");
        assert!(!press(&mut field, KeyCode::Down));
    }

    #[test]
    fn it_is_not_endless() {
        let mut field = Field::default();
        type_in(&mut field, &"é".repeat(200));
        assert_eq!(field.text().chars().count(), LONGEST);
    }

    #[test]
    fn every_word_must_be_there() {
        let with = |text: &str| Field { text: text.to_owned(), before: None };
        assert!(with("").matches("anything"));
        assert!(with("WAIT cv").matches("cv_WAIT"));
        assert!(!with("WAIT").matches("cv_wait"));
        assert!(with("wait cv").matches("CV_wait"));
        assert!(!with("wait rw").matches("cv_wait"));
    }
}
