//! What the reader's screen can show.

/// How text for people is laid out.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Columns of the screen. Tables drop their least important columns to fit.
    pub width: usize,
    /// Whether ANSI attributes are understood.
    pub colour: bool,
    /// Whether only ASCII can be shown.
    pub ascii: bool,
}

impl Style {
    /// A title.
    pub fn title(&self, text: &str) -> String {
        self.with("1", text)
    }

    /// What stands back, as the names of columns do.
    pub fn faint(&self, text: &str) -> String {
        self.with("2", text)
    }

    /// What must not be overlooked.
    pub fn warning(&self, text: &str) -> String {
        self.with("1;33", text)
    }

    fn with(&self, attribute: &str, text: &str) -> String {
        let text = printable(text);
        if self.colour && !text.is_empty() { format!("\x1b[{attribute}m{text}\x1b[0m") } else { text }
    }
}

/// `text` without what a terminal would obey: names come from guests and from files.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}
