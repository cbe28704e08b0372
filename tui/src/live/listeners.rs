//! Those who are told what a sampler has seen.

use crossbeam_channel::{Sender, TrySendError};
use rumpscope_reports::Sample;
use std::sync::Arc;

/// What a sampler tells. When its process has ended, the last news is a sample with
/// [`State::Dead`](rumpscope_reports::State), or the trouble that kept it from being taken; then the channel is
/// disconnected.
#[derive(Clone, Debug)]
pub enum News {
    /// How the process is.
    Sample(Arc<Sample>),
    /// Why there was no sample this time, for people: the segment is cut short, contradicts itself, or was replaced. It is
    /// tried again after the interval, as long as the process runs.
    Trouble(Arc<str>),
}

/// One who is told.
#[derive(Debug)]
pub(super) struct Listener {
    channel: Sender<News>,
    /// Samples that found the channel full.
    missed: u64,
}

impl Listener {
    pub(super) fn new(channel: Sender<News>) -> Self {
        Listener { channel, missed: 0 }
    }

    /// Tells `news` unless the channel is full.
    pub(super) fn tell(&mut self, news: &News) -> Told {
        // Only this thread sends, so what has room now has it below.
        if self.channel.is_full() {
            return self.lose(news);
        }
        let told = match news {
            News::Sample(sample) if self.missed != 0 => {
                News::Sample(Arc::new(Sample { missed: self.missed, ..Sample::clone(sample) }))
            }
            news => news.clone(),
        };
        match self.channel.try_send(told) {
            Ok(()) => Told::Yes,
            Err(TrySendError::Full(_)) => self.lose(news),
            Err(TrySendError::Disconnected(_)) => Told::Gone,
        }
    }

    fn lose(&mut self, news: &News) -> Told {
        if let News::Sample(_) = news {
            self.missed += 1;
        }
        Told::Full
    }

    /// Tells the last news there will be: that it found no room is no loss, since it is tried again.
    pub(super) fn tell_last(&mut self, news: &News) -> Told {
        let missed = self.missed;
        let told = self.tell(news);
        self.missed = missed;
        told
    }
}

/// What became of news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It is in the channel.
    Yes,
    /// There was no room.
    Full,
    /// Nobody listens any more.
    Gone,
}

#[cfg(test)]
mod tests {
    use super::super::target::testing::sample;
    use super::*;
    use crossbeam_channel::bounded;

    fn missed(news: News) -> u64 {
        let News::Sample(sample) = news else { panic!("no sample: {news:?}") };
        sample.missed
    }

    #[test]
    fn who_is_too_slow_loses_samples_and_is_told_how_many() {
        let (sender, receiver) = bounded(2);
        let mut listener = Listener::new(sender);
        let news = News::Sample(Arc::new(sample()));
        assert_eq!([(); 5].map(|()| listener.tell(&news)), [Told::Yes, Told::Yes, Told::Full, Told::Full, Told::Full]);
        assert_eq!((missed(receiver.recv().unwrap()), missed(receiver.recv().unwrap())), (0, 0));
        assert_eq!(listener.tell(&news), Told::Yes);
        assert_eq!(missed(receiver.recv().unwrap()), 3);
    }

    #[test]
    fn what_is_told_last_is_not_missed() {
        let (sender, receiver) = bounded(1);
        let mut listener = Listener::new(sender);
        let news = News::Sample(Arc::new(sample()));
        listener.tell(&news);
        assert_eq!(listener.tell_last(&news), Told::Full);
        receiver.recv().unwrap();
        assert_eq!(listener.tell_last(&news), Told::Yes);
        assert_eq!(missed(receiver.recv().unwrap()), 0);
        drop(receiver);
        assert_eq!(listener.tell_last(&news), Told::Gone);
    }
}
