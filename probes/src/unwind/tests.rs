use super::walk::Walker;
use super::*;
use crate::unwind::rule::{Rule, Saved};
use std::ffi::CStr;

/// The chain of the caller, with the caller's own function first.
#[inline(always)]
fn chain(depth: usize) -> Vec<u64> {
    let mut frames = [0; DEPTH];
    let count = call_chain(&mut frames, depth);
    frames[..count].to_vec()
}

/// The name of the function that a return address lies in, from the object's dynamic symbols; the object's name where
/// it tells none.
fn object_of(address: u64) -> String {
    let mut info = core::mem::MaybeUninit::<libc::Dl_info>::uninit();
    // SAFETY: `info` is written by a successful call.
    unsafe {
        assert_ne!(libc::dladdr((address - 1) as *const _, info.as_mut_ptr()), 0, "{address:x} is in no object");
        CStr::from_ptr(info.assume_init().dli_fname).to_string_lossy().into_owned()
    }
}

#[inline(never)]
fn outer(depth: usize, inner: fn(usize) -> Vec<u64>) -> Vec<u64> {
    core::hint::black_box(inner(core::hint::black_box(depth)))
}

#[inline(never)]
fn inner(depth: usize) -> Vec<u64> {
    core::hint::black_box(chain(depth))
}

#[test]
fn frames_of_rust() {
    let frames = outer(DEPTH, inner);
    assert!(frames.len() > 3);
    let within = |address: u64, function: usize| (function as u64..function as u64 + 2000).contains(&address);
    assert!(within(frames[0], inner as fn(usize) -> Vec<u64> as usize));
    assert!(within(frames[1], outer as fn(usize, fn(usize) -> Vec<u64>) -> Vec<u64> as usize));
    // The chain ends with the thread.
    assert!(object_of(frames[frames.len() - 1]).contains("libc"), "{frames:x?}");
    // The second time from the cache.
    assert_eq!(outer(DEPTH, inner)[..2], frames[..2]);
}

#[test]
fn depth_is_a_limit() {
    assert_eq!(outer(2, inner).len(), 2);
    assert_eq!(outer(0, inner).len(), 0);
    assert_eq!(outer(usize::MAX, inner).len(), outer(DEPTH, inner).len());
}

#[test]
fn a_stack_that_points_outside_is_not_followed() {
    let words = [0u64; 4];
    let sp = words.as_ptr() as u64;
    let top = sp + size_of_val(&words) as u64;
    let saved = Saved::InRegister;
    for bp in [0, 1, 8, sp - 8, top - 8, top, u64::MAX, u64::MAX - 7] {
        let start = || Walker { sp, bp, top };
        for cfa in [i32::MIN, -8, 0, 4, 16, 40, 48, i32::MAX] {
            for rule in [Rule::FromFramePointer { cfa, saved }, Rule::Kept { cfa }] {
                let mut walker = start();
                if walker.leave(rule).is_some() {
                    assert!(walker.sp > sp && walker.sp <= top, "{rule:?} {bp:x}");
                }
            }
        }
        assert_eq!(start().leave(Rule::FromStackPointer { cfa: 40, saved }), None);
        assert_eq!(start().leave(Rule::FromStackPointer { cfa: 32, saved }), Some(0));
    }
}
