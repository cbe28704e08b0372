//! An interval for people.

use super::Interval;
use crate::dashboard::model::{Counted, HostSpan, Now, ThreadSpan};
use rumpscope_reports::contention::points;
use rumpscope_reports::grid::{Column, Grid};
use rumpscope_reports::paragraph::{alarming, labelled};
use rumpscope_reports::{Event, Gathered, State, Style, units};

/// What stands where there is no number.
const NOTHING: &str = "-";
/// Rows of hypercalls and of threads.
const MOST: usize = 15;

/// The interval as text.
pub fn render(interval: &Interval, style: &Style) -> String {
    let sections = [
        head(interval, style),
        vcpus(interval, style),
        hypercalls(interval, style),
        points::render(&interval.waiting, style),
        threads(interval, style),
    ];
    let sections: Vec<_> = sections.into_iter().filter(|section| !section.is_empty()).collect();
    sections.join("\n")
}

fn head(interval: &Interval, style: &Style) -> String {
    let Interval { later, span, .. } = interval;
    let snapshot = &span.snapshot;
    let whole = later.snapshot.clock.nanoseconds(later.snapshot.taken.saturating_sub(later.snapshot.began));
    let state = match later.state {
        State::Alive => "runs",
        State::Dead => "has ended",
    };
    let title = format!("{} ({})", snapshot.process.program, snapshot.process.pid);
    let time = |nanoseconds| units::time(nanoseconds, style.ascii);
    let mut text = format!("{}\n", style.title(&title));
    text.push_str(&labelled("state", &format!("{state}; measured for {}", time(whole)), style));
    text.push_str(&labelled("shown", &format!("the last {}", time(span.seconds * 1e9)), style));
    let rate = units::rate(span.calls_per_second());
    let calls = format!("{rate} in a second, {:.1} threads in them on average", span.threads_in_calls());
    text.push_str(&labelled("hypercalls", &calls, style));
    if let Some(sentence) = Gathered::of(snapshot).sentence(span.seconds * 1e9) {
        text.push_str(&labelled("gathered", &sentence, style));
    }
    let lost = snapshot.coverage.lost_timings + snapshot.coverage.lost_places;
    if lost != 0 {
        let sentence = format!("{} events were counted, but not timed or not placed", units::count(lost));
        text.push_str(&alarming("lost", &sentence, style));
    }
    if later.missed != 0 {
        let sentence = format!("{} samples were not shown, since whoever reads this is slow", later.missed);
        text.push_str(&alarming("missed", &sentence, style));
    }
    text
}

fn section(title: &str, columns: &[(&str, u8)], rows: Vec<Vec<String>>, style: &Style) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let columns = columns.iter().map(|(name, drop)| Column::new(name, *drop)).collect();
    format!("{}\n{}", style.title(title), Grid { columns, rows }.render(style))
}

fn vcpus(interval: &Interval, style: &Style) -> String {
    let columns = [
        ("vCPU", 0),
        ("running", 0),
        ("of it wanted", 0),
        ("idle", 0),
        ("threads waiting", 0),
        ("switches/s", 2),
        ("migrations in/s", 3),
        ("holder now", 1),
    ];
    let rows = interval.span.vcpus.iter().map(|vcpu| {
        let share = |of: fn(&crate::dashboard::model::Shares) -> f64| {
            vcpu.shares.as_ref().map_or(NOTHING.to_owned(), |shares| units::percent(of(shares)))
        };
        vec![
            vcpu.index.to_string(),
            share(|shares| shares.running + shares.wanted),
            share(|shares| shares.wanted),
            share(|shares| shares.idle),
            format!("{:.2}", vcpu.wanted),
            units::rate(vcpu.switches),
            units::rate(vcpu.migrations),
            vcpu.holder.as_ref().map_or(NOTHING.to_owned(), |(name, _)| name.clone()),
        ]
    });
    section("Virtual CPUs", &columns, rows.collect(), style)
}

fn hypercalls(interval: &Interval, style: &Style) -> String {
    let columns = [
        ("hypercall", 0),
        ("rate/s", 0),
        ("total", 0),
        ("share", 0),
        ("threads", 3),
        ("p50", 0),
        ("p99", 0),
        ("p99.9", 1),
        ("max", 2),
    ];
    let calls = &interval.span.calls;
    let rows = calls.iter().take(MOST).map(|call| {
        let times = &call.times;
        let known = |nanoseconds: f64, is_known: bool| match is_known {
            true => units::time(nanoseconds, style.ascii),
            false => NOTHING.to_owned(),
        };
        let point = |nanoseconds: f64| known(nanoseconds, times.has_percentiles());
        let mark = if times.estimated() { "~" } else { "" };
        vec![
            call.call.name().to_owned(),
            units::rate(call.per_second),
            format!("{mark}{}", known(times.total_ns, times.is_timed())),
            units::percent(call.share),
            format!("{:.2}", call.threads),
            point(times.p50_ns),
            point(times.p99_ns),
            point(times.p99_9_ns),
            point(times.max_ns),
        ]
    });
    section(&titled("Hypercalls", calls.len()), &columns, rows.collect(), style)
}

fn titled(what: &str, all: usize) -> String {
    if all > MOST { format!("{what} (the first {MOST} of {all})") } else { what.to_owned() }
}

fn threads(interval: &Interval, style: &Style) -> String {
    let columns = [
        ("thread", 0),
        ("number", 3),
        ("processor", 0),
        ("ready", 4),
        ("on a vCPU", 0),
        ("off", 5),
        ("wanting one", 1),
        ("migrations/s", 7),
        ("switches/s", 6),
        ("IPC", 8),
        ("now", 0),
    ];
    let row = |thread: &ThreadSpan| {
        let known = |text: Option<String>| text.unwrap_or_else(|| NOTHING.to_owned());
        let (guest, host) = (thread.guest.as_ref(), thread.host.as_ref());
        vec![
            thread.name.clone(),
            thread.tid.to_string(),
            known(host.map(|host| units::percent(host.cpu))),
            known(host.map(|host| units::percent(host.ready))),
            known(guest.map(|guest| units::percent(guest.run))),
            known(guest.map(|guest| units::percent(guest.off))),
            known(guest.map(|guest| units::percent(guest.wanted))),
            known(host.and_then(|host| host.rate(Event::Migrations)).map(|(rate, _)| units::rate(rate))),
            known(host.map(|host| units::rate(host.voluntary + host.involuntary))),
            known(host.and_then(instructions_per_cycle)),
            if guest.is_some() { now(thread.now, style) } else { "not in the guest".to_owned() },
        ]
    };
    let mut text = section(
        &titled("Threads", interval.threads.len()),
        &columns,
        interval.threads.iter().take(MOST).map(row).collect(),
        style,
    );
    for (event, reason) in missing(interval) {
        text.push_str(&labelled(event.name(), &format!("not counted: {reason}"), style));
    }
    text
}

fn instructions_per_cycle(host: &HostSpan) -> Option<String> {
    let (_, counted) = host.amount(Event::Cycles)?;
    // Counters that took turns are an estimate.
    let mark = if counted < 0.99 { "~" } else { "" };
    host.instructions_per_cycle().map(|ratio| format!("{mark}{ratio:.2}"))
}

fn now(now: Now, style: &Style) -> String {
    let time = |nanoseconds| units::time(nanoseconds, style.ascii);
    match now {
        Now::Running(index, for_ns) => format!("on vCPU {index} for {}", time(for_ns)),
        Now::Blocked(call, for_ns) => format!("in {} for {}", call.name(), time(for_ns)),
        Now::Wants(_, for_ns) => format!("wants a vCPU for {}", time(for_ns)),
        Now::Untold(_) | Now::Ended => NOTHING.to_owned(),
    }
}

/// Counters that no thread has, and why.
fn missing(interval: &Interval) -> Vec<(Event, String)> {
    let reason = |index: usize| {
        let mut hosts = interval.threads.iter().filter_map(|thread| thread.host.as_ref()).peekable();
        hosts.peek()?;
        let reasons: Option<Vec<&String>> = hosts
            .map(|host| match host.counters.get(index) {
                Some((_, Counted::Missing(reason))) => Some(reason),
                _ => None,
            })
            .collect();
        reasons?.first().map(|reason| (*reason).clone())
    };
    let events = Event::ALL.iter().enumerate();
    events.filter_map(|(index, event)| Some((*event, reason(index)?))).collect()
}
