//! Who waited for what, with names, for the screens that show it.
//!
//! Names come from the files that the process had loaded: to open them takes a second, in which no key may go unheard. So a
//! thread finds them, and a picture is drawn of what it has found so far; when there is more, it is drawn again. The thread
//! begins when a screen asks for the first time, and finds each name once.

use crate::heap;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};
use rumpscope_probes::Snapshot;
use rumpscope_probes::contention::Module;
use rumpscope_reports::Sample;
#[cfg(test)]
use rumpscope_reports::contention::Names;
use rumpscope_reports::contention::{Book, Waiting};
use rumpscope_reports::symbols::Symbols;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a picture waits for what it is to show: names that are known already take less than that, so that it is of the
/// same moment as the rest of the picture.
const PATIENCE: Duration = Duration::from_millis(12);

/// How long what was read of files is kept after it was of use: new names come in bursts, and reading takes long.
const KEPT: Duration = Duration::from_secs(20);

/// For which time: process, and ticks from and to.
type Key = (u32, u64, u64, u64);

/// What is asked for.
struct Job {
    key: Key,
    earlier: Option<Arc<Sample>>,
    later: Arc<Sample>,
}

/// Where it is found.
enum Finder {
    /// Nobody has asked yet.
    Idle,
    /// By a thread.
    Thread(Sender<Job>, Receiver<(Key, Arc<Waiting>)>),
    /// At once, by names that are known.
    #[cfg(test)]
    Direct(Box<dyn Names>),
}

/// Who waited for what, for whoever asks.
pub struct Waits {
    finder: Finder,
    /// What the thread is at work on.
    asked: Option<Key>,
    found: Option<(Key, Arc<Waiting>)>,
}

/// The same for several screens.
pub type Shared = Rc<RefCell<Waits>>;

impl Waits {
    /// Nothing is known yet.
    pub fn shared() -> Shared {
        Rc::new(RefCell::new(Waits { finder: Finder::Idle, asked: None, found: None }))
    }

    /// Names that are known already, for tests.
    #[cfg(test)]
    pub fn known(names: Box<dyn Names>) -> Shared {
        Rc::new(RefCell::new(Waits { finder: Finder::Direct(names), asked: None, found: None }))
    }

    /// The waiting from `earlier`, or the start, to `later`. While names are being found it is that of an earlier time, or
    /// else without names.
    pub fn of(&mut self, earlier: Option<&Arc<Sample>>, later: &Arc<Sample>) -> Arc<Waiting> {
        let key = key(earlier.map(|earlier| &earlier.snapshot), &later.snapshot);
        if let Some((of, waiting)) = &self.found
            && *of == key
        {
            return waiting.clone();
        }
        match &mut self.finder {
            #[cfg(test)]
            Finder::Direct(names) => {
                let earlier = earlier.map(|earlier| &earlier.snapshot);
                let mut book = Book::default();
                book.complete(&later.snapshot.contention, names.as_mut());
                let waiting = Arc::new(Waiting::by(earlier, &later.snapshot, &book));
                self.found = Some((key, waiting));
            }
            Finder::Idle => {
                self.finder = begin();
                self.ask(key, earlier, later);
            }
            Finder::Thread(..) => {
                self.take(Duration::ZERO);
                self.ask(key, earlier, later);
            }
        }
        // Of another process nothing is shown.
        match self.found.as_ref().filter(|(of, _)| of.0 == key.0 && of.1 == key.1) {
            Some((_, waiting)) => waiting.clone(),
            None => {
                let earlier = earlier.map(|earlier| &earlier.snapshot);
                Arc::new(Waiting::by(earlier, &later.snapshot, &Book::default()))
            }
        }
    }

    fn ask(&mut self, key: Key, earlier: Option<&Arc<Sample>>, later: &Arc<Sample>) {
        if self.asked.is_none()
            && self.found.as_ref().is_none_or(|(of, _)| *of != key)
            && let Finder::Thread(jobs, _) = &self.finder
            && jobs.try_send(Job { key, earlier: earlier.cloned(), later: later.clone() }).is_ok()
        {
            self.asked = Some(key);
            self.take(PATIENCE);
        }
    }

    /// Takes what has been found, if something was within this time.
    fn take(&mut self, patience: Duration) {
        let Finder::Thread(_, results) = &self.finder else { return };
        let result = match results.try_recv() {
            Err(TryRecvError::Empty) if self.asked.is_some() => results.recv_timeout(patience).ok(),
            result => result.ok(),
        };
        if let Some(result) = result {
            self.asked = None;
            self.found = Some(result);
        }
    }

    /// Whether something was asked for and has not been found yet.
    pub fn is_pending(&self) -> bool {
        self.asked.is_some()
    }
}

fn key(earlier: Option<&Snapshot>, later: &Snapshot) -> Key {
    (later.process.pid, later.began, earlier.map_or(0, |earlier| earlier.taken), later.taken)
}

/// Starts the thread. Where there can be none, nothing will ever be found.
fn begin() -> Finder {
    let ((jobs, taken), (found, results)) = (bounded::<Job>(1), bounded(1));
    // It ends when nobody asks any more. Nobody waits for that: it may be in the middle of a large file.
    let work = move || {
        let mut finding = Finding::default();
        loop {
            let job = match taken.recv_timeout(KEPT) {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => {
                    finding.forget_files();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if found.send((job.key, Arc::new(finding.find(&job)))).is_err() {
                return;
            }
        }
    };
    match std::thread::Builder::new().name("names".to_owned()).spawn(work) {
        Ok(_) => Finder::Thread(jobs, results),
        Err(_) => Finder::Thread(bounded(0).0, bounded(0).1),
    }
}

/// How many bytes of debug information a file may have to be asked for lines and inlined functions. The components of a
/// rump kernel have less; a large program's would take hundreds of megabytes, and that of the C library alone 30.
const MOST_DEBUG_INFO: u64 = 4 << 20;

/// Names for a process that has `modules`, found without much memory or time.
pub fn symbols(modules: &[Module]) -> Symbols {
    Symbols::new(modules).debug_info_up_to(MOST_DEBUG_INFO)
}

/// Names that the thread has found, and the files that it finds them in.
#[derive(Default)]
struct Finding {
    /// Of which process: its number and when measuring began.
    of: (u32, u64),
    book: Book,
    /// What files tell, and when it was asked last. They are large: who has not been asked for a time is dropped.
    files: Option<(Symbols, Instant)>,
}

impl Finding {
    fn find(&mut self, job: &Job) -> Waiting {
        let contention = &job.later.snapshot.contention;
        let of = (job.key.0, job.key.1);
        if self.of != of {
            *self = Finding { of, ..Finding::default() };
        }
        if !self.book.is_complete(contention) {
            let (symbols, asked) = self.files.get_or_insert_with(|| (symbols(&contention.modules), Instant::now()));
            symbols.learn(&contention.modules);
            self.book.complete(contention, symbols);
            *asked = Instant::now();
            // What was read of a file to make tables of it is several times what they take.
            heap::give_back();
        }
        self.forget_files();
        Waiting::by(job.earlier.as_ref().map(|earlier| &earlier.snapshot), &job.later.snapshot, &self.book)
    }

    fn forget_files(&mut self) {
        if self.files.take_if(|(_, asked)| asked.elapsed() >= KEPT).is_some() {
            heap::give_back();
        }
    }
}

/// Why there is nothing to show of waiting, if that is so.
pub fn why_none(sample: &Sample) -> Option<&'static str> {
    const WHY: &str =
        "it is not recorded who waits for whom: RUMPSCOPE_CONTENTION, the timing mode or the back end says so";
    (!sample.snapshot.contention.recorded).then_some(WHY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::testing;

    #[test]
    fn a_thread_finds_what_was_asked_for_and_then_the_next() {
        let samples: Vec<_> = testing::samples(2, 3).into_iter().map(Arc::new).collect();
        let waits = Waits::shared();
        let mut waits = waits.borrow_mut();
        let begin = Instant::now();
        for (earlier, later) in
            [(None, &samples[0]), (Some(&samples[0]), &samples[1]), (Some(&samples[1]), &samples[2])]
        {
            let wanted = key(earlier.map(|earlier| &earlier.snapshot), &later.snapshot);
            waits.of(earlier, later);
            while waits.found.as_ref().is_none_or(|(of, _)| *of != wanted) {
                waits.of(earlier, later);
                assert!(begin.elapsed() < Duration::from_secs(30));
                std::thread::sleep(Duration::from_millis(1));
            }
            assert!(!waits.is_pending());
        }
    }

    #[test]
    fn another_process_is_not_shown_what_was_found_of_the_last() {
        let samples: Vec<_> = testing::samples(2, 1).into_iter().map(Arc::new).collect();
        let waits = Waits::known(Box::new(testing::Known));
        let mut waits = waits.borrow_mut();
        assert!(!waits.of(None, &samples[0]).chains.is_empty());
        waits.finder = Finder::Thread(bounded(0).0, bounded(0).1);
        let mut other = Sample::clone(&samples[0]);
        other.snapshot.process.pid += 1;
        let without_names = waits.of(None, &Arc::new(other));
        assert!(without_names.chains.is_empty() && !without_names.locks.is_empty());
    }
}
