//! What the guest may ask about its configuration.

use super::cpus;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

/// Virtual CPUs where nobody says how many.
pub const DEFAULT_CPUS: usize = 2;

/// The environment variable with the number of virtual CPUs: a number, or `host`.
pub const CPUS_VARIABLE: &str = "RUMP_NCPU";

/// More than any rump kernel is built for (256), and few enough to hold in a guest's `int`.
const MOST_CPUS: usize = 65_535;

/// Why the number of virtual CPUs is not what was asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct NotANumberOfCpus;

/// The number of virtual CPUs that `setting` asks for: as many as the process may use of the host for `host`, the
/// default for none.
///
/// # Errors
/// The setting is neither `host` nor a number from 1 to 65,535.
pub fn cpus(setting: Option<OsString>) -> Result<usize, NotANumberOfCpus> {
    let Some(setting) = setting else {
        return Ok(DEFAULT_CPUS);
    };
    match setting.to_str().map(str::trim) {
        Some("host") => Ok(cpus::available()),
        Some(number) => match number.parse() {
            Ok(number @ 1..=MOST_CPUS) => Ok(number),
            _ => Err(NotANumberOfCpus),
        },
        None => Err(NotANumberOfCpus),
    }
}

/// A name for the guest: `rump-`, this process's number (five digits at least), a dot and the host's name.
pub fn guest_name() -> String {
    let mut name = [0u8; 256];
    // SAFETY: the host writes at most the size given.
    let failed = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len()) };
    let own = format!("rump-{:05}", std::process::id());
    match core::ffi::CStr::from_bytes_until_nul(&name) {
        Ok(host) if failed == 0 && !host.is_empty() => format!("{own}.{}", host.to_string_lossy()),
        _ => own,
    }
}

/// The environment variable `name`, where the guest may have it: only names that begin with `RUMP`. Everything that a
/// rump kernel asks for has such a name; the rest of the environment (keys and tokens among it) is none of its
/// business.
pub fn environment(name: &[u8]) -> Option<OsString> {
    if !name.starts_with(b"RUMP") || name.contains(&b'=') {
        return None;
    }
    std::env::var_os(std::ffi::OsStr::from_bytes(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_of_cpus() {
        let cpus = |text: &str| cpus(Some(text.into()));
        assert_eq!(super::cpus(None), Ok(DEFAULT_CPUS));
        assert_eq!(cpus("7"), Ok(7));
        assert_eq!(cpus(" 7\n"), Ok(7));
        assert_eq!(cpus("host"), Ok(cpus::available()));
        for garbage in ["", "0", "-1", "two", "2x", "65536", &"9".repeat(5000)] {
            assert_eq!(cpus(garbage), Err(NotANumberOfCpus), "{garbage:.10}");
        }
    }

    #[test]
    fn a_guest_has_the_host_and_process_in_its_name() {
        let name = guest_name();
        assert!(name.starts_with(&format!("rump-{:05}", std::process::id())), "{name}");
    }

    #[test]
    fn only_variables_of_rump_kernels() {
        assert!(std::env::var_os("PATH").is_some());
        assert_eq!(environment(b"PATH"), None);
        assert_eq!(environment(b"RUMP_NOT_SET_ANYWHERE"), None);
        assert_eq!(environment(b"RUMP=x"), None);
        assert_eq!(environment(b""), None);
    }
}
