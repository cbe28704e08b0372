//! Writing what a process did lately as a trace for Perfetto.

use anyhow::{Context, bail};
use rumpscope_probes::reader::Segment;
use rumpscope_reports::timeline::Picture;
use rumpscope_reports::{perfetto, units};
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::time::Duration;

/// What was written, in words.
#[derive(Debug)]
pub struct Saved {
    /// How much.
    pub what: String,
    /// What is missing in it, where something is.
    pub incomplete: Option<String>,
}

/// Fails where the process of `segment` records no events.
///
/// # Errors
/// Then, and when the segment cannot be read.
pub fn see_that_it_records(segment: &Segment) -> anyhow::Result<()> {
    if !segment.records_events()? {
        bail!(
            "the process records no events: RUMPSCOPE_EVENTS was off in its environment, or its timing mode is off or \
             counts, or it had no room for them"
        );
    }
    Ok(())
}

/// Writes what `segment` has of the last time, so long, to `path`.
///
/// # Errors
/// When no events are recorded, the segment cannot be read, or the file cannot be written.
pub fn save(segment: &Segment, last: Duration, path: &Path) -> anyhow::Result<Saved> {
    see_that_it_records(segment)?;
    let timeline = segment.timeline()?;
    let picture = Picture::new(&timeline, last);
    let name = path.display();
    let file = File::create(path).with_context(|| format!("cannot make {name}"))?;
    perfetto::write(&timeline, &picture, BufWriter::new(file)).with_context(|| format!("cannot write to {name}"))?;
    let time = |ticks| units::time(timeline.clock.nanoseconds(ticks), false);
    let (length, threads) = (time(picture.to - picture.from), picture.threads.len());
    let overwritten = (picture.complete_from > picture.from).then(|| {
        format!(
            "only its last {} tell all: more happened than there was room for",
            time(picture.to - picture.complete_from)
        )
    });
    let lost = (picture.lost != 0).then(|| {
        let events = units::count(picture.lost);
        format!("{events} events were never recorded, of threads for which there was no room; some may be of this time")
    });
    let missing: Vec<_> = overwritten.into_iter().chain(lost).collect();
    Ok(Saved {
        what: format!("{name}: {length} of {threads} threads; open it at https://ui.perfetto.dev"),
        incomplete: (!missing.is_empty())
            .then(|| format!("{}. RUMPSCOPE_EVENTS=64MiB (or --events 64MiB) keeps more", missing.join("; "))),
    })
}
