//! The futures of the public API. The runtime's own file is not included, because its examples use the public API.

use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::Error;

pub struct Op<T>(Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>);

impl<T> Op<T> {
    pub(crate) fn new(operation: impl Future<Output = Result<T, Error>> + Send + 'static) -> Self {
        Self(Box::pin(operation))
    }
}

impl<T> Future for Op<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context)
    }
}
