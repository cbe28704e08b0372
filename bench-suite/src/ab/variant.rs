//! What is compared: a library under the guest, and what it is told by its environment.

use crate::hypervisor::own_library;
use rumpscope_probes::{ENV_CONTENTION, ENV_EVENTS, ENV_TIMING, Mode};
use rumpuser::host::{backend, block};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A host back end as it is to be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// Its name in this bench.
    pub label: String,
    /// The library that is loaded.
    pub library: PathBuf,
    /// What its process finds in its environment, beside what every run has. All that tells our back ends apart is told
    /// this way.
    pub env: BTreeMap<String, String>,
    /// Whether somebody reads its segment ten times a second.
    #[serde(default)]
    pub watched: bool,
    /// The label of the variant that this one repeats, so that their difference is the machine's noise.
    pub again: Option<String>,
}

/// There is no such back end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadVariant {
    /// The name is not known.
    #[error(
        "there is no back end {0:?}; there are {names} and external:PATH, each also with {modes}, and external:PATH@{BARE}; \
         ours also without a part of what they record, as native-contention or native@full-events, with the policy of threads \
         left alone, as native-batch, or where they run, as native-gather, and with a reader, as native-watched",
        names = backend::choice::NAMES.join(", "),
        modes = Mode::ALL.map(|mode| format!("@{}", mode.name())).join(", ")
    )]
    Unknown(String),
    /// Our own library is not where it is looked for.
    #[error("librumpuser.so is not beside this program: build it (`cargo build`), or name it in RUMPSCOPE_LIBRARY")]
    NoOwnLibrary,
    /// No library at this place.
    #[error("back end {label}: there is no file {path}", path = path.display())]
    NoFile {
        /// Who wants it.
        label: String,
        /// Where it should be.
        path: PathBuf,
    },
}

/// What one of our back ends can be run without, by what its name ends with.
const PARTS: [(&str, &str); 4] = [
    ("-contention", ENV_CONTENTION),
    ("-events", ENV_EVENTS),
    ("-batch", rumpuser::host::batch::VARIABLE),
    ("-gather", rumpuser::host::gather::VARIABLE),
];

/// What says that somebody reads the segment meanwhile, after all else.
const WATCHED: &str = "-watched";

/// What says that another library is to run alone, without our probes in front of it.
const BARE: &str = "bare";

impl Variant {
    /// The variants that `text` names: `[LABEL=]BACKEND[@TIMING]`, where `BACKEND` is one of ours or `external:PATH`. After
    /// one of ours, `-contention` and `-events` say what is not recorded, `-batch` that the policy of threads is left alone,
    /// `-gather` that they run wherever the host puts them, and `-watched` that it is read meanwhile. One of ours is as many as
    /// there are `engines` of block transfers, if there are any. `external:PATH` is that library behind our probes; with `@bare`
    /// it is that library and nothing else.
    ///
    /// # Errors
    /// When there is no such back end, or its library is missing.
    pub fn parse(text: &str, engines: &[String]) -> Result<Vec<Self>, BadVariant> {
        // An equals sign of a path stands behind the colon.
        let label = text.split_once('=').filter(|(label, _)| !label.is_empty() && !label.contains(':'));
        let (label, what) = label.unwrap_or((text, text));
        let (what, watched) = watched(what);
        let (what, parts) = without(what);
        let timing = what.rsplit_once('@').and_then(|(rest, mode)| Some((rest, Mode::from_name(mode)?)));
        let (what, timing) = timing.map_or((what, None), |(backend, mode)| (backend, Some(mode)));
        let timing = timing.map(|mode| (ENV_TIMING.to_owned(), mode.name().to_owned()));
        let variant = |library: PathBuf, backend: Option<String>| {
            let backend = backend.map(|backend| (backend::choice::VARIABLE.to_owned(), backend));
            let env = timing.clone().into_iter().chain(backend).chain(parts.clone()).collect();
            Variant { label: label.to_owned(), library, env, watched, again: None }
        };
        let file = |path: &Path| {
            // A name without a folder would be looked for where the loader likes.
            let path = std::path::absolute(path).unwrap_or(path.to_owned());
            if path.is_file() { Ok(path) } else { Err(BadVariant::NoFile { label: label.to_owned(), path }) }
        };
        let own = || file(&own_library().ok_or(BadVariant::NoOwnLibrary)?);
        if let Some(path) = what.strip_prefix(backend::choice::EXTERNAL).filter(|path| !path.is_empty()) {
            return Ok(vec![match path.strip_suffix("@bare") {
                Some(path) if timing.is_none() => variant(file(Path::new(path))?, None),
                _ => {
                    let path = file(Path::new(path))?;
                    variant(own()?, Some(format!("{}{}", backend::choice::EXTERNAL, path.display())))
                }
            }]);
        }
        let Some(&name) = backend::choice::NAMES.iter().find(|name| **name == what) else {
            return Err(BadVariant::Unknown(what.to_owned()));
        };
        // The default goes without saying.
        let variant = variant(own()?, (name != backend::choice::NAMES[0]).then(|| name.to_owned()));
        if engines.is_empty() {
            return Ok(vec![variant]);
        }
        let once = engines.iter().enumerate().filter(|(index, engine)| !engines[..*index].contains(engine));
        Ok(once.map(|(_, engine)| variant.with_block_io(engine)).collect())
    }

    /// The same with an engine of block transfers.
    fn with_block_io(&self, engine: &str) -> Self {
        let mut variant = Variant { label: format!("{}+{engine}", self.label), ..self.clone() };
        variant.env.insert(block::choice::VARIABLE.to_owned(), engine.to_owned());
        variant
    }

    /// Whether it has an engine of block transfers that was chosen.
    pub fn has_block_io(&self) -> bool {
        self.env.contains_key(block::choice::VARIABLE)
    }

    /// The same once more, under another name.
    pub fn repeated(&self) -> Self {
        Variant { label: format!("{} again", self.label), again: Some(self.label.clone()), ..self.clone() }
    }
}

/// What one of our back ends is called without being watched, and whether it is to be.
fn watched(what: &str) -> (&str, bool) {
    // A path ends as it likes.
    match what.strip_suffix(WATCHED).filter(|_| !what.starts_with(backend::choice::EXTERNAL)) {
        Some(rest) => (rest, true),
        None => (what, false),
    }
}

/// What one of our back ends is called without the parts that it is to be run without, and what tells it so.
fn without(mut what: &str) -> (&str, Vec<(String, String)>) {
    let mut told = Vec::new();
    // A path ends as it likes.
    if !what.starts_with(backend::choice::EXTERNAL) {
        while let Some((rest, variable)) =
            PARTS.iter().find_map(|(part, variable)| Some((what.strip_suffix(part)?, variable)))
        {
            told.push(((*variable).to_owned(), "off".to_owned()));
            what = rest;
        }
    }
    (what, told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn this_file() -> String {
        std::env::current_exe().unwrap().to_string_lossy().into_owned()
    }

    fn one(text: &str) -> Variant {
        let [variant] = Variant::parse(text, &[]).unwrap().try_into().unwrap();
        variant
    }

    fn env<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    #[test]
    fn another_library_alone_is_told_nothing() {
        let path = this_file();
        let bare = one(&format!("stock=external:{path}@bare"));
        assert_eq!((bare.label.as_str(), bare.library.to_str()), ("stock", Some(path.as_str())));
        assert!(bare.env.is_empty());
    }

    /// Needs our own library, which the tests of a workspace have built.
    #[test]
    fn timing_back_end_and_engine_are_environment_and_a_label_is_only_a_name() {
        let Some(own) = own_library() else { return };
        let path = this_file();
        let probed = one(&format!("stock=external:{path}@off"));
        assert_eq!(probed.library, std::path::absolute(&own).unwrap());
        let backend = format!("external:{path}");
        assert_eq!(probed.env, env([("RUMPSCOPE_BACKEND", &backend), ("RUMPSCOPE_TIMING", "off")]));
        assert_eq!(one("native").env, env([]));
        let engines = ["pool", "uring"].map(str::to_owned);
        let variants = Variant::parse("pthread@full", &engines).unwrap();
        let labels: Vec<_> = variants.iter().map(|variant| variant.label.as_str()).collect();
        assert_eq!(labels, ["pthread@full+pool", "pthread@full+uring"]);
        let told = [("RUMPSCOPE_BACKEND", "pthread"), ("RUMPSCOPE_BLOCK_IO", "uring"), ("RUMPSCOPE_TIMING", "full")];
        assert_eq!(variants[1].env, env(told));
        let bare = one("native@full-contention-batch-gather-events");
        let off = ["BATCH", "CONTENTION", "EVENTS", "GATHER"].map(|part| format!("RUMPSCOPE_{part}"));
        let told =
            [(&*off[0], "off"), (&*off[1], "off"), (&*off[2], "off"), (&*off[3], "off"), ("RUMPSCOPE_TIMING", "full")];
        assert_eq!(bare.env, env(told));
        let read = one("native@full-watched");
        assert!(read.watched && !bare.watched && one(&format!("x=external:{path}@off")).env == probed.env);
        assert_eq!(read.env, env([("RUMPSCOPE_TIMING", "full")]));
        // Another library has engines of its own.
        assert_eq!(Variant::parse(&format!("external:{path}"), &engines).unwrap().len(), 1);
    }

    #[test]
    fn what_is_not_there_is_named() {
        for text in ["natve", "native@fast", "native@bare", "external", "external:", "other:/lib", ""] {
            assert!(matches!(Variant::parse(text, &[]), Err(BadVariant::Unknown(_))), "{text}");
        }
        let missing = Variant::parse("a=external:/no/such=file@elsewhere", &[]).unwrap_err();
        assert_eq!(missing.to_string(), "back end a: there is no file /no/such=file@elsewhere");
    }

    #[test]
    fn a_repeated_variant_differs_by_its_name_alone() {
        let variant = one(&format!("a=external:{}@bare", this_file()));
        let again = variant.repeated();
        assert_eq!((again.label.as_str(), again.again.as_deref()), ("a again", Some("a")));
        assert_eq!((again.library, again.env), (variant.library, variant.env));
    }
}
