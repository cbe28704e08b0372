//! Which back end is used.

use core::fmt::{Display, Formatter, Result as FmtResult};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The environment variable that names the back end.
pub const VARIABLE: &str = "RUMPSCOPE_BACKEND";

/// What may be asked for, beside `external:PATH`; the first is the default.
pub const NAMES: [&str; 3] = ["native", "pthread", "fiber"];

/// What comes before the path of another library.
pub const EXTERNAL: &str = "external:";

/// A back end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`super::Native`]
    Native,
    /// [`Pthread`](crate::host::pthread::Pthread)
    Pthread,
    /// [`Fibers`](crate::host::fiber::Fibers)
    Fiber,
    /// Another library, for everything.
    External(PathBuf),
}

/// The back end that is used, and why not the one that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The back end.
    pub kind: Kind,
    /// One line about a setting that could not be followed.
    pub problem: Option<String>,
}

impl Kind {
    /// The one with this name.
    ///
    /// # Errors
    /// There is none: a sentence that says what there is.
    pub fn from_setting(setting: OsString) -> Result<Self, String> {
        match setting.to_str() {
            Some("native") => return Ok(Kind::Native),
            Some("pthread") => return Ok(Kind::Pthread),
            Some("fiber") => return Ok(Kind::Fiber),
            _ => {}
        }
        match setting.as_bytes().strip_prefix(EXTERNAL.as_bytes()) {
            Some(path) if !path.is_empty() => Ok(Kind::External(OsString::from_vec(path.to_vec()).into())),
            _ => Err(format!("{}: not one of {}, {EXTERNAL}PATH", setting.display(), NAMES.join(", "))),
        }
    }

    /// What is to be said to get it: the other way round from [`from_setting`](Self::from_setting).
    pub fn setting(&self) -> OsString {
        match self {
            Kind::External(path) => [OsStr::new(EXTERNAL), path.as_os_str()].into_iter().collect(),
            kind => kind.to_string().into(),
        }
    }
}

impl Choice {
    /// The back end that `setting` asks for; the default where that is none.
    pub fn new(setting: Option<OsString>) -> Self {
        match setting.map_or(Ok(Kind::Native), Kind::from_setting) {
            Ok(kind) => Choice { kind, problem: None },
            Err(problem) => {
                Choice { kind: Kind::Native, problem: Some(format!("{VARIABLE}={problem}; {} is used", NAMES[0])) }
            }
        }
    }
}

/// How many bytes of a path are shown: the header of a segment has room for 32 bytes of text.
const SHOWN: usize = 32 - EXTERNAL.len();

/// As reports name it; at most 32 bytes. Of a path, as many of its last parts as there is room for: the file's name alone
/// is often the same for all libraries.
impl Display for Kind {
    fn fmt(&self, out: &mut Formatter<'_>) -> FmtResult {
        match self {
            Kind::Native => out.write_str("native"),
            Kind::Pthread => out.write_str("pthread"),
            Kind::Fiber => out.write_str("fiber"),
            Kind::External(path) => write!(out, "{EXTERNAL}{}", end_of(path)),
        }
    }
}

fn end_of(path: &Path) -> String {
    let whole = path.to_string_lossy();
    if whole.len() <= SHOWN {
        return whole.into_owned();
    }
    let fits = |(slash, _): &(usize, char)| whole.len() - slash - 1 <= SHOWN;
    if let Some((slash, _)) = whole.char_indices().filter(|(_, character)| *character == '/').find(fits) {
        return whole[slash + 1..].to_owned();
    }
    let mark = "...";
    let start = whole.char_indices().find(|(at, _)| whole.len() - at + mark.len() <= SHOWN).map_or(0, |(at, _)| at);
    format!("{mark}{}", &whole[start..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_back_end() {
        assert_eq!(Choice::new(None), Choice { kind: Kind::Native, problem: None });
        for name in NAMES {
            let choice = Choice::new(Some(name.into()));
            assert_eq!((choice.kind.to_string().as_str(), &choice.problem), (name, &None));
            assert_eq!(choice.kind.setting(), name);
        }
        let external = Choice::new(Some("external:/some/lib.so".into()));
        assert_eq!(external, Choice { kind: Kind::External("/some/lib.so".into()), problem: None });
        assert_eq!(external.kind.setting(), "external:/some/lib.so");
    }

    #[test]
    fn an_unknown_name_is_told_and_the_default_used() {
        for unknown in ["", "Native", "pthreads", "external", "external:"] {
            let choice = Choice::new(Some(unknown.into()));
            let problem = choice.problem.expect("a problem");
            assert!(problem.starts_with(&format!("{VARIABLE}={unknown}: ")) && !problem.contains('\n'), "{problem}");
            assert!(problem.ends_with("native is used"), "{problem}");
            assert_eq!(choice.kind, Kind::Native);
        }
    }

    #[test]
    fn paths_are_shown_from_their_end() {
        let shown = |path: &str| Kind::External(path.into()).to_string();
        assert_eq!(shown("lib.so"), "external:lib.so");
        assert_eq!(shown("/usr/lib/netbsd/stock/librumpuser.so.0"), "external:stock/librumpuser.so.0");
        assert_eq!(shown("/a/folder-of-some-length/librumpuser.so.0"), "external:librumpuser.so.0");
        assert_eq!(shown("/a/library-with-a-very-long-name.so.0"), "external:...-very-long-name.so.0");
        for path in ["/a/library-with-a-very-long-name.so.0", "/ä/ööööööööööööööööööööööööö"]
        {
            assert!(shown(path).len() <= 32, "{}", shown(path));
        }
    }
}
