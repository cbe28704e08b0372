//! The loader: symbol table, modules and components of the objects that make up the guest.

use crate::conformance::case::Family;
use crate::conformance::guest::guest;
use libc::{c_char, c_int, c_void};
use rumpuser::abi::types::{Component, Evcnt, Modinfo};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

/// What the guest was given, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Given {
    /// A symbol table: name and address of each symbol.
    Symbols(Vec<(String, usize)>),
    /// The addresses of modules.
    Modules(Vec<usize>),
    /// The address of a component.
    Component(usize),
}

static GIVEN: Mutex<Vec<Given>> = Mutex::new(Vec::new());

fn given(what: Given) {
    GIVEN.lock().expect("no panic while locked").push(what);
}

/// A symbol of the host's ELF class.
#[repr(C)]
#[derive(Clone, Copy)]
struct Symbol {
    name: u32,
    info: u8,
    other: u8,
    section: u16,
    value: u64,
    size: u64,
}

unsafe extern "C" fn modinit(modules: *const *const Modinfo, count: usize) {
    // SAFETY: the library passes so many pointers.
    let modules = unsafe { core::slice::from_raw_parts(modules, count) };
    given(Given::Modules(modules.iter().map(|module| *module as usize).collect()));
}

unsafe extern "C" fn symload(symbols: *mut c_void, size: u64, strings: *mut c_char, length: u64) -> c_int {
    let (size, length) = (usize::try_from(size).expect("a size"), usize::try_from(length).expect("a size"));
    assert_eq!(size % size_of::<Symbol>(), 0, "whole symbols");
    // SAFETY: the library passes so many bytes of symbols.
    let symbols = unsafe { core::slice::from_raw_parts(symbols.cast::<Symbol>(), size / size_of::<Symbol>()) };
    // SAFETY: and so many of their names.
    let strings = unsafe { core::slice::from_raw_parts(strings.cast::<u8>(), length) };
    assert_eq!(strings.last(), Some(&0), "names end within the table");
    let name = |symbol: &Symbol| {
        let name = &strings[symbol.name as usize..];
        let end = name.iter().position(|byte| *byte == 0).expect("a NUL");
        String::from_utf8(name[..end].to_vec()).expect("text")
    };
    given(Given::Symbols(symbols.iter().map(|symbol| (name(symbol), symbol.value as usize)).collect()));
    0
}

unsafe extern "C" fn compload(component: *const Component) {
    given(Given::Component(component as usize));
}

/// The fourth argument of newer guests, under the same version number: an old guest passes what happens to be there.
unsafe extern "C" fn garbage(_: *mut Evcnt) {
    panic!("the fourth argument of an old guest was called");
}

fn bootstrap() -> Vec<Given> {
    // SAFETY: the functions take what the library found.
    guest().stays_on_cpu(|| unsafe { (guest().calls.dl_bootstrap)(modinit, symload, compload, garbage) });
    GIVEN.lock().expect("no panic while locked").clone()
}

/// The only symbol table that was given.
fn symbols(given: &[Given]) -> Vec<(String, usize)> {
    let tables: Vec<_> = given
        .iter()
        .filter_map(|given| if let Given::Symbols(symbols) = given { Some(symbols) } else { None })
        .collect();
    assert_eq!(tables.len(), 1, "one symbol table");
    tables[0].clone()
}

/// An object that was built for the case and loaded.
struct Built {
    library: libloading::os::unix::Library,
    suffix: &'static str,
}

/// Builds an object as `file` (whose name decides whether it is the guest's) and loads it.
fn build(file: &str, suffix: &'static str, arguments: &[&str]) -> Built {
    std::fs::write("loader.c", include_str!("loader.c")).expect("the source");
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let output = Command::new(compiler)
        .args(["-shared", "-fPIC", "-nostdlib", "-o", file, "loader.c"])
        .arg(format!("-DSUFFIX={suffix}"))
        .args(arguments)
        .output()
        .expect("a C compiler");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let path: PathBuf = std::fs::canonicalize(file).expect("the object");
    // SAFETY: the object does nothing when it is loaded.
    let library = unsafe { libloading::os::unix::Library::open(Some(path), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    Built { library: library.expect("the object"), suffix }
}

/// An object with modules and components.
fn build_component(file: &str, suffix: &'static str) -> Built {
    build(file, suffix, &["-DMODULES"])
}

impl Built {
    /// The address of `prefix` and the object's own suffix.
    fn address(&self, prefix: &str) -> usize {
        let name = format!("{prefix}{}\0", self.suffix);
        // SAFETY: only its address is used.
        let symbol = unsafe { self.library.get::<*const u8>(name.as_bytes()) }.expect("a symbol of the object");
        symbol.as_raw_ptr() as usize
    }

    /// The address of the things that the link sets point to, four bytes each.
    fn things(&self) -> usize {
        // SAFETY: a function of the object that takes nothing and returns an address.
        let things: extern "C" fn() -> usize = unsafe { core::mem::transmute(self.address("things_")) };
        things()
    }

    fn modules(&self) -> Given {
        Given::Modules(vec![self.things(), self.things() + 4])
    }

    fn components(&self) -> [Given; 2] {
        [Given::Component(self.things() + 8), Given::Component(self.things() + 12)]
    }
}

pub(super) fn cases(family: &mut Family<'_>) {
    symbol_tables(family);
    link_sets(family);
}

fn symbol_tables(family: &mut Family<'_>) {
    family.case("symbols_of_the_program", "the symbol table has the guest's symbols of the main program", |_| {
        let symbols = symbols(&bootstrap());
        assert!(symbols.iter().any(|(name, _)| name == "rumpscope_conformance_program"), "{symbols:?}");
    });
    family.case("symbols_of_the_library", "the symbol table has the hypercalls of the library itself", |guest| {
        let symbols = symbols(&bootstrap());
        for (name, address) in [
            ("rumpuser_mutex_enter", guest.calls.mutex_enter as usize),
            ("rumpuser_curlwp", guest.calls.curlwp as usize),
            ("rumpuser_bio", guest.calls.bio as usize),
        ] {
            assert!(symbols.contains(&(name.to_owned(), address)), "{name}");
        }
    });
    for (prefix, taken) in [
        ("rumpns_variable_", true),
        ("rumpns_function_", true),
        ("RUMP_variable_", true),
        ("__variable_", true),
        ("other_variable_", false),
    ] {
        family.case(
            format!("symbols_like_{}", prefix.trim_matches('_').to_lowercase()),
            "of a component's symbols those that begin with rump, RUMP or __ are in the table, with their addresses",
            move |_| {
                let component = build_component("librumptest.so", "a");
                let name = format!("{prefix}a");
                let address =
                    symbols(&bootstrap()).into_iter().find(|(known, _)| *known == name).map(|(_, address)| address);
                assert_eq!(address, taken.then(|| component.address(prefix)));
            },
        );
    }
    family.case("symbols_of_others", "objects that are not the guest's are left out", |_| {
        let _other = build_component("libother.so", "b");
        assert!(symbols(&bootstrap()).iter().all(|(name, _)| name != "rumpns_variable_b"));
    });
    family.case("symbols_of_two_components", "the table has the symbols of all components", |_| {
        let components = [build_component("librumpone.so", "one"), build_component("librumptwo.so", "two")];
        let symbols = symbols(&bootstrap());
        for component in components {
            let symbol = (format!("rumpns_variable_{}", component.suffix), component.address("rumpns_variable_"));
            assert!(symbols.contains(&symbol), "{symbol:?}");
        }
    });
    family.case("symbols_are_defined", "the table has no symbol without an address", |_| {
        assert!(symbols(&bootstrap()).iter().all(|(_, address)| *address != 0));
    });
    family.case("symbols_in_a_sysv_table", "an object with the older kind of hash table is read too", |_| {
        let component = build("librumptest.so", "a", &["-DMODULES", "-Wl,--hash-style=sysv"]);
        let symbol = ("rumpns_variable_a".to_owned(), component.address("rumpns_variable_"));
        assert!(symbols(&bootstrap()).contains(&symbol));
    });
    family.case("symbols_in_a_gnu_table", "an object with the newer kind of hash table only is read too", |_| {
        let component = build("librumptest.so", "a", &["-DMODULES", "-Wl,--hash-style=gnu"]);
        let symbol = ("rumpns_variable_a".to_owned(), component.address("rumpns_variable_"));
        assert!(symbols(&bootstrap()).contains(&symbol));
    });
    family
        .case(
            "symbols_beside_an_empty_object",
            "an object without any symbol does not cost the table of the others",
            |_| {
                let _empty = build("librumpempty.so", "none", &["-Wl,--hash-style=gnu"]);
                let component = build_component("librumptest.so", "a");
                let symbol = ("rumpns_variable_a".to_owned(), component.address("rumpns_variable_"));
                assert!(symbols(&bootstrap()).contains(&symbol));
            },
        )
        .weakness("gives up the whole table");
}

fn link_sets(family: &mut Family<'_>) {
    family.case("modules_of_a_component", "the modules of a component are given in one call", |_| {
        let component = build_component("librumptest.so", "a");
        let given = bootstrap();
        assert_eq!(given.iter().filter(|given| **given == component.modules()).count(), 1, "{given:#?}");
    });
    family.case("components_of_an_object", "each component of an object is given once, in order", |_| {
        let component = build_component("librumptest.so", "a");
        let given: Vec<_> = bootstrap().into_iter().filter(|given| matches!(given, Given::Component(_))).collect();
        assert_eq!(given, component.components());
    });
    family.case("symbols_come_first", "the symbol table is given before any module, modules before components", |_| {
        let component = build_component("librumptest.so", "a");
        let given = bootstrap();
        assert!(matches!(given[0], Given::Symbols(_)));
        let [first, second] = component.components();
        assert_eq!(given[1..], [component.modules(), first, second]);
    });
    family.case("nothing_to_load", "without components there is a symbol table, and nothing else", |_| {
        let given = bootstrap();
        assert!(matches!(given[..], [Given::Symbols(_)]), "{given:#?}");
    });
    family.case(
        "components_of_two_objects",
        "objects are visited from the last to the first, as they depend on each other",
        |_| {
            let objects = [build_component("librumpone.so", "one"), build_component("librumptwo.so", "two")];
            let given: Vec<_> = bootstrap().into_iter().filter(|given| matches!(given, Given::Component(_))).collect();
            let [first, second] = objects.map(|object| object.components());
            assert_eq!(given, [second, first].concat());
        },
    );
    family.case(
        "components_anywhere",
        "link sets count wherever they are, not only in objects of the guest's name",
        |_| {
            let object = build_component("libdriver.so", "a");
            let given = bootstrap();
            assert!(given.contains(&object.modules()), "{given:#?}");
        },
    );
    family.case(
        "event_counters_of_an_old_guest",
        "a guest that cannot be told to be a newer one does not have its fourth argument called",
        |_| {
            // The object has event counters; the fourth argument ends the case.
            let _object = build_component("librumptest.so", "a");
            bootstrap();
        },
    );
}
