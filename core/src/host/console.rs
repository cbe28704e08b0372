//! The guest's console: standard output, a line at a time.
//!
//! A guest writes its console byte by byte. Bytes are collected and written with one system call per line, or when the
//! buffer is full, or when somebody asks ([`flush`], before the process ends). They do not pass through the C
//! library's own buffer, which an abort would lose.

use std::sync::{Mutex, MutexGuard, Once, PoisonError, TryLockError};

const CAPACITY: usize = 1024;

struct Line {
    bytes: [u8; CAPACITY],
    length: usize,
}

static LINE: Mutex<Line> = Mutex::new(Line { bytes: [0; CAPACITY], length: 0 });

impl Line {
    /// Adds a byte; whether it is time to write.
    fn push(&mut self, byte: u8) -> bool {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
        byte == b'\n' || self.length == CAPACITY
    }

    /// Writes what there is. What the host refuses is dropped: a console must not stop its kernel.
    fn write_to(&mut self, fd: libc::c_int) {
        let mut rest = self.bytes.get(..self.length).unwrap_or_default();
        while !rest.is_empty() {
            // SAFETY: `rest` is valid for its length.
            let written = unsafe { libc::write(fd, rest.as_ptr().cast(), rest.len()) };
            match usize::try_from(written) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(_) if std::io::Error::last_os_error().raw_os_error() == Some(libc::EINTR) => {}
                Err(_) => break,
            }
        }
        self.length = 0;
    }
}

fn line() -> MutexGuard<'static, Line> {
    LINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes a byte to the console.
pub fn put(byte: u8) {
    static AT_EXIT: Once = Once::new();
    extern "C" fn flush_at_exit() {
        flush();
    }
    AT_EXIT.call_once(|| {
        // SAFETY: the handler only writes what is left. Where it cannot be registered an unfinished last line is
        // lost when the program ends without `rumpuser_exit`.
        unsafe { libc::atexit(flush_at_exit) };
    });
    let mut line = line();
    if line.push(byte) {
        line.write_to(libc::STDOUT_FILENO);
    }
}

/// Writes an unfinished line. For the end of the process: does nothing where another thread is just writing, which may
/// be the one that failed.
pub fn flush() {
    let line = match LINE.try_lock() {
        Ok(line) => Some(line),
        Err(TryLockError::Poisoned(line)) => Some(line.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    };
    if let Some(mut line) = line {
        line.write_to(libc::STDOUT_FILENO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_line_ends_at_its_newline_and_when_it_is_full() {
        let mut line = Line { bytes: [0; CAPACITY], length: 0 };
        assert!(!line.push(b'a'));
        assert!(line.push(b'\n'));
        let (mut reader, writer) = std::io::pipe().expect("pipe");
        line.write_to(writer.as_raw_fd());
        for _ in 1..CAPACITY {
            assert!(!line.push(b'x'));
        }
        assert!(line.push(b'x'));
        line.write_to(writer.as_raw_fd());
        drop(writer);
        let mut got = String::new();
        reader.read_to_string(&mut got).expect("read");
        assert_eq!(got, format!("a\n{}", "x".repeat(CAPACITY)));
    }
}
