//! What the attribute takes, and what the compiler says where it does not.
//!
//! `TRYBUILD=overwrite cargo test --test compile` rewrites the messages; read them before you keep them.

#[test]
fn attribute() {
    // One run for both: the dependencies are built once.
    let cases = trybuild::TestCases::new();
    cases.pass("tests/pass/*.rs");
    cases.compile_fail("tests/fail/*.rs");
}
