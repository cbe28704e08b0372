//! What keys can do: one table, from which the key map, its file, the footer and the help are made.

use super::Key;

/// What a key is pressed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the table says it in words")]
pub enum Action {
    Quit,
    Help,
    Screen(u8),
    NextScreen,
    PreviousScreen,
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    Open,
    Back,
    Filter,
    SortNext,
    SortPrevious,
    SortReverse,
    Mode,
    Trace,
    Freeze,
    Cumulative,
    Longer,
    Shorter,
    Record,
    Save,
    StepForward,
    StepBack,
    SeekForward,
    SeekBack,
    Faster,
    Slower,
    Busiest,
    Suspend,
    Redraw,
}

/// Where an action means something; the help is ordered by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Everywhere.
    General,
    /// From screen to screen.
    Screens,
    /// In lists.
    Lists,
    /// What is measured, and how often.
    Time,
    /// Of a recording only.
    Replay,
}

impl Group {
    /// The title in the help.
    pub const fn title(self) -> &'static str {
        match self {
            Group::General => "Everywhere",
            Group::Screens => "Screens",
            Group::Lists => "Lists",
            Group::Time => "Time",
            Group::Replay => "Recordings",
        }
    }
}

/// A row of the table.
#[derive(Debug)]
pub struct Entry {
    /// What is done.
    pub action: Action,
    /// Its name in a key map file.
    pub name: &'static str,
    /// The keys, as they are written in a key map file, if the user has chosen no others.
    pub keys: &'static [&'static str],
    /// Where it means something.
    pub group: Group,
    /// In a word, for the footer.
    pub short: &'static str,
    /// In a sentence, for the help.
    pub help: &'static str,
}

macro_rules! entries {
    ($($group:ident { $($action:expr, $name:literal, [$($key:literal)*], $short:literal, $help:literal;)* })*) => {
        /// All rows.
        pub const ENTRIES: &[Entry] = &[$($(Entry {
            action: $action,
            name: $name,
            keys: &[$($key),*],
            group: Group::$group,
            short: $short,
            help: $help,
        },)*)*];
    };
}

entries! {
    General {
        Action::Quit, "quit", ["q" "ctrl-c"], "quit", "leave; a guest that `run` has started is ended then, and its profile printed";
        Action::Help, "help", ["?" "f1"], "help", "this help, and out of it; what is typed after / is searched for";
        Action::Back, "back", ["esc" "backspace"], "back", "back to the list, or take the filter away";
        Action::Save, "save", ["s"], "save", "save what is shown as text and JSON in the current folder";
        Action::Record, "record", ["r"], "record", "start a recording in the current folder, or stop it";
        Action::Suspend, "suspend", ["ctrl-z"], "suspend", "back to the shell for a while; `fg` returns";
        Action::Redraw, "redraw", ["ctrl-l"], "redraw", "draw everything anew";
    }
    Screens {
        Action::Screen(1), "screen-1", ["1"], "overview", "overview: virtual CPUs, rates, the most expensive hypercalls";
        Action::Screen(2), "screen-2", ["2"], "hypercalls", "hypercalls: rates and latencies; enter opens one";
        Action::Screen(3), "screen-3", ["3"], "transitions", "transitions: why threads leave their virtual CPU";
        Action::Screen(4), "screen-4", ["4"], "contention", "contention: locks, who waits for them and who holds them";
        Action::Screen(5), "screen-5", ["5"], "threads", "threads: of the host and of the guest";
        Action::Screen(6), "screen-6", ["6"], "heat map", "heat map: all latency over time";
        Action::NextScreen, "next-screen", ["tab"], "next screen", "the next screen";
        Action::PreviousScreen, "previous-screen", ["shift-tab"], "previous screen", "the screen before";
    }
    Lists {
        Action::Up, "up", ["up" "k"], "up", "the line above";
        Action::Down, "down", ["down" "j"], "down", "the line below";
        Action::PageUp, "page-up", ["pageup" "ctrl-b"], "page up", "a page up";
        Action::PageDown, "page-down", ["pagedown" "ctrl-f"], "page down", "a page down";
        Action::First, "first", ["home" "g"], "first", "the first line";
        Action::Last, "last", ["end" "G"], "last", "the last line";
        Action::Open, "open", ["enter"], "open", "open the line that is chosen";
        Action::Filter, "filter", ["/"], "filter", "show only lines that contain what is typed then";
        Action::SortNext, "sort-next", [">" "."], "sort", "sort by the next column; a click on its name does it, too";
        Action::SortPrevious, "sort-previous", ["<" ","], "sort back", "sort by the column before";
        Action::SortReverse, "sort-reverse", ["R"], "reverse", "the other way round";
        Action::Mode, "mode", ["m"], "mode", "another view of the same, where a screen has several";
        Action::Trace, "trace", ["t"], "trace", "save the last seconds of the timeline as a trace file for Perfetto";
    }
    Time {
        Action::Freeze, "freeze", ["space"], "freeze", "hold the picture, or the replay; measuring goes on";
        Action::Cumulative, "cumulative", ["c"], "since start", "figures since the start, or of the last interval";
        Action::Longer, "longer", ["+" "="], "longer", "a longer interval";
        Action::Shorter, "shorter", ["-"], "shorter", "a shorter interval";
    }
    Replay {
        Action::StepForward, "step-forward", ["right" "l"], "step", "one sample on";
        Action::StepBack, "step-back", ["left" "h"], "step back", "one sample back";
        Action::SeekForward, "seek-forward", ["shift-right" "L"], "seek", "a twentieth of the recording on";
        Action::SeekBack, "seek-back", ["shift-left" "H"], "seek back", "a twentieth of the recording back";
        Action::Faster, "faster", ["]"], "faster", "twice as fast";
        Action::Slower, "slower", ["["], "slower", "half as fast";
        Action::Busiest, "busiest", ["b"], "busiest", "to the interval with the most hypercalls";
    }
}

impl Action {
    /// Its row.
    pub fn entry(self) -> Option<&'static Entry> {
        ENTRIES.iter().find(|entry| entry.action == self)
    }
}

impl Entry {
    /// The keys that it has by default.
    ///
    /// Those that could not be read are left out; a test says that there are none.
    pub fn default_keys(&self) -> impl Iterator<Item = Key> {
        self.keys.iter().filter_map(|key| key.parse().ok())
    }
}
