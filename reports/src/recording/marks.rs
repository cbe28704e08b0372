//! States that are kept on a way which only leads forwards, so that who goes back need not begin at its start.

/// As many states as are kept at most, and bytes that they may take.
const MOST: usize = 32;
const BYTES: usize = 64 << 20;

/// How far they are from each other at first, in steps. When there are too many, every other one is dropped.
const FIRST: usize = 64;

/// How far before its end the last way leaves one more: most who go back go back a step at a time.
const NEAR: usize = 64;

/// What is kept, by how many steps from the start it is.
#[derive(Debug)]
pub(super) struct Marks<T> {
    every: usize,
    kept: Vec<(usize, T)>,
    near: Option<(usize, T)>,
}

impl<T: Clone> Marks<T> {
    pub(super) fn new() -> Self {
        Marks { every: FIRST, kept: Vec::new(), near: None }
    }

    /// The last one that is at step `at` or before it.
    pub(super) fn before(&self, at: usize) -> Option<&(usize, T)> {
        self.kept.iter().chain(&self.near).filter(|(step, _)| *step <= at).max_by_key(|(step, _)| *step)
    }

    /// On the way to step `end`, at step `at`, the state is this one, which takes so many `bytes` if it is kept.
    pub(super) fn pass(&mut self, at: usize, end: usize, state: &T, bytes: impl Fn(&T) -> usize) {
        let is_near = at + NEAR == end;
        let is_next = at.is_multiple_of(self.every) && self.kept.last().is_none_or(|(last, _)| at > *last);
        if !is_near && !is_next {
            return;
        }
        let most = (BYTES / bytes(state).max(1)).min(MOST);
        if is_near {
            self.near = (most > 0).then(|| (at, state.clone()));
        }
        if is_next {
            self.kept.push((at, state.clone()));
            while self.kept.len() >= most.max(1) {
                self.every *= 2;
                self.kept.retain(|(at, _)| at.is_multiple_of(self.every));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goes from the last mark before `end` to it; how far that is.
    fn go(marks: &mut Marks<usize>, end: usize, bytes: usize) -> usize {
        let start = marks.before(end).map_or(0, |(at, state)| {
            assert_eq!(at, state);
            *at
        });
        (start + 1..=end).for_each(|at| marks.pass(at, end, &at, |_| bytes));
        end - start
    }

    #[test]
    fn the_way_back_is_short() {
        let mut marks = Marks::new();
        assert_eq!(go(&mut marks, 10_000, 1 << 10), 10_000);
        assert!(marks.kept.len() <= MOST && marks.kept.len() >= MOST / 4);
        // A step at a time, and anywhere.
        let longest = (5_000..10_000).rev().map(|end| (go(&mut marks, end, 1 << 10), end)).collect::<Vec<_>>();
        assert!(longest.iter().all(|(way, _)| *way <= 10_000 / (MOST / 4)), "{longest:?}");
        assert!(longest.iter().map(|(way, _)| way).sum::<usize>() < 5_000 * 2 * NEAR);
        assert!([9_999, 17, 5_678].into_iter().all(|end| go(&mut marks, end, 1 << 10) <= 10_000 / (MOST / 4)));
    }

    #[test]
    fn what_is_large_is_kept_seldom_or_not_at_all() {
        let mut marks = Marks::new();
        go(&mut marks, 10_000, BYTES / 4);
        assert!((1..4).contains(&marks.kept.len()) && marks.near.is_some());
        let mut marks = Marks::new();
        go(&mut marks, 10_000, BYTES + 1);
        assert!(marks.kept.is_empty() && marks.near.is_none());
        // It has grown.
        let mut marks = Marks::new();
        go(&mut marks, 1_000, 1);
        go(&mut marks, 2_000, BYTES + 1);
        assert!(marks.kept.is_empty() && marks.near.is_none());
    }
}
