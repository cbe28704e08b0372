//! The symbols of one file, to be found by address.

use super::variables::Variable;
use object::elf::{SHF_ALLOC, SHF_EXECINSTR};
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, SymbolKind};
use std::cmp::Reverse;

/// Functions or data objects, by address.
#[derive(Debug, Default)]
pub struct Table {
    /// By where they begin; no two begin at the same address.
    symbols: Vec<Symbol>,
}

/// A name for a range of addresses in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// As it is in the file.
    pub name: String,
    /// Its first address.
    pub start: u64,
    /// The one after its last.
    pub end: u64,
    /// Whether the file says how long it is. Otherwise, as for most of what is written in assembler, it is taken to go
    /// on up to the next symbol or the end of its section.
    pub sized: bool,
    /// The furthest end of this one and all before: where to stop looking for one that covers an address.
    reach: u64,
}

/// A symbol on its way into a [`Table`].
#[derive(Clone, Debug)]
struct Candidate {
    name: String,
    start: u64,
    /// 0: not known.
    size: u64,
    /// Where its section ends.
    limit: u64,
    binding: Binding,
    typed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Local,
    Weak,
    Global,
}

impl Candidate {
    /// Which of several names for one address is taken: the greatest. The longest range first, for that answers for
    /// the most addresses; then what programmers call it rather than what the library's own code does; at last any, but
    /// always the same.
    fn preference(&self) -> impl Ord + '_ {
        let public = !self.name.starts_with('_');
        (
            self.size > 0,
            self.typed,
            self.binding,
            public,
            self.size,
            Reverse(self.name.len()),
            Reverse(self.name.as_str()),
        )
    }
}

impl Table {
    /// The functions of a file: from `.symtab` if it has one, else from `.dynsym`.
    pub fn of_functions<'a>(file: &impl Object<'a>) -> Self {
        Table::new(candidates(file, |code, kind| code && matches!(kind, SymbolKind::Text | SymbolKind::Unknown)))
    }

    /// The objects in memory of a file, from the same tables. What has no size is a mark for the linker, not an object.
    pub fn of_data<'a>(file: &impl Object<'a>) -> Self {
        let mut candidates =
            candidates(file, |code, kind| !code && matches!(kind, SymbolKind::Data | SymbolKind::Unknown));
        candidates.retain(|candidate| candidate.size > 0);
        Table::new(candidates)
    }

    /// Variables that debug information tells of.
    pub fn of_variables(variables: Vec<Variable>) -> Self {
        let candidate = |Variable { name, start, size }| Candidate {
            name,
            start,
            size,
            limit: u64::MAX,
            binding: Binding::Local,
            typed: true,
        };
        Table::new(variables.into_iter().map(candidate).collect())
    }

    fn new(mut candidates: Vec<Candidate>) -> Self {
        candidates.sort_by(|a, b| a.start.cmp(&b.start).then_with(|| b.preference().cmp(&a.preference())));
        candidates.dedup_by_key(|candidate| candidate.start);
        let mut symbols = Vec::with_capacity(candidates.len());
        let mut reach = 0;
        for (nth, candidate) in candidates.iter().enumerate() {
            let sized = candidate.size > 0;
            let end = if sized {
                candidate.start.saturating_add(candidate.size)
            } else {
                let next = candidates.get(nth + 1).map_or(u64::MAX, |next| next.start);
                next.min(candidate.limit)
            };
            // A label inside a function is no function.
            if !sized && candidate.start < reach {
                continue;
            }
            reach = reach.max(end);
            symbols.push(Symbol { name: candidate.name.clone(), start: candidate.start, end, sized, reach });
        }
        Table { symbols }
    }

    /// The symbol that covers an address: of several, the one that begins last.
    pub fn find(&self, address: u64) -> Option<&Symbol> {
        let after = self.symbols.partition_point(|symbol| symbol.start <= address);
        let before = self.symbols[..after].iter().rev();
        before.take_while(|symbol| symbol.reach > address).find(|symbol| symbol.end > address)
    }
}

fn candidates<'a>(file: &impl Object<'a>, wanted: impl Fn(bool, SymbolKind) -> bool) -> Vec<Candidate> {
    let mut candidates: Vec<_> = file.symbols().filter_map(|symbol| describe(file, &symbol, &wanted)).collect();
    if file.symbol_table().is_none() || candidates.is_empty() {
        candidates = file.dynamic_symbols().filter_map(|symbol| describe(file, &symbol, &wanted)).collect();
    }
    candidates
}

fn describe<'a>(
    file: &impl Object<'a>,
    symbol: &impl ObjectSymbol<'a>,
    wanted: impl Fn(bool, SymbolKind) -> bool,
) -> Option<Candidate> {
    let section = file.section_by_index(symbol.section_index()?).ok()?;
    // Not the section's kind: in a separate debug file, where sections have no contents, code looks like data.
    let SectionFlags::Elf { sh_flags, .. } = section.flags() else { return None };
    let loaded = sh_flags.0 & SHF_ALLOC.0 != 0;
    let code = sh_flags.0 & SHF_EXECINSTR.0 != 0;
    if !loaded || !wanted(code, symbol.kind()) {
        return None;
    }
    let name = symbol.name().ok()?;
    // Names that begin so are marks of the assembler, on some processors.
    if name.is_empty() || name.starts_with('$') || name.starts_with(".L") {
        return None;
    }
    let binding = match (symbol.is_weak(), symbol.is_global()) {
        (true, _) => Binding::Weak,
        (false, true) => Binding::Global,
        (false, false) => Binding::Local,
    };
    Some(Candidate {
        name: name.to_owned(),
        start: symbol.address(),
        size: symbol.size(),
        limit: section.address().saturating_add(section.size()),
        binding,
        typed: symbol.kind() != SymbolKind::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use super::{Binding, Candidate, Table};

    fn function(name: &str, start: u64, size: u64) -> Candidate {
        Candidate { name: name.to_owned(), start, size, limit: 1000, binding: Binding::Global, typed: true }
    }

    fn found(table: &Table, address: u64) -> Option<&str> {
        table.find(address).map(|symbol| symbol.name.as_str())
    }

    #[test]
    fn a_symbol_covers_its_size_and_no_more() {
        let table = Table::new(vec![function("b", 200, 50), function("a", 100, 50)]);
        assert_eq!(found(&table, 99), None);
        assert_eq!(found(&table, 100), Some("a"));
        assert_eq!(found(&table, 149), Some("a"));
        assert_eq!(found(&table, 150), None);
        assert_eq!(found(&table, 249), Some("b"));
    }

    #[test]
    fn of_aliases_it_is_always_the_same_that_is_taken() {
        let local = Candidate { binding: Binding::Local, ..function("aaa", 100, 10) };
        let weak = Candidate { binding: Binding::Weak, ..function("open", 100, 10) };
        let mut aliases = vec![local, weak, function("__open64", 100, 10), function("open64", 100, 10)];
        aliases.push(function("open6464", 100, 10));
        for _ in 0..aliases.len() {
            aliases.rotate_left(1);
            assert_eq!(found(&Table::new(aliases.clone()), 105), Some("open64"));
        }
    }

    #[test]
    fn a_function_without_a_size_ends_where_the_next_begins_or_its_section_ends() {
        let last = Candidate { limit: 400, ..function("last", 300, 0) };
        let table = Table::new(vec![function("first", 100, 0), function("next", 200, 50), last]);
        assert_eq!(found(&table, 199), Some("first"));
        assert_eq!(found(&table, 260), None);
        assert_eq!(found(&table, 399), Some("last"));
        assert_eq!(found(&table, 400), None);
        assert!(!table.find(150).unwrap().sized && table.find(200).unwrap().sized);
    }

    #[test]
    fn within_a_function_others_count_if_they_have_a_size() {
        let label = Candidate { typed: false, ..function("label", 120, 0) };
        let table = Table::new(vec![function("outer", 100, 100), label, function("inner", 150, 10)]);
        assert_eq!(found(&table, 130), Some("outer"));
        assert_eq!(found(&table, 155), Some("inner"));
        assert_eq!(found(&table, 170), Some("outer"));
    }

    #[test]
    fn sizes_that_cannot_be_do_no_harm() {
        let table = Table::new(vec![function("endless", u64::MAX - 4, u64::MAX), function("a", 0, 1)]);
        assert_eq!(found(&table, u64::MAX - 1), Some("endless"));
        assert_eq!(found(&table, 5), None);
    }
}
