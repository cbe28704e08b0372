//! The instructions that make a row of a frame's table: where its canonical frame address and the caller's registers are
//! (DWARF 5, 6.4.2 and 7.24).

use super::bytes::Bytes;
use super::rule::{Rule, Saved};
use core::ops::Range;

/// The numbers of registers (System V ABI, AMD64 supplement, 3.6.2).
const RBP: u64 = 6;
const RSP: u64 = 7;
pub(super) const RETURN_ADDRESS: u64 = 16;

/// A row, as far as it is of interest: the rules of all other registers are read and forgotten.
#[derive(Clone, Copy, Debug)]
struct Row<'a> {
    cfa: Cfa<'a>,
    rbp: Place<'a>,
    rsp: Place<'a>,
    return_address: Place<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Cfa<'a> {
    Register { number: u64, offset: i64 },
    Expression(Bytes<'a>),
}

/// Where the caller's value of a register is.
#[derive(Clone, Copy, Debug)]
enum Place<'a> {
    /// Nothing is said of it.
    Unsaid,
    /// Where it was.
    Same,
    /// Nowhere.
    Undefined,
    /// So many bytes from the CFA.
    At(i64),
    /// The CFA and so many bytes is the value itself.
    Is(i64),
    Expression(Bytes<'a>),
    /// In a way that no [`Rule`] has.
    Elsewhere,
}

/// How many rows are remembered at a time: compilers remember one.
const REMEMBERED: usize = 4;

/// Instructions under way.
#[derive(Debug)]
pub(super) struct Program<'a> {
    factors: Factors,
    row: Row<'a>,
    /// As the instructions left it that are common to all functions.
    initial: Row<'a>,
    remembered: [Row<'a>; REMEMBERED],
    count: usize,
}

/// What is common to the instructions of several functions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Factors {
    pub(super) code: u64,
    pub(super) data: i64,
}

impl<'a> Program<'a> {
    /// Runs the instructions that are common to several functions. `None`, here and below: they are not understood.
    pub(super) fn begin(factors: Factors, instructions: Bytes<'a>) -> Option<Self> {
        let row = Row {
            cfa: Cfa::Register { number: RSP, offset: 0 },
            rbp: Place::Unsaid,
            rsp: Place::Unsaid,
            return_address: Place::Unsaid,
        };
        let mut program = Program { factors, row, initial: row, remembered: [row; REMEMBERED], count: 0 };
        program.run(instructions, u64::MAX)?;
        program.initial = program.row;
        Some(program)
    }

    /// Runs those of a function, up to the row of what is `distance` bytes behind its beginning. From where to where, so counted,
    /// the row holds; the last one holds to the end of all.
    pub(super) fn run(&mut self, mut instructions: Bytes<'a>, distance: u64) -> Option<Range<u64>> {
        let mut start = 0_u64;
        while !instructions.is_empty() {
            let advance = self.step(&mut instructions)?.checked_mul(self.factors.code)?;
            let end = start.checked_add(advance)?;
            if end > distance {
                return Some(start..end);
            }
            start = end;
        }
        Some(start..u64::MAX)
    }

    /// Runs one instruction; how far it advances, in units of code.
    #[inline(always)]
    fn step(&mut self, from: &mut Bytes<'a>) -> Option<u64> {
        let instruction = from.u8()?;
        let low = u64::from(instruction & 0x3f);
        match instruction >> 6 {
            // DW_CFA_advance_loc, DW_CFA_offset, DW_CFA_restore
            1 => return Some(low),
            2 => {
                let offset = self.factored(from)?;
                self.set(low, Place::At(offset));
            }
            3 => self.restore(low),
            _ => return self.step_extended(instruction, from),
        }
        Some(0)
    }

    fn step_extended(&mut self, instruction: u8, from: &mut Bytes<'a>) -> Option<u64> {
        match instruction {
            // DW_CFA_nop
            0x00 => {}
            // DW_CFA_advance_loc1, 2, 4
            0x02 => return from.u8().map(u64::from),
            0x03 => return from.u16().map(u64::from),
            0x04 => return from.u32().map(u64::from),
            // DW_CFA_offset_extended, DW_CFA_offset_extended_sf
            0x05 | 0x11 => {
                let register = from.unsigned()?;
                let offset = if instruction == 0x05 { self.factored(from)? } else { self.factored_signed(from)? };
                self.set(register, Place::At(offset));
            }
            // DW_CFA_restore_extended
            0x06 => self.restore(from.unsigned()?),
            // DW_CFA_undefined, DW_CFA_same_value
            0x07 => self.set(from.unsigned()?, Place::Undefined),
            0x08 => self.set(from.unsigned()?, Place::Same),
            // DW_CFA_register
            0x09 => {
                self.set(from.unsigned()?, Place::Elsewhere);
                from.unsigned()?;
            }
            // DW_CFA_remember_state, DW_CFA_restore_state
            0x0a => {
                *self.remembered.get_mut(self.count)? = self.row;
                self.count += 1;
            }
            0x0b => {
                self.count = self.count.checked_sub(1)?;
                self.row = self.remembered[self.count];
            }
            // DW_CFA_def_cfa, DW_CFA_def_cfa_sf
            0x0c => {
                self.row.cfa = Cfa::Register { number: from.unsigned()?, offset: from.unsigned()?.try_into().ok()? }
            }
            0x12 => {
                let number = from.unsigned()?;
                self.row.cfa = Cfa::Register { number, offset: self.factored_signed(from)? };
            }
            // DW_CFA_def_cfa_register
            0x0d => {
                let Cfa::Register { number, .. } = &mut self.row.cfa else { return None };
                *number = from.unsigned()?;
            }
            // DW_CFA_def_cfa_offset, DW_CFA_def_cfa_offset_sf
            0x0e | 0x13 => {
                let new =
                    if instruction == 0x0e { from.unsigned()?.try_into().ok()? } else { self.factored_signed(from)? };
                let Cfa::Register { offset, .. } = &mut self.row.cfa else { return None };
                *offset = new;
            }
            // DW_CFA_def_cfa_expression
            0x0f => self.row.cfa = Cfa::Expression(block(from)?),
            // DW_CFA_expression
            0x10 => self.set(from.unsigned()?, Place::Expression(block(from)?)),
            // DW_CFA_val_offset, DW_CFA_val_offset_sf
            0x14 | 0x15 => {
                let register = from.unsigned()?;
                let offset = if instruction == 0x14 { self.factored(from)? } else { self.factored_signed(from)? };
                self.set(register, Place::Is(offset));
            }
            // DW_CFA_val_expression
            0x16 => {
                self.set(from.unsigned()?, Place::Elsewhere);
                block(from)?;
            }
            // DW_CFA_GNU_args_size: for those who unwind into the frame.
            0x2e => {
                from.unsigned()?;
            }
            _ => return None,
        }
        Some(0)
    }

    /// An offset in units of data.
    #[inline]
    fn factored(&self, from: &mut Bytes<'a>) -> Option<i64> {
        i64::try_from(from.unsigned()?).ok()?.checked_mul(self.factors.data)
    }

    fn factored_signed(&self, from: &mut Bytes<'a>) -> Option<i64> {
        from.signed()?.checked_mul(self.factors.data)
    }

    #[inline]
    fn set(&mut self, register: u64, place: Place<'a>) {
        if let Some(known) = self.row.place(register) {
            *known = place;
        }
    }

    fn restore(&mut self, register: u64) {
        if let Some(place) = self.initial.place(register).copied() {
            self.set(register, place);
        }
    }

    /// How the frame is left; `None`: in a way that no rule has.
    pub(super) fn rule(&self) -> Option<Rule> {
        let Row { cfa, rbp, rsp, return_address } = self.row;
        // Undefined is what a thread's first function says: nobody called it.
        if !matches!(return_address, Place::At(-8)) {
            return None;
        }
        // Where it is said, the caller's stack pointer is the CFA itself.
        if !matches!(rsp, Place::Unsaid | Place::Is(0)) {
            return None;
        }
        match cfa {
            Cfa::Register { number, offset } => {
                let saved = match rbp {
                    Place::Unsaid | Place::Same | Place::Undefined => Saved::InRegister,
                    Place::At(offset) => Saved::BelowCfa(offset.checked_neg()?.try_into().ok()?),
                    _ => return None,
                };
                let cfa = offset.try_into().ok()?;
                match number {
                    RSP => Some(Rule::FromStackPointer { cfa, saved }),
                    RBP => Some(Rule::FromFramePointer { cfa, saved }),
                    _ => None,
                }
            }
            Cfa::Expression(expression) => {
                let Place::Expression(place) = rbp else { return None };
                let Some((0, false)) = above_frame_pointer(place) else { return None };
                match above_frame_pointer(expression)? {
                    (cfa, true) => Some(Rule::Kept { cfa }),
                    (_, false) => None,
                }
            }
        }
    }
}

impl<'a> Row<'a> {
    /// That of a register, if it is of interest.
    #[inline]
    fn place(&mut self, register: u64) -> Option<&mut Place<'a>> {
        match register {
            RBP => Some(&mut self.rbp),
            RSP => Some(&mut self.rsp),
            RETURN_ADDRESS => Some(&mut self.return_address),
            _ => None,
        }
    }
}

/// An expression, with its length before it.
fn block<'a>(from: &mut Bytes<'a>) -> Option<Bytes<'a>> {
    let length = from.unsigned()?;
    from.part(length)
}

/// What an expression stands for, if it is an address so many bytes above the frame pointer, or what is kept there.
fn above_frame_pointer(mut expression: Bytes<'_>) -> Option<(i32, bool)> {
    const DW_OP_BREG_RBP: u8 = 0x70 + RBP as u8;
    const DW_OP_DEREF: u8 = 0x06;
    if expression.u8()? != DW_OP_BREG_RBP {
        return None;
    }
    let offset = expression.signed()?.try_into().ok()?;
    match expression.0 {
        [] => Some((offset, false)),
        [DW_OP_DEREF] => Some((offset, true)),
        _ => None,
    }
}
