//! Lines of the list.

use crate::dashboard::draw::fitted;
use crate::dashboard::model::{Counted, Now, ThreadKey, ThreadSpan, state_name};
use crate::dashboard::table::{Cell, Column, Order, Row};
use crate::dashboard::theme::{Role, Theme};
use rumpscope_reports::{Event, units};
use std::borrow::Cow;

pub const COLUMNS: [Column; 17] = [
    Column::text("thread", 14, 0).most(28),
    Column::text("now", 20, 0).fixed(),
    Column::number("on vCPU", 7, 0),
    Column::number("wants", 6, 0),
    Column::number("cpu", 6, 0),
    Column::number("ready", 6, 1),
    Column::number("calls/s", 7, 3),
    Column::number("vol/s", 6, 2),
    Column::number("inv/s", 6, 4),
    Column::number("moves/s", 7, 6),
    Column::number("faults/s", 8, 7),
    Column::number("IPC", 5, 5),
    Column::number("Mcyc/s", 7, 9),
    Column::number("Minst/s", 7, 10),
    Column::number("cmiss/s", 8, 8),
    Column::number("hmoves/s", 8, 11),
    Column::number("tid", 7, 12),
];

/// The column that it is sorted by at first.
pub const SORTED: usize = 2;

/// A thread.
pub struct Line<'a> {
    pub span: &'a ThreadSpan,
    pub theme: &'a Theme,
}

/// A figure of a column, where it is known, and whether it is an estimate.
fn figure(span: &ThreadSpan, column: usize) -> Option<(f64, bool)> {
    let guest = span.guest.as_ref();
    let host = span.host.as_ref();
    let exact = |value: f64| (value, false);
    let counter = |event: Event, unit: f64| {
        let (per_second, ratio) = host?.rate(event)?;
        Some((per_second / unit, ratio < 0.995))
    };
    match column {
        2 => guest.map(|guest| exact(guest.run)),
        3 => guest.map(|guest| exact(guest.wanted)),
        4 => host.map(|host| exact(host.cpu)),
        5 => host.map(|host| exact(host.ready)),
        6 => guest.map(|guest| exact(guest.calls)),
        7 => host.map(|host| exact(host.voluntary)),
        8 => host.map(|host| exact(host.involuntary)),
        9 => guest.map(|guest| exact(guest.migrations)),
        10 => host.map(|host| exact(host.minor + host.major)),
        11 => host?.instructions_per_cycle().map(exact),
        12 => counter(Event::Cycles, 1e6),
        13 => counter(Event::Instructions, 1e6),
        14 => counter(Event::CacheMisses, 1.0),
        15 => counter(Event::Migrations, 1.0),
        16 if span.tid != 0 => Some(exact(span.tid.into())),
        _ => None,
    }
}

impl Row for Line<'_> {
    fn identity(&self) -> u64 {
        identity(self.span.key)
    }

    fn name(&self) -> Cow<'_, str> {
        self.span.name.as_str().into()
    }

    fn order(&self, column: usize) -> Order<'_> {
        match column {
            0 => Order::Text(&self.span.name),
            1 => Order::Number(rank(self.span.now)),
            _ => figure(self.span, column).map_or(Order::Unknown, |(value, _)| Order::Number(value)),
        }
    }

    fn cell(&self, column: usize, width: usize) -> Cell<'_> {
        if column == 0 {
            return Cell::new(fitted(&self.span.name, width, self.theme.symbols().cut));
        }
        if column == 1 {
            let (text, role) = now(self.span.now, self.theme, width);
            return Cell::of(text, role);
        }
        let Some((value, estimated)) = figure(self.span, column) else {
            // The processor did count, but nothing ran on it: no ratio of nothing.
            let counts = |(_, counted): &(Event, Counted)| !matches!(counted, Counted::Missing(_));
            let known = self.span.host.as_ref().is_some_and(|host| host.counters.iter().any(counts));
            return Cell::of(if known && column < 16 { "-" } else { "" }, Role::Faint);
        };
        let mark = if estimated { "~" } else { "" };
        let text = match column {
            2..=5 => units::percent(value),
            11 => format!("{value:.2}"),
            16 => format!("{value:.0}"),
            _ if value == 0.0 => "0".to_owned(),
            _ => format!("{mark}{}", units::rate(value)),
        };
        let role = match column {
            _ if value < 0.0005 => Role::Faint,
            2 => Role::Running,
            3 | 5 if value >= 0.01 => Role::Wanted,
            16 => Role::Faint,
            _ => Role::Text,
        };
        Cell::of(text, role)
    }
}

/// What tells a thread from the others.
pub fn identity(key: ThreadKey) -> u64 {
    match key {
        ThreadKey::Lane(lane) => lane.into(),
        ThreadKey::Host(tid) => 1 << 32 | u64::from(tid),
    }
}

/// What it does, in words: at most so many characters.
pub fn now(now: Now, theme: &Theme, width: usize) -> (String, Role) {
    let time = |nanoseconds| units::time(nanoseconds, theme.ascii);
    // The time stands at the end, and is not cut: the name before it is.
    let with = |before: String, nanoseconds: f64| {
        let time = time(nanoseconds);
        let room = width.saturating_sub(time.chars().count() + 1);
        format!("{before:<room$.room$} {time}")
    };
    match now {
        Now::Running(vcpu, ns) => (with(format!("on vCPU {vcpu}"), ns), Role::Running),
        Now::Blocked(call, ns) => (with(call.name().to_owned(), ns), Role::Waiting),
        Now::Wants(_, ns) => (with("wants a vCPU".to_owned(), ns), Role::Wanted),
        Now::Untold(Some(state)) => (state_name(state).to_owned(), Role::Faint),
        Now::Untold(None) => ("outside".to_owned(), Role::Faint),
        Now::Ended => ("ended".to_owned(), Role::Faint),
    }
}

fn rank(now: Now) -> f64 {
    match now {
        Now::Running(vcpu, _) => f64::from(vcpu),
        Now::Wants(..) => 1e3,
        Now::Blocked(call, _) => 1e4 + f64::from(call as u8),
        Now::Untold(_) => 1e5,
        Now::Ended => 1e6,
    }
}
