//! Scattered reads and writes, complete and restarted.

use crate::host::errno::Errno;
use libc::{c_int, iovec};

/// The most buffers that one system call takes (`UIO_MAXIOV` of Linux).
const BUFFERS_PER_CALL: usize = 1024;

/// From where to where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the file to the buffers.
    Read,
    /// From the buffers to the file.
    Write,
    /// Likewise, and each part is on stable storage before the host calls it written (`RWF_DSYNC`). Some hosts and
    /// files cannot: EOPNOTSUPP.
    WriteStable,
}

/// Where in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the file position, which moves.
    Current,
    /// At this offset, 0 or more; the file position is neither used nor moved, so threads can share a descriptor.
    Offset(i64),
}

/// How far a transfer got, and why not further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes moved.
    pub bytes: usize,
    /// `Ok` at the end of the buffers, of the file, or of what there was to read.
    pub stopped: Result<(), Errno>,
}

impl Progress {
    /// Nothing was moved, for this reason.
    pub const fn failed(errno: Errno) -> Self {
        Progress { bytes: 0, stopped: Err(errno) }
    }

    /// The bytes moved, or the error if there are none. An error after some bytes shows again in the next transfer.
    ///
    /// # Errors
    /// Those of the host.
    pub fn bytes_or_error(self) -> Result<usize, Errno> {
        if self.bytes > 0 { Ok(self.bytes) } else { self.stopped.map(|()| 0) }
    }
}

/// Moves bytes between `fd` and `buffers`, in order.
///
/// Short transfers are continued and interrupted ones restarted, until the buffers or the file end. One transfer is a
/// result however short: a read at the current position of what delivers as it comes (a pipe, a socket, a terminal), which
/// would otherwise wait for more.
///
/// # Safety
/// Each buffer must be valid for its length: for writes when the direction is `Read`, and for reads otherwise.
pub unsafe fn transfer(fd: c_int, direction: Direction, buffers: &[iovec], place: Place) -> Progress {
    let mut bytes = 0;
    let mut rest = Rest::of(buffers);
    loop {
        let now = rest.next();
        // SAFETY: parts of the caller's buffers.
        match unsafe { once(fd, direction, now, place, bytes) } {
            Err(Errno(libc::EINTR)) => {}
            Err(errno) => return Progress { bytes, stopped: Err(errno) },
            Ok(moved) => {
                bytes += moved;
                rest.advance(moved);
                let as_it_comes = direction == Direction::Read && place == Place::Current;
                if moved == 0 || rest.is_empty() || (as_it_comes && !has_an_end(fd)) {
                    return Progress { bytes, stopped: Ok(()) };
                }
            }
        }
    }
}

/// One call to the host, after `done` bytes were moved.
///
/// # Safety
/// As for [`transfer`].
unsafe fn once(fd: c_int, direction: Direction, buffers: &[iovec], place: Place, done: usize) -> Result<usize, Errno> {
    let start = buffers.as_ptr();
    // At most `BUFFERS_PER_CALL`, so it fits.
    let count = buffers.len() as c_int;
    // SAFETY: the caller's promise, for every arm.
    let moved = unsafe {
        match (direction, place) {
            (Direction::Read, Place::Current) => libc::readv(fd, start, count),
            (Direction::Write, Place::Current) => libc::writev(fd, start, count),
            (Direction::Read, Place::Offset(offset)) => libc::preadv(fd, start, count, after(offset, done)?),
            (Direction::Write, Place::Offset(offset)) => libc::pwritev(fd, start, count, after(offset, done)?),
            // -1 is the current position here.
            (Direction::WriteStable, Place::Current) => libc::pwritev2(fd, start, count, -1, libc::RWF_DSYNC),
            (Direction::WriteStable, Place::Offset(offset)) => {
                libc::pwritev2(fd, start, count, after(offset, done)?, libc::RWF_DSYNC)
            }
        }
    };
    usize::try_from(moved).map_err(|_| Errno::last())
}

/// The offset `done` bytes behind `offset`.
fn after(offset: i64, done: usize) -> Result<i64, Errno> {
    if offset < 0 {
        return Err(Errno(libc::EINVAL));
    }
    i64::try_from(done).ok().and_then(|done| offset.checked_add(done)).ok_or(Errno(libc::EFBIG))
}

/// The buffers that a transfer has not filled yet. Starts with a buffer that is not empty, or is empty itself.
struct Rest<'a> {
    /// The tail of the buffer that the last call ended in.
    cut: Option<iovec>,
    whole: &'a [iovec],
}

impl<'a> Rest<'a> {
    fn of(buffers: &'a [iovec]) -> Self {
        let mut rest = Rest { cut: None, whole: buffers };
        rest.advance(0);
        rest
    }

    fn is_empty(&self) -> bool {
        self.cut.is_none() && self.whole.is_empty()
    }

    /// What the next call is to be asked for. (An empty list is a valid question: is the descriptor good?)
    fn next(&self) -> &[iovec] {
        match &self.cut {
            Some(cut) => core::slice::from_ref(cut),
            None => self.whole.get(..BUFFERS_PER_CALL).unwrap_or(self.whole),
        }
    }

    fn advance(&mut self, mut bytes: usize) {
        while let Some(first) = self.cut.or(self.whole.first().copied()) {
            if bytes < first.iov_len {
                if bytes > 0 || self.cut.is_some() {
                    self.take_first();
                    self.cut = Some(iovec {
                        iov_base: first.iov_base.wrapping_byte_add(bytes),
                        iov_len: first.iov_len - bytes,
                    });
                }
                return;
            }
            bytes -= first.iov_len;
            self.take_first();
        }
    }

    fn take_first(&mut self) {
        if self.cut.take().is_none() {
            self.whole = self.whole.get(1..).unwrap_or_default();
        }
    }
}

/// Whether reading less than asked from `fd` means that more must be asked for: a regular file, a block device.
fn has_an_end(fd: c_int) -> bool {
    let mut status = core::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the host fills `status` where it returns 0.
    if unsafe { libc::fstat(fd, status.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: filled.
    let mode = unsafe { status.assume_init() }.st_mode;
    matches!(mode & libc::S_IFMT, libc::S_IFREG | libc::S_IFBLK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::scratch::Scratch;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;

    fn buffers(bytes: &mut [u8], sizes: &[usize]) -> Vec<iovec> {
        let mut at = 0;
        sizes
            .iter()
            .map(|&size| {
                let part = &mut bytes[at..at + size];
                at += size;
                iovec { iov_base: part.as_mut_ptr().cast(), iov_len: size }
            })
            .collect()
    }

    fn run(file: &impl AsRawFd, direction: Direction, buffers: &[iovec], place: Place) -> Result<usize, Errno> {
        // SAFETY: the tests' buffers are as long as they say.
        unsafe { transfer(file.as_raw_fd(), direction, buffers, place) }.bytes_or_error()
    }

    fn file(scratch: &Scratch) -> File {
        File::options().read(true).write(true).create(true).truncate(false).open(scratch.file("file")).expect("opened")
    }

    #[test]
    fn cut_buffers_are_continued_where_they_were_cut() {
        let mut bytes = [0; 10];
        let parts = buffers(&mut bytes, &[0, 3, 0, 0, 4, 0, 3, 0]);
        for first in 0..=10 {
            for second in 0..=10 - first {
                let mut rest = Rest::of(&parts);
                rest.advance(first);
                rest.advance(second);
                let mut left = 0;
                let mut expected = parts[1].iov_base.wrapping_byte_add(first + second);
                while !rest.is_empty() {
                    let now = rest.next()[0];
                    assert_eq!(now.iov_base, expected);
                    assert_ne!(now.iov_len, 0);
                    left += now.iov_len;
                    expected = expected.wrapping_byte_add(now.iov_len);
                    rest.advance(now.iov_len);
                }
                assert_eq!(left, 10 - first - second);
            }
        }
    }

    #[test]
    fn more_buffers_than_one_call_takes() {
        let scratch = Scratch::new("iov");
        let file = file(&scratch);
        let sizes: Vec<usize> = (0..3000).map(|i| i % 5).collect();
        let total = sizes.iter().sum::<usize>();
        let mut written: Vec<u8> = (0..total).map(|i| (i * 7 % 251) as u8).collect();
        let expected = written.clone();
        assert_eq!(run(&file, Direction::Write, &buffers(&mut written, &sizes), Place::Offset(5)), Ok(total));
        let mut read = vec![0; total + 10];
        let mut sizes = sizes;
        sizes.push(10);
        assert_eq!(
            run(&file, Direction::Read, &buffers(&mut read, &sizes), Place::Offset(5)),
            Ok(total),
            "up to the end"
        );
        assert_eq!(read[..total], expected);
        assert_eq!(run(&file, Direction::Read, &buffers(&mut read, &[10]), Place::Offset(1 << 40)), Ok(0));
    }

    #[test]
    fn an_offset_leaves_the_position_alone() {
        let scratch = Scratch::new("position");
        let mut file = file(&scratch);
        file.write_all(b"0123456789").expect("written");
        let mut bytes = *b"ab";
        assert_eq!(run(&file, Direction::Write, &buffers(&mut bytes, &[2]), Place::Offset(3)), Ok(2));
        assert_eq!(run(&file, Direction::WriteStable, &buffers(&mut bytes, &[2]), Place::Current), Ok(2));
        assert_eq!(std::fs::read(scratch.file("file")).expect("read"), b"012ab56789ab");
        assert_eq!(
            run(&file, Direction::Read, &buffers(&mut bytes, &[2]), Place::Offset(-2)),
            Err(Errno(libc::EINVAL)),
            "only -1 is special, and that is the caller's business"
        );
    }

    #[test]
    fn two_threads_on_one_descriptor_see_their_own_blocks() {
        const BLOCK: usize = 512;
        let scratch = Scratch::new("share");
        let file = file(&scratch);
        for block in 0..64u8 {
            let mut bytes = [block; BLOCK];
            let at = Place::Offset(i64::from(block) * BLOCK as i64);
            assert_eq!(run(&file, Direction::Write, &buffers(&mut bytes, &[BLOCK]), at), Ok(BLOCK));
        }
        std::thread::scope(|scope| {
            for thread in 0..2 {
                let file = &file;
                scope.spawn(move || {
                    for round in 0..20_000usize {
                        let block = (round * 31 + thread * 17) % 64;
                        let mut bytes = [0xff; BLOCK];
                        let at = Place::Offset((block * BLOCK) as i64);
                        let parts = buffers(&mut bytes, &[100, BLOCK - 100]);
                        assert_eq!(run(file, Direction::Read, &parts, at), Ok(BLOCK));
                        assert!(bytes.iter().all(|&byte| byte == block as u8), "another thread's block");
                    }
                });
            }
        });
    }

    #[test]
    fn a_pipe_delivers_what_it_has_and_takes_all() {
        let (mut reader, mut writer) = std::io::pipe().expect("pipe");
        writer.write_all(b"abc").expect("written");
        let mut bytes = [0; 8];
        assert_eq!(run(&reader, Direction::Read, &buffers(&mut bytes, &[8]), Place::Current), Ok(3));
        assert_eq!(
            run(&reader, Direction::Read, &buffers(&mut bytes, &[8]), Place::Offset(0)),
            Err(Errno(libc::ESPIPE))
        );
        std::thread::scope(|scope| {
            let drain = scope.spawn(move || {
                let mut all = Vec::new();
                reader.read_to_end(&mut all).map(|_| all.len())
            });
            // More than a pipe holds.
            let mut large = vec![1; 1_000_000];
            let parts = buffers(&mut large, &[300_000, 700_000]);
            assert_eq!(run(&writer, Direction::Write, &parts, Place::Current), Ok(1_000_000));
            drop(writer);
            assert_eq!(drain.join().expect("no panic").expect("read"), 1_000_000);
        });
    }

    #[test]
    fn an_error_after_some_bytes_is_kept_for_the_next_transfer() {
        let (reader, writer) = std::io::pipe().expect("pipe");
        // SAFETY: sets a flag of a descriptor of ours.
        unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        let mut large = vec![1; 1_000_000];
        let parts = buffers(&mut large, &[1_000_000]);
        let moved = run(&writer, Direction::Write, &parts, Place::Current).expect("some");
        assert!(moved > 0 && moved < 1_000_000);
        assert_eq!(run(&writer, Direction::Write, &parts, Place::Current), Err(Errno(libc::EAGAIN)));
        drop(reader);
        let mut bytes = [0; 1];
        let parts = buffers(&mut bytes, &[1]);
        assert_eq!(run(&std::io::stdin(), Direction::Read, &parts, Place::Offset(i64::MIN)), Err(Errno(libc::EINVAL)));
        // SAFETY: as in `run`.
        let nowhere = unsafe { transfer(-1, Direction::Read, &[], Place::Current) };
        assert_eq!(nowhere.stopped, Err(Errno(libc::EBADF)), "the host is asked even for nothing");
    }
}
