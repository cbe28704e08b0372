//! Lines of the list.

use crate::dashboard::draw::fitted;
use crate::dashboard::model::{Phase, TransitionSpan};
use crate::dashboard::picture::{threads, time};
use crate::dashboard::table::{Cell, Column, Order, Row};
use crate::dashboard::theme::{Role, Theme};
use rumpscope_reports::units;
use std::borrow::Cow;

pub const COLUMNS: [Column; 12] = [
    // As long as most names of hypercalls.
    Column::text("cause", 20, 0).most(26),
    Column::number("rate/s", 7, 0),
    Column::number("off", 6, 0),
    Column::number("off p50", 8, 5),
    Column::number("off p99", 8, 1),
    Column::number("off max", 8, 8),
    Column::number("waiting", 7, 0),
    Column::number("wait p50", 8, 6),
    Column::number("wait p99", 8, 0),
    Column::number("wait max", 8, 7),
    Column::number("run p50", 8, 9),
    Column::number("moves/s", 7, 2),
];

/// The column that it is sorted by at first.
pub const RATE: usize = 1;

/// A cause.
pub struct Line<'a> {
    pub span: &'a TransitionSpan,
    pub theme: &'a Theme,
}

impl Row for Line<'_> {
    fn identity(&self) -> u64 {
        self.span.cause as u64
    }

    fn name(&self) -> Cow<'_, str> {
        self.span.cause.name().into()
    }

    fn order(&self, column: usize) -> Order<'_> {
        let TransitionSpan { cause, per_second, off, wait, run, migrations } = self.span;
        let of = |phase: &Phase, value: f64| match phase.times.is_timed() {
            true => Order::Number(value),
            false => Order::Unknown,
        };
        let point = |phase: &Phase, value: f64| match phase.times.has_percentiles() {
            true => Order::Number(value),
            false => Order::Unknown,
        };
        match column {
            0 => Order::Text(cause.name()),
            1 => Order::Number(*per_second),
            2 => of(off, off.threads),
            3 => point(off, off.times.p50_ns),
            4 => point(off, off.times.p99_ns),
            5 => point(off, off.times.max_ns),
            6 => of(wait, wait.threads),
            7 => point(wait, wait.times.p50_ns),
            8 => point(wait, wait.times.p99_ns),
            9 => point(wait, wait.times.max_ns),
            10 => point(run, run.times.p50_ns),
            _ => Order::Number(*migrations),
        }
    }

    fn cell(&self, column: usize, width: usize) -> Cell<'_> {
        let TransitionSpan { cause, per_second, off, wait, run, migrations } = self.span;
        let point = |phase: &Phase, value: f64| match phase.times.has_percentiles() {
            true => Cell::new(time(self.theme, &phase.times, value)),
            false => Cell::of("-", Role::Faint),
        };
        let average = |phase: &Phase, role: Role| match phase.threads {
            average if average < 0.005 => Cell::of(threads(average), Role::Faint),
            average => Cell::of(threads(average), role),
        };
        match column {
            0 => Cell::new(fitted(cause.name(), width, self.theme.symbols().cut)),
            1 => Cell::new(units::rate(*per_second)),
            2 => average(off, Role::Text),
            3 => point(off, off.times.p50_ns),
            4 => point(off, off.times.p99_ns),
            5 => point(off, off.times.max_ns),
            6 => average(wait, Role::Wanted),
            7 => point(wait, wait.times.p50_ns),
            8 => point(wait, wait.times.p99_ns),
            9 => point(wait, wait.times.max_ns),
            10 => point(run, run.times.p50_ns),
            _ if *migrations <= 0.0 => Cell::of("0", Role::Faint),
            _ => Cell::new(units::rate(*migrations)),
        }
    }
}
