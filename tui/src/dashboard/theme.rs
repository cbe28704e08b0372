//! What things look like, by what they mean.
//!
//! Nothing is told by colour alone: states have letters or symbols of their own, densities have steps that differ in shape.

use ratatui::style::{Color, Modifier, Style};
use std::env;

/// How many colours the terminal has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Palette {
    /// None: bold, underlined and reversed text only.
    #[default]
    None,
    /// The sixteen that the user has chosen for the terminal.
    Sixteen,
    /// The 256 of xterm.
    Indexed,
    /// All.
    True,
}

/// What a thing means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Figures and names.
    Text,
    /// What stands back: labels, units, zeros.
    Faint,
    /// The title of a part of the screen.
    Title,
    /// The names of columns.
    Header,
    /// The column that is sorted by.
    Sorted,
    /// The line or tab that is chosen.
    Selected,
    /// A key on the keyboard.
    Key,
    /// A thread holds the virtual CPU; a call's own work.
    Running,
    /// A virtual CPU is wanted and there is none.
    Wanted,
    /// A virtual CPU is free.
    Idle,
    /// Waiting for something else: off the virtual CPU.
    Waiting,
    /// The first graph of a screen.
    Graph,
    /// Another one beside it.
    OtherGraph,
    /// All is well.
    Good,
    /// To be looked at.
    Warning,
    /// Something is wrong.
    Error,
}

/// Characters that pictures are made of.
#[derive(Debug)]
pub struct Symbols {
    /// Parts of bars, one for each state; they differ without colour.
    pub running: char,
    /// A virtual CPU is wanted.
    pub wanted: char,
    /// Free.
    pub idle: char,
    /// Waiting.
    pub waiting: char,
    /// A column of a graph, from the lowest to the full cell.
    pub levels: &'static [char],
    /// A bar from left to right, from the shortest to the full cell.
    pub bars: &'static [char],
    /// Densities, from some to most.
    pub densities: &'static [char],
    /// Sorted with the least first, and with the most first.
    pub sorted: [&'static str; 2],
    /// The line that is chosen.
    pub pointer: &'static str,
    /// Something was cut off here.
    pub cut: char,
    /// A horizontal line.
    pub rule: char,
    /// A vertical line.
    pub wall: char,
}

static UNICODE: Symbols = Symbols {
    running: '█',
    wanted: '▓',
    idle: '·',
    waiting: '▒',
    levels: &['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
    bars: &['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'],
    densities: &['·', '░', '▒', '▓', '█'],
    sorted: ["▲", "▼"],
    pointer: "▌",
    cut: '…',
    rule: '─',
    wall: '│',
};

static ASCII: Symbols = Symbols {
    running: '#',
    wanted: '%',
    idle: '.',
    waiting: '=',
    levels: &['.', ':', '|', '#'],
    bars: &['-', '='],
    densities: &['.', ':', '+', '#', '@'],
    sorted: ["^", "v"],
    pointer: ">",
    cut: '~',
    rule: '-',
    wall: '|',
};

/// A look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Theme {
    /// The colours.
    pub palette: Palette,
    /// Only ASCII can be shown.
    pub ascii: bool,
}

impl Palette {
    /// What the environment says of the terminal; `NO_COLOR` is obeyed.
    pub fn detect() -> Self {
        let variable = |name| env::var(name).unwrap_or_default();
        Self::of(&variable("NO_COLOR"), &variable("TERM"), &variable("COLORTERM"))
    }

    /// The same, of these variables.
    fn of(no_color: &str, term: &str, colorterm: &str) -> Self {
        match (term, colorterm) {
            _ if !no_color.is_empty() => Palette::None,
            ("" | "dumb", _) => Palette::None,
            (_, "truecolor" | "24bit") => Palette::True,
            (term, _) if term.contains("direct") => Palette::True,
            (term, _) if term.contains("256color") => Palette::Indexed,
            _ => Palette::Sixteen,
        }
    }

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Palette::None => "none",
            Palette::Sixteen => "16",
            Palette::Indexed => "256",
            Palette::True => "true",
        }
    }

    /// All of them.
    pub const ALL: [Palette; 4] = [Palette::None, Palette::Sixteen, Palette::Indexed, Palette::True];
}

/// A colour in each palette that has any.
struct Shade(Color, u8, (u8, u8, u8));

impl Theme {
    /// The characters.
    pub fn symbols(&self) -> &'static Symbols {
        if self.ascii { &ASCII } else { &UNICODE }
    }

    /// What `role` looks like.
    pub fn style(&self, role: Role) -> Style {
        let style = Style::new();
        match role {
            Role::Text => style,
            Role::Faint => self.faint(),
            Role::Title => style.add_modifier(Modifier::BOLD),
            Role::Header => self.faint(),
            Role::Sorted => style.add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
            Role::Selected => match self.palette {
                Palette::None | Palette::Sixteen => style.add_modifier(Modifier::REVERSED),
                Palette::Indexed => style.bg(Color::Indexed(238)).add_modifier(Modifier::BOLD),
                Palette::True => style.bg(Color::Rgb(52, 58, 70)).add_modifier(Modifier::BOLD),
            },
            Role::Key => self.shade(Shade(Color::Cyan, 80, (94, 200, 210))).add_modifier(Modifier::BOLD),
            Role::Running => self.shade(Shade(Color::Green, 71, (104, 178, 106))),
            Role::Wanted => self.shade(Shade(Color::Yellow, 179, (224, 175, 84))),
            Role::Idle => self.faint(),
            Role::Waiting => self.shade(Shade(Color::Blue, 68, (98, 142, 206))),
            Role::Graph => self.shade(Shade(Color::Cyan, 73, (92, 178, 190))),
            Role::OtherGraph => self.shade(Shade(Color::Magenta, 139, (178, 142, 196))),
            Role::Good => self.shade(Shade(Color::Green, 71, (104, 178, 106))).add_modifier(Modifier::BOLD),
            Role::Warning => self.shade(Shade(Color::Yellow, 179, (224, 175, 84))).add_modifier(Modifier::BOLD),
            Role::Error => self.shade(Shade(Color::Red, 167, (220, 96, 92))).add_modifier(Modifier::BOLD),
        }
    }

    /// A density from 0, the least, to 1: how it looks, and the character for it.
    pub fn density(&self, density: f64) -> (char, Style) {
        let steps = self.symbols().densities;
        let density = density.clamp(0.0, 1.0);
        let symbol = steps[((density * steps.len() as f64) as usize).min(steps.len() - 1)];
        (symbol, self.ramp(density))
    }

    /// A colour between that of little and that of much.
    pub fn ramp(&self, part: f64) -> Style {
        const INDEXED: [u8; 7] = [24, 31, 37, 72, 143, 179, 215];
        const SIXTEEN: [Color; 4] = [Color::Blue, Color::Cyan, Color::Yellow, Color::White];
        // From deep blue over teal to a warm yellow; each is lighter than the one before, so the order shows to everybody.
        const TRUE: [(u8, u8, u8); 5] =
            [(44, 74, 124), (40, 116, 142), (58, 158, 138), (150, 190, 100), (246, 206, 104)];
        let part = if part.is_nan() { 0.0 } else { part.clamp(0.0, 1.0) };
        let step = |steps: usize| ((part * steps as f64) as usize).min(steps - 1);
        match self.palette {
            Palette::None => Style::new(),
            Palette::Sixteen => Style::new().fg(SIXTEEN[step(SIXTEEN.len())]),
            Palette::Indexed => Style::new().fg(Color::Indexed(INDEXED[step(INDEXED.len())])),
            Palette::True => {
                let position = part * (TRUE.len() - 1) as f64;
                let (low, between) = ((position as usize).min(TRUE.len() - 2), position.fract());
                let between = if position as usize == TRUE.len() - 1 { 1.0 } else { between };
                let mix = |from: u8, to: u8| (f64::from(from) + (f64::from(to) - f64::from(from)) * between) as u8;
                let (from, to) = (TRUE[low], TRUE[low + 1]);
                Style::new().fg(Color::Rgb(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2)))
            }
        }
    }

    fn faint(&self) -> Style {
        match self.palette {
            Palette::None | Palette::Sixteen => Style::new().add_modifier(Modifier::DIM),
            Palette::Indexed => Style::new().fg(Color::Indexed(245)),
            Palette::True => Style::new().fg(Color::Rgb(138, 143, 152)),
        }
    }

    fn shade(&self, Shade(named, indexed, (red, green, blue)): Shade) -> Style {
        match self.palette {
            Palette::None => Style::new(),
            Palette::Sixteen => Style::new().fg(named),
            Palette::Indexed => Style::new().fg(Color::Indexed(indexed)),
            Palette::True => Style::new().fg(Color::Rgb(red, green, blue)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_terminal_says_what_it_has() {
        assert_eq!(Palette::of("", "xterm-256color", ""), Palette::Indexed);
        assert_eq!(Palette::of("", "xterm-256color", "truecolor"), Palette::True);
        assert_eq!(Palette::of("", "linux", ""), Palette::Sixteen);
        assert_eq!(Palette::of("", "dumb", "truecolor"), Palette::None);
        assert_eq!(Palette::of("1", "xterm-256color", "truecolor"), Palette::None);
    }

    #[test]
    fn no_meaning_is_in_colour_alone() {
        for symbols in [&UNICODE, &ASCII] {
            let states = [symbols.running, symbols.wanted, symbols.idle, symbols.waiting];
            assert_eq!(states.into_iter().collect::<HashSet<_>>().len(), states.len());
            assert_eq!(symbols.densities.iter().collect::<HashSet<_>>().len(), symbols.densities.len());
        }
        assert!(ASCII.levels.iter().chain(ASCII.bars).chain(ASCII.densities).all(char::is_ascii));
    }

    #[test]
    fn without_colours_nothing_is_coloured() {
        let theme = Theme { palette: Palette::None, ascii: false };
        for role in [Role::Running, Role::Wanted, Role::Error, Role::Selected, Role::Key, Role::Faint] {
            let style = theme.style(role);
            assert!(style.fg.is_none() && style.bg.is_none(), "{role:?}");
        }
        assert!(theme.ramp(0.5).fg.is_none());
    }

    #[test]
    fn densities_reach_both_ends() {
        let theme = Theme { palette: Palette::True, ascii: false };
        assert_eq!((theme.density(0.0).0, theme.density(1.0).0), ('·', '█'));
        assert_eq!(theme.ramp(1.0).fg, Some(Color::Rgb(246, 206, 104)));
        assert_eq!(theme.ramp(f64::NAN).fg, Some(Color::Rgb(44, 74, 124)));
    }
}
