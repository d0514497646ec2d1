//! The requests and the waiting callers of one async reader. Callers add reads, `async_reader` delivers the replies.
//!
//! One mutex guards everything that both sides change. It is never held while a caller's waker is cloned,
//! woken or dropped, because that may run any code, nor while a payload is copied.
//!
//! A read has a slot from its request until its future is dropped and its reply has arrived, whichever is later. Slots are
//! reused, so a read allocates nothing here. A reply finds its slot by the order of the requests.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::frame::Frame;
use super::health::{End, Health, Progress, Sent, Verdict};
use super::stream::Socket;
use crate::store::api::{CallerRead, Doubt, Outcome, Replies};
use crate::store::redis::timeouts::transfer_time;

/// How many replies may be due. Further reads go by the background.
const MAX_DUE: usize = 16 * 1024;

/// A read whose reply is due.
pub(crate) struct Request {
    pub(crate) slot: usize,
    /// The longest reply.
    pub(crate) max: usize,
}

pub(crate) struct Queue {
    state: Mutex<State>,
    bytes_read: AtomicU64,
}

struct State {
    /// Packed requests that are not written yet.
    packed: Vec<u8>,
    /// The requests, in order, that the driver has not taken yet.
    requests: VecDeque<Request>,
    slots: Vec<Slot>,
    /// The free slots.
    free: Vec<usize>,
    /// The number of replies that are due.
    due: usize,
    /// The number of replies in the last batch.
    batch: usize,
    /// For writes by callers and for the end; `None` after the end.
    socket: Option<Socket>,
    driver: Option<Waker>,
    /// The driver was woken, and has not looked at the requests since.
    is_woken: bool,
    is_undriven: bool,
    health: Health,
    reads: u64,
    polls: u64,
}

struct Slot {
    state: SlotState,
    is_due: bool,
    sent: Sent,
}

enum SlotState {
    Waiting(Option<Waker>),
    Done(Outcome),
    /// The future has the outcome.
    Taken,
    Dropped,
}

impl Queue {
    pub(crate) fn new(socket: Socket, response_timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                packed: Vec::new(),
                requests: VecDeque::new(),
                slots: Vec::new(),
                free: Vec::new(),
                due: 0,
                batch: 0,
                socket: Some(socket),
                driver: None,
                is_woken: false,
                is_undriven: false,
                health: Health::new(response_timeout),
                reads: 0,
                polls: 0,
            }),
            bytes_read: AtomicU64::new(0),
        })
    }

    /// Sends a read of at most `bound` bytes and one more. `None` if the reader does not serve now.
    pub(crate) fn read(self: &Arc<Self>, name: &str, bound: usize) -> Option<CallerRead> {
        let bytes = self.bytes_read.load(Ordering::Relaxed);
        let (slot, driver) = self.lock().request(name, bound, bytes)?;
        if let Some(driver) = driver {
            driver.wake();
        }
        Some(CallerRead::due(self.clone(), slot))
    }

    /// Called by each poll of the driver: the number of replies that are due. `None` after the end.
    pub(crate) fn driven(&self, waker: &Waker) -> Option<usize> {
        let mut state = self.lock();
        state.socket.as_ref()?;
        state.polls += 1;
        state.is_undriven = false;
        let is_known = state.driver.as_ref().is_some_and(|known| known.will_wake(waker));
        let old = (!is_known).then(|| state.driver.replace(waker.clone()));
        let due = state.due;
        drop(state);
        drop(old);
        Some(due)
    }

    /// Moves new requests to the driver, and their bytes if `packed` is empty.
    pub(crate) fn take(&self, packed: &mut Vec<u8>, requests: &mut VecDeque<Request>) {
        let mut state = self.lock();
        state.is_woken = false;
        if packed.is_empty() {
            std::mem::swap(packed, &mut state.packed);
        }
        requests.append(&mut state.requests);
    }

    /// Moves new requests to the driver. Their bytes stay, and the driver is still woken for them.
    pub(crate) fn take_requests(&self, requests: &mut VecDeque<Request>) {
        requests.append(&mut self.lock().requests);
    }

    pub(crate) fn add_bytes_read(&self, count: usize) {
        self.bytes_read.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Passes replies to their reads. Both vectors are empty afterwards.
    pub(crate) fn deliver(&self, replies: &mut Vec<(usize, Outcome)>, wakers: &mut Vec<Waker>) {
        let mut state = self.lock();
        state.batch = replies.len();
        for (slot, outcome) in replies.drain(..) {
            state.due -= 1;
            wakers.extend(state.deliver(slot, outcome));
        }
        drop(state);
        wakers.drain(..).for_each(Waker::wake);
    }

    /// The tick of the background. `Some` if the reader has ended.
    pub(crate) fn tick(&self) -> Option<End> {
        let mut state = self.lock();
        let now = Progress {
            bytes: self.bytes_read.load(Ordering::Relaxed),
            reads: state.reads,
            replies: state.reads - state.due as u64,
            polls: state.polls,
        };
        let is_due = state.due > 0;
        let due = state.slots.iter().filter(|slot| slot.is_due);
        let oldest = due.map(|slot| slot.sent).min();
        let verdict = state.health.tick(now, oldest);
        let driver = state.driver.clone().filter(|_| is_due);
        let waiting = match verdict {
            Verdict::Undriven => {
                state.is_undriven = true;
                state.fail_all()
            }
            _ => Vec::new(),
        };
        drop(state);
        driver.into_iter().chain(waiting).for_each(Waker::wake);
        match verdict {
            Verdict::Close(end) => {
                self.close();
                Some(end)
            }
            Verdict::Healthy | Verdict::Undriven => None,
        }
    }

    /// Shuts the socket down. Waiting reads fail with [`Doubt`], and the driver ends with its next poll.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        let Some(socket) = state.socket.take() else {
            return;
        };
        let (waiting, driver) = (state.fail_all(), state.driver.take());
        drop(state);
        socket.shared.shut_down();
        waiting.into_iter().chain(driver).for_each(Waker::wake);
    }

    pub(crate) fn has_received(&self) -> bool {
        self.bytes_read.load(Ordering::Relaxed) > 0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Adds a read; `bytes` were read before it. A lone caller writes it. Otherwise, the second value is the driver if it must be woken: one write then
    /// carries the requests of all callers that run before it. If several callers got their replies at once, the first of
    /// them must not write alone: each batch would be split in two.
    fn request(&mut self, name: &str, bound: usize, bytes: u64) -> Option<(usize, Option<Waker>)> {
        let socket = self.socket.as_ref()?;
        if self.is_undriven || self.due >= MAX_DUE {
            return None;
        }
        pack(&mut self.packed, name, bound);
        let is_alone = self.due == 0 && self.batch <= 1;
        let is_written = is_alone && socket.write(&mut self.packed);
        let slot = self.free.pop().unwrap_or(self.slots.len());
        let waiting = Slot {
            state: SlotState::Waiting(None),
            is_due: true,
            sent: self.health.sent(bytes),
        };
        match self.slots.get_mut(slot) {
            Some(free) => *free = waiting,
            None => self.slots.push(waiting),
        }
        let max = bound.saturating_add(1);
        self.requests.push_back(Request { slot, max });
        self.due += 1;
        self.reads += 1;
        if is_written || self.is_woken {
            return Some((slot, None));
        }
        self.is_woken = true;
        Some((slot, self.driver.clone()))
    }

    fn deliver(&mut self, slot: usize, outcome: Outcome) -> Option<Waker> {
        let state = &mut self.slots[slot];
        state.is_due = false;
        match &mut state.state {
            SlotState::Waiting(waker) => {
                let waker = waker.take();
                state.state = SlotState::Done(outcome);
                return waker;
            }
            // A doubt was the first answer.
            SlotState::Done(_) | SlotState::Taken => {}
            SlotState::Dropped => self.free.push(slot),
        }
        None
    }

    fn fail_all(&mut self) -> Vec<Waker> {
        let fail = |slot: &mut Slot| match &mut slot.state {
            SlotState::Waiting(waker) => {
                let waker = waker.take();
                slot.state = SlotState::Done(Err(Doubt));
                waker
            }
            _ => None,
        };
        self.slots.iter_mut().filter_map(fail).collect()
    }
}

/// An empty string is the reply for a name without bytes.
pub(crate) fn outcome(frame: Frame) -> Outcome {
    match frame {
        Frame::Bulk(bytes) => Ok(Some(bytes).filter(|bytes| !bytes.is_empty())),
        Frame::Null => Ok(None),
        Frame::Ok | Frame::Error => Err(Doubt),
    }
}

/// Appends `GETRANGE name 0 bound`, which reads up to one byte more than the bound.
pub(crate) fn pack(packed: &mut Vec<u8>, name: &str, bound: usize) {
    packed.extend_from_slice(b"*4\r\n$8\r\nGETRANGE\r\n$");
    push_number(packed, name.len());
    packed.extend_from_slice(b"\r\n");
    packed.extend_from_slice(name.as_bytes());
    packed.extend_from_slice(b"\r\n$1\r\n0\r\n$");
    push_number(packed, bound.checked_ilog10().unwrap_or(0) as usize + 1);
    packed.extend_from_slice(b"\r\n");
    push_number(packed, bound);
    packed.extend_from_slice(b"\r\n");
}

/// Appends the digits of a number. Formatting costs more.
fn push_number(packed: &mut Vec<u8>, mut number: usize) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    packed.extend_from_slice(&digits[start..]);
}

impl Replies for Queue {
    fn extension(&self, slot: usize) -> Duration {
        let sent = self.lock().slots[slot].sent;
        let bytes = self.bytes_read.load(Ordering::Relaxed);
        transfer_time(bytes.saturating_sub(sent.bytes))
    }

    fn poll(&self, slot: usize, context: &mut Context<'_>) -> Poll<Outcome> {
        // Cloned before the lock is taken again, if the slot needs it.
        let mut waker = None;
        loop {
            let mut state = self.lock();
            let slot = &mut state.slots[slot].state;
            match slot {
                SlotState::Waiting(Some(known)) if known.will_wake(context.waker()) => return Poll::Pending,
                SlotState::Waiting(known) => {
                    if waker.is_some() {
                        std::mem::swap(known, &mut waker);
                        drop(state);
                        return Poll::Pending;
                    }
                }
                SlotState::Done(outcome) => {
                    let outcome = std::mem::replace(outcome, Err(Doubt));
                    *slot = SlotState::Taken;
                    drop(state);
                    return Poll::Ready(outcome);
                }
                SlotState::Taken | SlotState::Dropped => return Poll::Ready(Err(Doubt)),
            }
            drop(state);
            waker = Some(context.waker().clone());
        }
    }

    fn leave(&self, slot: usize) {
        let mut state = self.lock();
        let left = &mut state.slots[slot];
        // The old state is dropped after the lock: it may have the caller's waker.
        let old = std::mem::replace(&mut left.state, SlotState::Dropped);
        if !left.is_due {
            state.free.push(slot);
        }
        drop(state);
        drop(old);
    }
}
