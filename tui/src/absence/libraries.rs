//! The libraries that come with a program.

use super::object_file::ObjectFile;
use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

/// Where libraries lie that no search path names. The loader's cache may know more places; a library that is not found
/// here is not looked into.
const FOLDERS: [&str; 7] = [
    "/lib64",
    "/usr/lib64",
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib",
    "/usr/lib",
    "/usr/local/lib",
];

/// The shortest way from the program at `path` to a library whose name is `wanted`: the names of the libraries on it,
/// the wanted one last. `None`: it needs none.
pub fn chain_to(path: &Path, program: &ObjectFile, wanted: impl Fn(&str) -> bool) -> Option<Vec<String>> {
    let inherited = expanded(path, program);
    let mut seen = BTreeSet::new();
    let mut waiting = VecDeque::from([(inherited.clone(), program.needed.clone(), Vec::new())]);
    while let Some((folders, needed, chain)) = waiting.pop_front() {
        if let Some(name) = needed.iter().find(|name| wanted(name)) {
            return Some(chain.into_iter().chain([name.clone()]).collect());
        }
        for name in needed {
            if !seen.insert(name.clone()) {
                continue;
            }
            let Some(library) = find(&name, folders.iter().chain(&inherited)) else { continue };
            let Ok(object) = ObjectFile::read(&library) else { continue };
            let chain = chain.iter().cloned().chain([name]).collect();
            waiting.push_back((expanded(&library, &object), object.needed, chain));
        }
    }
    None
}

/// The search path of an object, with `$ORIGIN` put in.
fn expanded(path: &Path, object: &ObjectFile) -> Vec<PathBuf> {
    let origin = path.parent().unwrap_or(Path::new("")).to_string_lossy();
    let expand = |folder: &str| PathBuf::from(folder.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin));
    object.search.iter().flat_map(|folders| folders.split(':')).map(expand).collect()
}

fn find<'a>(name: &str, folders: impl Iterator<Item = &'a PathBuf>) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name));
    }
    let told = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let folders = folders.cloned().chain(std::env::split_paths(&told)).chain(FOLDERS.map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}
