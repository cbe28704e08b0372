//! Call chains with the time spent behind each.

use super::names::{Frame, site};
use super::short::{is_library, short};
use super::waiting::Waiting;
use crate::style::printable;
use rumpscope_probes::contention::StackId;
use std::collections::BTreeMap;

/// A chain and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weighed {
    /// Functions, innermost first. Chains through the same functions are one; where they went through different lines of
    /// one, the line is left out.
    pub chain: Vec<Frame>,
    /// In ticks.
    pub ticks: u64,
}

/// The chains of `times`, the longest time first.
pub fn weighed(waiting: &Waiting, times: &BTreeMap<StackId, u64>) -> Vec<Weighed> {
    let mut merged = BTreeMap::<Vec<&str>, Weighed>::new();
    for (number, ticks) in times {
        let chain = waiting.chain(*number);
        let functions = chain.iter().map(|frame| frame.function.as_str()).collect();
        let into = merged.entry(functions).or_insert_with(|| Weighed { chain: chain.to_vec(), ticks: 0 });
        into.ticks = into.ticks.saturating_add(*ticks);
        for (frame, other) in into.chain.iter_mut().zip(chain) {
            if frame.source != other.source {
                frame.source = None;
            }
        }
    }
    let mut chains: Vec<_> = merged.into_values().collect();
    chains.sort_by_key(|chain| std::cmp::Reverse(chain.ticks));
    chains
}

/// A chain as one line, from the function that it stands for outwards, of about `width` characters at most. Names are
/// short, and functions of the language's libraries are left out.
pub fn line(chain: &[Frame], width: usize) -> String {
    let Some(first) = site(chain) else { return "(no call chain)".to_owned() };
    let begin = chain.iter().position(|frame| std::ptr::eq(frame, first)).unwrap_or(0);
    let mut line = match &first.source {
        // The name of the file is enough to find it by.
        Some(source) => format!("{} ({})", short(&first.function), source.rsplit('/').next().unwrap_or(source)),
        None => short(&first.function),
    };
    let mut callers = chain[begin + 1..].iter().filter(|frame| !is_library(&frame.function)).peekable();
    while let Some(frame) = callers.next() {
        let next = format!(" < {}", short(&frame.function));
        // What is left out is said, and that needs room too unless nothing is.
        let spare = if callers.peek().is_none() { 0 } else { " < ...".len() };
        if line.chars().count() + next.chars().count() + spare > width {
            line.push_str(" < ...");
            break;
        }
        line.push_str(&next);
    }
    printable(&line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contention::testing;

    fn frame(function: &str, source: Option<&str>) -> Frame {
        Frame { function: function.to_owned(), source: source.map(str::to_owned) }
    }

    #[test]
    fn a_line_ends_where_the_screen_does() {
        let chain =
            [frame("mutex_enter", None), frame("f", Some("src/f.c:3")), frame("caller", None), frame("main", None)];
        assert_eq!(line(&chain, 80), "f (f.c:3) < caller < main");
        assert_eq!(line(&chain, 25), "f (f.c:3) < caller < main");
        assert_eq!(line(&chain, 24), "f (f.c:3) < caller < ...");
        assert_eq!(line(&chain, 10), "f (f.c:3) < ...");
        assert_eq!(line(&[], 10), "(no call chain)");
        // What a name contains reaches no terminal as a command.
        assert_eq!(line(&[frame("f\x1b[2J", Some("a/\x07.c:3")), frame("g\n", None)], 80), "f?[2J (?.c:3) < g?");
    }

    #[test]
    fn chains_through_the_same_functions_are_one() {
        let mut waiting = testing::waiting();
        waiting.chains = BTreeMap::from([
            (1, [frame("f", Some("f.c:3")), frame("main", Some("m.c:1"))].into()),
            (2, [frame("f", Some("f.c:9")), frame("main", Some("m.c:1"))].into()),
            (3, [frame("g", None)].into()),
        ]);
        let chains = weighed(&waiting, &BTreeMap::from([(0, 1), (1, 20), (2, 30), (3, 40)]));
        let merged = vec![frame("f", None), frame("main", Some("m.c:1"))];
        let expected = [(merged, 50), (vec![frame("g", None)], 40), (Vec::new(), 1)];
        assert_eq!(chains, expected.map(|(chain, ticks)| Weighed { chain, ticks }));
    }
}
