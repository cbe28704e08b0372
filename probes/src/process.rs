//! Facts about processes, from `/proc`.

use std::fs::File;
use std::io::Read;

/// When the calling process started: field 22 of its `stat`, in clock ticks of the host since boot; 0 if unknown.
pub(crate) fn start_time() -> u64 {
    started("/proc/self/stat").unwrap_or(0)
}

/// The same of process `pid`; `None` when there is none. It is asked of its first thread, which is there as long as the
/// process is: for the process, the host would add up what all of its threads have done.
pub(crate) fn start_time_of(pid: u32) -> Option<u64> {
    started(&format!("/proc/{pid}/task/{pid}/stat"))
}

fn started(path: &str) -> Option<u64> {
    let mut text = [0; 1024];
    let stat = String::from_utf8_lossy(beginning(path, &mut text)?);
    // The second field is the program's name in parentheses and may hold anything, even spaces and parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    // A dead process that nobody has waited for yet does nothing any more.
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    // Field 22 of the whole is the 19th after the state.
    fields.nth(18)?.parse().ok()
}

/// What a file of the host's begins with, which gives it in one piece.
pub(crate) fn beginning<'a>(path: &str, room: &'a mut [u8]) -> Option<&'a [u8]> {
    let length = File::open(path).and_then(|mut file| file.read(room)).ok()?;
    room.get(..length)
}

/// Whether the calling process has privileges that whoever started it may lack (it was started from a set-user-id file, for
/// one). Then its environment is not to be trusted with files.
pub fn is_privileged() -> bool {
    // SAFETY: reads what the host told the process at its start.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// First eight bytes of the host's boot identifier; 0 if unknown.
pub(crate) fn boot() -> u64 {
    let mut room = [0; 64];
    let id = beginning("/proc/sys/kernel/random/boot_id", &mut room);
    id.and_then(|id| id.first_chunk().copied()).map_or(0, u64::from_ne_bytes)
}

/// What runs: the calling process's argument 0, or the file it was started from.
pub(crate) fn program() -> String {
    // Not all C libraries tell a shared object the arguments.
    std::env::args_os().next().map(|name| name.to_string_lossy().into_owned()).unwrap_or_else(|| {
        let arguments = std::fs::read("/proc/self/cmdline").unwrap_or_default();
        let first = arguments.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(first).into_owned()
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_has_a_start_time() {
        assert_ne!(super::start_time(), 0);
        assert_eq!(super::start_time_of(std::process::id()), Some(super::start_time()));
        // Process numbers end at 2^22.
        assert_eq!(super::start_time_of(99_999_999), None);
    }
}
