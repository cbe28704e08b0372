//! All at first glance: where the time of each virtual CPU goes, how busy the hypervisor is, what costs most.

use super::vcpus;
use crate::dashboard::draw::{put, split, split_columns};
use crate::dashboard::model::Point;
use crate::dashboard::screen::{Screen, Size, View};
use crate::dashboard::screens::calls::{CallRow, OVERVIEW_COLUMNS, threads};
use crate::dashboard::table::Table;
use crate::dashboard::theme::Role;
use crate::dashboard::widgets::{graph, title};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use rumpscope_reports::units;

/// Hypercalls that are shown at least, if there are so many.
const CALLS: u16 = 5;

/// Lines of a list that are no rows: its title and the names of its columns.
const HEAD: u16 = 2;

/// A graph that is higher tells no more.
const HIGHEST_GRAPH: u16 = 14;

/// The overview. Nothing is chosen in it.
#[derive(Debug)]
pub struct Overview {
    calls: Table,
}

impl Default for Overview {
    fn default() -> Self {
        Overview { calls: Table::new(&OVERVIEW_COLUMNS, CallRow::THREADS).passive() }
    }
}

impl Screen for Overview {
    fn title(&self) -> &'static str {
        "Overview"
    }

    fn draw(&mut self, area: Rect, buffer: &mut Buffer, view: &View<'_>) {
        let known = view.span.calls.len().clamp(1, 99) as u16;
        let least_calls = known.min(CALLS) + HEAD;
        let least_graph = match view.size {
            Size::Small => 4,
            Size::Medium => 7,
            Size::Large => 10,
        };
        let most = area.height.saturating_sub(least_calls + least_graph);
        let (top, rest) = split(area, vcpus::height(view.span.vcpus.len(), most));
        vcpus::draw(top, buffer, view);
        // What is left over goes to the graphs first, and then to the list, as far as it has more to tell.
        let graph = rest.height.saturating_sub(least_calls).min(HIGHEST_GRAPH);
        let graph = graph.max(rest.height.saturating_sub(known + HEAD));
        let (graphs, bottom) = split(rest, graph);
        let (left, right) = split_columns(graphs, (graphs.width.saturating_sub(1)) / 2, 1);
        history(left, buffer, view, "Hypercalls/s", Role::Graph, units::rate, |point| point.calls_per_second);
        history(right, buffer, view, "Threads in calls", Role::OtherGraph, threads, |point| point.threads_in_calls);
        let below =
            title::section(bottom, buffer, view.theme, "Most expensive hypercalls", "by time in them; 2 shows all");
        let rows: Vec<_> = view.span.calls.iter().map(|call| CallRow::new(call, view)).collect();
        self.calls.draw(below, buffer, view.theme, &rows, "no hypercall has returned in this time");
    }
}

/// Draws a figure over time.
fn history(
    area: Rect,
    buffer: &mut Buffer,
    view: &View<'_>,
    name: &str,
    role: Role,
    unit: impl Fn(f64) -> String,
    of: impl Fn(&Point) -> f64,
) {
    let values = view.history.series(usize::from(area.width), of);
    let most = values.iter().copied().fold(0.0, f64::max);
    let now = values.last().copied().unwrap_or(0.0);
    let remark = format!("{}, max {}", unit(now), unit(most));
    let below = title::section(area, buffer, view.theme, name, &remark);
    let scale = graph::round_up(most);
    graph::columns(below, buffer, view.theme, role, &values, scale);
    // What the full height is, unless that hides the graph itself.
    let label = unit(scale);
    if values.len() + label.len() < usize::from(area.width) || below.height > 4 {
        put(buffer, below, &label, view.theme.style(Role::Faint));
    }
}
