//! Names as people know them from the source.

/// What the build of a rump kernel puts before the kernel's names, so that they do not clash with the host's.
const PREFIX: &str = "rumpns_";

/// What compilers append to the name of a part or a special version of a function, followed by numbers or nothing.
const SUFFIXES: [&str; 6] = [".cold", ".part", ".isra", ".constprop", ".lto_priv", ".llvm"];

/// The plain form of a linker's name.
pub fn name(linker: &str, keep_prefix: bool) -> String {
    if let Ok(rust) = rustc_demangle::try_demangle(linker) {
        return format!("{rust:#}");
    }
    // Debug information without linker's names has those of Rust functions with the types that they are made for.
    let linker = linker.find('<').filter(|&at| at > 0).map_or(linker, |at| &linker[..at]);
    let cut = SUFFIXES.iter().filter_map(|suffix| suffix_at(linker, suffix)).min().unwrap_or(linker.len());
    let name = &linker[..cut];
    if keep_prefix { name.to_owned() } else { without_prefix(name).to_owned() }
}

/// A source file's path without the detours that build systems make: `lib/../sys/kern.c` is `sys/kern.c`.
pub fn path(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            ".." if parts.last().is_some_and(|last| !matches!(*last, "" | "..")) => drop(parts.pop()),
            "." => {}
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// Without the prefix of a rump kernel's names.
pub fn without_prefix(name: &str) -> &str {
    match name.strip_prefix(PREFIX) {
        Some(rest) if !rest.is_empty() => rest,
        _ => name,
    }
}

/// Where `suffix` begins, if nothing but numbers and further suffixes follow.
fn suffix_at(name: &str, suffix: &str) -> Option<usize> {
    let at = name.find(suffix).filter(|&at| at > 0)?;
    let rest = &name[at + suffix.len()..];
    (rest.is_empty() || rest.starts_with('.')).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::{name, path};

    #[test]
    fn the_prefix_of_a_rump_kernel_goes_unless_it_is_wanted() {
        assert_eq!(name("rumpns_mutex_enter", false), "mutex_enter");
        assert_eq!(name("rumpns_mutex_enter", true), "rumpns_mutex_enter");
        assert_eq!(name("rumpns_", false), "rumpns_");
        assert_eq!(name("rump_schedule", false), "rump_schedule");
    }

    #[test]
    fn source_paths_go_straight() {
        assert_eq!(path("/src/lib/librump/../../sys/rump/../kern/a.c"), "/src/sys/kern/a.c");
        assert_eq!(path("../../kern/./a.c"), "../../kern/a.c");
        assert_eq!(path("/../a.c"), "/../a.c");
        assert_eq!(path("src/lib.rs"), "src/lib.rs");
    }

    #[test]
    fn what_compilers_append_goes() {
        assert_eq!(name("rumpns_vget.isra.0", false), "vget");
        assert_eq!(name("lookup.part.3.cold", false), "lookup");
        assert_eq!(name("odd.coldly", false), "odd.coldly");
        assert_eq!(name(".cold", false), ".cold");
    }

    #[test]
    fn what_a_function_is_made_for_goes() {
        assert_eq!(name("call_mut<fn(u32) -> my::Cpu, (u32)>", false), "call_mut");
        assert_eq!(name("{closure#0}<(), i32>", false), "{closure#0}");
    }

    #[test]
    fn rust_names_are_paths_without_a_hash() {
        assert_eq!(name("_ZN8rumpuser4host5mutex5enter17h0123456789abcdefE", false), "rumpuser::host::mutex::enter");
        assert_eq!(name("_RNvCs1234_7mycrate3foo", false), "mycrate::foo");
    }
}
