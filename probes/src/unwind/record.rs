//! Objects in the segment: so that a reader can tell where an address belongs, even when the process has ended.

use super::objects::Object;
use crate::arena::{Arena, Chain, Kind};
use crate::layout::{LINK, header, module};
use crate::primitive::Ordering;
use core::ffi::c_char;
use core::mem::MaybeUninit;
use std::borrow::Cow;

/// How many are recorded at most: many more than a guest has, unless it loads and unloads without end.
const MOST: usize = 4096;

/// Records `object`, unless it is there already. Without room it is left out. Seldom, and it takes a page of the stack, which
/// most searches leave alone.
#[cold]
#[inline(never)]
pub(super) fn record(arena: &Arena, object: &Object<'_>) {
    let Some(extent) = object.extent() else { return };
    let mut room = MaybeUninit::uninit();
    let path = path(object, &mut room);
    let numbers = [extent.start, extent.end, object.bias, path.len() as u64];
    let mut recorded = 0;
    for block in blocks(arena) {
        recorded += 1;
        if recorded == MOST || is(arena, block, numbers, &path) {
            return;
        }
    }
    let words = path.len().div_ceil(8);
    let Some(block) = arena.allocate(Kind::Other, module::PATH + words) else { return };
    for (word, number) in NUMBERS.into_iter().zip(numbers) {
        // Relaxed: appending the block publishes it.
        arena.word(block + word).store(number, Ordering::Relaxed);
    }
    arena.write_text(block + module::PATH, words, &path);
    arena.append(Chain::Modules, block);
}

const NUMBERS: [usize; 4] = [module::START, module::END, module::BIAS, module::PATH_BYTES];

/// The modules that are recorded.
fn blocks(arena: &Arena) -> impl Iterator<Item = usize> + '_ {
    // Acquire: pairs with `append`.
    let next = |link: usize| Some(arena.word(link).load(Ordering::Acquire) as usize).filter(|block| *block != 0);
    core::iter::successors(next(header::MODULES), move |block| next(block + LINK))
}

/// Whether that is what the block says.
fn is(arena: &Arena, block: usize, numbers: [u64; 4], path: &str) -> bool {
    // Relaxed: see `blocks`.
    let read = |word: usize| arena.word(block + word).load(Ordering::Relaxed);
    let same_text = || {
        path.as_bytes().chunks(8).enumerate().all(|(word, bytes)| {
            let mut eight = [0; 8];
            eight[..bytes.len()].copy_from_slice(bytes);
            read(module::PATH + word) == u64::from_ne_bytes(eight)
        })
    };
    NUMBERS.into_iter().zip(numbers).all(|(word, number)| read(word) == number) && same_text()
}

type Room = MaybeUninit<[u8; libc::PATH_MAX as usize]>;

/// The path of the object's file. A relative one is made absolute while that can be done: the reader is elsewhere.
/// Nothing is allocated for what is UTF-8: the host's loader waits for us.
fn path<'a>(object: &Object<'a>, room: &'a mut Room) -> Cow<'a, str> {
    let room = room.as_mut_ptr().cast::<c_char>();
    let name = object.name;
    let bytes = if name.is_empty() {
        // SAFETY: so much room there is.
        let length = unsafe { libc::readlink(c"/proc/self/exe".as_ptr(), room, size_of::<Room>()) };
        // SAFETY: so many bytes were written.
        usize::try_from(length)
            .map(|length| unsafe { core::slice::from_raw_parts(room.cast(), length) })
            .unwrap_or_default()
    } else if name.to_bytes().starts_with(b"/")
        // SAFETY: a string, and room for the longest path.
        || unsafe { libc::realpath(name.as_ptr(), room) }.is_null()
    {
        name.to_bytes()
    } else {
        // SAFETY: written by the successful call.
        unsafe { core::ffi::CStr::from_ptr(room) }.to_bytes()
    };
    String::from_utf8_lossy(bytes)
}
