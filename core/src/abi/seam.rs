//! Which back end this process has, and how an entry point gets there.
//!
//! It is decided by the first hypercall that needs to know (`rumpuser_init`, or `rumpuser_daemonize_begin` before it).
//! An entry point asks one flag, and goes on as it would without the choice where that says `native`. There are two kinds:
//! * what does not concern threads and locks is the same for all back ends of ours: [`forward!`] passes it on where
//!   another library is to do it;
//! * what does is written for any [`Backend`](crate::host::backend::Backend): [`on_backend!`].

use crate::external::{self, External};
use crate::host::backend::choice::{EXTERNAL, VARIABLE};
use crate::host::backend::{Backend, Choice, Kind, Native};
use crate::host::diagnostic::warn;
use crate::host::fiber::{self, Fibers};
use crate::host::pthread::Pthread;
use crate::host::{batch, gather};
use crate::upcall;
use core::sync::atomic::{AtomicBool, Ordering};
use rumpscope_probes::Hypercall;
use std::sync::OnceLock;

/// A back end that is not the default one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Other {
    /// [`Pthread`](crate::host::pthread::Pthread)
    Pthread,
    /// [`Fibers`](crate::host::fiber::Fibers)
    Fibers,
    /// Another library.
    External(&'static External),
}

/// Whether there is an [`OTHER`].
static ELSEWHERE: AtomicBool = AtomicBool::new(false);
static OTHER: OnceLock<Other> = OnceLock::new();

/// Decides, by the environment, once; what is in use then.
///
/// # Errors
/// The library that was asked for cannot be used: a sentence that says why. To go on with another one than was asked for
/// would be to measure what nobody wants to know.
pub(crate) fn choose() -> &'static Result<Kind, String> {
    static CHOSEN: OnceLock<Result<Kind, String>> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let Choice { kind, problem } = Choice::new(std::env::var_os(VARIABLE));
        if let Some(problem) = problem {
            warn("init", format_args!("{problem}"));
        }
        let other = match &kind {
            Kind::Native => {
                batch::begin();
                gather::begin();
                return Ok(kind);
            }
            Kind::Pthread => Other::Pthread,
            Kind::Fiber => Other::Fibers,
            Kind::External(_) if rumpscope_probes::is_privileged() => {
                return Err(format!(
                    "{VARIABLE}: this program has privileges that its user may lack, so it loads no library that the \
                     environment names"
                ));
            }
            Kind::External(path) => match external::load(path) {
                Ok(library) => Other::External(library),
                Err(problem) => return Err(format!("{VARIABLE}={EXTERNAL}{}: {problem}", path.display())),
            },
        };
        OTHER.get_or_init(|| other);
        // Relaxed: the guest has one thread yet; what makes others orders this for them.
        ELSEWHERE.store(true, Ordering::Relaxed);
        Ok(kind)
    })
}

/// Whether the back end is the default one. A load and a compare that is always the same.
#[inline(always)]
pub(crate) fn is_native() -> bool {
    // Relaxed: see `choose`.
    !ELSEWHERE.load(Ordering::Relaxed)
}

/// The back end, where it is not the default one.
#[cold]
pub(crate) fn other() -> Option<Other> {
    OTHER.get().copied()
}

/// The library that does the hypercalls instead of us.
#[inline(always)]
pub(crate) fn external() -> Option<&'static External> {
    if is_native() { None } else { other_library() }
}

#[cold]
fn other_library() -> Option<&'static External> {
    match other() {
        Some(Other::External(library)) => Some(library),
        _ => None,
    }
}

/// Runs `work`, calls of the host that can take long, for `call` with the calling thread off its virtual CPU. An error
/// number must be read inside `work`.
pub(crate) fn off_cpu<R>(call: Hypercall, work: impl FnOnce() -> R) -> R {
    upcall::off_cpu(call, || match other() {
        None => Native::block_on(work),
        Some(Other::Pthread) => Pthread::block_on(work),
        Some(Other::Fibers) => Fibers::block_on(work),
        // Its own threads are its own business; ours do not come here.
        Some(Other::External(_)) => work(),
    })
}

/// The calling thread is about to enter the guest, or to come back to it: if others wait for it to let them run, they do
/// first.
#[inline(always)]
pub(crate) fn before_schedule() {
    if !is_native() {
        // Does nothing but in a fiber.
        rarely(fiber::yield_after_long_run);
    }
}

/// Not where the way usually goes.
#[cold]
#[inline(never)]
pub(crate) fn rarely<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// Returns from the entry point with what the other library does, where there is one: `forward!(call, name(arguments))`.
macro_rules! forward {
    ($call:expr, $name:ident($($argument:expr),*)) => {
        if let Some(library) = $crate::abi::seam::external() {
            // SAFETY: what the caller promises us is what the interface has it promise every library.
            return $crate::external::forward($call, || unsafe { (library.$name)($($argument),*) });
        }
    };
}
pub(crate) use forward;

/// What an entry point does on the back end in use: `on_backend!(call, name(arguments), B => body)`. The body is for any
/// back end `B` of ours; another library is called by `name` with the arguments.
macro_rules! on_backend {
    ($call:expr, $name:ident($($argument:expr),*), $B:ident => $body:expr) => {
        if $crate::abi::seam::is_native() {
            type $B = $crate::host::backend::Native;
            $body
        } else {
            $crate::abi::seam::rarely(move || match $crate::abi::seam::other() {
                Some($crate::abi::seam::Other::External(library)) => {
                    // SAFETY: what the caller promises us is what the interface has it promise every library.
                    $crate::external::forward($call, || unsafe { (library.$name)($($argument),*) })
                }
                Some($crate::abi::seam::Other::Fibers) => {
                    type $B = $crate::host::fiber::Fibers;
                    $body
                }
                // Who is not the default is somebody: `None` is only there for the compiler.
                Some($crate::abi::seam::Other::Pthread) | None => {
                    type $B = $crate::host::pthread::Pthread;
                    $body
                }
            })
        }
    };
}
pub(crate) use on_backend;
