//! Documents and code say the same.
