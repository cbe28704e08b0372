//! Parameters of the guest.

use crate::conformance::calls::{UNTOUCHED, netbsd, parameter, parameter_into};
use crate::conformance::case::Family;
use rumpuser::abi::types::param::{HOSTNAME, NCPU};

pub(super) fn cases(family: &mut Family<'_>) {
    processors(family);
    host_name(family);
    environment(family);
}

/// The number of virtual CPUs, as a guest reads it.
fn processors_of_guest() -> usize {
    let text = parameter(NCPU).expect("a mandatory parameter");
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no number of virtual CPUs"))
}

/// The host's CPUs that this process may use.
fn allowed_processors() -> usize {
    // SAFETY: all zeroes is a valid set.
    let mut set: libc::cpu_set_t = unsafe { core::mem::zeroed() };
    // SAFETY: `set` has the size that is passed.
    assert_eq!(unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) }, 0);
    // SAFETY: only reads the set.
    usize::try_from(unsafe { libc::CPU_COUNT(&set) }).expect("not negative")
}

fn processors(family: &mut Family<'_>) {
    family.case("ncpu_by_default", "without RUMP_NCPU there are two virtual CPUs", |guest| {
        assert_eq!(guest.stays_on_cpu(processors_of_guest), 2);
    });
    for count in ["1", "2", "3", "16", "256"] {
        family
            .case(format!("ncpu_{count}"), "RUMP_NCPU is the number of virtual CPUs", move |_| {
                assert_eq!(parameter(NCPU).as_deref(), Ok(count));
            })
            .environment("RUMP_NCPU", count);
    }
    family
        .case("ncpu_of_the_host", "RUMP_NCPU=host is a number of the host's CPUs, at least one", |_| {
            assert!((1..=allowed_processors()).contains(&processors_of_guest()));
        })
        .environment("RUMP_NCPU", "host");
    family
        .case("ncpu_of_the_host_respects_affinity", "RUMP_NCPU=host counts only CPUs that the process may use", |_| {
            // SAFETY: all zeroes is a valid set.
            let mut set: libc::cpu_set_t = unsafe { core::mem::zeroed() };
            // SAFETY: has no preconditions.
            let cpu = unsafe { libc::sched_getcpu() };
            // SAFETY: the host's CPU numbers fit in the set.
            unsafe { libc::CPU_SET(usize::try_from(cpu).expect("a CPU"), &mut set) };
            // SAFETY: `set` has the size that is passed.
            assert_eq!(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) }, 0);
            assert_eq!(processors_of_guest(), 1);
        })
        .environment("RUMP_NCPU", "host")
        .weakness("counts all CPUs that are online");
    for (name, value) in [
        ("zero", "0"),
        ("negative", "-1"),
        ("empty", ""),
        ("a_word", "many"),
        ("a_fraction", "1.5"),
        ("a_number_and_more", "2x"),
        ("far_too_large", "99999999999999999999"),
        ("long_nonsense", "1111111111111111111111111111111111111111111111111111111111111111"),
    ] {
        family
            .case(
                format!("ncpu_that_is_{name}"),
                "a RUMP_NCPU that is no number of virtual CPUs is an error, or replaced by one that is",
                |_| {
                    if let Ok(text) = parameter(NCPU) {
                        assert!(text.parse::<i32>().is_ok_and(|count| count >= 1), "the guest gets {text:?}");
                    }
                },
            )
            .environment("RUMP_NCPU", value)
            .weakness("passes it on");
    }
    too_small(family, "ncpu", NCPU, "writes without a look at the size");
}

fn host_name(family: &mut Family<'_>) {
    family.case(
        "hostname_names_process_and_host",
        "the host name is rump-, the process, a dot and the host",
        |guest| {
            let name = guest.stays_on_cpu(|| parameter(HOSTNAME)).expect("a mandatory parameter");
            let mut host = [0_u8; 256];
            // SAFETY: writes at most the size that is passed.
            assert_eq!(unsafe { libc::gethostname(host.as_mut_ptr().cast(), host.len()) }, 0);
            let host = String::from_utf8_lossy(host.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned();
            assert_eq!(name, format!("rump-{:05}.{host}", std::process::id()));
        },
    );
    too_small(family, "hostname", HOSTNAME, "cuts the name off");
}

/// Buffers that do not hold a mandatory parameter.
fn too_small(family: &mut Family<'_>, short: &str, parameter: &'static str, weakness: &'static str) {
    for size in [0, 1] {
        family
            .case(
                format!("{short}_into_{size}_bytes"),
                "a buffer that is too small is E2BIG, and nothing is written behind it",
                move |_| {
                    let (outcome, memory) = parameter_into(parameter, size);
                    assert_eq!(outcome, Err(netbsd::E2BIG));
                    assert!(memory[size..].iter().all(|byte| *byte == UNTOUCHED), "written behind the buffer");
                },
            )
            .weakness(weakness);
    }
}

fn environment(family: &mut Family<'_>) {
    for (name, value) in [
        ("RUMP_VERBOSE", "1"),
        ("RUMP_THREADS", "1"),
        ("RUMP_MEMLIMIT", "64m"),
        ("RUMP_NVNODES", "2048"),
        ("RUMP_MODULEBASE", "/nowhere"),
        ("RUMP_BLKFAIL", "100"),
        ("RUMP_BLKFAIL_SEED", "7"),
        ("RUMP_BLKSECTSHIFT", "9"),
        ("RUMP_SHMIF_CAPENABLE", "0x3f"),
        ("RUMP_of any text", "of any text: ä = \t\""),
    ] {
        family
            .case(
                format!("variable_{}", name.to_lowercase().replace(' ', "_")),
                "a name that begins with RUMP is a variable of the environment",
                move |guest| assert_eq!(guest.stays_on_cpu(|| parameter(name)).as_deref(), Ok(value)),
            )
            .environment(name, value);
    }
    family.case("variable_that_is_not_set", "a variable that is not set is ENOENT", |_| {
        assert_eq!(parameter("RUMP_NO_SUCH_VARIABLE"), Err(netbsd::ENOENT));
    });
    family
        .case("variable_that_is_empty", "an empty value is a value", |_| {
            assert_eq!(parameter("RUMP_EMPTY").as_deref(), Ok(""));
        })
        .environment("RUMP_EMPTY", "");
    family
        .case("variable_of_the_host", "variables that are not meant for the guest are hidden from it: ENOENT", |_| {
            for name in ["HOST_SECRET", "PATH", "XDG_RUNTIME_DIR"] {
                assert_eq!(parameter(name), Err(netbsd::ENOENT), "{name}");
            }
        })
        .environment("HOST_SECRET", "secret")
        .weakness("the guest may read any variable");
    family
        .case(
            "variable_with_an_underscore_in_front",
            "other names with an underscore in front are no variables",
            |_| {
                assert!(parameter("_PRIVATE").is_err());
            },
        )
        .environment("_PRIVATE", "secret");
    family
        .case("variable_that_just_fits", "a value fits if its NUL does; what is behind is left alone", |_| {
            let (outcome, memory) = parameter_into("RUMP_VALUE", 6);
            assert_eq!(outcome, Ok(()));
            assert_eq!(memory[..6], *b"12345\0");
            assert!(memory[6..].iter().all(|byte| *byte == UNTOUCHED));
        })
        .environment("RUMP_VALUE", "12345");
    for size in [0, 1, 5] {
        family
            .case(
                format!("variable_into_{size}_bytes"),
                "a value that does not fit is E2BIG, and nothing is written behind the buffer",
                move |_| {
                    let (outcome, memory) = parameter_into("RUMP_VALUE", size);
                    assert_eq!(outcome, Err(netbsd::E2BIG));
                    assert!(memory[size..].iter().all(|byte| *byte == UNTOUCHED));
                },
            )
            .environment("RUMP_VALUE", "12345")
            .weakness("ERANGE");
    }
    family.case("variable_of_an_odd_name", "a name that no variable can have is ENOENT", |_| {
        for name in ["", "=", "A=B"] {
            assert_eq!(parameter(name), Err(netbsd::ENOENT), "{name:?}");
        }
    });
}
