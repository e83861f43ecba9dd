//! Tests of arrays as a whole: the kernel's grammar, what other parsers got wrong, lives of arrays.

mod capture_tests;
mod grammar;
mod lives;
mod mistakes;
