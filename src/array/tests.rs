//! Tests of arrays as a whole: the kernel's grammar, what other parsers got wrong, lives of arrays.

mod captures;
mod grammar;
mod lives;
mod mistakes;
