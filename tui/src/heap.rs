//! The memory of a process that looks on for hours: what it has no use for goes back to the host.
//!
//! A look at a large guest takes megabytes for a moment, in another thread than the one that lets them go. Left to itself, the
//! C library keeps a heap for each thread, and in these what is as large as that was lately.

/// What is larger than this, in bytes, is taken from the host, and given back to it, by itself.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 256 << 10;

/// From now on one heap serves all threads, and what is large is in none. To be called before there are other threads.
pub fn keep_small() {
    // SAFETY: no preconditions.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    };
}

/// Gives back what is free in the heap.
pub fn give_back() {
    // SAFETY: no preconditions.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
}
