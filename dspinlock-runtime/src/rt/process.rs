//! The process id and the host name of this process, and what belongs to one process only.
//!
//! A forked child has a copy of the memory of its parent, but no other thread of it. A lock in that memory may be held for
//! ever, and a socket is shared with the parent. So the child neither uses nor drops what it inherited: statics are
//! [`PerProcess`], and everything else hangs on an [`Owned`]. Nothing here takes a lock, except that the first use in a process
//! tree registers the fork handler.

use std::mem;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};

use once_cell::race::OnceBox;

/// The host's name, read once. `lease` writes it into an entry, so that an operator sees which process holds a key.
pub(crate) fn host_name() -> &'static str {
    static HOST: OnceBox<String> = OnceBox::new();
    HOST.get_or_init(|| Box::new(gethostname::gethostname().to_string_lossy().into_owned()))
}

/// The process id, which is different after a fork. Not a system call: each request and near hit looks for a fork.
#[inline]
pub(crate) fn id() -> u32 {
    current().id
}

/// A number that no ancestor of this process has, and never 0. The id of an ancestor that has ended may be used again.
#[inline]
pub(crate) fn generation() -> u32 {
    current().generation
}

#[inline]
fn current() -> &'static Process {
    let (mut link, mut generation) = (&PROCESSES, 1);
    loop {
        let process = link.get_or_init(|| Box::new(Process::new(generation)));
        if !process.is_ancestor() {
            return process;
        }
        (link, generation) = (&process.child, generation + 1);
    }
}

/// A chain with one node for each ancestor that used this crate, and one for this process. A node is never removed.
static PROCESSES: OnceBox<Process> = OnceBox::new();

struct Process {
    id: u32,
    /// The position in the chain.
    generation: u32,
    /// `None` if the system refuses to report forks. A child that is created without `fork`, by a system call alone, is not
    /// detected.
    forks: Option<forkguard::Guard>,
    child: OnceBox<Self>,
}

impl Process {
    fn new(generation: u32) -> Self {
        Self {
            id: std::process::id(),
            generation,
            forks: forkguard::Guard::try_new().ok(),
            child: OnceBox::new(),
        }
    }

    /// Whether this process is a forked child of that one.
    #[inline]
    fn is_ancestor(&self) -> bool {
        match &self.forks {
            Some(forks) => forks.clone().detected_fork(),
            None => self.id != std::process::id(),
        }
    }
}

/// A static that each process has for itself: a chain with one node for this process and one for each ancestor that used
/// it. A node is never removed.
pub(crate) struct PerProcess<T: 'static> {
    first: OnceBox<Node<T>>,
    make: fn(Option<&'static T>) -> T,
}

struct Node<T> {
    /// The [`generation`] of the process.
    process: u32,
    value: T,
    next: OnceBox<Node<T>>,
}

impl<T> PerProcess<T> {
    /// `make` gets the value of the parent. It may be called more than once, so it must have no side effects, and it must
    /// take no lock that is in the value of the parent.
    pub(crate) const fn new(make: fn(Option<&'static T>) -> T) -> Self {
        Self {
            first: OnceBox::new(),
            make,
        }
    }

    /// The value of this process.
    #[inline]
    pub(crate) fn get(&'static self) -> &'static T {
        let process = generation();
        let (mut link, mut parent) = (&self.first, None);
        loop {
            let node = link.get_or_init(|| {
                Box::new(Node {
                    process,
                    value: (self.make)(parent),
                    next: OnceBox::new(),
                })
            });
            if node.process == process {
                return &node.value;
            }
            (link, parent) = (&node.next, Some(&node.value));
        }
    }
}

/// A value that is dropped only in the process that created it. A forked child leaks it.
pub(crate) struct Owned<T> {
    /// `None` only during the drop.
    value: Option<T>,
    /// The [`generation`] of the process.
    process: u32,
}

impl<T> Owned<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            value: Some(value),
            process: generation(),
        }
    }

    /// Whether the parent of this process created the value.
    #[inline]
    pub(crate) fn is_inherited(&self) -> bool {
        self.process != generation()
    }
}

impl<T> Deref for Owned<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.value.as_ref().expect("the value is taken only by the drop")
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if self.is_inherited() {
            mem::forget(self.value.take());
        }
    }
}

/// A task of the user's runtime. In a forked child it does nothing.
impl<F: Future<Output = ()> + Unpin> Future for Owned<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.is_inherited() {
            return Poll::Ready(());
        }
        let future = self.value.as_mut().expect("the value is taken only by the drop");
        Pin::new(future).poll(context)
    }
}

impl<T> Unpin for Owned<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_of_a_process_has_the_same_value() {
        static VALUE: PerProcess<String> = PerProcess::new(|parent| format!("{:?}", parent.map(String::len)));
        let here = std::ptr::from_ref(VALUE.get()) as usize;
        let there = std::thread::spawn(|| std::ptr::from_ref(VALUE.get()) as usize);
        assert_eq!(there.join().ok(), Some(here));
        assert_eq!(VALUE.get(), "None");
        assert_eq!(id(), std::process::id());
        assert_eq!(generation(), 1);
    }

    #[test]
    fn a_value_is_dropped_in_its_process() {
        let value = std::rc::Rc::new(());
        drop(Owned::new(value.clone()));
        assert_eq!(std::rc::Rc::strong_count(&value), 1);
    }
}
