//! Under which load variants are compared.

use crate::workload::Workload;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A load: every variant runs under it, and its figures are compared with those of the same load alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// What runs.
    #[serde(serialize_with = "write", deserialize_with = "read")]
    pub workload: Workload,
    /// Virtual CPUs.
    pub ncpu: u32,
    /// Client threads; `None`: what suits the workload.
    pub threads: Option<usize>,
}

fn write<S: Serializer>(workload: &Workload, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(workload.name())
}

fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Workload, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} vCPU{}", self.workload, self.ncpu, if self.ncpu == 1 { "" } else { "s" })?;
        match self.threads {
            None => Ok(()),
            Some(1) => f.write_str(", 1 thread"),
            Some(threads) => write!(f, ", {threads} threads"),
        }
    }
}
