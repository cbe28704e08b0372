//! Where a replay is in its recording, and how busy the guest was all along: where to go to is seen before it is read.

use super::draw::{line, put, put_right};
use super::screen::Size;
use super::status::Progress;
use super::theme::{Role, Theme};
use super::widgets::{graph, title};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use rumpscope_reports::recording::Interval;
use rumpscope_reports::units;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Lines that it takes: with much room the graph has several and a title, with little it is one line in all.
pub const fn height(size: Size) -> u16 {
    match size {
        Size::Small => 1,
        Size::Medium => 4,
        Size::Large => 6,
    }
}

/// The graph of a recording, as it was drawn; empty where none was.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timeline {
    area: Rect,
}

impl Timeline {
    /// Draws it: how often hypercalls returned at any time, and, as a line across, where the replay is.
    pub fn draw(
        area: Rect,
        buffer: &mut Buffer,
        theme: &Theme,
        progress: &Progress,
        playing: bool,
        intervals: &[Interval],
    ) -> Self {
        let state = match (theme.ascii, playing) {
            (false, true) => "▶",
            (false, false) => "⏸",
            (true, true) => ">",
            (true, false) => "=",
        };
        let speed = format!("{state} x{}", progress.speed);
        let place = format!(
            "{} of {}  sample {} of {}",
            units::time(progress.seconds * 1e9, theme.ascii),
            units::time(progress.whole_seconds * 1e9, theme.ascii),
            progress.index + 1,
            progress.len
        );
        let area = if area.height > 1 {
            let most = intervals.iter().map(Interval::calls_per_second).fold(0.0, f64::max);
            let name = format!("Hypercalls/s of the whole recording, max {}", units::rate(most));
            title::section(area, buffer, theme, &name, &format!("{speed}  {place}"))
        } else {
            let (left, right) = (speed.chars().count() as u16 + 2, place.chars().count() as u16 + 2);
            put(buffer, area, &format!(" {speed}"), theme.style(Role::Warning));
            put_right(buffer, area, &format!("{place} "), theme.style(Role::Text));
            Rect { x: area.x + left.min(area.width), width: area.width.saturating_sub(left + right), ..area }
        };
        let timeline = Timeline { area };
        timeline.draw_graph(buffer, theme, progress.index, intervals);
        timeline
    }

    fn draw_graph(&self, buffer: &mut Buffer, theme: &Theme, index: usize, intervals: &[Interval]) {
        let Timeline { area } = *self;
        let busiest = |column| {
            let calls = intervals[self.column(column, intervals)].iter().map(Interval::calls_per_second);
            calls.fold(0.0, f64::max)
        };
        let Some(mark) = self.mark(index, intervals) else { return };
        let values: Vec<f64> = (0..area.width).map(busiest).collect();
        let most = values.iter().copied().fold(0.0, f64::max);
        graph::columns(area, buffer, theme, Role::Graph, &values, most);
        let symbol = if theme.ascii { "!" } else { "┃" };
        for row in 0..area.height {
            let place = Rect { x: area.x + mark, width: 1, ..line(area, row) };
            put(buffer, place, symbol, theme.style(Role::Key));
        }
    }

    /// The time at the left end of a column.
    fn time(&self, column: u16, intervals: &[Interval]) -> Duration {
        let whole = intervals.last().map_or(Duration::ZERO, |last| last.elapsed);
        whole.mul_f64(f64::from(column) / f64::from(self.area.width.max(1)))
    }

    /// The intervals of which a part is in a column; there is at least one, if there are any.
    fn column(&self, column: u16, intervals: &[Interval]) -> RangeInclusive<usize> {
        let last = intervals.len().saturating_sub(1);
        let (from, to) = (self.time(column, intervals), self.time(column + 1, intervals));
        let first = intervals.partition_point(|interval| interval.elapsed <= from).min(last);
        let end = intervals.partition_point(|interval| interval.elapsed < to).min(last);
        first..=end.max(first)
    }

    /// The column in which an interval ends.
    fn mark(&self, index: usize, intervals: &[Interval]) -> Option<u16> {
        let elapsed = intervals.get(index)?.elapsed;
        let columns = 0..self.area.width;
        columns.rev().find(|column| *column == 0 || self.time(*column, intervals) < elapsed)
    }

    /// The sample that somebody who points there wants to see: the busiest of that time, since it is what is seen there.
    pub fn at(&self, at: Position, intervals: &[Interval]) -> Option<usize> {
        if !self.area.contains(at) || intervals.is_empty() {
            return None;
        }
        let there = self.column(at.x - self.area.x, intervals);
        // The first of those that are alike.
        there
            .rev()
            .max_by(|left, right| intervals[*left].calls_per_second().total_cmp(&intervals[*right].calls_per_second()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::testing::text_of;

    /// An interval each second, with so many calls.
    fn intervals(calls: &[u64]) -> Vec<Interval> {
        let second = Duration::from_secs(1);
        let interval = |(index, calls): (usize, &u64)| Interval {
            elapsed: second * index as u32,
            length: if index == 0 { Duration::ZERO } else { second },
            calls: *calls,
            waited: Duration::ZERO,
            waited_in: Duration::ZERO,
        };
        calls.iter().enumerate().map(interval).collect()
    }

    fn progress(index: usize, len: usize) -> Progress {
        Progress { index, len, seconds: index as f64, whole_seconds: len as f64 - 1.0, speed: 2.0 }
    }

    fn drawn(width: u16, height: u16, index: usize, intervals: &[Interval]) -> (Timeline, String) {
        let area = Rect::new(0, 0, width, height);
        let mut buffer = Buffer::empty(area);
        let theme = Theme { ascii: true, ..Theme::default() };
        let progress = progress(index, intervals.len());
        let timeline = Timeline::draw(area, &mut buffer, &theme, &progress, false, intervals);
        (timeline, text_of(&buffer))
    }

    #[test]
    fn it_is_a_line_or_has_a_title() {
        let intervals = intervals(&[0, 100, 50, 0, 25]);
        assert_eq!(drawn(50, 1, 2, &intervals).1, " = x2 ####::!  .... 2.00s of 4.00s  sample 3 of 5\n");
        let (_, text) = drawn(90, 3, 4, &intervals);
        assert!(text.starts_with("- Hypercalls/s of the whole recording, max 100 "), "{text}");
        assert!(text.lines().skip(1).all(|line| line.ends_with('!')), "{text}");
    }

    #[test]
    fn every_burst_is_seen_and_found() {
        let mut calls = vec![10; 1000];
        (calls[0], calls[517], calls[518]) = (0, 900, 900);
        let intervals = intervals(&calls);
        let (timeline, text) = drawn(60, 4, 0, &intervals);
        let burst = text.lines().nth(1).unwrap().find('#').unwrap() as u16;
        assert_eq!(timeline.at(Position::new(burst, 2), &intervals), Some(517));
        assert_eq!(timeline.at(Position::new(burst, 0), &intervals), None);
    }

    #[test]
    fn every_sample_can_be_pointed_at_where_there_are_few() {
        let intervals = intervals(&[0, 7, 7, 7, 7, 7]);
        let (timeline, _) = drawn(60, 4, 0, &intervals);
        for index in 1..6 {
            let mark = timeline.mark(index, &intervals).unwrap();
            assert_eq!(timeline.at(Position::new(mark, 1), &intervals), Some(index));
        }
        assert_eq!(timeline.mark(0, &intervals), Some(0));
    }

    #[test]
    fn any_recording_and_any_size() {
        for calls in [&[][..], &[3], &[0, 5], &[0, 0, 0]] {
            let intervals = intervals(calls);
            for (width, height) in [(0, 0), (1, 1), (20, 1), (45, 1), (46, 1), (3, 9), (200, 6)] {
                let (timeline, _) = drawn(width, height, 0, &intervals);
                for x in 0..width {
                    timeline.at(Position::new(x, height.saturating_sub(1)), &intervals);
                }
            }
        }
    }
}
