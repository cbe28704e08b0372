//! Names for narrow places.

/// The libraries of the language.
const LIBRARIES: [&str; 3] = ["core::", "std::", "alloc::"];

/// Whether it is a function of the language's libraries.
pub fn is_library(function: &str) -> bool {
    let path = function.trim_start_matches(['<', '&', '*']).trim_start_matches("impl ");
    LIBRARIES.iter().any(|library| path.starts_with(library))
}

/// A name without the modules in which things lie: `guest::disk::Disk::read` is `Disk::read`. A function outside of a
/// type keeps the module that it is in. Names of C are short already.
pub fn short(name: &str) -> String {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut short = String::new();
    let mut rest = name;
    while let Some(begin) = rest.find(is_part) {
        let (before, path) = rest.split_at(begin);
        short.push_str(before);
        // A path ends where neither a name nor two colons are.
        let mut end = 0;
        while let Some(letter) = path[end..].chars().next() {
            match letter {
                _ if is_part(letter) => end += letter.len_utf8(),
                ':' if path[end..].starts_with("::") => end += 2,
                _ => break,
            }
        }
        short.push_str(&short_path(&path[..end]));
        rest = &path[end..];
    }
    short + rest
}

fn short_path(path: &str) -> String {
    let (path, end) = path.strip_suffix("::").map_or((path, ""), |path| (path, "::"));
    let parts: Vec<_> = path.split("::").collect();
    let is_module = |part: &&&str| part.starts_with(|letter: char| letter.is_lowercase() || letter == '_');
    let modules = parts.iter().take_while(is_module).count();
    // All of them are: the last is a function, and keeps one.
    let from = if modules == parts.len() { modules.saturating_sub(2) } else { modules };
    parts[from..].join("::") + end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_told_from_what_is_called_alike() {
        assert!(is_library("core::ops::function::FnOnce::call_once") && is_library("<alloc::vec::Vec<T>>::push"));
        assert!(!is_library("corelib_init") && !is_library("rumpuser::std::f"));
    }

    #[test]
    fn a_short_name_is_without_modules() {
        let names = [
            ("mutex_enter", "mutex_enter"),
            ("a::guest::buffer::Buffer::is_dirty", "Buffer::is_dirty"),
            ("a::guest::softint::handle", "softint::handle"),
            ("<a::b::Locks as a::workload::Load>::run::{{closure}}", "<Locks as Load>::run::{{closure}}"),
            ("a::b::f::{{closure}}", "b::f::{{closure}}"),
            ("a::KMutex<a::b::T>::enter", "KMutex<T>::enter"),
            ("mutex made in a::b::C::new #7", "mutex made in C::new #7"),
            ("librump.so.0+0x12a", "librump.so.0+0x12a"),
            ("f::", "f::"),
            ("", ""),
        ];
        names.iter().for_each(|(name, expected)| assert_eq!(short(name), *expected));
    }
}
