//! Thread-local storage at a load's price.
//!
//! `thread_local!` in a shared object goes through `__tls_get_addr`, a call of some nanoseconds, on every access. The
//! hypercall path cannot pay that, and stable Rust has no way to ask for the initial-exec model. So the few bytes that
//! the path needs are defined in assembly and reached through the thread pointer: one load for the offset, which the
//! linker turns into a constant in a static program. It needs no initialisation and has no destructor; what must be
//! cleaned up when a thread ends is registered by the slow path that fills it.
//!
//! A library with initial-exec storage takes its room from the static TLS block. Loaded at start (as a dependency or
//! preloaded) there is no limit; under `dlopen` glibc keeps about 1.6 KiB in reserve for such libraries, so users of
//! the macro keep to a few hundred bytes together.

/// Defines a function `$name() -> *mut $type` that returns the address of a zero-initialised thread-local `$type`.
///
/// `$type` must be valid when all its bytes are zero, needs no drop, and is at most 64-byte aligned. `$symbol` must be
/// unique in the program; it is hidden from other objects.
#[macro_export]
macro_rules! initial_exec {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident() -> *mut $type:ty = $symbol:literal) => {
        #[cfg(all(target_arch = "x86_64", target_os = "linux", not(any(miri, loom))))]
        core::arch::global_asm!(
            ".pushsection .tbss,\"awT\",@nobits",
            ".balign 64",
            concat!(".hidden ", $symbol),
            concat!(".globl ", $symbol),
            concat!(".type ", $symbol, ", @object"),
            concat!(".size ", $symbol, ", {size}"),
            concat!($symbol, ":"),
            ".zero {size}",
            ".popsection",
            size = const core::mem::size_of::<$type>(),
        );

        $(#[$meta])*
        #[inline(always)]
        #[cfg(all(target_arch = "x86_64", target_os = "linux", not(any(miri, loom))))]
        $visibility fn $name() -> *mut $type {
            const { assert!(core::mem::align_of::<$type>() <= 64 && !core::mem::needs_drop::<$type>()) };
            let address: *mut $type;
            // SAFETY: reads the thread pointer and a linker-filled offset; touches no memory that Rust knows of. The
            // result depends only on the current thread, hence `pure`.
            unsafe {
                core::arch::asm!(
                    "mov {address}, qword ptr fs:[0]",
                    concat!("add {address}, qword ptr [rip + ", $symbol, "@GOTTPOFF]"),
                    address = out(reg) address,
                    options(pure, readonly, nostack),
                );
            }
            address
        }

        $(#[$meta])*
        #[inline(always)]
        #[cfg(not(all(target_arch = "x86_64", target_os = "linux", not(any(miri, loom)))))]
        $visibility fn $name() -> *mut $type {
            const { assert!(!core::mem::needs_drop::<$type>()) };
            std::thread_local! {
                static STORAGE: core::cell::UnsafeCell<core::mem::MaybeUninit<$type>> =
                    const { core::cell::UnsafeCell::new(core::mem::MaybeUninit::zeroed()) };
            }
            STORAGE.with(|storage| storage.get().cast())
        }
    };
}
