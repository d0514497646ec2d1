//! Compiles every case in `pass` and `fail`. The name of a case is its claim.
//!
//! `TRYBUILD=overwrite cargo test -p dspinlock-compile-tests` rewrites the messages. Read them as a user before you
//! commit them.

#[test]
fn the_attribute_accepts_every_pass_and_explains_every_fail() {
    // One `TestCases` for both, because each builds the dependencies.
    let cases = trybuild::TestCases::new();
    cases.pass("pass/**/*.rs");
    cases.compile_fail("fail/**/*.rs");
}
