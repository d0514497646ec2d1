//! The sides of a comparison.

/// A side of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Dspinlock,
    /// The explicit lock of dspinlock.
    Explicit,
    Cached,
    Rslock,
    Moka,
    Bare,
}

/// All sides, in the order of the columns.
pub(crate) const SIDES: [Side; 6] = [
    Side::Dspinlock,
    Side::Explicit,
    Side::Cached,
    Side::Rslock,
    Side::Moka,
    Side::Bare,
];

/// The sides with locks.
pub(crate) const LOCKS: [Side; 4] = [Side::Dspinlock, Side::Explicit, Side::Rslock, Side::Bare];

impl Side {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dspinlock => "dspinlock",
            Self::Explicit => "HashDSpinlock",
            Self::Cached => "cached",
            Self::Rslock => "rslock",
            Self::Moka => "moka",
            Self::Bare => "bare",
        }
    }

    pub(crate) fn of(name: &str) -> Self {
        let side = SIDES.into_iter().find(|side| side.name() == name);
        side.expect("the name of a side")
    }
}
