//! A folder for a test, removed with it.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// `name` tells the folders of one run apart.
    pub(crate) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("rumpscope-test-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for the test");
        Scratch(folder)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn path(&self, name: &str) -> CString {
        CString::new(self.file(name).as_os_str().as_bytes()).expect("no zero byte")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
