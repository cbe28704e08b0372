//! Workload `timers`: everything that waits for time, and nothing comes too early.

use super::{Client, Kind, Load, Setup};
use crate::guest::GuestError;
use crate::guest::clock::{TICK, now, sleep, sleep_until};
use crate::guest::kcondvar::KCondvar;
use crate::guest::kernel::kernel;
use crate::guest::kmutex::KMutex;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;

pub(super) const KIND: Kind = Kind {
    name: "timers",
    description: "sleeps on both clocks, timeouts, callouts and cancelled callouts",
    threads: 4,
    multiple: 1,
    disk: 0,
    burst: None,
    host_locks: false,
    setup,
};

/// Callouts, as they were asked for, called and taken back.
#[derive(Default)]
struct Counts {
    asked: AtomicU64,
    called: AtomicU64,
    cancelled: AtomicU64,
}

struct Timers {
    counts: Arc<Counts>,
}

fn setup(_: &Setup) -> Result<Arc<dyn Load>, GuestError> {
    Ok(Arc::new(Timers { counts: Arc::default() }))
}

/// What a callout tells who waits for it.
struct Alarm {
    /// The tick it came at, and how often it came.
    came: KMutex<(u64, u64)>,
    changed: KCondvar,
}

impl Timers {
    /// Asks for a callout and waits for it: the ticks it took, and how often it came.
    fn wait_for_callout(&self, ticks: u64) -> (u64, u64) {
        let alarm = Arc::new(Alarm { came: KMutex::new((0, 0)), changed: KCondvar::new() });
        let (for_callout, counts) = (Arc::clone(&alarm), Arc::clone(&self.counts));
        let start = kernel().clock.ticks();
        self.counts.asked.fetch_add(1, Ordering::Relaxed);
        kernel().callouts.after(ticks, move || {
            counts.called.fetch_add(1, Ordering::Relaxed);
            let mut came = for_callout.came.enter();
            *came = (kernel().clock.ticks(), came.1 + 1);
            for_callout.changed.broadcast();
        });
        let mut came = alarm.came.enter();
        while came.1 == 0 {
            alarm.changed.wait(&mut came);
        }
        (came.0 - start, came.1)
    }

    /// Asks for a callout and takes it back at once.
    fn cancel_callout(&self, ticks: u64) {
        let counts = Arc::clone(&self.counts);
        self.counts.asked.fetch_add(1, Ordering::Relaxed);
        let id = kernel().callouts.after(ticks, move || {
            counts.called.fetch_add(1, Ordering::Relaxed);
        });
        if kernel().callouts.cancel(id) {
            self.counts.cancelled.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Waits for a signal that never comes; whether it was the time that ended it.
fn time_out(timeout: Duration) -> bool {
    let (mutex, condvar) = (KMutex::new(()), KCondvar::new());
    let end = now() + timeout;
    let mut guard = mutex.enter();
    loop {
        let signalled = condvar.wait_for(&mut guard, end.saturating_sub(now()));
        // A wake-up for no reason is no error; a timeout before its time is.
        if !signalled || now() >= end {
            return now() >= end;
        }
    }
}

impl Load for Timers {
    fn run(&self, client: &mut Client<'_>) {
        while client.more() {
            let short = Duration::from_nanos(client.rng.below(2_000_000));
            let ticks = client.rng.below(3);
            match client.rng.below(8) {
                0 => {
                    let (took, came) = client.system_call(|| self.wait_for_callout(ticks));
                    client.check(took >= ticks && came == 1, || {
                        format!("a callout for {ticks} ticks came {came} times, after {took}")
                    });
                }
                1..4 => client.system_call(|| self.cancel_callout(ticks)),
                4..6 => {
                    let slept = client.system_call(|| {
                        let start = now();
                        sleep(short);
                        now() - start
                    });
                    client.check(slept >= short, || format!("a sleep of {short:?} took {slept:?}"));
                }
                6 => {
                    let late = client.system_call(|| {
                        let end = now() + short;
                        sleep_until(end);
                        now() >= end
                    });
                    client.check(late, || format!("a sleep until a time {short:?} ahead ended before it"));
                }
                _ => {
                    let in_time = client.system_call(|| time_out(short));
                    client.check(in_time, || format!("a timeout of {short:?} came too early"));
                }
            }
            client.done();
        }
    }

    fn verify(&self, _: u64) -> Result<u64, String> {
        let counts = &self.counts;
        let numbers = || [&counts.asked, &counts.called, &counts.cancelled].map(|count| count.load(Ordering::Relaxed));
        // What was not taken back is called within a few ticks; on a busy host they take a while.
        let end = now() + Duration::from_secs(60);
        let [asked, called, cancelled] = loop {
            let [asked, called, cancelled] = numbers();
            if asked == called + cancelled || now() >= end {
                break [asked, called, cancelled];
            }
            sleep(TICK);
        };
        if asked == called + cancelled {
            Ok(1)
        } else {
            Err(format!("of {asked} callouts {called} were called and {cancelled} cancelled"))
        }
    }
}
