//! Which virtual CPU an lwp is on.
//!
//! The guest knows: `struct lwp` holds a pointer to the `struct cpu_info` of its virtual CPU, which holds a pointer to
//! the lwp that is on it. Where in the two structures, differs from kernel to kernel. So it is learnt by looking: the
//! kernel is asked for the addresses of its virtual CPUs (`cpu_lookup`), and when an lwp has just been scheduled, its
//! words are searched for one of these addresses, and the virtual CPU's words for the lwp's. Whatever was learnt is
//! checked every time that it is used, in both directions; what fails the check is unlearnt.

use core::ffi::{c_uint, c_void};
use core::mem::transmute;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use rumpscope_probes::{Place, Witness, vcpus_are_known};
use std::sync::Mutex;

/// The guest's function that gives the address of a virtual CPU by its index.
pub type CpuLookup = unsafe extern "C" fn(c_uint) -> *mut c_void;

/// Rump kernels are built for at most 256 virtual CPUs.
const MOST_VCPUS: usize = 256;
/// How many words of either structure are searched: two pages. In the kernels known (2016, 2021) the virtual CPU stands
/// among the first words of an lwp, and the lwp up to 2.4 KiB into a virtual CPU.
const SEARCHED_WORDS: usize = 1024;

static LOOKUP: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
/// The guest's count of its virtual CPUs, where it exports one.
static COUNT: AtomicPtr<libc::c_int> = AtomicPtr::new(ptr::null_mut());
/// Addresses of the virtual CPUs, by index; null: not known (yet).
static VCPUS: [AtomicPtr<c_void>; MOST_VCPUS] = [const { AtomicPtr::new(ptr::null_mut()) }; MOST_VCPUS];
static KNOWN_VCPUS: AtomicUsize = AtomicUsize::new(0);
static LEARNING: Mutex<()> = Mutex::new(());

/// Searches that found nothing, in a row.
static VAIN: AtomicU32 = AtomicU32::new(0);
/// So many are made one after the other, because a kernel that boots can be found a moment later; after that, one in so
/// many: a search takes microseconds, and a guest of an unknown form would pay for it with every wait.
const VAIN_IN_A_ROW: u32 = 1024;

/// Where the two pointers stand, packed so that they change together:
/// ```text
/// 63       32 31                              16 15                              0
/// |    0     | word of the lwp in the vCPU + 1  | word of the vCPU in the lwp + 1  |    0: not learnt
/// ```
static FIELDS: AtomicUsize = AtomicUsize::new(0);

/// Looks for the kernel's own functions among the dynamic symbols of the process; whether it can be asked.
pub fn find_lookup() -> bool {
    // SAFETY: dlsym has no preconditions beyond a terminated name.
    let lookup = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"rumpns_cpu_lookup".as_ptr()) };
    // SAFETY: as above.
    let count = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"rumpns_ncpu".as_ptr()) };
    if lookup.is_null() || count.is_null() {
        return false;
    }
    COUNT.store(count.cast(), Ordering::Release);
    LOOKUP.store(lookup, Ordering::Release);
    true
}

/// Takes the guest's own function; it answers null beyond the last virtual CPU.
pub fn set_lookup(lookup: CpuLookup) {
    // Release: nothing else is needed to use it, but the pointer comes from another thread's code.
    LOOKUP.store(lookup as *mut c_void, Ordering::Release);
}

/// Whether the guest is known to have several.
pub fn are_several() -> bool {
    // Relaxed, here and below: a number by itself.
    let count = COUNT.load(Ordering::Relaxed);
    if count.is_null() {
        return KNOWN_VCPUS.load(Ordering::Relaxed) > 1;
    }
    // SAFETY: the guest's own variable. Volatile: it grows while the guest boots.
    unsafe { count.read_volatile() > 1 }
}

/// The place of `lwp`, which has just been scheduled; the moment to learn. Likely, it is on the virtual CPU with index
/// `likely`.
#[inline]
pub fn scheduled(lwp: *mut c_void, likely: Option<u16>) -> Place {
    if lwp.is_null() {
        return Place::Unknown;
    }
    match look(lwp, likely) {
        Some(Seen { witness, on_it: true }) => witness.place,
        _ => learn(lwp).map_or(Place::Unknown, Place::Vcpu),
    }
}

/// The place of `lwp`, which may be on a virtual CPU or not; with a witness where it does not change unnoticed: the two
/// pointers of lwp and virtual CPU to each other, or that nothing has been learnt yet.
pub fn place(lwp: *mut c_void) -> (Place, Option<Witness>) {
    // Relaxed: as in `look`.
    if FIELDS.load(Ordering::Relaxed) == 0 {
        // Nobody's is known until that changes: a kernel makes thousands of hypercalls before it schedules anybody.
        let witness = Witness { place: Place::Unknown, word: FIELDS.as_ptr(), value: 0, home: ptr::null(), homed: 0 };
        return (Place::Unknown, Some(witness));
    }
    // An lwp that has never been scheduled points to no virtual CPU, and no virtual CPU points to one that is off.
    match if lwp.is_null() { None } else { look(lwp, None) } {
        Some(Seen { witness, on_it: true }) => (witness.place, Some(witness)),
        Some(Seen { witness, on_it: false }) => (Place::OffCpu, Some(witness)),
        None => (Place::OffCpu, None),
    }
}

/// What the two structures say of an lwp that has been on a virtual CPU.
struct Seen {
    /// Its place is that virtual CPU.
    witness: Witness,
    /// Whether the lwp is on it.
    on_it: bool,
}

/// The virtual CPU that `lwp` is on, or was on last, by what has been learnt. The one with the index that is `likely` is
/// tried first.
#[inline]
fn look(lwp: *mut c_void, likely: Option<u16>) -> Option<Seen> {
    // Relaxed: the two positions are one value; the structures themselves are the guest's and old.
    let fields = FIELDS.load(Ordering::Relaxed);
    let in_lwp = (fields as u16).checked_sub(1)?;
    let in_vcpu = ((fields >> 16) as u16).checked_sub(1)?;
    // SAFETY: when it was learnt, the same kind of structure had its pointer there; all lwps are of one size. The
    // guest keeps an lwp while a thread runs it.
    let home = unsafe { lwp.cast::<*mut c_void>().add(usize::from(in_lwp)) };
    // SAFETY: as above.
    let vcpu = unsafe { home.read_volatile() };
    let is_likely = |index: &u16| {
        // Relaxed: the thread has been on it, so its address is in place; nothing is read through it but as below.
        VCPUS.get(usize::from(*index)).is_some_and(|likely| likely.load(Ordering::Relaxed) == vcpu) && !vcpu.is_null()
    };
    let index = likely.filter(is_likely).or_else(|| index_of(vcpu))?;
    // SAFETY: `vcpu` is one of the addresses that the guest gave, and virtual CPUs are never freed.
    let word = unsafe { vcpu.cast::<usize>().add(usize::from(in_vcpu)) };
    // SAFETY: as above.
    let on_it = unsafe { word.read_volatile() } == lwp.addr();
    // The guest changes the lwp's pointer when it puts it on another virtual CPU, first, and at no other time.
    let (value, homed) = (lwp.addr(), vcpu.addr());
    Some(Seen { witness: Witness { place: Place::Vcpu(index), word, value, home: home.cast(), homed }, on_it })
}

fn index_of(vcpu: *mut c_void) -> Option<u16> {
    if vcpu.is_null() {
        return None;
    }
    // Acquire: pairs with the store in `ask_for_vcpus`; the addresses below the count are in place.
    let known = KNOWN_VCPUS.load(Ordering::Acquire);
    // Relaxed: see above.
    VCPUS.iter().take(known).position(|known| known.load(Ordering::Relaxed) == vcpu).map(|index| index as u16)
}

/// Learns from `lwp`, which is on a virtual CPU, unless that has been tried in vain too often.
#[cold]
fn learn(lwp: *mut c_void) -> Option<u16> {
    // Relaxed, here and below: only a count.
    let vain = VAIN.fetch_add(1, Ordering::Relaxed);
    if vain >= VAIN_IN_A_ROW && !vain.is_multiple_of(VAIN_IN_A_ROW) {
        return None;
    }
    // Somebody else is learning: this transition is not attributed, the next one will be.
    let _learning = LEARNING.try_lock().ok()?;
    let found = search(lwp)?;
    VAIN.store(0, Ordering::Relaxed);
    Some(found)
}

/// Searches both structures.
fn search(lwp: *mut c_void) -> Option<u16> {
    ask_for_vcpus();
    // Acquire: as in `index_of`.
    if KNOWN_VCPUS.load(Ordering::Acquire) == 0 {
        return None;
    }
    let words = readable_words(lwp);
    for (in_lwp, &word) in words.iter().enumerate() {
        let vcpu = word as *mut c_void;
        let Some(index) = index_of(vcpu) else { continue };
        if let Some(in_vcpu) = readable_words(vcpu).iter().position(|&word| word == lwp as usize) {
            // Relaxed: one value, see `look`.
            FIELDS.store((in_vcpu + 1) << 16 | (in_lwp + 1), Ordering::Relaxed);
            vcpus_are_known();
            return Some(index);
        }
    }
    None
}

/// Asks the guest for its virtual CPUs; they can become more while it boots.
fn ask_for_vcpus() {
    // Acquire: pairs with the stores above.
    let lookup = LOOKUP.load(Ordering::Acquire);
    if lookup.is_null() {
        return;
    }
    // SAFETY: only functions of this type are stored.
    let lookup = unsafe { transmute::<*mut c_void, CpuLookup>(lookup) };
    // SAFETY: null, or the guest's own variable.
    let count = unsafe { COUNT.load(Ordering::Acquire).as_ref() };
    let most = count.map_or(MOST_VCPUS, |count| usize::try_from(*count).unwrap_or(0).min(MOST_VCPUS));
    let mut known = 0;
    for (index, slot) in VCPUS.iter().enumerate().take(most) {
        // SAFETY: the guest's own function; an index below its count is valid, and one that says its own end may be
        // asked for any.
        let vcpu = unsafe { lookup(index as c_uint) };
        if vcpu.is_null() {
            break;
        }
        slot.store(vcpu, Ordering::Relaxed);
        known = index + 1;
    }
    // Release: the addresses below the count are in place.
    KNOWN_VCPUS.fetch_max(known, Ordering::Release);
}

/// As many of the first words at `address` as there are: the structure may be shorter than what is searched, and end
/// where the mapping ends. The host is asked to copy, since it does not fault.
fn readable_words(address: *mut c_void) -> Vec<usize> {
    let mut words = vec![0usize; SEARCHED_WORDS];
    let local = libc::iovec { iov_base: words.as_mut_ptr().cast(), iov_len: SEARCHED_WORDS * size_of::<usize>() };
    let remote = libc::iovec { iov_base: address, iov_len: local.iov_len };
    // SAFETY: writes at most the vector's length to it; an unreadable `remote` is an error or a short count.
    let copied = unsafe { libc::process_vm_readv(libc::getpid(), &local, 1, &remote, 1, 0) };
    words.truncate(usize::try_from(copied).unwrap_or(0) / size_of::<usize>());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C)]
    struct Lwp {
        before: [usize; 5],
        cpu: *mut Cpu,
    }

    #[repr(C)]
    struct Cpu {
        before: [usize; 2],
        lwp: *mut Lwp,
    }

    static CPUS: [AtomicPtr<c_void>; 2] = [const { AtomicPtr::new(ptr::null_mut()) }; 2];

    unsafe extern "C" fn lookup(index: c_uint) -> *mut c_void {
        CPUS.get(index as usize).map_or(ptr::null_mut(), |cpu| cpu.load(Ordering::Relaxed))
    }

    #[test]
    fn the_fields_are_learnt_and_checked() {
        let mut cpus = [0, 1].map(|_| Box::new(Cpu { before: [7; 2], lwp: ptr::null_mut() }));
        let mut lwp = Box::new(Lwp { before: [3; 5], cpu: ptr::null_mut() });
        for (slot, cpu) in CPUS.iter().zip(&mut cpus) {
            slot.store(ptr::from_mut(&mut **cpu).cast(), Ordering::Relaxed);
        }
        let address = ptr::from_mut(&mut *lwp).cast::<c_void>();
        assert_eq!(scheduled(address, None), Place::Unknown);
        set_lookup(lookup);
        let vain = (0..2 * VAIN_IN_A_ROW).filter(|_| scheduled(address, Some(0)) == Place::Unknown).count();
        assert_eq!(vain, 2 * VAIN_IN_A_ROW as usize, "the lwp points nowhere");
        lwp.cpu = &mut *cpus[1];
        cpus[1].lwp = &mut *lwp;
        assert!((0..VAIN_IN_A_ROW).any(|_| scheduled(address, None) == Place::Vcpu(1)), "it is looked for again");
        assert!(are_several());
        assert_eq!([Some(0), Some(1), Some(2)].map(|likely| scheduled(address, likely)), [Place::Vcpu(1); 3]);
        cpus[1].lwp = ptr::null_mut();
        let (seen, witness) = place(address);
        let witness = witness.expect("a witness of where it would be");
        assert_eq!((seen, witness.place, witness.value), (Place::OffCpu, Place::Vcpu(1), address.addr()));
        lwp.cpu = &mut *cpus[0];
        cpus[0].lwp = &mut *lwp;
        assert_eq!(scheduled(address, Some(1)), Place::Vcpu(0));
        let (seen, witness) = place(address);
        let witness = witness.expect("a witness");
        assert_eq!((seen, witness.value), (Place::Vcpu(0), address.addr()));
        assert_eq!(witness.word, ptr::from_ref(&cpus[0].lwp).cast());
        assert_eq!((witness.home, witness.homed), (ptr::from_ref(&lwp.cpu).cast(), lwp.cpu.addr()));
        assert_eq!(lwp.before[0] + cpus[0].before[0], 10);
    }
}
