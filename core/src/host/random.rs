//! Random bytes from the host.

use super::errno::Errno;

/// Fills `buffer` with random bytes and returns how many there are: all, unless the host failed after some.
///
/// The host has one generator; what it gives is of seed quality once it is seeded, and until then it waits (seconds
/// after the machine's boot at most, so callers keep their virtual CPU). With `wait` false it fails instead.
///
/// # Errors
/// EAGAIN where it would have to wait and must not.
pub fn fill(buffer: &mut [core::mem::MaybeUninit<u8>], wait: bool) -> Result<usize, Errno> {
    let flags = if wait { 0 } else { libc::GRND_NONBLOCK };
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        // SAFETY: the host writes at most `rest.len()` bytes, into `rest`.
        let got = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), flags) };
        match usize::try_from(got) {
            Ok(got) => filled += got,
            Err(_) => match Errno::last() {
                Errno(libc::EINTR) => {}
                _ if filled > 0 => break,
                errno => return Err(errno),
            },
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::MaybeUninit;

    #[test]
    fn all_of_a_large_buffer_is_filled() {
        let mut buffer = vec![MaybeUninit::new(0u8); 100_000];
        assert_eq!(fill(&mut buffer, true), Ok(100_000));
        // SAFETY: every byte was initialised with 0 at least.
        let tail: Vec<u8> = buffer[99_900..].iter().map(|byte| unsafe { byte.assume_init() }).collect();
        assert!(tail.iter().any(|&byte| byte != 0), "a hundred random zeros in a row");
    }

    #[test]
    fn an_empty_buffer_is_full() {
        assert_eq!(fill(&mut [], false), Ok(0));
    }
}
