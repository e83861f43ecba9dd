//! Who may do what on the control socket. A core.
//!
//! The socket file's mode decides who can connect at all (root and the configured group); whoever can is a reader.
//! Administrators are told by the uid that the kernel reports for the peer (SO_PEERCRED, unix(7)), which it cannot forge.

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Look, with personal data masked.
    Reader,
    /// Everything.
    Administrator,
}

/// Administrators that can be configured.
pub const ADMINS_MAX: usize = 16;

/// The uids of administrators.
#[derive(Clone, Debug)]
pub struct Administrators {
    own: u32,
    uids: heapless::Vec<u32, ADMINS_MAX>,
}

impl Administrators {
    /// Root and the agent's own uid always; `configured` besides, the first [`ADMINS_MAX`] of them.
    pub fn new(own: u32, configured: impl Iterator<Item = u32>) -> Self {
        Self { own, uids: configured.take(ADMINS_MAX).collect() }
    }

    /// What a peer with `uid` may do.
    pub fn rights(&self, uid: u32) -> Rights {
        if uid == 0 || uid == self.own || self.uids.contains(&uid) {
            Rights::Administrator
        } else {
            Rights::Reader
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_itself_and_the_configured_are_administrators() {
        let admins = Administrators::new(500, [33, 34].into_iter());
        for uid in [0, 500, 33, 34] {
            assert_eq!(admins.rights(uid), Rights::Administrator);
        }
        for uid in [1, 499, 65534, u32::MAX] {
            assert_eq!(admins.rights(uid), Rights::Reader);
        }
    }
}
