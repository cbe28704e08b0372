//! Saving what is shown, as text for people and as JSON for programs.

use super::scene::Scene;
use super::screen::Whole;
use super::waits;
use anyhow::Context;
use rumpscope_reports::contention::Waiting;
use rumpscope_reports::{Ended, Host, Ran, Run, State, Style, Summary, json, table};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Columns of the text.
const WIDTH: usize = 120;

/// Writes the profile of the time that `scene` shows into two new files in `folder`; says which. Where outlines are shown, it
/// is of the last whole samples, which tell all; where these are too old, it is said that the profile lacks what outlines
/// lack.
///
/// # Errors
/// When a file cannot be made or written.
pub fn save(scene: &Scene, folder: &Path, ascii: bool) -> anyhow::Result<String> {
    let shown = Whole { sample: scene.sample(), earlier: scene.earlier(), span: scene.span() };
    let saved = scene.whole().unwrap_or(shown);
    let summary = summary(saved);
    let style = Style { width: WIDTH, colour: false, ascii };
    let stem = format!("rumpscope-{}", saved.sample.snapshot.process.pid);
    let text = write(folder, &stem, "txt", table::render(&summary, &style).as_bytes())?;
    let json = write(folder, &stem, "json", json::render(&summary)?.as_bytes())?;
    let is_outline = [Some(saved.sample), saved.earlier].into_iter().flatten().any(|sample| sample.is_outline());
    let lacks = if is_outline { " of outlines, without percentiles and waiting" } else { "" };
    Ok(format!("saved {} and {}{lacks}", text.display(), json.display()))
}

fn summary(Whole { sample: later, earlier, span }: Whole<'_>) -> Summary {
    let run = Run {
        ran: Ran::Program { command: vec![later.snapshot.process.program.clone()] },
        ended: match later.state {
            State::Alive => Ended::Running,
            State::Dead => Ended::Gone,
        },
        host: Host::this(),
    };
    let mut names = waits::symbols(&later.snapshot.contention.modules);
    let added = &span.snapshot;
    match earlier {
        None => Summary::new(added, run).with_contention(Waiting::new(&later.snapshot, &mut names)),
        Some(earlier) => {
            let waiting = Waiting::between(&earlier.snapshot, &later.snapshot, &mut names);
            Summary::between(&earlier.snapshot, added, run).with_contention(waiting)
        }
    }
}

/// Writes a file of a name that is not taken yet.
fn write(folder: &Path, stem: &str, extension: &str, text: &[u8]) -> anyhow::Result<PathBuf> {
    for number in 1.. {
        let path = folder.join(format!("{stem}-{number}.{extension}"));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).with_context(|| format!("cannot make {}", path.display())),
            Ok(mut file) => {
                file.write_all(text).with_context(|| format!("cannot write {}", path.display()))?;
                return Ok(path);
            }
        }
    }
    anyhow::bail!("every name for a report in {} is taken", folder.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::testing;
    use std::sync::Arc;

    /// What is saved of `samples`, and said of it: how many hypercalls have percentiles, and how many waits there are.
    fn saved(name: &str, samples: Vec<rumpscope_reports::Sample>) -> (usize, usize, String) {
        let folder = std::env::temp_dir().join(format!("rumpscope-save-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut samples = samples.into_iter().map(Arc::new);
        let mut scene = Scene::new(samples.next().unwrap(), false);
        samples.for_each(|sample| assert!(!scene.push(sample)));
        let told = save(&scene, &folder, true).unwrap();
        let json = std::fs::read_to_string(folder.join("rumpscope-4711-1.json")).unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        let profile: serde_json::Value = serde_json::from_str(&json).unwrap();
        let calls = profile["hypercalls"].as_array().unwrap().iter();
        let waits = profile["contention"]["waits"].as_array().map_or(0, Vec::len);
        (calls.filter(|call| !call["percentiles"].is_null()).count(), waits, told)
    }

    #[test]
    fn of_an_outline_the_last_whole_samples_are_saved_or_it_is_said() {
        let whole = testing::samples(2, 3);
        let mut fresh = whole.clone();
        fresh[2] = testing::outline(&whole[1].snapshot, &whole[2]);
        let mut late = fresh.clone();
        late[2].snapshot.taken += (7.0 * late[2].snapshot.clock.ticks_per_second) as u64;
        let (percentiles, waits, told) = saved("whole", whole[..2].to_vec());
        assert!(percentiles > 0 && waits > 0 && !told.contains("without"), "{told}");
        assert_eq!(saved("fresh", fresh).0, percentiles);
        let (percentiles, _, told) = saved("late", late);
        assert!(percentiles == 0 && told.contains("without percentiles and waiting"), "{told}");
    }
}
