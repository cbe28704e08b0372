//! The guest and its process: `rumpuser_getparam`, `seterrno`, `kill`, `exit`, `getrandom`.

use super::argument::{invalid, pointer, string};
use super::result;
use super::seam::{self, forward};
use super::types::{EXIT_PANIC, KILL_SELF, param, random};
use crate::host::errno::Errno;
use crate::host::{console, diagnostic, parameter, signal};
use libc::{c_char, c_int, c_void};
use rumpscope_probes::{Hypercall, measure};

/// Writes the value of parameter `name`, a string with its zero byte, to `buffer`.
///
/// `_RUMPUSER_NCPU` is the number of virtual CPUs, `_RUMPUSER_HOSTNAME` a name for the guest; names that begin with
/// `RUMP` are environment variables. Others are ENOENT: a guest has no business with the rest of the environment.
/// E2BIG where the buffer is too small; nothing is written then.
///
/// # Safety
/// `name` is null or a string; `buffer` is null or valid for writes of `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_getparam(name: *const c_char, buffer: *mut c_void, size: usize) -> c_int {
    forward!(Hypercall::Getparam, getparam(name, buffer, size));
    let call = Hypercall::Getparam;
    measure(call, || {
        let ask = || {
            let buffer = pointer(call, "buffer", buffer)?;
            // SAFETY: the caller's promise.
            let name = unsafe { string(call, "name", name) }?;
            let value = value_of(name.to_bytes()).ok_or(Errno(libc::ENOENT))?;
            if value.len() >= size {
                return Err(Errno(libc::E2BIG));
            }
            let buffer = buffer.cast::<u8>();
            // SAFETY: valid for `size` bytes, as the caller promises; the value and its zero byte are not more.
            unsafe {
                buffer.copy_from_nonoverlapping(core::ptr::NonNull::from(value.as_slice()).cast(), value.len());
                buffer.add(value.len()).write(0);
            }
            Ok(())
        };
        result(ask())
    })
}

fn value_of(name: &[u8]) -> Option<Vec<u8>> {
    if name == param::NCPU.as_bytes() {
        return Some(number_of_cpus().to_string().into_bytes());
    }
    if name == param::HOSTNAME.as_bytes() {
        return Some(parameter::guest_name().into_bytes());
    }
    parameter::environment(name).map(|value| value.into_encoded_bytes())
}

fn number_of_cpus() -> usize {
    let setting = std::env::var_os(parameter::CPUS_VARIABLE);
    parameter::cpus(setting.clone()).unwrap_or_else(|parameter::NotANumberOfCpus| {
        let setting = setting.unwrap_or_default();
        let shown: String = setting.to_string_lossy().chars().take(40).collect();
        diagnostic::warn(
            Hypercall::Getparam.name(),
            format_args!(
                "{} is \"{shown}\", neither \"host\" nor a number of virtual CPUs; taking {}",
                parameter::CPUS_VARIABLE,
                parameter::DEFAULT_CPUS,
            ),
        );
        parameter::DEFAULT_CPUS
    })
}

/// Sets the `errno` of the calling client thread to the result of its system call: a number of NetBSD's, as it is. A
/// client compares it with the numbers of the guest's headers.
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_seterrno(error: c_int) {
    measure(Hypercall::Seterrno, || ());
    // Last: setting up a counter may call the host.
    if let Some(library) = seam::external() {
        // SAFETY: any number is right.
        return unsafe { (library.seterrno)(error) };
    }
    // SAFETY: the calling thread's own.
    unsafe { *libc::__errno_location() = error };
}

/// Sends NetBSD's signal `number` to guest process `process`; -1 is the caller's own. 0 only asks whether there is one.
///
/// The kernel names processes by *its* numbers. Those that are not remote clients all live in this host process, so
/// this is where the signal goes, whatever the number: a host process with that number is some stranger.
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_kill(process: i64, number: c_int) -> c_int {
    forward!(Hypercall::Kill, kill(process, number));
    let call = Hypercall::Kill;
    measure(call, || {
        let send = || {
            if process < KILL_SELF {
                return Err(invalid(call, format_args!("there are no process groups: {process}")));
            }
            if number == 0 {
                return Ok(());
            }
            let signal = signal::from_netbsd(number).ok_or_else(|| {
                invalid(call, format_args!("this host has no counterpart of NetBSD's signal {number}"))
            })?;
            signal::send_to_self(signal)
        };
        result(send())
    })
}

/// Ends the process: with `status` and all exit handlers, or, where that is [`EXIT_PANIC`], by an abort.
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_exit(status: c_int) -> ! {
    measure(Hypercall::Exit, || ());
    rumpscope_probes::guest_ended();
    if let Some(library) = seam::external() {
        // SAFETY: the guest asked for it.
        unsafe { (library.exit)(status) }
    }
    console::flush();
    if status == EXIT_PANIC {
        diagnostic::fatal(Hypercall::Exit.name(), format_args!("the guest panicked"));
    }
    // SAFETY: the guest asked for it.
    unsafe { libc::exit(status) }
}

/// Fills `buffer` with `size` random bytes and stores how many there are.
///
/// `flags` are made of the bits in [`random`]. This host has one generator of seed quality, so [`random::HARD`] changes
/// nothing. With [`random::NOWAIT`] a generator that is not seeded yet (in the first seconds of the machine) is EAGAIN.
///
/// # Safety
/// `buffer` is null or valid for writes of `size` bytes; `bytes` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_getrandom(
    buffer: *mut c_void,
    size: usize,
    flags: c_int,
    bytes: *mut usize,
) -> c_int {
    forward!(Hypercall::Getrandom, getrandom(buffer, size, flags, bytes));
    let call = Hypercall::Getrandom;
    measure(call, || {
        let fill = || {
            let bytes = pointer(call, "bytes", bytes)?;
            let buffer = pointer(call, "buffer", buffer)?;
            if flags & !(random::HARD | random::NOWAIT) != 0 || size > isize::MAX as usize {
                return Err(invalid(call, format_args!("{size} bytes, flags {flags:#x}")));
            }
            // SAFETY: valid for `size` bytes, as the caller promises.
            let buffer = unsafe { core::slice::from_raw_parts_mut(buffer.as_ptr().cast(), size) };
            let filled = crate::host::random::fill(buffer, flags & random::NOWAIT == 0)?;
            // SAFETY: not null, so valid, as the caller promises.
            unsafe { bytes.write(filled) };
            Ok(())
        };
        result(fill())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn getparam(name: &core::ffi::CStr, size: usize) -> Result<String, c_int> {
        let mut buffer = vec![0xffu8; size.max(1)];
        // SAFETY: at least `size` long.
        match unsafe { rumpuser_getparam(name.as_ptr(), buffer.as_mut_ptr().cast(), size) } {
            0 => {
                let value = core::ffi::CStr::from_bytes_until_nul(&buffer).expect("a zero byte");
                Ok(value.to_str().expect("text").to_owned())
            }
            error => {
                assert!(buffer.iter().all(|&byte| byte == 0xff), "written in spite of an error");
                Err(error)
            }
        }
    }

    #[test]
    fn parameters() {
        let cpus = getparam(c"_RUMPUSER_NCPU", 64).expect("always there");
        assert!(cpus.parse::<usize>().expect("a number") >= 1);
        let name = getparam(c"_RUMPUSER_HOSTNAME", 256).expect("always there");
        assert!(name.starts_with("rump-"));
        assert_eq!(getparam(c"_RUMPUSER_HOSTNAME", name.len() + 1), Ok(name.clone()));
        assert_eq!(getparam(c"_RUMPUSER_HOSTNAME", name.len()), Err(7), "no room for the zero byte");
        assert_eq!(getparam(c"_RUMPUSER_NCPU", 0), Err(7));
        assert_eq!(getparam(c"_RUMPUSER_OTHER", 64), Err(2));
        assert_eq!(getparam(c"PATH", 4096), Err(2));
    }

    #[test]
    fn errno_is_set_as_it_is() {
        // SAFETY: no preconditions.
        unsafe { rumpuser_seterrno(78) };
        assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(78));
    }

    #[test]
    fn signals_that_cannot_be_sent() {
        // SAFETY: no preconditions; none of these sends anything.
        unsafe {
            assert_eq!(rumpuser_kill(KILL_SELF, 0), 0);
            assert_eq!(rumpuser_kill(1, 0), 0);
            assert_eq!(rumpuser_kill(KILL_SELF, 7), 22, "SIGEMT");
            assert_eq!(rumpuser_kill(KILL_SELF, 64), 22);
            assert_eq!(rumpuser_kill(-2, 1), 22);
        }
    }

    #[test]
    fn randomness() {
        let (mut buffer, mut bytes) = ([0u8; 1000], 0);
        let start = buffer.as_mut_ptr().cast();
        // SAFETY: a buffer of 1000 bytes, or null.
        unsafe {
            assert_eq!(rumpuser_getrandom(start, 1000, random::HARD | random::NOWAIT, &mut bytes), 0);
            assert_eq!(bytes, 1000);
            assert_eq!(rumpuser_getrandom(start, 1000, 4, &mut bytes), 22);
            assert_eq!(rumpuser_getrandom(core::ptr::null_mut(), 1000, 0, &mut bytes), 14);
        }
        assert!(buffer[900..].iter().any(|&byte| byte != 0));
    }
}
