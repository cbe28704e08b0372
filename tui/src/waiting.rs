//! Who waited for what, of whatever the command line names.

use crate::cli::SourceArgs;
use crate::{attach, measured};
use anyhow::bail;
use rumpscope_probes::{Mode, Snapshot};
use rumpscope_reports::contention::Waiting;
use rumpscope_reports::symbols::Symbols;
use std::ffi::OsStr;

/// Who waited for what, and in which process.
pub struct Source {
    /// It, with names.
    pub waiting: Waiting,
    /// The number of the process.
    pub pid: u32,
    /// What ran in it.
    pub program: String,
    /// The exit status of the command if nothing fails.
    pub status: i32,
}

/// Looks at `target` or, without one, runs what `args` say; an exit status where that has no profile.
///
/// # Errors
/// When there is nothing to look at, or waits were not recorded.
pub fn of(target: Option<&OsStr>, args: &SourceArgs) -> anyhow::Result<Result<Source, i32>> {
    let (earlier, later, status) = match target {
        Some(target) => {
            let seen = attach::look(target, args.measured.guest.duration)?;
            (seen.earlier, seen.later, 0)
        }
        None => match measured::run(&args.measured)? {
            Ok(measured) => {
                let status = measured.status();
                (None, measured.snapshot, status)
            }
            Err(status) => return Ok(Err(status)),
        },
    };
    if !later.contention.recorded {
        bail!("{}", not_recorded(&later));
    }
    let mut names = Symbols::new(&later.contention.modules);
    let waiting = match &earlier {
        Some(earlier) => Waiting::between(earlier, &later, &mut names),
        None => Waiting::new(&later, &mut names),
    };
    Ok(Ok(Source { waiting, pid: later.process.pid, program: later.process.program, status }))
}

fn not_recorded(snapshot: &Snapshot) -> String {
    let pid = snapshot.process.pid;
    match snapshot.mode {
        Mode::Off | Mode::Counts => format!(
            "process {pid} has not recorded who waited for what: its timing mode is {}; set full, sampled or exact by --timing \
             or RUMPSCOPE_TIMING",
            snapshot.mode.name()
        ),
        _ => format!(
            "process {pid} has not recorded who waited for what: RUMPSCOPE_CONTENTION was off in its environment, or its back \
             end ({}) makes no locks of ours",
            snapshot.backend
        ),
    }
}
