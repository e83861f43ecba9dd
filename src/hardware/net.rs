//! What /sys/class/net says of a link (kernel: Documentation/ABI/testing/sysfs-class-net). A core.

/// EINVAL: `carrier` and `speed` give it while the interface is down.
const EINVAL: i32 = 22;

/// Whether something is at the other end of the cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// Yes.
    Up,
    /// No, or the interface is switched off.
    Down,
    /// The kernel does not say.
    Unknown,
}

/// Understands `carrier`, or the error number with which reading it failed.
pub fn carrier(text: Result<&str, Option<i32>>) -> Carrier {
    match text.map(str::trim) {
        Ok("1") => Carrier::Up,
        Ok("0") | Err(Some(EINVAL)) => Carrier::Down,
        Ok(_) | Err(_) => Carrier::Unknown,
    }
}

/// Understands `speed` in Mbit/s: `-1` or nothing while there is no link.
pub fn speed_mbit(text: Option<&str>) -> Option<u32> {
    text?.trim().parse().ok().filter(|s| *s > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_is_down_has_no_link_and_no_error() {
        for (text, expect) in [
            (Ok("1"), Carrier::Up),
            (Ok("0"), Carrier::Down),
            (Err(Some(22)), Carrier::Down),
            (Err(Some(2)), Carrier::Unknown),
            (Ok("x"), Carrier::Unknown),
        ] {
            assert_eq!(carrier(text), expect, "{text:?}");
        }
    }

    #[test]
    fn speed_is_known_only_with_a_link() {
        let read = [Some("1000"), Some("-1"), Some("0"), Some("x"), None].map(speed_mbit);
        assert_eq!(read, [Some(1000), None, None, None, None]);
    }
}
