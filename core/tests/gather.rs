//! Where threads may run that wait in our locks while they are gathered on one processor, and afterwards: in a process of its own
//! for each setting, since it is begun once.
#![cfg(not(loom))]

use rumpuser::host::gather;
use rumpuser::host::sync::{Condvar, Home, Monitor, Note, Outcome, Owner, Reply, Waited};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// Where the calling thread may run.
fn affinity() -> libc::cpu_set_t {
    // SAFETY: all zero is a set; the host writes no more than that.
    unsafe {
        let mut set: libc::cpu_set_t = core::mem::zeroed();
        assert_eq!(libc::sched_getaffinity(0, size_of_val(&set), &mut set), 0);
        set
    }
}

/// Whether it may run on that processor, which is below `CPU_SETSIZE`.
fn may_run_on(cpu: usize) -> bool {
    // SAFETY: within the set.
    unsafe { libc::CPU_ISSET(cpu, &affinity()) }
}

/// How many processors the calling thread may run on.
fn processors() -> i32 {
    // SAFETY: only reads the set.
    unsafe { libc::CPU_COUNT(&affinity()) }
}

/// The same of a child of the calling thread.
fn processors_of_child() -> i32 {
    // SAFETY: the child makes two system calls.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::_exit(processors());
        }
        let mut status = -1;
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
        libc::WEXITSTATUS(status)
    }
}

/// Waits for a signal that comes while the calling thread sleeps.
fn wait_for_a_moment() {
    let condition = &Condvar::new();
    thread::scope(|scope| {
        scope.spawn(move || {
            while condition.waiters() == 0 {
                thread::yield_now();
            }
            thread::sleep(Duration::from_millis(1));
            condition.signal([Owner::NOBODY; 2], |_| Reply::NONE);
        });
        condition.wait(None, None, Note::NONE, || ());
    });
}

/// Two threads that end each other's waits, until they are told to stop.
#[derive(Default)]
struct Pair {
    monitor: Monitor,
    turns: [Condvar; 2],
    turn: AtomicUsize,
    /// How many turns they have had.
    taken: AtomicUsize,
    /// For each the only processor that it may run on, and one more; 0: there are several.
    places: [AtomicUsize; 2],
    /// What one of them is to do, once it is on one processor only.
    errand: Mutex<Option<Errand>>,
}

type Errand = Box<dyn FnOnce() + Send>;

impl Pair {
    fn take_turns(&self, me: usize, stop: &AtomicBool) {
        let owner = Owner::from_address(&self.places[me]);
        loop {
            self.monitor.mutex().lock(owner);
            while self.turn.load(Ordering::Relaxed) != me {
                let release = || self.monitor.unlock(owner).expect("its owner");
                let Waited { outcome, .. } =
                    self.turns[me].wait(Some(Home::later(&self.monitor)), None, Note::NONE, release);
                self.monitor.mutex().lock(owner);
                if outcome == Outcome::Handed {
                    // SAFETY: locked above.
                    unsafe { self.monitor.arrive() };
                }
            }
            // SAFETY: no preconditions.
            let place = if processors() == 1 { unsafe { libc::sched_getcpu() as usize + 1 } } else { 0 };
            self.places[me].store(place, Ordering::Relaxed);
            let errand = self.errand.lock().expect("no panic").take_if(|_| place != 0);
            if let Some(errand) = errand {
                errand();
            }
            let stop = stop.load(Ordering::Relaxed);
            self.turn.store(1 - me, Ordering::Relaxed);
            self.taken.fetch_add(1, Ordering::Relaxed);
            self.turns[1 - me].signal([owner; 2], |_| Reply::NONE);
            self.monitor.unlock(owner).expect("its owner");
            if stop {
                return;
            }
        }
    }

    /// The only processor that both may run on, and one more; 0 where there are several; `None` where they differ.
    fn place(&self) -> Option<usize> {
        let [one, other] = [0, 1].map(|me| self.places[me].load(Ordering::Relaxed));
        (one == other).then_some(one)
    }
}

/// Sets it in the end.
struct Sets<'a>(&'a AtomicBool);

impl Drop for Sets<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `asked` on a new thread of which nothing is known.
fn on_a_thread<R: Send + 'static>(asked: impl FnOnce() -> R + Send + 'static) -> R {
    thread::spawn(asked).join().expect("no panic")
}

#[test]
fn places_of_threads() {
    let Ok(together) = std::env::var("TOGETHER") else { return };
    let (all, together) = (processors(), together.parse().expect("a number"));
    gather::begin();
    let after_a_wait = |asked: fn() -> i32| {
        on_a_thread(move || {
            wait_for_a_moment();
            asked()
        })
    };
    assert_eq!(after_a_wait(processors), all, "nobody is gathered");
    assert_eq!(gather::gather(), together == 1);
    assert_eq!(on_a_thread(processors), all, "it has not waited");
    assert_eq!(after_a_wait(processors), together, "after a wait");
    assert_eq!(after_a_wait(processors_of_child), all, "what it forks");
    let what_its_thread_forks = after_a_wait(|| on_a_thread(processors_of_child));
    assert_eq!(what_its_thread_forks, all, "what one forks that it makes, and that has not waited");

    let what_its_thread_forks = after_a_wait(|| {
        on_a_thread(|| {
            wait_for_a_moment();
            processors_of_child()
        })
    });
    assert_eq!(what_its_thread_forks, all, "what one forks that it makes, and that has waited");

    // One that computes afterwards, and one that it makes.
    let (tell, told) = mpsc::channel();
    static SCATTERED: AtomicBool = AtomicBool::new(false);
    let compute = |tell: mpsc::Sender<(i32, i32)>| {
        let before = processors();
        tell.send((before, 0)).expect("a receiver");
        while !SCATTERED.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
        tell.send((before, processors())).expect("a receiver");
    };
    let threads = thread::spawn(move || {
        wait_for_a_moment();
        let made = tell.clone();
        let made = thread::spawn(move || compute(made));
        compute(tell);
        made.join().expect("no panic");
    });
    assert_eq!([told.recv(), told.recv()], [Ok((together, 0)); 2]);
    gather::scatter();
    SCATTERED.store(true, Ordering::Relaxed);
    assert_eq!([told.recv(), told.recv()], [Ok((together, all)); 2], "at once, without a wait");
    threads.join().expect("no panic");
    assert_eq!(after_a_wait(processors), all, "nobody is gathered any more");
}

/// Somebody else has said where it is to run.
#[test]
fn threads_of_a_mind_of_their_own_stay() {
    /// Has the calling thread run there alone, if it may.
    fn go_to(cpu: usize) -> bool {
        // SAFETY: all zero is a set, and a set is only read.
        unsafe {
            let mut set: libc::cpu_set_t = core::mem::zeroed();
            libc::CPU_SET(cpu, &mut set);
            libc::sched_setaffinity(0, size_of_val(&set), &set) == 0
        }
    }
    // SAFETY: no preconditions.
    let current = || unsafe { libc::sched_getcpu() as usize };
    let cpus: Vec<usize> = (0..libc::CPU_SETSIZE as usize).filter(|cpu| may_run_on(*cpu)).collect();
    let all = cpus.len();
    gather::begin();
    // One on each, before and after threads are gathered on one of them.
    let (tell, told) = mpsc::channel();
    let steps = Barrier::new(all + 1);
    thread::scope(|scope| {
        for &cpu in &cpus {
            let (steps, tell) = (&steps, tell.clone());
            scope.spawn(move || {
                assert!(go_to(cpu));
                steps.wait();
                // It may not say where others are to be.
                assert!(!gather::gather());
                steps.wait();
                steps.wait();
                wait_for_a_moment();
                tell.send((processors_of_child(), 1)).expect("a receiver");
                steps.wait();
                steps.wait();
                wait_for_a_moment();
                tell.send(((current() == cpu).into(), processors())).expect("a receiver");
            });
        }
        drop(tell);
        steps.wait();
        steps.wait();
        assert_eq!(gather::gather(), all > 1);
        steps.wait();
        steps.wait();
        gather::scatter();
        steps.wait();
    });
    assert_eq!(told.iter().collect::<Vec<_>>(), vec![(1, 1); 2 * all]);
}

#[test]
fn pairs_have_processors_of_their_own() {
    if std::env::var("IN_GROUPS").is_err() {
        return;
    }
    static SCATTERED: AtomicBool = AtomicBool::new(false);
    let all = processors();
    gather::begin();
    let (pairs, stop): (&[Pair; 2], _) = (&Default::default(), &AtomicBool::new(false));
    let are_grouped = || {
        gather::hands::begin();
        thread::sleep(Duration::from_millis(2));
        gather::gather_in_groups()
    };
    let until = |what: &str, is_so: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < Duration::from_secs(60), "{what}: never");
            thread::yield_now();
        }
    };
    thread::scope(|scope| {
        // They are waited for, also where this panics.
        let _ends = Sets(stop);
        for (nth, pair) in pairs.iter().enumerate() {
            for me in 0..2 {
                scope.spawn(move || pair.take_turns(me, stop));
            }
            // One is no reason.
            assert!(nth == 1 || (0..10).all(|_| !are_grouped()));
        }
        until("in groups", &are_grouped);
        let are_apart = || matches!(pairs.each_ref().map(Pair::place), [Some(one), Some(other)] if one * other != 0 && one != other);
        until("each pair on its own", &are_apart);
        // What one of them makes.
        let (tell, told) = mpsc::channel();
        *pairs[0].errand.lock().expect("no panic") = Some(Box::new(move || {
            let who_waits = || {
                wait_for_a_moment();
                [processors(), processors_of_child()]
            };
            let forks = [processors_of_child(), on_a_thread(processors_of_child)];
            let waits = on_a_thread(who_waits);
            let (say, said) = mpsc::channel();
            let computes = thread::spawn(move || {
                say.send(processors()).expect("a receiver");
                while !SCATTERED.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
                processors()
            });
            assert_eq!(said.recv(), Ok(1), "one that it has made, and that has not waited");
            tell.send((forks, waits, computes)).expect("a receiver");
        }));
        let (forks, waits, computes) = told.recv_timeout(Duration::from_secs(60)).expect("it is in a group");
        assert_eq!(forks, [all; 2], "what it forks, and what one forks that it has made, and that has not waited");
        assert_eq!(waits, [all; 2], "one that it has made, which is in no group, and what that forks");
        gather::scatter();
        SCATTERED.store(true, Ordering::Relaxed);
        assert_eq!(computes.join().expect("no panic"), all, "one that it has made, at once, without a wait");
        until("let go", &|| pairs.iter().all(|pair| pair.place() == Some(0)));
    });
}

/// How often threads of this process have slept, and for how long they have run.
fn sleeps() -> (usize, Duration) {
    // SAFETY: all zero is one; the host writes no more than that.
    let usage = unsafe {
        let mut usage: libc::rusage = core::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, &mut usage), 0);
        usage
    };
    let time = |time: libc::timeval| Duration::from_micros(time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64);
    (usage.ru_nvcsw as usize, time(usage.ru_utime) + time(usage.ru_stime))
}

#[test]
fn two_that_share_a_processor_need_not_sleep() {
    if std::env::var("IN_TURN").is_err() {
        return;
    }
    gather::begin();
    assert!(gather::gather());
    let (pair, stop): (&Pair, _) = (&Default::default(), &AtomicBool::new(false));
    thread::scope(|scope| {
        let _ends = Sets(stop);
        for me in 0..2 {
            scope.spawn(move || pair.take_turns(me, stop));
        }
        let (began, mut alone) = (Instant::now(), 0);
        loop {
            let (window, (slept, ran), taken) = (Instant::now(), sleeps(), pair.taken.load(Ordering::Relaxed));
            thread::sleep(Duration::from_millis(20));
            let (now_slept, now_ran) = sleeps();
            let (slept, taken) = (now_slept - slept, pair.taken.load(Ordering::Relaxed) - taken);
            let is_together = pair.place().is_some_and(|place| place != 0);
            if is_together && taken > 100 && slept < taken / 4 {
                break;
            }
            // Where others want the processor they sleep, and for a second after that.
            let has_all = is_together && now_ran - ran > window.elapsed() * 9 / 10;
            alone = if has_all { alone + 1 } else { 0 };
            assert!(alone < 500, "{slept} times in {taken} turns");
            if began.elapsed() > Duration::from_secs(60) {
                eprintln!("skipped: others want the processor all the time");
                break;
            }
        }
    });
}

/// What it writes to standard error.
fn in_a_process_of_its_own(part: &str, variables: [(&str, &str); 2]) -> String {
    let mut process = Command::new(std::env::current_exe().expect("this program"));
    let output = process.args(["--exact", part, "--nocapture"]).envs(variables).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{part} with {variables:?}: {said}");
    said.into_owned()
}

#[test]
fn the_environment_decides() {
    let all = processors();
    // A limit of the time on them counts, too.
    if thread::available_parallelism().is_ok_and(|count| count.get() < 2) {
        eprintln!("skipped: there is one processor only");
        return;
    }
    for (setting, together) in [("on", 1), ("off", all), ("nonsense", 1)] {
        let together = together.to_string();
        let variables = [(gather::VARIABLE, setting), ("TOGETHER", &together)];
        let said = in_a_process_of_its_own("places_of_threads", variables);
        assert_eq!(said.contains("not one of on, off; on is used"), setting == "nonsense", "{said}");
    }
    in_a_process_of_its_own("pairs_have_processors_of_their_own", [(gather::VARIABLE, "on"), ("IN_GROUPS", "")]);
    in_a_process_of_its_own("two_that_share_a_processor_need_not_sleep", [(gather::VARIABLE, "on"), ("IN_TURN", "")]);
}
