//! Tables of call frame information, as DWARF 5, 6.4, and the Linux Standard Base, 10.6, describe them.

use super::objects::Object;
use super::rule::{Rule, Saved};
use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameHdr, EndianSlice, Expression, NativeEndian, Operation, Pointer,
    ReaderOffset, Register, RegisterRule, UnwindContext, UnwindContextStorage, UnwindSection, UnwindTableRow, X86_64,
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
    let header = EhFrameHdr::new(object.bytes(header_at)?, NativeEndian).parse(&bases, WORD).ok()?;
    let Pointer::Direct(frames_at) = header.eh_frame_ptr() else { return None };
    // It is not told where the section ends; the entries say themselves how long they are.
    let mut frames = EhFrame::new(object.bytes(frames_at..u64::MAX)?, NativeEndian);
    frames.set_address_size(WORD);
    let bases = bases.set_eh_frame(frames_at);
    let table = header.table()?;
    let entry = table.fde_for_address(&frames, &bases, address, EhFrame::cie_from_offset).ok()?;
    // The interrupted function did not call the handler.
    if entry.is_signal_trampoline() {
        return None;
    }
    let mut context = UnwindContext::<usize, Room>::new_in();
    let row = entry.unwind_info_for_address(&frames, &bases, &mut context, address).ok()?;
    from_row(row, &frames, entry.cie().encoding(), entry.cie().return_address_register())
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
