//! Which engine is used.

use core::fmt::{Display, Formatter, Result as FmtResult};
use std::ffi::OsString;

/// The environment variable that names the engine.
pub const VARIABLE: &str = "RUMPSCOPE_BLOCK_IO";

/// What may be asked for; the first is the default, and leaves the choice to us.
pub const NAMES: [&str; 5] = ["auto", "uring", "pool", "thread", "inline"];

/// An engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`super::inline`]
    Inline,
    /// [`super::thread`]
    Thread,
    /// [`super::pool`]
    Pool,
    /// [`super::uring`]
    Uring,
}

impl Kind {
    /// What `auto` is: the engine that works on every host. To make a ring costs each guest's boot, and only many transfers at
    /// once are faster with it.
    const AUTO: Self = Kind::Pool;

    /// The name, as in [`VARIABLE`].
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Inline => "inline",
            Kind::Thread => "thread",
            Kind::Pool => "pool",
            Kind::Uring => "uring",
        }
    }

    /// Whether reads are tried in the page cache first. `thread` is what the stock library does, to be compared with.
    pub const fn reads_cache_first(self) -> bool {
        !matches!(self, Kind::Thread)
    }
}

/// The engine that is used, and why not the one that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The engine.
    pub kind: Kind,
    /// The host refused `uring`.
    pub refused: bool,
    /// One line about a setting that could not be followed.
    pub problem: Option<String>,
}

impl Choice {
    /// The engine that `setting` asks for, where it can be had. A guest without threads is to have none by us.
    /// `try_uring` finds out whether the host has it, and is only called where that is wanted: it costs system calls.
    pub fn new(
        setting: Option<OsString>,
        guest_has_threads: bool,
        try_uring: impl FnOnce() -> Result<(), String>,
    ) -> Self {
        let mut choice = Choice { kind: Kind::AUTO, refused: false, problem: None };
        match setting.as_ref().map(|setting| setting.to_str()) {
            None | Some(Some("auto")) => {}
            Some(Some("inline")) => choice.kind = Kind::Inline,
            Some(Some("thread")) => choice.kind = Kind::Thread,
            Some(Some("pool")) => choice.kind = Kind::Pool,
            Some(Some("uring")) if guest_has_threads => match try_uring() {
                Ok(()) => choice.kind = Kind::Uring,
                Err(reason) => {
                    choice.refused = true;
                    choice.problem = Some(format!("no io_uring on this host, pool is used: {reason}"));
                }
            },
            Some(Some("uring")) => {}
            Some(_) => {
                let setting = setting.unwrap_or_default();
                let names = NAMES.join(", ");
                choice.problem = Some(format!("{VARIABLE}={}: not one of {names}; auto is used", setting.display()));
            }
        }
        if !guest_has_threads {
            choice.kind = Kind::Inline;
        }
        choice
    }
}

/// As reports name it; at most 20 bytes.
impl Display for Choice {
    fn fmt(&self, out: &mut Formatter<'_>) -> FmtResult {
        out.write_str(self.kind.name())?;
        if self.refused { out.write_str(" (uring refused)") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(setting: Option<&str>) -> Choice {
        Choice::new(setting.map(Into::into), true, || Ok(()))
    }

    #[test]
    fn every_name_is_an_engine() {
        let auto = Choice { kind: Kind::AUTO, refused: false, problem: None };
        assert_eq!(choice(None), auto);
        assert_eq!(choice(Some(NAMES[0])), auto);
        for name in &NAMES[1..] {
            let choice = choice(Some(name));
            assert_eq!((choice.kind.name(), choice.to_string().as_str(), choice.problem), (*name, *name, None));
        }
    }

    #[test]
    fn an_unknown_name_is_told_and_the_default_used() {
        for unknown in ["", "Pool", "uring ", "io_uring"] {
            let choice = choice(Some(unknown));
            let problem = choice.problem.expect("a problem");
            assert!(problem.starts_with(&format!("{VARIABLE}={unknown}: ")) && !problem.contains('\n'), "{problem}");
            assert_eq!((choice.kind, choice.refused), (Kind::AUTO, false));
        }
    }

    #[test]
    fn a_host_that_refuses_is_told_and_the_pool_used() {
        let choice = Choice::new(Some("uring".into()), true, || Err("Operation not permitted".to_owned()));
        assert_eq!(choice.kind, Kind::Pool);
        assert_eq!(choice.to_string(), "pool (uring refused)");
        assert!(choice.problem.expect("a problem").ends_with(": Operation not permitted"));
    }

    #[test]
    fn a_guest_without_threads_gets_none() {
        for name in NAMES {
            let choice = Choice::new(Some(name.into()), false, || panic!("not needed"));
            assert_eq!((choice.kind, choice.problem), (Kind::Inline, None), "{name}");
        }
    }
}
