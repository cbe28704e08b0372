//! The record of what happened, in one order for all threads.

use super::{DEADLINE, thread};
use libc::pid_t;
use std::sync::{Condvar, Mutex, MutexGuard};

/// Something that happened in the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// `backend_unschedule`: the thread has left its virtual CPU. The interlock's address.
    Left { interlock: usize },
    /// `backend_schedule`: the thread asks for a virtual CPU.
    Asked { interlock: usize },
    /// It has one.
    Back { interlock: usize },
    /// `schedule`: the thread has a virtual CPU and an lwp.
    Scheduled,
    /// `unschedule`.
    Unscheduled,
    /// `lwproc_newlwp`: in this process of the guest.
    NewLwp(pid_t),
    /// `lwproc_release`.
    Released,
    /// `lwproc_switch`: to the lwp with this address.
    Switched(usize),
    /// A point in the case itself.
    Mark(&'static str),
}

#[derive(Clone, Copy, Debug)]
struct Record {
    thread: u32,
    event: Event,
}

#[derive(Debug, Default)]
struct Book {
    records: Vec<Record>,
    violations: Vec<String>,
    quiet: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Trace {
    book: Mutex<Book>,
    changed: Condvar,
}

impl Trace {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("no panic while locked")
    }

    /// Adds an event of the calling thread.
    pub(crate) fn record(&self, event: Event) {
        let mut book = self.book();
        if !book.quiet {
            book.records.push(Record { thread: thread::number(), event });
            self.changed.notify_all();
        }
    }

    /// Records nothing from now on: for cases that make too many transitions.
    pub(crate) fn silence(&self) {
        self.book().quiet = true;
    }

    /// A rule of the interface was broken by the calling thread's hypercall.
    pub(crate) fn violation(&self, what: String) {
        self.book().violations.push(format!("thread {}: {what}", thread::number()));
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.book().violations.clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.book().records.len()
    }

    /// The events of the calling thread from position `start` on.
    pub(crate) fn of_this_thread(&self, start: usize) -> Vec<Event> {
        self.of(thread::number(), start)
    }

    /// The events of a thread from position `start` on.
    pub(crate) fn of(&self, thread: u32, start: usize) -> Vec<Event> {
        self.book().records[start..]
            .iter()
            .filter(|record| record.thread == thread)
            .map(|record| record.event)
            .collect()
    }

    /// How often `event` happened in any thread.
    pub(crate) fn count(&self, event: Event) -> usize {
        self.book().records.iter().filter(|record| record.event == event).count()
    }

    /// Waits until `event` has happened `times` in any thread.
    pub(crate) fn wait_for(&self, event: Event, times: usize) {
        self.wait_until(&format!("{event:?} x {times}"), |records| {
            records.iter().filter(|record| record.event == event).count() >= times
        });
    }

    /// Waits until `thread` has an event that is `wanted`.
    pub(super) fn wait_for_thread(&self, thread: u32, what: &str, wanted: impl Fn(Event) -> bool) {
        self.wait_until(what, |records| records.iter().any(|record| record.thread == thread && wanted(record.event)));
    }

    fn wait_until(&self, what: &str, happened: impl Fn(&[Record]) -> bool) {
        let (book, timeout) = self
            .changed
            .wait_timeout_while(self.book(), DEADLINE, |book| !happened(&book.records))
            .expect("no panic while locked");
        let records = book.records.clone();
        drop(book);
        assert!(!timeout.timed_out(), "waited {DEADLINE:?} for {what}; this happened:\n{records:#?}");
    }

    /// Checks that the points `first` and `second` were passed, once each and in this order.
    pub(crate) fn assert_order(&self, first: &'static str, second: &'static str) {
        let book = self.book();
        let position = |point| {
            let mut places = (0..book.records.len()).filter(|place| book.records[*place].event == Event::Mark(point));
            (places.next(), places.next())
        };
        let places = (position(first), position(second));
        drop(book);
        let ((Some(a), None), (Some(b), None)) = places else {
            panic!("{first}, {second} not passed once: {places:?}")
        };
        assert!(a < b, "{second} came before {first}");
    }
}
