//! Blocks a thread of the scheduler on a future.

pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    shuttle::future::block_on(future)
}
