//! From frame to frame.

use super::rule::{Rule, Saved};
use super::{DEPTH, cache, objects, stack};

/// Writes the return addresses of the calling thread into `frames`, innermost first: the first one lies in the function
/// that calls this. `depth` is how many at most. Returns how many there are; the rest of `frames` is left as it was.
///
/// A chain ends where a frame cannot be left: at a thread's first function, in code without tables, or because the stack
/// was written over. With known callers this costs some nanoseconds a frame, otherwise microseconds. Not for signal
/// handlers: it waits for the host's loader.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub fn call_chain(frames: &mut [u64; DEPTH], depth: usize) -> usize {
    // SAFETY: `frames` is as long as `walk` is told at most.
    unsafe { take(frames.as_mut_ptr(), depth.min(DEPTH)) }
}

/// Calls [`walk`] with what the caller has in its registers.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
unsafe extern "C" fn take(frames: *mut u64, depth: usize) -> usize {
    // The caller's return address is at the stack pointer, its frame pointer still in its register. `walk` returns to
    // the caller.
    core::arch::naked_asm!("mov rdx, rsp", "mov rcx, rbp", "jmp {walk}", walk = sym walk)
}

/// Walks from the frame whose return address is at `sp`.
///
/// # Safety
/// `depth` words can be written at `frames`. `sp` is in the calling thread's stack, at or above its stack pointer.
#[cfg(target_arch = "x86_64")]
pub(super) unsafe extern "C" fn walk(frames: *mut u64, depth: usize, sp: usize, bp: usize) -> usize {
    // SAFETY: the caller's word.
    let frames = unsafe { core::slice::from_raw_parts_mut(frames, depth) };
    climb([sp, bp, stack::top(sp)], depth, |nth, address, _| frames[nth] = address)
}

/// Walks from the frame whose return address is at `sp`, with `bp` in the frame pointer's register and `top` as in
/// [`Walker`]. `found` gets the return addresses, each with its number from 0 and where it is; `most` are looked for. How
/// many there are: if something was loaded or unloaded meanwhile, some may have been given twice.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn climb([sp, bp, top]: [usize; 3], most: usize, mut found: impl FnMut(usize, u64, u64)) -> usize {
    let start = || Walker { sp: sp as u64, bp: bp as u64, top: top as u64 };
    let known = objects::seen();
    let count = start().climb(most, &mut found);
    if objects::seen() == known {
        return count;
    }
    // The rules of the first frames may have been old ones.
    start().climb(most, &mut found)
}

/// The registers of a frame at its call.
#[derive(Debug)]
#[cfg(target_arch = "x86_64")]
pub(super) struct Walker {
    /// The stack pointer. It only grows.
    pub(super) sp: u64,
    /// The frame pointer, or whatever the frame keeps in its register.
    pub(super) bp: u64,
    /// Words from `sp` up to here can be read.
    pub(super) top: u64,
}

#[cfg(target_arch = "x86_64")]
impl Walker {
    /// Finds the return addresses from the one at `sp` on, at most `most`; how many.
    #[inline(always)]
    fn climb(&mut self, most: usize, found: &mut impl FnMut(usize, u64, u64)) -> usize {
        let Some(mut address) = self.read(self.sp) else { return 0 };
        self.sp += 8;
        for count in 0..most {
            let known = cache::get(address);
            if count + 1 == most {
                // Its caller is not asked for.
                if known.is_none() && !objects::is_code(address) {
                    return count;
                }
                found(count, address, self.sp - 8);
                break;
            }
            let Some(rule) = known.or_else(|| objects::rule(address)) else { return count };
            found(count, address, self.sp - 8);
            match self.leave(rule) {
                Some(next) => address = next,
                None => return count + 1,
            }
        }
        most
    }

    /// Goes to the caller; its address, `None` where there is none.
    #[inline(always)]
    pub(super) fn leave(&mut self, rule: Rule) -> Option<u64> {
        let offset = |base: u64, by: i32| base.wrapping_add_signed(i64::from(by));
        let (cfa, bp) = match rule {
            Rule::End => return None,
            Rule::FromStackPointer { cfa, saved } => self.saved(offset(self.sp, cfa), saved)?,
            Rule::FromFramePointer { cfa, saved } => self.saved(offset(self.bp, cfa), saved)?,
            Rule::Kept { cfa } => (self.read(offset(self.bp, cfa))?, self.read(self.bp)?),
        };
        // The return address is of this frame, not of one that was left already.
        if cfa <= self.sp {
            return None;
        }
        let address = self.read(cfa.wrapping_sub(8))?;
        (self.sp, self.bp) = (cfa, bp);
        Some(address)
    }

    #[inline(always)]
    fn saved(&self, cfa: u64, saved: Saved) -> Option<(u64, u64)> {
        let bp = match saved {
            Saved::InRegister => self.bp,
            Saved::BelowCfa(below) => self.read(cfa.wrapping_sub(u64::from(below)))?,
        };
        Some((cfa, bp))
    }

    /// The word at `address`, if it is one of the stack's.
    #[inline(always)]
    fn read(&self, address: u64) -> Option<u64> {
        // `top` is at least 8: no stack is on the first page.
        if address < self.sp || address > self.top - 8 || !address.is_multiple_of(8) {
            return None;
        }
        // SAFETY: aligned, and in the calling thread's stack above its stack pointer. Volatile: these are other frames'
        // variables, of which the compiler knows nothing here.
        Some(unsafe { (address as *const u64).read_volatile() })
    }
}

/// The same along the frame pointers, which the procedure call standard for this processor asks for (AAPCS64, 6.4.6:
/// each points to the caller's, and the return address is in the next word).
#[cfg(target_arch = "aarch64")]
#[inline(never)]
pub fn call_chain(frames: &mut [u64; DEPTH], depth: usize) -> usize {
    let mut frame: usize;
    // SAFETY: reads a register.
    unsafe { core::arch::asm!("mov {}, x29", out(reg) frame, options(nomem, nostack, preserves_flags)) };
    let top = stack::top(frame);
    let mut count = 0;
    for place in frames.iter_mut().take(depth) {
        if !frame.is_multiple_of(8) || frame > top.saturating_sub(16) {
            break;
        }
        // SAFETY: aligned, and in the calling thread's stack, above its own frame.
        let [next, address] = unsafe { (frame as *const [usize; 2]).read_volatile() };
        // Above bit 47 there may be a signature of the address.
        let address = address as u64 & ((1 << 48) - 1);
        if cache::get(address).or_else(|| objects::rule(address)).is_none() {
            break;
        }
        *place = address;
        count += 1;
        if next <= frame {
            break;
        }
        frame = next;
    }
    count
}

/// On other processors, nothing is known of callers.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub fn call_chain(_: &mut [u64; DEPTH], _: usize) -> usize {
    0
}
