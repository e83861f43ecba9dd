//! What hwmon and thermal attributes say, and what thermometers and fans are called. A core: reading is `io`'s.
//!
//! A device is told by the `name` file of its driver, and where two have the same driver by its device path too; never by
//! `hwmonN`, which changes from boot to boot (kernel: Documentation/hwmon/sysfs-interface.rst).

/// The error numbers of Linux that mean "there is no such thing now" for a channel: ENOENT; ENXIO and ENODEV while a
/// driver goes; ENODATA for a channel that is switched off.
const ABSENT: [i32; 4] = [2, 6, 19, 61];

/// What one attribute said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// A number, in the attribute's unit.
    Value(i32),
    /// There is no such channel, or it is switched off.
    Absent,
    /// It is there and could not be read: the error number, or `None` for a text that is no number.
    Failed(Option<i32>),
}

impl Reading {
    /// Understands the text of an attribute, or the error number with which reading it failed.
    pub fn of(text: Result<&str, Option<i32>>) -> Self {
        match text {
            Ok(text) => text.trim().parse().map_or(Self::Failed(None), Self::Value),
            Err(Some(errno)) if ABSENT.contains(&errno) => Self::Absent,
            Err(errno) => Self::Failed(errno),
        }
    }
}

/// What a channel is called: the driver's name, the device's address where the driver has twins, and the driver's own label
/// of the channel or its number.
pub fn name(driver: &str, twin: Option<&str>, label: Option<&str>, channel: usize) -> String {
    let mut name = driver.to_owned();
    if let Some(device) = twin {
        name.push('@');
        name.push_str(device);
    }
    name.push('/');
    match label {
        Some(label) if !label.is_empty() => name.push_str(label),
        Some(_) | None => name.push_str(&channel.to_string()),
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_that_is_switched_off_is_absent_and_not_an_error() {
        for (text, expect) in [
            (Ok("41500"), Reading::Value(41_500)),
            (Ok("-5000\n"), Reading::Value(-5000)),
            (Ok(""), Reading::Failed(None)),
            (Ok("99999999999"), Reading::Failed(None)),
            (Err(Some(61)), Reading::Absent),
            (Err(Some(2)), Reading::Absent),
            (Err(Some(5)), Reading::Failed(Some(5))),
            (Err(None), Reading::Failed(None)),
        ] {
            assert_eq!(Reading::of(text), expect, "{text:?}");
        }
    }

    #[test]
    fn twins_are_told_apart_by_their_device() {
        assert_eq!(name("lm75", None, None, 1), "lm75/1");
        assert_eq!(name("g762", Some("0-003e"), None, 1), "g762@0-003e/1");
        assert_eq!(name("drivetemp", Some("1:0:0:0"), Some("disk"), 1), "drivetemp@1:0:0:0/disk");
        assert_eq!(name("lm75", None, Some(""), 2), "lm75/2");
    }
}
