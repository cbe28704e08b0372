//! Under which load variants are compared.

use crate::genuine;
use crate::workload::Workload;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::path::PathBuf;

/// The kernel that runs on the variants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guest {
    /// The embedded guest.
    #[default]
    Embedded,
    /// A genuine kernel, whose libraries lie in this folder.
    Genuine(PathBuf),
}

/// What runs on a guest. No two have the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// On the embedded guest.
    Embedded(Workload),
    /// On a genuine kernel.
    Genuine(genuine::Load),
}

/// A load: every variant runs under it, and its figures are compared with those of the same load alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// What runs.
    pub workload: Load,
    /// Virtual CPUs.
    pub ncpu: u32,
    /// Client threads; `None`: what suits the workload.
    pub threads: Option<usize>,
}

impl Load {
    /// Those of a guest. Of the embedded one all but the mixed workload, which is made of the others.
    pub fn all(guest: &Guest) -> Vec<Load> {
        match guest {
            Guest::Embedded => {
                let parts = Workload::ALL.into_iter().filter(|workload| *workload != Workload::Mixed);
                parts.map(Load::Embedded).collect()
            }
            Guest::Genuine(_) => genuine::Load::ALL.map(Load::Genuine).to_vec(),
        }
    }

    /// The load of `guest` with this name.
    ///
    /// # Errors
    /// A sentence that says which there are.
    pub fn of(guest: &Guest, name: &str) -> Result<Load, String> {
        match guest {
            Guest::Embedded => name
                .parse()
                .map(Load::Embedded)
                .map_err(|unknown: crate::workload::UnknownWorkload| unknown.to_string()),
            Guest::Genuine(_) => {
                name.parse().map(Load::Genuine).map_err(|unknown: genuine::UnknownLoad| unknown.to_string())
            }
        }
    }

    /// How many client threads it has where `asked` are wanted: some take pairs, or fours.
    pub fn threads_for(self, asked: usize) -> usize {
        match self {
            Load::Embedded(workload) => workload.threads_for(asked),
            Load::Genuine(load) => load.threads_for(asked),
        }
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Load::Embedded(workload) => workload.name(),
            Load::Genuine(load) => load.name(),
        }
    }
}

impl Serialize for Load {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Load {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let genuine = name.parse().map(Load::Genuine);
        genuine.or_else(|_| name.parse().map(Load::Embedded)).map_err(D::Error::custom)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} vCPU{}", self.workload.name(), self.ncpu, if self.ncpu == 1 { "" } else { "s" })?;
        match self.threads {
            None => Ok(()),
            Some(1) => f.write_str(", 1 thread"),
            Some(threads) => write!(f, ", {threads} threads"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_of_one_load() {
        let guests = [Guest::Embedded, Guest::Genuine("kernel".into())];
        for guest in &guests {
            for load in Load::all(guest) {
                assert_eq!(Load::of(guest, load.name()), Ok(load));
                assert_eq!(serde_json::from_str::<Load>(&serde_json::to_string(&load).unwrap()).unwrap(), load);
                assert!(
                    guests.iter().filter(|other| *other != guest).all(|other| Load::of(other, load.name()).is_err())
                );
            }
        }
        assert!(Load::of(&Guest::Embedded, "mixed").is_ok() && !Load::all(&Guest::Embedded).is_empty());
    }
}
