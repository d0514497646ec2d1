//! The calls of this process that wait for a key: whoever gives the key up here wakes them without the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::key::Key;

/// Who waits for what, of one pool.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flights(Arc<Mutex<HashMap<Key, watch::Sender<()>>>>);

/// One waiter's place. A wake that comes before it is waited for is remembered.
#[derive(Debug)]
pub(crate) struct Waiter {
    flights: Flights,
    key: Key,
    wakes: watch::Receiver<()>,
}

impl Flights {
    /// From now on, no wake of this key is missed.
    pub(crate) fn join(&self, key: &Key) -> Waiter {
        let wakes = self.lock().entry(key.clone()).or_default().subscribe();
        Waiter {
            flights: self.clone(),
            key: key.clone(),
            wakes,
        }
    }

    /// The key may be free, or computed.
    pub(crate) fn wake(&self, key: &Key) {
        if let Some(waiters) = self.lock().get(key) {
            waiters.send_replace(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    /// Forgets the wakes so far; to be called before the store is asked.
    pub(crate) fn rearm(&mut self) {
        self.wakes.mark_unchanged();
    }

    /// The next wake since [`rearm`](Self::rearm).
    pub(crate) async fn woken(&mut self) {
        // The sender stays in the map for as long as this waiter does.
        let _ = self.wakes.changed().await;
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut flights = self.flights.lock();
        if flights
            .get(&self.key)
            .is_some_and(|waiters| waiters.receiver_count() == 1)
        {
            flights.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocking;

    #[test]
    fn a_wake_is_latched_and_the_last_waiter_leaves_nothing_behind() {
        let flights = Flights::default();
        let [one, other] = [1, 2].map(|byte| Key::new("dspinlock".into(), [byte; 32]));
        let (mut first, mut second) = (flights.join(&one), flights.join(&one));
        flights.wake(&other);
        flights.wake(&one);
        blocking::wait(first.woken());
        blocking::wait(second.woken());
        drop(first);
        assert_eq!(flights.lock().len(), 1);
        drop(second);
        assert!(flights.lock().is_empty());
    }
}
