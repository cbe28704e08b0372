//! Contention is told as it was: the lock, who waited for it and from where, who held it and why, and for how long.

use crate::parts::assert_within;
use crate::process::{self, Ended, tell};
use libtest_mimic::Trial;
use rumpscope_bench_suite::hypervisor::Hypervisor;
use rumpscope_bench_suite::scenario::Scenario;
use rumpscope_probes::contention::{Contention, LockKind, Part, Wait};
use rumpscope_probes::{Hypercall, Metric, Quantity, Snapshot};
use rumpscope_reports::symbols::Symbols;
use std::cell::RefCell;

/// How often a scenario is tried.
const ATTEMPTS: u32 = 8;

pub fn trials() -> Vec<Trial> {
    let scenario = |scenario: Scenario, check: fn(&Profile) -> Result<(), String>| {
        Trial::test(format!("contention::{}", scenario.name()), move || {
            // A host with other work takes a thread's processor away at any moment: then others hold the lock for long, and
            // that is told; or a thread loses it between the end of its wait and its own look at the clock.
            let mut last = Ok(());
            for _ in 0..ATTEMPTS {
                last = check(&Profile::of(scenario));
                if last.is_ok() {
                    break;
                }
            }
            last.map_err(|problem| format!("in none of {ATTEMPTS} runs; in the last one: {problem}").into())
        })
    };
    vec![
        scenario(Scenario::Held, |profile| profile.agrees(&held(profile)?, &[Hypercall::MutexEnter])),
        scenario(Scenario::Starved, |profile| profile.agrees(&starved(profile)?, &[Hypercall::RwEnter])),
        scenario(Scenario::Disk, |profile| profile.agrees(&disk(profile)?, &[Hypercall::MutexEnter])),
        scenario(Scenario::BigLock, big_lock),
        Trial::test("contention::totals_agree", || {
            ["locks 2 300000", "rwlocks 2 200000", "condvars 2 20000", "mixed 2 4000"]
                .iter()
                .for_each(|run| totals_agree(run));
            Ok(())
        }),
        Trial::test("contention::off", || {
            nothing_is_recorded_when_it_is_off();
            Ok(())
        }),
    ]
}

/// The measured process.
pub fn child_main(name: &str, hypervisor: Hypervisor) -> ! {
    let scenario = Scenario::ALL.into_iter().find(|scenario| scenario.name() == name).expect("a scenario");
    let waited = scenario.run(hypervisor).expect("a run without failures");
    tell("waited", waited.as_nanos() as u64);
    std::process::exit(0)
}

/// What is in the segment of a scenario, and what it told itself.
struct Profile {
    ended: Ended,
    snapshot: Snapshot,
    symbols: RefCell<Symbols>,
}

impl Profile {
    fn of(scenario: Scenario) -> Self {
        let what = format!("contention {}", scenario.name());
        let ended = process::run(&what.replace(' ', "-"), &what, &[]);
        assert!(ended.status.success());
        let snapshot = ended.snapshot();
        assert!(snapshot.contention.recorded);
        assert_eq!(snapshot.contention.lost, 0);
        let symbols = RefCell::new(Symbols::new(&snapshot.contention.modules));
        Profile { ended, snapshot, symbols }
    }

    fn contention(&self) -> &Contention {
        &self.snapshot.contention
    }

    /// The names of the functions in a chain, innermost first.
    fn names(&self, stack: u32) -> Vec<String> {
        let mut symbols = self.symbols.borrow_mut();
        let chain = self.contention().stacks.get(&stack);
        chain.map_or(Vec::new(), |chain| symbols.chain(chain).into_iter().map(|frame| frame.function).collect())
    }

    fn is_in(&self, stack: u32, function: &str) -> bool {
        self.names(stack).iter().any(|name| name.ends_with(&format!("::{function}")))
    }

    /// The waits for the lock of this kind that was waited for longest: its number and they.
    fn longest(&self, kind: LockKind) -> (u32, Vec<&Wait>) {
        let locks = self.contention().locks.iter().filter(|(_, lock)| lock.kind == kind);
        let (&number, _) = locks.max_by_key(|(_, lock)| lock.wait.sum).expect("a lock that was waited for");
        (number, self.contention().waits.iter().filter(|wait| wait.lock == number).collect())
    }

    /// Whether the times of `waits` add up to what the scenario has measured: but for what is no wait for the lock, giving up
    /// the virtual CPU before, taking one after, and the call's own work, in which it tells of its wait.
    fn agrees(&self, waits: &[&Wait], around: &[Hypercall]) -> Result<(), String> {
        let ticks = |ns: u64| (ns as f64 * self.snapshot.clock.ticks_per_second / 1e9) as u64;
        let waited = ticks(self.ended.told("waited"));
        let quantities = [
            Quantity::Unschedule,
            Quantity::SlowUnschedule,
            Quantity::Reschedule,
            Quantity::SlowReschedule,
            Quantity::Own,
        ];
        let others: u64 = around
            .iter()
            .flat_map(|&call| quantities.map(|quantity| Metric { quantity, call }))
            .map(|metric| self.snapshot.total(metric).extrapolated().sum)
            .sum();
        see(others <= waited / 10, || format!("{others} of {waited} ticks are no wait"))?;
        let told = sum(waits) as f64;
        let range = waited.saturating_sub(others) as f64 * 0.98..=waited as f64 * 1.02;
        see(range.contains(&told), || format!("waits of {told} ticks, where the scenario has measured {range:?}"))
    }
}

/// What depends on the host's giving its processors to the scenario.
fn see(is_so: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(otherwise()) }
}

/// That `part` is at least so many per cent of `whole`.
fn mostly(part: u64, percent: u64, whole: u64, what: &str) -> Result<(), String> {
    see(part >= whole * percent / 100, || format!("{what}: {part} of {whole} ticks"))
}

fn sum<'a>(waits: impl IntoIterator<Item = &'a &'a Wait>) -> u64 {
    waits.into_iter().map(|wait| wait.ticks).sum()
}

fn held(profile: &Profile) -> Result<Vec<&Wait>, String> {
    let (_, waits) = profile.longest(LockKind::Mutex);
    assert!(waits.iter().all(|wait| wait.call == Hypercall::MutexEnter));
    let right = waits.iter().copied().filter(|wait| {
        wait.part == Part::Held
            && profile.is_in(wait.waiter, "wants_the_lock")
            && profile.is_in(wait.holder, "holds_for_300_us")
    });
    let right: Vec<&Wait> = right.collect();
    // The rest is being woken, which takes its time where the host has other work.
    let by_holder = sum(waits.iter().filter(|wait| matches!(wait.part, Part::Held | Part::HolderWaited(_))));
    mostly(sum(&right), 90, by_holder, "held for 300 us")?;
    Ok(waits)
}

fn starved(profile: &Profile) -> Result<Vec<&Wait>, String> {
    let (_, waits) = profile.longest(LockKind::Rwlock);
    // Readers wait, too, while the lock is kept for the writer.
    let writer: Vec<&Wait> = waits.iter().copied().filter(|wait| profile.is_in(wait.waiter, "writes")).collect();
    // The readers slept with the lock: that is what the writer waited for.
    let asleep =
        |wait: &&&Wait| wait.part == Part::HolderWaited(Hypercall::ClockSleep) && profile.is_in(wait.holder, "reads");
    let by_sleepers = sum(writer.iter().filter(asleep));
    mostly(by_sleepers, 80, sum(&writer), "the readers slept")?;
    Ok(writer)
}

fn big_lock(profile: &Profile) -> Result<(), String> {
    let spin = profile.contention().locks.iter().filter(|(_, lock)| lock.kind == LockKind::SpinMutex);
    let (&number, lock) = spin.max_by_key(|(_, lock)| lock.wait.sum).expect("the big lock");
    assert!(profile.names(lock.made).iter().any(|name| name.contains("BigLock")), "{:?}", profile.names(lock.made));
    let name = rumpscope_reports::symbols::lock_name(&mut profile.symbols.borrow_mut(), lock, profile.contention());
    assert_eq!(name.as_deref(), Some("the big kernel lock"));
    let waits: Vec<&Wait> = profile.contention().waits.iter().filter(|wait| wait.lock == number).collect();
    let known = |wait: &&&Wait| wait.part == Part::Held && profile.is_in(wait.holder, "needs_the_big_lock");
    // Waits that were over within a microsecond had nobody asked.
    mostly(sum(waits.iter().filter(known)), 60, sum(&waits), "held by who needs it")?;
    let waited_here = waits.iter().filter(|wait| profile.is_in(wait.waiter, "needs_the_big_lock"));
    mostly(sum(waited_here), 95, sum(&waits), "waited for by who needs it")?;
    see(lock.most_waiters >= 2, || format!("no convoy: {} waited at once", lock.most_waiters))
}

fn disk(profile: &Profile) -> Result<Vec<&Wait>, String> {
    let (_, waits) = profile.longest(LockKind::Mutex);
    // The holder waited for its block, with the lock.
    let blocked =
        |wait: &&&Wait| matches!(wait.part, Part::HolderWaited(_)) && profile.is_in(wait.holder, "writes_through");
    let by_blocked = sum(waits.iter().filter(blocked));
    // How much of it depends on the host's disk. The rest is the writing itself.
    mostly(by_blocked, 20, sum(&waits), "the holder waited")?;
    let by_holder = waits.iter().filter(|wait| profile.is_in(wait.holder, "writes_through"));
    mostly(sum(by_holder), 80, sum(&waits), "held by who writes through")?;
    // And what the holder waited for was told by those who wait for the disk.
    let holder = waits.iter().find(|wait| blocked(wait)).and_then(|wait| wait.holder_lane);
    let holder = holder.ok_or("nobody waited for the disk")?;
    let own: Vec<&Wait> = profile
        .contention()
        .waits
        .iter()
        .filter(|wait| wait.waiter_lane == holder && profile.is_in(wait.waiter, "writes_through") && wait.lock != 0)
        .collect();
    let for_disk = own.iter().filter(|wait| wait.part == Part::HolderWaited(Hypercall::Bio));
    mostly(sum(for_disk), 50, sum(&own), "the disk was waited for")?;
    Ok(waits)
}

/// The waits for all locks of a hypercall are that hypercall's own blocked time; the parts of the waits for a lock are the
/// waits for it.
fn totals_agree(run: &str) {
    let ended = process::run(&format!("contention-{}", run.replace(' ', "-")), &format!("guest {run}"), &[]);
    assert!(ended.status.success());
    let snapshot = ended.snapshot();
    let contention = &snapshot.contention;
    assert_eq!(contention.lost, 0);
    for (number, lock) in &contention.locks {
        let waits = || contention.waits.iter().filter(|wait| wait.lock == *number);
        assert_eq!(waits().map(|wait| wait.count).sum::<u64>(), lock.wait.count(), "waits for {lock:?}");
        assert_eq!(lock.contended, lock.wait.count());
        let parts: u64 = waits().map(|wait| wait.ticks).sum();
        assert_eq!(parts, lock.wait.sum, "parts of the waits for {lock:?}");
    }
    for call in [Hypercall::MutexEnter, Hypercall::RwEnter, Hypercall::CvWait] {
        let sum = |quantity| snapshot.total(Metric { quantity, call }).sum;
        let off = sum(Quantity::Off);
        let waits = contention.waits.iter().filter(|wait| wait.call == call && wait.lock != 0);
        let waited: u64 = waits.map(|wait| wait.ticks).sum();
        let own = sum(Quantity::Own);
        let in_place = match call {
            // A mutex is taken again after the wait for a signal, on the virtual CPU at first.
            Hypercall::CvWait => own,
            // One that is free again in a moment is waited for on the virtual CPU: by calls that have no parts.
            Hypercall::MutexEnter => {
                let parts = own + sum(Quantity::Unschedule) + off + sum(Quantity::Reschedule);
                sum(Quantity::Slow).saturating_sub(parts)
            }
            _ => 0,
        };
        assert_within(waited, [off, off + in_place], 0.001, call.name());
    }
}

fn nothing_is_recorded_when_it_is_off() {
    let off = [(rumpscope_probes::ENV_CONTENTION, "off")];
    let ended = process::run("contention-off", "guest locks 2 100000", &off);
    assert!(ended.status.success());
    let contention = ended.snapshot().contention;
    assert!(!contention.recorded && contention.locks.is_empty() && contention.waits.is_empty());
}
