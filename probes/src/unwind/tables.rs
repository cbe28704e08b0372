//! Tables of call frame information, as DWARF 5, 6.4, and the Linux Standard Base, 10.6, describe them.

use super::objects::Object;
use super::rule::{Rule, Saved};
use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameHdr, EhFrameOffset, EndianSlice, Expression, NativeEndian, Operation,
    Pointer, ReaderOffset, Register, RegisterRule, UnwindContext, UnwindContextStorage, UnwindSection, UnwindTableRow,
    X86_64, constants,
};

type Slice<'a> = EndianSlice<'a, NativeEndian>;

/// Room on the stack, some 4 KiB, for evaluating a function's instructions. Few registers are ever saved, and compilers
/// remember one state at a time; where this is too little, the function's frames end a chain.
struct Room;

impl<T: ReaderOffset> UnwindContextStorage<T> for Room {
    type Rules = [(Register, RegisterRule<T>); 24];
    type Stack = [UnwindTableRow<T, Self>; 4];
}

/// How the frame is left that makes a call at `address`; `None` where the object's tables do not say, or say it in a way
/// that no [`Rule`] can.
pub(super) fn rule(object: &Object<'_>, address: u64) -> Option<Rule> {
    const WORD: u8 = size_of::<usize>() as u8;
    let header_at = object.unwind_header()?;
    let bases = BaseAddresses::default().set_eh_frame_hdr(header_at.start);
    let bytes = object.bytes(header_at.clone())?;
    let header = EhFrameHdr::new(bytes, NativeEndian).parse(&bases, WORD).ok()?;
    let Pointer::Direct(frames_at) = header.eh_frame_ptr() else { return None };
    // It is not told where the section ends; the entries say themselves how long they are.
    let mut frames = EhFrame::new(object.bytes(frames_at..u64::MAX)?, NativeEndian);
    frames.set_address_size(WORD);
    let bases = bases.set_eh_frame(frames_at);
    let entry_at = match nearest(bytes, address.wrapping_sub(header_at.start)) {
        Some(nearest) => header_at.start.wrapping_add(nearest),
        None => header.table()?.lookup(address, &bases).ok()?.direct().ok()?,
    };
    let offset = EhFrameOffset(usize::try_from(entry_at.checked_sub(frames_at)?).ok()?);
    let entry = frames.fde_from_offset(&bases, offset, EhFrame::cie_from_offset).ok()?;
    if !entry.contains(address) {
        return None;
    }
    // The interrupted function did not call the handler.
    if entry.is_signal_trampoline() {
        return None;
    }
    let mut context = UnwindContext::<usize, Room>::new_in();
    let row = entry.unwind_info_for_address(&frames, &bases, &mut context, address).ok()?;
    from_row(row, &frames, entry.cie().encoding(), entry.cie().return_address_register())
}

/// Looks in a search table, `header` and all, for the last function that begins at `address` or before; the position of
/// its entry. Both are relative to the header. `None`: the table is not as linkers write it (a position of the frames and
/// a count in 4 bytes each, then sorted pairs of function and entry, relative to the header); others find it slowly.
fn nearest(header: &[u8], address: u64) -> Option<u64> {
    const ENCODINGS: [u8; 4] = [
        1,
        constants::DW_EH_PE_pcrel.0 | constants::DW_EH_PE_sdata4.0,
        constants::DW_EH_PE_udata4.0,
        constants::DW_EH_PE_datarel.0 | constants::DW_EH_PE_sdata4.0,
    ];
    let (encodings, rest) = header.split_first_chunk()?;
    let (_, rest) = rest.split_first_chunk::<4>()?;
    let (count, rest) = rest.split_first_chunk()?;
    if *encodings != ENCODINGS {
        return None;
    }
    let (pairs, _) = rest.as_chunks::<8>();
    let pairs = pairs.get(..u32::from_ne_bytes(*count) as usize)?;
    let half =
        |pair: &[u8; 8], at: usize| i64::from(i32::from_ne_bytes([pair[at], pair[at + 1], pair[at + 2], pair[at + 3]]));
    let after = pairs.partition_point(|pair| half(pair, 0) <= address as i64);
    Some(half(pairs.get(after.checked_sub(1)?)?, 4) as u64)
}

fn from_row(
    row: &UnwindTableRow<usize, Room>,
    frames: &EhFrame<Slice<'_>>,
    encoding: gimli::Encoding,
    return_address: Register,
) -> Option<Rule> {
    // Undefined is what a thread's first function says: nobody called it.
    if !matches!(row.register(return_address), Some(RegisterRule::Offset(-8))) {
        return None;
    }
    // Where it is said, the caller's stack pointer is the CFA itself.
    if !matches!(row.register(X86_64::RSP), None | Some(RegisterRule::ValOffset(0))) {
        return None;
    }
    let frame_pointer = row.register(X86_64::RBP);
    match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => {
            let saved = match frame_pointer {
                None | Some(RegisterRule::SameValue | RegisterRule::Undefined) => Saved::InRegister,
                Some(RegisterRule::Offset(offset)) => Saved::BelowCfa(u32::try_from(-i128::from(offset)).ok()?),
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
            let Some((0, false)) = above_frame_pointer(place.get(frames).ok()?, encoding) else { return None };
            match above_frame_pointer(expression.get(frames).ok()?, encoding)? {
                (cfa, true) => Some(Rule::Kept { cfa }),
                (_, false) => None,
            }
        }
    }
}

/// What an expression stands for, if it is an address so many bytes above the frame pointer, or what is kept there.
fn above_frame_pointer(expression: Expression<Slice<'_>>, encoding: gimli::Encoding) -> Option<(i32, bool)> {
    let mut operations = expression.operations(encoding);
    let Operation::RegisterOffset { register: X86_64::RBP, offset, .. } = operations.next().ok()?? else { return None };
    let kept = match operations.next().ok()? {
        None => false,
        Some(Operation::Deref { size: 8, space: false, .. }) if operations.next().ok()?.is_none() => true,
        Some(_) => return None,
    };
    Some((i32::try_from(offset).ok()?, kept))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
            let found = nearest(&table(&functions), i64::from(address) as u64);
            prop_assert_eq!(found, last.map(|last| last as u64));
        }

        #[test]
        fn a_table_of_rubbish_is_none(mut bytes in prop::collection::vec(any::<u8>(), 0..64), cut in 0..12_usize) {
            nearest(&bytes, 8);
            bytes.splice(..bytes.len().min(4), [1, 0x1b, 0x03, 0x3b]);
            nearest(&bytes, 8);
            prop_assert_eq!(nearest(&table(&[0])[..cut], 8), None);
        }
    }
}
