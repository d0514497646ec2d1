//! Empty: `tests/attribute.rs` compiles the cases in `pass` and `fail`, and `tests/lints.rs` the crate in `lints`.
