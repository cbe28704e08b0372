//! Opening, closing, examining and synchronising host files.

use crate::conformance::calls::{
    close, file_exists, file_info, file_size, file_type, netbsd, open, read_at, sync, write_at,
};
use crate::conformance::case::Family;
use crate::conformance::guest::Guest;
use libc::c_int;
use rumpuser::abi::types::file_type;
use rumpuser::abi::types::open::{BIO, CREATE, EXCL, RDONLY, RDWR, WRONLY};
use rumpuser::abi::types::sync::{BARRIER, READ, SYNC, WRITE};
use std::fs;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;

const CONTENT: &[u8] = b"content";

pub(super) fn cases(family: &mut Family<'_>) {
    modes(family);
    open_errors(family);
    closing(family);
    examining(family);
    synchronising(family);
}

/// Makes a file in the folder of the case.
fn make(name: &str) {
    fs::write(name, CONTENT).expect("a file in the folder of the case");
}

fn make_fifo(name: &std::ffi::CStr) {
    // SAFETY: the name is a string.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
}

fn modes(family: &mut Family<'_>) {
    for (name, mode, reads, writes) in
        [("rdonly", RDONLY, true, false), ("wronly", WRONLY, false, true), ("rdwr", RDWR, true, true)]
    {
        for (purpose, flag) in [("", 0), ("_for_block_io", BIO)] {
            family.case(
                format!("open_{name}{purpose}"),
                "a file can be used as it was opened, and not otherwise; opening gives up the virtual CPU once",
                move |guest| {
                    make("file");
                    let fd = guest.gives_up_cpu(|| open("file", mode | flag)).expect("open");
                    // Aligned and whole, for a file that is open for block I/O.
                    let mut sector = Box::new(Sector([b'x'; 4096]));
                    let written = write_at(fd, &sector.0, 0);
                    assert_eq!(written, if writes { Ok(4096) } else { Err(netbsd::EBADF) });
                    let read = read_at(fd, &mut sector.0, 0).map(|bytes| bytes > 0);
                    assert_eq!(read, if reads { Ok(true) } else { Err(netbsd::EBADF) });
                    assert_eq!(close(fd), Ok(()));
                },
            );
        }
    }
    family.case("open_does_not_truncate", "opening a file for writing keeps what is in it", |_| {
        make("file");
        for mode in [WRONLY, RDWR, WRONLY | CREATE, RDWR | CREATE] {
            let fd = open("file", mode).expect("open");
            assert_eq!(close(fd), Ok(()));
            assert_eq!(fs::read("file").expect("the file"), CONTENT);
        }
    });
    family.case("open_creates", "CREATE makes a file that does not exist, which its owner may read and write", |_| {
        let fd = open("new", RDWR | CREATE).expect("open");
        assert_eq!(write_at(fd, CONTENT, 0), Ok(CONTENT.len()));
        assert_eq!(close(fd), Ok(()));
        assert_eq!(fs::read("new").expect("the file"), CONTENT);
        assert_eq!(fs::metadata("new").expect("the file").permissions().mode() & 0o600, 0o600);
    });
    family.case("open_creates_exclusively", "CREATE with EXCL makes a file that does not exist", |_| {
        let fd = open("new", RDWR | CREATE | EXCL).expect("open");
        assert_eq!(close(fd), Ok(()));
    });
    family
        .case("open_is_not_inherited", "programs that the process starts do not get the guest's files", |_| {
            make("file");
            let fd = open("file", RDONLY).expect("open");
            // SAFETY: only asks about the descriptor.
            assert_eq!(unsafe { libc::fcntl(fd, libc::F_GETFD) } & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
        })
        .weakness("opens without O_CLOEXEC");
    family.case("open_waits_off_the_cpu", "an open that has to wait leaves the virtual CPU to others", |guest| {
        guest.limit_cpus(1);
        make_fifo(c"fifo");
        let reader = guest.spawn(|| {
            let fd = open("fifo", RDONLY).expect("open");
            assert_eq!(close(fd), Ok(()));
        });
        // The reader has the only virtual CPU until its open gives it up to wait for a writer.
        guest.aside(|| reader.wait_off_cpu());
        let writer = fs::OpenOptions::new().write(true).open("fifo").expect("the fifo");
        guest.aside(|| reader.join());
        drop(writer);
    });
}

/// What a transfer of block I/O is aligned to.
#[repr(align(4096))]
struct Sector([u8; 4096]);

fn open_errors(family: &mut Family<'_>) {
    let mut refuse = |name: &str, contract: &str, mode: c_int, error: c_int, prepare: fn() -> String| {
        family.case(format!("open_{name}"), contract, move |guest| {
            let path = prepare();
            assert_eq!(guest.watch(|| open(&path, mode)).0, Err(error));
        });
    };
    refuse("nothing", "a file that does not exist is ENOENT", RDONLY, netbsd::ENOENT, || "nothing".into());
    refuse("an_empty_name", "an empty name is ENOENT", RDONLY, netbsd::ENOENT, String::new);
    refuse("in_no_folder", "CREATE in a folder that does not exist is ENOENT", RDWR | CREATE, netbsd::ENOENT, || {
        "no/file".into()
    });
    refuse("below_a_file", "a file is no folder: ENOTDIR", RDONLY, netbsd::ENOTDIR, || {
        make("file");
        "file/file".into()
    });
    refuse("a_folder_for_writing", "a folder opened for writing is EISDIR", RDWR, netbsd::EISDIR, || ".".into());
    refuse(
        "exclusively_what_exists",
        "EXCL of a file that exists is EEXIST",
        RDWR | CREATE | EXCL,
        netbsd::EEXIST,
        || {
            make("file");
            "file".into()
        },
    );
    refuse("a_name_too_long", "a name of 300 characters is ENAMETOOLONG", RDONLY, netbsd::ENAMETOOLONG, || {
        "x".repeat(300)
    });
    refuse("a_loop", "symbolic links that form a loop are ELOOP", RDONLY, netbsd::ELOOP, || {
        std::os::unix::fs::symlink("loop", "loop").expect("a link");
        "loop".into()
    });
    refuse("a_socket", "a socket cannot be opened: ENXIO", RDONLY, netbsd::ENXIO, || {
        UnixListener::bind("socket").expect("a socket");
        "socket".into()
    });
    refuse("a_running_program", "a program that runs cannot be written: ETXTBSY", WRONLY, netbsd::ETXTBSY, || {
        std::env::current_exe().expect("this program").to_str().expect("a name").into()
    });
    refuse("in_no_way", "a mode that is neither reading nor writing is EINVAL", 3, netbsd::EINVAL, || {
        make("file");
        "file".into()
    });
    family.case("open_too_many", "when the process has no descriptor left, open is EMFILE", |_| {
        make("file");
        let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: a valid limit. No more descriptors can be made from now on.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
        assert_eq!(open("file", RDONLY), Err(netbsd::EMFILE));
    });
    family
        .case("open_tells_its_own_error", "the error is that of open, whatever the upcalls did to errno", |guest| {
            guest.spoil_errno();
            assert_eq!(guest.gives_up_cpu(|| open("nothing", RDONLY)), Err(netbsd::ENOENT));
        })
        .weakness("reads errno after the upcall");
}

fn closing(family: &mut Family<'_>) {
    family.case("close_closes", "close ends the descriptor, and gives up the virtual CPU once", |guest| {
        make("file");
        let fd = open("file", RDWR).expect("open");
        assert_eq!(guest.gives_up_cpu(|| close(fd)), Ok(()));
        // SAFETY: only asks about the descriptor.
        assert_eq!(unsafe { libc::fcntl(fd, libc::F_GETFD) }, -1);
    });
    family.case("close_keeps_the_data", "what was written is in the file after close", |_| {
        let fd = open("new", RDWR | CREATE).expect("open");
        assert_eq!(write_at(fd, CONTENT, 0), Ok(CONTENT.len()));
        assert_eq!(close(fd), Ok(()));
        assert_eq!(fs::read("new").expect("the file"), CONTENT);
    });
    for fd in [-1, 12_345] {
        family
            .case(format!("close_of_{fd}_is_an_error"), "a descriptor that is not open is EBADF", move |guest| {
                assert_eq!(guest.watch(|| close(fd)).0, Err(netbsd::EBADF));
            })
            .weakness("always returns 0");
    }
    family
        .case("close_twice_is_an_error", "the second close of a descriptor is EBADF", |_| {
            make("file");
            let fd = open("file", RDONLY).expect("open");
            assert_eq!(close(fd), Ok(()));
            assert_eq!(close(fd), Err(netbsd::EBADF));
        })
        .weakness("always returns 0");
    family.case("close_of_a_pipe", "what cannot be synchronised can be closed", |_| {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        assert_eq!(close(writer.into_raw_fd()), Ok(()));
        assert_eq!(close(reader.into_raw_fd()), Ok(()));
    });
}

fn examining(family: &mut Family<'_>) {
    const WEAKNESS: &str = "stays on the virtual CPU";
    let mut kind = |name: &str, expected: c_int, prepare: fn() -> &'static str| {
        family.case(format!("getfileinfo_of_{name}"), "the type of a file is one of the interface's five", move |_| {
            assert_eq!(file_type(prepare()), Ok(expected));
        });
    };
    kind("a_file", file_type::REG, || {
        make("file");
        "file"
    });
    kind("a_folder", file_type::DIR, || ".");
    kind("a_character_device", file_type::CHR, || "/dev/null");
    kind("a_fifo", file_type::OTHER, || {
        make_fifo(c"fifo");
        "fifo"
    });
    kind("a_socket", file_type::OTHER, || {
        UnixListener::bind("socket").expect("a socket");
        "socket"
    });
    kind("a_link", file_type::REG, || {
        make("file");
        std::os::unix::fs::symlink("file", "link").expect("a link");
        "link"
    });
    for size in [0, 1, 4095, 5_000_000_000] {
        family.case(format!("getfileinfo_of_{size}_bytes"), "the size of a file is told in bytes", move |_| {
            fs::File::create("file").and_then(|file| file.set_len(size)).expect("a file");
            assert_eq!(file_info("file"), Ok((size, file_type::REG)));
            assert_eq!(file_size("file"), Ok(size), "without a place for the type");
        });
    }
    family.case(
        "getfileinfo_of_nothing_wanted",
        "with neither size nor type wanted it tells whether there is a file",
        |_| {
            make("file");
            assert_eq!(file_exists("file"), Ok(()));
            assert_eq!(file_exists("nothing"), Err(netbsd::ENOENT));
        },
    );
    family
        .case("getfileinfo_of_a_device_without_size", "a character device without a size is 0 bytes large", |_| {
            assert_eq!(file_info("/dev/null"), Ok((0, file_type::CHR)));
        })
        .weakness("asks for the size by a seek and takes 0 for an error");
    family.case("getfileinfo_keeps_nothing_open", "it leaves no descriptor behind", |_| {
        let open_files = || fs::read_dir("/proc/self/fd").expect("descriptors").count();
        make("file");
        assert!(file_info("file").is_ok());
        let before = open_files();
        for _ in 0..10 {
            assert!(file_info("file").is_ok());
            _ = file_info("/dev/null");
        }
        assert_eq!(open_files(), before);
    });
    let mut refuse = |name: &str, error: c_int, prepare: fn() -> String| {
        family.case(format!("getfileinfo_of_{name}"), "an error of the host is translated", move |guest| {
            let path = prepare();
            assert_eq!(guest.watch(|| file_info(&path)).0, Err(error));
        });
    };
    refuse("nothing", netbsd::ENOENT, || "nothing".into());
    refuse("a_name_too_long", netbsd::ENAMETOOLONG, || "x".repeat(300));
    refuse("a_loop", netbsd::ELOOP, || {
        std::os::unix::fs::symlink("loop", "loop").expect("a link");
        "loop".into()
    });
    refuse("below_a_file", netbsd::ENOTDIR, || {
        make("file");
        "file/file".into()
    });
    family
        .case(
            "getfileinfo_gives_up_cpu",
            "it gives up the virtual CPU once: the host may have to look on a disk",
            |guest| {
                make("file");
                assert!(guest.gives_up_cpu(|| file_info("file")).is_ok());
                assert!(guest.gives_up_cpu(|| file_info("nothing")).is_err());
            },
        )
        .weakness(WEAKNESS);
}

/// A new file with something in it.
fn written() -> c_int {
    let fd = open("file", RDWR | CREATE).expect("open");
    assert_eq!(write_at(fd, CONTENT, 0), Ok(CONTENT.len()));
    fd
}

fn synchronising(family: &mut Family<'_>) {
    for (name, flags) in [
        ("read", READ),
        ("write", WRITE),
        ("both", READ | WRITE),
        ("write_barrier", WRITE | BARRIER),
        ("write_sync", WRITE | SYNC),
        ("everything", READ | WRITE | BARRIER | SYNC),
    ] {
        for (range, start, length) in [("all", 0, 0), ("a_part", 1, 3), ("the_rest", 2, 0), ("beyond", 1 << 40, 10)] {
            family.case(
                format!("syncfd_{name}_of_{range}"),
                "synchronising any range of a file returns 0 and changes nothing in it",
                move |guest| {
                    let fd = written();
                    assert_eq!(guest.watch(|| sync(fd, flags, start, length)).0, Ok(()));
                    assert_eq!(fs::read("file").expect("the file"), CONTENT);
                    assert_eq!(fs::metadata("file").expect("the file").size(), CONTENT.len() as u64);
                },
            );
        }
    }
    for flags in [0, BARRIER, SYNC] {
        family.case(
            format!("syncfd_with_flags_{flags}_is_an_error"),
            "neither reading nor writing to be synchronised is EINVAL",
            move |_| assert_eq!(sync(written(), flags, 0, 0), Err(netbsd::EINVAL)),
        );
    }
    for flags in [WRITE, WRITE | SYNC, WRITE | BARRIER] {
        family.case(format!("syncfd_{flags}_of_nothing_open"), "a descriptor that is not open is EBADF", move |_| {
            assert_eq!(sync(12_345, flags, 0, 0), Err(netbsd::EBADF));
        });
    }
    for flags in [WRITE, WRITE | SYNC] {
        family
            .case(format!("syncfd_{flags}_gives_up_cpu"), "synchronising gives up the virtual CPU once", move |guest| {
                let fd = written();
                guest.gives_up_cpu(|| sync(fd, flags, 0, 0)).expect("sync");
                guest.gives_up_cpu(|| sync(12_345, flags, 0, 0)).expect_err("nothing open");
            })
            .weakness("stays on the virtual CPU");
    }
    family.case("syncfd_keeps_the_position", "synchronising does not move the file position", |_: &'static Guest| {
        let file = fs::File::create("file").expect("a file");
        file.write_at(CONTENT, 0).expect("written");
        assert_eq!(sync(file.as_raw_fd(), READ | WRITE | SYNC, 0, 0), Ok(()));
        // SAFETY: only asks about the descriptor.
        assert_eq!(unsafe { libc::lseek(file.as_raw_fd(), 0, libc::SEEK_CUR) }, 0);
    });
}
