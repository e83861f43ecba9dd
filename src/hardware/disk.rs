//! How the disks are, by what the kernel knows of them without asking: nothing here sends a disk a command while it may be asleep. A
//! core.
//!
//! A disk's own standby is not visible without a command to it, so "awake" is what was at work just now, by the kernel's count of
//! its I/O (Documentation/block/stat.rst), and "asleep" is only what the kernel itself has suspended (Documentation/power/runtime_pm.rst).
//! Its temperature costs a command (drivers/hwmon/drivetemp.c, drivers/nvme/host/hwmon.c), which on some disks starts the
//! spin-down timer anew (Documentation/hwmon/drivetemp.rst): it is read only from a disk that is awake anyway.

use core::time::Duration;

use crate::units::{MilliCelsius, Mono};

/// I/O that may be as long ago as this makes a disk awake. Longer than the time between two looks, shorter than any spin-down time
/// that people set; a disk sleeps later by no more than this because its temperature was read.
const AWAKE: Duration = Duration::from_secs(90);
/// Errors within this time are seen together.
const WINDOW: Duration = Duration::from_secs(600);
/// So many of them are a disk's trouble and not one unlucky command: a sector that cannot be read alone makes five, by the kernel's
/// own tries (`SD_MAX_RETRIES` of drivers/scsi/sd.h).
const ERRORS: u64 = 10;
/// Errors are told for this long after the last, and for this long after commands that failed while no data moved they are not counted.
const TROUBLE: Duration = Duration::from_secs(3600);
/// A temperature older than this says nothing about a disk that is too hot.
const STALE: Duration = Duration::from_secs(900);
/// What a disk may have where it does not say so itself: makers of spinning ones allow 60 to 65 °C, of others 70.
const HOT_SPINNING: MilliCelsius = MilliCelsius(60_000);
const HOT_OTHER: MilliCelsius = MilliCelsius(70_000);
/// A disk says it by itself only in this range; some say 0 or 255.
const LIMITS: core::ops::RangeInclusive<i32> = 40_000..=100_000;
/// It is no longer too hot when it is so much cooler.
const COOLER: i32 = 3_000;

/// Whether a disk is at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// Its I/O was seen just now.
    Awake,
    /// The kernel has suspended it.
    Asleep,
    /// It is quiet: asleep by its own timer, or not.
    Unknown,
}

impl Power {
    /// The word of the documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Awake => "awake",
            Self::Asleep => "asleep",
            Self::Unknown => "unknown",
        }
    }
}

/// One look at what sysfs has of a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Requests that were completed, of every kind.
    pub done: Option<u64>,
    /// Requests under way.
    pub in_flight: u64,
    /// The kernel has suspended the device.
    pub is_suspended: bool,
    /// Commands that failed since the disk was found, for whatever reason (`ioerr_cnt`).
    pub errors: Option<u64>,
    /// Commands that were never answered, since then (`iotmo_cnt`, Linux 6.1 and later).
    pub timeouts: Option<u64>,
    /// The SCSI layer's word for the device, if it has one.
    pub state: Option<String>,
}

/// Completed and pending requests of /sys/block/*/stat: reads, writes, discards (4.18) and flushes (5.5) of its fields.
pub fn requests(stat: &str) -> Option<(u64, u64)> {
    let fields: Vec<u64> = stat.split_whitespace().map_while(|f| f.parse().ok()).collect();
    let field = |at: usize| fields.get(at).copied();
    let done = [field(0)?, field(4)?, field(11).unwrap_or(0), field(15).unwrap_or(0)];
    Some((done.into_iter().fold(0, u64::wrapping_add), field(8)?))
}

/// A counter of the SCSI layer: hexadecimal with 0x before it (drivers/scsi/scsi_sysfs.c).
pub fn counter(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

/// How much of its life flash has behind it, as an eMMC tells the kernel when it is found (JEDEC JESD84-B50, DEVICE_LIFE_TIME_EST_TYP_A
/// and _B, PRE_EOL_INFO).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wear {
    /// Percent that are used up, rounded up to tens; 110: more than it was made for.
    pub used_percent: Option<u8>,
    /// The spare blocks run low.
    pub spares_low: bool,
}

impl Wear {
    /// From the texts of `life_time` and `pre_eol_info`; `None` if neither says anything.
    pub fn of(life_time: Option<&str>, pre_eol: Option<&str>) -> Option<Self> {
        let byte = |text: &str| counter(text).and_then(|n| u8::try_from(n).ok());
        let areas = life_time.into_iter().flat_map(str::split_whitespace).filter_map(byte);
        let used_percent = areas.filter(|n| (1..=11).contains(n)).max().map(|n| n * 10);
        let reserve = pre_eol.and_then(byte).filter(|n| (1..=3).contains(n));
        if used_percent.is_none() && reserve.is_none() {
            return None;
        }
        Some(Self { used_percent, spares_low: reserve.is_some_and(|n| n > 1) })
    }

    /// Whether it should be replaced.
    pub fn is_worn(self) -> bool {
        self.spares_low || self.used_percent.is_some_and(|used| used >= 100)
    }
}

/// A temperature, and when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warmth {
    /// How warm.
    pub value: MilliCelsius,
    /// What it may have.
    pub limit: MilliCelsius,
    /// When.
    pub at: Mono,
}

/// The limit for a disk that says `own` of itself.
pub fn limit(own: Option<i32>, is_spinning: bool) -> MilliCelsius {
    match own.filter(|own| LIMITS.contains(own)) {
        Some(own) => MilliCelsius(own),
        None if is_spinning => HOT_SPINNING,
        None => HOT_OTHER,
    }
}

/// Errors of a disk since the agent has watched it.
#[derive(Clone, Debug, Default)]
struct Errors {
    /// Those of the last minutes, oldest first.
    recent: heapless::Deque<(Mono, u64), 16>,
    /// When commands failed last although no data moved: somebody asks the disk for its state, and its answer counts as an error.
    noise: Option<Mono>,
    /// When they were too many last.
    bad: Option<Mono>,
    /// When one was not answered last.
    silent: Option<Mono>,
}

/// What is remembered of one disk.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Where it is in sysfs: the place, whatever it is called.
    pub path: String,
    last: Look,
    /// When the disk was looked at last.
    looked: Mono,
    /// The look before the one that saw I/O last: it was not earlier.
    busy: Option<Mono>,
    warmth: Option<Warmth>,
    is_hot: bool,
    errors: Errors,
}

impl Watch {
    /// A disk that is seen for the first time: what it counted before is history.
    pub fn new(path: String, look: Look, now: Mono) -> Self {
        let errors = Errors::default();
        Self { path, last: look, looked: now, busy: None, warmth: None, is_hot: false, errors }
    }

    /// Another look.
    pub fn handle_look(&mut self, look: Look, now: Mono) {
        let is_busy = look.in_flight > 0 || (look.done.is_some() && look.done != self.last.done);
        if is_busy {
            self.busy = Some(if look.in_flight > 0 { now } else { self.looked });
        }
        let risen = |new: Option<u64>, old: Option<u64>| {
            // A counter that goes back is that of another disk.
            new.zip(old).map_or(0, |(new, old)| new.saturating_sub(old))
        };
        let failed = risen(look.errors, self.last.errors);
        if failed > 0 && !is_busy {
            self.errors.noise = Some(now);
            self.errors.recent.clear();
        } else if failed > 0 {
            if self.errors.recent.is_full() {
                self.errors.recent.pop_front();
            }
            // There is room: the oldest has just gone.
            let _ = self.errors.recent.push_back((now, failed));
        }
        while self.errors.recent.front().is_some_and(|(at, _)| now.since(*at) > WINDOW) {
            self.errors.recent.pop_front();
        }
        let many = self.errors.recent.iter().map(|(_, n)| *n).fold(0, u64::saturating_add) >= ERRORS;
        let is_noisy = self.errors.noise.is_some_and(|at| now.since(at) < TROUBLE);
        if failed > 0 && many && !is_noisy {
            self.errors.bad = Some(now);
        }
        if risen(look.timeouts, self.last.timeouts) > 0 {
            self.errors.silent = Some(now);
        }
        (self.last, self.looked) = (look, now);
    }

    /// Its temperature was read, by a command of ours: what that did to the counters since is no I/O and no error.
    pub fn handle_warmth(&mut self, warmth: Option<Warmth>, after: Look) {
        if let Some(warmth) = warmth {
            let least = if self.is_hot { warmth.limit.0.saturating_sub(COOLER) } else { warmth.limit.0 };
            self.is_hot = warmth.value.0 >= least;
            self.warmth = Some(warmth);
        }
        self.last = after;
    }

    /// Whether it is at work.
    pub fn power(&self, now: Mono) -> Power {
        if self.last.is_suspended {
            Power::Asleep
        } else if self.busy.is_some_and(|at| now.since(at) <= AWAKE) {
            Power::Awake
        } else {
            Power::Unknown
        }
    }

    /// How long it has been quiet, at most; `None`: since before it was watched.
    pub fn quiet(&self, now: Mono) -> Option<Duration> {
        self.busy.map(|at| now.since(at))
    }

    /// Its last temperature.
    pub const fn warmth(&self) -> Option<Warmth> {
        self.warmth
    }

    /// What was seen last.
    pub const fn last(&self) -> &Look {
        &self.last
    }

    /// Evidence that it is too hot.
    pub fn hot(&self, now: Mono) -> Option<String> {
        let warmth = self.warmth.filter(|w| self.is_hot && now.since(w.at) <= STALE)?;
        Some(format!("{:.0} °C, {:.0} °C are allowed", warmth.value.degrees(), warmth.limit.degrees()))
    }

    /// Evidence that it fails.
    pub fn failing(&self, now: Mono) -> Option<String> {
        let lately = |at: Option<Mono>| at.is_some_and(|at| now.since(at) < TROUBLE);
        let state = self.last.state.as_deref().unwrap_or_default();
        if matches!(state, "offline" | "transport-offline") {
            return Some(format!("the kernel has given it up: its state is {state}"));
        }
        if lately(self.errors.silent) {
            let count = self.last.timeouts.unwrap_or_default();
            return Some(format!("it did not answer in time, {count} times since it was found"));
        }
        if lately(self.errors.bad) {
            let count = self.last.errors.unwrap_or_default();
            return Some(format!("commands fail again and again, {count} since it was found"));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn s(seconds: u64) -> Mono {
        Mono::from_millis(seconds * 1000)
    }

    fn look(done: u64, errors: u64) -> Look {
        Look {
            done: Some(done),
            errors: Some(errors),
            timeouts: Some(0),
            state: Some("running".into()),
            ..Look::default()
        }
    }

    fn watch() -> Watch {
        Watch::new("/sys/x".into(), look(100, 7), s(0))
    }

    #[test]
    fn statistics_of_all_kernels_are_read() {
        for (text, expect) in [
            // 4.4: eleven fields; 4.18: discards; 5.5: flushes.
            ("  10 0 80 4 20 0 160 9 0 8 13", Some((30, 0))),
            ("10 0 80 4 20 0 160 9 2 8 13 3 0 0 0", Some((33, 2))),
            ("10 0 80 4 20 0 160 9 0 8 13 3 0 0 0 5 1", Some((38, 0))),
            ("10 0 80 4", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(requests(text), expect, "{text}");
        }
        assert_eq!((counter("0x1f"), counter("1f"), counter("0x")), (Some(31), None, None));
    }

    #[test]
    fn only_what_works_is_awake_and_what_is_quiet_is_not_asked() {
        let mut disk = watch();
        assert_eq!(disk.power(s(0)), Power::Unknown, "nothing is known at first");
        disk.handle_look(look(100, 7), s(60));
        assert_eq!((disk.power(s(60)), disk.quiet(s(60))), (Power::Unknown, None));
        disk.handle_look(look(101, 7), s(120));
        // The I/O was at 60 at the earliest.
        assert_eq!((disk.power(s(150)), disk.quiet(s(150))), (Power::Awake, Some(Duration::from_secs(90))));
        assert_eq!(disk.power(s(151)), Power::Unknown);
        // After a pause of the agent nobody knows when it was.
        disk.handle_look(look(102, 7), s(400));
        assert_eq!(disk.power(s(400)), Power::Unknown);
        // What is under way is now.
        disk.handle_look(Look { in_flight: 1, ..look(102, 7) }, s(800));
        assert_eq!(disk.power(s(800)), Power::Awake);
        disk.handle_look(Look { is_suspended: true, ..look(103, 7) }, s(810));
        assert_eq!(disk.power(s(810)), Power::Asleep, "the kernel's word goes before what was");
        // A kernel that counts nothing.
        let mut blind = Watch::new("/sys/y".into(), Look::default(), s(0));
        blind.handle_look(Look::default(), s(10));
        assert_eq!(blind.power(s(10)), Power::Unknown);
    }

    proptest! {
        /// A disk that only we disturb falls asleep: its temperature is read for a last time within the time that was said.
        #[test]
        fn our_own_commands_never_keep_a_disk_awake(looks in proptest::collection::vec(1u64..100, 1..60), own in 0u64..3) {
            let mut disk = watch();
            disk.handle_look(look(101, 7), s(1));
            let (mut now, mut done) = (1, 101);
            for gap in looks {
                now += gap;
                disk.handle_look(look(done, 7), s(now));
                let is_awake = disk.power(s(now)) == Power::Awake;
                prop_assert!(!is_awake || now <= AWAKE.as_secs());
                if is_awake {
                    // As a kernel does that counts our command as I/O.
                    done += own;
                    disk.handle_warmth(None, look(done, 7));
                }
            }
        }
    }

    #[test]
    fn a_disk_is_hot_by_its_own_limit_until_it_is_clearly_cooler() {
        assert_eq!(limit(Some(65_000), true), MilliCelsius(65_000));
        assert_eq!((limit(Some(0), true), limit(Some(255_000), false)), (HOT_SPINNING, HOT_OTHER));
        let mut disk = watch();
        for (at, value, expect) in [
            (10, 59_999, None),
            (20, 60_000, Some("60 °C, 60 °C are allowed")),
            (30, 58_000, Some("58 °C, 60 °C are allowed")),
            (40, 56_999, None),
            (50, 58_000, None),
            (60, 61_000, Some("61 °C, 60 °C are allowed")),
        ] {
            let warmth = Warmth { value: MilliCelsius(value), limit: limit(None, true), at: s(at) };
            disk.handle_warmth(Some(warmth), look(100, 7));
            assert_eq!(disk.hot(s(at)).as_deref(), expect, "{value} at {at}");
        }
        assert!(disk.hot(s(60 + 900)).is_some());
        assert_eq!(disk.hot(s(60 + 901)), None, "an old reading is none");
    }

    /// Looks once a minute; each with requests and errors that came since.
    fn judged(minutes: &[(u64, u64)]) -> Option<String> {
        let mut disk = watch();
        let (mut done, mut errors, mut now) = (100, 7, 0);
        for (more, failed) in minutes {
            now += 60;
            done += more;
            errors += failed;
            disk.handle_look(look(done, errors), s(now));
        }
        disk.failing(s(now))
    }

    #[test]
    fn many_errors_at_work_are_told_and_answers_to_questions_are_not() {
        let told = |minutes: &[(u64, u64)]| judged(minutes).is_some();
        for (what, minutes, expect) in [
            ("none", vec![(5, 0); 5], false),
            ("one unlucky sector", vec![(5, 5), (5, 0)], false),
            ("two in ten minutes", vec![(5, 5), (5, 0), (5, 5)], true),
            ("two far apart", [vec![(5, 5)], vec![(5, 0); 10], vec![(5, 5)]].concat(), false),
            ("told for an hour", [vec![(5, 10)], vec![(5, 0); 59]].concat(), true),
            ("and not for longer", [vec![(5, 10)], vec![(5, 0); 60]].concat(), false),
            // hdparm -C and smartctl get their answers as errors.
            ("asked while it is quiet", vec![(0, 12); 30], false),
            ("asked at work, too", [vec![(0, 1)], vec![(5, 12); 30]].concat(), false),
        ] {
            assert_eq!(told(&minutes), expect, "{what}");
        }
        let evidence = judged(&[(5, 12)]).unwrap();
        assert_eq!(evidence, "commands fail again and again, 19 since it was found");
    }

    #[test]
    fn what_is_given_up_or_silent_is_told_at_once() {
        let mut disk = watch();
        let silent = Look { timeouts: Some(2), ..look(100, 7) };
        disk.handle_look(silent, s(60));
        assert_eq!(disk.failing(s(60)).unwrap(), "it did not answer in time, 2 times since it was found");
        disk.handle_look(Look { state: Some("offline".into()), ..look(100, 7) }, s(61));
        assert!(disk.failing(s(61)).unwrap().contains("offline"));
        // Another disk in the same place counts anew.
        disk.handle_look(look(0, 0), s(5000));
        assert_eq!(disk.failing(s(5000)), None);
        // What was there before we came is nobody's news.
        let old = Watch::new("/sys/z".into(), Look { timeouts: Some(9), ..look(1, 900) }, s(1));
        assert_eq!(old.failing(s(1)), None);
    }

    #[test]
    fn wear_is_the_worse_of_both_areas() {
        let wear = |used_percent, spares_low| Some(Wear { used_percent, spares_low });
        for (life, eol, expect, worn) in [
            (Some("0x01 0x03"), Some("0x01"), wear(Some(30), false), false),
            (Some("0x0a 0x00"), None, wear(Some(100), false), true),
            (Some("0x0b 0x01"), Some("0x01"), wear(Some(110), false), true),
            (Some("0x02 0x02"), Some("0x02"), wear(Some(20), true), true),
            (Some("0x00 0x00"), Some("0x00"), None, false),
            (Some("0xff 0x10"), Some("0xff"), None, false),
            (Some("much"), None, None, false),
            (None, None, None, false),
        ] {
            let found = Wear::of(life, eol);
            assert_eq!(found, expect, "{life:?} {eol:?}");
            assert_eq!(found.is_some_and(Wear::is_worn), worn, "{life:?} {eol:?}");
        }
    }
}
