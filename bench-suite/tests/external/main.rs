//! The back end `external:PATH`: another library's hypercalls and upcalls are seen, and one that cannot be used is told.
//!
//! Each test starts this program again as the guest, with our library preloaded as a rump kernel's program would have it:
//! in front of every other object, so that the other library has to be kept apart from it.

mod guest;

use libtest_mimic::{Arguments, Failed, Trial};
use rumpscope_bench_suite::hypervisor::own_library;
use rumpscope_probes::reader::Segment;
use rumpscope_probes::{ENV_SEGMENT, Hypercall, Metric, Quantity, Snapshot};
use rumpuser::host::backend::choice;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    guest::child_main();
    let test = |name: &str, run: fn()| {
        Trial::test(name, move || {
            run();
            Ok::<(), Failed>(())
        })
    };
    let trials = vec![
        test("hypercalls_and_upcalls_are_seen", hypercalls_and_upcalls_are_seen),
        test("a_library_that_cannot_be_used_is_told", a_library_that_cannot_be_used_is_told),
        test("our_own_library_is_told_under_any_name", our_own_library_is_told_under_any_name),
        test("an_unknown_back_end_is_told_and_the_default_used", an_unknown_back_end_is_told_and_the_default_used),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A path for a file of one test.
fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("external-{}-{name}", std::process::id()))
}

/// Builds the library as `name`; `arguments` say what is wrong with it.
fn build(name: &str, arguments: &[&str]) -> PathBuf {
    let library = scratch(name);
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/external/library.c");
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut command = Command::new(compiler);
    command.args(["-shared", "-fPIC", "-pthread", "-o"]).arg(&library).arg(source).args(arguments);
    let output = command.output().expect("a C compiler");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library
}

/// The guest on our library with this back end: what it says, and its profile, if there is one.
fn run(test: &str, backend: OsString) -> (guest::Said, Option<Snapshot>) {
    let segment = scratch(&format!("{test}.segment"));
    let library = own_library().expect("our library is built with this test");
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"RUMP")) {
        command.env_remove(name);
    }
    command.env("LD_PRELOAD", &library).env("RUMPSCOPE_LIBRARY", &library).env(ENV_SEGMENT, &segment);
    let said = guest::run(command.env(choice::VARIABLE, backend));
    let snapshot = segment.exists().then(|| Segment::open(&segment).and_then(|segment| segment.snapshot()));
    let _ = std::fs::remove_file(&segment);
    (said, snapshot.map(|snapshot| snapshot.expect("a sound segment")))
}

/// The back end that the library at `path` is.
fn external(path: &Path) -> OsString {
    choice::Kind::External(path.to_owned()).setting()
}

fn hypercalls_and_upcalls_are_seen() {
    let library = build("seen.so", &[]);
    let (said, snapshot) = run("seen", external(&library));
    assert_eq!((said.init, said.stderr.as_str()), (0, ""));
    // The guest gets the other library's answers, and that one its own.
    assert!(said.answers_are_the_other_librarys);
    let snapshot = snapshot.expect("a profile");
    assert!(snapshot.backend.starts_with("external:"), "{}", snapshot.backend);
    let count = |call, quantity| snapshot.total(Metric { call, quantity }).count();
    for (call, made) in [
        (Hypercall::Init, 1),
        // The call of `mutex_init` was not one of the guest's.
        (Hypercall::Curlwp, 1),
        (Hypercall::Curlwpop, 1),
        (Hypercall::MutexInit, 1),
        (Hypercall::MutexEnter, guest::ENTERS),
        (Hypercall::Bio, guest::TRANSFERS),
        (Hypercall::BioDone, guest::TRANSFERS),
    ] {
        assert_eq!(snapshot.calls(call), made, "{}", call.name());
    }
    for quantity in [Quantity::Unschedule, Quantity::Off, Quantity::Reschedule, Quantity::Own] {
        assert_eq!(count(Hypercall::MutexEnter, quantity), guest::ENTERS, "{quantity:?}");
    }
    // Those of a thread of the library's own.
    for quantity in [Quantity::Unschedule, Quantity::Reschedule] {
        assert_eq!(count(Hypercall::BioDone, quantity), guest::TRANSFERS, "{quantity:?}");
    }
}

fn a_library_that_cannot_be_used_is_told() {
    let text = scratch("text");
    std::fs::write(&text, "no library").expect("a file");
    for (name, path, reason) in [
        ("missing", PathBuf::from("/nowhere/librumpuser.so.0"), "cannot load it: No such file"),
        ("text", text, "cannot load it: "),
        ("lacks", build("lacks.so", &["-DLACKS"]), "it lacks rumpuser_rw_held"),
        ("refuses", build("refuses.so", &["-DREFUSES"]), "the external library refuses version 17 with its error 45"),
    ] {
        let (said, _) = run(name, external(&path));
        assert_ne!(said.init, 0, "{name}");
        assert!(said.stderr.starts_with("rumpuser_init: ") && said.stderr.contains(reason), "{name}: {}", said.stderr);
        assert_eq!(said.stderr.lines().count(), 1, "{name}: {}", said.stderr);
    }
}

fn our_own_library_is_told_under_any_name() {
    let own = own_library().expect("our library");
    let copy = scratch("copy.so");
    std::fs::copy(&own, &copy).expect("a copy");
    for (name, path) in [("own", own), ("copy", copy)] {
        let (said, snapshot) = run(name, external(&path));
        assert_ne!(said.init, 0);
        assert!(said.stderr.contains("is rumpscope's own library"), "{name}: {}", said.stderr);
        assert!(snapshot.is_none(), "{name}");
    }
}

fn an_unknown_back_end_is_told_and_the_default_used() {
    let (said, snapshot) = run("unknown", "pthreads".into());
    assert_eq!(said.init, 0);
    assert!(said.stderr.starts_with("rumpuser_init: RUMPSCOPE_BACKEND=pthreads: "), "{}", said.stderr);
    let snapshot = snapshot.expect("a profile");
    assert!(snapshot.backend.starts_with("native, "), "{}", snapshot.backend);
}
