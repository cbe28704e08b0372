//! The dynamic symbols of a loaded object. Numbers and layouts are those of the System V gABI, chapter 5.

use super::Object;
use core::ffi::CStr;
use libc::Elf64_Sym;

const DT_NULL: u64 = 0;
const DT_HASH: u64 = 4;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_STRSZ: u64 = 10;
const DT_SYMENT: u64 = 11;
/// The GNU loader's own table.
const DT_GNU_HASH: u64 = 0x6fff_fef5;

const SHN_UNDEF: u16 = 0;
const SHN_ABS: u16 = 0xfff1;
const STT_TLS: u8 = 6;

/// A symbol that an object defines.
#[derive(Clone, Copy, Debug)]
pub struct Symbol<'a> {
    /// Its name.
    pub name: &'a CStr,
    /// Where it is in memory.
    pub address: usize,
    /// Its entry, with the address on file.
    pub entry: &'a Elf64_Sym,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Dynamic {
    tag: u64,
    value: u64,
}

/// The string that `bytes` begin with; `None`: it has no end. The C library finds it several times as fast as the standard
/// library does, which is felt when a kernel boots: it has ten thousand names.
fn terminated(bytes: &[u8]) -> Option<&CStr> {
    // SAFETY: so many bytes are there.
    let length = unsafe { libc::strnlen(bytes.as_ptr().cast(), bytes.len()) };
    // SAFETY: up to the first zero byte, if there is one.
    bytes.get(..=length).map(|string| unsafe { CStr::from_bytes_with_nul_unchecked(string) })
}

impl Object {
    /// The symbols that this object defines at an address, and whose names begin as `wanted` wants them; those of
    /// thread-local storage have no address. Empty where the object has no dynamic symbols or their tables make no sense.
    pub fn symbols(&self, wanted: impl Fn(&[u8]) -> bool) -> impl Iterator<Item = Symbol<'_>> {
        let (table, strings) = self.tables().unwrap_or_default();
        table.iter().filter_map(move |entry| {
            if entry.st_shndx == SHN_UNDEF || entry.st_value == 0 || entry.st_info & 0xf == STT_TLS {
                return None;
            }
            // The name, and all that follows it: to find its end is most of the work.
            let name = strings.get(entry.st_name as usize..).filter(|name| wanted(name))?;
            let bias = if entry.st_shndx == SHN_ABS { 0 } else { self.bias };
            let address = bias.wrapping_add(entry.st_value as usize);
            Some(Symbol { name: terminated(name)?, address, entry })
        })
    }

    /// How many symbols there are at most, and how many bytes their names have.
    pub fn symbols_at_most(&self) -> (usize, usize) {
        self.tables().map_or((0, 0), |(table, strings)| (table.len(), strings.len()))
    }

    /// The symbol table and the names.
    fn tables(&self) -> Option<(&[Elf64_Sym], &[u8])> {
        let dynamic = self.dynamic.clone()?;
        // SAFETY: pairs of integers, constant once the loader is done.
        let dynamic = unsafe { self.slice::<Dynamic>(dynamic.start, dynamic.len() / size_of::<Dynamic>()) }?;
        let find = |tag| dynamic.iter().take_while(|entry| entry.tag != DT_NULL).find(|entry| entry.tag == tag);
        let table = |tag| find(tag).and_then(|entry| self.resolve(entry.value as usize));

        if find(DT_SYMENT)?.value as usize != size_of::<Elf64_Sym>() {
            return None;
        }
        let count = match table(DT_HASH) {
            // The second word is the number of chains, one for each symbol.
            // SAFETY: integers.
            Some(hash) => *unsafe { self.slice::<u32>(hash, 2) }?.get(1)?,
            None => self.gnu_hash_count(table(DT_GNU_HASH)?)?,
        };
        // SAFETY: integers.
        let symbols = unsafe { self.slice::<Elf64_Sym>(table(DT_SYMTAB)?, count as usize) }?;
        // SAFETY: bytes.
        let strings = unsafe { self.slice::<u8>(table(DT_STRTAB)?, find(DT_STRSZ)?.value as usize) }?;
        Some((symbols, strings))
    }

    /// An address of the dynamic section. Some loaders have put the final address there, others leave what is on file.
    fn resolve(&self, value: usize) -> Option<usize> {
        let inside = |address: &usize| self.readable.iter().any(|range| range.contains(address));
        Some(value).filter(inside).or_else(|| Some(self.bias.wrapping_add(value)).filter(inside))
    }

    /// The number of symbols by a GNU hash table, which does not say it: the last symbol is the end of the chain that
    /// begins last. Symbols below the first hashed one are not exported. A table may hash none at all.
    ///
    /// ```text
    /// buckets | first hashed symbol | words of filter | shift | filter: u64 each | buckets: u32 each | chains: u32 each
    /// ```
    fn gnu_hash_count(&self, address: usize) -> Option<u32> {
        // SAFETY: integers, here and below.
        let &[buckets, first, filter, _] = (unsafe { self.slice::<u32>(address, 4) })? else { return None };
        let buckets_at = address.checked_add(16)?.checked_add((filter as usize).checked_mul(8)?)?;
        let chains_at = buckets_at.checked_add((buckets as usize).checked_mul(4)?)?;
        // SAFETY: integers.
        let last = unsafe { self.slice::<u32>(buckets_at, buckets as usize) }?.iter().copied().max().unwrap_or(0);
        if last < first {
            // All buckets are empty.
            return Some(first);
        }
        let chain_at = chains_at.checked_add(((last - first) as usize).checked_mul(4)?)?;
        // The lowest bit marks the end of a chain.
        let length = self.rest(chain_at)?.chunks_exact(4).position(|word| word.first().is_some_and(|low| low & 1 != 0));
        last.checked_add(u32::try_from(length?).ok()?)?.checked_add(1)
    }
}

#[cfg(test)]
mod tests {
    use crate::host::elf::loaded;
    use core::ops::Range;

    #[test]
    fn finds_what_the_loader_finds() {
        let objects = loaded();
        let libc =
            objects.iter().find(|object| object.path().windows(8).any(|part| part == b"libc.so.")).expect("libc");
        for name in [c"malloc", c"getpid", c"environ", c"strtoul"] {
            let own = libc.symbols(|_| true).find(|symbol| symbol.name == name).expect("exported");
            // SAFETY: a lookup by name.
            let loaders = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) } as usize;
            // The main program may stand in front of the library with a variable of its own.
            assert!(own.address == loaders || name == c"environ", "{name:?}");
        }
        assert!(libc.symbols(|_| true).count() > 1000);
        let with_pid = || libc.symbols(|name| name.starts_with(b"getp"));
        assert!(with_pid().any(|symbol| symbol.name == c"getpid"));
        assert!(with_pid().all(|symbol| symbol.name.to_bytes().starts_with(b"getp")));
    }

    /// A table in memory, as a linker makes it: words, at an address that is a multiple of 8.
    fn object_of(words: &[u64]) -> super::Object {
        let start = words.as_ptr().expose_provenance();
        let all: Range<usize> = start..start + size_of_val(words);
        super::Object {
            path: b"made up".to_vec(),
            is_main: false,
            bias: 0,
            readable: vec![all],
            executable: Vec::new(),
            thread_local: None,
            dynamic: None,
        }
    }

    fn gnu_hash_count(words: &[u32]) -> Option<u32> {
        let mut memory = vec![0u64; words.len().div_ceil(2)];
        for (word, &value) in words.iter().enumerate() {
            memory[word / 2] |= u64::from(value) << (32 * (word % 2));
        }
        object_of(&memory).gnu_hash_count(memory.as_ptr() as usize)
    }

    #[test]
    fn gnu_hash_tables() {
        // Two buckets: symbols 3, 4 and symbols 5, 6, 7.
        let chains = [0x10, 0x21, 0x30, 0x40, 0x51, 0];
        let head = [2, 3, 1, 6, 0, 0];
        let table: Vec<u32> = head.iter().chain(&[3, 5]).chain(&chains).copied().collect();
        assert_eq!(gnu_hash_count(&table), Some(8));
        // Nothing exported: one empty bucket; the symbols below the first hashed one are still there.
        assert_eq!(gnu_hash_count(&[1, 12, 1, 0, 0, 0, 0, 0]), Some(12));
        assert_eq!(gnu_hash_count(&[0, 1, 0, 0]), Some(1));
    }

    #[test]
    fn damaged_tables_count_nothing() {
        assert_eq!(gnu_hash_count(&[2, 3]), None, "cut off");
        assert_eq!(gnu_hash_count(&[u32::MAX, 3, 1, 6, 0, 0]), None, "more buckets than memory");
        assert_eq!(gnu_hash_count(&[1, 3, u32::MAX, 6, 0, 0]), None, "more filter than memory");
        assert_eq!(gnu_hash_count(&[1, 3, 1, 6, 0, 0, 1_000_000, 1]), None, "a chain outside");
        assert_eq!(gnu_hash_count(&[1, 3, 1, 6, 0, 0, 3, 2, 2, 2]), None, "a chain without an end");
    }
}
