//! Host memory.

use super::{Outcome, outcome};
use core::ptr::null_mut;
use libc::{c_int, c_void};

pub(crate) fn malloc(size: usize, alignment: c_int) -> Outcome<*mut u8> {
    let mut memory = null_mut();
    let error = hypercall!(malloc(size, alignment, &mut memory));
    outcome(error, memory.cast())
}

/// `memory` is from [`malloc`] of the same size.
pub(crate) fn free(memory: *mut u8, size: usize) {
    hypercall!(free(memory.cast::<c_void>(), size));
}

pub(crate) fn map(prefer: *mut u8, size: usize, alignment_bit: c_int, executable: bool) -> Outcome<*mut u8> {
    let mut memory = null_mut();
    let error =
        hypercall!(anonmmap(prefer.cast::<c_void>(), size, alignment_bit, c_int::from(executable), &mut memory));
    outcome(error, memory.cast())
}

/// `memory` is from [`map`], in whole or in part.
pub(crate) fn unmap(memory: *mut u8, size: usize) {
    hypercall!(unmap(memory.cast::<c_void>(), size));
}

/// Fills `size` bytes with a pattern made of `seed`.
pub(crate) fn fill(memory: *mut u8, size: usize, seed: usize) {
    // SAFETY: the library gave this memory to the case.
    let bytes = unsafe { core::slice::from_raw_parts_mut(memory, size) };
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = pattern(place, seed);
    }
}

/// Checks what [`fill`] wrote.
pub(crate) fn assert_filled(memory: *const u8, size: usize, seed: usize) {
    // SAFETY: as above.
    let bytes = unsafe { core::slice::from_raw_parts(memory, size) };
    for (place, byte) in bytes.iter().enumerate() {
        assert_eq!(*byte, pattern(place, seed), "byte {place} of block {seed}");
    }
}

/// A byte that depends on its place and on the block it belongs to.
pub(crate) fn pattern(place: usize, seed: usize) -> u8 {
    (place.wrapping_mul(31) ^ seed.wrapping_mul(167) ^ (place >> 8)).to_le_bytes()[0]
}
