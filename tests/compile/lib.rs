//! Nothing: the tests are in `tests`, their cases in `pass` and `fail`.
