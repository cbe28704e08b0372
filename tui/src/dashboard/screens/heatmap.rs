//! All latency over time.

use crate::dashboard::draw::{line, put, put_right};
use crate::dashboard::field::Field;
use crate::dashboard::keys::Action;
use crate::dashboard::model::{Heat, Point};
use crate::dashboard::screen::{Reaction, Screen, View};
use crate::dashboard::theme::Role;
use crate::dashboard::widgets::heatmap::{self, Map};
use crate::dashboard::widgets::title;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use rumpscope_reports::units;

/// The screen. A filter chooses the hypercalls.
#[derive(Debug, Default)]
pub struct HeatMap {
    filter: Field,
}

impl HeatMap {
    fn column(&self, point: &Point) -> Heat {
        if self.filter.text().is_empty() {
            return point.heat.clone();
        }
        let matches = |call: &rumpscope_probes::Hypercall| {
            self.filter.matches(&format!("{} {}", call.name(), call.entry().family.name()))
        };
        Heat::sum(point.calls.iter().filter(|call| matches(&call.call)).map(|call| &call.heat))
    }
}

impl Screen for HeatMap {
    fn title(&self) -> &'static str {
        "Heat map"
    }

    fn draw(&mut self, area: Rect, buffer: &mut Buffer, view: &View<'_>) {
        let theme = view.theme;
        let below = title::section(area, buffer, theme, "How long hypercalls took", &heatmap::legend(theme));
        let width = heatmap::columns_in(below.width);
        let columns: Vec<_> = view.history.last(width).map(|point| self.column(point)).collect();
        let calls: u64 = columns.last().map_or(0, |heat| heat.rows().map(|(_, count)| u64::from(count)).sum());
        let seconds = view.history.last(width).map(|point| point.seconds).sum();
        let map = Rect { height: below.height.saturating_sub(1), ..below };
        Map { columns, seconds, end: view.moment() }.draw(map, buffer, theme);
        let foot = line(below, below.height.saturating_sub(1));
        let cursor = if self.filter.is_edited() { "_" } else { "" };
        let (which, role) = match (self.filter.text(), self.filter.is_edited()) {
            ("", false) => ("all hypercalls; / chooses some".to_owned(), Role::Faint),
            (text, true) => (format!("/{text}{cursor}"), Role::Key),
            (text, false) => (format!("/{text}"), Role::Text),
        };
        put(buffer, Rect { x: foot.x + 1, ..foot }, &which, theme.style(role));
        let remark = format!("{} calls in the last interval ", units::count(calls));
        put_right(buffer, foot, &remark, theme.style(Role::Faint));
    }

    fn act(&mut self, action: Action, _: &View<'_>) -> Reaction {
        match action {
            Action::Back if self.filter.clear() => Reaction::Done,
            _ => Reaction::Ignored,
        }
    }

    fn field(&mut self) -> Option<&mut Field> {
        Some(&mut self.filter)
    }

    fn actions(&self) -> &'static [Action] {
        &[Action::Filter]
    }
}
