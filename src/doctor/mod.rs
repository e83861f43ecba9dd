//! What stands between the box and the cloud: every step looked at, the first cause named, what follows from it left aside.

pub mod check;
pub mod facts;
pub mod io;
mod own_session;
pub mod verdict;
