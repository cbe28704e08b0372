//! Running text beside a label, cut into lines that fit the screen.

use crate::style::{Style, printable};

/// Columns that a label takes, with the space before and after it.
const INDENT: usize = 20;

/// `label` and `text`; further lines of the text begin below its first.
pub fn labelled(label: &str, text: &str, style: &Style) -> String {
    lines(label, text, style, Style::faint)
}

/// The same for what must not be overlooked.
pub fn alarming(label: &str, text: &str, style: &Style) -> String {
    lines(label, text, style, Style::warning)
}

fn lines(label: &str, text: &str, style: &Style, emphasis: fn(&Style, &str) -> String) -> String {
    let label =
        format!("  {}{}", emphasis(style, label), " ".repeat((INDENT - 2).saturating_sub(label.chars().count())));
    let lines = wrapped(text, style.width.saturating_sub(INDENT));
    format!("{label}{}\n", lines.join(&format!("\n{}", " ".repeat(INDENT))))
}

/// `text` in lines of at most `width` characters, or of one word where that is longer; nothing in it is obeyed by terminals.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace().map(printable) {
        let line = lines.last_mut().expect("there is always a line");
        if line.is_empty() {
            line.push_str(&word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(&word);
        } else {
            lines.push(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_beside_its_label() {
        let style = Style { width: 32, colour: false, ascii: true };
        let expected = "  lost              one two\n                    three\n                    four\n";
        assert_eq!(labelled("lost", "one two three four", &Style { width: 29, ..style }), expected);
        assert_eq!(labelled("lost", "none", &style), "  lost              none\n");
        // What a name contains reaches no terminal as a command.
        let coloured = labelled("lost", "a\x1b[2J\u{9b}b\x07\nc", &Style { colour: true, ..style });
        assert_eq!(coloured, "  \x1b[2mlost\x1b[0m              a?[2J?b? c\n");
        assert_eq!(Style { colour: true, ..style }.title("a\x1b[2J"), "\x1b[1ma?[2J\x1b[0m");
        // Columns are counted, not bytes.
        assert_eq!(labelled("…löst", "none", &style), "  …löst             none\n");
    }
}
