//! What a kernel's loader is given, by kernels of different ages. The kernels and the component are small objects that a
//! C compiler makes.
#![cfg(not(loom))]

use rumpuser::abi::loader::rumpuser_dl_bootstrap;
use std::ffi::{CStr, CString, c_int, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Link sets as a linker would collect them, with ends that the host's loader can see.
const SETS: &str = r#"
#define SET(name, members) \
    __asm__(".pushsection .data.rel.sets, \"aw\"\n.balign 8\n.globl __start_link_set_" name "\n" \
            "__start_link_set_" name ":\n.quad " members "\n.globl __stop_link_set_" name "\n" \
            "__stop_link_set_" name ":\n.popsection\n")
"#;

const KERNEL: &str = r#"
const char rumpns_osrelease[] = RELEASE;
int symbols, modules, components, counters;
int symload(void *table, unsigned long size, char *names, unsigned long length) { symbols++; return 0; }
void modinit(void *const *list, unsigned long count) { modules += count; }
void compload(const void *component) { components++; }
void attach(void *counter) { counters++; }
static int own[1];
SET("evcnts", "own");
"#;

const COMPONENT: &str = r#"
static int things[6];
int setups;
static void setup(void **log) { setups += log == 0; }
static void (*used)(void **) __attribute__((used)) = setup;
SET("modules", "things, things+4");
SET("rump_components", "things+8");
SET("evcnts", "things+12, things+16");
SET("sysctl_funcs", "setup, setup, setup");
"#;

struct Loaded(*mut c_void);

impl Loaded {
    fn build(folder: &Path, name: &str, source: &str, release: &str) -> Self {
        let (input, output) = (folder.join(format!("{name}.c")), folder.join(format!("lib{name}.so")));
        std::fs::write(&input, format!("{SETS}{source}")).expect("written");
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let made = Command::new(compiler)
            .args(["-shared", "-fPIC", "-o"])
            .arg(&output)
            .arg(&input)
            .arg(format!("-DRELEASE=\"{release}\""))
            .status();
        assert!(made.expect("a C compiler").success());
        let path = CString::new(output.to_str().expect("text")).expect("no zero byte");
        // SAFETY: an object of ours, without constructors.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!handle.is_null());
        Loaded(handle)
    }

    fn address(&self, name: &CStr) -> *mut c_void {
        // SAFETY: a lookup in a loaded object.
        let address = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        assert!(!address.is_null(), "{name:?}");
        address
    }

    fn number(&self, name: &CStr) -> c_int {
        // SAFETY: the names asked for are those of integers.
        unsafe { self.address(name).cast::<c_int>().read() }
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // SAFETY: opened by `build`; nothing of it is used any more.
        unsafe { libc::dlclose(self.0) };
    }
}

/// Boots a kernel of `release` beside the component, and returns (symbol tables, modules, components, event counters,
/// `sysctl` set-ups). `fourth` picks what the kernel's fourth argument is.
fn boot(release: &str, fourth: impl FnOnce(&Loaded) -> *const c_void) -> [c_int; 5] {
    let number = std::thread::current().id();
    let folder: PathBuf = std::env::temp_dir().join(format!("rumpscope-loader-{}-{number:?}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let kernel = Loaded::build(&folder, "rump", KERNEL, release);
    let component = Loaded::build(&folder, "rumpcomponent", COMPONENT, release);
    // SAFETY: functions of these types, see KERNEL.
    unsafe {
        rumpuser_dl_bootstrap(
            core::mem::transmute::<*mut c_void, Option<rumpuser::abi::loader::ModInit>>(kernel.address(c"modinit")),
            core::mem::transmute::<*mut c_void, Option<rumpuser::abi::loader::SymLoad>>(kernel.address(c"symload")),
            core::mem::transmute::<*mut c_void, Option<rumpuser::abi::loader::CompLoad>>(kernel.address(c"compload")),
            fourth(&kernel),
        );
    }
    let _ = std::fs::remove_dir_all(folder);
    let given = [c"symbols", c"modules", c"components", c"counters"].map(|name| kernel.number(name));
    let [symbols, modules, components, counters] = given;
    [symbols, modules, components, counters, component.number(c"setups")]
}

/// One test: all objects of a process are the kernel's that boots.
#[test]
fn new_kernels_get_event_counters_and_old_ones_do_not() {
    let attach = |kernel: &Loaded| kernel.address(c"attach").cast_const();
    assert_eq!(boot("9.99.88", attach), [1, 2, 1, 2, 3], "the kernel's own counter is its own business");
    assert_eq!(boot("10.1", attach), [1, 2, 1, 2, 3]);
    // In an old kernel the register may hold anything: an address in the midst of its code, for instance.
    assert_eq!(boot("7.99.34", |kernel| attach(kernel).wrapping_byte_add(3)), [1, 2, 1, 0, 0]);
    assert_eq!(boot("9.99.88", |_| core::ptr::null()), [1, 2, 1, 0, 0], "a new kernel that gives none");
    assert_eq!(boot("9.99.88", |_| core::ptr::without_provenance(8)), [1, 2, 1, 0, 0]);
    assert_eq!(boot("nonsense", attach), [1, 2, 1, 0, 0]);
}
