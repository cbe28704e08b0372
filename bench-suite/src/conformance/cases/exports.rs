//! What a library exports: the interface, and nothing else in the guest's name space.

use crate::conformance::case::Family;
use crate::conformance::guest::Guest;
use object::elf::{DT_NEEDED, DT_SONAME, DynamicTag, FileHeader64};
use object::read::elf::{Dyn, FileHeader};
use object::{Endianness, Object, ObjectSymbol, ObjectSymbolTable, SymbolKind};
use rumpscope_probes::CATALOGUE;
use std::collections::BTreeSet;

/// The data that belong to the interface.
const DATA: [&str; 2] = ["rumpsp_maxworker", "rumpsp_idleworker"];

pub(super) fn cases(family: &mut Family<'_>) {
    symbols(family);
    identity(family);
}

/// The functions of the interface.
fn functions() -> Vec<String> {
    let exported = CATALOGUE.iter().filter(|entry| entry.call.is_exported());
    exported.map(|entry| format!("rumpuser_{}", entry.name)).collect()
}

fn contents(guest: &Guest) -> Vec<u8> {
    std::fs::read(&guest.library).expect("the library")
}

/// Name and kind of every symbol that the library defines for others.
fn exported(guest: &Guest) -> Vec<(String, SymbolKind)> {
    let contents = contents(guest);
    let file = object::File::parse(&*contents).expect("an ELF file");
    let table = file.dynamic_symbol_table().expect("a shared object");
    table
        .symbols()
        .filter(|symbol| symbol.is_definition() && symbol.is_global())
        .map(|symbol| (symbol.name().expect("a name").to_owned(), symbol.kind()))
        .collect()
}

/// The texts of the dynamic section with this tag.
fn dynamic_texts(guest: &Guest, wanted: DynamicTag) -> Vec<String> {
    let contents = contents(guest);
    let contents = &*contents;
    let header = FileHeader64::<Endianness>::parse(contents).expect("an ELF file of 64 bits");
    let endian = header.endian().expect("a byte order");
    let sections = header.sections(endian, contents).expect("sections");
    let (entries, strings) = sections.dynamic(endian, contents).expect("a dynamic section").expect("a shared object");
    let strings = sections.strings(endian, contents, strings).expect("strings");
    entries
        .iter()
        .filter(|entry| entry.tag(endian) == wanted)
        .map(|entry| entry.string(endian, strings).expect("a text"))
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .collect()
}

fn symbols(family: &mut Family<'_>) {
    family
        .case("every_hypercall", "every function of the interface is exported, as a function", |guest| {
            let exported: BTreeSet<_> = exported(guest)
                .into_iter()
                .filter(|(_, kind)| *kind == SymbolKind::Text)
                .map(|(name, _)| name)
                .collect();
            let missing: Vec<_> = functions().into_iter().filter(|name| !exported.contains(name)).collect();
            assert_eq!(missing, [""; 0]);
        })
        .weakness("libraries from before 2017 have no mutex_spin_p");
    family.case("data", "the tunables of the system call proxy are exported, as data", |guest| {
        let exported = exported(guest);
        for name in DATA {
            assert!(exported.contains(&(name.to_owned(), SymbolKind::Data)), "{name}");
        }
    });
    for (name, value) in [("rumpsp_maxworker", 128), ("rumpsp_idleworker", 16)] {
        family.case(format!("{name}_is_{value}"), "the tunables have their values", move |guest| {
            // SAFETY: the library is loaded already.
            let library = unsafe { libloading::Library::new(&guest.library) }.expect("the library");
            // SAFETY: an int by this name.
            let tunable = unsafe { library.get::<*const libc::c_int>(name) }.expect("the tunable");
            // SAFETY: points into the library, which stays loaded.
            assert_eq!(unsafe { **tunable }, value);
        });
    }
    family
        .case(
            "nothing_else",
            "nothing else begins with rump, RUMP or __, names that a guest's loader takes as its own",
            |guest| {
                let known: BTreeSet<_> = functions().into_iter().chain(DATA.map(str::to_owned)).collect();
                let strangers: Vec<_> = exported(guest)
                    .into_iter()
                    .map(|(name, _)| name)
                    .filter(|name| ["rump", "RUMP", "__"].iter().any(|prefix| name.starts_with(prefix)))
                    .filter(|name| !known.contains(name))
                    .collect();
                assert_eq!(strangers, [""; 0]);
            },
        )
        .weakness("five internal functions and data are exported too");
}

fn identity(family: &mut Family<'_>) {
    family.case("soname", "the library's name for the loader is librumpuser.so.0", |guest| {
        assert_eq!(dynamic_texts(guest, DT_SONAME), ["librumpuser.so.0"]);
    });
    family.case("needs_only_the_host", "the library needs nothing but the host's own C library", |guest| {
        const HOSTS: [&str; 7] =
            ["libc.so", "libpthread.so", "libdl.so", "librt.so", "libm.so", "libgcc_s.so", "ld-linux"];
        let strangers: Vec<_> = dynamic_texts(guest, DT_NEEDED)
            .into_iter()
            .filter(|name| !HOSTS.iter().any(|host| name.starts_with(host)))
            .collect();
        assert_eq!(strangers, [""; 0]);
    });
}
