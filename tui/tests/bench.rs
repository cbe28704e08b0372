//! `rumpscope bench`, with the real command: tiny runs whose times mean nothing, so none is looked at.

use rumpscope_bench_suite::ab::{Bench, Outcome, Probes};
use rumpscope_bench_suite::workload::Workload;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The command with a folder of segments of its own.
fn bench(name: &str, arguments: &[&str]) -> (Command, PathBuf) {
    let runtime = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&runtime).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rumpscope"));
    command.arg("bench").args(arguments).env("XDG_RUNTIME_DIR", &runtime).env("COLUMNS", "80");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    (command, runtime)
}

fn run(name: &str, arguments: &[&str]) -> Output {
    let (mut command, runtime) = bench(name, arguments);
    let output = command.output().unwrap();
    let left = std::fs::read_dir(runtime.join("rumpscope")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "something is left in {}", runtime.display());
    output
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn parsed(output: &Output) -> Bench {
    Bench::from_json(text(&output.stdout)).unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)))
}

#[test]
fn every_variant_runs_in_every_round_and_all_that_was_asked_for_is_done() {
    let arguments = "--backend native@counts,full=native --workload syscalls,locks --ncpu 1,2 --threads 2 --rounds 2 --operations 400 \
         --warm-up 1ms --seed 3 --json -";
    let output = run("all", &arguments.split_whitespace().collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let bench = parsed(&output);
    let labels: Vec<_> = bench.plan.variants.iter().map(|variant| variant.label.as_str()).collect();
    assert_eq!(labels, ["native@counts", "native@counts again", "full"]);
    assert!(bench.complete);
    // Two workloads, each on one and two virtual CPUs; three variants; two rounds, in the order of the plan.
    let slots: Vec<_> = bench.runs.iter().map(|run| (run.round, run.case, run.variant)).collect();
    let planned: Vec<_> = bench.plan.order().iter().map(|slot| (slot.round, slot.case, slot.variant)).collect();
    assert_eq!((slots.len(), &slots), (24, &planned));
    assert_eq!(slots.iter().collect::<HashSet<_>>().len(), 24);
    for run in &bench.runs {
        let Outcome::Measured(measured) = &run.outcome else { panic!("{run:?}") };
        assert_eq!((measured.figures.operations, measured.figures.threads), (400, 2));
        assert!(measured.figures.wall_ns > 0 && measured.figures.cpu_ns > 0);
        let Probes::Read { timing, backend, .. } = &measured.probes else { panic!("{run:?}") };
        assert_eq!(timing, if run.variant == 2 { "full" } else { "counts" });
        assert!(backend.contains("native"), "{backend}");
        let timed = measured.probes.latency("thread_create").is_some();
        assert_eq!(timed, run.variant == 2, "only `full` times");
    }
    // Four loads and all together, two variants against the first.
    assert_eq!(bench.comparisons.len(), 10);
}

/// Each workload runs twice in its guest: once as the warm-up.
#[test]
fn every_workload_runs_after_a_warm_up() {
    let names = Workload::ALL.map(Workload::name).join(",");
    let output = run(
        "workloads",
        &[
            "--backend",
            "native",
            "--workload",
            &names,
            "--rounds",
            "1",
            "--operations",
            "60",
            "--warm-up",
            "10ms",
            "--json",
            "-",
        ],
    );
    let bench = parsed(&output);
    assert_eq!(bench.runs.len(), 2 * Workload::ALL.len());
    for run in &bench.runs {
        let Outcome::Measured(measured) = &run.outcome else { panic!("{}: {run:?}", bench.plan.cases[run.case]) };
        assert!(measured.figures.operations >= 60);
    }
}

#[test]
fn the_table_fits_and_is_ascii_where_it_should_be() {
    let arguments = "--workload locks --rounds 1 --operations 50 --warm-up 1ms --ascii";
    let output = run("table", &arguments.split_whitespace().collect::<Vec<_>>());
    let table = text(&output.stdout);
    assert!(table.is_ascii() && table.lines().all(|line| line.len() <= 80), "{table}");
    for part in ["rumpscope bench", "native@off again", "a second time", "too few runs", "How to read this"] {
        assert!(table.contains(part), "{part}: {table}");
    }
}

/// A library, but none with hypercalls.
fn c_library() -> String {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.split_whitespace().find(|word| word.contains("libc.so")).expect("a test has a C library").to_owned()
}

#[test]
fn a_library_that_fails_is_told_and_not_run_again() {
    let libc = c_library();
    let backend = format!("native,alone=external:{libc}@bare,probed=external:{libc}");
    let arguments = ["--backend", &backend, "--workload", "syscalls", "--rounds", "3", "--operations", "50", "--ascii"];
    let output = run("failing", &arguments);
    assert_eq!(output.status.code(), Some(0));
    let table = text(&output.stdout);
    let told: Vec<_> = table.lines().filter(|line| line.contains("failed   ")).collect();
    assert_eq!(told.len(), 2, "{table}");
    let words = table.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains("alone in round 1: ended with status 1") && words.contains("has no rumpuser_init"),
        "{table}"
    );
    assert!(words.contains("probed in round 1: ended with status 1"), "{table}");
}

#[test]
fn what_is_named_twice_runs_once_and_threads_are_as_many_as_there_are() {
    let arguments = "--backend native@off --block-io inline,inline --workload condvars --ncpu 1,1 --threads 1,2,3 --rounds 1 \
         --operations 20 --warm-up 1ms --json -";
    let output = run("once", &arguments.split_whitespace().collect::<Vec<_>>());
    let bench = parsed(&output);
    // Condition variables are for pairs.
    assert_eq!(bench.plan.cases.iter().map(|case| case.threads).collect::<Vec<_>>(), [Some(2), Some(4)]);
    let labels: Vec<_> = bench.plan.variants.iter().map(|variant| variant.label.as_str()).collect();
    assert_eq!(labels, ["native@off+inline", "native@off+inline again"]);
    for run in &bench.runs {
        let Outcome::Measured(measured) = &run.outcome else { panic!("{run:?}") };
        assert_eq!(Some(measured.figures.threads), bench.plan.cases[run.case].threads);
        // What it calls itself, also where it measures nothing.
        let Probes::Read { timing, backend, hypercalls, .. } = &measured.probes else { panic!("{run:?}") };
        assert_eq!((timing.as_str(), hypercalls.len()), ("off", 0));
        assert!(backend.ends_with("inline"), "{backend}");
    }
}

#[test]
fn the_table_is_printed_also_where_the_json_cannot_be() {
    let arguments = "--workload locks --rounds 1 --operations 50 --warm-up 1ms --ascii --json /dev/full";
    let output = run("full", &arguments.split_whitespace().collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stdout).contains("How to read this"), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("/dev/full"), "{}", text(&output.stderr));
}

/// It is told, and does not take the bench with it.
#[test]
fn a_kernel_that_ends_the_process_is_told() {
    let (_, table) = refused("exit", &kernel_that_boots_with("_exit(0)"));
    assert!(table.contains("ended without figures"), "{table}");
}

#[test]
fn our_back_ends_run_with_every_engine_asked_for() {
    let arguments = "--backend native,pthread@counts --block-io inline,thread --workload disk --threads 1 --rounds 1 \
         --operations 20 --warm-up 1ms --json -";
    let output = run("axes", &arguments.split_whitespace().collect::<Vec<_>>());
    let bench = parsed(&output);
    let ran: Vec<_> = bench.plan.variants.iter().enumerate().filter(|(_, variant)| variant.again.is_none()).collect();
    let labels: Vec<_> = ran.iter().map(|(_, variant)| variant.label.as_str()).collect();
    assert_eq!(labels, ["native+inline", "native+thread", "pthread@counts+inline", "pthread@counts+thread"]);
    for (index, variant) in ran {
        let run = bench.runs.iter().find(|run| run.variant == index).unwrap();
        let Outcome::Measured(measured) = &run.outcome else { panic!("{run:?}") };
        let Probes::Read { backend, .. } = &measured.probes else { panic!("{run:?}") };
        let (name, engine) = variant.label.split_once('+').unwrap();
        let name = name.split('@').next().unwrap();
        assert!(backend.starts_with(name) && backend.ends_with(engine), "{}: {backend}", variant.label);
    }
}

#[test]
fn stored_results_are_compared_unless_they_are_of_different_hosts() {
    let arguments = "--backend native --workload syscalls,locks --rounds 4 --operations 50 --warm-up 1ms --json -";
    let stored = run("stored", &arguments.split_whitespace().collect::<Vec<_>>());
    let mut bench = parsed(&stored);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = |name: &str| folder.join(format!("{}-{name}.json", std::process::id())).to_str().unwrap().to_owned();
    let [one, other, none] = ["one", "other", "none"].map(file);
    std::fs::write(&one, &stored.stdout).unwrap();
    bench.host.processor = "another one".to_owned();
    std::fs::write(&other, bench.to_json().unwrap()).unwrap();
    std::fs::write(&none, "{}").unwrap();

    let same = run("same", &["--compare", &one, &one, "--ascii"]);
    assert_eq!(same.status.code(), Some(0), "{}", text(&same.stderr));
    let table = text(&same.stdout);
    assert!(table.is_ascii() && table.lines().all(|line| line.len() <= 80 || line.contains(".json")), "{table}");
    assert_eq!(table.matches("none seen").count(), 3, "{table}");

    let refused = run("refused", &["--compare", &one, &other]);
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(3), 0));
    assert!(text(&refused.stderr).contains("another one") && text(&refused.stderr).contains("--force"));
    let forced = run("forced", &["--compare", &one, &other, "--force"]);
    assert_eq!(forced.status.code(), Some(0));
    assert!(text(&forced.stdout).contains("should not be compared"));
    for (name, pair) in [("no-bench", [&one, &none]), ("no-file", [&one, &"/no/such/file".to_owned()])] {
        let output = run(name, &["--compare", pair[0], pair[1]]);
        assert_eq!(output.status.code(), Some(3), "{name}");
        assert!(text(&output.stderr).contains(pair[1]), "{}", text(&output.stderr));
    }
}

#[test]
fn what_makes_no_sense_is_2() {
    for (name, arguments) in [
        ("unknown", ["--backend", "natve"]),
        ("missing", ["--backend", "external:/no/such/library.so"]),
        ("twice", ["--backend", "native,native"]),
        ("rounds", ["--rounds", "0"]),
        ("workload", ["--workload", "nothing"]),
        ("guest", ["--guest", "/no/such/kernel"]),
        ("genuine", ["--workload", "null"]),
        ("engine", ["--block-io", "drum"]),
        ("compare", ["--compare", "one.json"]),
    ] {
        let output = run(name, &arguments);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{name}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn an_interrupted_bench_prints_what_there_is() {
    let (mut command, runtime) = bench("interrupted", &["--workload", "syscalls", "--rounds", "1000", "--ascii"]);
    let bench = command.spawn().unwrap();
    // There is a run's folder from the first run on, and signals are noted before that.
    let folder = runtime.join("rumpscope").join(format!("run-{}", bench.id()));
    while !folder.exists() {
        std::thread::yield_now();
    }
    // SAFETY: our own child, not waited for yet, so the number is still its own.
    unsafe { libc::kill(bench.id() as libc::pid_t, libc::SIGINT) };
    let output = bench.wait_with_output().unwrap();
    let table = text(&output.stdout);
    assert!(table.contains("ended early") && table.contains(" of 3000, each"), "{table}");
    assert!(!folder.exists());
}

/// Compiles a kernel with nothing but what is needed to be refused, or to fail.
fn kernel(name: &str, source: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kernel-{}-{name}", std::process::id()));
    std::fs::create_dir_all(folder.join("lib")).unwrap();
    let file = folder.join("kernel.c");
    std::fs::write(&file, source).unwrap();
    let compiler = std::env::var("CC").unwrap_or("cc".to_owned());
    let mut command = Command::new(compiler);
    command.args(["-shared", "-fPIC", "-Wl,-z,lazy", "-Wl,-soname,librump.so.0", "-o"]);
    assert!(command.arg(folder.join("lib/librump.so.0")).arg(&file).status().unwrap().success());
    folder
}

/// What a bench says of a kernel under which no load runs: on standard error, and of the only run in the table.
fn refused(name: &str, source: &str) -> (String, String) {
    let folder = kernel(name, source);
    let arguments =
        ["--guest", folder.to_str().unwrap(), "--backend", "native", "--workload", "null,files", "--rounds"];
    let output = run(name, &[&arguments[..], &["1", "--operations", "1", "--ascii"]].concat());
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stdout));
    let table = text(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    (text(&output.stderr).to_owned(), table)
}

#[test]
fn a_kernel_without_a_component_lacks_the_loads_that_need_it_alone() {
    let (told, table) = refused("parts", "int here;");
    assert!(told.contains("load files needs librumpvfs.so.0, which is not in "), "{told}");
    assert!(told.contains("left out") && !told.contains("null"), "{told}");
    assert!(table.contains("the kernel in ") && table.contains(" has no rump_init"), "{table}");
}

#[test]
fn a_kernel_that_wants_other_hypercalls_is_told_apart() {
    let (_, table) =
        refused("newer", "void rumpuser_from_the_future(void); void (*here)(void) = rumpuser_from_the_future;");
    assert!(table.contains("are of different versions") && table.contains("rumpuser_from_the_future"), "{table}");
}

#[test]
fn a_kernel_that_does_not_boot_says_why() {
    // As a kernel of another version of the interface does it.
    let (_, table) = refused("boot", &kernel_that_boots_with("return rumpuser_init(99, 0)"));
    assert!(table.contains("rump_init failed with NetBSD error") && table.contains("different versions"), "{table}");
}

fn kernel_that_boots_with(what: &str) -> String {
    let names = "rump_pub_lwproc_rfork rump_pub_lwproc_newlwp rump_pub_lwproc_releaselwp rump_pub_etfs_register \
         rump___sysimpl_getpid rump___sysimpl_open rump___sysimpl_close rump___sysimpl_read rump___sysimpl_write \
         rump___sysimpl_pread rump___sysimpl_unlink rump___sysimpl_mkdir rump___sysimpl_mount50 rump_sys_pipe \
         rump___sysimpl_socketpair rump___sysimpl_nanosleep50";
    let stubs: String = names.split_whitespace().map(|name| format!("int {name}(void) {{ return -1; }}\n")).collect();
    stubs + &format!("int rumpuser_init(int, const void *); void _exit(int); int rump_init(void) {{ {what}; }}")
}
