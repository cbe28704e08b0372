//! Conditions: what is worth a picture.
//!
//! `SUBJECT>TIME`, as in `wait>10ms` or `call:bio>1s 500ms`. A subject may name a hypercall, or a family of them, behind a
//! colon.

use rumpscope_probes::{CATALOGUE, Hypercall};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Something that lasts longer than it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// What.
    pub subject: Subject,
    /// On account of these hypercalls only; empty: of any.
    calls: Vec<Hypercall>,
    /// The limit: longer than this.
    pub limit: Duration,
    text: String,
}

/// What may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A hypercall, all of it.
    Call,
    /// A thread off its virtual CPU on account of a hypercall.
    Wait,
    /// A thread off its virtual CPU for whatever reason, that it has nothing to do in the kernel included.
    Off,
    /// A thread that waits for a virtual CPU.
    VcpuWait,
    /// A thread that keeps its virtual CPU.
    Run,
}

impl Subject {
    /// All of them, with the word that stands for each in a condition.
    pub const ALL: [(&'static str, Subject); 5] = [
        ("wait", Subject::Wait),
        ("call", Subject::Call),
        ("vcpu-wait", Subject::VcpuWait),
        ("run", Subject::Run),
        ("off", Subject::Off),
    ];
}

impl Condition {
    /// Whether something of that kind, on account of `call`, is meant.
    pub(super) fn is_about(&self, subject: Subject, call: Hypercall) -> bool {
        self.subject == subject && (self.calls.is_empty() || self.calls.contains(&call))
    }
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let example = "as in wait>10ms or call:bio>1s";
        let (subject, limit) = text.split_once('>').ok_or_else(|| format!("no `>`: it is SUBJECT>TIME, {example}"))?;
        let limit = humantime::parse_duration(limit.trim()).map_err(|error| format!("{:?}: {error}", limit.trim()))?;
        let (subject, name) = match subject.trim().split_once(':') {
            Some((subject, name)) => (subject, Some(name)),
            None => (subject.trim(), None),
        };
        let known = Subject::ALL.into_iter().find(|(word, _)| *word == subject);
        let words = Subject::ALL.map(|(word, _)| word).join(", ");
        let (_, subject) = known.ok_or_else(|| format!("{subject:?} is none of {words}"))?;
        let calls = name.map_or(Ok(Vec::new()), calls)?;
        Ok(Condition { subject, calls, limit, text: text.to_owned() })
    }
}

/// The hypercalls of that name or family.
fn calls(name: &str) -> Result<Vec<Hypercall>, String> {
    let named = |entry: &&rumpscope_probes::Entry| entry.name == name || entry.family.name() == name;
    let calls: Vec<Hypercall> = CATALOGUE.iter().filter(named).map(|entry| entry.call).collect();
    if calls.is_empty() {
        return Err(format!("{name:?} is no hypercall, nor a family of them: those of `rumpscope run` are meant"));
    }
    Ok(calls)
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read() {
        let wait: Condition = "wait>10ms".parse().unwrap();
        assert_eq!((wait.subject, wait.limit), (Subject::Wait, Duration::from_millis(10)));
        assert!(wait.is_about(Subject::Wait, Hypercall::Bio) && !wait.is_about(Subject::Call, Hypercall::Bio));
        let family: Condition = " call:mutex > 1s 500ms".parse().unwrap();
        assert_eq!(family.limit, Duration::from_millis(1500));
        assert!(family.is_about(Subject::Call, Hypercall::MutexEnter));
        assert!(!family.is_about(Subject::Call, Hypercall::RwEnter));
        assert_eq!("vcpu-wait:bio>1us".parse::<Condition>().unwrap().to_string(), "vcpu-wait:bio>1us");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let problem = |text: &str| text.parse::<Condition>().unwrap_err();
        assert!(problem("wait").contains("SUBJECT>TIME"));
        assert!(problem("sleep>1s").contains("none of wait, call"));
        assert!(problem("wait>soon").contains("soon"));
        assert!(problem("wait>10").contains("unit"), "{}", problem("wait>10"));
        assert!(problem("call:fly>1s").contains("\"fly\" is no hypercall"));
    }
}
