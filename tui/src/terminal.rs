//! What standard output can show.

use rumpscope_reports::Style;
use std::io::IsTerminal;
use terminal_size::{Width, terminal_size_of};

/// Columns where nobody says how many there are: of a file or a pipe.
const DEFAULT_WIDTH: usize = 100;

/// How text on standard output is to look. `ascii`: the user wants ASCII, whatever the locale says.
pub fn style(ascii: bool) -> Style {
    let stdout = std::io::stdout();
    let is_terminal = stdout.is_terminal();
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let own = terminal_size_of(&stdout).map(|(Width(columns), _)| usize::from(columns)).filter(|_| is_terminal);
    let told = || variable("COLUMNS")?.parse().ok().filter(|columns| *columns != 0);
    // The first that is set decides, as for the C library.
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable).unwrap_or_default().to_ascii_lowercase();
    Style {
        width: own.or_else(told).unwrap_or(DEFAULT_WIDTH),
        colour: is_terminal && variable("NO_COLOR").is_none() && std::env::var("TERM").is_ok_and(|term| term != "dumb"),
        ascii: ascii || !(locale.contains("utf-8") || locale.contains("utf8")),
    }
}
