//! The symbols of one file, to be found by address.

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
