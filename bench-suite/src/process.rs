//! A process that measures: this program again, on a library in a timing mode. Both are a process's own for as long as
//! it lives.

use rumpscope_probes::reader::Segment;
use rumpscope_probes::{ClockSource, ENV_SEGMENT, ENV_SWITCH, ENV_TIMING, Mode, own_folder, segment_folder};
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A measuring process came to no result.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// It could not be started.
    #[error("cannot start {program} to measure in: {reason}")]
    Start {
        /// What was to be started.
        program: PathBuf,
        /// Why not.
        reason: io::Error,
    },
    /// It failed.
    #[error("{library} could not be measured: {reason}")]
    Run {
        /// On what.
        library: PathBuf,
        /// What it said.
        reason: String,
    },
}

impl Failed {
    /// `library` could not be measured for this reason.
    pub(crate) fn of(library: &Path, reason: &dyn fmt::Display) -> Self {
        Failed::Run { library: library.to_owned(), reason: reason.to_string() }
    }
}

/// How many processes there have been: each has a segment of its own.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A process that is about to be started.
pub(crate) struct Process {
    env: Vec<(String, String)>,
    segment: PathBuf,
}

impl Process {
    /// One whose library measures in `mode`, if it has timing modes.
    pub(crate) fn timing(mode: Option<Mode>) -> Self {
        Self::new(mode.map(|mode| (ENV_TIMING.to_owned(), mode.name().to_owned())))
    }

    /// One that finds this in its environment, beside what this one does, less what concerns its profile.
    pub(crate) fn new(env: impl IntoIterator<Item = (String, String)>) -> Self {
        // Where the library would make it, too: in memory. A folder that cannot be made costs the profile, which is told.
        let folder = segment_folder();
        let _ = own_folder(&folder);
        // Relaxed: every number is taken once.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let env = env.into_iter().collect();
        Process { env, segment: folder.join(format!("measuring-{}-{number}", std::process::id())) }
    }

    /// Runs this program with `arguments`, of which the second names the library, under `tool` if that is not empty. What
    /// it wrote to standard output.
    ///
    /// # Errors
    /// When it cannot be started or fails.
    pub(crate) fn run(&self, tool: &[OsString], arguments: [OsString; 3]) -> Result<Vec<u8>, Failed> {
        let this =
            std::env::current_exe().map_err(|reason| Failed::Start { program: "this program".into(), reason })?;
        let words: Vec<OsString> = tool.iter().cloned().chain([this.into_os_string()]).collect();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(&arguments).stdin(Stdio::null()).env_remove(ENV_SWITCH).env_remove(ENV_TIMING);
        command.envs(self.env.iter().cloned()).env(ENV_SEGMENT, &self.segment);
        let start = |reason| Failed::Start { program: PathBuf::from(&words[0]), reason };
        let output = command.output().map_err(start)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let reason = format!("{}: {}", output.status, said.trim_end());
        Err(Failed::of(Path::new(&arguments[1]), &reason))
    }

    /// The clock that its library read; `None`: it read none.
    pub(crate) fn clock(&self) -> Option<ClockSource> {
        let snapshot = Segment::open(&self.segment).ok()?.snapshot().ok()?;
        Some(snapshot.clock.source)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.segment);
    }
}
