//! What is behind the chosen line, kept as it was drawn: to find causes is a third of the work on this screen, and nobody
//! reads them ten times a second.

use super::{Opened, open};
use crate::dashboard::screen::View;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use rumpscope_reports::contention::Waiting;
use std::sync::Arc;

/// For how long it stays as it was drawn, in nanoseconds, while pictures follow one another faster.
const STAYS: f64 = 5e8;

/// A part of a picture.
#[derive(Debug)]
pub struct Preview {
    opened: Opened,
    /// What it was made of.
    waiting: Arc<Waiting>,
    /// When measuring of that process began, and when the sample was taken; in ticks.
    moment: (u64, u64),
    /// It is of the whole time.
    cumulative: bool,
    picture: Buffer,
}

impl Preview {
    /// Draws it.
    pub fn new(area: Rect, view: &View<'_>, waiting: &Arc<Waiting>, opened: Opened) -> Self {
        let mut picture = Buffer::empty(area);
        open::draw(area, &mut picture, view, waiting, &opened);
        Preview { opened, waiting: Arc::clone(waiting), moment: moment(view), cumulative: is_cumulative(view), picture }
    }

    /// Whether it is still what is to be shown. Where the picture stands still, all of it is of one moment.
    pub fn is_good(&self, area: Rect, view: &View<'_>, waiting: &Arc<Waiting>, opened: &Opened) -> bool {
        let ((began, taken), (of, then)) = (moment(view), self.moment);
        let age = taken.checked_sub(then).filter(|_| began == of && !view.frozen);
        let is_young = age.is_some_and(|ticks| view.sample.snapshot.clock.nanoseconds(ticks) < STAYS);
        // Names that have been found since are to be seen at once.
        let has_names = self.waiting.chains.len() == waiting.chains.len();
        self.picture.area == area
            && self.opened == *opened
            && self.cumulative == is_cumulative(view)
            && (Arc::ptr_eq(&self.waiting, waiting) || (is_young && has_names))
    }

    /// Puts it where it was drawn.
    pub fn draw(&self, buffer: &mut Buffer) {
        let area = self.picture.area.intersection(buffer.area);
        for place in area.positions() {
            buffer[place] = self.picture[place].clone();
        }
    }
}

fn moment(view: &View<'_>) -> (u64, u64) {
    (view.sample.snapshot.began, view.sample.snapshot.taken)
}

fn is_cumulative(view: &View<'_>) -> bool {
    view.earlier.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::keys::KeyMap;
    use crate::dashboard::testing;
    use crate::dashboard::theme::Theme;
    use rumpscope_reports::contention::group::{By, Key, Realm};

    #[test]
    fn it_stays_for_a_moment_while_time_goes_on() {
        let (theme, keys, area) = (Theme::default(), KeyMap::default(), Rect::new(0, 10, 80, 12));
        let (scene, later) = (testing::scene(2, 3), testing::scene(2, 4));
        let view = testing::view(&scene, &theme, &keys, area);
        let waiting = Arc::new(testing::waiting(2, 3));
        let lock = |number| Opened { by: By::Lock, key: Key::Lock(number), realm: Realm::Locks };
        let preview = Preview::new(area, &view, &waiting, lock(2));
        assert!(preview.is_good(area, &view, &waiting, &lock(2)));
        assert!(!preview.is_good(area, &view, &waiting, &lock(3)));
        assert!(!preview.is_good(Rect { height: 11, ..area }, &view, &waiting, &lock(2)));
        // What was found later of about the same time.
        let newer = Arc::new(Waiting::clone(&waiting));
        assert!(preview.is_good(area, &view, &newer, &lock(2)));
        let frozen = scene.view(&theme, &keys, view.size, true);
        assert!(
            preview.is_good(area, &frozen, &waiting, &lock(2)) && !preview.is_good(area, &frozen, &newer, &lock(2))
        );
        assert!(!preview.is_good(area, &testing::view(&later, &theme, &keys, area), &newer, &lock(2)));
        let mut names = Waiting::clone(&waiting);
        names.chains.pop_last();
        assert!(!preview.is_good(area, &view, &Arc::new(names), &lock(2)));
    }
}
