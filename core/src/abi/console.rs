//! Output: `rumpuser_putchar` to the console, `rumpuser_dprintf` to standard error.

use super::seam::{self, forward};
use crate::external;
use crate::host::console;
use core::ffi::{c_char, c_int, c_void};
use rumpscope_probes::{Hypercall, measure};

/// Writes a character to the console; it shows when its line ends.
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_putchar(character: c_int) {
    forward!(Hypercall::Putchar, putchar(character));
    measure(Hypercall::Putchar, || console::put(character as u8));
}

unsafe extern "C" {
    // The C library's. A `va_list` is handed over as the address of its contents on both machines: it is an array on
    // x86-64, and a structure too large for registers on AArch64.
    fn vdprintf(fd: c_int, format: *const c_char, arguments: *mut c_void) -> c_int;
    // Likewise.
    fn vasprintf(text: *mut *mut c_char, format: *const c_char, arguments: *mut c_void) -> c_int;
}

/// Where [`rumpuser_dprintf`] goes once its arguments are a `va_list`.
unsafe extern "C" fn print(format: *const c_char, arguments: *mut c_void) {
    if let Some(library) = seam::external() {
        // The arguments cannot be passed on, since the other library takes them as they come; but what they make can.
        let mut text = core::ptr::null_mut();
        // SAFETY: the guest's format and the arguments that go with it.
        if unsafe { vasprintf(&mut text, format, arguments) } >= 0 {
            // SAFETY: a format, and the string that it asks for.
            external::forward(Hypercall::Dprintf, || unsafe { (library.dprintf)(c"%s".as_ptr(), text) });
            // SAFETY: made by the successful call above, and used by nobody any more.
            unsafe { libc::free(text.cast()) };
        }
        return;
    }
    measure(Hypercall::Dprintf, || {
        if super::argument::pointer(Hypercall::Dprintf, "format", format).is_ok() {
            // SAFETY: the guest's format and the arguments that go with it.
            unsafe { vdprintf(libc::STDERR_FILENO, format, arguments) };
        }
    });
}

/// Prints to standard error, as `printf` does. Stable Rust calls variadic functions but cannot define one, so these
/// lines do what a C compiler does at the start of one: lay out the registers that may hold arguments, and describe
/// them in a `va_list` (System V ABI for x86-64, 3.5.7).
///
/// # Safety
/// `rdi` is a format, or null, and the arguments are those that it asks for.
#[cfg(target_arch = "x86_64")]
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn rumpuser_dprintf() {
    // From rsp: 0 six general registers, 48 eight vector registers, 176 the va_list { u32 offset of the next general
    // register, u32 offset of the next vector register, pointer to the arguments on the stack, pointer to the
    // registers }, 200 nothing.
    core::arch::naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "sub rsp, 208",
        "mov [rsp], rdi",
        "mov [rsp + 8], rsi",
        "mov [rsp + 16], rdx",
        "mov [rsp + 24], rcx",
        "mov [rsp + 32], r8",
        "mov [rsp + 40], r9",
        // al: at most so many vector registers hold arguments.
        "test al, al",
        "je 2f",
        "movaps [rsp + 48], xmm0",
        "movaps [rsp + 64], xmm1",
        "movaps [rsp + 80], xmm2",
        "movaps [rsp + 96], xmm3",
        "movaps [rsp + 112], xmm4",
        "movaps [rsp + 128], xmm5",
        "movaps [rsp + 144], xmm6",
        "movaps [rsp + 160], xmm7",
        "2:",
        // The format is the first general register's; none of the vector registers is taken.
        "mov dword ptr [rsp + 176], 8",
        "mov dword ptr [rsp + 180], 48",
        // Above the saved rbp and the return address.
        "lea rax, [rbp + 16]",
        "mov [rsp + 184], rax",
        "mov [rsp + 192], rsp",
        "lea rsi, [rsp + 176]",
        "call {print}",
        "leave",
        "ret",
        print = sym print,
    );
}

/// Prints to standard error, as `printf` does. Stable Rust calls variadic functions but cannot define one, so these
/// lines do what a C compiler does at the start of one: lay out the registers that may hold arguments, and describe
/// them in a `va_list` (Procedure Call Standard for AArch64, appendix B).
///
/// # Safety
/// `x0` is a format, or null, and the arguments are those that it asks for.
#[cfg(target_arch = "aarch64")]
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn rumpuser_dprintf() {
    // From sp: 0 eight general registers, 64 eight vector registers, 192 the va_list { pointer to the arguments on the
    // stack, end of the general registers, end of the vector registers, i32 offset of the next from either end }.
    core::arch::naked_asm!(
        "stp x29, x30, [sp, #-16]!",
        "mov x29, sp",
        "sub sp, sp, #224",
        "stp x0, x1, [sp]",
        "stp x2, x3, [sp, #16]",
        "stp x4, x5, [sp, #32]",
        "stp x6, x7, [sp, #48]",
        "stp q0, q1, [sp, #64]",
        "stp q2, q3, [sp, #96]",
        "stp q4, q5, [sp, #128]",
        "stp q6, q7, [sp, #160]",
        "add x9, x29, #16",
        "str x9, [sp, #192]",
        "add x9, sp, #64",
        "str x9, [sp, #200]",
        "add x9, sp, #192",
        "str x9, [sp, #208]",
        // Seven general registers are left after the format, and all vector registers.
        "mov w9, #-56",
        "str w9, [sp, #216]",
        "mov w9, #-128",
        "str w9, [sp, #220]",
        "add x1, sp, #192",
        "bl {print}",
        "mov sp, x29",
        "ldp x29, x30, [sp], #16",
        "ret",
        print = sym print,
    );
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("rumpuser_dprintf needs the layout of this machine's va_list");

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::process::{Command, Stdio};

    /// Set for the child that prints.
    const CHILD: &str = "RUMPSCOPE_TEST_DPRINTF";

    #[test]
    fn arguments_of_all_kinds_arrive() {
        if std::env::var_os(CHILD).is_some() {
            // SAFETY: the same function, with the signature that the guest declares.
            let dprintf: unsafe extern "C" fn(*const c_char, ...) =
                unsafe { core::mem::transmute(rumpuser_dprintf as *const ()) };
            // SAFETY: formats and their arguments.
            unsafe {
                dprintf(c"plain\n".as_ptr());
                dprintf(
                    c"%d %s %lx %u %c %d %d %ld %s\n".as_ptr(),
                    -1 as c_int,
                    c"two".as_ptr(),
                    3u64 << 40,
                    4u32,
                    b'5' as c_int,
                    6 as c_int,
                    7 as c_int,
                    -8i64,
                    c"nine".as_ptr(),
                );
                dprintf(
                    c"%.1f %d %.1f %.1f %.1f %.1f %d %.1f %.1f %.1f %.1f %.1f %d\n".as_ptr(),
                    0.5f64,
                    1 as c_int,
                    1.5f64,
                    2.5f64,
                    3.5f64,
                    4.5f64,
                    2 as c_int,
                    5.5f64,
                    6.5f64,
                    7.5f64,
                    8.5f64,
                    9.5f64,
                    3 as c_int,
                );
                dprintf(core::ptr::null());
            }
            return;
        }
        let name = concat!(module_path!(), "::arguments_of_all_kinds_arrive");
        let name = name.split_once("::").expect("a crate").1;
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", name, "--nocapture", "--test-threads", "1"])
            .env(CHILD, "1")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("runs again");
        let mut printed = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut printed).expect("text");
        assert!(child.wait().expect("ended").success());
        assert_eq!(
            printed,
            "plain\n\
             -1 two 30000000000 4 5 6 7 -8 nine\n\
             0.5 1 1.5 2.5 3.5 4.5 2 5.5 6.5 7.5 8.5 9.5 3\n\
             rumpuser_dprintf: format is a null pointer\n"
        );
    }
}
