//! The machine on which was measured.

use serde::{Deserialize, Serialize};
use std::ffi::CStr;

/// What a reader must know of a host to judge a number measured on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Operating system, release and machine, as in `Linux 6.12.0 x86_64`.
    pub system: String,
    /// The processor's name for itself; empty where it has none.
    pub processor: String,
    /// The processors that this process may use.
    pub cores: usize,
}

impl Host {
    /// The machine that this runs on.
    pub fn this() -> Self {
        Host {
            system: system(),
            processor: processor().unwrap_or_default(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

fn system() -> String {
    // SAFETY: all bytes zero is a valid `utsname`; `uname` fills it with strings that end.
    let names = unsafe {
        let mut names: libc::utsname = std::mem::zeroed();
        libc::uname(&mut names);
        names
    };
    [&names.sysname, &names.release, &names.machine]
        // SAFETY: zeroed above, and where `uname` wrote it wrote the final zero too.
        .map(|name| unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned())
        .join(" ")
}

fn processor() -> Option<String> {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
