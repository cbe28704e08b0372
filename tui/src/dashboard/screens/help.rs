//! What the keys do and what words mean, made from the key map; it can be searched.

use super::glossary::GLOSSARY;
use crate::dashboard::draw::{line, put, put_right, split, split_columns};
use crate::dashboard::field::Field;
use crate::dashboard::keys::{Action, ENTRIES, Entry, Group, KeyMap};
use crate::dashboard::picture::wrapped;
use crate::dashboard::screen::{Mouse, Reaction, Screen, View};
use crate::dashboard::theme::{Role, Theme};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;

/// Columns of the keys or the word before what they mean.
const NAME: u16 = 20;
/// Columns of the names of actions, where there is room.
const ACTION: u16 = 17;
/// From so many columns on the words stand beside the keys.
const WIDE: u16 = 150;
/// Lines that the wheel goes by.
const WHEEL: usize = 3;

/// The help.
#[derive(Debug, Default)]
pub struct Help {
    search: Field,
    /// The first line that is shown.
    offset: usize,
    /// Lines that there are, and that there is room for, at the last look.
    lines: (usize, usize),
}

/// A line of it.
#[derive(Debug)]
enum Line {
    Title(&'static str),
    Key { keys: String, help: &'static str, action: &'static str },
    Term { name: &'static str, meaning: &'static str },
    Space,
}

impl Help {
    fn keys(&self, keys: &KeyMap) -> Vec<Line> {
        let groups = [Group::General, Group::Screens, Group::Lists, Group::Time, Group::Replay];
        let matches = |entry: &&Entry| {
            self.search.matches(&format!("{} {} {}", entry.name, keys.shown(entry.action), entry.help))
        };
        let mut lines = Vec::new();
        for group in groups {
            let entries: Vec<_> = ENTRIES.iter().filter(|entry| entry.group == group).filter(matches).collect();
            add(
                &mut lines,
                group.title(),
                entries.into_iter().map(|entry| {
                    let shown = keys.shown(entry.action);
                    let keys = if shown.is_empty() { "(no key)".to_owned() } else { shown };
                    Line::Key { keys, help: entry.help, action: entry.name }
                }),
            );
        }
        lines
    }

    fn words(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        for (title, terms) in GLOSSARY {
            let terms = terms.iter().filter(|term| self.search.matches(&format!("{} {}", term.name, term.meaning)));
            add(&mut lines, title, terms.map(|term| Line::Term { name: term.name, meaning: term.meaning }));
        }
        lines
    }

    fn go(&mut self, offset: usize) {
        self.offset = offset.min(self.lines.0.saturating_sub(self.lines.1));
    }
}

/// Adds a title and what belongs to it, unless that is nothing.
fn add(lines: &mut Vec<Line>, title: &'static str, more: impl Iterator<Item = Line>) {
    let mut more = more.peekable();
    if more.peek().is_some() {
        if !lines.is_empty() {
            lines.push(Line::Space);
        }
        lines.push(Line::Title(title));
        lines.extend(more);
    }
}

/// Draws `lines` from `offset` on.
fn draw_lines(area: Rect, buffer: &mut Buffer, theme: &Theme, lines: &[Line], offset: usize) {
    for (row, of) in (0..area.height).zip(lines.iter().skip(offset)) {
        let place = line(area, row);
        let (name, meaning) = split_columns(place, NAME, 1);
        match of {
            Line::Space => {}
            Line::Title(title) => put(buffer, place, title, theme.style(Role::Title)),
            Line::Key { keys, help, action } => {
                put(buffer, name, &format!("  {keys}"), theme.style(Role::Key));
                put(buffer, meaning, help, theme.style(Role::Text));
                let end =
                    Rect { x: meaning.right().saturating_sub(ACTION), width: ACTION.min(meaning.width), ..meaning };
                if usize::from(meaning.width.saturating_sub(ACTION + 1)) > help.chars().count() {
                    put_right(buffer, end, action, theme.style(Role::Faint));
                }
            }
            Line::Term { name: word, meaning: text } => {
                put(buffer, name, &format!("  {word}"), theme.style(Role::Key));
                put(buffer, meaning, text, theme.style(Role::Text));
            }
        }
    }
}

impl Screen for Help {
    fn title(&self) -> &'static str {
        "Help"
    }

    fn draw(&mut self, area: Rect, buffer: &mut Buffer, view: &View<'_>) {
        let theme = view.theme;
        let (body, foot) = split(area, area.height.saturating_sub(1));
        let (mut keys, words) = (self.keys(view.keys), self.words());
        let wide = body.width >= WIDE;
        if !wide && !words.is_empty() {
            if !keys.is_empty() {
                keys.push(Line::Space);
            }
            keys.extend(words);
            self.lines = (keys.len(), usize::from(body.height));
            self.go(self.offset);
            draw_lines(body, buffer, theme, &keys, self.offset);
        } else {
            self.lines = (keys.len().max(words.len()), usize::from(body.height));
            self.go(self.offset);
            let (left, right) = split_columns(body, body.width / 2 - 1, 2);
            draw_lines(if wide { left } else { body }, buffer, theme, &keys, self.offset);
            draw_lines(if wide { right } else { Rect::default() }, buffer, theme, &words, self.offset);
        }
        if self.lines.0 == 0 {
            wrapped(body, buffer, "nothing of that is in the help", theme.style(Role::Faint));
        }
        let text = match (self.search.is_edited(), self.search.text()) {
            (true, text) => format!("/{text}_"),
            (false, "") => {
                "other keys: lines of `action = key key` in rumpscope/keys in the folder of settings".to_owned()
            }
            (false, text) => format!("/{text}"),
        };
        let style: Style = theme.style(if self.search.is_edited() { Role::Key } else { Role::Faint });
        put(buffer, foot, &text, style);
        let shown = (self.offset + self.lines.1).min(self.lines.0);
        if shown < self.lines.0 || self.offset > 0 {
            put_right(buffer, foot, &format!(" {shown} of {} lines", self.lines.0), theme.style(Role::Faint));
        }
    }

    fn act(&mut self, action: Action, _: &View<'_>) -> Reaction {
        let page = self.lines.1.saturating_sub(1).max(1);
        match action {
            Action::Up => self.go(self.offset.saturating_sub(1)),
            Action::Down => self.go(self.offset + 1),
            Action::PageUp => self.go(self.offset.saturating_sub(page)),
            Action::PageDown => self.go(self.offset + page),
            Action::First => self.go(0),
            Action::Last => self.go(usize::MAX),
            Action::Back if self.search.clear() => {}
            _ => return Reaction::Ignored,
        }
        Reaction::Done
    }

    fn mouse(&mut self, mouse: Mouse, _: Position, _: &View<'_>) -> Reaction {
        match mouse {
            Mouse::Up => self.go(self.offset.saturating_sub(WHEEL)),
            Mouse::Down => self.go(self.offset + WHEEL),
            Mouse::Click => return Reaction::Ignored,
        }
        Reaction::Done
    }

    fn field(&mut self) -> Option<&mut Field> {
        Some(&mut self.search)
    }

    fn actions(&self) -> &'static [Action] {
        &[Action::Back, Action::Filter]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::keys::KeyMap;
    use crate::dashboard::scene::Scene;
    use crate::dashboard::testing::{self, check, picture, picture_with};
    use crate::dashboard::theme::Palette;
    use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    fn search(help: &mut Help, text: &str) {
        let field = help.field().unwrap();
        field.begin();
        text.chars().for_each(|character| {
            field.key(KeyEvent::new(KeyCode::Char(character), KeyModifiers::NONE));
        });
    }

    fn act(help: &mut Help, scene: &Scene, action: Action) -> Reaction {
        let (theme, keys) = (Theme::default(), KeyMap::default());
        help.act(action, &testing::view(scene, &theme, &keys, Rect::new(0, 0, 120, 40)))
    }

    #[test]
    fn all_keys_and_words() {
        let scene = testing::scene(1, 2);
        check("help-80x21.txt", &picture(&mut Help::default(), &scene, 80, 21));
        check("help-120x80.txt", &picture(&mut Help::default(), &scene, 120, 80));
        check("help-190x57.txt", &picture(&mut Help::default(), &scene, 190, 57));
        let ascii = Theme { palette: Palette::None, ascii: true };
        assert!(picture_with(&mut Help::default(), &scene, 190, 57, ascii).is_ascii());
        let text = picture(&mut Help::default(), &scene, 100, 200);
        for entry in ENTRIES {
            assert!(
                text.contains(entry.help) && text.contains(&KeyMap::default().shown(entry.action)),
                "{}",
                entry.name
            );
        }
        for term in GLOSSARY.iter().flat_map(|(_, terms)| *terms) {
            assert!(text.contains(term.name), "{}", term.name);
        }
    }

    #[test]
    fn what_is_searched_for_stays() {
        let scene = testing::scene(1, 2);
        let mut help = Help::default();
        search(&mut help, "trace perfetto");
        let text = picture(&mut help, &scene, 80, 21);
        assert!(text.starts_with("Lists\n  t  ") && text.contains("/trace perfetto_"), "{text}");
        assert!(!text.contains("Everywhere"));
        search(&mut help, " zebra");
        assert!(picture(&mut help, &scene, 80, 21).contains("nothing of that is in the help"));
        assert_eq!(act(&mut help, &scene, Action::Back), Reaction::Done);
        assert_eq!(act(&mut help, &scene, Action::Back), Reaction::Ignored);
    }

    #[test]
    fn it_scrolls_to_its_end_and_no_further() {
        let scene = testing::scene(1, 2);
        let mut help = Help::default();
        picture(&mut help, &scene, 80, 21);
        act(&mut help, &scene, Action::Last);
        act(&mut help, &scene, Action::PageDown);
        let text = picture(&mut help, &scene, 80, 21);
        assert!(text.contains("hmoves"), "{text}");
        assert_eq!(text.lines().count(), 21);
        act(&mut help, &scene, Action::First);
        assert!(picture(&mut help, &scene, 80, 21).contains("Everywhere"));
    }
}
