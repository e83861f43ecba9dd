//! placeholder
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    Reader,
    Administrator,
}
