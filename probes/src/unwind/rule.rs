//! How a frame is left.

/// What leads from a frame, at the call that it makes, to the one that called it. Every offset is in bytes.
///
/// The *canonical frame address* (CFA) is the stack pointer before the call that made the frame. The return address
/// stands below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// It is the last one, or it is not known where it came from.
    End,
    /// The CFA is that far above the stack pointer.
    FromStackPointer { cfa: i32, saved: Saved },
    /// The CFA is that far above the frame pointer.
    FromFramePointer { cfa: i32, saved: Saved },
    /// The CFA is kept on the stack, that far above the frame pointer, which points to the caller's: a function that
    /// has aligned its stack.
    Kept { cfa: i32 },
}

/// Where the caller's frame pointer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Saved {
    /// Still in its register.
    InRegister,
    /// So many bytes below the CFA.
    BelowCfa(u32),
}

/// Bits of a packed rule.
pub(super) const BITS: u32 = 28;

/* A packed rule:

     27        25 24              10 9                0
    +------------+------------------+------------------+
    | kind, not 0| CFA, signed, / 8 | saved, / 8; 0: no|
    +------------+------------------+------------------+
*/
const CFA_BITS: u32 = 15;
const SAVED_BITS: u32 = 10;

impl Rule {
    /// The rule in 28 bits, not all of which are 0; `None` where it does not fit: frames of more than 128 KiB, and what
    /// compilers do not make.
    pub(super) fn pack(self) -> Option<u64> {
        let (kind, cfa, saved) = match self {
            Rule::End => (1, 0, Saved::InRegister),
            Rule::FromStackPointer { cfa, saved } => (2, cfa, saved),
            Rule::FromFramePointer { cfa, saved } => (3, cfa, saved),
            Rule::Kept { cfa } => (4, cfa, Saved::InRegister),
        };
        let saved = match saved {
            Saved::InRegister => 0,
            Saved::BelowCfa(0) => return None,
            Saved::BelowCfa(below) => below,
        };
        let limit = 1 << (CFA_BITS - 1);
        if cfa % 8 != 0 || !(-limit..limit).contains(&(cfa / 8)) || saved % 8 != 0 || saved / 8 >= 1 << SAVED_BITS {
            return None;
        }
        let cfa = u64::from((cfa / 8) as u32) & ((1 << CFA_BITS) - 1);
        Some(kind << (CFA_BITS + SAVED_BITS) | cfa << SAVED_BITS | u64::from(saved / 8))
    }

    /// What [`pack`](Self::pack) made.
    #[inline]
    pub(super) fn unpack(word: u64) -> Self {
        // The sign is moved to the top, and comes back down with the shift.
        let cfa = ((word << (64 - CFA_BITS - SAVED_BITS)) as i64 >> (64 - CFA_BITS)) as i32 * 8;
        let saved = match (word & ((1 << SAVED_BITS) - 1)) as u32 {
            0 => Saved::InRegister,
            below => Saved::BelowCfa(below * 8),
        };
        match (word >> (CFA_BITS + SAVED_BITS)) & 7 {
            2 => Rule::FromStackPointer { cfa, saved },
            3 => Rule::FromFramePointer { cfa, saved },
            4 => Rule::Kept { cfa },
            _ => Rule::End,
        }
    }
}

const _: () = assert!(3 + CFA_BITS + SAVED_BITS == BITS);

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rules() -> impl Strategy<Value = Rule> {
        let saved = prop_oneof![Just(Saved::InRegister), (1..1u32 << SAVED_BITS).prop_map(|n| Saved::BelowCfa(n * 8))];
        let limit = 1 << (CFA_BITS - 1);
        let cfa = (-limit..limit).prop_map(|cfa: i32| cfa * 8);
        (0..4, cfa, saved).prop_map(|(kind, cfa, saved)| match kind {
            0 => Rule::End,
            1 => Rule::FromStackPointer { cfa, saved },
            2 => Rule::FromFramePointer { cfa, saved },
            _ => Rule::Kept { cfa },
        })
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out_again(rule in rules()) {
            let word = rule.pack().unwrap();
            prop_assert!(word != 0 && word >> BITS == 0);
            prop_assert_eq!(Rule::unpack(word), rule);
        }
    }

    #[test]
    fn what_does_not_fit_is_not_packed() {
        let saved = Saved::InRegister;
        assert_eq!(Rule::FromStackPointer { cfa: 128 << 10, saved }.pack(), None);
        assert_eq!(Rule::FromStackPointer { cfa: 12, saved }.pack(), None);
        assert_eq!(Rule::FromFramePointer { cfa: 16, saved: Saved::BelowCfa(8 << SAVED_BITS) }.pack(), None);
        assert_eq!(Rule::FromFramePointer { cfa: 16, saved: Saved::BelowCfa(0) }.pack(), None);
    }
}
