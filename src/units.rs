//! Units and small value types that every module may name. A leaf: it names no other module.
//!
//! A bare integer never crosses a module boundary as a time, a temperature or a share: it has one of these types.

use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds on the boot clock (`CLOCK_BOOTTIME`): never steps, counts through suspend, starts at boot,
/// and goes on across a restart of the agent. Cores get it as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Mono(u64);

impl Mono {
    /// The instant `ms` milliseconds after boot.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since boot.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The instant `d` later; saturates at the far end.
    pub const fn after(self, d: Duration) -> Self {
        let ms = d.as_millis();
        Self(self.0.saturating_add(if ms > u64::MAX as u128 { u64::MAX } else { ms as u64 }))
    }
}

/// Seconds since 1970-01-01T00:00:00Z. Only ever the content of [`Wall::Known`] or of a stored record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UnixSeconds(pub u64);

impl UnixSeconds {
    /// RFC 3339 in UTC, to the second. `None` beyond the year 9999, which no trusted clock shows.
    pub fn rfc3339(self) -> Option<String> {
        let seconds = i64::try_from(self.0).ok()?;
        let at = time::OffsetDateTime::from_unix_timestamp(seconds).ok()?;
        at.format(&time::format_description::well_known::Rfc3339).ok()
    }

    /// The instant `d` later, whole seconds.
    pub const fn after(self, d: Duration) -> Self {
        Self(self.0.saturating_add(d.as_secs()))
    }
}

impl fmt::Display for UnixSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rfc3339().as_deref().unwrap_or("a date far away"))
    }
}

/// The date, or the plain fact that it is not known. Never zero for "unknown".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wall {
    /// The clock is not trusted: no date may be shown or stored.
    Unknown,
    /// The clock is trusted.
    Known(UnixSeconds),
}

impl Wall {
    /// The date, if it is known.
    pub const fn known(self) -> Option<UnixSeconds> {
        match self {
            Self::Known(at) => Some(at),
            Self::Unknown => None,
        }
    }
}

/// A temperature in thousandths of a degree Celsius, as `hwmon` gives it (kernel: Documentation/hwmon/sysfs-interface.rst).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MilliCelsius(pub i32);

impl MilliCelsius {
    /// Degrees Celsius.
    pub fn degrees(self) -> f64 {
        f64::from(self.0) / 1000.0
    }
}

/// A share in tenths of a percent, 0 to 1000: what `/proc/mdstat` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PerMille(u16);

impl PerMille {
    /// `done` of `total`, rounded down; `None` if `total` is 0; never above 1000.
    pub fn of(done: u64, total: u64) -> Option<Self> {
        let share = u128::from(done).checked_mul(1000)?.checked_div(u128::from(total))?;
        Some(Self(u16::try_from(share.min(1000)).unwrap_or(1000)))
    }

    /// Percent with one decimal.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 10.0
    }
}

/// A size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 4] =
            [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        for (size, name) in UNITS {
            if self.0 >= size {
                return write!(f, "{:.1} {name}", self.0 as f64 / size as f64);
            }
        }
        write!(f, "{} B", self.0)
    }
}

/// A duration as people read it: the two largest units, for example `47 h 59 min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0.as_secs();
        let (days, hours, minutes, seconds) = (s / 86_400, s / 3_600 % 24, s / 60 % 60, s % 60);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{seconds} s"),
            (0, 0, _) if seconds == 0 => write!(f, "{minutes} min"),
            (0, 0, _) => write!(f, "{minutes} min {seconds} s"),
            (0, _, 0) => write!(f, "{hours} h"),
            (0, _, _) => write!(f, "{hours} h {minutes} min"),
            (_, 0, _) => write!(f, "{days} d"),
            (_, _, _) => write!(f, "{days} d {hours} h"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn span(seconds: u64, expect: &str) {
        assert_eq!(Span(Duration::from_secs(seconds)).to_string(), expect);
    }

    #[test]
    fn spans_read_naturally() {
        span(0, "0 s");
        span(59, "59 s");
        span(300, "5 min");
        span(301, "5 min 1 s");
        span(48 * 3600 - 60, "1 d 23 h");
        span(3600, "1 h");
        span(3661, "1 h 1 min");
    }

    #[test]
    fn dates_are_rfc3339() {
        assert_eq!(UnixSeconds(1_700_000_000).rfc3339().as_deref(), Some("2023-11-14T22:13:20Z"));
        assert_eq!(UnixSeconds(u64::MAX).rfc3339(), None);
    }

    #[test]
    fn shares_are_bounded() {
        assert_eq!(PerMille::of(1, 0), None);
        assert_eq!(PerMille::of(1, 2).map(PerMille::percent), Some(50.0));
        assert_eq!(PerMille::of(u64::MAX, 1).map(PerMille::percent), Some(100.0));
    }

    #[test]
    fn sizes_read_naturally() {
        assert_eq!(Bytes(512).to_string(), "512 B");
        assert_eq!(Bytes(3 << 30).to_string(), "3.0 GiB");
    }

    #[test]
    fn instants_saturate() {
        let late = Mono::from_millis(10);
        assert_eq!(Mono::from_millis(3).since(late), Duration::ZERO);
        assert_eq!(late.after(Duration::MAX).as_millis(), u64::MAX);
    }
}
