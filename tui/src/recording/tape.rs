//! A recording of a guest that is started: from when it has a segment to its end.

use super::writer::{DEPTH, Size, Writer, last_sample, recorder};
use crate::cli::Limit;
use crate::live::{Pace, Sampler};
use rumpscope_probes::Snapshot;
use rumpscope_probes::reader::Segment;
use rumpscope_reports::Ended;
use rumpscope_reports::recording::{About, RecordError, Recorder};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A recording that begins as soon as there is something to record.
#[derive(Debug)]
pub struct Tape {
    interval: Duration,
    /// Until it begins.
    recorder: Option<Recorder>,
    running: Option<(Sampler, Writer)>,
    /// Whether standard error is to be written to while it runs.
    aloud: bool,
    /// What could not be said.
    unsaid: Arc<OnceLock<String>>,
}

impl Tape {
    /// A recording in the file `path`, which is made at once.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(path: &Path, about: &About, interval: Duration, limit: Limit) -> Result<Self, RecordError> {
        let recorder = Some(recorder(path, about, limit)?);
        Ok(Tape { interval, recorder, running: None, aloud: true, unsaid: Arc::default() })
    }

    /// The same; why it ended early, if it did, is not written to standard error before all has ended: the terminal is not ours
    /// until then. See [`trouble`](Self::trouble).
    #[must_use]
    pub fn quiet(self) -> Self {
        Tape { aloud: false, ..self }
    }

    /// Where it will stand why it ended early, if it does, for who has the terminal.
    pub fn trouble(&self) -> Arc<OnceLock<String>> {
        Arc::clone(&self.unsaid)
    }

    /// To be called now and then while the guest runs: begins when there is a segment. Should the recording have to end
    /// early, that is said, and nothing else happens.
    pub fn look(&mut self, segment: &Path) {
        if self.recorder.is_none() {
            return;
        }
        // It is not there yet, or not whole yet.
        let Ok(segment) = Segment::open(segment) else { return };
        let Ok(sampler) = Sampler::start(segment, self.interval, Pace::Even) else { return };
        if let Some(recorder) = self.recorder.take() {
            let (aloud, unsaid) = (self.aloud, Arc::clone(&self.unsaid));
            let tell = move |error: &RecordError| match aloud {
                true => tell!("rumpscope: {error}"),
                false => drop(unsaid.set(error.to_string())),
            };
            let writer = Writer::start(recorder, sampler.subscribe(DEPTH), tell);
            self.running = Some((sampler, writer));
        }
    }

    /// Ends it with the last that was seen of the guest; `None`: it had ended early, as has been said.
    ///
    /// # Errors
    /// When the end cannot be written.
    pub fn finish(self, last: &Snapshot, ended: &Ended) -> Result<Option<Size>, RecordError> {
        match (self.running, self.recorder) {
            (Some((sampler, writer)), _) => {
                drop(sampler);
                let size = writer.finish(Some(last), ended)?;
                if let Some(trouble) = self.unsaid.get() {
                    tell!("rumpscope: {trouble}");
                }
                Ok(size)
            }
            // It was over before anybody looked.
            (None, Some(mut recorder)) => {
                recorder.add_always(&last_sample(last, None))?;
                Size::of_finished(recorder, ended).map(Some)
            }
            (None, None) => Ok(None),
        }
    }
}
