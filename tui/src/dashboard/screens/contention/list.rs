//! Lines of the lists.

use crate::dashboard::draw::fitted;
use crate::dashboard::model::{GroupSpan, Holder, LockSpan, short_kind};
use crate::dashboard::picture::{threads, time};
use crate::dashboard::screen::View;
use crate::dashboard::table::{Cell, Column, Order, Row};
use crate::dashboard::theme::{Role, Theme};
use crate::dashboard::widgets::graph::sparkline;
use rumpscope_reports::contention::group::Key;
use rumpscope_reports::units;
use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The columns of single locks.
pub const LOCKS: [Column; 12] = [
    Column::text("lock", 16, 0),
    Column::text("kind", 7, 4).fixed(),
    Column::number("waiting", 7, 0),
    Column::number("share", 6, 5),
    Column::number("waits/s", 7, 0),
    Column::number("p50", 7, 6),
    Column::number("p99", 7, 0),
    Column::number("max", 7, 7),
    Column::number("now", 3, 0),
    Column::number("active", 6, 3),
    Column::text("holder", 12, 0),
    Column::picture("waiting over time", 17, 8),
];

/// The columns of anything else.
pub const GROUPS: [Column; 8] = [
    Column::text("what", 24, 0),
    Column::number("share", 6, 3),
    Column::number("waiting", 7, 0),
    Column::number("waits/s", 7, 0),
    Column::number("longest", 7, 2),
    Column::number("held", 6, 0),
    Column::number("holder waits", 12, 1),
    Column::number("hand-over", 9, 1),
];

/// The column that both are sorted by at first.
pub const WAITING: usize = 2;

/// A lock.
pub struct LockLine<'a> {
    pub span: &'a LockSpan,
    pub view: &'a View<'a>,
}

impl Row for LockLine<'_> {
    fn identity(&self) -> u64 {
        self.span.number.into()
    }

    fn name(&self) -> Cow<'_, str> {
        self.span.name.as_str().into()
    }

    fn order(&self, column: usize) -> Order<'_> {
        let span = self.span;
        match column {
            0 => Order::Text(&span.name),
            1 => Order::Text(short_kind(span.kind)),
            2 => Order::Number(span.threads),
            3 => Order::Number(span.share),
            4 => Order::Number(span.per_second),
            5..=7 if !span.wait.is_timed() => Order::Unknown,
            5 => Order::Number(span.wait.p50_ns),
            6 => Order::Number(span.wait.p99_ns),
            7 => Order::Number(span.wait.max_ns),
            8 => Order::Number(span.waiters.into()),
            9 => Order::Number(span.active),
            _ if span.holder == Holder::Unknown => Order::Unknown,
            _ => Order::Text(span.holder.name()),
        }
    }

    fn cell(&self, column: usize, width: usize) -> Cell<'_> {
        let LockSpan { wait, .. } = self.span;
        let span = self.span;
        let theme = self.view.theme;
        let unless_none = |text: String, is_none: bool| match is_none {
            true => Cell::of(text, Role::Faint),
            false => Cell::new(text),
        };
        match column {
            0 if span.merged != 0 => {
                let more = format!(" +{}", units::count(span.merged));
                let room = width.saturating_sub(more.len());
                Cell::new(format!("{}{more}", fitted(&span.name, room, theme.symbols().cut)))
            }
            0 => Cell::new(fitted(&span.name, width, theme.symbols().cut)),
            1 => Cell::of(short_kind(span.kind), Role::Faint),
            2 => unless_none(threads(span.threads), span.threads < 0.005),
            3 => unless_none(units::percent(span.share), span.share < 0.0005),
            4 => unless_none(units::rate(span.per_second), span.wait.count == 0),
            5 => unless_none(time(theme, wait, wait.p50_ns), !wait.is_timed()),
            6 => unless_none(time(theme, wait, wait.p99_ns), !wait.is_timed()),
            7 => unless_none(time(theme, wait, wait.max_ns), !wait.is_timed()),
            8 if span.waiters == 0 => Cell::of("0", Role::Faint),
            8 => Cell::of(span.waiters.to_string(), Role::Wanted),
            9 => unless_none(units::percent(span.active), span.active == 0.0),
            10 => match &span.holder {
                Holder::Now(name) => Cell::of(fitted(name, width, theme.symbols().cut), Role::Running),
                Holder::Mostly(name) => {
                    let name = fitted(name, width.saturating_sub(1), theme.symbols().cut);
                    Cell::of(format!("~{name}"), Role::Faint)
                }
                Holder::Unknown => Cell::of("-", Role::Faint),
            },
            _ => {
                let series = self.view.history.lock_series(span.number, width);
                Cell::of(sparkline(&series, width, theme), Role::Graph)
            }
        }
    }
}

/// Waits with something in common.
pub struct GroupLine<'a> {
    pub span: &'a GroupSpan,
    pub theme: &'a Theme,
}

impl GroupLine<'_> {
    fn part(&self, of: u64) -> f64 {
        of as f64 / self.span.group.spent.total().max(1) as f64
    }
}

impl Row for GroupLine<'_> {
    fn identity(&self) -> u64 {
        identity(&self.span.key)
    }

    fn name(&self) -> Cow<'_, str> {
        self.span.name.as_str().into()
    }

    fn order(&self, column: usize) -> Order<'_> {
        let (span, spent) = (self.span, &self.span.group.spent);
        match column {
            0 => Order::Text(&span.name),
            1 => Order::Number(span.share),
            2 => Order::Number(span.threads),
            3 => Order::Number(span.per_second),
            4 => Order::Number(span.longest_ns),
            5 => Order::Number(self.part(spent.held)),
            6 => Order::Number(self.part(spent.holder_waited)),
            _ => Order::Number(self.part(spent.hand_over)),
        }
    }

    fn cell(&self, column: usize, width: usize) -> Cell<'_> {
        let (span, spent) = (self.span, &self.span.group.spent);
        let part = |of: u64| match self.part(of) {
            part if part < 0.0005 => Cell::of("0.0%", Role::Faint),
            part => Cell::new(units::percent(part)),
        };
        match column {
            0 => Cell::new(fitted(&span.name, width, self.theme.symbols().cut)),
            1 => Cell::new(units::percent(span.share)),
            2 => Cell::new(threads(span.threads)),
            3 => Cell::new(units::rate(span.per_second)),
            4 => Cell::new(units::time(span.longest_ns, self.theme.ascii)),
            5 => part(spent.held),
            6 => part(spent.holder_waited),
            _ => part(spent.hand_over),
        }
    }
}

/// What tells a group from the others.
pub fn identity(key: &Key) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}
