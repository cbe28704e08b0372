//! Who holds a lock.

/// The name of a lock's holder: any number whose low three bits are zero, such as the address of an object. The locks
/// keep their own state in these bits, so that holder and state change in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner(u64);

impl Owner {
    /// A holder without a name. Many can be `NOBODY`, so nothing follows when two are equal.
    pub const NOBODY: Owner = Owner(0);

    const MASK: u64 = !0b111;

    /// The owner that is named by the address of something of its own, aligned to 8 bytes or more.
    #[inline(always)]
    pub fn from_address<T>(address: *const T) -> Self {
        Owner(address as u64 & Self::MASK)
    }

    /// The address that was given to [`from_address`](Self::from_address); null for `NOBODY`.
    #[inline(always)]
    pub fn address<T>(self) -> *mut T {
        core::ptr::without_provenance_mut(self.0 as usize)
    }

    /// The owner in a lock's word.
    #[inline(always)]
    pub(in crate::host) const fn from_word(word: u64) -> Self {
        Owner(word & Self::MASK)
    }

    /// The owner's bits of a lock's word.
    #[inline(always)]
    pub(in crate::host) const fn to_word(self) -> u64 {
        self.0
    }
}
