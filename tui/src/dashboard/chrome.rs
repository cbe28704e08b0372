//! The head and the foot of the screen: what is looked at, which screens there are, what the keys do.

use super::draw::{line, put, put_line, put_right, split};
use super::keys::{Action, KeyMap};
use super::screen::View;
use super::status::Status;
use super::theme::{Role, Theme};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use rumpscope_probes::ClockSource;
use rumpscope_reports::{Gathered, Precision, units};

/// Where the tabs were drawn, for the mouse.
#[derive(Clone, Debug, Default)]
pub struct Tabs(Vec<Rect>);

impl Tabs {
    /// The tab at this place.
    pub fn at(&self, at: Position) -> Option<usize> {
        self.0.iter().position(|tab| tab.contains(at))
    }
}

/// Parts of the terminal.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    /// What is looked at.
    pub head: Rect,
    /// The names of the screens.
    pub tabs: Rect,
    /// The screen.
    pub body: Rect,
    /// Where a replay is; empty where there is none.
    pub progress: Rect,
    /// The keys, or what the user is told.
    pub foot: Rect,
}

impl Parts {
    /// The parts of `area`, of which `progress` lines tell where a replay is.
    pub fn of(area: Rect, progress: u16) -> Self {
        let (head, rest) = split(area, 1);
        let (tabs, rest) = split(rest, 1);
        let (body, rest) = split(rest, rest.height.saturating_sub(1 + progress));
        let (progress, foot) = split(rest, progress);
        Parts { head, tabs, body, progress, foot }
    }
}

/// Says that the terminal is too small for anything else.
pub fn too_small(area: Rect, buffer: &mut Buffer, theme: &Theme) {
    let text = format!("{}x{} is too small: 80x24 is the least", area.width, area.height);
    put(buffer, area, &text, theme.style(Role::Warning));
}

/// Draws what is looked at: the least important is left out where there is no room.
pub fn head(area: Rect, buffer: &mut Buffer, view: &View<'_>, status: &Status) {
    let theme = view.theme;
    let snapshot = &view.sample.snapshot;
    let badge = format!(" {} ", status.mode.name());
    let style = theme.style(status.mode.role()).add_modifier(ratatui::style::Modifier::REVERSED);
    put(buffer, area, &badge, style);
    let badge_width = badge.len() as u16 + 1;
    let mut room =
        Rect { x: area.x + badge_width.min(area.width), width: area.width.saturating_sub(badge_width), ..area };

    let losses = losses(view);
    let (text, role) = match &losses {
        None => ("lost 0".to_owned(), Role::Faint),
        Some(losses) => (losses.clone(), Role::Warning),
    };
    put_right(buffer, room, &text, theme.style(role));
    room.width = room.width.saturating_sub(text.chars().count() as u16 + 2);

    let micro = |nanoseconds| units::time(nanoseconds, theme.ascii);
    let clock = match snapshot.clock.source {
        ClockSource::Tsc => format!("tsc {:.2} GHz", snapshot.clock.ticks_per_second / 1e9),
        ClockSource::Monotonic => "monotonic clock".to_owned(),
    };
    let up = snapshot.clock.nanoseconds(snapshot.taken.saturating_sub(snapshot.began));
    let shown = match (view.earlier, status.interval) {
        (None, _) => "since start".to_owned(),
        (Some(_), _) => format!("last {}", micro(view.span.seconds * 1e9)),
    };
    let gathered = Gathered::of(&view.span.snapshot);
    let gathered = match gathered.share(view.span.seconds * 1e9) {
        _ if gathered.times == 0 => String::new(),
        share => format!("gathered {}", units::percent(share)),
    };
    let every = status.interval.map(|interval| format!("every {}", micro(interval.as_nanos() as f64)));
    // What it is, whether it stays to the last, and how it looks.
    let mut items: Vec<(u8, String, Role)> = vec![
        (0, file_name(&snapshot.process.program), Role::Title),
        (1, format!("pid {}", snapshot.process.pid), Role::Text),
        (2, shown, Role::Text),
        (5, every.unwrap_or_default(), Role::Text),
        (3, format!("up {}", micro(up)), Role::Text),
        (6, snapshot.backend.clone(), Role::Faint),
        (4, gathered, Role::Faint),
        (4, format!("timing {}", snapshot.mode.name()), Role::Faint),
        (7, clock, Role::Faint),
    ];
    let precision = view.earlier.iter().fold(view.sample.precision, |of, earlier| of.and(earlier.precision));
    if precision != Precision::EXACT {
        items.insert(3, (2, precision.to_string(), Role::Faint));
    }
    match &view.whole {
        Some(whole) => {
            items.insert(3, (2, format!("percentiles of {}", micro(whole.span.seconds * 1e9)), Role::Faint));
        }
        None if view.sample.is_outline() => items.insert(1, (1, "outline".to_owned(), Role::Warning)),
        None => {}
    }
    if let Some(file) = &status.recording {
        items.insert(1, (1, format!("REC {}", file_name(file)), Role::Error));
    }
    items.retain(|item| !item.1.is_empty());
    const GAP: usize = 2;
    let width = |items: &[(u8, String, Role)]| items.iter().map(|item| item.1.chars().count() + GAP).sum::<usize>();
    while width(&items) > usize::from(room.width) + GAP && items.len() > 1 {
        let least = items.iter().enumerate().max_by_key(|(_, item)| item.0).map_or(0, |(index, _)| index);
        items.remove(least);
    }
    let spans = items
        .iter()
        .flat_map(|(_, text, role)| [Span::styled(text.as_str(), theme.style(*role)), Span::raw(" ".repeat(GAP))]);
    put_line(buffer, room, &Line::from_iter(spans));
}

/// The name of a program or file, without where it lies.
fn file_name(path: &str) -> String {
    let name = path.rsplit('/').find(|part| !part.is_empty()).unwrap_or(path);
    name.chars().take(40).collect()
}

/// What was lost, if anything was: it is never left out.
fn losses(view: &View<'_>) -> Option<String> {
    let coverage = &view.sample.snapshot.coverage;
    let parts = [
        (view.sample.missed, "samples"),
        (coverage.lost_timings, "timings"),
        (coverage.lost_places, "places"),
        (view.sample.snapshot.contention.lost, "waits"),
    ];
    let lost: Vec<_> = parts
        .iter()
        .filter(|(count, _)| *count != 0)
        .map(|(count, of)| format!("{} {of}", units::count(*count)))
        .collect();
    (!lost.is_empty()).then(|| format!("lost {}", lost.join(", ")))
}

/// Draws the names of the screens.
pub fn tabs(area: Rect, buffer: &mut Buffer, theme: &Theme, titles: &[&str], current: Option<usize>) -> Tabs {
    let mut places = Vec::new();
    let mut x = area.x;
    for (index, title) in titles.iter().enumerate() {
        let text = format!(" {} {title} ", index + 1);
        let width = (text.chars().count() as u16).min(area.right().saturating_sub(x));
        let place = Rect { x, width, ..area };
        let chosen = current == Some(index);
        put(buffer, place, &text, theme.style(if chosen { Role::Title } else { Role::Faint }));
        if chosen {
            buffer.set_style(place.intersection(buffer.area), theme.style(Role::Selected));
        }
        places.push(place);
        x = place.right();
    }
    // Where there are no colours, the chosen one is told by more than its brightness: it is reversed.
    Tabs(places)
}

/// Draws what the user is told; where that is nothing, what the keys do, the actions `of` the screen first.
pub fn foot(area: Rect, buffer: &mut Buffer, theme: &Theme, keys: &KeyMap, status: &Status, of: &[Action]) {
    if let Some(message) = &status.message {
        put(buffer, area, &format!(" {}", message.text), theme.style(message.role));
        return;
    }
    let replay = status.progress.is_some();
    let others = if replay { &REPLAY[..] } else { &LIVE[..] };
    hints(area, buffer, theme, keys, &[&[Action::Quit, Action::Help], of, others].concat(), replay);
}

/// Draws what the keys for `actions` do, the most important first, as many as there is room for.
pub fn hints(area: Rect, buffer: &mut Buffer, theme: &Theme, keys: &KeyMap, actions: &[Action], replay: bool) {
    let mut x = area.x;
    let mut seen = Vec::new();
    for action in actions {
        if seen.contains(action) {
            continue;
        }
        let (hint, of) = hint(*action, keys, replay, theme.ascii);
        seen.extend(of);
        let Some((key, short)) = hint else { continue };
        let width = (key.chars().count() + short.chars().count() + 3) as u16;
        if x + width > area.right() {
            continue;
        }
        let spans = [
            Span::raw(" "),
            Span::styled(key, theme.style(Role::Key)),
            Span::styled(format!(" {short} "), theme.style(Role::Faint)),
        ];
        put_line(buffer, Rect { x, width, ..line(area, 0) }, &Line::from_iter(spans));
        x += width;
    }
}

/// What is told of a kernel that runs, the most important first.
const LIVE: [Action; 5] = [Action::Freeze, Action::Cumulative, Action::Longer, Action::Record, Action::Save];

/// What is told of a recording.
const REPLAY: [Action; 6] =
    [Action::Freeze, Action::StepForward, Action::SeekForward, Action::Faster, Action::Busiest, Action::Save];

/// Two actions that are told as one.
const PAIRS: [(Action, Action, &str); 6] = [
    (Action::Longer, Action::Shorter, "interval"),
    (Action::Faster, Action::Slower, "speed"),
    (Action::StepForward, Action::StepBack, "step"),
    (Action::SeekForward, Action::SeekBack, "seek"),
    (Action::Up, Action::Down, "next"),
    (Action::SortNext, Action::SortPrevious, "sort"),
];

/// The keys and the word for an action, if it has any keys, and the actions that this tells of.
fn hint(action: Action, keys: &KeyMap, replay: bool, ascii: bool) -> (Option<(String, &'static str)>, Vec<Action>) {
    if let Some((one, other, short)) = PAIRS.iter().find(|pair| pair.0 == action || pair.1 == action) {
        let both =
            [*one, *other].into_iter().filter_map(|action| shown(action, keys, ascii)).collect::<Vec<_>>().join(" ");
        return ((!both.is_empty()).then_some((both, short)), vec![*one, *other]);
    }
    let short = match action {
        Action::Freeze if replay => "pause",
        action => action.entry().map_or("", |entry| entry.short),
    };
    (shown(action, keys, ascii).map(|key| (key, short)), vec![action])
}

/// The first key for an action as it stands on keyboards, where it can be shown.
fn shown(action: Action, keys: &KeyMap, ascii: bool) -> Option<String> {
    const ARROWS: [(&str, &str); 4] = [("left", "←"), ("right", "→"), ("up", "↑"), ("down", "↓")];
    let name = keys.first(action)?;
    let arrow = |name: &str| ARROWS.iter().find(|arrow| !ascii && arrow.0 == name).map(|arrow| arrow.1);
    Some(match name.strip_prefix("shift-").map(arrow) {
        Some(Some(arrow)) => format!("shift-{arrow}"),
        _ => arrow(&name).map_or(name, str::to_owned),
    })
}
