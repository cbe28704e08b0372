//! Start, end, console and randomness.

use crate::conformance::calls::{exit, hypercall_init, put_char, put_text, random};
use crate::conformance::case::{End, Family};
use crate::conformance::guest::{TABLE, guest};
use libc::{c_char, c_int};
use rumpuser::abi::types::random::{HARD, NOWAIT};
use rumpuser::abi::types::{EXIT_PANIC, Hyperup, VERSION};
use std::ffi::CStr;

pub(super) fn cases(family: &mut Family<'_>) {
    start(family);
    end(family);
    console(family);
    debug_output(family);
    randomness(family);
}

fn start(family: &mut Family<'_>) {
    family
        .case("init_of_version_17", "init accepts version 17 and makes no upcall", |guest| {
            assert_eq!(hypercall_init(VERSION, &TABLE.0), 0);
            assert_eq!(guest.trace.len(), 0);
        })
        .before_init();
    for version in [16, 18, 0, -1, 0x1711] {
        family
            .case(
                format!("init_of_version_{version}_is_refused"),
                "init refuses every other version, and says so",
                move |_| {
                    assert_ne!(hypercall_init(version, &TABLE.0), 0);
                },
            )
            .before_init()
            .weakness("aborts")
            .verdict(move |finished| {
                let errors = finished.errors();
                let named = errors.contains(&version.to_string()) && errors.contains(&VERSION.to_string());
                if named { Ok(()) } else { Err("no message that names both versions".to_owned()) }
            });
    }
    family
        .case("init_without_upcalls_is_refused", "init without a table is an error", |_| {
            assert_ne!(hypercall_init(VERSION, core::ptr::null()), 0);
        })
        .before_init()
        .weakness("reads the table without a look");
    family
        .case(
            "init_copies_the_table",
            "the guest may change its table after init: the library has copied it",
            |guest| {
                unsafe extern "C" fn trap() {
                    panic!("an upcall of the guest's own table");
                }
                let mut table = Box::new(TABLE.0);
                assert_eq!(hypercall_init(VERSION, &*table), 0);
                *table = trapped(trap);
                guest.spawn_outside(crate::conformance::calls::component_kthread).join();
                drop(table);
            },
        )
        .before_init();
}

/// A table whose every upcall is `trap`, which must not return.
fn trapped(trap: unsafe extern "C" fn()) -> Hyperup {
    // SAFETY: thirteen pointers to functions and eight to nothing in particular, all of one size, none null.
    unsafe { core::mem::transmute::<[unsafe extern "C" fn(); 21], Hyperup>([trap; 21]) }
}

fn end(family: &mut Family<'_>) {
    for status in [0, 1, 3, 42, 255] {
        family
            .case(format!("exit_{status}"), "exit ends the process with the guest's status", move |_| exit(status))
            .ends(End::Exits(status));
    }
    family
        .case("exit_of_a_panic", "exit of a panic ends the process by SIGABRT", |_| exit(EXIT_PANIC))
        .ends(End::Killed(libc::SIGABRT));
    family
        .case("exit_by_any_thread", "exit ends the process whichever thread calls it", |guest| {
            guest.spawn(|| exit(7)).join();
        })
        .ends(End::Exits(7));
    family
        .case("exit_runs_exit_handlers", "exit lets the host's exit handlers run", |_| {
            extern "C" fn handler() {
                eprintln!("handled");
            }
            // SAFETY: the handler may run at any time.
            assert_eq!(unsafe { libc::atexit(handler) }, 0);
            exit(0)
        })
        .ends(End::Exits(0))
        .verdict(|finished| {
            if finished.errors().contains("handled") { Ok(()) } else { Err("the handler did not run".to_owned()) }
        });
}

const EVERY_BYTE: [u8; 256] = {
    let mut bytes = [0; 256];
    let mut value = 0;
    while value < 256 {
        bytes[value] = value.to_le_bytes()[0];
        value += 1;
    }
    bytes
};

fn console(family: &mut Family<'_>) {
    let mut output = |name: &str, contract: &str, body: fn(), end: End, expected: &'static [u8]| {
        family
            .case(name, contract, move |_| body())
            .ends(end)
            .verdict(move |finished| contains(&finished.output(), expected));
    };
    output(
        "putchar_writes_to_standard_output",
        "putchar puts characters on the console in order",
        || {
            put_text("NetBSD 7.99.34 (RUMP-ROAST)\n");
            exit(0)
        },
        End::Exits(0),
        b"NetBSD 7.99.34 (RUMP-ROAST)\n",
    );
    output(
        "putchar_of_an_unfinished_line",
        "a line without an end is on the console when the guest exits",
        || {
            put_text("no newline");
            exit(0)
        },
        End::Exits(0),
        b"no newline",
    );
    output(
        "putchar_of_every_byte",
        "every byte value passes",
        || {
            (0..=255).for_each(put_char);
            exit(0)
        },
        End::Exits(0),
        &EVERY_BYTE,
    );
    family
        .case("console_survives_a_panic", "what the guest wrote before its panic is on the console", |_| {
            put_text("panic: it went wrong");
            exit(EXIT_PANIC)
        })
        .ends(End::Killed(libc::SIGABRT))
        .weakness("the console is lost in a buffer")
        .verdict(|finished| contains(&finished.output(), b"panic: it went wrong"));
    family
        .case("console_survives_a_kill", "a finished line is on the console even if the process is killed", |_| {
            put_text("a finished line\n");
            // SAFETY: ends this process.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        })
        .ends(End::Killed(libc::SIGKILL))
        .weakness("the console is lost in a buffer")
        .verdict(|finished| contains(&finished.output(), b"a finished line\n"));
    family
        .case("putchar_of_many_threads", "no character is lost when threads write at the same time", |guest| {
            let threads: Vec<_> =
                (0..4).map(|_| guest.spawn(|| (0..1000).for_each(|_| put_char(c_int::from(b'#'))))).collect();
            threads.into_iter().for_each(|thread| thread.join());
            exit(0)
        })
        .ends(End::Exits(0))
        .verdict(|finished| {
            let count = finished.output().iter().filter(|byte| **byte == b'#').count();
            if count == 4000 { Ok(()) } else { Err(format!("{count} of 4000 characters")) }
        });
    family.case("putchar_stays_on_cpu", "putchar keeps the virtual CPU", |guest| {
        guest.stays_on_cpu(|| put_text("a line\n"));
    });
}

fn contains(output: &[u8], expected: &[u8]) -> Result<(), String> {
    if output.windows(expected.len()).any(|part| part == expected) {
        Ok(())
    } else {
        Err(format!("the output lacks {:?}", String::from_utf8_lossy(expected)))
    }
}

/// `dprintf`, as the guest calls it.
macro_rules! debug_print {
    ($format:literal $(, $argument:expr)*) => {
        // SAFETY: each format stands beside the arguments it wants; strings end with NUL.
        unsafe { (guest().calls.dprintf)($format.as_ptr().cast::<c_char>() $(, $argument)*) }
    };
}

fn debug_output(family: &mut Family<'_>) {
    const LONG: &CStr = c"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let prints: [(&str, fn(), &str); 21] = [
        ("no_argument", || debug_print!(c"plain"), "plain"),
        ("percent", || debug_print!(c"100%%"), "100%"),
        ("int", || debug_print!(c"%d", -42_i32), "-42"),
        ("smallest_int", || debug_print!(c"%d", i32::MIN), "-2147483648"),
        ("unsigned", || debug_print!(c"%u", u32::MAX), "4294967295"),
        ("hex", || debug_print!(c"%x|%X|%#x", 0xbeef_u32, 0xbeef_u32, 0xbeef_u32), "beef|BEEF|0xbeef"),
        ("octal", || debug_print!(c"%o", 0o755_u32), "755"),
        ("long", || debug_print!(c"%ld", i64::MIN), "-9223372036854775808"),
        ("unsigned_long", || debug_print!(c"%lu", u64::MAX), "18446744073709551615"),
        ("long_hex", || debug_print!(c"%lx|%llx", u64::MAX, 1_u64 << 32), "ffffffffffffffff|100000000"),
        ("size", || debug_print!(c"%zu|%zd", usize::MAX, -1_isize), "18446744073709551615|-1"),
        ("pointer", || debug_print!(c"%p", 0xdead_beef_usize as *const u8), "0xdeadbeef"),
        ("string", || debug_print!(c"<%s>", c"text".as_ptr()), "<text>"),
        (
            "string_of_some_length",
            || debug_print!(c"<%.*s|%.2s>", 3_i32, c"text".as_ptr(), c"text".as_ptr()),
            "<tex|te>",
        ),
        ("character", || debug_print!(c"%c%c", c_int::from(b'o'), c_int::from(b'k')), "ok"),
        ("width", || debug_print!(c"[%5d|%-5d|%05d]", 42_i32, 42_i32, 42_i32), "[   42|42   |00042]"),
        ("width_as_argument", || debug_print!(c"[%*d]", 6_i32, 42_i32), "[    42]"),
        ("short_types", || debug_print!(c"%hd %hhu", c_int::from(-2_i16), c_int::from(200_u8)), "-2 200"),
        (
            "more_arguments_than_registers",
            || {
                debug_print!(
                    c"%d %d %d %d %d %d %d %d %d %d",
                    1_i32,
                    2_i32,
                    3_i32,
                    4_i32,
                    5_i32,
                    6_i32,
                    7_i32,
                    8_i32,
                    9_i32,
                    10_i32
                )
            },
            "1 2 3 4 5 6 7 8 9 10",
        ),
        (
            "arguments_of_many_kinds",
            || {
                debug_print!(
                    c"%s %d %ld %c %p %s",
                    c"a".as_ptr(),
                    1_i32,
                    2_i64,
                    c_int::from(b'c'),
                    0x10_usize as *const u8,
                    LONG.as_ptr()
                )
            },
            "a 1 2 c 0x10 0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
        ),
        (
            "lines",
            || {
                debug_print!(c"first\n");
                debug_print!(c"second\n");
            },
            "first\nsecond\n",
        ),
    ];
    for (name, print, expected) in prints {
        family
            .case(
                format!("dprintf_{name}"),
                "dprintf formats as printf does, on standard error, at once",
                move |guest| {
                    guest.stays_on_cpu(print);
                    // SAFETY: ends this process.
                    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
                },
            )
            .ends(End::Killed(libc::SIGKILL))
            .verdict(move |finished| contains(finished.errors().as_bytes(), expected.as_bytes()));
    }
    family
        .case("dprintf_of_a_long_text", "dprintf has no limit that a guest's message could reach", |_| {
            let text = vec![b'x'; 10_000];
            let text = crate::conformance::calls::c_string(text);
            debug_print!(c"<%s>", text.as_ptr());
        })
        .verdict(|finished| contains(finished.errors().as_bytes(), format!("<{}>", "x".repeat(10_000)).as_bytes()));
}

fn randomness(family: &mut Family<'_>) {
    for size in [1, 31, 32] {
        family.case(format!("getrandom_of_{size}_bytes"), "getrandom fills a small buffer", move |guest| {
            let mut memory = vec![0; size];
            assert_eq!(guest.watch(|| random(&mut memory, 0)).0, Ok(size));
            // By chance once in 2^248.
            assert!(size == 1 || memory.iter().any(|byte| *byte != 0));
        });
    }
    for size in [33, 64, 255, 256, 257, 4096, 1 << 20] {
        family
            .case(format!("getrandom_of_{size}_bytes"), "getrandom fills the whole buffer in one call", move |guest| {
                let mut memory = vec![0; size];
                assert_eq!(guest.watch(|| random(&mut memory, 0)).0, Ok(size));
                // Of 32 random bytes all are zero once in 2^256 cases.
                assert!(
                    memory.chunks(32).filter(|part| part.len() == 32).all(|part| part.iter().any(|byte| *byte != 0))
                );
            })
            .weakness("at most 32 bytes in one call");
    }
    family.case("getrandom_of_nothing", "an empty buffer is no error", |_| assert_eq!(random(&mut [], 0), Ok(0)));
    for flags in [HARD, NOWAIT, HARD | NOWAIT] {
        family.case(format!("getrandom_with_flags_{flags}"), "both flags are accepted", move |_| {
            let mut memory = [0; 16];
            assert_eq!(random(&mut memory, flags), Ok(16));
            assert_ne!(memory, [0; 16]);
        });
    }
    family.case("getrandom_stays_within", "bytes behind the buffer are left alone", |_| {
        for size in 0..64 {
            let mut memory = [0xa5; 128];
            let filled = random(&mut memory[..size], 0).expect("random bytes");
            assert!(filled <= size);
            assert!(memory[size..].iter().all(|byte| *byte == 0xa5));
        }
    });
    family.case("getrandom_differs", "two calls do not return the same", |guest| {
        let mut first = [0; 32];
        assert_eq!(random(&mut first, 0), Ok(32));
        guest
            .spawn(move || {
                let mut second = [0; 32];
                assert_eq!(random(&mut second, 0), Ok(32));
                assert_ne!(first, second);
            })
            .join();
    });
}
