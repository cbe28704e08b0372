//! The summary for people.

use crate::contention::points;
use crate::coverage::Coverage;
use crate::grid::{Column, Grid};
use crate::paragraph::{alarming, labelled};
use crate::run::{Ended, Ran, Run};
use crate::style::Style;
use crate::summary::Summary;
use crate::times::{Percentiles, Times};
use crate::transitions::Transition;
use crate::units;
use crate::vcpu::{Vcpu, VcpuTime};
use rumpscope_probes::{CATALOGUE, Entry, Mode, Timing};

/// What stands where there is no number.
const NOTHING: &str = "-";

/// The summary as text.
pub fn render(summary: &Summary, style: &Style) -> String {
    let sections = [
        header(summary, style),
        vcpus(summary, style),
        hypercalls(summary, style),
        transitions(summary, style),
        summary.contention.as_ref().map_or_else(String::new, |waiting| points::render(waiting, style)),
        coverage(summary, style),
    ];
    let sections: Vec<_> = sections.into_iter().filter(|section| !section.is_empty()).collect();
    sections.join("\n")
}

fn header(summary: &Summary, style: &Style) -> String {
    let Run { ran, ended, host } = &summary.run;
    let time = |nanoseconds| units::time(nanoseconds, style.ascii);
    let what = match ran {
        Ran::Embedded { workload, seed } => format!("the embedded guest, workload {workload}, seed {seed}"),
        Ran::Program { command } => command.join(" "),
    };
    let end = match ended {
        Ended::Exited { status: 0 } => "ended by itself".to_owned(),
        Ended::Exited { status } => format!("ended with status {status}"),
        Ended::Killed { signal, name } => format!("killed by {name} ({signal}): the profile goes up to there"),
        Ended::Stopped { killed: false } => "stopped by rumpscope".to_owned(),
        Ended::Stopped { killed: true } => "killed by rumpscope, since it did not end when asked to".to_owned(),
        Ended::Running => "still running".to_owned(),
        Ended::Gone => "has ended, how is not known".to_owned(),
    };
    let processor = if host.processor.is_empty() { "processor unknown" } else { &host.processor };
    let virtual_cpus =
        if summary.coverage.vcpus_known { summary.vcpus.len().to_string() } else { "not known".to_owned() };
    let rows = [
        ("ran", what),
        ("process", format!("{}, {} measured, {end}", summary.pid, time(summary.duration_ns as f64))),
        ("host", format!("{}, {} cores, {processor}", host.system, host.cores)),
        ("virtual CPUs", virtual_cpus),
        (
            "clock",
            format!(
                "{} at {:.3} GHz in steps of {:.1}ns, two reads cost {:.1}ns",
                summary.clock.source,
                summary.clock.ticks_per_second / 1e9,
                summary.clock.step_ns,
                summary.clock.two_reads_ns
            ),
        ),
        ("timing", summary.timing.to_owned()),
        ("back end", summary.backend.clone()),
    ];
    let gathered = summary.gathered.sentence(summary.duration_ns as f64).map(|sentence| ("gathered", sentence));
    let rows = rows.into_iter().chain(gathered).map(|(label, text)| labelled(label, &text, style));
    format!("{}\n{}", style.title("rumpscope"), rows.collect::<String>())
}

fn section(title: &str, grid: &Grid, style: &Style) -> String {
    format!("{}\n{}", style.title(title), grid.render(style))
}

fn vcpus(summary: &Summary, style: &Style) -> String {
    if summary.vcpus.is_empty() {
        return String::new();
    }
    let columns = [
        ("vCPU", 0),
        ("running", 0),
        ("idle", 0),
        ("not yet used", 1),
        ("waited for", 0),
        ("switches", 0),
        ("migrations in", 0),
    ];
    let share = |nanoseconds: u64| units::percent(nanoseconds as f64 / summary.duration_ns.max(1) as f64);
    let part = |vcpu: &Vcpu, of: fn(&VcpuTime) -> u64| vcpu.time.as_ref().map(of).map_or(NOTHING.to_owned(), share);
    let rows = summary.vcpus.iter().map(|vcpu| {
        vec![
            vcpu.index.to_string(),
            part(vcpu, |time| time.running_ns),
            part(vcpu, |time| time.idle_ns),
            part(vcpu, |time| time.unused_ns),
            share(vcpu.waited_for_ns),
            units::count(vcpu.switches),
            units::count(vcpu.migrations),
        ]
    });
    let grid = Grid {
        columns: columns.into_iter().map(|(name, drop)| Column::new(name, drop)).collect(),
        rows: rows.collect(),
    };
    section("Virtual CPUs", &grid, style)
}

fn hypercalls(summary: &Summary, style: &Style) -> String {
    if summary.hypercalls.is_empty() {
        return String::new();
    }
    let columns = [
        ("hypercall", 0),
        ("calls", 0),
        ("rate/s", 4),
        ("total", 0),
        ("share", 2),
        ("active", 5),
        ("p50", 0),
        ("p90", 3),
        ("p99", 0),
        ("p99.9", 1),
        ("max", 0),
    ];
    let rows = summary.hypercalls.iter().map(|row| {
        let times = &row.times.all;
        let point = |of: fn(&Percentiles) -> u64| point(times, of, style);
        vec![
            row.name.to_owned(),
            units::count(times.count),
            units::rate(row.per_second),
            total(times, style),
            if times.timed == 0 { NOTHING.to_owned() } else { units::percent(row.share) },
            row.active_share().map_or_else(|| NOTHING.to_owned(), units::percent),
            point(|times| times.p50_ns),
            point(|times| times.p90_ns),
            point(|times| times.p99_ns),
            point(|times| times.p99_9_ns),
            point(|times| times.max_ns),
        ]
    });
    let grid = Grid {
        columns: columns.into_iter().map(|(name, drop)| Column::new(name, drop)).collect(),
        rows: rows.collect(),
    };
    section("Hypercalls", &grid, style)
}

/// A total; `~` marks an estimate.
fn total(times: &Times, style: &Style) -> String {
    if times.timed == 0 {
        return NOTHING.to_owned();
    }
    let mark = if times.estimated { "~" } else { "" };
    format!("{mark}{}", units::time(times.total_ns as f64, style.ascii))
}

fn point(times: &Times, of: fn(&Percentiles) -> u64, style: &Style) -> String {
    let nanoseconds = times.percentiles.as_ref().map(of);
    nanoseconds.map_or(NOTHING.to_owned(), |nanoseconds| units::time(nanoseconds as f64, style.ascii))
}

/// A part of a transition: the title of its columns, and where its times are.
type Part = (&'static str, fn(&Transition) -> &Times);

/// In the order in which a thread goes through them.
const PARTS: [Part; 4] = [
    ("run before", |transition| &transition.run.all),
    ("giving up", |transition| &transition.unschedule.all),
    ("off the vCPU", |transition| &transition.off.all),
    ("wait to be scheduled", |transition| &transition.reschedule.all),
];

fn transitions(summary: &Summary, style: &Style) -> String {
    if summary.transitions.is_empty() {
        return String::new();
    }
    // As many parts side by side as there is room for; the others below them.
    let bands = |parts: usize| PARTS.chunks(parts).map(|parts| band(summary, parts, style)).collect::<Vec<_>>();
    let bands = [4, 2, 1]
        .map(bands)
        .into_iter()
        .find(|bands| bands.iter().all(|grid| grid.width() <= style.width))
        .unwrap_or_else(|| bands(1));
    let bands: Vec<_> = bands.iter().map(|grid| grid.render(style)).collect();
    format!("{}\n{}", style.title("Transitions, by cause"), bands.join("\n"))
}

fn band(summary: &Summary, parts: &[Part], style: &Style) -> Grid {
    let mut columns = vec![Column::new("cause", 0), Column::new("times", 0)];
    for (group, _) in parts {
        columns.extend(["p50", "p99", "total"].map(|name| Column::grouped(name, group)));
    }
    let rows = summary.transitions.iter().map(|transition| {
        let mut row = vec![transition.cause.to_owned(), units::count(transition.times())];
        for (_, times) in parts {
            let times = times(transition);
            row.push(point(times, |times| times.p50_ns, style));
            row.push(point(times, |times| times.p99_ns, style));
            row.push(total(times, style));
        }
        row
    });
    Grid { columns, rows: rows.collect() }
}

/// Whether, in modes that time quick calls in part, it is one of those.
fn is_quick(name: &str) -> bool {
    CATALOGUE.iter().any(|entry| entry.name == name && entry.timing == Timing::Quick)
}

fn coverage(summary: &Summary, style: &Style) -> String {
    let coverage = &summary.coverage;
    let mut text = format!("{}\n", style.title("What this does not show"));
    let mut say = |label: &str, sentence: &str| text.push_str(&labelled(label, sentence, style));
    if summary.timing == Mode::Off.name() {
        say("everything", "the timing mode is off: nothing was counted or timed");
        return text;
    }
    if summary.timing == Mode::Counts.name() {
        say("times", "the timing mode is counts: nothing was timed");
    }
    if !coverage.never_called.is_empty() {
        let (never, of) = (coverage.never_called.len(), Coverage::hypercalls());
        say("never called", &format!("{never} of {of} hypercalls: {}", by_family(&coverage.never_called)));
    }
    if !coverage.never_returned.is_empty() {
        let names = coverage.never_returned.join(", ");
        say("never returned", &format!("{names}: only the transitions of these calls were seen"));
    }
    let (quick, sampled): (Vec<_>, Vec<_>) = coverage.sampled.iter().copied().partition(|name| is_quick(name));
    if !quick.is_empty() {
        let sentence = format!(
            "{}: all are counted; those that ended at once are timed as a sample, since the clock costs more than they do, \
             and all others are timed. Times of these calls are estimates from both (the timing mode exact times all)",
            quick.join(", ")
        );
        say("timed in part", &sentence);
    }
    if !sampled.is_empty() {
        let sentence =
            format!("{}: all are counted, a sample is timed; their times are estimates from it", sampled.join(", "));
        say("sampled", &sentence);
    }
    if !coverage.untimed.is_empty() && summary.timing != Mode::Counts.name() {
        say("not timed", &format!("{}: counted only", coverage.untimed.join(", ")));
    }
    if !coverage.vcpus_known {
        say(
            "virtual CPUs",
            "not known: the guest did not tell which one a thread is on, so nothing is split by virtual CPU. \
             A shared rump kernel tells (it exports rumpns_cpu_lookup), and so does the embedded guest",
        );
    }
    if !coverage.guest_transitions_seen {
        say(
            "guest's own",
            "transitions outside of hypercalls (entry by system calls) were not seen, so nobody knows how long virtual \
             CPUs ran. They are seen in a shared rump kernel that `rumpscope run` starts, not in a static one",
        );
    }
    if coverage.lost_timings + coverage.lost_places == 0 {
        say("lost", "nothing");
    } else {
        let (timings, places) = (units::count(coverage.lost_timings), units::count(coverage.lost_places));
        let sentence = format!(
            "{timings} events were counted but not timed, {places} counted without thread and virtual CPU: \
             the measured process had no room left (is the file system of its runtime directory full?)"
        );
        text.push_str(&alarming("lost", &sentence, style));
    }
    text
}

/// `names`, where a family of which all are among them stands for its members.
fn by_family(names: &[&str]) -> String {
    let exported = || CATALOGUE.iter().filter(|entry| entry.call.is_exported());
    let missing = |entry: &&Entry| names.contains(&entry.name);
    let is_whole = |family| exported().filter(|entry| entry.family == family).all(|entry| missing(&entry));
    let mut whole: Vec<_> = exported().map(|entry| entry.family).filter(|family| is_whole(*family)).collect();
    whole.sort();
    whole.dedup();
    let parts = exported().filter(missing).filter(|entry| !whole.contains(&entry.family)).map(|entry| entry.name);
    let whole = whole.iter().map(|family| format!("all of {}", family.name()));
    whole.chain(parts.map(str::to_owned)).collect::<Vec<_>>().join(", ")
}
