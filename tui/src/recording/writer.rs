//! The thread that writes a recording.

use crate::cli::Limit;
use crate::live::News;
use crate::signal;
use crossbeam_channel::{Receiver, Sender, bounded, select};
use rumpscope_probes::Snapshot;
use rumpscope_reports::recording::{About, RecordError, Recorder};
use rumpscope_reports::{Ended, Precision, Sample, State};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

/// Samples that may wait to be written; each is shared with whoever else has it.
pub const DEPTH: usize = 8;

/// A recording in the file `path`, which is made at once. From now on a limit of the size of files does not end us.
///
/// # Errors
/// When it cannot be made.
pub fn recorder(path: &Path, about: &About, limit: Limit) -> Result<Recorder, RecordError> {
    signal::outlive_file_limits();
    let recorder = Recorder::create(path, about)?;
    Ok(match limit {
        Limit::Bytes(bytes) => recorder.with_limit(bytes),
        Limit::None => recorder,
    })
}

/// Writes what comes, until it is told to stop, nothing comes any more, or it cannot be written: nobody else is hurt by
/// that.
#[derive(Debug)]
pub struct Writer {
    /// Dropped, it is to stop.
    goes_on: Sender<()>,
    thread: JoinHandle<Written>,
}

/// What a thread leaves.
#[derive(Debug)]
struct Written {
    /// `None`: it could not go on.
    recorder: Option<Recorder>,
    /// What came last.
    last: Option<Arc<Sample>>,
}

impl Writer {
    /// Writes `news` with `recorder`; `trouble` is told why it cannot go on, if that comes.
    ///
    /// # Panics
    /// When the host has no thread left.
    pub fn start(
        recorder: Recorder,
        news: Receiver<News>,
        trouble: impl FnOnce(&RecordError) + Send + 'static,
    ) -> Self {
        let (goes_on, stopped) = bounded(0);
        let write = move || write(recorder, &news, &stopped, trouble);
        let thread = std::thread::Builder::new().name("recorder".to_owned()).spawn(write);
        Writer { goes_on, thread: thread.expect("a thread") }
    }

    /// Whether there is nothing more to write.
    pub fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends the recording when what has come is written: with `last` as its last sample, if there is one, and with how the
    /// process ended. `None`: it had ended early, which somebody has been told then.
    ///
    /// # Errors
    /// When the end cannot be written.
    pub fn finish(self, last: Option<&Snapshot>, ended: &Ended) -> Result<Option<Size>, RecordError> {
        drop(self.goes_on);
        // It panics only where we do.
        let Ok(written) = self.thread.join() else { return Ok(None) };
        let Some(mut recorder) = written.recorder else { return Ok(None) };
        // Who asks may not have seen its end.
        let dead = written.last.as_ref().is_some_and(|last| last.state == State::Dead);
        let ended = if dead && *ended == Ended::Running { &Ended::Gone } else { ended };
        // However little room there is, the last sample is whole.
        match (last, written.last) {
            (Some(snapshot), before) => recorder.add_always(&last_sample(snapshot, before.as_deref()))?,
            (None, Some(last)) if !recorder.ends_whole() => recorder.add_always(&last)?,
            (None, _) => {}
        }
        Size::of_finished(recorder, ended).map(Some)
    }
}

/// How much was recorded.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    samples: usize,
    outlines: usize,
    precision: Precision,
    left_out: usize,
    bytes: u64,
}

impl Size {
    /// Ends a recording.
    pub(super) fn of_finished(recorder: Recorder, ended: &Ended) -> Result<Self, RecordError> {
        let (samples, outlines, left_out) = (recorder.samples(), recorder.outlines(), recorder.left_out());
        let precision = recorder.precision();
        Ok(Size { samples, outlines, precision, left_out, bytes: recorder.finish(ended)? })
    }

    /// Says it on standard error.
    pub fn tell(&self, path: &Path) {
        if self.samples == 0 {
            return tell!("rumpscope: {}: nothing was recorded, so nothing is written", path.display());
        }
        let (samples, kilobytes) = (self.samples(), self.bytes.div_ceil(1000));
        tell!("rumpscope: {}: {samples}, {kilobytes} kB; `rumpscope replay` shows it", path.display());
        if let Some(what) = self.shortened() {
            tell!("rumpscope: {what}, to stay below its limit; --limit allows more");
        }
    }

    /// Whether all samples are there, and whole.
    pub fn is_whole(&self) -> bool {
        self.shortened().is_none()
    }

    /// How much it is, in a line.
    pub fn in_short(&self) -> String {
        let shortened = self.shortened().map(|what| format!(", {what}"));
        self.samples() + &shortened.unwrap_or_default()
    }

    fn samples(&self) -> String {
        if self.samples == 1 { "1 sample".to_owned() } else { format!("{} samples", self.samples) }
    }

    /// What is not whole, if anything is not.
    fn shortened(&self) -> Option<String> {
        let outlines = format!("{} of them are outlines ({})", self.outlines, self.precision);
        match (self.outlines, self.left_out) {
            (0, 0) => None,
            (0, left_out) => Some(format!("{left_out} more were left out")),
            (_, 0) => Some(outlines),
            (_, left_out) => Some(format!("{outlines}, and {left_out} more were left out")),
        }
    }
}

/// `snapshot`, of a process that has ended; `before` has its threads.
pub fn last_sample(snapshot: &Snapshot, before: Option<&Sample>) -> Sample {
    let (threads, missed) = before.map(|before| (before.threads.clone(), before.missed)).unwrap_or_default();
    Sample { snapshot: snapshot.clone(), state: State::Dead, threads, missed, precision: Precision::EXACT }
}

fn write(
    mut recorder: Recorder,
    news: &Receiver<News>,
    stopped: &Receiver<()>,
    trouble: impl FnOnce(&RecordError),
) -> Written {
    let mut last = None;
    loop {
        let news = select! {
            recv(news) -> news => news.ok(),
            recv(stopped) -> _ => news.try_recv().ok(),
        };
        let sample = match news {
            Some(News::Sample(sample)) => sample,
            // It may come again.
            Some(News::Trouble(_)) => continue,
            None => break,
        };
        if let Err(error) = recorder.add(&sample) {
            trouble(&error);
            return Written { recorder: None, last };
        }
        last = Some(sample);
    }
    Written { recorder: Some(recorder), last }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::testing;
    use rumpscope_reports::{Host, Ran};

    #[test]
    fn what_has_come_is_written_when_it_ends() {
        let path = std::env::temp_dir().join(format!("rumpscope-writer-{}.rsr", std::process::id()));
        let about = About { ran: Ran::Program { command: Vec::new() }, host: Host::this() };
        // Which of several that are ready is taken is by chance.
        for _ in 0..10 {
            let (sender, news) = bounded(DEPTH);
            for sample in testing::samples(1, DEPTH as u64) {
                sender.send(News::Sample(Arc::new(sample))).unwrap();
            }
            let writer = Writer::start(recorder(&path, &about, Limit::None).unwrap(), news, |error| panic!("{error}"));
            let size = writer.finish(None, &Ended::Running).unwrap().unwrap();
            assert_eq!(size.samples, DEPTH);
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_is_not_whole_is_told() {
        let told = |outlines, left_out| {
            let precision = Precision { counts: 5, times: 3 };
            Size { samples: 9, outlines, precision, left_out, bytes: 1 }.in_short()
        };
        assert_eq!([told(0, 0), told(0, 7)], ["9 samples", "9 samples, 7 more were left out"]);
        let outlines = "9 samples, 5 of them are outlines (counts within 1/32, times within 1/8)";
        assert_eq!([told(5, 0), told(5, 7)], [outlines, &format!("{outlines}, and 7 more were left out")]);
    }
}
