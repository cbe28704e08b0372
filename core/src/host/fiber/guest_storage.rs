//! The guest's own thread-local storage.
//!
//! A kernel that was built to keep its current lwp there (as the one of 2016 by default) never says when it changes; with
//! many fibers on one host thread it would find another fiber's. So the guest's storage is among what is exchanged
//! between fibers, and must be found:
//! - A shared rump kernel's is the whole thread-local block of the object that most of its upcalls are in.
//! - In a program that a rump kernel is linked into, the block is the C library's and the program's as well. There, only
//!   the kernel's variable is exchanged, which the program's own symbol table tells. Where that is stripped, nobody can
//!   tell whether there is one.

use crate::host::diagnostic;
use crate::host::elf::{self, program};
use core::ffi::CStr;
use core::ops::Range;
use core::ptr;
use std::sync::OnceLock;

/// The variable of a rump kernel that holds the current lwp.
const CURRENT_LWP: &CStr = c"rumpns_curlwp_storage";

#[derive(Debug)]
struct Storage {
    /// The object that it belongs to, by where that is loaded.
    bias: usize,
    /// From the beginning of the object's block, in bytes.
    offset: usize,
    /// What a new thread has there.
    initial: Box<[u8]>,
}

/// `None` in it: the guest has none.
static STORAGE: OnceLock<Option<Storage>> = OnceLock::new();

/// Looks for the storage of the guest whose upcalls are at these addresses. Some may be elsewhere: others stand in front
/// of them. To be called before there are fibers, by the thread in which the guest begins.
///
/// # Errors
/// A message for the user, where the guest has such storage, or may have, that cannot be exchanged.
pub fn find(upcalls: &[usize]) -> Result<(), String> {
    let objects = elf::loaded();
    let has = |object: &elf::Object| upcalls.iter().filter(|upcall| object.contains_code(**upcall)).count();
    let Some(object) = objects.iter().max_by_key(|object| has(object)).filter(|object| has(object) > 0) else {
        return Err("the guest's upcalls are in no loaded object".to_owned());
    };
    let Some(block) = object.thread_local() else {
        STORAGE.get_or_init(|| None);
        return Ok(());
    };
    let range = if object.is_main() { program_variable()? } else { Some(0..block.length) };
    let storage = range.map(|range| storage(object.bias(), &block, range)).transpose()?;
    STORAGE.get_or_init(|| storage);
    Ok(())
}

fn storage(bias: usize, block: &elf::ThreadLocal, range: Range<usize>) -> Result<Storage, String> {
    if block.address.is_null() {
        return Err(
            "the guest's thread-local storage is made when it is first used, so fibers cannot exchange it: link \
                    the program with the rump kernel instead of loading it later"
                .to_owned(),
        );
    }
    let offset = range.start;
    let initial = block.initial();
    let initial = initial.get(range).ok_or("the guest's current lwp lies outside its thread-local storage")?;
    Ok(Storage { bias, offset, initial: initial.into() })
}

/// Where in the program's block the kernel's variable is; `None` where there is none.
fn program_variable() -> Result<Option<Range<usize>>, String> {
    program::thread_local(CURRENT_LWP).map_err(|problem| {
        format!(
            "the program {problem}, so it cannot be seen whether a rump kernel in it keeps its current lwp in \
             thread-local storage: keep its symbols, or use a shared rump kernel"
        )
    })
}

/// The calling host thread's; null where the guest has none.
pub(super) fn of_this_thread() -> *mut u8 {
    let Some(storage) = STORAGE.get().and_then(Option::as_ref) else { return ptr::null_mut() };
    let objects = elf::loaded();
    let block = objects.iter().find(|object| object.bias() == storage.bias).and_then(elf::Object::thread_local);
    match block {
        // Inside the block, as `find` saw.
        Some(block) if !block.address.is_null() => block.address.wrapping_add(storage.offset),
        // The guest's first thread had it before the first hypercall: in the static block, which every thread has, unless the
        // guest was loaded late and had touched it by then.
        _ => diagnostic::fatal(
            "thread_create",
            format_args!("a host thread for fibers lacks the guest's thread-local storage"),
        ),
    }
}

/// A new fiber's.
pub(super) fn initial() -> Box<[u8]> {
    STORAGE.get().and_then(Option::as_ref).map_or_else(Box::default, |storage| storage.initial.clone())
}
