//! Causes as sentences.

use super::super::chains;
use super::super::coverage;
use super::super::figures::Figures;
use super::super::group::By;
use super::super::names::Frame;
use super::super::short::short;
use super::super::waiting::{Waiting, kind_name};
use super::causes::{Cause, Link, Root, causes};
use super::subject::Subject;
use crate::paragraph::labelled;
use crate::style::Style;
use crate::times::Percentiles;
use crate::units;
use rumpscope_probes::Hypercall;
use rumpscope_probes::contention::{LockKind, StackId, Wait};
use std::collections::{BTreeMap, BTreeSet};

/// How many threads are named where several did the same.
const NAMED: usize = 3;

/// Why `subject` waits: its `top` causes.
pub fn render(waiting: &Waiting, subject: &Subject, top: usize, style: &Style) -> String {
    let (name, all) = (subject_name(waiting, subject), causes(waiting, |wait| subject.is_about(wait)));
    let verb = match subject {
        Subject::Threads(lanes) if lanes.len() == 1 => format!("Why {name} waits"),
        Subject::Threads(_) => format!("Why {name} wait"),
        Subject::Locks(_) => format!("Why {name} is waited for"),
    };
    let mut text = format!("{}\n{}", style.title(&verb), header(waiting, subject, style));
    if all.is_empty() {
        let sentence = "nothing: no wait of it is recorded with what it was spent on";
        text.push_str(&labelled("causes", sentence, style));
        return format!("{text}\n{}", coverage::render(waiting, By::Thread, style));
    }
    let sum: f64 = all.iter().map(|cause| cause.ticks).sum();
    text.push_str(&format!("\n{}\n", style.title("Because of")));
    for cause in all.iter().take(top) {
        text.push_str(&labelled(&share(waiting, cause, sum, style), &sentence(waiting, cause), style));
    }
    if let Some(rest) = all.get(top..).filter(|rest| !rest.is_empty()) {
        let ticks: f64 = rest.iter().map(|cause| cause.ticks).sum();
        let label = format!("{:>6}", units::percent(ticks / sum));
        text.push_str(&labelled(&label, &format!("{} smaller causes (--top shows more)", rest.len()), style));
    }
    text.push_str(&in_the_end(&all, sum, style));
    if all.iter().any(|cause| cause.estimated) {
        let sentence = "what a holder waited for is known as the sum of its waits at that place: where these had several \
                        causes, they are divided in proportion";
        text.push_str(&format!("\n{}", labelled("~", sentence, style)));
    }
    format!("{text}\n{}", coverage::render(waiting, By::Thread, style))
}

/// A cause in words.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    /// Its part of all that was asked for, 0 to 1.
    pub share: f64,
    /// In ticks.
    pub ticks: f64,
    /// These are estimates: a holder's waits had several causes.
    pub estimated: bool,
    /// What it is: the end of the chain of blocking, then what leads to it.
    pub sentence: String,
}

/// Why the waits that `is_meant` picks took as long as they did: all causes, the longest first. The same as [`render`] says.
pub fn reasons(waiting: &Waiting, is_meant: impl Fn(&Wait) -> bool) -> Vec<Reason> {
    let all = causes(waiting, is_meant);
    let sum: f64 = all.iter().map(|cause| cause.ticks).sum();
    let reason = |cause: &Cause| Reason {
        share: cause.ticks / sum,
        ticks: cause.ticks,
        estimated: cause.estimated,
        sentence: sentence(waiting, cause),
    };
    all.iter().map(reason).collect()
}

/// What it is, for the title.
fn subject_name(waiting: &Waiting, subject: &Subject) -> String {
    match subject {
        Subject::Threads(lanes) => threads(waiting, lanes),
        Subject::Locks(numbers) => {
            let mut names = numbers.iter().map(|number| lock(waiting, *number));
            match (names.next(), names.count()) {
                (None, _) => "nothing".to_owned(),
                (Some(name), 0) => name,
                (Some(name), more) => format!("{name} (and {more} more, made at the same place or of the same name)"),
            }
        }
    }
}

/// How much it is, and where most of it comes from.
fn header(waiting: &Waiting, subject: &Subject, style: &Style) -> String {
    let time = |ticks| units::time(waiting.nanoseconds(ticks) as f64, style.ascii);
    let meant = || waiting.waits.iter().filter(|wait| subject.is_about(wait));
    let sum = |of: fn(&Wait) -> u64| meant().map(of).fold(0, u64::saturating_add);
    let (ticks, waits) = (sum(|wait| wait.ticks), sum(|wait| wait.count));
    let measured = time(waiting.duration);
    let mut text = match subject {
        Subject::Locks(numbers) => {
            let locks = numbers.iter().filter_map(|number| waiting.locks.get(number)).map(|named| &named.lock);
            let wait = Figures::new(locks, &waiting.clock).wait;
            let point = |of: fn(&Percentiles) -> u64| {
                wait.percentiles.as_ref().map_or("-".to_owned(), |points| units::time(of(points) as f64, style.ascii))
            };
            let sentence = format!(
                "{} in {} waits (p50 {}, p99 {}, at most {}), added up over threads, in {measured}",
                units::time(wait.total_ns as f64, style.ascii),
                units::count(wait.count),
                point(|points| points.p50_ns),
                point(|points| points.p99_ns),
                point(|points| points.max_ns)
            );
            labelled("waits", &sentence, style)
        }
        Subject::Threads(_) => {
            labelled("waits", &format!("{} in {} waits, in {measured}", time(ticks), units::count(waits)), style)
        }
    };
    let mut by_chain = BTreeMap::<StackId, u64>::new();
    for wait in meant() {
        let ticks = by_chain.entry(wait.waiter).or_default();
        *ticks = ticks.saturating_add(wait.ticks);
    }
    if let Some(first) = chains::weighed(waiting, &by_chain).first().filter(|first| first.ticks != 0) {
        let from = format!("{} of it in {}", units::percent(first.ticks as f64 / ticks as f64), whole(&first.chain));
        text.push_str(&labelled("from", &from, style));
    }
    text
}

fn whole(chain: &[Frame]) -> String {
    chains::line(chain, usize::MAX)
}

/// The part of the whole and the time; `~` marks an estimate.
fn share(waiting: &Waiting, cause: &Cause, sum: f64, style: &Style) -> String {
    let mark = if cause.estimated { "~" } else { "" };
    let time = units::time(waiting.clock.nanoseconds(cause.ticks.round() as u64), style.ascii);
    format!("{:>6} {:>8}", format!("{mark}{}", units::percent(cause.ticks / sum)), time)
}

/// A link of a cause with what is summed up in it.
struct Step<'a> {
    link: &'a Link,
    holders: &'a BTreeSet<u32>,
    locks: &'a BTreeSet<u32>,
}

/// What is at the end, then what leads to it.
fn sentence(waiting: &Waiting, cause: &Cause) -> String {
    let each = cause.links.iter().zip(&cause.holders).zip(&cause.locks);
    let steps: Vec<_> = each.map(|((link, holders), locks)| Step { link, holders, locks }).collect();
    let Some((last, before)) = steps.split_last() else { return alone(&cause.root) };
    let behind = |steps: &[Step]| -> String {
        let said: Vec<_> = steps.iter().map(|step| held(waiting, step)).collect();
        if said.is_empty() { String::new() } else { format!(", behind {}", said.join(", who waited for ")) }
    };
    let end = match &cause.root {
        Root::Running => {
            format!(
                "{}, without waiting in the hypervisor meanwhile: running, or waiting for a processor",
                holds(waiting, last)
            )
        }
        Root::HandOver if is_condvar(waiting, last.link.lock) => {
            format!("from the signal of {} until the waiter ran on", locks(waiting, last.locks))
        }
        Root::HandOver => format!("from the release of {} until the waiter ran on", locks(waiting, last.locks)),
        Root::Unknown => format!("an unknown holder of {}", locks(waiting, last.locks)),
        // These are what the last holder itself waited for.
        Root::Alone(_) | Root::Waited(_) | Root::Circle | Root::Small => {
            return format!("{}{}", alone(&cause.root), behind(&steps));
        }
    };
    format!("{end}{}", behind(before))
}

/// What is waited for where nobody is waited for.
fn alone(root: &Root) -> String {
    match root {
        // Whoever waits for a signal waits for a thread, unless none gave it.
        Root::Alone(call @ (Hypercall::CvWait | Hypercall::CvWaitNowrap | Hypercall::CvTimedwait)) => {
            format!("a signal that did not come in time ({})", call.name())
        }
        Root::Alone(call) | Root::Waited(call) => waited_in(*call),
        Root::Circle => {
            "what the chain has come from: these wait for each other at the same places, at different times".to_owned()
        }
        Root::Small => "many small causes that were not followed".to_owned(),
        Root::Running | Root::HandOver | Root::Unknown => "not known".to_owned(),
    }
}

fn waited_in(call: Hypercall) -> String {
    use Hypercall::*;
    let what = match call {
        Bio | BioDone | Syncfd => "the disk",
        Iovread | Iovwrite | Open | Close | Getfileinfo => "a file of the host",
        ClockSleep => "a sleep",
        ThreadJoin => "the end of a thread",
        GuestOwn | GuestEntry | ComponentSchedule => "a virtual CPU",
        MutexEnter | MutexEnterNowrap => "a mutex that is not known",
        RwEnter => "a reader/writer lock that is not known",
        CvWait | CvWaitNowrap | CvTimedwait => "a condition variable that is not known",
        _ => return format!("the hypercall {}", call.name()),
    };
    format!("{what} ({})", call.name())
}

/// `mutex proc_lock`.
fn lock(waiting: &Waiting, number: u32) -> String {
    match waiting.locks.get(&number) {
        Some(named) if named.lock.merged != 0 => one_of(&named.class),
        // Names of several words say what it is: `the big kernel lock`, `condvar at 0x1000`.
        Some(named) if named.name.trim_end_matches(&format!(" #{number}")).contains(' ') => short(&named.name),
        Some(named) => format!("{} {}", kind_name(named.lock.kind), short(&named.name)),
        None => waiting.lock(number).to_owned(),
    }
}

fn is_condvar(waiting: &Waiting, number: u32) -> bool {
    waiting.locks.get(&number).is_some_and(|named| named.lock.kind == LockKind::Condvar)
}

/// Locks of one class.
fn locks(waiting: &Waiting, numbers: &BTreeSet<u32>) -> String {
    let of = |number: &u32| waiting.locks.get(number).filter(|_| numbers.len() > 1);
    match numbers.first() {
        Some(first) => of(first).map_or_else(|| lock(waiting, *first), |named| one_of(&named.class)),
        None => "a lock that is not known".to_owned(),
    }
}

/// `a mutex made in vcache_alloc`.
fn one_of(class: &str) -> String {
    format!("a {}", short(class))
}

/// A lock, and who has it where.
fn held(waiting: &Waiting, step: &Step) -> String {
    let how = if is_condvar(waiting, step.link.lock) { ", later signalled" } else { " held" };
    format!("{}{how} by {}", locks(waiting, step.locks), who(waiting, step))
}

/// The same as a beginning.
fn holds(waiting: &Waiting, step: &Step) -> String {
    let how = if is_condvar(waiting, step.link.lock) { "had not signalled" } else { "held" };
    format!("{}, who {how} {}", who(waiting, step), locks(waiting, step.locks))
}

fn who(waiting: &Waiting, step: &Step) -> String {
    let who = match step.holders.is_empty() {
        true => "a thread that is not known".to_owned(),
        false => threads(waiting, step.holders),
    };
    match &step.link.site {
        Some(site) if !site.starts_with('(') => format!("{who} in {}", short(site)),
        _ => who,
    }
}

fn threads(waiting: &Waiting, lanes: &BTreeSet<u32>) -> String {
    let mut by_name = BTreeMap::<&str, Vec<u32>>::new();
    for lane in lanes {
        by_name.entry(waiting.threads.get(lane).map_or("", |thread| &thread.given)).or_default().push(*lane);
    }
    let named = by_name.into_iter().flat_map(|(given, lanes)| match lanes.len() {
        // Those of one name are counted.
        2.. if !given.is_empty() => vec![format!("{} threads called {given}", lanes.len())],
        _ => lanes.into_iter().map(|lane| waiting.thread(lane)).collect(),
    });
    let mut names: Vec<_> = named.collect();
    if names.len() > NAMED + 1 {
        let more = names.len() - NAMED;
        names.truncate(NAMED);
        return format!("{} and {more} more", names.join(", "));
    }
    match names.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        _ => names.concat(),
    }
}

/// The causes by what is at their end.
fn in_the_end(all: &[Cause], sum: f64, style: &Style) -> String {
    let mut ends = BTreeMap::<String, (f64, bool)>::new();
    for cause in all {
        let end = match &cause.root {
            Root::Running => "holders who ran, or waited for a processor".to_owned(),
            Root::HandOver => "the way from one holder to the next".to_owned(),
            Root::Unknown => "not known".to_owned(),
            Root::Circle => "threads that wait for each other at the same places, at different times".to_owned(),
            root => alone(root),
        };
        let into = ends.entry(end).or_default();
        into.0 += cause.ticks;
        into.1 |= cause.estimated;
    }
    if ends.len() < 2 {
        return String::new();
    }
    let mut ends: Vec<_> = ends.into_iter().collect();
    ends.sort_by(|left, right| right.1.0.total_cmp(&left.1.0));
    let line = |(end, (ticks, estimated)): &(String, (f64, bool))| {
        let mark = if *estimated { "~" } else { "" };
        labelled(&format!("{:>6}", format!("{mark}{}", units::percent(ticks / sum))), end, style)
    };
    format!("\n{}\n{}", style.title("In the end"), ends.iter().map(line).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contention::testing;
    use rumpscope_probes::contention::Part;

    fn plain() -> Style {
        Style { width: 100, colour: false, ascii: true }
    }

    fn why(waiting: &Waiting, wanted: &str) -> String {
        render(waiting, &Subject::find(waiting, wanted).unwrap(), 10, &plain())
    }

    #[test]
    fn reasons_are_what_the_text_says() {
        let waiting = testing::waiting();
        let subject = Subject::find(&waiting, "client 1").unwrap();
        let reasons = reasons(&waiting, |wait| subject.is_about(wait));
        let text = render(&waiting, &subject, 10, &Style { width: 1_000, ..plain() });
        assert!(reasons.iter().all(|reason| text.contains(&reason.sentence)), "{reasons:?}");
        assert!((reasons.iter().map(|reason| reason.share).sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn sentences_about_threads_and_locks() {
        let waiting = testing::waiting();
        let asked = ["client 1", "client 2", "worker", "proc_lock", "vcache_alloc"];
        let all = asked.map(|wanted| format!("==== {wanted}\n{}", why(&waiting, wanted)));
        testing::check("why.txt", &all.concat());
    }

    #[test]
    fn a_wait_whose_time_was_up_was_for_a_signal() {
        let mut waiting = testing::waiting();
        let mut timed = waiting.waits.iter().find(|wait| wait.lock == 4).unwrap().clone();
        (timed.call, timed.part, timed.holder_lane) = (Hypercall::CvTimedwait, Part::Alone, None);
        waiting.waits = vec![timed];
        let text = why(&waiting, "ioflush");
        assert!(text.contains("a signal that did not come in time (cv_timedwait)\n"), "{text}");
    }

    #[test]
    fn threads_of_one_name_are_counted() {
        let mut waiting = testing::waiting();
        for lane in [1, 3] {
            waiting.threads.get_mut(&lane).unwrap().given = "client".to_owned();
        }
        assert_eq!(threads(&waiting, &BTreeSet::from([1, 2, 3])), "2 threads called client and ioflush");
        assert_eq!(threads(&waiting, &BTreeSet::from([1, 9])), "thread of lane 9 and client 1");
    }

    #[test]
    fn a_circle_is_said() {
        let text = why(&testing::waiting_of(testing::circle()), "client 1");
        assert!(text.contains("wait for each other at the same places"), "{text}");
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let waiting = testing::waiting();
        let text = render(&waiting, &Subject::find(&waiting, "client 1").unwrap(), 1, &plain());
        assert!(text.contains("3 smaller causes"), "{text}");
    }

    #[test]
    fn nothing_is_said_of_what_did_not_wait() {
        let waiting = testing::waiting();
        assert!(why(&waiting, "block I/O").contains("nothing: no wait of it"));
    }
}
