//! Names for addresses of this very process, and for those in files that are not as they should be.

use object::{Object, ObjectSection, ObjectSegment, ObjectSymbol};
use rumpscope_probes::contention::{Contention, Lock, LockKind, Module, Part, Wait};
use rumpscope_probes::{Distribution, Hypercall, Place};
use rumpscope_reports::symbols::{Frame, Symbols, lock_name};
use std::ffi::{CStr, OsStr, c_int, c_void};
use std::hint::black_box;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What this process has loaded.
fn modules() -> Vec<Module> {
    unsafe extern "C" fn each(info: *mut libc::dl_phdr_info, _: usize, modules: *mut c_void) -> c_int {
        // SAFETY: as `dl_iterate_phdr` and the call below have it.
        let (info, modules) = unsafe { (&*info, &mut *modules.cast::<Vec<Module>>()) };
        // SAFETY: the loader's strings and tables live as long as the object, which stays.
        let (name, headers) = unsafe {
            (CStr::from_ptr(info.dlpi_name), std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()))
        };
        let path = match name.to_bytes() {
            b"" => std::env::current_exe().unwrap(),
            name => PathBuf::from(OsStr::from_bytes(name)),
        };
        let loaded = || headers.iter().filter(|header| header.p_type == libc::PT_LOAD);
        modules.push(Module {
            path: path.to_str().unwrap().to_owned(),
            start: info.dlpi_addr + loaded().map(|header| header.p_vaddr).min().unwrap(),
            end: info.dlpi_addr + loaded().map(|header| header.p_vaddr + header.p_memsz).max().unwrap(),
            bias: info.dlpi_addr,
        });
        0
    }
    let mut modules = Vec::<Module>::new();
    // SAFETY: the function gets what it expects.
    unsafe { libc::dl_iterate_phdr(Some(each), (&raw mut modules).cast()) };
    modules
}

fn own_module() -> Module {
    let own = std::env::current_exe().unwrap();
    modules().into_iter().find(|module| Path::new(&module.path) == own).unwrap()
}

/// The return addresses of the calling functions.
#[inline(never)]
fn backtrace() -> Vec<u64> {
    let mut addresses = [std::ptr::null_mut(); 64];
    // SAFETY: room for as many as are asked for.
    let count = unsafe { libc::backtrace(addresses.as_mut_ptr(), 64) };
    addresses[..usize::try_from(count).unwrap()].iter().map(|address| address.addr() as u64).collect()
}

#[inline(never)]
fn outer_of_the_test() -> (Vec<u64>, u32) {
    black_box(inner_of_the_test())
}

#[inline(always)]
fn inner_of_the_test() -> (Vec<u64>, u32) {
    let here = (backtrace(), line!());
    black_box(here)
}

fn named<'a>(frames: &'a [Frame], end: &str) -> Option<&'a Frame> {
    frames.iter().find(|frame| frame.function.ends_with(end))
}

#[test]
fn functions_of_this_test_inlined_ones_and_their_lines() {
    let (addresses, line) = outer_of_the_test();
    let mut symbols = Symbols::new(&modules());
    let frames = symbols.chain(&addresses);
    assert_eq!(symbols.problems(), &[] as &[String]);
    let at = frames.iter().position(|frame| frame.function.ends_with("::inner_of_the_test")).unwrap();
    let (inner, outer) = (&frames[at], &frames[at + 1]);
    assert_eq!(inner.function, "symbols::inner_of_the_test");
    assert_eq!(outer.function, "symbols::outer_of_the_test");
    assert!(inner.inlined && !outer.inlined);
    let (file, inner_line) = inner.file_line.clone().unwrap();
    assert!(file.ends_with("tests/symbols.rs"), "{file}");
    assert_eq!(inner_line, line);
    let body = outer_of_the_test as *const () as u64;
    assert_eq!(
        body + outer.offset,
        addresses[addresses.iter().position(|&a| symbols.frames(a).contains(inner)).unwrap()]
    );
    assert_eq!(inner.offset, outer.offset);
    assert!(outer.module.starts_with("symbols-"), "{}", outer.module);
    let outermost = frames.last().unwrap();
    assert!(outermost.module.starts_with("libc.so"), "{outermost:?}");
}

/// What `tool` makes of this executable, in a file of its own; None if there is no such tool here.
fn remade(name: &str, tool: &str, arguments: &[&str]) -> Option<(Module, tempfile::Kept)> {
    let kept = tempfile::Kept::new(name);
    let made = Command::new(tool).args(arguments).arg(std::env::current_exe().unwrap()).arg(&kept.0).output();
    match made {
        Ok(output) if output.status.success() => {
            let path = kept.0.to_str().unwrap().to_owned();
            Some((Module { path, ..own_module() }, kept))
        }
        other => {
            eprintln!("skipped: {tool} {arguments:?}: {other:?}");
            None
        }
    }
}

mod tempfile {
    use std::path::PathBuf;

    /// A file that goes with the test.
    pub struct Kept(pub PathBuf);

    impl Kept {
        pub fn new(name: &str) -> Self {
            Kept(std::env::temp_dir().join(format!("rumpscope-symbols-{}-{name}", std::process::id())))
        }
    }

    impl Drop for Kept {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

#[test]
fn without_debug_information_there_are_functions_and_no_lines() {
    let (addresses, _) = outer_of_the_test();
    let Some((module, _kept)) = remade("undebugged", "objcopy", &["--strip-debug"]) else { return };
    let frames = Symbols::new(&[module]).chain(&addresses);
    let outer = named(&frames, "symbols::outer_of_the_test").unwrap();
    assert_eq!(outer.file_line, None);
    assert!(named(&frames, "inner_of_the_test").is_none());
}

#[test]
fn of_a_stripped_file_there_are_places_in_the_module() {
    let (addresses, _) = outer_of_the_test();
    let Some((module, _kept)) = remade("stripped", "objcopy", &["--strip-all"]) else { return };
    let mut symbols = Symbols::new(std::slice::from_ref(&module));
    let frames = symbols.frames(addresses[1]);
    let name = module.path.rsplit('/').next().unwrap();
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].function, format!("{name}+{:#x}", addresses[1] - module.bias));
    assert_eq!(frames[0].offset, addresses[1] - module.start);
    assert!(symbols.problems().is_empty());
}

#[test]
fn where_debug_information_is_too_much_the_symbol_table_has_the_names() {
    let (addresses, _) = outer_of_the_test();
    let frames = Symbols::new(&modules()).debug_info_up_to(0).chain(&addresses);
    let outer = named(&frames, "symbols::outer_of_the_test").unwrap();
    assert!(outer.file_line.is_none() && !outer.inlined);
    assert!(named(&frames, "symbols::inner_of_the_test").is_none(), "it is inlined");
}

#[test]
fn debug_information_split_off_is_found_by_its_link() {
    let (addresses, line) = outer_of_the_test();
    let Some((debug, kept)) = remade("split.debug", "objcopy", &["--only-keep-debug"]) else { return };
    let link = format!("--add-gnu-debuglink={}", debug.path);
    let Some((module, _kept)) = remade("split", "objcopy", &["--strip-all", &link]) else { return };
    let frames = Symbols::new(std::slice::from_ref(&module)).chain(&addresses);
    let inner = named(&frames, "symbols::inner_of_the_test").unwrap();
    assert_eq!(inner.file_line.as_ref().map(|file_line| file_line.1), Some(line));
    drop(kept);
    let frames = Symbols::new(&[module]).chain(&addresses);
    assert!(named(&frames, "inner_of_the_test").is_none());
}

#[test]
fn debug_information_of_another_build_is_not_taken() {
    let (addresses, line) = outer_of_the_test();
    // Without build ids only the checksum tells.
    let without = "--remove-section=.note.gnu.build-id";
    let Some((debug, _debug)) = remade("stale.debug", "objcopy", &["--only-keep-debug", without]) else { return };
    let link = format!("--add-gnu-debuglink={}", debug.path);
    let Some((module, _kept)) = remade("stale", "objcopy", &["--strip-all", without, &link]) else { return };
    let frames = Symbols::new(std::slice::from_ref(&module)).chain(&addresses);
    let inner = named(&frames, "symbols::inner_of_the_test").unwrap();
    assert_eq!(inner.file_line.as_ref().map(|file_line| file_line.1), Some(line));
    let bytes = std::fs::read(&debug.path).unwrap();
    std::fs::write(&debug.path, [&bytes[..], b"!"].concat()).unwrap();
    let frames = Symbols::new(&[module]).chain(&addresses);
    assert!(named(&frames, "inner_of_the_test").is_none());
}

#[test]
fn debug_information_that_cannot_be_read_is_looked_for_elsewhere() {
    let (addresses, line) = outer_of_the_test();
    let Some((debug, _debug)) = remade("intact.debug", "objcopy", &["--only-keep-debug"]) else { return };
    let arguments = ["--compress-debug-sections=zlib", &format!("--add-gnu-debuglink={}", debug.path)];
    let Some((module, _kept)) = remade("unpacks-to-nothing", "objcopy", &arguments) else { return };
    let mut bytes = std::fs::read(&module.path).unwrap();
    let range = |bytes: &[u8]| {
        let file = object::File::parse(bytes).unwrap();
        file.section_by_name(".debug_info").unwrap().file_range().unwrap()
    };
    let (start, length) = range(&bytes);
    bytes[start as usize + 24..(start + length) as usize].fill(0xff);
    std::fs::write(&module.path, bytes).unwrap();
    let frames = Symbols::new(&[module]).chain(&addresses);
    let inner = named(&frames, "symbols::inner_of_the_test").unwrap();
    assert_eq!(inner.file_line.as_ref().map(|file_line| file_line.1), Some(line));
}

#[test]
fn a_file_that_is_missing_cut_short_or_something_else_is_told_once() {
    let (addresses, _) = outer_of_the_test();
    let own = own_module();
    let bytes = std::fs::read(&own.path).unwrap();
    let kept = tempfile::Kept::new("odd");
    let path = kept.0.to_str().unwrap().to_owned();
    let problem = |contents: Option<&[u8]>| {
        match contents {
            Some(contents) => std::fs::write(&path, contents).unwrap(),
            None => drop(std::fs::remove_file(&path)),
        }
        let mut symbols = Symbols::new(&[Module { path: path.clone(), ..own.clone() }]);
        for &address in &addresses {
            let frames = symbols.frames(address);
            assert!(!frames.is_empty());
        }
        assert!(symbols.problems().len() <= 1, "{:?}", symbols.problems());
        symbols.problems().first().cloned().unwrap_or_default()
    };
    assert!(problem(None).contains("is missing"));
    assert!(problem(Some(b"")).contains("is no object file"));
    assert!(problem(Some(b"#!/bin/sh\n")).contains("is no object file"));
    assert!(problem(Some(&bytes[..40])).contains("is no object file"));
    // The section headers are at the end of a file.
    for part in 1..4 {
        assert!(problem(Some(&bytes[..bytes.len() / 4 * part])).contains("is no object file"));
    }
}

#[test]
fn damaged_files_do_no_harm() {
    // A small one, so that what is damaged is something that is read.
    let module = modules().into_iter().find(|module| module.path.contains("libgcc_s.so"));
    let module = module.unwrap_or_else(own_module);
    let sound = std::fs::read(&module.path).unwrap();
    let kept = tempfile::Kept::new("damaged");
    let mut random = 1_u64;
    for _ in 0..64 {
        let mut bytes = sound.clone();
        for nth in 0..256 {
            // Knuth's multiplier.
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Half of it in the headers, which are at both ends.
            let (first, length) = match nth % 4 {
                0 => (64, 1024),
                1 => (bytes.len() - 4096, 4096),
                _ => (0, bytes.len()),
            };
            let at = first + usize::try_from(random >> 33).unwrap() % length;
            bytes[at] = (random >> 25) as u8;
        }
        std::fs::write(&kept.0, bytes).unwrap();
        let path = kept.0.to_str().unwrap().to_owned();
        let mut symbols = Symbols::new(&[Module { path, ..module.clone() }]);
        for address in (module.start..module.end).step_by(997) {
            assert!(!symbols.frames(address).is_empty());
            symbols.data(address);
        }
    }
}

#[test]
fn an_other_file_than_was_loaded_gives_no_wrong_names() {
    let (addresses, _) = outer_of_the_test();
    let Module { start, .. } = own_module();
    let libc = modules().into_iter().find(|module| module.path.contains("libc.so")).unwrap();
    let other = Module { path: libc.path, ..own_module() };
    let mut symbols = Symbols::new(&[other]);
    let frames = symbols.frames(addresses[1]);
    assert!(frames[0].function.starts_with("libc.so"), "{frames:?}");
    assert_eq!(frames[0].offset, addresses[1] - start);
    assert!(symbols.problems()[0].contains("has changed"), "{:?}", symbols.problems());
}

#[test]
fn an_address_nowhere_is_its_own_name() {
    let frames = Symbols::new(&[]).frames(0x1234);
    assert_eq!((frames[0].function.as_str(), frames[0].module.as_str()), ("0x1234", ""));
    let mut symbols = Symbols::new(&modules());
    assert_eq!(symbols.frames(0)[0].function, "0x0");
    assert_eq!(symbols.frames(u64::MAX)[0].function, "0xffffffffffffffff");
    assert_eq!(symbols.data(0), None);
}

static OBJECT_OF_THE_TEST: [u64; 8] = [7; 8];
static WORD_OF_THE_TEST: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(7);

#[test]
fn data_objects() {
    let mut symbols = Symbols::new(&modules());
    let address = OBJECT_OF_THE_TEST.as_ptr().addr() as u64;
    assert_eq!(symbols.data(address), Some(("symbols::OBJECT_OF_THE_TEST".to_owned(), 0)));
    assert_eq!(symbols.data(address + 63), Some(("symbols::OBJECT_OF_THE_TEST".to_owned(), 63)));
    let after = symbols.data(address + 64);
    assert!(after.is_none_or(|(name, _)| name != "symbols::OBJECT_OF_THE_TEST"));
    let local = 0u64;
    assert_eq!(symbols.data((&raw const local).addr() as u64), None);
}

#[test]
fn variables_that_only_debug_information_knows() {
    let without = ["--wildcard", "--strip-symbol=*OBJECT_OF_THE_TEST*", "--strip-symbol=*WORD_OF_THE_TEST*"];
    let Some((module, _kept)) = remade("without-objects", "objcopy", &without) else { return };
    let mut symbols = Symbols::new(&[module]);
    let array = OBJECT_OF_THE_TEST.as_ptr().addr() as u64;
    assert_eq!(symbols.data(array + 63), Some(("symbols::OBJECT_OF_THE_TEST".to_owned(), 63)));
    let word = (&raw const WORD_OF_THE_TEST).addr() as u64;
    assert_eq!(symbols.data(word), Some(("symbols::WORD_OF_THE_TEST".to_owned(), 0)));
}

// What a kernel has. The names are all that counts.
#[unsafe(export_name = "rump_giantlock")]
static GIANT: [u64; 1] = [1];
#[unsafe(export_name = "rumpns_rcpu_storage")]
static VCPUS: [[u64; 8]; 4] = [[1; 8]; 4];
#[unsafe(export_name = "_ZN21rumpscope_bench_suite5guest3cpu5LOCKS17h0123456789abcdefE")]
static EMBEDDED_VCPUS: [[u64; 2]; 4] = [[1; 2]; 4];
#[unsafe(export_name = "rumpns_proc_lock")]
static PROC_LOCK: [u64; 4] = [1; 4];

#[unsafe(export_name = "rump_scheduler_init")]
#[inline(never)]
extern "C" fn scheduler_init() -> usize {
    keep(backtrace())
}

#[unsafe(export_name = "rump_schedule_cpu_interlock")]
#[inline(never)]
extern "C" fn schedule() -> usize {
    keep(backtrace())
}

#[unsafe(export_name = "_ZN21rumpscope_bench_suite5guest8big_lock7BigLock3new17h0123456789abcdefE")]
#[inline(never)]
extern "C" fn big_lock() -> usize {
    keep(backtrace())
}

/// Chains cross from C to Rust through here.
static CHAINS: std::sync::Mutex<Vec<Vec<u64>>> = std::sync::Mutex::new(Vec::new());

fn keep(chain: Vec<u64>) -> usize {
    let mut chains = CHAINS.lock().unwrap();
    chains.push(chain);
    chains.len() - 1
}

/// The chain that `function` took, from `outermost` outwards.
fn taken_in(function: extern "C" fn() -> usize, name: &str) -> Vec<u64> {
    let nth = function();
    let chain = CHAINS.lock().unwrap()[nth].clone();
    let mut symbols = Symbols::new(&modules());
    let own = chain.iter().position(|&address| symbols.frames(address).iter().any(|frame| frame.function == name));
    chain[own.unwrap()..].to_vec()
}

fn lock(kind: LockKind, address: u64, made: u32) -> Lock {
    Lock {
        kind,
        address,
        generation: 1,
        made,
        ended: false,
        merged: 0,
        acquisitions: 1,
        contended: 1,
        spun: 0,
        holder: None,
        waiters: 0,
        most_waiters: 1,
        wait: Distribution::default(),
        held_after_wait: Distribution::default(),
        held: Distribution::default(),
    }
}

#[test]
fn locks_by_their_variables() {
    let mut symbols = Symbols::new(&modules());
    let mut name = |kind, address: *const u64| {
        lock_name(&mut symbols, &lock(kind, address.addr() as u64, 0), &Contention::default())
    };
    assert_eq!(name(LockKind::SpinMutex, GIANT.as_ptr()).as_deref(), Some("the big kernel lock"));
    assert_eq!(name(LockKind::SpinMutex, &VCPUS[2][2]).as_deref(), Some("scheduling lock of virtual CPU 2"));
    assert_eq!(name(LockKind::Condvar, &VCPUS[0][3]).as_deref(), Some("virtual CPU 0"));
    let embedded = name(LockKind::SpinMutex, &EMBEDDED_VCPUS[3][0]);
    assert_eq!(embedded.as_deref(), Some("scheduling lock of virtual CPU 3"));
    assert_eq!(name(LockKind::Condvar, &EMBEDDED_VCPUS[1][1]).as_deref(), Some("virtual CPU 1"));
    assert_eq!(name(LockKind::Mutex, &PROC_LOCK[0]).as_deref(), Some("proc_lock"));
    assert_eq!(name(LockKind::Mutex, &PROC_LOCK[2]).as_deref(), Some("proc_lock+0x10"));
    assert_eq!(name(LockKind::Mutex, &black_box(0)), None);
}

#[test]
fn locks_that_are_one_of_many_have_no_variable() {
    let mut symbols = Symbols::new(&modules());
    let many = Lock { merged: 3, ..lock(LockKind::Mutex, PROC_LOCK.as_ptr().addr() as u64, 0) };
    assert_eq!(lock_name(&mut symbols, &many, &Contention::default()), None);
}

#[test]
fn locks_by_what_made_them_and_who_waits() {
    let stacks = [
        (1, taken_in(scheduler_init, "rump_scheduler_init")),
        (2, taken_in(schedule, "rump_schedule_cpu_interlock")),
        (3, taken_in(big_lock, "rumpscope_bench_suite::guest::big_lock::BigLock::new")),
    ];
    let wait = |lock| Wait {
        call: Hypercall::CvWaitNowrap,
        lock,
        place: Place::OffCpu,
        waiter: 2,
        waiter_lane: 0,
        part: Part::Unknown,
        holder: 0,
        holder_lane: None,
        count: 1,
        ticks: 1,
        max: 1,
    };
    let contention = Contention {
        stacks: std::sync::Arc::new(stacks.into()),
        locks: [
            (1, lock(LockKind::Condvar, 0, 1)),
            (2, lock(LockKind::Condvar, 0, 1)),
            (3, lock(LockKind::SpinMutex, 0, 3)),
            (4, lock(LockKind::SpinMutex, 0, 2)),
        ]
        .into(),
        waits: vec![wait(1), wait(4)],
        ..Contention::default()
    };
    let mut symbols = Symbols::new(&modules());
    let names = contention.locks.values().map(|lock| lock_name(&mut symbols, lock, &contention));
    let expected = [Some("a virtual CPU"), None, Some("the big kernel lock"), None];
    assert_eq!(names.collect::<Vec<_>>(), expected.map(|name| name.map(str::to_owned)));
}

/// A genuine kernel: `RUMP_PREFIX` names the folder with its `lib/librump.so`.
#[test]
fn a_genuine_kernel() {
    let Some(prefix) = std::env::var_os("RUMP_PREFIX") else {
        eprintln!("skipped: RUMP_PREFIX names no kernel");
        return;
    };
    let path = Path::new(&prefix).join("lib/librump.so");
    let bytes = std::fs::read(&path).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let bias = 0x7f12_3456_7000;
    let end = file.segments().map(|segment| segment.address() + segment.size()).max().unwrap();
    let modules = [Module { path: path.to_str().unwrap().to_owned(), start: bias, end: bias + end, bias }];
    let address = |name| {
        let symbol = file.dynamic_symbols().find(|symbol| symbol.name() == Ok(name)).unwrap();
        bias + symbol.address()
    };
    let mut symbols = Symbols::new(&modules);
    for (linker, plain) in [
        ("rumpns_mutex_enter", "mutex_enter"),
        ("rump_schedule", "rump_schedule"),
        ("rumpns_mutex_obj_alloc", "mutex_obj_alloc"),
        ("rumpns_rw_enter", "rw_enter"),
    ] {
        let frames = symbols.frames(address(linker) + 2);
        let outermost = frames.last().unwrap();
        assert_eq!((outermost.function.as_str(), outermost.offset), (plain, 2));
        assert!(outermost.module.starts_with("librump.so"), "{outermost:?}");
    }
    let mut kept = Symbols::new(&modules).keep_prefix();
    let frames = kept.frames(address("rumpns_mutex_enter") + 2);
    assert_eq!(frames.last().unwrap().function, "rumpns_mutex_enter");
    let big = lock(LockKind::SpinMutex, address("rump_giantlock"), 0);
    let name = lock_name(&mut symbols, &big, &Contention::default());
    assert_eq!(name.as_deref(), Some("the big kernel lock"));
    let cpu_lock = lock(LockKind::Mutex, address("rumpns_cpu_lock"), 0);
    assert_eq!(lock_name(&mut symbols, &cpu_lock, &Contention::default()).as_deref(), Some("cpu_lock"));
    assert_eq!(symbols.problems(), &[] as &[String]);
}

#[test]
fn an_address_in_no_module_has_a_name_when_its_module_has_come() {
    let mut symbols = Symbols::new(&[]);
    assert_eq!(symbols.frames(0x1800)[0].module, "");
    let later = Module { path: "/no/such/librumpvfs.so.0".to_owned(), start: 0x1000, end: 0x2000, bias: 0x1000 };
    symbols.learn(&[later]);
    assert_eq!(symbols.frames(0x1800)[0].module, "librumpvfs.so.0");
}
