//! `rumpscope trace`: the last seconds of a guest, as a trace for Perfetto.

use crate::cli::TraceArgs;
use crate::output::Target;
use crate::{attach, child, exit, interrupt, measured, trace_file};
use anyhow::{Context, bail};
use rumpscope_probes::events::Follower;
use rumpscope_probes::reader::{ReadError, Segment};
use rumpscope_reports::timeline::{Hit, Watch};
use rumpscope_reports::units;
use std::cell::RefCell;
use std::path::{Path, PathBuf};

/// Writes it; the result is the exit status.
///
/// # Errors
/// When there is nothing to look at, or the trace cannot be written.
pub fn run(args: &TraceArgs) -> anyhow::Result<i32> {
    match args.pid {
        Some(pid) => of_process(args, pid),
        None => of_guest(args),
    }
}

fn of_process(args: &TraceArgs, pid: u32) -> anyhow::Result<i32> {
    let segment = attach::of_process(pid)?;
    if args.when.is_none() {
        save(args, &segment, 1)?;
        return Ok(0);
    }
    if !segment.is_alive()? {
        bail!("process {pid} has ended: nothing comes true any more; without --when, its last seconds are written");
    }
    interrupt::catch().context("cannot wait for Ctrl-C")?;
    let mut lookout = Lookout::default();
    let since = segment.now()?;
    lookout.begin(args, segment, since)?;
    while lookout.goes_on(args) && !interrupt::arrived() && lookout.is_alive()? {
        std::thread::sleep(child::LOOK);
        lookout.look(args)?;
    }
    Ok(lookout.ended(args, 0))
}

fn of_guest(args: &TraceArgs) -> anyhow::Result<i32> {
    if args.when.is_none() {
        // A wrong name is not found out after the run.
        Target::file(&args.output)?;
    }
    let lookout = RefCell::new(Lookout::default());
    let mut problem = None;
    let mut look = |path: &Path| {
        if problem.is_none() {
            problem = lookout.borrow_mut().look_at(args, path).err();
        }
    };
    let look: Option<&mut dyn FnMut(&Path)> = if args.when.is_some() { Some(&mut look) } else { None };
    let last = |path: &Path| match args.when {
        None => save(args, &Segment::open(path)?, 1),
        // What has come true since the last look; all of it, where the guest was quicker than that.
        Some(_) => lookout.borrow_mut().look_at(args, path),
    };
    let events = args.events.as_deref().unwrap_or("on");
    let measured = match measured::observe(&args.measured, Some(events), look, last)? {
        Ok(measured) => measured,
        Err(status) => return Ok(status),
    };
    match problem {
        Some(problem) => Err(problem),
        None if args.when.is_some() => Ok(lookout.borrow().ended(args, measured.status())),
        None => Ok(measured.status()),
    }
}

/// Waits for a condition to come true.
#[derive(Default)]
struct Lookout {
    segment: Option<(Segment, Follower, Watch)>,
    saved: u32,
}

impl Lookout {
    /// Waits for it in `segment`; what lasted too long before `since` (ticks) does not count.
    fn begin(&mut self, args: &TraceArgs, segment: Segment, since: u64) -> anyhow::Result<()> {
        trace_file::see_that_it_records(&segment)?;
        let Some(condition) = args.when.clone() else { return Ok(()) };
        let follower = segment.follow()?;
        self.segment = Some((segment, follower, Watch::new(condition, since)));
        Ok(())
    }

    fn goes_on(&self, args: &TraceArgs) -> bool {
        self.saved < args.times
    }

    fn is_alive(&self) -> anyhow::Result<bool> {
        Ok(self.segment.as_ref().map_or(Ok(false), |(segment, ..)| segment.is_alive())?)
    }

    /// Looks, where the guest that was started makes its segment, unless all has been seen.
    fn look_at(&mut self, args: &TraceArgs, path: &Path) -> anyhow::Result<()> {
        // There is none before the guest has called the hypervisor.
        if !self.goes_on(args) || (self.segment.is_none() && !path.exists()) {
            return Ok(());
        }
        if self.segment.is_none() {
            match Segment::open(path) {
                // It is being made.
                Err(ReadError::NoSegment { .. }) => return Ok(()),
                // All that it does counts.
                segment => self.begin(args, segment?, 0)?,
            }
        }
        self.look(args)
    }

    fn look(&mut self, args: &TraceArgs) -> anyhow::Result<()> {
        let Some((segment, follower, watch)) = &mut self.segment else { return Ok(()) };
        let news = follower.read(segment)?;
        // A trace tells of all that came true since the last look.
        if let Some(hit) = watch.look(&news).first() {
            let lasts = units::time(news.clock.nanoseconds(hit.ticks), false);
            tell!("rumpscope: {}", describe(args, hit, &lasts));
            self.saved += 1;
            save(args, segment, self.saved)?;
        }
        Ok(())
    }

    /// The exit status; says what did not come.
    fn ended(&self, args: &TraceArgs, status: i32) -> i32 {
        let Some(condition) = &args.when else { return status };
        match self.saved {
            0 => {
                tell!("rumpscope: no trace: {condition} never came true");
                exit::NO_PROFILE
            }
            saved if saved < args.times => {
                tell!("rumpscope: {condition} came true {saved} times only");
                status
            }
            _ => status,
        }
    }
}

fn describe(args: &TraceArgs, hit: &Hit, lasts: &str) -> String {
    let condition = args.when.as_ref().map(ToString::to_string).unwrap_or_default();
    let so_far = if hit.goes_on { " so far" } else { "" };
    format!("{condition}: thread {} ({}), {}, {lasts}{so_far}", hit.name, hit.tid, hit.call.name())
}

/// Writes the trace number `number`, from 1, of what is in `segment` now.
fn save(args: &TraceArgs, segment: &Segment, number: u32) -> anyhow::Result<()> {
    let saved = trace_file::save(segment, args.last, &numbered(&args.output, number))?;
    tell!("rumpscope: {}", saved.what);
    if let Some(incomplete) = saved.incomplete {
        tell!("rumpscope: {incomplete}");
    }
    Ok(())
}

/// Where trace `number` is written to: `trace.pftrace`, `trace.2.pftrace`, and so on.
fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 1 {
        return path.to_owned();
    }
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!(".{number}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_traces_have_a_number() {
        let name = |path: &str, number| numbered(Path::new(path), number).display().to_string();
        assert_eq!(name("a/b.pftrace", 1), "a/b.pftrace");
        assert_eq!(name("a/b.pftrace", 2), "a/b.2.pftrace");
        assert_eq!(name("trace", 3), "trace.3");
    }
}
