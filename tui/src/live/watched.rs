//! A process that is watched in the dashboard, and recorded when that is asked for.

use super::{News, Pace, Sampler};
use crate::cli::DEFAULT_LIMIT;
use crate::dashboard::source::Live;
use crate::recording::{self, Writer};
use crate::trace_file;
use anyhow::Context;
use crossbeam_channel::Receiver;
use rumpscope_probes::Process;
use rumpscope_probes::reader::{ReadError, Segment};
use rumpscope_reports::recording::About;
use rumpscope_reports::{Ended, Host, Ran};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Samples that may wait to be shown: a dashboard that is behind takes them all at once.
const DEPTH: usize = 4;

/// How much of the timeline is saved as a trace, if it has as much.
const LAST: Duration = Duration::from_secs(5);

/// A process that is watched.
#[derive(Debug)]
pub struct Watched {
    process: Process,
    segment: Segment,
    sampler: Sampler,
    news: Receiver<News>,
    interval: Duration,
    recording: Option<Recording>,
    /// Why a recording ended early, until it is told.
    trouble: Arc<Mutex<Option<String>>>,
    /// The same of a recording that somebody else makes.
    beside: Option<Arc<OnceLock<String>>>,
}

/// A recording that is under way.
#[derive(Debug)]
struct Recording {
    path: PathBuf,
    /// Its own, for all that is recorded is whole.
    sampler: Sampler,
    writer: Writer,
}

impl Watched {
    /// The process of `segment`, looked at each `interval`, or less often where it costs too much.
    ///
    /// # Errors
    /// When the segment cannot be read.
    pub fn start(segment: Segment, interval: Duration) -> Result<Self, ReadError> {
        let process = segment.process()?;
        let sampler = Sampler::start(segment.try_clone()?, interval, Pace::Outlining)?;
        let news = sampler.subscribe(DEPTH);
        Ok(Watched {
            process,
            segment,
            sampler,
            news,
            interval,
            recording: None,
            trouble: Arc::default(),
            beside: None,
        })
    }

    /// Tells what comes into `trouble` as well.
    #[must_use]
    pub fn with_trouble(mut self, trouble: Option<Arc<OnceLock<String>>>) -> Self {
        self.beside = trouble;
        self
    }

    fn start_recording(&mut self) -> anyhow::Result<String> {
        let path =
            free_name(&std::env::current_dir().context("cannot find the current folder")?, self.process.pid, "rsr")?;
        let ran = Ran::Program { command: vec![self.process.program.clone()] };
        let recorder = recording::recorder(&path, &About { ran, host: Host::this() }, DEFAULT_LIMIT)?;
        let trouble = Arc::clone(&self.trouble);
        let sampler = Sampler::start(self.segment.try_clone()?, self.interval, Pace::Sparing)?;
        let writer = Writer::start(recorder, sampler.subscribe(recording::DEPTH), move |error| {
            *trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
        });
        let told = format!("recording to {}", path.display());
        self.recording = Some(Recording { path, sampler, writer });
        Ok(told)
    }

    /// Ends the recording that is under way, if one is.
    fn stop_recording(&mut self) -> anyhow::Result<Option<String>> {
        let Some(Recording { path, writer, .. }) = self.recording.take() else { return Ok(None) };
        let ended = if self.process.is_alive() { Ended::Running } else { Ended::Gone };
        match writer.finish(None, &ended)? {
            Some(size) => Ok(Some(format!("recorded in {}: {}", path.display(), size.in_short()))),
            None => {
                let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take();
                anyhow::bail!("{}", trouble.unwrap_or_else(|| format!("{} has ended early", path.display())))
            }
        }
    }
}

/// A name in `folder` that no file has yet, for a recording or a trace of process `pid`.
fn free_name(folder: &Path, pid: u32, extension: &str) -> anyhow::Result<PathBuf> {
    let names = (1..1000).map(|number| folder.join(format!("rumpscope-{pid}-{number}.{extension}")));
    names.into_iter().find(|path| !path.exists()).context("there are a thousand files of this process here")
}

impl Live for Watched {
    fn news(&self) -> &Receiver<News> {
        &self.news
    }

    fn interval(&self) -> Duration {
        self.interval
    }

    fn set_interval(&mut self, interval: Duration) {
        self.interval = interval.max(super::SHORTEST);
        let recording = self.recording.as_ref().map(|recording| &recording.sampler);
        [Some(&self.sampler), recording].into_iter().flatten().for_each(|sampler| sampler.set_interval(self.interval));
    }

    fn recording(&self) -> Option<String> {
        let recording = self.recording.as_ref().filter(|recording| !recording.writer.is_over())?;
        Some(recording.path.display().to_string())
    }

    fn toggle_recording(&mut self) -> anyhow::Result<String> {
        match self.stop_recording()? {
            Some(told) => Ok(told),
            None => self.start_recording(),
        }
    }

    fn trouble(&mut self) -> Option<String> {
        let beside = self.beside.take_if(|beside| beside.get().is_some());
        let own = || self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take();
        beside.and_then(|beside| beside.get().cloned()).or_else(own)
    }

    fn save_trace(&mut self) -> anyhow::Result<String> {
        let folder = std::env::current_dir().context("cannot find the current folder")?;
        let path = free_name(&folder, self.process.pid, "pftrace")?;
        let saved = trace_file::save(&self.segment, LAST, &path)?;
        Ok(match saved.incomplete {
            None => saved.what,
            Some(incomplete) => format!("{} ({incomplete})", saved.what),
        })
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        match self.stop_recording() {
            Ok(None) => {}
            Ok(Some(told)) => tell!("rumpscope: {told}"),
            Err(error) => tell!("rumpscope: {error:#}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::target::testing::Forged;
    use super::*;
    use rumpscope_reports::recording::Recording as Read;

    #[test]
    fn a_recording_is_started_and_stopped() {
        let mut forged = Forged::new("watched");
        let mut watched = Watched::start(forged.open(), Duration::from_millis(10)).unwrap();
        assert_eq!(watched.recording(), None);
        watched.start_recording().unwrap();
        let path = PathBuf::from(watched.recording().unwrap());
        // The first sample comes at once, to the recorder as well.
        watched.news().recv_timeout(Duration::from_secs(30)).unwrap();
        forged.kill();
        while !watched.recording.as_ref().is_some_and(|recording| recording.writer.is_over()) {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(watched.toggle_recording().unwrap().starts_with("recorded in "));
        let recording = Read::open(&path).unwrap();
        assert!(recording.len() >= 1);
        assert_eq!(recording.ended(), Some(&Ended::Gone));
        drop(watched);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn no_file_is_written_over() {
        let folder = std::env::temp_dir().join(format!("rumpscope-names-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        assert_eq!(free_name(&folder, 7, "rsr").unwrap(), folder.join("rumpscope-7-1.rsr"));
        std::fs::write(folder.join("rumpscope-7-1.rsr"), "").unwrap();
        assert_eq!(free_name(&folder, 7, "rsr").unwrap(), folder.join("rumpscope-7-2.rsr"));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
