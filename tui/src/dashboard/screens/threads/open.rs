//! One thread: how its time went, what it waits for, what the host and the processor say.

use super::super::contention::draw_reasons;
use super::list::now;
use crate::dashboard::draw::{fitted, line, put, put_right, split, split_columns};
use crate::dashboard::model::{Counted, Now, ThreadKey, ThreadSpan, brief, seconds, state_name};
use crate::dashboard::picture::wrapped;
use crate::dashboard::screen::View;
use crate::dashboard::theme::{Role, Theme};
use crate::dashboard::widgets::bar;
use crate::dashboard::widgets::title::section;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use rumpscope_probes::contention::Wait;
use rumpscope_reports::contention::group::{By, groups_where};
use rumpscope_reports::contention::{Waiting, why};
use rumpscope_reports::{Event, units};
use std::collections::{BTreeMap, BTreeSet};

/// Columns of the names of counters.
const COUNTER: u16 = 15;

/// Draws it.
pub fn draw(area: Rect, buffer: &mut Buffer, view: &View<'_>, span: Option<&ThreadSpan>, waiting: &Waiting) {
    let theme = view.theme;
    let Some(span) = span else {
        section(area, buffer, theme, "The thread is gone", "");
        return;
    };
    let number = if span.tid == 0 { "ended".to_owned() } else { format!("thread {} of the host", span.tid) };
    section(area, buffer, theme, &format!("{}, {number}", span.name), "");
    let (top, below) = split(split(area, 1).1, 1);
    draw_now(top, buffer, theme, span);
    let (left, right) = split_columns(below, (below.width / 2).max(38), 2);
    let host = 2 + span.host.as_ref().map_or(1, |host| 6 + host.counters.len() as u16);
    let guest = if span.guest.is_some() { 6 } else { 3 };
    let (place, rest) = split(left, guest);
    draw_guest(place, buffer, theme, span);
    let (place, rest) = split(rest, host);
    draw_host(place, buffer, theme, span);
    let ThreadKey::Lane(lane) = span.key else { return };
    // Where there is much room below, the long sentences have it all.
    if rest.height > 8 {
        draw_sites(right, buffer, theme, waiting, lane);
        draw_why(Rect { width: left.width, ..rest }, buffer, theme, waiting, lane);
    } else {
        let (sites, reasons) = split(right, right.height / 2);
        draw_sites(sites, buffer, theme, waiting, lane);
        draw_why(reasons, buffer, theme, waiting, lane);
    }
}

fn draw_now(area: Rect, buffer: &mut Buffer, theme: &Theme, span: &ThreadSpan) {
    let ago = |ns| units::time(ns, theme.ascii);
    let (_, role) = now(span.now, theme, 30);
    let text = match span.now {
        Now::Running(vcpu, ns) => format!("has virtual CPU {vcpu} for {}", ago(ns)),
        Now::Blocked(call, ns) => format!("is blocked in {} for {}", call.name(), ago(ns)),
        Now::Wants(call, ns) => format!("wants a virtual CPU for {}, after {}", ago(ns), call.name()),
        Now::Untold(Some(state)) => format!("tells nothing; {}", state_name(state)),
        Now::Untold(None) => "tells nothing".to_owned(),
        Now::Ended => "has ended; these are its lane's figures".to_owned(),
    };
    put(buffer, area, &text, theme.style(role));
}

/// A line with a name, a bar and a figure.
fn draw_share(area: Rect, buffer: &mut Buffer, theme: &Theme, name: &str, share: f64, role: Role) {
    const NAME: u16 = 14;
    const FIGURE: u16 = 7;
    put(buffer, area, name, theme.style(Role::Faint));
    put_right(
        buffer,
        Rect { width: (NAME + FIGURE).min(area.width), ..area },
        &units::percent(share),
        theme.style(Role::Text),
    );
    let place = split_columns(area, NAME + FIGURE, 1).1;
    put(buffer, place, &bar::length(share, usize::from(place.width), theme), theme.style(role));
}

fn draw_guest(area: Rect, buffer: &mut Buffer, theme: &Theme, span: &ThreadSpan) {
    section(area, buffer, theme, "In the guest", "");
    let Some(guest) = &span.guest else {
        put(buffer, line(area, 1), "it makes no hypercalls", theme.style(Role::Faint));
        return;
    };
    draw_share(line(area, 1), buffer, theme, "on a vCPU", guest.run, Role::Running);
    draw_share(line(area, 2), buffer, theme, "wants one", guest.wanted, Role::Wanted);
    draw_share(line(area, 3), buffer, theme, "off, waiting", guest.off, Role::Waiting);
    let text = format!("{} calls/s, {} moves/s between vCPUs", units::rate(guest.calls), units::rate(guest.migrations));
    put(buffer, line(area, 4), &text, theme.style(Role::Text));
}

fn draw_host(area: Rect, buffer: &mut Buffer, theme: &Theme, span: &ThreadSpan) {
    section(area, buffer, theme, "At the host", "");
    let Some(host) = &span.host else {
        put(buffer, line(area, 1), "the host shows nothing of it", theme.style(Role::Faint));
        return;
    };
    draw_share(line(area, 1), buffer, theme, "on a processor", host.cpu, Role::Running);
    draw_share(line(area, 2), buffer, theme, "ready for one", host.ready, Role::Wanted);
    let mut row = 3;
    let mut tell = |name: &str, text: &str, role: Role| {
        put(buffer, line(area, row), name, theme.style(Role::Faint));
        let place = split_columns(split(area, row).1, COUNTER, 0).1;
        row += wrapped(place, buffer, text, theme.style(role)).max(1);
    };
    let switches = format!("{}/s own, {}/s forced", rate(host.voluntary), rate(host.involuntary));
    tell("switches", &switches, Role::Text);
    tell("page faults", &format!("{}/s", rate(host.minor + host.major)), Role::Text);
    if let Some(ratio) = host.instructions_per_cycle() {
        tell("IPC", &format!("{ratio:.2} instructions/cycle"), Role::Text);
    }
    for (event, counted) in &host.counters {
        match counted {
            Counted::Missing(_) => {}
            Counted::Count { .. } => tell(event.name(), "no rate: it counts only since it is looked at", Role::Faint),
            Counted::NoTurn => tell(event.name(), "had no turn on a counter", Role::Faint),
            Counted::Rate { per_second, ratio } if *ratio < 0.995 => {
                let text = format!("~{}/s ({} counted)", units::rate(*per_second), units::percent(*ratio));
                tell(event.name(), &text, Role::Text);
            }
            Counted::Rate { per_second, .. } => tell(event.name(), &format!("{}/s", rate(*per_second)), Role::Text),
        }
    }
    // A reason stands once for all that it keeps away.
    for (reason, events) in missing(&host.counters) {
        tell("missing", &format!("{events}: {reason}"), Role::Faint);
    }
}

/// The counters that are missing, by their reason.
pub fn missing<'a>(counters: impl IntoIterator<Item = &'a (Event, Counted)>) -> BTreeMap<&'a str, String> {
    let mut missing = BTreeMap::<&str, BTreeSet<Event>>::new();
    for (event, counted) in counters {
        if let Counted::Missing(reason) = counted {
            missing.entry(reason).or_default().insert(*event);
        }
    }
    let names = |events: BTreeSet<Event>| match events.len() == Event::ALL.len() {
        true => "all counters".to_owned(),
        false => events.into_iter().map(Event::name).collect::<Vec<_>>().join(", "),
    };
    missing.into_iter().map(|(reason, events)| (reason, names(events))).collect()
}

/// A number of events in a second; nothing is `0`.
fn rate(per_second: f64) -> String {
    if per_second == 0.0 { "0".to_owned() } else { units::rate(per_second) }
}

/// Where it waits.
fn draw_sites(area: Rect, buffer: &mut Buffer, theme: &Theme, waiting: &Waiting, lane: u32) {
    let own = |wait: &Wait| wait.waiter_lane == lane;
    let mut sites: Vec<_> = groups_where(waiting, By::Site, own).into_iter().collect();
    sites.sort_by_key(|(_, group)| std::cmp::Reverse(group.spent.total()));
    section(area, buffer, theme, "Where it waits", "");
    if sites.is_empty() {
        put(buffer, line(area, 1), "no wait of it has ended in this time", theme.style(Role::Faint));
    }
    let seconds = seconds(waiting);
    for (row, (key, group)) in (1..area.height).zip(&sites) {
        let place = line(area, row);
        let threads = waiting.clock.nanoseconds(group.spent.total()) / 1e9 / seconds;
        put_right(
            buffer,
            Rect { width: 6.min(place.width), ..place },
            &units::percent(threads),
            theme.style(Role::Graph),
        );
        let text = split_columns(place, 6, 1).1;
        let rate = format!("{}/s", units::rate(group.waits as f64 / seconds));
        let (label, room) = (brief(&key.label(waiting)), usize::from(text.width).saturating_sub(rate.len() + 2));
        put(buffer, text, &fitted(&label, room, theme.symbols().cut), theme.style(Role::Text));
        put_right(buffer, text, &rate, theme.style(Role::Faint));
    }
}

/// Who it waits for.
fn draw_why(area: Rect, buffer: &mut Buffer, theme: &Theme, waiting: &Waiting, lane: u32) {
    let reasons = why::reasons(waiting, |wait| wait.waiter_lane == lane);
    draw_reasons(area, buffer, theme, &reasons);
}
