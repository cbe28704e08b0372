//! The thread that takes samples.
//!
//! What a sample costs grows with the guest: of a large one it is much to read and to show ten times a second. Who watches
//! takes samples at a [`Pace`] then that leaves the machine to the guest, and between whole ones their outlines, which cost
//! less.

use super::listeners::{Listener, News, Told};
use super::pace::{Cost, Pace};
use super::target::Target;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use rumpscope_probes::reader::{Extent, ReadError, Segment};
use rumpscope_reports::State;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The shortest interval: ten times as often as a dashboard needs, and still no load.
pub const SHORTEST: Duration = Duration::from_millis(10);

/// How often it is looked whether the process still runs, where the interval is longer.
const LOOK: Duration = Duration::from_millis(200);

/// How often who has no room for the last news is tried again.
const AGAIN: Duration = Duration::from_millis(20);

/// A thread that takes samples of a process. It begins with the first who listens, and ends when nobody does any more,
/// when the process has ended, or when this is dropped.
#[derive(Debug)]
pub struct Sampler {
    /// `None` only while it is dropped.
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread is asked to do; that nobody can ask any more is the order to end.
#[derive(Debug)]
enum Order {
    Tell(Listener),
    Interval(Duration),
}

impl Sampler {
    /// Samples of the process of `segment`, one each `interval` (at least [`SHORTEST`]), or fewer at a sparing pace.
    ///
    /// # Errors
    /// When the segment cannot be read.
    ///
    /// # Panics
    /// When the host has no thread left.
    pub fn start(segment: Segment, interval: Duration, pace: Pace) -> Result<Self, ReadError> {
        let target = Target::new(segment)?;
        let (orders, taken) = unbounded();
        let interval = interval.max(SHORTEST);
        let state = Loop { target, orders: taken, interval, pace, listeners: Vec::new(), last: None };
        let thread = std::thread::Builder::new().name("sampler".to_owned()).spawn(move || state.run());
        Ok(Sampler { orders: Some(orders), thread: Some(thread.expect("a thread")) })
    }

    /// A channel with room for `depth` news (at least one). The first comes at once: the sample that was taken last, or
    /// else a new one. It is disconnected when the sampler has ended.
    pub fn subscribe(&self, depth: usize) -> Receiver<News> {
        let (sender, receiver) = bounded(depth.max(1));
        self.order(Order::Tell(Listener::new(sender)));
        receiver
    }

    /// From now on one sample each `interval`.
    pub fn set_interval(&self, interval: Duration) {
        self.order(Order::Interval(interval.max(SHORTEST)));
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // A sampler that has ended obeys no more; whoever listens is told by its channel.
            let _ = orders.send(order);
        }
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The state of the thread.
struct Loop {
    target: Target,
    orders: Receiver<Order>,
    interval: Duration,
    pace: Pace,
    listeners: Vec<Listener>,
    /// What those are told at once who come later.
    last: Option<News>,
}

impl Loop {
    fn run(mut self) {
        // Until then there is nobody to sample for.
        let Ok(order) = self.orders.recv() else { return };
        self.obey(order);
        let mut due = Instant::now();
        // No order makes a sample come earlier than its cost allows.
        let mut earliest = due;
        let mut cost = Cost::new(due);
        loop {
            match self.orders.recv_deadline(due.min(Instant::now() + LOOK)) {
                Ok(order) => {
                    self.obey(order);
                    due = due.min(Instant::now() + self.interval).max(earliest);
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let alive = self.target.is_alive();
            let now = Instant::now();
            if alive && now < due {
                continue;
            }
            let extent = cost.next(self.pace, now, self.interval);
            let (state, extent) = if alive { (State::Alive, extent) } else { (State::Dead, Extent::Whole) };
            let news = match self.target.sample(state, extent) {
                Ok(sample) => News::Sample(Arc::new(sample)),
                Err(problem) => News::Trouble(problem.to_string().into()),
            };
            if !alive {
                return self.end(&news);
            }
            self.listeners.retain_mut(|listener| listener.tell(&news) != Told::Gone);
            if self.listeners.is_empty() {
                return;
            }
            self.last = Some(news);
            earliest = now + cost.pause(self.pace, self.interval);
            // What could not be kept up with is left out.
            due = (due + self.interval).max(earliest);
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Interval(interval) => self.interval = interval,
            Order::Tell(mut listener) => {
                if let Some(last) = &self.last {
                    listener.tell(last);
                }
                self.listeners.push(listener);
            }
        }
    }

    /// Tells the last news to everybody, even to those who take their time.
    fn end(mut self, news: &News) {
        self.last = None;
        loop {
            self.listeners.retain_mut(|listener| listener.tell_last(news) == Told::Full);
            if self.listeners.is_empty() {
                return;
            }
            match self.orders.recv_timeout(AGAIN) {
                Ok(order) => self.obey(order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::target::testing::Forged;
    use super::*;
    use rumpscope_reports::Sample;

    /// What no test waits longer for.
    const LONG: Duration = Duration::from_secs(30);
    const SHORT: Duration = Duration::from_millis(10);

    fn next(news: &Receiver<News>) -> Arc<Sample> {
        match news.recv_timeout(LONG) {
            Ok(News::Sample(sample)) => sample,
            other => panic!("no sample: {other:?}"),
        }
    }

    /// The next trouble; samples before it are passed over.
    fn trouble(news: &Receiver<News>) -> Arc<str> {
        loop {
            match news.recv_timeout(LONG).expect("news") {
                News::Trouble(problem) => return problem,
                News::Sample(_) => {}
            }
        }
    }

    /// The last news before the channel is disconnected.
    fn last(news: &Receiver<News>) -> Option<News> {
        let mut last = None;
        loop {
            match news.recv_timeout(LONG) {
                Ok(news) => last = Some(news),
                Err(RecvTimeoutError::Disconnected) => return last,
                Err(RecvTimeoutError::Timeout) => panic!("the sampler does not end"),
            }
        }
    }

    #[test]
    fn samples_come_until_the_process_has_ended() {
        let mut forged = Forged::new("ended");
        let sampler = Sampler::start(forged.open(), SHORT, Pace::Even).unwrap();
        let news = sampler.subscribe(4);
        let (first, second) = (next(&news), next(&news));
        assert!(first.snapshot.taken < second.snapshot.taken);
        assert_eq!((first.state, first.snapshot.process.pid), (State::Alive, forged.pid()));
        forged.kill();
        let Some(News::Sample(dead)) = last(&news) else { panic!("no last sample") };
        assert_eq!(dead.state, State::Dead);
        assert!(dead.snapshot.taken >= second.snapshot.taken, "an interval that ends before it begins");
        assert!(last(&sampler.subscribe(1)).is_none(), "it has ended");
    }

    #[test]
    fn the_last_sample_waits_for_who_is_slow() {
        let mut forged = Forged::new("slow");
        let sampler = Sampler::start(forged.open(), SHORT, Pace::Even).unwrap();
        let (slow, quick) = (sampler.subscribe(1), sampler.subscribe(100));
        next(&quick);
        forged.kill();
        let Some(News::Sample(_)) = last(&quick) else { panic!("no last sample") };
        assert_eq!(next(&slow).state, State::Alive);
        assert_eq!(next(&slow).state, State::Dead);
    }

    #[test]
    fn who_comes_later_is_told_at_once() {
        let forged = Forged::new("later");
        let sampler = Sampler::start(forged.open(), Duration::from_secs(3600), Pace::Even).unwrap();
        let first = next(&sampler.subscribe(1));
        assert_eq!(next(&sampler.subscribe(1)).snapshot.taken, first.snapshot.taken);
        // A shorter interval counts from now on, not from the end of the longer one.
        let news = sampler.subscribe(2);
        next(&news);
        sampler.set_interval(SHORT);
        assert!(next(&news).snapshot.taken > first.snapshot.taken);
    }

    #[test]
    fn nobody_is_sampled_for() {
        let forged = Forged::new("nobody");
        let sampler = Sampler::start(forged.open(), SHORT, Pace::Even).unwrap();
        drop(sampler.subscribe(1));
        let thread = sampler.thread.as_ref().unwrap();
        let begin = Instant::now();
        while !thread.is_finished() && begin.elapsed() < LONG {
            std::thread::sleep(SHORT);
        }
        assert!(thread.is_finished());
    }

    #[test]
    fn a_segment_that_is_cut_short_is_told_and_read_again_when_it_is_whole() {
        let forged = Forged::new("cut");
        let sampler = Sampler::start(forged.open(), SHORT, Pace::Even).unwrap();
        let news = sampler.subscribe(1);
        next(&news);
        forged.truncate(100);
        assert!(trouble(&news).contains("no segment"), "{}", trouble(&news));
        forged.write();
        let begin = Instant::now();
        while !matches!(news.recv_timeout(LONG), Ok(News::Sample(_))) {
            assert!(begin.elapsed() < LONG);
        }
    }

    #[test]
    fn a_segment_that_lies_or_belongs_to_another_is_told() {
        for (name, word, value, told) in [
            ("version", 1, 99, "version 99"),
            ("used", 3, u64::MAX, "is damaged"),
            ("other", 4, 1, "another process"),
            ("began", 10, 12345, "another process"),
        ] {
            let mut forged = Forged::new(name);
            let sampler = Sampler::start(forged.open(), SHORT, Pace::Even).unwrap();
            let news = sampler.subscribe(1);
            next(&news);
            forged.set(word, value);
            let problem = trouble(&news);
            assert!(problem.contains(told), "{problem}");
            forged.kill();
            let Some(News::Trouble(problem)) = last(&news) else { panic!("{name}: a sample") };
            assert!(problem.contains(told), "{problem}");
        }
    }
}
