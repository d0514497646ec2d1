//! A near-cache entry is never older than an invalidation that its process was notified of.

use dspinlock_model::near::{ENTRY_IS_CURRENT, ENTRY_IS_REMOVED, Near, SERVER_IS_CURRENT, Variant};
use dspinlock_model::report::{assert_holds, assert_violated, is_long};

fn near(variant: Variant) -> Near {
    let more = u8::from(is_long());
    Near {
        results: 2 + more,
        deletes: 1 + more,
        disconnects: 1,
        failovers: 0,
        variant,
    }
}

#[test]
fn a_near_cache_entry_is_removed_when_its_value_changes() {
    assert_holds("near cache", near(Variant::Shipped));
}

#[test]
fn storing_without_a_placeholder_is_caught() {
    let model = || near(Variant::StoresWithoutPlaceholder);
    assert_violated("no placeholder", model(), ENTRY_IS_CURRENT);
    assert_violated("no placeholder", model(), ENTRY_IS_REMOVED);
}

#[test]
fn an_entry_or_placeholder_that_outlives_its_connection_is_caught() {
    let kept = near(Variant::KeepsAllOnDisconnect);
    assert_violated("entry kept on disconnect", kept, ENTRY_IS_REMOVED);
    let kept = near(Variant::KeepsPlaceholderOnDisconnect);
    assert_violated("placeholder kept on disconnect", kept, ENTRY_IS_REMOVED);
}

/// A known limit; see `docs/promises.md`. The near cache is emptied and then filled with the data of the replica.
#[test]
fn after_a_failover_a_near_cache_entry_may_be_older_than_an_invalidation() {
    let failover = || Near {
        failovers: 1,
        ..near(Variant::Shipped)
    };
    assert_violated("failover and near cache", failover(), ENTRY_IS_CURRENT);
    assert_violated("failover and near cache", failover(), SERVER_IS_CURRENT);
}
