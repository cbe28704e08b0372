//! A line of a list of hypercalls.

use crate::dashboard::model::{CallSpan, Figures};
use crate::dashboard::screen::View;
use crate::dashboard::table::{Cell, Column, Order, Row};
use crate::dashboard::theme::{Role, Theme};
use crate::dashboard::widgets::graph;
use rumpscope_probes::Hypercall;
use rumpscope_reports::units;
use std::borrow::Cow;

/// The columns of the list.
pub const COLUMNS: [Column; 10] = [
    Column::text("hypercall", 20, 0).most(26),
    Column::number("calls/s", 7, 0),
    Column::number("threads", 7, 0),
    Column::number("share", 6, 3),
    Column::number("p50", 7, 0),
    Column::number("p99", 7, 0),
    Column::number("p99.9", 7, 2),
    Column::number("max", 7, 1),
    Column { grow: 3, ..Column::picture("calls/s over time", 18, 4) },
    Column::text("family", 9, 5).fixed(),
];

/// Those of the overview: what is left out there is left out last in the list.
pub const OVERVIEW_COLUMNS: [Column; 9] = {
    let [name, rate, threads, share, p50, p99, p99_9, max, trend, _] = COLUMNS;
    [name, rate, threads, share, p50, p99, p99_9, max, trend]
};

/// A hypercall and what is known of it.
#[derive(Debug)]
pub struct CallRow<'a> {
    span: &'a CallSpan,
    view: &'a View<'a>,
}

impl<'a> CallRow<'a> {
    /// The column that tells how many threads were in it on average.
    pub const THREADS: usize = 2;

    /// The line of `span`.
    pub fn new(span: &'a CallSpan, view: &'a View<'a>) -> Self {
        CallRow { span, view }
    }

    fn time(&self, of: fn(&Figures) -> f64) -> Cell<'static> {
        time(&self.span.times, of, self.view.theme)
    }
}

/// A time of `figures`; one that is not known says so.
pub fn time(figures: &Figures, of: fn(&Figures) -> f64, theme: &Theme) -> Cell<'static> {
    if !figures.has_percentiles() {
        return Cell::of("-", Role::Faint);
    }
    Cell::new(units::time(of(figures), theme.ascii))
}

/// Text that stands back where the figure is nothing.
fn number(text: String, value: f64) -> Cell<'static> {
    Cell::of(text, if value == 0.0 { Role::Faint } else { Role::Text })
}

impl Row for CallRow<'_> {
    fn identity(&self) -> u64 {
        self.span.call as u64
    }

    fn name(&self) -> Cow<'_, str> {
        format!("{} {}", self.span.call.name(), self.span.call.entry().family.name()).into()
    }

    fn order(&self, column: usize) -> Order<'_> {
        let times = &self.span.times;
        let known = |value: f64, known: bool| if known { Order::Number(value) } else { Order::Unknown };
        let point = |value: f64| known(value, times.has_percentiles());
        match column {
            0 => Order::Text(self.span.call.name()),
            1 => Order::Number(self.span.per_second),
            2 | 3 => known(self.span.threads, times.is_timed()),
            4 => point(times.p50_ns),
            5 => point(times.p99_ns),
            6 => point(times.p99_9_ns),
            7 => point(times.max_ns),
            9 => Order::Text(self.span.call.entry().family.name()),
            _ => Order::Unknown,
        }
    }

    fn cell(&self, column: usize, width: usize) -> Cell<'_> {
        let (span, theme) = (self.span, self.view.theme);
        // Estimates are marked, as in the reports.
        let about = if span.times.estimated() { "~" } else { "" };
        match column {
            0 => Cell::new(span.call.name()),
            1 => number(units::rate(span.per_second), span.per_second),
            2 if span.times.is_timed() => number(format!("{about}{}", threads(span.threads)), span.threads),
            3 if span.times.is_timed() => number(units::percent(span.share), span.share),
            2 | 3 => Cell::of("-", Role::Faint),
            4 => self.time(|times| times.p50_ns),
            5 => self.time(|times| times.p99_ns),
            6 => self.time(|times| times.p99_9_ns),
            7 => self.time(|times| times.max_ns),
            8 => {
                let rates = self.view.history.call_series(span.call, width, |call| call.per_second);
                Cell::of(graph::sparkline(&rates, width, theme), Role::Graph)
            }
            9 => Cell::of(span.call.entry().family.name(), Role::Faint),
            _ => Cell::new(""),
        }
    }
}

/// Threads on average.
pub fn threads(threads: f64) -> String {
    match threads {
        threads if threads < 9.995 => format!("{threads:.2}"),
        threads if threads < 99.95 => format!("{threads:.1}"),
        threads => format!("{threads:.0}"),
    }
}

/// The hypercall of an identity.
pub fn call(identity: u64) -> Option<Hypercall> {
    usize::try_from(identity).ok().and_then(Hypercall::from_number)
}
