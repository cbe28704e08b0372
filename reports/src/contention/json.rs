//! Contention for programs; `docs/json.md` describes it.

use super::chains;
use super::figures::Figures;
use super::group::{By, Group, Key, Realm, Spent};
use super::names::Frame;
use super::ranking;
use super::waiting::{Waiting, kind_name};
use crate::times::place_name;
use rumpscope_probes::contention::{Part, StackId, Wait};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// What the file of merged waits says it is.
pub const SCHEMA: &str = "rumpscope.locks";

/// Goes up when a field of it changes its meaning or goes away; new fields may come without that.
pub const VERSION: u32 = 1;

#[derive(Serialize)]
struct Merged<'a> {
    schema: &'static str,
    version: u32,
    rumpscope: &'static str,
    pid: u32,
    by: &'static str,
    duration_ns: u64,
    lost_waits: u64,
    groups: Vec<GroupRow<'a>>,
}

#[derive(Serialize)]
struct GroupRow<'a> {
    realm: &'static str,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    functions: Option<Vec<String>>,
    share: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    figures: Option<&'a Figures>,
    waits: u64,
    total_ns: u64,
    longest_part_ns: u64,
    spent: SpentRow,
    waiters: Vec<ChainRow>,
    holders: Vec<ChainRow>,
}

/// See [`Part`].
#[derive(Serialize)]
struct SpentRow {
    held_ns: u64,
    holder_waited_ns: u64,
    hand_over_ns: u64,
    alone_ns: u64,
    unknown_ns: u64,
}

#[derive(Serialize)]
struct ChainRow {
    chain: Vec<Frame>,
    total_ns: u64,
}

/// The waits merged by `by` as one line of JSON: at most `top` groups of each realm, and `chains` chains of each group.
///
/// # Errors
/// As `serde_json` has them; none is known for this data.
pub fn render(waiting: &Waiting, pid: u32, by: By, top: usize, count: usize) -> Result<String, serde_json::Error> {
    let has_figures = matches!(by, By::Lock | By::Class);
    let realms = if has_figures { &[Realm::Locks, Realm::Conditions][..] } else { &[] };
    // Rows borrow their figures from here.
    let ranked: Vec<_> = realms.iter().map(|realm| (*realm, ranking::locks(waiting, by, *realm))).collect();
    let row = |realm: Realm, name: String, group: &Group, share: f64| GroupRow {
        realm: realm_name(realm),
        name,
        functions: None,
        share,
        figures: None,
        waits: group.waits,
        total_ns: waiting.nanoseconds(group.spent.total()),
        longest_part_ns: waiting.nanoseconds(group.longest),
        spent: spent(waiting, &group.spent),
        waiters: chain_rows(waiting, &group.waiters, count),
        holders: chain_rows(waiting, &group.holders, count),
    };
    let part = |part: f64, of: f64| if of > 0.0 { part / of } else { 0.0 };
    let mut groups = Vec::new();
    if has_figures {
        for (realm, rows) in &ranked {
            let all: f64 = rows.iter().map(|row| row.figures.wait.total_ns as f64).sum();
            groups.extend(rows.iter().take(top).map(|lock| GroupRow {
                figures: Some(&lock.figures),
                ..row(*realm, lock.name.clone(), &lock.group, part(lock.figures.wait.total_ns as f64, all))
            }));
        }
    } else {
        for realm in [Realm::Locks, Realm::Conditions, Realm::Other] {
            let rows = ranking::others(waiting, by, realm);
            let all: f64 = rows.iter().map(|(_, group)| group.spent.total() as f64).sum();
            groups.extend(rows.iter().take(top).map(|(key, group)| GroupRow {
                functions: if let Key::Chain(functions) = key { Some(functions.clone()) } else { None },
                ..row(realm, group.label(key, by, waiting), group, part(group.spent.total() as f64, all))
            }));
        }
    }
    let document = Merged {
        schema: SCHEMA,
        version: VERSION,
        rumpscope: env!("CARGO_PKG_VERSION"),
        pid,
        by: by.name(),
        duration_ns: waiting.nanoseconds(waiting.duration),
        lost_waits: waiting.lost,
        groups,
    };
    let mut text = serde_json::to_string(&document)?;
    text.push('\n');
    Ok(text)
}

fn realm_name(realm: Realm) -> &'static str {
    match realm {
        Realm::Locks => "locks",
        Realm::Conditions => "condvars",
        Realm::Other => "other",
    }
}

fn spent(waiting: &Waiting, spent: &Spent) -> SpentRow {
    SpentRow {
        held_ns: waiting.nanoseconds(spent.held),
        holder_waited_ns: waiting.nanoseconds(spent.holder_waited),
        hand_over_ns: waiting.nanoseconds(spent.hand_over),
        alone_ns: waiting.nanoseconds(spent.alone),
        unknown_ns: waiting.nanoseconds(spent.unknown),
    }
}

fn chain_rows(waiting: &Waiting, times: &BTreeMap<StackId, u64>, count: usize) -> Vec<ChainRow> {
    let row =
        |weighed: chains::Weighed| ChainRow { chain: weighed.chain, total_ns: waiting.nanoseconds(weighed.ticks) };
    chains::weighed(waiting, times).into_iter().take(count).map(row).collect()
}

/// All of it, unmerged, as the summary has it.
#[derive(Serialize)]
struct Whole<'a> {
    duration_ns: u64,
    lost_waits: u64,
    threads: Vec<ThreadRow<'a>>,
    chains: Vec<&'a [Frame]>,
    locks: Vec<LockRow<'a>>,
    waits: Vec<WaitRow>,
}

#[derive(Serialize)]
struct ThreadRow<'a> {
    lane: u32,
    name: &'a str,
    tid: Option<u32>,
}

#[derive(Serialize)]
struct LockRow<'a> {
    number: u32,
    name: &'a str,
    class: &'a str,
    kind: &'static str,
    address: String,
    generation: u32,
    made: Option<usize>,
    ended: bool,
    merged: u64,
    #[serde(flatten)]
    figures: Figures,
}

#[derive(Serialize)]
struct WaitRow {
    call: &'static str,
    lock: Option<u32>,
    place: String,
    waiter: Option<usize>,
    waiter_lane: u32,
    part: &'static str,
    holder_call: Option<&'static str>,
    holder: Option<usize>,
    holder_lane: Option<u32>,
    count: u64,
    total_ns: u64,
    max_ns: u64,
}

impl Serialize for Waiting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Chains are told by their position in the list.
        let positions: BTreeMap<StackId, usize> = self.chains.keys().copied().zip(0..).collect();
        let position = |chain: StackId| positions.get(&chain).copied();
        let whole = Whole {
            duration_ns: self.nanoseconds(self.duration),
            lost_waits: self.lost,
            threads: self
                .threads
                .iter()
                .map(|(lane, thread)| ThreadRow {
                    lane: *lane,
                    name: &thread.name,
                    tid: (thread.tid != 0).then_some(thread.tid),
                })
                .collect(),
            chains: self.chains.values().map(|chain| &**chain).collect(),
            locks: self
                .locks
                .iter()
                .map(|(number, named)| LockRow {
                    number: *number,
                    name: &named.name,
                    class: &named.class,
                    kind: kind_name(named.lock.kind),
                    address: format!("{:#x}", named.lock.address),
                    generation: named.lock.generation,
                    made: position(named.lock.made),
                    ended: named.lock.ended,
                    merged: named.lock.merged,
                    figures: Figures::new([&named.lock].into_iter(), &self.clock),
                })
                .collect(),
            waits: self.waits.iter().map(|wait| wait_row(self, wait, position)).collect(),
        };
        whole.serialize(serializer)
    }
}

fn wait_row(waiting: &Waiting, wait: &Wait, position: impl Fn(StackId) -> Option<usize>) -> WaitRow {
    let (part, holder_call) = match wait.part {
        Part::Held => ("held", None),
        Part::HolderWaited(call) => ("holder_waited", Some(call.name())),
        Part::HandOver => ("hand_over", None),
        Part::Alone => ("alone", None),
        Part::Unknown => ("unknown", None),
    };
    WaitRow {
        call: wait.call.name(),
        lock: (wait.lock != 0).then_some(wait.lock),
        place: place_name(wait.place),
        waiter: position(wait.waiter),
        waiter_lane: wait.waiter_lane,
        part,
        holder_call,
        holder: position(wait.holder),
        holder_lane: wait.holder_lane,
        count: wait.count,
        total_ns: waiting.nanoseconds(wait.ticks),
        max_ns: waiting.nanoseconds(wait.max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contention::{flame, offcpu, table, testing, why};
    use serde_json::Value;

    fn merged(by: By, top: usize) -> Value {
        serde_json::from_str(&render(&testing::waiting(), 4711, by, top, 8).unwrap()).unwrap()
    }

    #[test]
    fn merged_waits_add_up_whatever_they_are_merged_by() {
        let total = |document: &Value| -> u64 {
            document["groups"].as_array().unwrap().iter().map(|group| group["total_ns"].as_u64().unwrap()).sum()
        };
        // By lock and class those without lock are left out.
        assert_eq!(total(&merged(By::Lock, 100)), 2_025_000_000);
        for by in &By::ALL[2..] {
            assert_eq!(total(&merged(*by, 100)), 3_925_000_000, "{}", by.name());
        }
        assert_eq!(merged(By::Site, 1)["groups"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn sums_of_any_figures_can_be_told() {
        let mut contention = testing::contention();
        for wait in &mut contention.waits {
            (wait.count, wait.ticks, wait.max) = (u64::MAX, u64::MAX, u64::MAX);
        }
        for lock in contention.locks.values_mut() {
            (lock.acquisitions, lock.contended, lock.spun, lock.merged) = (u64::MAX, u64::MAX - 1, u64::MAX, u64::MAX);
            for times in [&mut lock.wait, &mut lock.held_after_wait, &mut lock.held] {
                times.sum = u64::MAX;
            }
            lock.held.untimed = u64::MAX;
        }
        let waiting = Waiting::new(&testing::snapshot(contention), &mut testing::Known);
        let style = crate::Style { width: 100, colour: false, ascii: true };
        for by in By::ALL {
            render(&waiting, 4711, by, 10, 8).unwrap();
            table::render(&waiting, &table::Options { by, top: 10, chains: 1 }, &style);
        }
        let subject = why::Subject::find(&waiting, "client 1").unwrap();
        assert!(why::render(&waiting, &subject, 10, &style).contains("client 1"));
        let stacks = offcpu::stacks(&waiting, true);
        let caption = flame::Caption { title: String::new(), subtitle: String::new(), root: "all".to_owned() };
        assert!(flame::draw(&stacks, &caption).contains("<svg"));
        assert!(serde_json::to_value(&waiting).is_ok());
    }

    #[test]
    fn a_chain_is_a_list_of_functions() {
        let document = merged(By::Lock, 1);
        let first = &document["groups"][0];
        assert_eq!((&first["realm"], &first["name"]), (&"locks".into(), &"vcache_alloc #2".into()));
        let frame = serde_json::json!({ "function": "vn_lock", "source": "vfs_vnops.c:1012" });
        assert_eq!(first["waiters"][0]["chain"][1], frame);
        assert_eq!(first["figures"]["contended"], 100);
        let chain = &merged(By::Holder, 1)["groups"][0]["functions"];
        assert_eq!(chain, &serde_json::json!(["cv_wait", "biowait", "bwrite", "ffs_update"]));
    }

    #[test]
    fn the_whole_refers_to_what_is_in_it() {
        let mut whole = serde_json::to_value(testing::waiting()).unwrap();
        let wait = whole["waits"][0].clone();
        assert_eq!((&wait["part"], &wait["holder_call"]), (&"holder_waited".into(), &"cv_wait".into()));
        let holder = &whole["chains"][wait["holder"].as_u64().unwrap() as usize];
        assert_eq!(holder[1]["function"], "biowait");
        let lock = whole["locks"].as_array().unwrap().iter().find(|lock| lock["number"] == wait["lock"]).unwrap();
        assert_eq!((&lock["name"], &lock["address"]), (&"vcache_alloc #2".into(), &"0xa000".into()));
        assert!(whole["threads"].as_array().unwrap().iter().any(|thread| thread["lane"] == wait["waiter_lane"]));
        // The golden file shows the shape: one of each, and one bucket of every histogram.
        crate::contention::testing::shorten(&mut whole);
        testing::check("contention.json", &format!("{whole:#}\n"));
    }
}
