//! What the words at a segment's beginning say.

use super::words::Words;
use crate::catalogue::{CATALOGUE, Hypercall};
use crate::clock;
use crate::layout::{self, header};
use crate::process;
use crate::snapshot::{ClockInfo, ClockSource, Process};
use std::collections::HashMap;
use std::sync::OnceLock;

pub(super) fn clock_source(head: &[u64]) -> ClockSource {
    if head[header::CLOCK_SOURCE] == 1 { ClockSource::Tsc } else { ClockSource::Monotonic }
}

/// The writer's clock. Its rate is measured anew over all the time since measuring began, if the host is still the
/// same boot: much better than the writer's own short look.
pub(crate) fn clock_info(head: &[u64]) -> ClockInfo {
    let source = clock_source(head);
    let estimate = f64::from_bits(head[header::TICKS_PER_SECOND]);
    let estimate = if estimate.is_finite() && estimate >= 1.0 { estimate } else { 1e9 };
    let mut ticks_per_second = estimate;
    if source == ClockSource::Tsc && head[header::BOOT] != 0 && head[header::BOOT] == boot() {
        clock::adopt(source);
        let (ticks, ns) = clock::read_both();
        let ticks = ticks.wrapping_sub(head[header::BEGAN_TICKS]);
        let ns = ns.wrapping_sub(head[header::BEGAN_MONOTONIC]);
        let measured = ticks as f64 * 1e9 / ns as f64;
        // A millisecond is enough to do better; what is far off is a header that lies.
        if ns > 1_000_000 && (measured / estimate - 1.0).abs() < 0.05 {
            ticks_per_second = measured;
        }
    }
    let [two_reads_ns, step_ns] = [header::TWO_READS_NS, header::STEP_NS].map(|word| {
        let value = f64::from_bits(head[word]);
        if value.is_finite() { value } else { 0.0 }
    });
    ClockInfo { source, ticks_per_second, two_reads_ns, step_ns }
}

pub(super) fn process_of(head: &[u64]) -> Process {
    Process {
        pid: head[header::PID] as u32,
        start_time: head[header::START_TIME],
        program: text(&head[header::PROGRAM..header::PROGRAM + 25]),
        began_unix_ns: head[header::BEGAN_UNIX],
    }
}

pub(crate) fn text(words: &[u64]) -> String {
    let mut bytes = Vec::with_capacity(size_of_val(words));
    words.iter().for_each(|word| bytes.extend_from_slice(&word.to_ne_bytes()));
    bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// The host's boot, which is the same as long as we run.
fn boot() -> u64 {
    static BOOT: OnceLock<u64> = OnceLock::new();
    *BOOT.get_or_init(process::boot)
}

/// Our number of each of the writer's hypercalls, by name; `None` in the list: we do not know it.
pub(super) fn calls(catalogue: &[u64]) -> Vec<Option<Hypercall>> {
    let known: HashMap<&str, Hypercall> = CATALOGUE.iter().map(|entry| (entry.name, entry.call)).collect();
    catalogue.chunks(layout::catalogue::NAME).map(|name| known.get(text(name).as_str()).copied()).collect()
}

/// The words of the catalogue.
pub(super) fn catalogue<'a>(words: &'a mut Words<'_>) -> Option<&'a [u64]> {
    let count = usize::try_from(words.header(header::CALLS)).ok()?;
    words.block(words.header(header::CATALOGUE), count.checked_mul(layout::catalogue::NAME)?)
}
