//! How many instructions the rows execute, and in which functions: counted one by one by `valgrind --tool=callgrind`.

use super::callgrind;
use super::child::{COUNT, WATCHED, WATCHED_TIMES};
use super::rows::{ROWS, Row};
use crate::process::{Failed, Process};
use rumpscope_probes::{ClockSource, Mode};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A function in which instructions were executed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Function {
    /// The shared object or program that it is in.
    pub object: String,
    /// Its name, as far as the tool knows it.
    pub name: String,
    /// How many, over all times that the row was made.
    pub instructions: u64,
}

/// A row, counted.
#[derive(Clone, Debug)]
pub struct Counted {
    /// Which.
    pub row: &'static Row,
    /// The clock that the library read, if it read one.
    pub clock: Option<ClockSource>,
    /// Where instructions were executed: in the library and below it.
    pub functions: Vec<Function>,
    library: PathBuf,
}

impl Counted {
    /// Instructions in the library itself, for one time that the row is made.
    pub fn own(&self) -> f64 {
        let own = self.functions.iter().filter(|function| self.is_own(function)).map(|function| function.instructions);
        own.sum::<u64>() as f64 / WATCHED_TIMES as f64
    }

    /// Whether the function is part of the library.
    pub fn is_own(&self, function: &Function) -> bool {
        Path::new(&function.object) == self.library
    }

    /// The functions outside of the library.
    pub fn below(&self) -> impl Iterator<Item = &Function> {
        self.functions.iter().filter(|function| !self.is_own(function))
    }
}

/// There is no `valgrind`.
#[derive(Debug, thiserror::Error)]
#[error("cannot run valgrind, which counts instructions: {0}; install the package valgrind")]
pub struct Unavailable(io::Error);

/// Whether instructions can be counted.
///
/// # Errors
/// When `valgrind` cannot be run.
pub fn available() -> Result<(), Unavailable> {
    let mut command = Command::new("valgrind");
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null());
    let status = command.status().map_err(Unavailable)?;
    if status.success() { Ok(()) } else { Err(Unavailable(io::Error::other(status.to_string()))) }
}

/// Counts the instructions of all rows that are hypercalls, on `library` in `mode`. The tool's files are made in `folder`.
///
/// # Errors
/// When the tool or the process that it watches fails.
pub fn count(library: &Path, mode: Mode, folder: &Path) -> Result<Vec<Counted>, Failed> {
    // As the loader, and so the tool, names it.
    let library = &library.canonicalize().map_err(|error| Failed::of(library, &error))?;
    let out = folder.join(format!("callgrind-{}-{}", mode.name(), std::process::id()));
    let process = Process::timing(Some(mode));
    let options = [
        "--tool=callgrind",
        "--compress-strings=no",
        "--compress-pos=no",
        "--collect-atstart=no",
        &format!("--toggle-collect={WATCHED}"),
        &format!("--dump-after={WATCHED}"),
        &format!("--callgrind-out-file={}", out.display()),
    ];
    let tool: Vec<OsString> = ["valgrind"].iter().chain(&options).map(Into::into).collect();
    let ran = process.run(&tool, [COUNT.into(), library.into(), "".into()]);
    let clock = process.clock();
    let program = std::env::current_exe().unwrap_or_default();
    let read = |(number, row)| {
        // One file for each row, numbered from 1.
        let path = PathBuf::from(format!("{}.{}", out.display(), number + 1));
        let text = std::fs::read_to_string(&path).map_err(|error| Failed::of(library, &error))?;
        let mut functions = callgrind::functions(&text);
        functions.retain(|function| Path::new(&function.object) != program);
        Ok(Counted { row, clock, functions, library: library.clone() })
    };
    let counted: Result<Vec<Counted>, Failed> = ROWS.iter().enumerate().map(read).collect();
    for number in 0..=ROWS.len() {
        let _ = std::fs::remove_file(format!("{}.{number}", out.display()));
    }
    let _ = std::fs::remove_file(&out);
    ran?;
    // The first row is the unit of time.
    Ok(counted?.split_off(1))
}
