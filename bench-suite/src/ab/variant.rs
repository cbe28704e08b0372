//! What is compared: a library under the guest, and what it is told by its environment.

use crate::hypervisor::own_library;
use rumpscope_probes::{ENV_TIMING, Mode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

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
    /// The label of the variant that this one repeats, so that their difference is the machine's noise.
    pub again: Option<String>,
}

/// There is no such back end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadVariant {
    /// The name is not known.
    #[error(
        "there is no back end {0:?}; there are native and external:PATH, each also with @off, @counts, @sampled, @full, @exact"
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

impl Variant {
    /// The variant that `text` names: `[LABEL=]BACKEND[@TIMING]`, where `BACKEND` is `native` or `external:PATH`.
    ///
    /// # Errors
    /// When there is no such back end, or its library is missing.
    pub fn parse(text: &str) -> Result<Self, BadVariant> {
        // An equals sign of a path stands behind the colon.
        let label = text.split_once('=').filter(|(label, _)| !label.is_empty() && !label.contains(':'));
        let (label, what) = label.unwrap_or((text, text));
        let timing = what.rsplit_once('@').and_then(|(rest, mode)| Some((rest, Mode::from_name(mode)?)));
        let (backend, timing) = timing.map_or((what, None), |(backend, mode)| (backend, Some(mode)));
        let library = match backend.split_once(':') {
            None if backend == "native" => own_library().ok_or(BadVariant::NoOwnLibrary)?,
            Some(("external", path)) => PathBuf::from(path),
            _ => return Err(BadVariant::Unknown(backend.to_owned())),
        };
        // A name without a folder would be looked for where the loader likes.
        let path = std::path::absolute(&library).unwrap_or(library);
        if !path.is_file() {
            return Err(BadVariant::NoFile { label: label.to_owned(), path });
        }
        let env = timing.map(|mode| (ENV_TIMING.to_owned(), mode.name().to_owned()));
        Ok(Variant { label: label.to_owned(), library: path, env: env.into_iter().collect(), again: None })
    }

    /// The same once more, under another name.
    pub fn repeated(&self) -> Self {
        Variant { label: format!("{} again", self.label), again: Some(self.label.clone()), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn this_file() -> String {
        std::env::current_exe().unwrap().to_string_lossy().into_owned()
    }

    #[test]
    fn a_timing_mode_is_environment_and_a_label_is_only_a_name() {
        let path = this_file();
        let plain = Variant::parse(&format!("external:{path}")).unwrap();
        let timed = Variant::parse(&format!("stock=external:{path}@off")).unwrap();
        assert_eq!((plain.library.to_str(), plain.env.len()), (Some(path.as_str()), 0));
        assert_eq!((timed.label.as_str(), &timed.library), ("stock", &plain.library));
        assert_eq!(timed.env, BTreeMap::from([(ENV_TIMING.to_owned(), "off".to_owned())]));
    }

    #[test]
    fn what_is_not_there_is_named() {
        for text in ["natve", "native@fast", "external", "other:/lib", ""] {
            assert!(matches!(Variant::parse(text), Err(BadVariant::Unknown(_))), "{text}");
        }
        let missing = Variant::parse("a=external:/no/such=file@elsewhere").unwrap_err();
        assert_eq!(missing.to_string(), "back end a: there is no file /no/such=file@elsewhere");
    }

    #[test]
    fn a_repeated_variant_differs_by_its_name_alone() {
        let variant = Variant::parse(&format!("a=external:{}", this_file())).unwrap();
        let again = variant.repeated();
        assert_eq!((again.label.as_str(), again.again.as_deref()), ("a again", Some("a")));
        assert_eq!((again.library, again.env), (variant.library, variant.env));
    }
}
