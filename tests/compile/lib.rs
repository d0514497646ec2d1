//! Empty: `tests/attribute.rs` compiles the cases in `pass` and `fail`.
