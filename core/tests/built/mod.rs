//! What cargo built for a test.

use std::path::PathBuf;

/// The path of `file`: beside the test, or a folder up.
pub fn path(file: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test has a file");
    let mut paths = test.ancestors().skip(1).take(2).map(|folder| folder.join(file));
    paths.find(|path| path.is_file()).unwrap_or_else(|| panic!("cargo has built no {file}"))
}
