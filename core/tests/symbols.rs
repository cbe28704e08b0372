//! What the built libraries export: the interface, and nothing that a guest's loader could take for the kernel's own.

mod built;

use object::read::elf::{Dyn, FileHeader};
use object::{Object, ObjectSymbol, SymbolScope};
use rumpscope_probes::CATALOGUE;
use std::collections::BTreeSet;

/// Exported beside the hypercalls: the stock library's tunables of the system call proxy, and the guest's probes.
const OTHERS: [&str; 3] = ["rumpsp_maxworker", "rumpsp_idleworker", "hypervisor_guest_probes"];

fn read(file: &str) -> Vec<u8> {
    std::fs::read(built::path(file)).unwrap()
}

fn interface() -> BTreeSet<String> {
    let hypercalls = CATALOGUE.iter().filter(|entry| entry.call.is_exported());
    hypercalls.map(|entry| format!("rumpuser_{}", entry.name)).chain(OTHERS.map(str::to_owned)).collect()
}

#[test]
fn the_shared_library_exports_the_interface_and_nothing_else() {
    let bytes = read("librumpuser.so");
    let file = object::File::parse(&*bytes).unwrap();
    let exported: BTreeSet<String> = file
        .dynamic_symbols()
        .filter(|symbol| symbol.is_definition())
        .map(|symbol| symbol.name().unwrap().to_owned())
        .collect();
    assert_eq!(exported, interface());
}

#[test]
fn the_shared_library_has_the_name_that_kernels_ask_for() {
    let bytes = read("librumpuser.so");
    let name = b"librumpuser.so.0\0";
    let file = object::elf::FileHeader64::<object::Endianness>::parse(&*bytes).unwrap();
    let endian = file.endian().unwrap();
    let sections = file.sections(endian, &*bytes).unwrap();
    let (dynamic, link) = sections.dynamic(endian, &*bytes).unwrap().unwrap();
    let strings = sections.strings(endian, &*bytes, link).unwrap();
    let soname = dynamic.iter().find(|entry| entry.tag(endian) == object::elf::DT_SONAME).unwrap();
    assert_eq!(soname.string(endian, strings).unwrap(), &name[..name.len() - 1]);
}

#[test]
fn the_static_library_shows_no_other_name_of_a_kernels_kind() {
    let bytes = read("librumpuser.a");
    let archive = object::read::archive::ArchiveFile::parse(&*bytes).unwrap();
    let mut seen = BTreeSet::new();
    for member in archive.members() {
        let Ok(file) = object::File::parse(member.unwrap().data(&*bytes).unwrap()) else { continue };
        for symbol in file.symbols().filter(|symbol| symbol.is_definition()) {
            // Hidden symbols reach no dynamic symbol table, so no guest's loader either.
            let visible = symbol.scope() == SymbolScope::Dynamic;
            let name = symbol.name().unwrap();
            if visible && (["rump", "RUMP", "__"].iter().any(|kind| name.starts_with(kind)) || OTHERS.contains(&name)) {
                seen.insert(name.to_owned());
            }
        }
    }
    assert_eq!(seen, interface());
}
