//! What the attribute takes, and what the compiler says where it does not.
//!
//! `TRYBUILD=overwrite cargo test -p dspinlock-compile-tests` rewrites the messages; read them before you keep them.

#[test]
fn attribute() {
    // One run for both: the dependencies are built once.
    let cases = trybuild::TestCases::new();
    cases.pass("pass/*/*.rs");
    cases.compile_fail("fail/*/*.rs");
}
