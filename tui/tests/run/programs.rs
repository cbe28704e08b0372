//! The command, and programs for it to run.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// How a command ended, and what it said.
pub struct Ended {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A path for a file of one test; names are the tests' own.
pub fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("run-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

/// The command with these arguments, in an environment that says nothing about measuring. It can be interrupted, even where
/// the tests cannot, as in a shell's background.
pub fn rumpscope(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rumpscope"));
    for variable in [
        "RUMPSCOPE",
        "RUMPSCOPE_TIMING",
        "RUMPSCOPE_CONTENTION",
        "RUMPSCOPE_BACKEND",
        "RUMPSCOPE_GATHER",
        "RUMPSCOPE_BLOCK_IO",
        "RUMPSCOPE_SEGMENT",
        "LD_PRELOAD",
        "COLUMNS",
    ] {
        command.env_remove(variable);
    }
    let interruptible = || {
        // SAFETY: no handler is involved.
        match unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) } {
            libc::SIG_ERR => Err(std::io::Error::last_os_error()),
            _ => Ok(()),
        }
    };
    // SAFETY: may be called between fork and exec: a system call, and nothing of what it shares with the parent.
    unsafe { command.pre_exec(interruptible) };
    command.args(arguments);
    command
}

/// Runs `command` to its end. No run leaves anything in the folder of segments.
pub fn finish(command: &mut Command) -> Ended {
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let runtime = scratch(&format!("runtime-{number}"));
    std::fs::create_dir_all(&runtime).unwrap();
    let output = command.env("XDG_RUNTIME_DIR", &runtime).output().unwrap();
    if let Ok(segments) = std::fs::read_dir(runtime.join("rumpscope")) {
        assert_eq!(segments.count(), 0, "segments are left in {}", runtime.display());
    }
    outcome(output)
}

/// What came out of a command.
pub fn outcome(output: Output) -> Ended {
    Ended {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs the command with these arguments to its end.
pub fn run(arguments: &[&str]) -> Ended {
    finish(&mut rumpscope(arguments))
}

pub fn compile(arguments: &[&str]) {
    let compiler = std::env::var("CC").unwrap_or("cc".to_owned());
    let status = Command::new(&compiler).args(arguments).status().unwrap_or_else(|error| panic!("{compiler}: {error}"));
    assert!(status.success(), "{compiler} {arguments:?}");
}

fn source(name: &str) -> String {
    format!("{}/tests/run/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A program that was linked with another `librumpuser.so.0`, and has that in its search path.
pub fn stand_in() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let folder = scratch("other");
        std::fs::create_dir_all(&folder).unwrap();
        let (library, program) = (folder.join("librumpuser.so.0"), scratch("stand_in"));
        let (library, program) = (library.to_str().unwrap(), program.to_str().unwrap());
        compile(&["-shared", "-fPIC", "-Wl,-soname,librumpuser.so.0", "-o", library, &source("other.c")]);
        let search = format!("-Wl,--disable-new-dtags,-rpath,{}", folder.display());
        compile(&["-o", program, &source("stand_in.c"), library, &search]);
        program.to_owned()
    })
}

/// A program that is linked with nothing.
#[cfg(target_arch = "x86_64")]
pub fn static_program() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let program = scratch("static");
        let program = program.to_str().unwrap();
        compile(&["-static", "-nostdlib", "-o", program, &source("static.c")]);
        program.to_owned()
    })
}
