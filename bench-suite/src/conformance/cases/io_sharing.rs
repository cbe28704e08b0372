//! Transfers that wait, and transfers of several threads at a time.

use super::io::{assert_pattern, patterned};
use crate::conformance::calls::{AT_POSITION, pattern, read_at, write_at};
use crate::conformance::case::Family;
use crate::conformance::guest::Signal;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};

pub(super) fn cases(family: &mut Family<'_>) {
    blocking(family);
    concurrent(family);
}

fn blocking(family: &mut Family<'_>) {
    family.case("read_waits_off_the_cpu", "a read that has to wait leaves the virtual CPU to others", |guest| {
        guest.limit_cpus(1);
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        let waiter = guest.spawn(move || {
            assert_eq!(guest.gives_up_cpu(|| read_at(reader.as_raw_fd(), &mut [0; 10], AT_POSITION)), Ok(4));
        });
        guest.aside(|| waiter.wait_off_cpu());
        writer.write_all(b"data").expect("written");
        guest.aside(|| waiter.join());
    });
    family.case(
        "write_waits_off_the_cpu",
        "a write into a full pipe waits off the virtual CPU until all is written",
        |guest| {
            guest.limit_cpus(1);
            let (mut reader, writer) = std::io::pipe().expect("a pipe");
            let waiter = guest.spawn(move || {
                let data = vec![b'x'; 1 << 20];
                assert_eq!(guest.gives_up_cpu(|| write_at(writer.as_raw_fd(), &data, AT_POSITION)), Ok(data.len()));
            });
            guest.aside(|| waiter.wait_off_cpu());
            let mut received = Vec::new();
            guest.aside(|| reader.read_to_end(&mut received)).expect("read");
            assert_eq!(received.len(), 1 << 20);
            guest.aside(|| waiter.join());
        },
    );
    family
        .case("read_outlasts_signals", "a read that waits goes on when signals of the host arrive", |guest| {
            let signal = Signal::prepare();
            let (reader, mut writer) = std::io::pipe().expect("a pipe");
            let waiter = guest.spawn(move || {
                assert_eq!(guest.gives_up_cpu(|| read_at(reader.as_raw_fd(), &mut [0; 10], AT_POSITION)), Ok(4));
            });
            waiter.wait_off_cpu();
            waiter.interrupt(signal, 20);
            writer.write_all(b"data").expect("written");
            waiter.join();
        })
        .weakness("EINTR");
    family
        .case("write_outlasts_signals", "a write that waits is complete although signals of the host arrive", |guest| {
            let signal = Signal::prepare();
            let (mut reader, writer) = std::io::pipe().expect("a pipe");
            let waiter = guest.spawn(move || {
                let data = vec![b'x'; 1 << 20];
                assert_eq!(write_at(writer.as_raw_fd(), &data, AT_POSITION), Ok(data.len()));
            });
            waiter.wait_off_cpu();
            waiter.interrupt(signal, 20);
            let mut received = Vec::new();
            reader.read_to_end(&mut received).expect("read");
            assert_eq!(received.len(), 1 << 20);
            waiter.join();
        })
        .weakness("a part, or EINTR");
}

fn concurrent(family: &mut Family<'_>) {
    const BLOCK: usize = 512;
    const WEAKNESS: &str = "seeks, then transfers: threads that share a descriptor get each other's blocks";
    family
        .case(
            "concurrent_reads_at_offsets",
            "threads that read one file at offsets each get their own blocks",
            |guest| {
                guest.trace.silence();
                let fd = patterned(64 * BLOCK);
                let threads: Vec<_> = (0..4)
                    .map(|thread| {
                        guest.spawn(move || {
                            for turn in 0..3000 {
                                let offset = (turn * 7 + thread * 16) % 64 * BLOCK;
                                let mut memory = [0; BLOCK];
                                assert_eq!(read_at(fd, &mut memory, offset as i64), Ok(BLOCK));
                                assert_pattern(&memory, offset);
                            }
                        })
                    })
                    .collect();
                threads.into_iter().for_each(|thread| thread.join());
            },
        )
        .weakness(WEAKNESS);
    family
        .case(
            "concurrent_writes_at_offsets",
            "threads that write one file at offsets each write their own blocks",
            |guest| {
                guest.trace.silence();
                let fd = patterned(0);
                let threads: Vec<_> = (0..4_usize)
                    .map(|thread| {
                        guest.spawn(move || {
                            for turn in 0..1000 {
                                // The blocks of the threads lie between each other. Nobody repairs what is misplaced.
                                let offset = (turn * 4 + thread) * BLOCK;
                                let block: Vec<u8> = (offset..offset + BLOCK).map(|place| pattern(place, 0)).collect();
                                assert_eq!(write_at(fd, &block, offset as i64), Ok(BLOCK));
                            }
                        })
                    })
                    .collect();
                threads.into_iter().for_each(|thread| thread.join());
                assert_pattern(&fs::read("file").expect("the file"), 0);
                assert_eq!(fs::metadata("file").expect("the file").len(), (4000 * BLOCK) as u64);
            },
        )
        .weakness(WEAKNESS);
    family
        .case(
            "positional_and_sequential",
            "reads at offsets do not disturb a thread that reads at the position",
            |guest| {
                guest.trace.silence();
                let fd = patterned(1000 * BLOCK);
                let other = guest.spawn(move || {
                    for turn in 0..3000 {
                        let offset = turn % 1000 * BLOCK;
                        assert_eq!(read_at(fd, &mut [0; BLOCK], offset as i64), Ok(BLOCK));
                    }
                });
                for turn in 0..1000 {
                    let mut memory = [0; BLOCK];
                    assert_eq!(read_at(fd, &mut memory, AT_POSITION), Ok(BLOCK));
                    assert_pattern(&memory, turn * BLOCK);
                }
                other.join();
            },
        )
        .weakness(WEAKNESS);
    family.case(
        "descriptor_of_another",
        "the library needs no knowledge of a descriptor: the host's own will do",
        |_| {
            let file = fs::File::create_new("own").expect("a file");
            let fd = file.into_raw_fd();
            assert_eq!(write_at(fd, b"data", 0), Ok(4));
            // SAFETY: the descriptor was released above.
            drop(unsafe { fs::File::from_raw_fd(fd) });
            assert_eq!(fs::read("own").expect("the file"), b"data");
        },
    );
}
