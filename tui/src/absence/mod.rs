//! Why a program may never have called the hypervisor.

mod libraries;
mod object_file;

use object_file::ObjectFile;
use rumpscope_probes::ENV_SWITCH;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The name that rump kernels are linked with.
const LIBRARY: &str = "librumpuser.so.0";

/// The reasons that `program` may have; never empty.
pub fn reasons(program: &OsStr) -> Vec<String> {
    let mut reasons = Vec::new();
    if std::env::var_os(ENV_SWITCH).is_some_and(|value| value == "0") {
        reasons.push(format!("{ENV_SWITCH}=0 in the environment switches measuring off"));
    }
    let Some(path) = find(program) else {
        reasons.push(format!("{} is not there any more, so it cannot be looked at", program.display()));
        return reasons;
    };
    let (path, script) = follow_interpreter(path);
    let name = path.display();
    if let Some(script) = script {
        reasons.push(format!(
            "{} is a script, run by {name}: what it starts is measured only if that is a rump kernel program",
            script.display()
        ));
    }
    if runs_with_other_rights(&path) {
        reasons.push(format!("{name} is set-user-ID or set-group-ID: the loader preloads nothing into it"));
    }
    match ObjectFile::read(&path) {
        Err(problem) => reasons.push(format!("{name} cannot be looked at: {problem}")),
        Ok(object) => reasons.push(format!("{name} {}", linkage(&path, &object))),
    }
    reasons
}

/// What the way in which the program is linked says.
fn linkage(path: &Path, object: &ObjectFile) -> String {
    let other_machine = ObjectFile::read(Path::new("/proc/self/exe")).is_ok_and(|own| own.machine != object.machine);
    if other_machine {
        return "is for another kind of machine than our hypervisor, which therefore cannot be loaded into it".into();
    }
    let Some(interpreter) = &object.interpreter else {
        return "is linked statically: nothing can be preloaded into it. Link it with our librumpuser.a instead".into();
    };
    if interpreter.contains("ld-musl") {
        return "is linked with musl: our hypervisor, which is linked with glibc, cannot be loaded into it".into();
    }
    if object.defines_hypercalls {
        return "brings hypercalls of its own (was it linked with another librumpuser.a?): link it with ours".into();
    }
    match libraries::chain_to(path, object, |needed| needed.contains("librumpuser")) {
        None => format!(
            "holds no rump kernel: neither it nor the libraries that it is linked with need {LIBRARY}. (A library that \
             it loads later, by dlopen, would have been measured.)"
        ),
        Some(chain) => {
            let (needed, through) = chain.split_last().map_or(("", &[][..]), |(last, rest)| (last.as_str(), rest));
            let through = if through.is_empty() { String::new() } else { format!(" (through {})", through.join(", ")) };
            if needed == LIBRARY {
                format!(
                    "needs {needed}{through}, so there is a rump kernel in it; but it ended before it started that \
                     (rump_init), or the hypervisor could not measure and said why above"
                )
            } else {
                format!("needs {needed}{through}, another library than {LIBRARY}, which ours stands in for")
            }
        }
    }
}

/// The file that starting `program` runs, found as the C library finds it.
fn find(program: &OsStr) -> Option<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(program)).filter(|path| path.exists());
    }
    let is_program = |path: &PathBuf| {
        path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(program)).find(is_program)
}

/// The program that runs `path` where that is a script, and the script.
fn follow_interpreter(path: PathBuf) -> (PathBuf, Option<PathBuf>) {
    match interpreter(&path) {
        Some(interpreter) => (interpreter, Some(path)),
        None => (path, None),
    }
}

/// What the first line of a script names.
fn interpreter(path: &Path) -> Option<PathBuf> {
    // As much as Linux looks at.
    let mut start = [0; 256];
    let length = std::fs::File::open(path).ok()?.read(&mut start).ok()?;
    let line = start[..length].strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    let first = words.next()?;
    // `env` only looks for the next.
    if Path::new(first).file_name() == Some(OsStr::new("env")) {
        return words
            .find(|word| !word.starts_with('-') && !word.contains('='))
            .and_then(|word| find(OsStr::new(word)));
    }
    Some(PathBuf::from(first))
}

/// Whether it runs with other rights than its caller's: the loader then ignores most of the environment.
fn runs_with_other_rights(path: &Path) -> bool {
    // SAFETY: no preconditions.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    path.metadata().is_ok_and(|metadata| {
        let mode = metadata.mode();
        mode & libc::S_ISUID != 0 && metadata.uid() != user || mode & libc::S_ISGID != 0 && metadata.gid() != group
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_like_the_shell_finds_them() {
        assert!(find(OsStr::new("sh")).is_some_and(|path| path.is_absolute()));
        assert_eq!(find(OsStr::new("/no/such/program")), None);
    }

    #[test]
    fn scripts_name_their_interpreter() {
        let path = std::env::temp_dir().join(format!("rumpscope-script-{}", std::process::id()));
        let named = |text: &str| {
            std::fs::write(&path, text).unwrap();
            interpreter(&path)
        };
        let direct = named("#! /bin/sh -e\ntrue\n");
        let by_env = named("#!/usr/bin/env -S sh\n");
        let none = named("\x7fELF");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(direct, Some(PathBuf::from("/bin/sh")));
        assert_eq!(by_env, find(OsStr::new("sh")));
        assert_eq!(none, None);
    }
}
