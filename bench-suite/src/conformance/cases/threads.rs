//! Host threads for the guest.

use crate::conformance::calls::{
    Cookie, ExitingMain, Outcome, ThreadPlan, component_kthread, component_kthread_release, errno, exiting, netbsd,
    set_errno, thread_exit, thread_join,
};
use crate::conformance::case::Family;
use crate::conformance::guest::{DEADLINE, Event, Lwp, guest};
use core::ptr::null_mut;
use libc::c_void;
use std::ffi::CStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};

pub(super) fn cases(family: &mut Family<'_>) {
    running(family);
    names(family);
    arguments(family);
    limits(family);
}

/// What the threads of a case tell it. They are no threads of the guest, so that the trace is not theirs.
static TOLD: Mutex<Vec<usize>> = Mutex::new(Vec::new());
static NEWS: Condvar = Condvar::new();

fn tell(what: usize) {
    TOLD.lock().expect("no panic while locked").push(what);
    NEWS.notify_all();
}

/// Waits until the threads have told `count` things; returns them in order of size.
fn told(count: usize) -> Vec<usize> {
    let told = TOLD.lock().expect("no panic while locked");
    let (told, timeout) =
        NEWS.wait_timeout_while(told, DEADLINE, |told| told.len() < count).expect("no panic while locked");
    assert!(!timeout.timed_out(), "only {} of {count} threads ran", told.len());
    let mut told = told.clone();
    told.sort_unstable();
    told
}

/// Tells its argument and ends by `thread_exit`, as every thread of a guest does.
extern "C-unwind" fn tells_and_exits(argument: *mut c_void) -> *mut c_void {
    tell(argument as usize);
    thread_exit()
}

/// Waits until the case lets it go.
extern "C-unwind" fn waits_and_exits(argument: *mut c_void) -> *mut c_void {
    guest().trace.wait_for(Event::Mark("go"), 1);
    tells_and_exits(argument)
}

fn start(plan: ThreadPlan<'_>, main: ExitingMain, argument: usize) -> Outcome<Cookie> {
    plan.create(exiting(main), core::ptr::without_provenance_mut(argument))
}

fn tasks() -> usize {
    std::fs::read_dir("/proc/self/task").expect("threads").count()
}

fn running(family: &mut Family<'_>) {
    family.case("joinable_thread_runs", "a thread runs its function with its argument, and can be joined", |guest| {
        let cookie = guest.watch(|| start(ThreadPlan::JOINABLE, tells_and_exits, 4711)).0.expect("a thread");
        assert_eq!(told(1), [4711]);
        assert_eq!(thread_join(cookie), Ok(()));
    });
    family.case("detached_thread_runs", "a thread that is not joinable needs no cookie", |guest| {
        guest.watch(|| start(ThreadPlan::DETACHED, tells_and_exits, 4712)).0.expect("a thread");
        assert_eq!(told(1), [4712]);
    });
    family.case(
        "join_gives_up_cpu",
        "joining gives up the virtual CPU once, whether the thread still runs or not",
        |guest| {
            let ended = start(ThreadPlan::JOINABLE, tells_and_exits, 1).expect("a thread");
            told(1);
            assert_eq!(guest.gives_up_cpu(|| thread_join(ended)), Ok(()));
            let running = start(ThreadPlan::JOINABLE, waits_and_exits, 2).expect("a thread");
            let joiner = guest.spawn(move || {
                let cookie = running;
                assert_eq!(guest.gives_up_cpu(|| thread_join(cookie)), Ok(()));
                guest.mark("joined");
            });
            joiner.wait_off_cpu();
            joiner.settle();
            guest.mark("go");
            joiner.join();
            guest.trace.assert_order("go", "joined");
        },
    );
    family.case(
        "join_leaves_the_cpu_to_others",
        "with one virtual CPU, a joined thread of the guest can end",
        |guest| {
            guest.limit_cpus(1);
            extern "C-unwind" fn works(argument: *mut c_void) -> *mut c_void {
                component_kthread();
                component_kthread_release();
                tells_and_exits(argument)
            }
            let cookie = start(ThreadPlan::JOINABLE, works, 1).expect("a thread");
            assert_eq!(thread_join(cookie), Ok(()));
            assert_eq!(told(1), [1]);
        },
    );
    family.case("join_sees_all_that_was_written", "what a thread wrote before its end is there after join", |_| {
        static WORDS: [AtomicUsize; 8] = [const { AtomicUsize::new(0) }; 8];
        extern "C-unwind" fn writes(_: *mut c_void) -> *mut c_void {
            // Relaxed: the join has to order this.
            WORDS.iter().for_each(|word| word.store(9, Ordering::Relaxed));
            thread_exit()
        }
        for _ in 0..100 {
            WORDS.iter().for_each(|word| word.store(0, Ordering::Relaxed));
            let cookie = start(ThreadPlan::JOINABLE, writes, 0).expect("a thread");
            assert_eq!(thread_join(cookie), Ok(()));
            assert!(WORDS.iter().all(|word| word.load(Ordering::Relaxed) == 9));
        }
    });
    family.case("return_ends_a_thread_too", "a thread function that returns ends its thread like thread_exit", |_| {
        extern "C-unwind" fn returns(argument: *mut c_void) -> *mut c_void {
            tell(argument as usize);
            null_mut()
        }
        let cookie = start(ThreadPlan::JOINABLE, returns, 5).expect("a thread");
        assert_eq!(thread_join(cookie), Ok(()));
        assert_eq!(told(1), [5]);
    });
    family.case("thread_is_another_one", "the function runs in a thread of its own, in the same process", |_| {
        extern "C-unwind" fn tells_itself(_: *mut c_void) -> *mut c_void {
            // SAFETY: has no preconditions.
            tell(usize::try_from(unsafe { libc::gettid() }).unwrap_or(0));
            thread_exit()
        }
        let cookie = start(ThreadPlan::JOINABLE, tells_itself, 0).expect("a thread");
        assert_eq!(thread_join(cookie), Ok(()));
        assert_ne!(told(1), [std::process::id() as usize]);
    });
    family.case("thread_has_no_lwp", "a new thread has no current lwp: the guest gives it one", |_| {
        extern "C-unwind" fn tells_lwp(_: *mut c_void) -> *mut c_void {
            tell(usize::from(guest().curlwp() == Lwp::NONE));
            thread_exit()
        }
        let cookie = start(ThreadPlan::JOINABLE, tells_lwp, 0).expect("a thread");
        assert_eq!(thread_join(cookie), Ok(()));
        assert_eq!(told(1), [1]);
    });
    family.case("thread_has_its_own_errno", "a new thread has an errno of its own", |_| {
        extern "C-unwind" fn sets_errno(_: *mut c_void) -> *mut c_void {
            set_errno(netbsd::EPROTO);
            thread_exit()
        }
        let cookie = start(ThreadPlan::JOINABLE, sets_errno, 0).expect("a thread");
        set_errno(netbsd::EPERM);
        assert_eq!(errno(), netbsd::EPERM);
        assert_eq!(thread_join(cookie), Ok(()));
    });
    family.case("threads_make_threads", "a thread that the library made may make others and join them", |_| {
        extern "C-unwind" fn makes(argument: *mut c_void) -> *mut c_void {
            let depth = argument as usize;
            if depth < 5 {
                // Outside of the guest, so join has no virtual CPU to give up; a kernel thread has one.
                start(ThreadPlan::DETACHED, makes, depth + 1).expect("a thread");
            }
            tells_and_exits(argument)
        }
        start(ThreadPlan::DETACHED, makes, 0).expect("a thread");
        assert_eq!(told(6), [0, 1, 2, 3, 4, 5]);
    });
}

fn names(family: &mut Family<'_>) {
    extern "C-unwind" fn tells_when_named(_: *mut c_void) -> *mut c_void {
        guest().trace.wait_for(Event::Mark("go"), 1);
        let mut name = [0_u8; 16];
        // SAFETY: the buffer has the size that the host wants.
        unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
        *NAME.lock().expect("no panic while locked") =
            CStr::from_bytes_until_nul(&name).map_or(String::new(), |name| name.to_string_lossy().into_owned());
        thread_exit()
    }
    static NAME: Mutex<String> = Mutex::new(String::new());
    for (label, name, expected) in [
        ("short", "aiodoned", "aiodoned"),
        ("of_15_characters", "a_name_of_fiftn", "a_name_of_fiftn"),
        ("too_long", "softnet/0 of virtual CPU 1", "softnet/0 of vi"),
    ] {
        let case = family.case(
            format!("name_that_is_{label}"),
            "the host knows a thread by its name, as far as the host's names go",
            move |guest| {
                let plan = ThreadPlan { name: Some(name), ..ThreadPlan::JOINABLE };
                let cookie = start(plan, tells_when_named, 0).expect("a thread");
                // The name may be given by the creator after the start; when create returns it is there.
                guest.mark("go");
                assert_eq!(thread_join(cookie), Ok(()));
                assert_eq!(*NAME.lock().expect("no panic while locked"), expected);
            },
        );
        case.host_threads();
        if name.len() > 15 {
            case.weakness("longer names are lost");
        }
    }
    family.case("name_that_is_missing", "a thread needs no name", |_| {
        let plan = ThreadPlan { name: None, ..ThreadPlan::JOINABLE };
        let cookie = start(plan, tells_and_exits, 1).expect("a thread");
        assert_eq!(thread_join(cookie), Ok(()));
    });
    family
        .case("name_of_a_detached_thread", "a detached thread that ends at once can have a name", |_| {
            for number in 0..200 {
                start(ThreadPlan::DETACHED, tells_and_exits, number).expect("a thread");
            }
            assert_eq!(told(200), (0..200).collect::<Vec<_>>());
        })
        .weakness("the creator gives the name after the start, to a thread that may be gone");
}

fn arguments(family: &mut Family<'_>) {
    for (name, priority, cpu) in [
        ("default", 0, -1),
        ("cpu_0", 0, 0),
        ("cpu_1", 0, 1),
        ("cpu_that_the_host_has_not", 0, 1000),
        ("high_priority", 100, -1),
        ("highest_priority", 255, 0),
        ("negative_priority", -1, -1),
    ] {
        family.case(
            format!("thread_with_{name}"),
            "priority and virtual CPU are hints: no value is an error",
            move |_| {
                let plan = ThreadPlan { priority, cpu, ..ThreadPlan::JOINABLE };
                let cookie = start(plan, tells_and_exits, 1).expect("a thread");
                assert_eq!(thread_join(cookie), Ok(()));
                assert_eq!(told(1), [1]);
            },
        );
    }
    family.case("cookies_differ", "each joinable thread has its own cookie", |guest| {
        let cookies: Vec<_> =
            (0..20).map(|number| start(ThreadPlan::JOINABLE, waits_and_exits, number).expect("a thread")).collect();
        for (number, cookie) in cookies.iter().enumerate() {
            assert!(cookies[..number].iter().all(|other| other != cookie));
        }
        guest.mark("go");
        // In the reverse order of their start.
        cookies.into_iter().rev().for_each(|cookie| assert_eq!(thread_join(cookie), Ok(())));
        assert_eq!(told(20), (0..20).collect::<Vec<_>>());
    });
}

fn limits(family: &mut Family<'_>) {
    family.case("many_threads_at_a_time", "200 threads can be there at the same time", |guest| {
        let cookies: Vec<_> =
            (0..200).map(|number| start(ThreadPlan::JOINABLE, waits_and_exits, number).expect("a thread")).collect();
        guest.mark("go");
        cookies.into_iter().for_each(|cookie| assert_eq!(thread_join(cookie), Ok(())));
        assert_eq!(told(200), (0..200).collect::<Vec<_>>());
    });
    family.case("many_threads_in_turn", "threads that ended leave nothing behind", |_| {
        let run = |number| {
            let cookie = start(ThreadPlan::JOINABLE, tells_and_exits, number).expect("a thread");
            assert_eq!(thread_join(cookie), Ok(()));
        };
        // The library may have a host thread of its own from now on.
        run(0);
        let tasks_before = tasks();
        (1..2000).for_each(run);
        assert_eq!(told(2000).len(), 2000);
        assert_eq!(tasks(), tasks_before);
    });
    family.case("stack_for_a_kernel", "a thread has at least 256 KiB of stack", |_| {
        extern "C-unwind" fn uses_stack(_: *mut c_void) -> *mut c_void {
            let mut stack = [0_u8; 256 << 10];
            // Volatile, so that the memory is really touched.
            for page in stack.chunks_mut(4096) {
                // SAFETY: the first byte of a chunk that is not empty.
                unsafe { page.as_mut_ptr().write_volatile(1) };
            }
            tell(stack.iter().map(|byte| usize::from(*byte)).sum());
            thread_exit()
        }
        let cookie = start(ThreadPlan::JOINABLE, uses_stack, 0).expect("a thread");
        assert_eq!(thread_join(cookie), Ok(()));
        assert_eq!(told(1), [64]);
    });
    family.case("no_room_for_a_thread", "a thread that the host cannot make is EAGAIN or ENOMEM, not an abort", |_| {
        exhaust_address_space();
        let error = start(ThreadPlan::JOINABLE, tells_and_exits, 1).expect_err("no room for its stack");
        assert!([netbsd::EAGAIN, netbsd::ENOMEM].contains(&error), "{error}");
    });
    family
        .case("no_room_leaves_the_cookie", "a thread that was not made has no cookie", |_| {
            exhaust_address_space();
            let untouched = Cookie(core::ptr::without_provenance_mut(0x5a5a));
            let mut cookie = untouched;
            let outcome = ThreadPlan::JOINABLE.create_into(exiting(tells_and_exits), null_mut(), &mut cookie);
            assert!(outcome.is_err());
            assert_eq!(cookie, untouched);
        })
        .weakness("sets the cookie, and leaks it");
}

/// From now on the process gets no more memory worth mentioning.
fn exhaust_address_space() {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("the size of the process");
    let pages: u64 = pages.split(' ').next().and_then(|pages| pages.parse().ok()).expect("a number");
    let size = pages * 4096 + (64 << 10);
    let limit = libc::rlimit { rlim_cur: size, rlim_max: size };
    // SAFETY: a valid limit.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
}
