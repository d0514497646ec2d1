//! What can happen to a step and to a connection.

/// The stage at which a step is intercepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Before the server receives the request.
    Request,
    /// After the server has executed it, before the client receives the reply.
    Reply,
}

/// What the proxy does with an intercepted step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Holds it, and everything after it on its connection, until `Proxy::resume`.
    Hold,
    /// Closes its connection; the step is lost.
    Disconnect,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum End {
    /// Both sides are closed.
    #[default]
    Close,
    /// Both sides are reset.
    Reset,
    /// The client does not notice.
    HalfOpen,
    /// The server does not notice. It still receives what the client has sent.
    Cut,
}
