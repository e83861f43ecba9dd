//! The command line: what was typed → what to do, the call to the control socket, and how its answer is shown.

pub mod args;
pub mod call;
pub mod local;
pub mod render;
pub mod run;
