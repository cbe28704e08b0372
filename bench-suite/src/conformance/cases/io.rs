//! Scattered transfers, at an offset or at the file position.

use crate::conformance::calls::{
    AT_POSITION, netbsd, open, pattern, read_at, read_segments, segment, write_at, write_segments,
};
use crate::conformance::case::Family;
use libc::{c_int, c_void};
use rumpuser::abi::types::Iovec;
use rumpuser::abi::types::open::{CREATE, RDONLY, RDWR, WRONLY};
use std::fs;
use std::os::fd::AsRawFd;

pub(super) fn cases(family: &mut Family<'_>) {
    positional(family);
    sequential(family);
    segments(family);
    errors(family);
}

/// An open file of `size` bytes of a pattern.
pub(super) fn patterned(size: usize) -> c_int {
    let content: Vec<u8> = (0..size).map(|place| pattern(place, 0)).collect();
    fs::write("file", content).expect("a file");
    open("file", RDWR).expect("open")
}

/// The file position.
fn position(fd: c_int) -> i64 {
    // SAFETY: only asks about the descriptor.
    unsafe { libc::lseek(fd, 0, libc::SEEK_CUR) }
}

fn seek(fd: c_int, position: i64) {
    // SAFETY: moves the file position, no more.
    assert_eq!(unsafe { libc::lseek(fd, position, libc::SEEK_SET) }, position);
}

pub(super) fn assert_pattern(memory: &[u8], offset: usize) {
    for (place, byte) in memory.iter().enumerate() {
        assert_eq!(*byte, pattern(offset + place, 0), "byte {place} of a transfer at {offset}");
    }
}

fn positional(family: &mut Family<'_>) {
    for offset in [0, 1, 511, 512, 9_999] {
        family.case(
            format!("read_at_{offset}"),
            "a read at an offset gets the bytes there, off the virtual CPU once",
            move |guest| {
                let fd = patterned(20_000);
                let mut memory = [0; 1000];
                let offset_in_file = i64::try_from(offset).expect("small");
                assert_eq!(guest.gives_up_cpu(|| read_at(fd, &mut memory, offset_in_file)), Ok(1000));
                assert_pattern(&memory, offset);
            },
        );
        family.case(
            format!("write_at_{offset}"),
            "a write at an offset puts the bytes there, off the virtual CPU once",
            move |guest| {
                let fd = patterned(20_000);
                let offset_in_file = i64::try_from(offset).expect("small");
                assert_eq!(guest.gives_up_cpu(|| write_at(fd, &[0xee; 1000], offset_in_file)), Ok(1000));
                let content = fs::read("file").expect("the file");
                assert_pattern(&content[..offset], 0);
                assert_eq!(content[offset..offset + 1000], [0xee; 1000]);
                assert_pattern(&content[offset + 1000..], offset + 1000);
                assert_eq!(content.len(), 20_000);
            },
        );
    }
    const MOVES: &str = "seeks, then transfers";
    family
        .case("read_at_keeps_the_position", "a read at an offset does not move the file position", |_| {
            let fd = patterned(1000);
            seek(fd, 77);
            assert_eq!(read_at(fd, &mut [0; 10], 500), Ok(10));
            assert_eq!(position(fd), 77);
        })
        .weakness(MOVES);
    family
        .case("write_at_keeps_the_position", "a write at an offset does not move the file position", |_| {
            let fd = patterned(1000);
            seek(fd, 77);
            assert_eq!(write_at(fd, &[0; 10], 500), Ok(10));
            assert_eq!(position(fd), 77);
        })
        .weakness(MOVES);
    family.case("read_at_the_end", "a read at the end of a file returns no bytes, and no error", |_| {
        let fd = patterned(100);
        assert_eq!(read_at(fd, &mut [0; 10], 100), Ok(0));
    });
    family.case("read_behind_the_end", "a read behind the end of a file returns no bytes, and no error", |_| {
        let fd = patterned(100);
        assert_eq!(read_at(fd, &mut [0; 10], 1 << 40), Ok(0));
    });
    family.case("read_across_the_end", "a read across the end returns the bytes that there are", |_| {
        let fd = patterned(100);
        let mut memory = [0xee; 50];
        assert_eq!(read_at(fd, &mut memory, 80), Ok(20));
        assert_pattern(&memory[..20], 80);
        assert_eq!(memory[20..], [0xee; 30], "the rest is left alone");
    });
    family.case("write_behind_the_end", "a write behind the end leaves zeroes between", |_| {
        let fd = patterned(10);
        assert_eq!(write_at(fd, b"far", 1000), Ok(3));
        let content = fs::read("file").expect("the file");
        assert_pattern(&content[..10], 0);
        assert!(content[10..1000].iter().all(|byte| *byte == 0));
        assert_eq!(content[1000..], *b"far");
    });
    family.case("write_far_away", "offsets beyond 32 bits work", |_| {
        let fd = patterned(10);
        assert_eq!(write_at(fd, b"far", 5_000_000_000), Ok(3));
        let mut memory = [0; 5];
        assert_eq!(read_at(fd, &mut memory, 4_999_999_998), Ok(5));
        assert_eq!(memory, *b"\0\0far");
    });
    family.case("large_transfer", "16 MiB are transferred in one call", |_| {
        let fd = open("new", RDWR | CREATE).expect("open");
        let content: Vec<u8> = (0..16 << 20).map(|place| pattern(place, 0)).collect();
        assert_eq!(write_at(fd, &content, 3), Ok(content.len()));
        let mut memory = vec![0; content.len()];
        assert_eq!(read_at(fd, &mut memory, 3), Ok(content.len()));
        assert!(memory == content);
    });
}

fn sequential(family: &mut Family<'_>) {
    family.case("reads_at_the_position", "with offset -1 each read goes on where the last one ended", |guest| {
        let fd = patterned(1000);
        for turn in 0..10 {
            let mut memory = [0; 100];
            assert_eq!(guest.gives_up_cpu(|| read_at(fd, &mut memory, AT_POSITION)), Ok(100));
            assert_pattern(&memory, turn * 100);
        }
        assert_eq!(read_at(fd, &mut [0; 1], AT_POSITION), Ok(0), "at the end");
        assert_eq!(position(fd), 1000);
    });
    family.case("writes_at_the_position", "with offset -1 each write goes on where the last one ended", |guest| {
        let fd = open("new", RDWR | CREATE).expect("open");
        for text in ["one ", "two ", "three"] {
            assert_eq!(guest.gives_up_cpu(|| write_at(fd, text.as_bytes(), AT_POSITION)), Ok(text.len()));
        }
        assert_eq!(fs::read("new").expect("the file"), b"one two three");
    });
    family.case("through_a_pipe", "what has no position can be used with offset -1", |_| {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        assert_eq!(write_at(writer.as_raw_fd(), b"through", AT_POSITION), Ok(7));
        let mut memory = [0; 100];
        assert_eq!(
            read_at(reader.as_raw_fd(), &mut memory, AT_POSITION),
            Ok(7),
            "what there is, without waiting for more"
        );
        assert_eq!(memory[..7], *b"through");
        drop(writer);
        assert_eq!(read_at(reader.as_raw_fd(), &mut memory, AT_POSITION), Ok(0), "no writer is left");
    });
}

fn segments(family: &mut Family<'_>) {
    for count in [1, 2, 3, 16, 100, 1024, 1025, 3000] {
        for (name, offset) in [("at_an_offset", 7), ("at_the_position", AT_POSITION)] {
            let case = family.case(
                format!("{count}_segments_{name}"),
                "segments are filled and written in turn, however many there are",
                move |_| {
                    let length = |number: usize| 1 + number % 13;
                    let total: usize = (0..count).map(length).sum();
                    let start = usize::try_from(offset).unwrap_or(0);
                    let source = patterned(start + total + 10);
                    let mut buffers: Vec<Vec<u8>> = (0..count).map(|number| vec![0; length(number)]).collect();
                    let mut segments: Vec<_> = buffers.iter_mut().map(|buffer| segment(buffer)).collect();
                    assert_eq!(read_segments(source, &mut segments, offset), Ok(total));
                    assert_pattern(&buffers.concat(), start);

                    let target = open("target", RDWR | CREATE).expect("open");
                    assert_eq!(write_segments(target, &segments, offset), Ok(total));
                    assert_eq!(fs::read("target").expect("the file")[start..], buffers.concat());
                },
            );
            if count > 1024 {
                case.weakness("the host's limit of 1024 segments is the guest's");
            }
        }
    }
    family.case("no_segments", "no segments are no bytes", |_| {
        let fd = patterned(10);
        for offset in [0, 5, AT_POSITION] {
            assert_eq!(read_segments(fd, &mut [], offset), Ok(0));
            assert_eq!(write_segments(fd, &[], offset), Ok(0));
        }
        assert_eq!(fs::read("file").expect("the file").len(), 10);
    });
    family.case("empty_segments", "empty segments between others change nothing", |_| {
        let fd = patterned(100);
        let mut buffers = [vec![], vec![0; 10], vec![], vec![], vec![0; 20], vec![]];
        let mut segments: Vec<_> = buffers.iter_mut().map(|buffer| segment(buffer)).collect();
        assert_eq!(read_segments(fd, &mut segments, 5), Ok(30));
        assert_pattern(&buffers.concat(), 5);
    });
    family.case("segments_across_the_end", "a read across the end fills the segments that come first", |_| {
        let fd = patterned(25);
        let mut buffers = [[0xee; 10]; 4];
        let mut segments: Vec<_> = buffers.iter_mut().map(|buffer| segment(buffer)).collect();
        assert_eq!(read_segments(fd, &mut segments, 0), Ok(25));
        assert_pattern(&buffers.concat()[..25], 0);
        assert_eq!(buffers.concat()[25..], [0xee; 15]);
    });
}

fn errors(family: &mut Family<'_>) {
    /// Both directions with the same outcome.
    fn both(fd: c_int, offset: i64, error: c_int) {
        assert_eq!(read_at(fd, &mut [0; 10], offset), Err(error), "read");
        assert_eq!(write_at(fd, &[0; 10], offset), Err(error), "write");
    }
    for offset in [0, AT_POSITION] {
        let place = if offset < 0 { "at_the_position" } else { "at_an_offset" };
        family.case(format!("nothing_open_{place}"), "a descriptor that is not open is EBADF", move |guest| {
            both(12_345, offset, netbsd::EBADF);
            assert_eq!(guest.gives_up_cpu(|| read_at(12_345, &mut [0; 10], offset)), Err(netbsd::EBADF));
        });
        family.case(
            format!("write_of_a_file_for_reading_{place}"),
            "writing a file opened for reading is EBADF",
            move |_| {
                patterned(10);
                assert_eq!(write_at(open("file", RDONLY).expect("open"), b"x", offset), Err(netbsd::EBADF));
            },
        );
        family.case(
            format!("read_of_a_file_for_writing_{place}"),
            "reading a file opened for writing is EBADF",
            move |_| {
                patterned(10);
                assert_eq!(read_at(open("file", WRONLY).expect("open"), &mut [0; 1], offset), Err(netbsd::EBADF));
            },
        );
        family.case(format!("read_of_a_folder_{place}"), "reading a folder is EISDIR", move |_| {
            assert_eq!(read_at(open(".", RDONLY).expect("open"), &mut [0; 10], offset), Err(netbsd::EISDIR));
        });
        family.case(format!("no_space_{place}"), "a full device is ENOSPC", move |_| {
            let fd = open("/dev/full", RDWR).expect("open");
            assert_eq!(write_at(fd, b"x", offset), Err(netbsd::ENOSPC));
        });
        family.case(format!("bad_memory_{place}"), "memory that does not exist is EFAULT", move |_| {
            let fd = patterned(10);
            let nowhere = Iovec { iov_base: core::ptr::without_provenance_mut::<c_void>(8), iov_len: 10 };
            assert_eq!(read_segments(fd, &mut [nowhere], offset), Err(netbsd::EFAULT));
            assert_eq!(write_segments(fd, &[nowhere], offset), Err(netbsd::EFAULT));
        });
    }
    family.case("pipe_at_an_offset", "what has no position cannot be used at an offset: ESPIPE", |_| {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        assert_eq!(read_at(reader.as_raw_fd(), &mut [0; 10], 0), Err(netbsd::ESPIPE));
        assert_eq!(write_at(writer.as_raw_fd(), &[0; 10], 0), Err(netbsd::ESPIPE));
    });
    for offset in [-2, i64::MIN] {
        family.case(format!("offset_{offset}"), "a negative offset other than -1 is EINVAL", move |_| {
            both(patterned(10), offset, netbsd::EINVAL);
        });
    }
    family.case("nonblocking", "a read that would have to wait where it must not is EAGAIN, 35 in NetBSD", |_| {
        let (reader, _writer) = std::io::pipe().expect("a pipe");
        // SAFETY: sets a flag of the descriptor.
        assert_eq!(unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) }, 0);
        assert_eq!(read_at(reader.as_raw_fd(), &mut [0; 10], AT_POSITION), Err(netbsd::EAGAIN));
    });
    family.case("broken_pipe", "a write that nobody can read is EPIPE", |_| {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        // Rust programs ignore SIGPIPE, or this ended the process.
        assert_eq!(write_at(writer.as_raw_fd(), b"x", AT_POSITION), Err(netbsd::EPIPE));
    });
    family.case("reset_connection", "an error of the network is translated: ENOTCONN is 57 in NetBSD", |_| {
        // SAFETY: makes a socket.
        let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0) };
        assert_eq!(read_at(fd, &mut [0; 1], AT_POSITION), Err(netbsd::ENOTCONN));
    });
    family.case("too_large", "a write beyond the largest file is EFBIG", |_| {
        let limit = libc::rlimit { rlim_cur: 1000, rlim_max: 1000 };
        // SAFETY: a valid limit.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
        // SAFETY: a disposition, not a handler.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
        let fd = open("new", RDWR | CREATE).expect("open");
        assert_eq!(write_at(fd, b"x", 1000), Err(netbsd::EFBIG));
        assert_eq!(write_at(fd, b"x", 999), Ok(1));
    });
    for (name, offset) in [("at_the_position", AT_POSITION), ("at_an_offset", 0)] {
        family
            .case(
                format!("tells_its_own_error_{name}"),
                "the error is that of the transfer, whatever the upcalls did to errno",
                move |guest| {
                    guest.spoil_errno();
                    both(12_345, offset, netbsd::EBADF);
                },
            )
            .weakness("reads errno after the upcall");
    }
}
