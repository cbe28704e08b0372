//! Atomics that dawdle: before each operation a thread may lose some time, at random. `tests/stress.rs` shows what that
//! is good for: the locks meet orders of events that a machine left to itself makes once in a blue moon.
//!
//! Built with `RUMPSCOPE_DELAYS=1` only.

use core::cell::Cell;
use core::hint::spin_loop;
use core::sync::atomic::{self, Ordering};
use std::thread;
use std::time::Duration;

/// Where the next thread's random numbers begin.
static NEXT_SEED: atomic::AtomicU64 = atomic::AtomicU64::new(0);

thread_local! {
    /// State of the generator; 0: not seeded yet.
    static RANDOM: Cell<u64> = const { Cell::new(0) };
}

/// Decides the delays of all threads that start after this.
pub fn seed_delays(seed: u64) {
    // Relaxed, here and below: any value is as good.
    NEXT_SEED.store(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), Ordering::Relaxed);
}

/// Xorshift64 (Marsaglia, "Xorshift RNGs", 2003).
fn random() -> u64 {
    RANDOM.with(|state| {
        let mut x = state.get();
        if x == 0 {
            x = NEXT_SEED.fetch_add(0x6a09_e667_f3bc_c909, Ordering::Relaxed) | 1;
        }
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        state.set(x);
        x
    })
}

/// Loses nothing in most cases; else from some nanoseconds to what it takes to be woken, so that whatever the other
/// threads do can happen meanwhile.
pub(super) fn delay() {
    let random = random();
    let length = random >> 32;
    match random % 256 {
        0..160 => {}
        160..240 => (0..length % 64).for_each(|_| spin_loop()),
        240..250 => (0..length % 4096).for_each(|_| spin_loop()),
        250..255 => thread::yield_now(),
        _ => thread::sleep(Duration::from_nanos(length % 100_000)),
    }
}

macro_rules! delayed {
    ($($name:ident($value:ty);)*) => {$(
        #[derive(Debug)]
        #[repr(transparent)]
        pub(super) struct $name(atomic::$name);

        #[allow(dead_code, reason = "not every operation is made on both")]
        impl $name {
            pub(super) const fn new(value: $value) -> Self {
                $name(atomic::$name::new(value))
            }

            pub(super) fn load(&self, order: Ordering) -> $value {
                delay();
                self.0.load(order)
            }

            pub(super) fn store(&self, value: $value, order: Ordering) {
                delay();
                self.0.store(value, order)
            }

            pub(super) fn swap(&self, value: $value, order: Ordering) -> $value {
                delay();
                self.0.swap(value, order)
            }

            pub(super) fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                delay();
                self.0.fetch_add(value, order)
            }

            pub(super) fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                delay();
                self.0.fetch_sub(value, order)
            }

            pub(super) fn fetch_or(&self, bits: $value, order: Ordering) -> $value {
                delay();
                self.0.fetch_or(bits, order)
            }

            pub(super) fn compare_exchange(
                &self, current: $value, new: $value, success: Ordering, failure: Ordering,
            ) -> Result<$value, $value> {
                delay();
                self.0.compare_exchange(current, new, success, failure)
            }

            /// Fails for no reason at times, as it may.
            pub(super) fn compare_exchange_weak(
                &self, current: $value, new: $value, success: Ordering, failure: Ordering,
            ) -> Result<$value, $value> {
                delay();
                if random() % 8 == 0 { Err(self.0.load(failure)) } else { self.compare_exchange(current, new, success, failure) }
            }

            pub(super) fn fetch_update(
                &self, set: Ordering, fetch: Ordering, mut update: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                self.0.fetch_update(set, fetch, |now| {
                    // Others may change it before it is exchanged.
                    delay();
                    update(now)
                })
            }
        }
    )*};
}

delayed! {
    AtomicU32(u32);
    AtomicU64(u64);
}
