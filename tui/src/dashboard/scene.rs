//! What is shown, as the newest sample leaves it.

use super::keys::KeyMap;
use super::model::{History, Point, Span, lock_points};
use super::screen::{Size, View, Whole};
use super::theme::Theme;
use rumpscope_reports::Sample;
use std::sync::Arc;

/// How old a whole sample may be, in seconds, whose percentiles are shown beside newer figures. Of a live guest they come at
/// least every 5 seconds; in a recording there may be minutes between them.
const FRESH: f64 = 6.0;

/// The samples that are compared, what they say, and how it went before. A copy of it is a frozen picture.
#[derive(Clone, Debug)]
pub struct Scene {
    latest: Arc<Sample>,
    /// The one before; none, where the process is seen for the first time.
    before: Option<Arc<Sample>>,
    span: Span,
    /// Of the time between the last two whole samples, or up to the last one, where `span` is of outlines.
    whole_span: Option<Span>,
    cumulative: bool,
    history: History,
    /// The last sample that was whole, and the whole one before it; how many outlines came after it.
    whole: Option<Arc<Sample>>,
    whole_before: Option<Arc<Sample>>,
    outlines: usize,
}

impl Scene {
    /// The scene of a first sample.
    pub fn new(sample: Arc<Sample>, cumulative: bool) -> Self {
        Scene {
            span: Span::new(None, &sample),
            whole_span: None,
            whole: Some(sample.clone()).filter(|sample| !sample.is_outline()),
            whole_before: None,
            outlines: 0,
            latest: sample,
            before: None,
            cumulative,
            history: History::default(),
        }
    }

    /// Takes the next sample. One of another process begins anew; whether that was so.
    pub fn push(&mut self, sample: Arc<Sample>) -> bool {
        let (before, after) = (&self.latest.snapshot, &sample.snapshot);
        let replaced = (before.process.pid, before.process.start_time, before.began)
            != (after.process.pid, after.process.start_time, after.began);
        if replaced || after.taken < before.taken {
            *self = Scene::new(sample, self.cumulative);
            return replaced;
        }
        if after.taken == before.taken {
            // Of a process that has ended: nothing has changed but its state.
            self.latest = sample;
            return false;
        }
        let span = Span::new(Some(&self.latest), &sample);
        let locks = lock_points(&self.latest.snapshot, &sample.snapshot);
        self.history.push(Point { locks, ..Point::new(&span) });
        if sample.is_outline() {
            self.outlines += 1;
        } else {
            self.whole_span = None;
            self.fill_up_to(&sample);
        }
        self.span = if self.cumulative { Span::new(None, &sample) } else { span };
        self.before = Some(std::mem::replace(&mut self.latest, sample));
        self.complete();
        false
    }

    /// Puts into the history what `sample`, a whole one, tells of the outlines before it.
    fn fill_up_to(&mut self, sample: &Arc<Sample>) {
        self.whole_before = self.whole.replace(sample.clone());
        let outlines = std::mem::take(&mut self.outlines);
        if let Some(whole) = self.whole_before.as_ref().filter(|_| outlines != 0) {
            let locks = lock_points(&whole.snapshot, &sample.snapshot);
            let span = Span::new(Some(whole), sample);
            self.history.share(outlines + 1, &span, &locks);
            if !self.cumulative {
                self.whole_span = Some(span);
            }
        }
    }

    /// Where the span is of outlines: takes what these do not tell from the last whole samples, if they are fresh.
    fn complete(&mut self) {
        let is_outline = |sample: &Arc<Sample>| sample.is_outline();
        if !is_outline(&self.latest) && !self.earlier().is_some_and(is_outline) {
            self.whole_span = None;
            return;
        }
        let snapshot = &self.latest.snapshot;
        let is_fresh = |whole: &&Arc<Sample>| {
            let age = snapshot.taken.saturating_sub(whole.snapshot.taken);
            snapshot.clock.nanoseconds(age) / 1e9 <= FRESH
        };
        let (Some(whole), earlier) = (self.whole.as_ref().filter(is_fresh), &self.whole_before) else {
            self.whole_span = None;
            return;
        };
        if self.whole_span.is_none() {
            self.whole_span = match (self.cumulative, earlier) {
                (true, _) => Some(Span::new(None, whole)),
                (false, Some(earlier)) => Some(Span::new(Some(earlier), whole)),
                (false, None) => None,
            };
        }
        if let Some(whole) = &self.whole_span {
            self.span.take_percentiles(whole);
        }
    }

    /// Shows all since the start, or the last interval.
    pub fn set_cumulative(&mut self, cumulative: bool) {
        self.cumulative = cumulative;
        self.span = Span::new(self.earlier().map(AsRef::as_ref), &self.latest);
        self.whole_span = None;
        self.complete();
    }

    /// The latest sample.
    pub fn sample(&self) -> &Arc<Sample> {
        &self.latest
    }

    /// The sample that the latest is compared with; none: all since the start is shown.
    pub fn earlier(&self) -> Option<&Arc<Sample>> {
        self.before.as_ref().filter(|_| !self.cumulative)
    }

    /// The difference of the two.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// The time between the last whole samples, where outlines are shown and that is not long ago.
    pub fn whole(&self) -> Option<Whole<'_>> {
        let (span, sample) = self.whole_span.as_ref().zip(self.whole.as_ref())?;
        Some(Whole { sample, earlier: self.whole_before.as_ref().filter(|_| !self.cumulative), span })
    }

    /// What screens see of it.
    pub fn view<'a>(&'a self, theme: &'a Theme, keys: &'a KeyMap, size: Size, frozen: bool) -> View<'a> {
        View {
            sample: &self.latest,
            earlier: self.earlier(),
            span: &self.span,
            whole: self.whole(),
            history: &self.history,
            theme,
            keys,
            size,
            frozen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::testing;

    fn shared(samples: Vec<Sample>) -> Vec<Arc<Sample>> {
        samples.into_iter().map(Arc::new).collect()
    }

    #[test]
    fn the_last_interval_or_all() {
        let samples = shared(testing::samples(2, 3));
        let mut scene = Scene::new(samples[0].clone(), false);
        assert!(scene.earlier().is_none() && scene.history.last(9).len() == 0);
        samples[1..].iter().for_each(|sample| assert!(!scene.push(sample.clone())));
        assert_eq!(scene.history.last(9).len(), 2);
        assert!((scene.span().seconds - 1.0).abs() < 1e-9);
        scene.set_cumulative(true);
        assert!(scene.earlier().is_none() && scene.span().seconds > 1.5);
        scene.set_cumulative(false);
        assert!((scene.span().seconds - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_history_of_outlines_is_known_with_the_next_whole_sample() {
        let (whole, samples) = (shared(testing::samples(2, 3)), shared(testing::outlined(2)));
        let mut scene = Scene::new(samples[0].clone(), false);
        scene.push(samples[1].clone());
        let point = scene.history.last(1).next().unwrap();
        assert!(point.calls_per_second > 0.0 && point.heat.range().is_none() && point.locks.is_empty());
        assert!(scene.span().calls.iter().all(|call| !call.times.has_percentiles()));
        scene.push(samples[2].clone());
        let mut other = Scene::new(whole[0].clone(), false);
        whole[1..].iter().for_each(|sample| assert!(!other.push(sample.clone())));
        for (point, whole) in scene.history.last(2).zip(other.history.last(2)) {
            assert_eq!(point.calls_per_second, whole.calls_per_second);
            assert_eq!(point.heat.range(), whole.heat.range());
            assert!(!point.locks.is_empty());
        }
    }

    /// The outline of the last of `samples`, of which the one before is whole.
    fn outline_last(samples: &mut [Arc<Sample>]) {
        let [.., before, last] = &samples[..] else { panic!("two samples") };
        let outline = testing::outline(&before.snapshot, last);
        *samples.last_mut().unwrap() = Arc::new(outline);
    }

    #[test]
    fn an_outline_has_the_percentiles_of_the_last_whole_interval() {
        let mut samples = shared(testing::samples(2, 3));
        outline_last(&mut samples);
        let mut scene = Scene::new(samples[0].clone(), false);
        scene.push(samples[1].clone());
        assert!(scene.whole_span.is_none());
        let whole = scene.span().clone();
        scene.push(samples[2].clone());
        let (theme, keys) = (Theme::default(), KeyMap::default());
        let view = testing::view(&scene, &theme, &keys, ratatui::layout::Rect::new(0, 0, 120, 40)).of_whole();
        assert!(Arc::ptr_eq(view.sample, &samples[1]) && view.earlier.is_some_and(|one| Arc::ptr_eq(one, &samples[0])));
        let of = |span: &Span| span.calls.iter().map(|call| (call.call, call.times.p99_ns)).collect::<Vec<_>>();
        assert_eq!(of(scene.span()), of(&whole));
        // Long after the last whole one they are of no use.
        let mut late = Sample::clone(&samples[2]);
        late.snapshot.taken += (7.0 * late.snapshot.clock.ticks_per_second) as u64;
        scene.push(Arc::new(late));
        assert!(scene.whole_span.is_none() && scene.span().calls.iter().all(|call| !call.times.has_percentiles()));
    }

    #[test]
    fn another_process_begins_anew() {
        let samples = shared(testing::samples(2, 3));
        let mut scene = Scene::new(samples[0].clone(), false);
        scene.push(samples[1].clone());
        let mut other = Sample::clone(&samples[2]);
        other.snapshot.process.start_time += 1;
        assert!(scene.push(Arc::new(other)));
        assert!(scene.history.last(9).len() == 0 && scene.earlier().is_none());
    }

    #[test]
    fn a_process_that_has_ended_changes_no_more() {
        let samples = shared(testing::samples(2, 2));
        let mut scene = Scene::new(samples[0].clone(), false);
        scene.push(samples[1].clone());
        let mut dead = Sample::clone(&samples[1]);
        dead.state = rumpscope_reports::State::Dead;
        assert!(!scene.push(Arc::new(dead)));
        assert_eq!(scene.sample().state, rumpscope_reports::State::Dead);
        assert!((scene.span().seconds - 1.0).abs() < 1e-9);
        assert_eq!(scene.history.last(9).len(), 1);
    }
}
