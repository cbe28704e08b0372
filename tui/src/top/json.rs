//! An interval as one line of JSON; `docs/json.md` describes it.

use super::Interval;
use crate::dashboard::model::{GuestSpan, Now, ThreadKey, ThreadSpan};
use rumpscope_reports::contention::group::{By, Realm};
use rumpscope_reports::contention::{kind_name, ranking};
use rumpscope_reports::{Counter, Event, Gathered, HostThread, State, Times};
use serde_json::{Value, json};

/// What a line says it is.
pub const SCHEMA: &str = "rumpscope.interval";

/// Goes up when a field changes its meaning or goes away; new fields may come without that.
pub const VERSION: u32 = 1;

/// The interval as a line.
pub fn render(interval: &Interval) -> String {
    let Interval { later, span, .. } = interval;
    let snapshot = &span.snapshot;
    let nanoseconds = |ticks: u64| snapshot.clock.nanoseconds(ticks).round() as u64;
    let document = json!({
        "schema": SCHEMA,
        "version": VERSION,
        "rumpscope": env!("CARGO_PKG_VERSION"),
        "pid": snapshot.process.pid,
        "program": snapshot.process.program,
        "state": match later.state {
            State::Alive => "alive",
            State::Dead => "dead",
        },
        "time_ns": nanoseconds(later.snapshot.taken.saturating_sub(later.snapshot.began)),
        "duration_ns": nanoseconds(snapshot.taken.saturating_sub(snapshot.began)),
        "timing": snapshot.mode.name(),
        "backend": snapshot.backend,
        "missed": later.missed,
        "lost_timings": snapshot.coverage.lost_timings,
        "lost_places": snapshot.coverage.lost_places,
        "gathered": Gathered::of(snapshot),
        "vcpus": vcpus(interval),
        "hypercalls": hypercalls(interval),
        "locks": locks(interval),
        "threads": interval.threads.iter().map(|thread| thread_of(interval, thread)).collect::<Vec<_>>(),
    });
    format!("{document}\n")
}

fn whole(nanoseconds: f64) -> u64 {
    nanoseconds.round() as u64
}

fn vcpus(interval: &Interval) -> Vec<Value> {
    let vcpu = |vcpu: &crate::dashboard::model::VcpuSpan| {
        json!({
            "index": vcpu.index,
            "shares": vcpu.shares.map(|shares| {
                json!({ "running": shares.running, "wanted": shares.wanted, "idle": shares.idle })
            }),
            "waiting_threads": vcpu.wanted,
            "switches_per_second": vcpu.switches,
            "migrations_per_second": vcpu.migrations,
            "holder": vcpu.holder.as_ref().map(|(name, held_ns)| json!({ "name": name, "held_ns": whole(*held_ns) })),
        })
    };
    interval.span.vcpus.iter().map(vcpu).collect()
}

fn hypercalls(interval: &Interval) -> Vec<Value> {
    let call = |call: &crate::dashboard::model::CallSpan| {
        let times = &call.times;
        json!({
            "name": call.call.name(),
            "family": call.call.entry().family.name(),
            "count": times.count,
            "per_second": call.per_second,
            "timed": times.timed,
            "estimated": times.estimated(),
            "total_ns": whole(times.total_ns),
            "share": call.share,
            "threads": call.threads,
            "percentiles": times.has_percentiles().then(|| json!({
                "p50_ns": whole(times.p50_ns),
                "p99_ns": whole(times.p99_ns),
                "p99_9_ns": whole(times.p99_9_ns),
                "max_ns": whole(times.max_ns),
            })),
        })
    };
    interval.span.calls.iter().map(call).collect()
}

fn percentiles(times: &Times) -> Value {
    json!(times.percentiles)
}

fn locks(interval: &Interval) -> Value {
    if !interval.waiting.recorded {
        return Value::Null;
    }
    let of = |realm| ranking::locks(&interval.waiting, By::Lock, realm);
    let rows = [Realm::Locks, Realm::Conditions].into_iter().flat_map(of);
    let rows = rows.filter(|row| row.figures.contended != 0 || row.figures.waiters != 0);
    let lock = |row: ranking::Ranked| {
        json!({
            "name": row.name,
            "kind": row.kinds.iter().next().map(|kind| kind_name(*kind)),
            "waits": row.figures.contended,
            "spun": row.figures.spun,
            "waiters": row.figures.waiters,
            "total_ns": row.figures.wait.total_ns,
            "percentiles": percentiles(&row.figures.wait),
        })
    };
    Value::Array(rows.map(lock).collect())
}

fn thread_of(interval: &Interval, thread: &ThreadSpan) -> Value {
    json!({
        "tid": thread.tid,
        "name": thread.name,
        "guest": thread.guest.as_ref().map(|guest| guest_side(interval, thread, guest)),
        "host": thread.host.as_ref().map(|host| host_side(&host.added)),
    })
}

fn guest_side(interval: &Interval, thread: &ThreadSpan, guest: &GuestSpan) -> Value {
    let nanoseconds = |ticks: u64| whole(interval.span.snapshot.clock.nanoseconds(ticks));
    let now = match thread.now {
        Now::Running(index, for_ns) => json!({ "is": "on_vcpu", "vcpu": index, "for_ns": whole(for_ns) }),
        Now::Blocked(call, for_ns) => json!({ "is": "blocked", "call": call.name(), "for_ns": whole(for_ns) }),
        Now::Wants(_, for_ns) => json!({ "is": "wants_vcpu", "for_ns": whole(for_ns) }),
        Now::Untold(_) | Now::Ended => json!({ "is": "untold" }),
    };
    let lane = match thread.key {
        ThreadKey::Lane(lane) => Some(lane),
        ThreadKey::Host(_) => None,
    };
    json!({
        "lane": lane,
        "now": now,
        "calls": guest.added.calls,
        "run_ns": nanoseconds(guest.added.run),
        "off_ns": nanoseconds(guest.added.off),
        "wanted_ns": nanoseconds(guest.added.wanted),
        "migrations": guest.added.migrations,
    })
}

fn host_side(host: &HostThread) -> Value {
    let counters = Event::ALL.iter().zip(&host.counters).map(|(event, counter)| {
        let value = match counter {
            Counter::Counts { value, enabled_ns, running_ns } => {
                json!({ "value": value, "enabled_ns": enabled_ns, "running_ns": running_ns })
            }
            Counter::Missing(reason) => json!({ "missing": reason }),
        };
        (event.name().replace(' ', "_"), value)
    });
    json!({
        "name": host.name,
        "state": host.state.to_string(),
        "cpu_ns": host.cpu_ns,
        "ready_ns": host.ready_ns,
        "voluntary_switches": host.voluntary_switches,
        "involuntary_switches": host.involuntary_switches,
        "minor_faults": host.minor_faults,
        "major_faults": host.major_faults,
        "counters": counters.collect::<serde_json::Map<_, _>>(),
    })
}
