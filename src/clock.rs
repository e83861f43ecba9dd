//! How far the system clock can be trusted, and what "now" means for everybody else. A core: readings come in as
//! arguments.
//!
//! A NAS without a battery-backed clock boots in 1970 or at its build date. So knowing the date is a state of its own,
//! and everything that must survive a restart is stamped with all that is known: boot, time since boot and, only while
//! trusted, the date.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units::{Mono, UnixSeconds, Wall};

/// Names one boot of the kernel: the first bytes of `/proc/sys/kernel/random/boot_id` (kernel:
/// Documentation/admin-guide/sysctl/kernel.rst).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootId(pub [u8; 8]);

/// Who vouches for the system clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Only the kernel's own statement that the clock is disciplined (adjtimex(2), no `STA_UNSYNC`) counts.
    Kernel,
    /// The firmware vouches for any time that is not before the floor.
    System,
}

/// One look at the clocks of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Time since boot.
    pub mono: Mono,
    /// What the system clock says, right or wrong.
    pub system: UnixSeconds,
    /// Whether the kernel says that the clock is disciplined.
    pub disciplined: bool,
}

/// How far the system clock is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confidence {
    /// Somebody vouches for it. Entered when the kernel or the firmware says so; left when it no longer does.
    Synced,
    /// Not known to be wrong (not before the floor), but nobody vouches for it: no date is shown.
    Floor,
    /// Before the floor, so certainly wrong. Left when it is set.
    Unset,
}

impl Confidence {
    /// The word of the documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Floor => "floor",
            Self::Unset => "unset",
        }
    }
}

/// The clock as the agent believes in it. The floor is the later of the build time and the last trusted time in the store.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    boot: BootId,
    trust: Trust,
    floor: UnixSeconds,
    reading: Reading,
    told: Option<(UnixSeconds, Mono)>,
}

/// A system clock this far from what time servers say is wrong: no time zone and no drift explains a day.
pub const WRONG_BY: Duration = Duration::from_secs(24 * 3600);

impl Clock {
    /// `floor` starts as the build time.
    pub const fn new(boot: BootId, trust: Trust, floor: UnixSeconds, reading: Reading) -> Self {
        Self { boot, trust, floor, reading, told: None }
    }

    /// A time server said, at `mono`, that it was `at`. Nobody vouches for that, so it is good for two things only: judging
    /// certificates while nothing better is known, and naming a wrong system clock. It never moves the floor.
    pub fn handle_told(&mut self, at: UnixSeconds, mono: Mono) {
        self.told = (at >= self.floor).then_some((at, mono));
    }

    /// The time by what a time server said, carried on to the last reading.
    pub fn told(&self) -> Option<UnixSeconds> {
        self.told.map(|(at, mono)| at.after(self.reading.mono.since(mono)))
    }

    /// What time servers say, if the system clock is far from it.
    pub fn contradicted(&self) -> Option<UnixSeconds> {
        let told = self.told().filter(|_| !self.reading.disciplined)?;
        (told.0.abs_diff(self.reading.system.0) > WRONG_BY.as_secs()).then_some(told)
    }

    /// What the system clock says, right or wrong.
    pub const fn system(&self) -> UnixSeconds {
        self.reading.system
    }

    /// Takes in a new look at the clocks. A trusted time moves the floor up.
    pub fn handle_reading(&mut self, reading: Reading) {
        self.reading = reading;
        if self.confidence() == Confidence::Synced {
            self.raise_floor(reading.system);
        }
    }

    /// The store knows that the time was once at least `at`.
    pub fn raise_floor(&mut self, at: UnixSeconds) {
        self.floor = self.floor.max(at);
    }

    /// The earliest time it can be.
    pub const fn floor(&self) -> UnixSeconds {
        self.floor
    }

    /// How far the system clock is trusted now.
    pub fn confidence(&self) -> Confidence {
        if self.reading.system < self.floor {
            return Confidence::Unset;
        }
        match self.trust {
            Trust::System => Confidence::Synced,
            Trust::Kernel if self.reading.disciplined => Confidence::Synced,
            Trust::Kernel => Confidence::Floor,
        }
    }

    /// The time at which certificates are judged: what time servers say if that contradicts the system clock, otherwise
    /// max(system clock, floor).
    pub fn judged(&self) -> UnixSeconds {
        self.contradicted().unwrap_or(self.reading.system).max(self.floor)
    }

    /// All that is known about the present.
    pub fn now(&self) -> Now {
        let wall = match self.confidence() {
            Confidence::Synced => Wall::Known(self.reading.system),
            Confidence::Floor | Confidence::Unset => Wall::Unknown,
        };
        Now { boot: self.boot, mono: self.reading.mono, wall }
    }
}

/// The present, as cores get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Which boot this is.
    pub boot: BootId,
    /// Time since that boot.
    pub mono: Mono,
    /// The date, if trusted.
    pub wall: Wall,
}

/// When something happened, in every term that was known then; goes into the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    boot: BootId,
    mono: Mono,
    at: Option<UnixSeconds>,
}

/// How long ago something was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// Exactly this long.
    Exact(Duration),
    /// At least this long: it was in an earlier boot, and one of the two dates is unknown.
    AtLeast(Duration),
}

impl Age {
    /// What is certain to have passed.
    pub const fn certain(self) -> Duration {
        match self {
            Self::Exact(d) | Self::AtLeast(d) => d,
        }
    }
}

impl Now {
    /// A stamp of this moment.
    pub const fn stamp(&self) -> Stamp {
        Stamp { boot: self.boot, mono: self.mono, at: self.wall.known() }
    }

    /// How long ago `stamp` was. Within one boot the boot clock decides, whatever the date was set to meanwhile.
    pub fn age(&self, stamp: &Stamp) -> Age {
        if stamp.boot == self.boot {
            return Age::Exact(self.mono.since(stamp.mono));
        }
        // It happened before this boot began, so at least the time since boot has passed.
        let uptime = self.mono.since(Mono::from_millis(0));
        match (stamp.at, self.wall) {
            (Some(then), Wall::Known(now)) => {
                Age::Exact(Duration::from_secs(now.0.saturating_sub(then.0)).max(uptime))
            }
            (None, _) | (_, Wall::Unknown) => Age::AtLeast(uptime),
        }
    }

    /// The date of `stamp`, if it can be told: stamped while trusted, or reckoned back within the same boot.
    pub fn date_of(&self, stamp: &Stamp) -> Option<UnixSeconds> {
        let now = self.wall.known()?;
        match stamp.at {
            Some(at) => Some(at),
            None if stamp.boot == self.boot => {
                Some(UnixSeconds(now.0.saturating_sub(self.mono.since(stamp.mono).as_secs())))
            }
            None => None,
        }
    }
}

impl Stamp {
    /// The date, if the clock was trusted when it was made.
    pub const fn at(&self) -> Option<UnixSeconds> {
        self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: BootId = BootId([1; 8]);
    const FLOOR: UnixSeconds = UnixSeconds(1_700_000_000);

    fn reading(mono_s: u64, system: u64, disciplined: bool) -> Reading {
        Reading { mono: Mono::from_millis(mono_s * 1000), system: UnixSeconds(system), disciplined }
    }

    #[track_caller]
    fn check(trust: Trust, system: u64, disciplined: bool, expect: Confidence) {
        let clock = Clock::new(BOOT, trust, FLOOR, reading(1, system, disciplined));
        assert_eq!(clock.confidence(), expect);
        assert_eq!(clock.now().wall.known().is_some(), expect == Confidence::Synced);
        assert!(clock.judged() >= FLOOR);
    }

    #[test]
    fn confidence_needs_a_voucher_and_the_floor() {
        check(Trust::Kernel, 0, true, Confidence::Unset);
        check(Trust::System, 0, false, Confidence::Unset);
        check(Trust::Kernel, FLOOR.0 + 1, false, Confidence::Floor);
        check(Trust::Kernel, FLOOR.0 + 1, true, Confidence::Synced);
        check(Trust::System, FLOOR.0 + 1, false, Confidence::Synced);
    }

    #[test]
    fn a_trusted_time_raises_the_floor_and_an_untrusted_one_does_not() {
        let mut clock = Clock::new(BOOT, Trust::Kernel, FLOOR, reading(1, 0, false));
        clock.handle_reading(reading(2, FLOOR.0 + 500, false));
        assert_eq!(clock.floor(), FLOOR);
        clock.handle_reading(reading(3, FLOOR.0 + 500, true));
        assert_eq!(clock.floor().0, FLOOR.0 + 500);
        clock.handle_reading(reading(4, FLOOR.0 + 499, true));
        assert_eq!(clock.confidence(), Confidence::Unset, "the clock went back: it is wrong");
    }

    #[test]
    fn a_time_server_is_believed_for_certificates_only_and_never_before_the_floor() {
        let ten_years = 10 * 365 * 24 * 3600;
        let mut clock = Clock::new(BOOT, Trust::System, FLOOR, reading(10, FLOOR.0 + ten_years, false));
        clock.handle_told(UnixSeconds(FLOOR.0 + 100), Mono::from_millis(10_000));
        clock.handle_reading(reading(70, FLOOR.0 + ten_years + 60, false));
        assert_eq!(clock.contradicted(), Some(UnixSeconds(FLOOR.0 + 160)));
        // The firmware vouched for the wrong date, which moved the floor: certificates are judged there.
        assert_eq!(clock.judged(), clock.floor());
        let mut kernel = Clock::new(BOOT, Trust::Kernel, FLOOR, reading(10, FLOOR.0 + ten_years, false));
        kernel.handle_told(UnixSeconds(FLOOR.0 + 100), Mono::from_millis(10_000));
        assert_eq!((kernel.judged(), kernel.floor()), (UnixSeconds(FLOOR.0 + 100), FLOOR));
        kernel.handle_told(UnixSeconds(FLOOR.0 - 1), Mono::from_millis(10_000));
        assert_eq!((kernel.told(), kernel.judged()), (None, UnixSeconds(FLOOR.0 + ten_years)));
        kernel.handle_told(UnixSeconds(FLOOR.0 + 100), Mono::from_millis(10_000));
        kernel.handle_reading(reading(11, FLOOR.0 + 200, false));
        assert_eq!(kernel.contradicted(), None, "the clock was put right");
    }

    #[test]
    fn age_within_a_boot_ignores_the_date() {
        let mut clock = Clock::new(BOOT, Trust::Kernel, FLOOR, reading(10, 0, false));
        let stamp = clock.now().stamp();
        clock.handle_reading(reading(70, FLOOR.0 + 9_999_999, true));
        assert_eq!(clock.now().age(&stamp), Age::Exact(Duration::from_secs(60)));
        assert_eq!(clock.now().date_of(&stamp), Some(UnixSeconds(FLOOR.0 + 9_999_999 - 60)));
    }

    #[test]
    fn age_across_boots_needs_two_dates() {
        let before = Clock::new(BOOT, Trust::System, FLOOR, reading(10, FLOOR.0 + 100, false)).now().stamp();
        let mut after = Clock::new(BootId([2; 8]), Trust::System, FLOOR, reading(5, 0, false));
        assert_eq!(after.now().age(&before), Age::AtLeast(Duration::from_secs(5)));
        assert_eq!(after.now().date_of(&before), None);
        after.handle_reading(reading(6, FLOOR.0 + 400, false));
        assert_eq!(after.now().age(&before), Age::Exact(Duration::from_secs(300)));
        assert_eq!(after.now().date_of(&before), Some(UnixSeconds(FLOOR.0 + 100)));
    }
}
