//! `rumpuser_dl_bootstrap`: hands the guest what the host's loader has loaded for it.
//!
//! A shared rump kernel is many objects. At boot it asks for their symbols, for its own symbol table, and for what
//! they put into *link sets*: arrays of pointers that a linker collects, found by the symbols at their two ends.

use super::seam::forward;
use super::types::{Component, Evcnt, Modinfo};
use crate::host::diagnostic;
use crate::host::elf::table::Table;
use crate::host::elf::{self, Object, Symbol};
use core::ffi::{CStr, c_char, c_int, c_void};
use rumpscope_probes::{Hypercall, measure};

/// Takes `count` modules of one object.
pub type ModInit = unsafe extern "C" fn(*const *const Modinfo, usize);
/// Takes a symbol table and its names, with their sizes in bytes. It keeps both.
pub type SymLoad = unsafe extern "C" fn(*mut c_void, u64, *mut c_char, u64) -> c_int;
/// Takes a component.
pub type CompLoad = unsafe extern "C" fn(*const Component);
/// Takes an event counter.
pub type EvcntAttach = unsafe extern "C" fn(*mut Evcnt);
/// Makes the nodes of a component in the kernel's `sysctl` tree; the argument is null.
type SysctlSetup = unsafe extern "C" fn(*mut c_void);

/// The first version of NetBSD whose kernels certainly hand over the fourth function. It came in March 2020, when
/// NetBSD was 9.99.50 or 9.99.51.
const WITH_EVENT_COUNTERS: [u32; 3] = [9, 99, 52];

/// Gives the guest the symbols, the modules and the components of the loaded objects, the object loaded last first,
/// because that is the one that needs the others. For newer kernels, also the event counters and `sysctl` nodes of the
/// objects beside the kernel itself, which knows its own. A static program has no loaded objects: nothing happens.
///
/// # Safety
/// The functions are the guest's. `evcntattach` may be anything: kernels before 2020 call this with three arguments.
/// No other thread unloads objects meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_dl_bootstrap(
    modinit: Option<ModInit>,
    symload: Option<SymLoad>,
    compload: Option<CompLoad>,
    evcntattach: *const c_void,
) {
    forward!(Hypercall::DlBootstrap, dl_bootstrap(modinit, symload, compload, evcntattach));
    let call = Hypercall::DlBootstrap;
    measure(call, || {
        let (Some(modinit), Some(symload), Some(compload)) = (modinit, symload, compload) else {
            diagnostic::warn(call.name(), format_args!("one of the functions is null: no component was loaded"));
            return;
        };
        let objects = elf::loaded();
        let sets = load_symbols(&objects, symload);
        let kernel = objects.iter().find(|object| object.contains_code(compload as usize));
        let attach = kernel.and_then(|kernel| attach_function(kernel, evcntattach));
        for (object, sets) in objects.iter().rev().zip(sets) {
            if let Some(modules) = sets.modules.pointers(object).filter(|modules| !modules.is_empty()) {
                // SAFETY: the guest's own function, for its own set.
                unsafe { modinit(modules.as_ptr().cast(), modules.len()) };
            }
            for &component in sets.components.pointers(object).unwrap_or_default() {
                // SAFETY: as above.
                unsafe { compload(component.cast()) };
            }
            let (Some(attach), false) = (attach, kernel.is_some_and(|kernel| core::ptr::eq(kernel, object))) else {
                continue;
            };
            for &setup in sets.sysctls.pointers(object).unwrap_or_default() {
                // SAFETY: this set holds functions of this kind, and never null.
                unsafe { core::mem::transmute::<*const c_void, SysctlSetup>(setup)(core::ptr::null_mut()) };
            }
            for &counter in sets.counters.pointers(object).unwrap_or_default() {
                // SAFETY: the guest's own function, for its own set.
                unsafe { attach(counter.cast_mut().cast()) };
            }
        }
    });
}

/// Hands over the symbols of the guest: of the main program and of every object with `librump` in its path, those whose
/// names are the kernel's. Says where the link sets of each object are, the last one's first: all names are looked at once.
fn load_symbols(objects: &[Object], symload: SymLoad) -> Vec<LinkSets> {
    let is_part = |object: &Object| object.is_main() || object.path().windows(7).any(|part| part == b"librump");
    let parts = objects.iter().filter(|object| is_part(object));
    let (symbols, names) =
        parts.map(Object::symbols_at_most).fold((0, 0), |sum, most| (sum.0 + most.0, sum.1 + most.1));
    let mut table = Table::with_room(symbols, names);
    let mut of_object = |object: &Object| {
        let (mut sets, is_guests) = (LinkSets::default(), is_part(object));
        for symbol in object.symbols(|name| LinkSets::may_be_of(name) || is_guests && is_the_guests(name)) {
            sets.add(&symbol);
            if is_guests {
                table.add(&symbol);
            }
        }
        sets
    };
    let sets = objects.iter().rev().map(&mut of_object).collect();
    if table.is_empty() {
        return sets;
    }
    let (symbols, names) = table.leak();
    // SAFETY: the guest's own function; it may keep both, which stay for ever.
    let error = unsafe {
        symload(symbols.as_mut_ptr().cast(), size_of_val(symbols) as u64, names.as_mut_ptr().cast(), names.len() as u64)
    };
    if error != 0 {
        diagnostic::warn(
            Hypercall::DlBootstrap.name(),
            format_args!("the guest refuses the symbol table: its error {error}"),
        );
    }
    sets
}

/// Whether a name that begins so is the kernel's.
fn is_the_guests(name: &[u8]) -> bool {
    name.starts_with(b"rump") || name.starts_with(b"RUMP") || name.starts_with(b"__")
}

/// The fourth argument, if `kernel` hands one over: it is new enough, and what stands there is its own code. The
/// interface's version number says nothing about it.
fn attach_function(kernel: &Object, argument: *const c_void) -> Option<EvcntAttach> {
    let release = kernel.symbols(|name| name.starts_with(b"rumpns_osrelease\0")).next()?;
    // As long as any release name; shorter ones end with a zero byte.
    // SAFETY: constant bytes of the kernel.
    let release = unsafe { kernel.slice::<u8>(release.address, 16) }?;
    let release = CStr::from_bytes_until_nul(release).ok()?.to_str().ok()?;
    if version_of(release)? < WITH_EVENT_COUNTERS || !kernel.contains_code(argument as usize) {
        return None;
    }
    // SAFETY: code of a kernel that by contract hands over this function.
    Some(unsafe { core::mem::transmute::<*const c_void, EvcntAttach>(argument) })
}

/// `9.99.88`, `10.0_BETA` or the like as numbers.
fn version_of(release: &str) -> Option<[u32; 3]> {
    let mut version = [0; 3];
    let numbers = release.split(|character: char| !character.is_ascii_digit() && character != '.').next()?;
    for (place, number) in version.iter_mut().zip(numbers.split('.')) {
        *place = number.parse().ok()?;
    }
    Some(version)
}

/// Where a link set begins and ends; 0: not known.
#[derive(Clone, Copy, Default)]
struct LinkSet {
    start: usize,
    stop: usize,
}

impl LinkSet {
    /// Its pointers; `None` where `object` has no such set or its ends make no sense.
    fn pointers(self, object: &Object) -> Option<&[*const c_void]> {
        if self.start == 0 || self.stop == 0 {
            return None;
        }
        let bytes = self.stop.checked_sub(self.start)?;
        // SAFETY: pointers have no invalid values; the linker's sets are constant once an object is loaded.
        let pointers = unsafe { object.slice(self.start, bytes / size_of::<*const c_void>()) }?;
        pointers.iter().all(|pointer: &*const c_void| !pointer.is_null()).then_some(pointers)
    }
}

/// The link sets that one object defines itself. (The host's loader would look into the objects that it needs as well,
/// and load their components again.)
#[derive(Default)]
struct LinkSets {
    modules: LinkSet,
    components: LinkSet,
    sysctls: LinkSet,
    counters: LinkSet,
}

impl LinkSets {
    /// Whether a name that begins so may be that of an end. Such names are the guest's, too.
    fn may_be_of(name: &[u8]) -> bool {
        name.starts_with(b"__st")
    }

    /// Takes note of an end.
    fn add(&mut self, symbol: &Symbol<'_>) {
        let name = symbol.name.to_bytes();
        let (set, is_start) = match (name.strip_prefix(b"__start_link_set_"), name.strip_prefix(b"__stop_link_set_")) {
            (Some(set), _) => (set, true),
            (_, Some(set)) => (set, false),
            _ => return,
        };
        let set = match set {
            b"modules" => &mut self.modules,
            b"rump_components" => &mut self.components,
            b"sysctl_funcs" => &mut self.sysctls,
            b"evcnts" => &mut self.counters,
            _ => return,
        };
        *(if is_start { &mut set.start } else { &mut set.stop }) = symbol.address;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases() {
        assert_eq!(version_of("7.99.34"), Some([7, 99, 34]));
        assert_eq!(version_of("9.99.88"), Some([9, 99, 88]));
        assert_eq!(version_of("10.0_BETA"), Some([10, 0, 0]));
        assert_eq!(version_of(""), None);
        assert_eq!(version_of("current"), None);
        let new = |release| version_of(release).is_some_and(|version| version >= WITH_EVENT_COUNTERS);
        assert!(new("9.99.88") && new("10.0") && new("11.99.1"));
        assert!(!new("7.99.34") && !new("9.3") && !new("9.99.51"));
    }

    #[test]
    fn names_of_the_guest() {
        for name in [c"rump_init", c"rumpns_foo", c"RUMP_X", c"__start_link_set_modules"] {
            assert!(is_the_guests(name.to_bytes()), "{name:?}");
        }
        for name in [c"main", c"_init", c"Rump", c""] {
            assert!(!is_the_guests(name.to_bytes()), "{name:?}");
        }
    }
}
