//! A program whose tests are in `tests`.
