//! One symbol table out of those of several objects, with the addresses in memory.

use super::Symbol;
use libc::Elf64_Sym;

/// A table and its names, in the layout of this host's ELF.
#[derive(Debug)]
pub struct Table {
    symbols: Vec<Elf64_Sym>,
    names: Vec<u8>,
}

impl Table {
    /// With room for so many symbols, with names of so many bytes: what is not used costs no memory, but what grows is copied.
    pub fn with_room(symbols: usize, names: usize) -> Self {
        Table { symbols: Vec::with_capacity(symbols), names: Vec::with_capacity(names) }
    }

    /// Adds a symbol; without effect where the names have grown beyond what a table can refer to, 4 GiB.
    pub fn add(&mut self, symbol: &Symbol<'_>) {
        let Ok(name) = u32::try_from(self.names.len()) else { return };
        self.names.extend_from_slice(symbol.name.to_bytes_with_nul());
        self.symbols.push(Elf64_Sym { st_name: name, st_value: symbol.address as u64, ..*symbol.entry });
    }

    /// Whether there is no symbol in it.
    pub fn is_empty(&self) -> bool {
        self.symbols.is_empty()
    }

    /// The two tables. They are never freed, so they can be lent to who keeps them.
    pub fn leak(self) -> (&'static mut [Elf64_Sym], &'static mut [u8]) {
        (self.symbols.leak(), self.names.leak())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ffi::CStr;

    #[test]
    fn names_and_addresses_are_the_new_ones() {
        let entry = Elf64_Sym { st_name: 99, st_info: 0x12, st_other: 0, st_shndx: 7, st_value: 0x10, st_size: 5 };
        let mut table = Table::with_room(1, 10);
        assert!(table.is_empty());
        for (name, address) in [(c"rump_one", 0x7000), (c"rump_two", 0x8000)] {
            table.add(&Symbol { name, address, entry: &entry });
        }
        let (symbols, names) = table.leak();
        let found: Vec<(&CStr, u64, u64)> = symbols
            .iter()
            .map(|symbol| {
                let name = CStr::from_bytes_until_nul(&names[symbol.st_name as usize..]).expect("a string");
                (name, symbol.st_value, symbol.st_size)
            })
            .collect();
        assert_eq!(found, [(c"rump_one", 0x7000, 5), (c"rump_two", 0x8000, 5)]);
    }
}
