//! What is wrong, since when, and what to do: the catalogue of findings and the table of those that hold now.

pub mod finding;
pub mod past;
pub mod tracker;
