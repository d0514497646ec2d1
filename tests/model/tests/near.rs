//! A copy in a process is never older than an invalidation that the process has heard of; and what a failover breaks.

use dspinlock_model::near::{DROPPED, HEARD, Keeping, Near, SERVED};
use dspinlock_model::report::{breaks, holds, is_long};

fn near(keeping: Keeping) -> Near {
    let more = u8::from(is_long());
    Near {
        results: 2 + more,
        deletes: 1 + more,
        breaks: 1,
        failovers: 0,
        keeping,
    }
}

#[test]
fn a_copy_goes_when_its_value_goes() {
    holds("near cache", near(Keeping::Shipped));
}

#[test]
fn a_copy_that_is_kept_though_its_slot_was_emptied() {
    breaks("kept blindly", near(Keeping::Blindly), HEARD);
    breaks("kept blindly", near(Keeping::Blindly), DROPPED);
}

#[test]
fn copies_and_slots_that_outlive_their_connection() {
    breaks("kept across breaks", near(Keeping::AcrossBreaks), DROPPED);
    breaks("taken across breaks", near(Keeping::OnlyFilled), DROPPED);
}

/// Known, and said in `docs/promises.md`: the near cache is emptied, and then filled from a server that knows less.
#[test]
fn after_a_failover_a_copy_may_be_older_than_an_invalidation() {
    let failover = || Near {
        failovers: 1,
        ..near(Keeping::Shipped)
    };
    breaks("failover and near cache", failover(), HEARD);
    breaks("failover and near cache", failover(), SERVED);
}
