//! Tables of call frame information, as the Linux Standard Base, 10.6, describes them: `.eh_frame_hdr`, in which a function is
//! looked up, and `.eh_frame`, which says how each of its frames is left.

use super::bytes::Bytes;
use super::objects::Object;
use super::program::{Factors, Program, RETURN_ADDRESS};
use super::rule::Rule;
use core::ops::Range;

/// How pointers are written (LSB, 10.5.1): the low four bits are the format, the others what it is relative to.
const ABSOLUTE: u8 = 0x00;
const RELATIVE_TO_ITSELF: u8 = 0x10;
const RELATIVE_TO_HEADER: u8 = 0x30;
const ALIGNED: u8 = 0x50;
const UDATA4: u8 = 0x03;
const SDATA4: u8 = 0x0b;

/// Where a rule holds: what is known of one address is known of all of these.
pub(super) type Row = (Range<u64>, Rule);

/// How the frame is left that makes a call at `address`; `None` where the object's tables do not say, or say it in a way
/// that no [`Rule`] can.
pub(super) fn row(object: &Object<'_>, address: u64) -> Option<Row> {
    let header_at = object.unwind_header()?;
    let header = object.bytes(header_at.clone())?;
    let Found { frames, entry, next } = find(header, address.wrapping_sub(header_at.start))?;
    let frames_at = header_at.start.wrapping_add(frames);
    // It is not told where they end; the entries say themselves how long they are.
    let frames = Frames { at: frames_at, bytes: object.bytes(frames_at..u64::MAX)? };
    let (mut row, rule) = frames.row(header_at.start.wrapping_add(entry).checked_sub(frames_at)?, address)?;
    // Where a function is said to be longer than it is, the next one is found there.
    if let Some(next) = next {
        row.end = row.end.min(header_at.start.wrapping_add(next));
    }
    Some((row, rule))
}

/// Where the frames are and, among them, the entry of a function; and where the next function begins, if there is one. All relative
/// to the header.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    frames: u64,
    entry: u64,
    next: Option<u64>,
}

/// Looks in a search table, `header` and all, for the last function that begins at `address` or before, relative to the
/// header. `None`: there is none, or the table is not as linkers write it, the position of the frames and a count in 4 bytes
/// each, then sorted pairs of function and entry, relative to the header.
fn find(header: &[u8], address: u64) -> Option<Found> {
    const ENCODINGS: [u8; 4] = [1, RELATIVE_TO_ITSELF | SDATA4, UDATA4, RELATIVE_TO_HEADER | SDATA4];
    let (encodings, rest) = header.split_first_chunk()?;
    let (frames, rest) = rest.split_first_chunk()?;
    let (count, rest) = rest.split_first_chunk()?;
    if *encodings != ENCODINGS {
        return None;
    }
    let (pairs, _) = rest.as_chunks::<8>();
    let pairs = pairs.get(..u32::from_ne_bytes(*count) as usize)?;
    let half =
        |pair: &[u8; 8], at: usize| i64::from(i32::from_ne_bytes([pair[at], pair[at + 1], pair[at + 2], pair[at + 3]]));
    let after = pairs.partition_point(|pair| half(pair, 0) <= address as i64);
    let entry = half(pairs.get(after.checked_sub(1)?)?, 4) as u64;
    // Behind the four encodings.
    let frames = (i64::from(i32::from_ne_bytes(*frames)) + 4) as u64;
    let next = pairs.get(after).map(|next| half(next, 0) as u64);
    Some(Found { frames, entry, next })
}

/// The entries of functions (FDE), each with a link to what several have in common (CIE).
struct Frames<'a> {
    /// The address of the first byte.
    at: u64,
    bytes: &'a [u8],
}

/// What functions have in common.
struct Common<'a> {
    factors: Factors,
    /// How the functions' addresses are written.
    encoding: u8,
    /// Whether the entries of functions have more than is said here, with its length before it.
    is_augmented: bool,
    instructions: Bytes<'a>,
}

impl<'a> Frames<'a> {
    /// The entry at `position`, without its length; and where it begins.
    fn entry(&self, position: u64) -> Option<(Bytes<'a>, u64)> {
        let mut bytes = Bytes(self.bytes.get(usize::try_from(position).ok()?..)?);
        // Those with a length of 64 bits, after 0xffffffff, are not understood.
        let length = bytes.u32()?;
        Some((bytes.part(length.into())?, position + 4))
    }

    /// How the frame is left that makes a call at `address`, in the function whose entry is at `position`.
    fn row(&self, position: u64, address: u64) -> Option<Row> {
        let (mut entry, at) = self.entry(position)?;
        // How far back it is; 0 is said by what functions have in common.
        let back = entry.u32().filter(|back| *back != 0)?;
        let common = self.common(at.checked_sub(back.into())?)?;
        let here = self.at.wrapping_add(at + 4);
        let begin = pointer(&mut entry, common.encoding, here)?;
        let length = pointer(&mut entry, common.encoding & 0x0f, 0)?;
        let distance = address.wrapping_sub(begin);
        if distance >= length {
            return None;
        }
        if common.is_augmented {
            let length = entry.unsigned()?;
            entry.part(length)?;
        }
        let mut program = Program::begin(common.factors, common.instructions)?;
        let Range { start, end } = program.run(entry, distance)?;
        let row = begin.wrapping_add(start)..begin.wrapping_add(end.min(length));
        Some((row, program.rule()?))
    }

    /// What functions have in common, at `position`.
    #[inline(always)]
    fn common(&self, position: u64) -> Option<Common<'a>> {
        let (mut entry, _) = self.entry(position)?;
        if entry.u32()? != 0 || !matches!(entry.u8()?, 1 | 3) {
            return None;
        }
        let augmentation = entry.string()?;
        let factors = Factors { code: entry.unsigned()?, data: entry.signed()? };
        // One byte up to version 1, but as a number of variable length it is the same for this one.
        if entry.unsigned()? != RETURN_ADDRESS {
            return None;
        }
        let mut common = Common { factors, encoding: ABSOLUTE, is_augmented: false, instructions: entry };
        let Some((first, letters)) = augmentation.split_first() else { return Some(common) };
        if *first != b'z' {
            return None;
        }
        let length = entry.unsigned()?;
        let mut data = entry.part(length)?;
        for letter in letters {
            match letter {
                b'R' => common.encoding = data.u8()?,
                // Where data for unwinding into the function is.
                b'L' => {
                    data.u8()?;
                }
                // Who decides about that.
                b'P' => {
                    let encoding = data.u8()?;
                    // Its value is not needed, unless it is one with padding before it.
                    if encoding & 0x70 == ALIGNED {
                        return None;
                    }
                    pointer(&mut data, encoding & 0x0f, 0)?;
                }
                // 'S' is a handler of signals, which the interrupted function did not call. What others say is not known.
                _ => return None,
            }
        }
        Some(Common { is_augmented: true, instructions: entry, ..common })
    }
}

/// A pointer that is written at `here`.
#[inline]
fn pointer(from: &mut Bytes<'_>, encoding: u8, here: u64) -> Option<u64> {
    let value = match encoding & 0x0f {
        // An address, as the processor has it; and the same in 8 bytes, without and with a sign.
        ABSOLUTE | 0x04 | 0x0c => from.u64()?,
        UDATA4 => from.u32()?.into(),
        SDATA4 => i64::from(from.u32()? as i32) as u64,
        0x02 => from.u16()?.into(),
        0x0a => i64::from(from.u16()? as i16) as u64,
        _ => return None,
    };
    match encoding & 0xf0 {
        ABSOLUTE => Some(value),
        RELATIVE_TO_ITSELF => Some(here.wrapping_add(value)),
        _ => None,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::unwind::objects;
    use crate::unwind::rule::Saved;
    use gimli::{
        BaseAddresses, CfaRule, EhFrame, EhFrameHdr, EndianSlice, Expression, FrameDescriptionEntry, NativeEndian,
        Operation, Pointer, RegisterRule, UnwindContext, UnwindSection, UnwindTableRow, X86_64,
    };
    use proptest::prelude::*;

    type Slice<'a> = EndianSlice<'a, NativeEndian>;

    /// A search table of these functions, whose entries have their numbers as positions.
    fn table(functions: &[i32]) -> Vec<u8> {
        let mut table = vec![1, 0x1b, 0x03, 0x3b];
        table.extend(0_i32.to_ne_bytes());
        table.extend((functions.len() as u32).to_ne_bytes());
        for (number, function) in (0_i32..).zip(functions) {
            table.extend(function.to_ne_bytes().into_iter().chain(number.to_ne_bytes()));
        }
        table
    }

    proptest! {
        #[test]
        fn the_last_function_before_an_address_is_found(
            functions in prop::collection::btree_set(-1000..1000_i32, 0..40),
            address in -1100..1100_i32,
        ) {
            let functions: Vec<i32> = functions.into_iter().collect();
            let last = functions.iter().rposition(|function| *function <= address);
            let found = find(&table(&functions), i64::from(address) as u64);
            let next = |last: usize| functions.get(last + 1).map(|next| i64::from(*next) as u64);
            prop_assert_eq!(found, last.map(|last| Found { frames: 4, entry: last as u64, next: next(last) }));
        }

        #[test]
        fn a_table_of_rubbish_is_none(mut bytes in prop::collection::vec(any::<u8>(), 0..64), cut in 0..12_usize) {
            find(&bytes, 8);
            bytes.splice(..bytes.len().min(4), [1, 0x1b, 0x03, 0x3b]);
            find(&bytes, 8);
            prop_assert_eq!(find(&table(&[0])[..cut], 8), None);
        }
    }

    /// What gimli makes of a row.
    fn gimlis(row: &UnwindTableRow<usize>, frames: &EhFrame<Slice<'_>>, encoding: gimli::Encoding) -> Option<Rule> {
        if !matches!(row.register(X86_64::RA), Some(RegisterRule::Offset(-8)))
            || !matches!(row.register(X86_64::RSP), None | Some(RegisterRule::ValOffset(0)))
        {
            return None;
        }
        let frame_pointer = row.register(X86_64::RBP);
        match row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => {
                let saved = match frame_pointer {
                    None | Some(RegisterRule::SameValue | RegisterRule::Undefined) => Saved::InRegister,
                    Some(RegisterRule::Offset(offset)) => Saved::BelowCfa(u32::try_from(-offset).ok()?),
                    Some(_) => return None,
                };
                let cfa = i32::try_from(*offset).ok()?;
                match *register {
                    X86_64::RSP => Some(Rule::FromStackPointer { cfa, saved }),
                    X86_64::RBP => Some(Rule::FromFramePointer { cfa, saved }),
                    _ => None,
                }
            }
            CfaRule::Expression(expression) => {
                let Some(RegisterRule::Expression(place)) = frame_pointer else { return None };
                let place = gimlis_above_frame_pointer(place.get(frames).unwrap(), encoding);
                let cfa = gimlis_above_frame_pointer(expression.get(frames).unwrap(), encoding);
                match (place, cfa) {
                    (Some((0, false)), Some((cfa, true))) => Some(Rule::Kept { cfa }),
                    _ => None,
                }
            }
        }
    }

    fn gimlis_above_frame_pointer(expression: Expression<Slice<'_>>, encoding: gimli::Encoding) -> Option<(i32, bool)> {
        let mut operations = expression.operations(encoding);
        let Operation::RegisterOffset { register: X86_64::RBP, offset, .. } = operations.next().ok()?? else {
            return None;
        };
        let kept = match operations.next().ok()? {
            None => false,
            Some(Operation::Deref { size: 8, space: false, .. }) if operations.next().ok()?.is_none() => true,
            Some(_) => return None,
        };
        Some((i32::try_from(offset).ok()?, kept))
    }

    /// Compares our rules of a function with gimli's: at both ends of each row.
    fn compare(
        entry: &FrameDescriptionEntry<Slice<'_>>,
        frames: &EhFrame<Slice<'_>>,
        bases: &BaseAddresses,
        object: &Object<'_>,
    ) -> [usize; 2] {
        let (mut rows, mut rules) = (0, 0);
        let mut context = UnwindContext::new();
        let mut table = entry.rows(frames, bases, &mut context).unwrap();
        while let Some(row) = table.next_row().unwrap() {
            let theirs = if entry.is_signal_trampoline() { None } else { gimlis(row, frames, entry.cie().encoding()) };
            for address in [row.start_address(), row.end_address().wrapping_sub(1)] {
                if (row.start_address()..row.end_address()).contains(&address) {
                    let ours = super::row(object, address);
                    assert_eq!(ours.as_ref().map(|(_, rule)| *rule), theirs, "{address:x} in {:?}", object.name);
                    // gimli's rows are as long as the instructions say, and so are ours, but that they end with the function.
                    let end = row.end_address().min(entry.end_address());
                    assert!(
                        ours.is_none_or(|(range, _)| range.start == row.start_address() && range.end <= end),
                        "{address:x}"
                    );
                    // What is remembered of other rows says the same.
                    if let (Some((range, rule)), None) = (super::row(object, address), objects::recall_rule(address)) {
                        objects::remember_row((range, rule));
                    }
                    assert!(objects::recall_rule(address).is_none_or(|known| Some(known) == theirs), "{address:x}");
                }
            }
            rows += 1;
            rules += usize::from(theirs.is_some());
        }
        [rows, rules]
    }

    /// All tables of the program, the C library and whatever else is loaded.
    #[test]
    fn rules_are_those_that_gimli_finds() {
        let (mut rows, mut rules) = (0, 0);
        objects::each(|object| {
            let Some(header_at) = object.unwind_header() else { return };
            let Some(header) = object.bytes(header_at.clone()) else { return };
            // Not as linkers write them.
            if find(header, i64::MAX as u64).is_none() {
                return;
            }
            let bases = BaseAddresses::default().set_eh_frame_hdr(header_at.start);
            let parsed = EhFrameHdr::new(header, NativeEndian).parse(&bases, 8).unwrap();
            let Pointer::Direct(frames_at) = parsed.eh_frame_ptr() else { return };
            let mut frames = EhFrame::new(object.bytes(frames_at..u64::MAX).unwrap(), NativeEndian);
            frames.set_address_size(8);
            let bases = bases.set_eh_frame(frames_at);
            let table = parsed.table().unwrap();
            let mut entries = table.iter(&bases);
            while let Some((_, entry)) = entries.next().unwrap() {
                let offset = gimli::EhFrameOffset((entry.direct().unwrap() - frames_at) as usize);
                let entry = frames.fde_from_offset(&bases, offset, EhFrame::cie_from_offset).unwrap();
                let [more_rows, more_rules] = compare(&entry, &frames, &bases, object);
                (rows, rules) = (rows + more_rows, rules + more_rules);
            }
        });
        // Most of what compilers make has a rule.
        assert!(rows > 10_000 && rules > rows * 9 / 10, "{rules} of {rows}");
    }

    proptest! {
        /// Tables of the program with some bytes changed.
        #[test]
        fn damaged_tables_are_read_without_a_fault(
            positions in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            distances in prop::collection::vec((any::<prop::sample::Index>(), 0..0x1000u64), 1..50),
        ) {
            static TABLES: std::sync::OnceLock<(u64, Vec<u8>)> = std::sync::OnceLock::new();
            let (at, whole) = TABLES.get_or_init(|| {
                let mut tables = None;
                objects::each(|object| {
                    let Some(header_at) = object.unwind_header() else { return };
                    let Some(header) = object.bytes(header_at.clone()) else { return };
                    let Some(Found { frames, .. }) = find(header, i64::MAX as u64) else { return };
                    let frames_at = header_at.start.wrapping_add(frames);
                    let bytes = object.bytes(frames_at..frames_at + 4096).unwrap();
                    tables.get_or_insert((frames_at, bytes.to_vec()));
                });
                tables.expect("tables")
            });
            let mut bytes = whole.clone();
            for (position, byte) in positions {
                *position.get_mut(&mut bytes) = byte;
            }
            let frames = Frames { at: *at, bytes: &bytes };
            // At each entry, and at places that are none.
            let mut position = 0;
            while let Some((entry, _)) = frames.entry(position) {
                for distance in 0..4 {
                    frames.row(position, at.wrapping_add(distance << 8));
                }
                position += 4 + entry.0.len() as u64;
            }
            for (position, distance) in distances {
                frames.row(position.index(bytes.len()) as u64, at.wrapping_add(distance));
            }
        }
    }
}
