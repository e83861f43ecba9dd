//! The md attributes of sysfs (kernel: Documentation/admin-guide/md.rst; drivers/md/md.c where the code says more),
//! as texts and as facts. A core: reading the files is `io`'s.

use super::mdstat::{Access, Activity, Entry, Flag, Progress, Said, Wait};

/// The attributes of one array as they were read; an unreadable one is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    /// `array_state`.
    pub array_state: Option<String>,
    /// `level`; empty for an array that does not run.
    pub level: Option<String>,
    /// `degraded`; absent on raid0 and inactive arrays.
    pub degraded: Option<String>,
    /// `raid_disks`; `3 (2)` during a reshape, empty for an array that does not run.
    pub raid_disks: Option<String>,
    /// `sync_action`.
    pub sync_action: Option<String>,
    /// `sync_completed`: `none`, `delayed`, or sectors `N / M`.
    pub sync_completed: Option<String>,
    /// `sync_speed` in KiB/s, or `none`.
    pub sync_speed: Option<String>,
    /// `mismatch_cnt` in sectors.
    pub mismatch_cnt: Option<String>,
    /// `last_sync_action`: what `mismatch_cnt` is of.
    pub last_sync_action: Option<String>,
    /// `metadata_version`: `1.2`, `external:imsm`, `external:/md127/0`.
    pub metadata: Option<String>,
    /// `resync_start` in sectors, or `none`: where a synchronisation has to go on.
    pub resync_start: Option<String>,
    /// `size` of the block device in sectors of 512 bytes.
    pub size: Option<String>,
    /// Its disks.
    pub members: Vec<MemberTexts>,
}

/// A `dev-*` directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberTexts {
    /// Without `dev-`.
    pub device: String,
    /// `state`: words between commas, may be empty.
    pub state: String,
    /// `slot`: number, `none` or `journal`.
    pub slot: String,
    /// Read errors that md corrected by another disk's data, as far as it counts them.
    pub errors: u64,
    /// Of those, how many there were when the array was first seen.
    pub errors_before: u64,
    /// Whether `bad_blocks` lists any.
    pub bad_blocks: bool,
    /// The device path of what it is on, as its `block` link says: the link outlives the device it leads to.
    pub path: Option<String>,
    /// Whether the link leads nowhere: the disk was pulled. md itself notices only at its next access to it.
    pub gone: bool,
}

/// What md does with an array. The kernel's words for it differ between its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Copies onto a disk that was not in sync.
    Recover,
    /// Makes the disks equal: at first, or after an unclean stop.
    Resync,
    /// Spreads the data anew.
    Reshape,
    /// Compares.
    Check,
    /// Compares and makes equal.
    Repair,
}

impl Work {
    /// By the kernel's word. `recovery` is that of /proc/mdstat and of Linux 6.1's `last_sync_action`.
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "recover" | "recovery" => Some(Self::Recover),
            "resync" => Some(Self::Resync),
            "reshape" => Some(Self::Reshape),
            "check" => Some(Self::Check),
            "repair" => Some(Self::Repair),
            _ => None,
        }
    }

    /// The word of `sync_action`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Recover => "recover",
            Self::Resync => "resync",
            Self::Reshape => "reshape",
            Self::Check => "check",
            Self::Repair => "repair",
        }
    }
}

/// `sync_action`, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing, or nothing yet, or the word is absent as with levels without redundancy.
    Idle,
    /// Something.
    Works(Work),
    /// New to us.
    Other(String),
}

/// How far something has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Sectors done.
    pub done: u64,
    /// Sectors in all.
    pub total: u64,
    /// KiB a second, if it is known.
    pub speed_kib: Option<u64>,
}

/// `sync_completed`, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completed {
    /// Nothing runs.
    None,
    /// Waits for another array on the same disks.
    Delayed,
    /// Runs.
    Running(Span),
}

impl Texts {
    /// What sysfs would say, by /proc/mdstat: for an array that sysfs does not show.
    pub fn from_mdstat(entry: &Entry) -> Self {
        let array_state = match (&entry.activity, &entry.access) {
            (Said::Other(word), _) | (Said::Known(Activity::Active), Some(Said::Other(word))) => word,
            (Said::Known(Activity::Inactive), _) => "inactive",
            (Said::Known(Activity::Broken), _) => "broken",
            (_, Some(Said::Known(Access::ReadOnly))) => "readonly",
            (_, Some(Said::Known(Access::AutoReadOnly))) => "read-auto",
            (_, None) => "active",
        };
        let mut texts = Self {
            array_state: Some(array_state.to_owned()),
            level: entry.level.clone(),
            raid_disks: entry.disks.map(|(disks, _)| disks.to_string()),
            degraded: entry.disks.map(|(disks, working)| disks.saturating_sub(working).to_string()),
            metadata: entry.metadata.clone(),
            size: entry.size_kib.map(|kib| kib.saturating_mul(2).to_string()),
            members: entry.members.iter().map(MemberTexts::from_mdstat).collect(),
            ..Self::default()
        };
        // One that is being rebuilt has no letter either: then it is not told which of them carry the data.
        let unmarked = texts.members.iter().filter(|m| m.is_in_sync()).count();
        let rebuilt =
            entry.disks.is_some_and(|(_, working)| usize::try_from(working).is_ok_and(|w| w < unmarked));
        if rebuilt {
            for member in texts.members.iter_mut().filter(|m| m.state == "in_sync") {
                member.state.clear();
            }
        }
        let word = |work: &Said<Work>| match work {
            Said::Known(work) => work.name().to_owned(),
            Said::Other(word) => word.clone(),
        };
        match &entry.progress {
            Some(Progress::Running { work, done, total, speed_kib }) => {
                texts.sync_action = Some(word(work));
                texts.sync_completed =
                    Some(format!("{} / {}", done.saturating_mul(2), total.saturating_mul(2)));
                texts.sync_speed = speed_kib.map(|speed| speed.to_string());
            }
            Some(Progress::Waiting { wait: Said::Known(Wait::Pending), .. }) => {
                texts.resync_start = Some("0".to_owned());
            }
            Some(Progress::Waiting { work, .. }) => {
                // `resync=DELAYED` stands for whatever is delayed.
                texts.sync_action = Some(if rebuilt { Work::Recover.name().to_owned() } else { word(work) });
                texts.sync_completed = Some("delayed".to_owned());
            }
            None => {}
        }
        texts
    }

    /// `sync_completed` and `sync_speed` together. What is not understood counts as nothing running.
    pub fn completed(&self) -> Completed {
        let text = self.sync_completed.as_deref().unwrap_or("none");
        if text == "delayed" {
            return Completed::Delayed;
        }
        let Some((done, total)) = text.split_once('/') else { return Completed::None };
        match (done.trim().parse(), total.trim().parse()) {
            (Ok(done), Ok(total)) => {
                let speed_kib = self.sync_speed.as_deref().and_then(|s| s.parse().ok()).filter(|s| *s > 0);
                Completed::Running(Span { done, total, speed_kib })
            }
            (Err(_), _) | (_, Err(_)) => Completed::None,
        }
    }

    /// `sync_action`, understood.
    pub fn action(&self) -> Action {
        match self.sync_action.as_deref() {
            None | Some("idle" | "frozen") => Action::Idle,
            Some(word) => Work::of(word).map_or_else(|| Action::Other(word.to_owned()), Action::Works),
        }
    }

    /// Whether a synchronisation has to be done that has not begun. While one runs, `resync_start` says how far it is.
    pub fn is_sync_pending(&self) -> bool {
        let start = self.resync_start.as_deref();
        self.action() == Action::Idle && start.is_some_and(|s| s.parse::<u64>().is_ok())
    }

    /// Whether nothing begins by itself: until the first write, or because md was told so.
    pub fn is_held_back(&self) -> bool {
        matches!(self.array_state.as_deref(), Some("readonly" | "read-auto"))
            || self.sync_action.as_deref() == Some("frozen")
    }

    /// Disks it should have: the number before anything in parentheses.
    pub fn disks_wanted(&self) -> u32 {
        first_number(self.raid_disks.as_deref()).unwrap_or(0)
    }

    /// Disks that are missing, by md's own count.
    pub fn missing(&self) -> u32 {
        first_number(self.degraded.as_deref()).unwrap_or(0)
    }

    /// Differences that the last check saw, in sectors.
    pub fn differences(&self) -> u64 {
        first_number(self.mismatch_cnt.as_deref()).unwrap_or(0)
    }

    /// Whether it only holds disks together whose arrays are listed by themselves, as metadata of another maker has it.
    pub fn is_container(&self) -> bool {
        let kind = self.metadata.as_deref().and_then(|m| m.strip_prefix("external:"));
        kind.is_some_and(|kind| !kind.is_empty() && !kind.starts_with(['/', '-']))
    }
}

fn first_number<T: core::str::FromStr>(text: Option<&str>) -> Option<T> {
    text?.split_whitespace().next()?.parse().ok()
}

impl MemberTexts {
    fn from_mdstat(member: &super::mdstat::Member) -> Self {
        let word = |flag: &Flag| match flag {
            Flag::WriteMostly => "write_mostly".to_owned(),
            Flag::Journal => "journal".to_owned(),
            Flag::Faulty => "faulty".to_owned(),
            Flag::Spare => "spare".to_owned(),
            Flag::Replacement => "replacement".to_owned(),
            Flag::Other(letter) => format!("({letter})"),
        };
        let mut words: Vec<String> = member.flags.iter().map(word).collect();
        let is = |flag| member.flags.contains(&flag);
        // A replacement that is being filled has no S; one that is done has no R.
        if ![Flag::Faulty, Flag::Spare, Flag::Journal, Flag::Replacement].into_iter().any(is) {
            words.push("in_sync".to_owned());
        }
        Self { device: member.device.clone(), state: words.join(","), ..Self::default() }
    }

    /// The words of `state`.
    pub fn words(&self) -> Vec<String> {
        self.state.split(',').map(str::trim).filter(|w| !w.is_empty()).map(str::to_owned).collect()
    }

    /// Whether its `state` has this word.
    pub fn says(&self, word: &str) -> bool {
        self.state.split(',').any(|w| w.trim() == word)
    }

    /// Whether the kernel has given it up.
    pub fn is_faulty(&self) -> bool {
        self.says("faulty")
    }

    /// The disk it is on or is: what follows `block` in its device path, `sda` in `…/block/sda/sda3`.
    pub fn disk(&self) -> Option<&str> {
        let (_, rest) = self.path.as_deref()?.rsplit_once("/block/")?;
        rest.split('/').next().filter(|disk| !disk.is_empty())
    }

    /// Whether md counts it as carrying the data.
    pub fn is_in_sync(&self) -> bool {
        !self.is_faulty() && self.says("in_sync")
    }

    /// Whether it carries the data, as far as anybody knows.
    pub fn is_working(&self) -> bool {
        self.is_in_sync() && !self.gone
    }

    /// Whether it stands by or is being rebuilt.
    pub fn is_spare(&self) -> bool {
        !self.is_faulty() && !self.gone && self.says("spare")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(text: &str, speed: &str) -> Completed {
        let texts =
            Texts { sync_completed: Some(text.into()), sync_speed: Some(speed.into()), ..Texts::default() };
        texts.completed()
    }

    #[test]
    fn progress_is_read_and_delayed_is_no_error() {
        let span = |speed_kib| Completed::Running(Span { done: 1_569_888, total: 2_093_056, speed_kib });
        assert_eq!(completed("1569888 / 2093056", "120000"), span(Some(120_000)));
        assert_eq!(completed("1569888 / 2093056", "none"), span(None));
        assert_eq!(completed("delayed", "none"), Completed::Delayed);
        assert_eq!(completed("none", "none"), Completed::None);
        assert_eq!(completed("new word", "x"), Completed::None);
    }

    #[test]
    fn the_disk_is_in_the_device_path() {
        let on = |path: &str| {
            let member = MemberTexts { path: Some(path.into()), ..MemberTexts::default() };
            member.disk().map(str::to_owned)
        };
        assert_eq!(on("/sys/devices/soc/ata1/host0/block/sda/sda3").as_deref(), Some("sda"));
        assert_eq!(on("../../../0000:00:06.0/1:0:0:0/block/sdb").as_deref(), Some("sdb"));
        assert_eq!((on("/sys/devices/x"), on("/sys/block/")), (None, None));
        assert_eq!(MemberTexts::default().disk(), None);
    }

    #[test]
    fn numbers_may_have_company() {
        let texts =
            Texts { raid_disks: Some("3 (2)".into()), degraded: Some("1".into()), ..Texts::default() };
        assert_eq!((texts.disks_wanted(), texts.missing(), texts.differences()), (3, 1, 0));
    }

    #[test]
    fn a_container_is_told_from_an_array_in_one() {
        let is = |text: &str| Texts { metadata: Some(text.into()), ..Texts::default() }.is_container();
        assert!(is("external:imsm") && is("external:ddf"));
        // One that is in a container, one whose manager is told to keep off (a minus for the slash), and md's own.
        for text in ["external:/md127/0", "external:-md127/0", "1.2", "external:", "none"] {
            assert!(!is(text), "{text}");
        }
    }

    #[test]
    fn a_synchronisation_is_pending_only_while_none_runs() {
        let pending = |action: &str, start: &str| {
            let texts = Texts {
                sync_action: Some(action.into()),
                resync_start: Some(start.into()),
                ..Texts::default()
            };
            texts.is_sync_pending()
        };
        assert!(pending("idle", "2048") && pending("idle", "0"));
        assert!(!pending("idle", "none") && !pending("resync", "2048"));
    }
}
