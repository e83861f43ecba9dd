//! The kernel's uevents, as far as disks are concerned (kernel: lib/kobject_uevent.c): `ACTION@DEVPATH`, then `KEY=VALUE`,
//! each ended by a zero byte. A core.

/// Longest message: UEVENT_BUFFER_SIZE of <linux/kobject.h> and the header before it.
pub const LENGTH_MAX: usize = 4096;

/// Whether arrays should be looked at. A disk's own `remove` is sent while its directory still stands; those of its parents,
/// of other subsystems, come when it is gone: so every `remove` counts.
pub fn concerns_disks(message: &[u8]) -> bool {
    message.split(|b| *b == 0).any(|field| field == b"SUBSYSTEM=block" || field == b"ACTION=remove")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(action: &str, subsystem: &str) -> Vec<u8> {
        let text = format!(
            "{action}@/devices/x\0ACTION={action}\0DEVPATH=/devices/x\0SUBSYSTEM={subsystem}\0SEQNUM=7\0"
        );
        text.into_bytes()
    }

    #[test]
    fn disks_that_come_and_anything_that_goes_concern_arrays() {
        for (action, subsystem, expect) in [
            ("add", "block", true),
            ("change", "block", true),
            ("remove", "block", true),
            ("remove", "scsi", true),
            ("add", "net", false),
            ("change", "leds", false),
        ] {
            assert_eq!(concerns_disks(&message(action, subsystem)), expect, "{action} {subsystem}");
        }
    }

    #[test]
    fn odd_messages_are_no_reason() {
        for odd in [&b""[..], b"\0\0", b"libudev\0\xfe\xed", b"xSUBSYSTEM=block", b"SUBSYSTEM=blockx\0"] {
            assert!(!concerns_disks(odd));
        }
    }
}
