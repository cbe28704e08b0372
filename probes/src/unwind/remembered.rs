//! Chains that a thread has walked before, found again where they were.
//!
//! A thread comes to the places where it waits by the same calls again and again, with the same stack pointer; then every
//! return address of the chain is where it was before. So a walk notes where it found each of them, and the next one with
//! this stack pointer looks there first: a load and a comparison a frame, no rules.
//!
//! If all of them are the same, so is the chain: where a return address is follows from the one before it, by its rule,
//! but for frames that are left by the frame pointer (those of variable size). Two of these would have to grow and to
//! shrink by the same, and to leave old return addresses of the same functions at the old places, to be taken for the
//! chain of before.

#[cfg(not(target_arch = "x86_64"))]
pub(crate) use other::Remembered;

#[cfg(target_arch = "x86_64")]
pub(crate) use walks::Remembered;

#[cfg(target_arch = "x86_64")]
mod walks {
    use crate::unwind::{objects, stack, walk};

    /// log2 of how many stack pointers are told apart.
    const SET_BITS: u32 = 3;
    /// How many chains are remembered for those that are not: a function may make five objects of one kind.
    const WAYS: usize = 8;

    /// Some chains of a thread, at most `DEPTH` deep, each with the number that its user gave it. For 24, 17 KiB when all
    /// of it is in use; most threads wait at one place or two.
    #[derive(Debug, Default)]
    pub(crate) struct Remembered<const DEPTH: usize> {
        sets: [Set; 1 << SET_BITS],
        walks: Vec<Walk<DEPTH>>,
    }

    #[derive(Debug, Default)]
    struct Set {
        /// Where the innermost return address of each chain was; 0: there is none.
        sp: [usize; WAYS],
        /// Which of `walks` it is.
        walk: [u8; WAYS],
        /// Which one was found last.
        last: u8,
        /// Which one gives way to the next.
        oldest: u8,
        /// How many there are.
        used: u8,
    }

    /// A chain, and where it was found.
    #[derive(Debug)]
    struct Walk<const DEPTH: usize> {
        /// What was loaded then.
        seen: u64,
        /// Its user's; 0: it has none yet.
        number: u32,
        depth: u32,
        /// Up to an even number of them, the last one twice if need be.
        frames: [u64; DEPTH],
        /// Where each was, in words above the first.
        places: [u16; DEPTH],
    }

    impl<const DEPTH: usize> Walk<DEPTH> {
        /// Whether this is the calling thread's chain, whose innermost return address is at `sp`. Its stack ends at `top`.
        #[inline(always)]
        fn is_at(&self, sp: usize, top: usize, seen: u64) -> bool {
            let depth = self.depth as usize;
            // Each frame is above the one before it.
            let highest = self.places.get(depth.wrapping_sub(1)).copied().unwrap_or(0);
            if self.seen != seen || sp + usize::from(highest) * 8 > top - 8 {
                return false;
            }
            // SAFETY: not below `sp`, and the whole word below `top`: a part of the calling thread's stack. Aligned, as
            // `sp` was when this was found there. Volatile: these are other frames' variables, of which the compiler
            // knows nothing here.
            let at = |place: u16| unsafe { (sp as *const u64).wrapping_add(place.into()).read_volatile() };
            let (frames, places) = (self.frames.as_chunks::<2>().0, self.places.as_chunks::<2>().0);
            for (frames, places) in frames.iter().zip(places).take(depth.div_ceil(2)) {
                if (frames[0] ^ at(places[0])) | (frames[1] ^ at(places[1])) != 0 {
                    return false;
                }
            }
            true
        }

        /// Becomes the calling thread's chain; whether it can be found again where it was.
        fn walk(&mut self, sp: usize, bp: usize, top: usize) -> bool {
            const { assert!(DEPTH.is_multiple_of(2)) };
            let mut far = false;
            let (frames, places) = (&mut self.frames, &mut self.places);
            let depth = walk::climb([sp, bp, top], DEPTH, |nth, frame, at| {
                let above = (at as usize - sp) / 8;
                far |= above > u16::MAX.into();
                (frames[nth], places[nth]) = (frame, above as u16);
            });
            if depth % 2 != 0 {
                (self.frames[depth], self.places[depth]) = (self.frames[depth - 1], self.places[depth - 1]);
            }
            (self.seen, self.number, self.depth) = (objects::seen(), 0, depth as u32);
            // One that is spread over more than half a MiB is not remembered.
            !far
        }
    }

    impl<const DEPTH: usize> Remembered<DEPTH> {
        /// The number of the calling thread's chain, whose innermost return address lies in the caller; 0 where there is
        /// none. One that is not remembered gets it from `number`, and keeps it if it is not 0.
        #[inline(always)]
        pub(crate) fn chain(&mut self, number: impl FnOnce(&[u64]) -> u32) -> u32 {
            // SAFETY: a chain of `self`, which is borrowed for as long as it is used.
            let walk = unsafe { &mut *recall(self) };
            if walk.number == 0 && walk.depth != 0 {
                walk.number = number(&walk.frames[..walk.depth as usize]);
            }
            walk.number
        }

        /// Finds the chain with its innermost return address at `sp`, or walks it.
        extern "C" fn find(&mut self, sp: usize, bp: usize) -> *mut Walk<DEPTH> {
            let (top, seen) = (stack::top(sp), objects::seen());
            // Fibonacci hashing, as in the cache of rules.
            let number = (sp as u64 >> 3).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - SET_BITS);
            let set = &mut self.sets[number as usize];
            // Often the same again, or the next of several in turn.
            for way in (0..WAYS).map(|way| (usize::from(set.last) + way) % WAYS) {
                if set.sp[way] == sp {
                    let walk = &mut self.walks[usize::from(set.walk[way])];
                    if walk.is_at(sp, top, seen) {
                        set.last = way as u8;
                        return walk;
                    }
                }
            }
            self.walk(number as usize, [sp, bp, top])
        }

        /// Walks a chain that is not remembered, and remembers it in place of the oldest one.
        #[cold]
        #[inline(never)]
        fn walk(&mut self, set: usize, [sp, bp, top]: [usize; 3]) -> *mut Walk<DEPTH> {
            let set = &mut self.sets[set];
            let way = usize::from(set.oldest);
            if set.used == way as u8 {
                set.walk[way] = self.walks.len() as u8;
                set.used += 1;
                self.walks.push(Walk { seen: 0, number: 0, depth: 0, frames: [0; DEPTH], places: [0; DEPTH] });
            }
            set.last = set.oldest;
            set.oldest = (set.oldest + 1) % WAYS as u8;
            let walk = &mut self.walks[usize::from(set.walk[way])];
            set.sp[way] = if walk.walk(sp, bp, top) { sp } else { 0 };
            walk
        }
    }

    /// Calls [`Remembered::find`] with what the caller has in its registers.
    ///
    /// # Safety
    /// `remembered` is the caller's alone.
    #[unsafe(naked)]
    unsafe extern "C" fn recall<const DEPTH: usize>(remembered: *mut Remembered<DEPTH>) -> *mut Walk<DEPTH> {
        // The caller's return address is at the stack pointer, its frame pointer still in its register. `find` returns to
        // the caller.
        core::arch::naked_asm!("mov rsi, rsp", "mov rdx, rbp", "jmp {find}", find = sym Remembered::<DEPTH>::find)
    }
}

/// Where chains are followed along frame pointers, none needs to be remembered.
#[cfg(not(target_arch = "x86_64"))]
mod other {
    use crate::unwind;

    #[derive(Debug, Default)]
    pub(crate) struct Remembered<const DEPTH: usize>;

    impl<const DEPTH: usize> Remembered<DEPTH> {
        /// As on x86-64.
        pub(crate) fn chain(&mut self, number: impl FnOnce(&[u64]) -> u32) -> u32 {
            let mut frames = [0; unwind::DEPTH];
            match unwind::call_chain(&mut frames, DEPTH) {
                0 => 0,
                depth => number(&frames[..depth]),
            }
        }
    }
}
