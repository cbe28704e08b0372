//! Putting our hypervisor under a program that was linked with another.
//!
//! Such a program needs `librumpuser.so.0`. The dynamic loader takes an object that is loaded already for it when the
//! object has that SONAME, as our library has, so a preloaded library of ours is found before any search path.

use anyhow::Context;
use rumpscope_bench_suite::hypervisor::{find_object, own_library};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The object that stands in front of a shared kernel's scheduler, as cargo builds it.
const PRELOAD: &str = "libscope_preload.so";

/// The value of `LD_PRELOAD` for a program under our hypervisor; what is in it already stays. `folder` is for links to
/// objects whose paths the variable cannot express.
///
/// # Errors
/// When our library cannot be found.
pub fn ld_preload(folder: &Path) -> anyhow::Result<OsString> {
    let library = own_library().filter(|path| path.is_file()).context(
        "librumpuser.so is not beside this program: build it (`cargo build`), or name it in RUMPSCOPE_LIBRARY",
    )?;
    let preload = find_object("RUMPSCOPE_PRELOAD", PRELOAD).filter(|path| path.is_file());
    if preload.is_none() {
        tell!(
            "rumpscope: {PRELOAD} is not beside this program (RUMPSCOPE_PRELOAD names another place): the guest's own \
             transitions will not be seen"
        );
    }
    let mut value = OsString::new();
    let objects = preload.map(|preload| (preload, PRELOAD)).into_iter().chain([(library, "librumpuser.so")]);
    for (object, name) in objects {
        value.push(expressible(object, &folder.join(name))?);
        value.push(":");
    }
    if let Some(before) = std::env::var_os("LD_PRELOAD") {
        value.push(before);
    }
    Ok(value)
}

/// `object`, or where its path has a character that separates paths in `LD_PRELOAD`, `link` to it.
fn expressible(object: PathBuf, link: &Path) -> anyhow::Result<PathBuf> {
    let object = std::path::absolute(&object).with_context(|| format!("the path of {}", object.display()))?;
    if !object.as_os_str().as_bytes().iter().any(|byte| b" :".contains(byte)) {
        return Ok(object);
    }
    std::os::unix::fs::symlink(&object, link).with_context(|| format!("cannot make the link {}", link.display()))?;
    Ok(link.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_a_space_is_linked() {
        let folder = std::env::temp_dir().join(format!("rumpscope-preload-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let plain = PathBuf::from("/usr/lib/librumpuser.so");
        let link = folder.join("librumpuser.so");
        assert_eq!(expressible(plain.clone(), &link).unwrap(), plain);
        let spaced = folder.join("my projects:librumpuser.so");
        std::fs::write(&spaced, "here").unwrap();
        assert_eq!(expressible(spaced, &link).unwrap(), link);
        let read = std::fs::read_to_string(&link).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(read, "here");
    }
}
