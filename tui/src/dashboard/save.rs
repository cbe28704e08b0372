//! Saving what is shown, as text for people and as JSON for programs.

use super::scene::Scene;
use super::waits;
use anyhow::Context;
use rumpscope_reports::contention::Waiting;
use rumpscope_reports::{Ended, Host, Ran, Run, Sample, State, Style, Summary, json, table};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Columns of the text.
const WIDTH: usize = 120;

/// Writes the profile of the time that `scene` shows into two new files in `folder`; says which.
///
/// # Errors
/// When a file cannot be made or written.
pub fn save(scene: &Scene, folder: &Path, ascii: bool) -> anyhow::Result<String> {
    let summary = summary(scene.earlier().map(AsRef::as_ref), scene.sample(), scene);
    let style = Style { width: WIDTH, colour: false, ascii };
    let stem = format!("rumpscope-{}", scene.sample().snapshot.process.pid);
    let text = write(folder, &stem, "txt", table::render(&summary, &style).as_bytes())?;
    let json = write(folder, &stem, "json", json::render(&summary)?.as_bytes())?;
    Ok(format!("saved {} and {}", text.display(), json.display()))
}

fn summary(earlier: Option<&Sample>, later: &Sample, scene: &Scene) -> Summary {
    let run = Run {
        ran: Ran::Program { command: vec![later.snapshot.process.program.clone()] },
        ended: match later.state {
            State::Alive => Ended::Running,
            State::Dead => Ended::Gone,
        },
        host: Host::this(),
    };
    let mut names = waits::symbols(&later.snapshot.contention.modules);
    let added = &scene.span().snapshot;
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
