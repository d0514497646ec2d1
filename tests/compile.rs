//! What the attribute takes, and what it says where it does not.
//!
//! `TRYBUILD=overwrite cargo test --test compile` rewrites the expected messages; read them before you keep them.

#[test]
fn pass() {
    trybuild::TestCases::new().pass("tests/pass/*.rs");
}

#[test]
fn fail() {
    trybuild::TestCases::new().compile_fail("tests/fail/*.rs");
}
