//! Host threads for the guest.
#![cfg(not(loom))]

use core::ffi::{CStr, c_void};
use core::ptr;
use rumpuser::abi::threads::{rumpuser_thread_create, rumpuser_thread_exit, rumpuser_thread_join};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

/// What a thread runs in these tests.
type Body = Box<dyn FnOnce() + Send>;

unsafe extern "C" fn run(body: *mut c_void) -> *mut c_void {
    // SAFETY: `create` gave it.
    (*unsafe { Box::from_raw(body.cast::<Body>()) })();
    ptr::null_mut()
}

fn create(name: Option<&CStr>, joinable: bool, body: impl FnOnce() + Send + 'static) -> *mut c_void {
    let body: Body = Box::new(body);
    let argument = Box::into_raw(Box::new(body)).cast();
    let name = name.map_or(ptr::null(), CStr::as_ptr);
    let mut cookie = ptr::null_mut();
    // SAFETY: `run` takes what it is given.
    let error = unsafe { rumpuser_thread_create(run, argument, name, joinable.into(), -1, 0, &mut cookie) };
    assert_eq!(error, 0);
    cookie
}

fn join(cookie: *mut c_void) {
    // SAFETY: every test joins its threads once.
    assert_eq!(unsafe { rumpuser_thread_join(cookie) }, 0);
}

fn own_name() -> String {
    std::fs::read_to_string("/proc/thread-self/comm").unwrap().trim_end().to_owned()
}

#[test]
fn names_stand_before_the_thread_runs() {
    let (send, receive) = mpsc::channel();
    for (name, expected) in [(c"rsi0/3", "rsi0/3"), (c"sixteen letters!", "sixteen letters"), (c"", "")] {
        let send = send.clone();
        join(create(Some(name), true, move || send.send(own_name()).unwrap()));
        assert_eq!(receive.recv().unwrap(), expected);
    }
}

#[test]
fn a_thread_without_a_name_has_its_makers() {
    let expected = own_name();
    join(create(None, true, move || assert_eq!(own_name(), expected)));
}

#[test]
fn join_waits_for_the_end() {
    let (send, receive) = mpsc::channel::<()>();
    static ENDED: AtomicUsize = AtomicUsize::new(0);
    let cookie = create(Some(c"joined"), true, move || {
        receive.recv().unwrap();
        ENDED.store(1, Ordering::Relaxed);
    });
    send.send(()).unwrap();
    join(cookie);
    assert_eq!(ENDED.load(Ordering::Relaxed), 1);
}

/// A destructor for threads, by which the end of one is seen.
struct AtEnd(mpsc::Sender<&'static str>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        self.0.send("destructor").unwrap();
    }
}

std::thread_local! {
    static AT_END: std::cell::RefCell<Option<AtEnd>> = const { std::cell::RefCell::new(None) };
}

/// Frames of a kind that does not let an unwinder through, with live registers in each.
#[inline(never)]
extern "C" fn exit_deep_down(depth: usize, seed: usize) -> usize {
    if depth == 0 {
        // SAFETY: the frames above have no destructors.
        unsafe { rumpuser_thread_exit() }
    }
    let below = exit_deep_down(depth - 1, seed.rotate_left(7));
    below ^ seed
}

struct Leaver {
    events: mpsc::Sender<&'static str>,
    depth: usize,
}

/// No destructor is pending in this frame when the thread ends.
unsafe extern "C" fn leave(leaver: *mut c_void) -> *mut c_void {
    // SAFETY: given by the test.
    let Leaver { events, depth } = *unsafe { Box::from_raw(leaver.cast::<Leaver>()) };
    events.send("started").unwrap();
    AT_END.set(Some(AtEnd(events)));
    exit_deep_down(depth, depth);
    unreachable!()
}

#[test]
fn exit_ends_the_thread_from_any_depth() {
    for joinable in [true, false] {
        for depth in [0, 1, 100] {
            let (events, receive) = mpsc::channel();
            let leaver = Box::into_raw(Box::new(Leaver { events, depth })).cast();
            let mut cookie = ptr::null_mut();
            // SAFETY: `leave` takes what it is given.
            let error = unsafe {
                rumpuser_thread_create(leave, leaver, c"leaver".as_ptr(), joinable.into(), -1, -1, &mut cookie)
            };
            assert_eq!(error, 0);
            if joinable {
                join(cookie);
            }
            // Ends when the thread's destructor has dropped the sender.
            assert_eq!(receive.iter().collect::<Vec<_>>(), ["started", "destructor"]);
        }
    }
}

/// Threads that the guest did not make may end themselves as well.
#[test]
fn exit_ends_a_thread_of_the_program() {
    // Where the program made the thread, its stack is unwound.
    unsafe extern "C-unwind" fn main(sender: *mut c_void) -> *mut c_void {
        // SAFETY: given below.
        AT_END.set(Some(AtEnd(*unsafe { Box::from_raw(sender.cast::<mpsc::Sender<&'static str>>()) })));
        // SAFETY: no destructor is pending in this frame.
        unsafe { rumpuser_thread_exit() }
    }
    let (send, receive) = mpsc::channel::<&'static str>();
    let mut thread = 0;
    // SAFETY: `main` takes what it is given, and the thread is joined once.
    unsafe {
        let main: unsafe extern "C-unwind" fn(*mut c_void) -> *mut c_void = main;
        let main: extern "C" fn(*mut c_void) -> *mut c_void = core::mem::transmute(main);
        libc::pthread_create(&mut thread, ptr::null(), main, Box::into_raw(Box::new(send)).cast());
        libc::pthread_join(thread, ptr::null_mut());
    }
    assert_eq!(receive.recv().unwrap(), "destructor");
}

#[test]
fn a_joinable_thread_needs_a_cookie() {
    // SAFETY: refused before the thread is made.
    let error = unsafe { rumpuser_thread_create(run, ptr::null_mut(), ptr::null(), 1, -1, -1, ptr::null_mut()) };
    assert_eq!(error, libc::EINVAL);
}

#[test]
fn signals_of_the_process_go_to_other_threads() {
    join(create(Some(c"quiet"), true, || {
        let mut blocked = core::mem::MaybeUninit::uninit();
        // SAFETY: only asks for the mask; the numbers are valid.
        unsafe {
            libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), blocked.as_mut_ptr());
            for signal in [libc::SIGINT, libc::SIGALRM, libc::SIGUSR1, libc::SIGCHLD] {
                assert_eq!(libc::sigismember(blocked.as_ptr(), signal), 1);
            }
            for signal in [libc::SIGSEGV, libc::SIGFPE, libc::SIGABRT, libc::SIGPROF] {
                assert_eq!(libc::sigismember(blocked.as_ptr(), signal), 0);
            }
        }
    }));
}
