//! Block I/O: requests and their completions.

use crate::conformance::calls::{Completion, Transfer, netbsd, open, pattern};
use crate::conformance::case::Family;
use crate::conformance::guest::{Event, Lwp};
use libc::c_int;
use rumpuser::abi::types::bio::{READ, SYNC, WRITE};
use rumpuser::abi::types::open::{BIO, CREATE, RDONLY, RDWR, WRONLY};
use rumpuser::host::block::choice::VARIABLE;
use std::fs;
use std::sync::Mutex;

const BLOCK: usize = 512;
/// Blocks in a page: what has been read of one page has all of it in the host's memory.
const APART: usize = 8;

pub(super) fn cases(family: &mut Family<'_>) {
    // Without threads the guest's requests are done by their caller; all else is the same.
    for variant in [("", None), ("_without_threads", Some(("RUMP_THREADS", "0")))] {
        every_way(family, variant);
    }
    many(family, ("", None));
    // Our library has several engines. Where the host refuses one, another one takes its place.
    for (name, engine) in [
        ("_uring", "uring"),
        ("_pool", "pool"),
        ("_thread", "thread"),
        ("_inline", "inline"),
        ("_unknown_engine", "no such engine"),
    ] {
        let first = family.len();
        let variant = (name, Some((VARIABLE, engine)));
        every_way(family, variant);
        many(family, variant);
        family.since(first).iter_mut().for_each(|case| {
            case.ours_only();
        });
    }
    family
        .case(
            "without_threads_in_the_caller",
            "without threads the completion runs in the caller, before bio returns",
            |_| {
                let fd = image(8);
                let transfer = Transfer::start(fd, READ, vec![0; BLOCK], 0);
                let completion = transfer.poll().expect("complete when bio returns");
                // SAFETY: has no preconditions.
                assert_eq!(completion.tid, unsafe { libc::gettid() });
                assert_eq!(fs::read_dir("/proc/self/task").expect("threads").count(), 1);
            },
        )
        .environment("RUMP_THREADS", "0");
}

/// The end of the cases' names, and what they set.
type Variant = (&'static str, Variable);

fn every_way(family: &mut Family<'_>, (name, variable): Variant) {
    transfers(family, name, variable);
    errors(family, name, variable);
    completions(family, name, variable);
}

/// An image of so many blocks, open for block I/O. The host has it on its disk and not in its memory, as far as there is a disk:
/// what it had in memory would be read without an engine.
fn image(blocks: usize) -> c_int {
    let content: Vec<u8> = (0..blocks * BLOCK).map(|place| pattern(place, 0)).collect();
    fs::write("image", content).expect("an image");
    fs::File::open("image").and_then(|file| file.sync_all()).expect("on the disk");
    let fd = open("image", RDWR | BIO).expect("open");
    // SAFETY: advice, which touches no memory. No more is to be read than what is asked for.
    unsafe {
        libc::posix_fadvise(fd, 0, 0, libc::POSIX_FADV_DONTNEED);
        libc::posix_fadvise(fd, 0, 0, libc::POSIX_FADV_RANDOM);
    }
    fd
}

fn expected(offset: usize, length: usize) -> Vec<u8> {
    (offset..offset + length).map(|place| pattern(place, 0)).collect()
}

/// One request; its completion must be told once, without error, for `bytes`.
fn transfer(fd: c_int, operation: c_int, data: Vec<u8>, offset: usize, bytes: usize) -> Completion {
    let completion = Transfer::start(fd, operation, data, offset as i64).wait();
    assert_eq!((completion.bytes, completion.error, completion.times), (bytes, 0, 1));
    completion
}

type Variable = Option<(&'static str, &'static str)>;

/// Sets the variable of a variant.
fn with(case: &mut crate::conformance::case::Case, variable: Variable) -> &mut crate::conformance::case::Case {
    match variable {
        Some((name, value)) => case.environment(name, value),
        None => case,
    }
}

fn transfers(family: &mut Family<'_>, variant: &str, variable: Variable) {
    for length in [BLOCK, 8 * BLOCK, 128 * BLOCK, 8192 * BLOCK] {
        let case = family.case(
            format!("read_of_{length}_bytes{variant}"),
            "a read gets the blocks at its offset, and its completion is told once with their number",
            move |_| {
                let fd = image(2 * length / BLOCK);
                for offset in [0, BLOCK, length] {
                    let completion = transfer(fd, READ, vec![0; length], offset, length);
                    assert!(completion.data == expected(offset, length));
                }
            },
        );
        with(case, variable);
        for (name, operation) in [("write", WRITE), ("synchronous_write", WRITE | SYNC)] {
            let case = family.case(
                format!("{name}_of_{length}_bytes{variant}"),
                "a write puts its blocks at their offset and changes nothing else",
                move |_| {
                    let fd = image(3 * length / BLOCK);
                    transfer(fd, operation, vec![0xee; length], length, length);
                    let content = fs::read("image").expect("the image");
                    assert!(content[..length] == expected(0, length));
                    assert!(content[length..2 * length].iter().all(|byte| *byte == 0xee));
                    assert!(content[2 * length..] == expected(2 * length, length));
                },
            );
            with(case, variable);
        }
    }
    let case =
        family.case(format!("read_after_write{variant}"), "a read after a write's completion sees the write", |_| {
            let fd = image(64);
            for turn in 0..64_u8 {
                let offset = usize::from(turn) * BLOCK;
                transfer(fd, WRITE, vec![turn; BLOCK], offset, BLOCK);
                assert_eq!(transfer(fd, READ, vec![0; BLOCK], offset, BLOCK).data, vec![turn; BLOCK]);
            }
        });
    with(case, variable);
    let case = family.case(
        format!("read_at_the_end{variant}"),
        "a read at the end of the file is no bytes, and no error",
        |_| {
            transfer(image(4), READ, vec![0; BLOCK], 4 * BLOCK, 0);
        },
    );
    with(case, variable);
    let case = family.case(
        format!("read_across_the_end{variant}"),
        "a read across the end is the bytes that there are",
        |_| {
            let completion = transfer(image(4), READ, vec![0xee; 4 * BLOCK], 3 * BLOCK, BLOCK);
            assert_eq!(completion.data[..BLOCK], expected(3 * BLOCK, BLOCK));
            assert!(completion.data[BLOCK..].iter().all(|byte| *byte == 0xee), "the rest is left alone");
        },
    );
    with(case, variable);
    let case =
        family.case(format!("write_behind_the_end{variant}"), "a write behind the end makes the file longer", |_| {
            transfer(image(1), WRITE, vec![0xee; BLOCK], 8 * BLOCK, BLOCK);
            assert_eq!(fs::metadata("image").expect("the image").len(), 9 * BLOCK as u64);
        });
    with(case, variable);
    let case = family.case(format!("unaligned_memory{variant}"), "memory need not be aligned to anything", |_| {
        let fd = image(16);
        for (number, length) in [3, BLOCK, 5000, 7 * BLOCK + 1].into_iter().enumerate() {
            let completion = transfer(fd, READ, vec![0; length], number, length);
            assert_eq!(completion.data, expected(number, length));
        }
    });
    with(case, variable);
    let case =
        family.case(format!("empty_transfer{variant}"), "a transfer of nothing is complete, with no bytes", |_| {
            let fd = image(1);
            transfer(fd, READ, Vec::new(), 0, 0);
            transfer(fd, WRITE, Vec::new(), 0, 0);
            assert_eq!(fs::metadata("image").expect("the image").len(), BLOCK as u64);
        });
    with(case, variable);
    let case = family.case(
        format!("file_not_opened_for_it{variant}"),
        "the flag at open is a hint: other files work too",
        |_| {
            image(4);
            let fd = open("image", RDWR).expect("open");
            assert_eq!(transfer(fd, READ, vec![0; BLOCK], BLOCK, BLOCK).data, expected(BLOCK, BLOCK));
        },
    );
    with(case, variable);
}

fn errors(family: &mut Family<'_>, variant: &str, variable: Variable) {
    let mut fail = |name: &str, error: c_int, operation: c_int, offset: i64, prepare: fn() -> c_int| {
        let case = family.case(
            format!("{name}{variant}"),
            "a transfer that fails is complete with no bytes and NetBSD's number of the error",
            move |_| {
                let completion = Transfer::start(prepare(), operation, vec![0; BLOCK], offset).wait();
                assert_eq!((completion.bytes, completion.error, completion.times), (0, error, 1));
            },
        );
        with(case, variable);
    };
    fail("read_of_nothing_open", netbsd::EBADF, READ, 0, || 12_345);
    fail("write_of_nothing_open", netbsd::EBADF, WRITE, 0, || 12_345);
    fail("synchronous_write_of_nothing_open", netbsd::EBADF, WRITE | SYNC, 0, || 12_345);
    fail("write_of_a_file_for_reading", netbsd::EBADF, WRITE, 0, || {
        image(1);
        open("image", RDONLY | BIO).expect("open")
    });
    fail("read_of_a_file_for_writing", netbsd::EBADF, READ, 0, || {
        image(1);
        open("image", WRONLY | BIO).expect("open")
    });
    fail("read_of_a_folder", netbsd::EISDIR, READ, 0, || open(".", RDONLY).expect("open"));
    fail("negative_offset", netbsd::EINVAL, READ, -512, || image(1));
    fail("write_without_space", netbsd::ENOSPC, WRITE, 0, || open("/dev/full", RDWR).expect("open"));
    fail("synchronous_write_without_space", netbsd::ENOSPC, WRITE | SYNC, 0, || open("/dev/full", RDWR).expect("open"));
    fail("read_of_a_pipe", netbsd::ESPIPE, READ, 0, || {
        let mut ends = [0; 2];
        // SAFETY: a place for two descriptors.
        assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
        ends[0]
    });
    fail("write_beyond_the_largest_file", netbsd::EFBIG, WRITE, 4096, || {
        let limit = libc::rlimit { rlim_cur: 4096, rlim_max: 4096 };
        let fd = image(1);
        // SAFETY: a valid limit.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
        // SAFETY: a disposition, not a handler.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
        fd
    });
    let case = family.case(
        format!("transfers_after_an_error{variant}"),
        "an error of one transfer does not touch the next one",
        |_| {
            let fd = image(4);
            for _ in 0..10 {
                assert_eq!(Transfer::start(12_345, READ, vec![0; BLOCK], 0).wait().error, netbsd::EBADF);
                transfer(fd, READ, vec![0; BLOCK], 0, BLOCK);
            }
        },
    );
    with(case, variable);
}

fn completions(family: &mut Family<'_>, variant: &str, variable: Variable) {
    let case = family.case(
        format!("completion_is_scheduled{variant}"),
        "the completion runs on a virtual CPU, with an lwp, and the thread gives the virtual CPU up after it",
        |guest| {
            let fd = image(10 * APART);
            for page in 0..10 {
                // That it runs on a virtual CPU is checked by every completion.
                assert_ne!(transfer(fd, READ, vec![0; BLOCK], page * APART * BLOCK, BLOCK).lwp, Lwp::NONE);
            }
            assert!(guest.is_on_cpu());
        },
    );
    with(case, variable);
    let case = family.case(
        format!("request_keeps_the_balance{variant}"),
        "whether or not a request gives up the virtual CPU, its caller has it again with all locks when bio returns",
        |guest| {
            let fd = image(10 * APART);
            for page in 0..10 {
                let offset = (page * APART * BLOCK) as i64;
                let (transfer, _) = guest.watch(|| Transfer::start(fd, READ, vec![0; BLOCK], offset));
                transfer.wait();
            }
        },
    );
    with(case, variable);
    let case = family.case(
        format!("completion_may_ask_for_more{variant}"),
        "a completion may start the next request",
        |guest| {
            static NEXT: Mutex<Vec<&'static Transfer>> = Mutex::new(Vec::new());
            static FD: Mutex<c_int> = Mutex::new(-1);
            fn next() {
                let fd = *FD.lock().expect("no panic while locked");
                let transfer = Transfer::start(fd, READ, vec![0; BLOCK], (APART * BLOCK) as i64);
                NEXT.lock().expect("no panic while locked").push(transfer);
            }
            *FD.lock().expect("no panic while locked") = image(2 * APART);
            let fd = *FD.lock().expect("no panic while locked");
            let first = Transfer::start_then(fd, READ, vec![0; BLOCK], 0, next);
            assert_eq!(first.wait().error, 0);
            guest.trace.wait_for(Event::Mark("done"), 1);
            let second = NEXT.lock().expect("no panic while locked").pop().expect("started by the completion");
            assert_eq!(second.wait().data, expected(APART * BLOCK, BLOCK));
        },
    );
    with(case, variable);
    let case = family.case(
        format!("requests_of_many_threads{variant}"),
        "threads that transfer at the same time each get their own blocks",
        |guest| {
            guest.trace.silence();
            let fd = image(256 * APART);
            let threads: Vec<_> = (0..4)
                .map(|thread| {
                    guest.spawn(move || {
                        for turn in 0..50 {
                            let offset = (turn * 5 + thread * 64) % 256 * APART * BLOCK;
                            assert_eq!(transfer(fd, READ, vec![0; BLOCK], offset, BLOCK).data, expected(offset, BLOCK));
                        }
                    })
                })
                .collect();
            guest.aside(|| threads.into_iter().for_each(|thread| thread.join()));
        },
    );
    with(case, variable);
}

fn many(family: &mut Family<'_>, (variant, variable): Variant) {
    for count in [10, 127, 128, 1000] {
        let case = family.case(
            format!("{count}_requests_in_flight{variant}"),
            "any number of requests can be under way; each is completed once, with its own blocks",
            move |guest| {
                guest.trace.silence();
                let fd = image(count * APART);
                let offset = |number: usize| number * APART * BLOCK;
                let start = |number| Transfer::start(fd, READ, vec![0; BLOCK], offset(number) as i64);
                let transfers: Vec<_> = (0..count).map(start).collect();
                for (number, transfer) in transfers.iter().enumerate() {
                    let completion = transfer.wait();
                    assert_eq!((completion.bytes, completion.error), (BLOCK, 0));
                    assert_eq!(completion.data, expected(offset(number), BLOCK));
                }
                for transfer in transfers {
                    assert_eq!(transfer.poll().expect("complete").times, 1);
                }
            },
        );
        with(case, variable);
    }
    let case = family.case(
        format!("reads_writes_and_errors_in_flight{variant}"),
        "requests of all kinds do not disturb each other",
        |guest| {
            guest.trace.silence();
            let fd = image(300);
            let transfers: Vec<_> = (0..300_usize)
                .map(|block| {
                    let offset = (block * BLOCK) as i64;
                    match block % 4 {
                        0 => Transfer::start(fd, WRITE, vec![0xee; BLOCK], offset),
                        1 => Transfer::start(12_345, READ, vec![0; BLOCK], offset),
                        2 => Transfer::start(fd, READ, vec![0; BLOCK], offset),
                        _ => Transfer::start(fd, WRITE | SYNC, vec![0xdd; BLOCK], offset),
                    }
                })
                .collect();
            for (block, transfer) in transfers.iter().enumerate() {
                let completion = transfer.wait();
                let error = if block % 4 == 1 { netbsd::EBADF } else { 0 };
                assert_eq!((completion.error, completion.bytes), (error, if error == 0 { BLOCK } else { 0 }));
                if block % 4 == 2 {
                    assert_eq!(completion.data, expected(block * BLOCK, BLOCK));
                }
            }
            let content = fs::read("image").expect("the image");
            for (block, content) in content.chunks(BLOCK).enumerate() {
                match block % 4 {
                    0 => assert_eq!(content, [0xee; BLOCK]),
                    3 => assert_eq!(content, [0xdd; BLOCK]),
                    _ => assert_eq!(content, expected(block * BLOCK, BLOCK)),
                }
            }
        },
    );
    with(case, variable);
    let case = family.case(
        format!("requests_of_two_files{variant}"),
        "requests of two files at the same time go to their own file",
        |guest| {
            guest.trace.silence();
            let first = image(100);
            let second = open("second", RDWR | CREATE | BIO).expect("open");
            let transfers: Vec<_> = (0..100)
                .flat_map(|block| {
                    let offset = (block * BLOCK) as i64;
                    [
                        Transfer::start(second, WRITE, vec![0xaa; BLOCK], offset),
                        Transfer::start(first, WRITE, vec![0xbb; BLOCK], offset),
                    ]
                })
                .collect();
            transfers.iter().for_each(|transfer| assert_eq!(transfer.wait().error, 0));
            assert!(fs::read("image").expect("the image").iter().all(|byte| *byte == 0xbb));
            assert!(fs::read("second").expect("the file").iter().all(|byte| *byte == 0xaa));
        },
    );
    with(case, variable);
    let case = family.case(
        format!("requests_with_one_cpu{variant}"),
        "with one virtual CPU, a thread that waits for its request lets it complete",
        |guest| {
            guest.limit_cpus(1);
            let fd = image(64 * APART);
            for page in 0..64 {
                transfer(fd, READ, vec![0; BLOCK], page * APART * BLOCK, BLOCK);
            }
        },
    );
    with(case, variable);
}
