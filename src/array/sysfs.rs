//! The md attributes of sysfs (kernel: Documentation/admin-guide/md.rst; drivers/md/md.c where the code says more),
//! as texts and as facts. A core: reading the files is `io`'s.

/// The attributes of one array as they were read; an unreadable one is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    /// `array_state`.
    pub array_state: Option<String>,
    /// `level`.
    pub level: Option<String>,
    /// `degraded`; absent on raid0 and inactive arrays.
    pub degraded: Option<String>,
    /// `raid_disks`; `3 (2)` during a reshape.
    pub raid_disks: Option<String>,
    /// `sync_action`.
    pub sync_action: Option<String>,
    /// `sync_completed`: `none`, `delayed`, or sectors `N / M`.
    pub sync_completed: Option<String>,
    /// `sync_speed` in KiB/s, or `none`.
    pub sync_speed: Option<String>,
    /// `mismatch_cnt` in sectors.
    pub mismatch_cnt: Option<String>,
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
    /// The device path of what it is on, as its `block` link says: the link outlives the device it leads to.
    pub path: Option<String>,
    /// Whether the link leads nowhere: the disk was pulled. md itself notices only at its next access to it.
    pub gone: bool,
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

    /// Disks it should have: the number before anything in parentheses.
    pub fn disks_wanted(&self) -> u32 {
        first_number(self.raid_disks.as_deref()).unwrap_or(0)
    }

    /// Disks that are missing.
    pub fn missing(&self) -> u32 {
        first_number(self.degraded.as_deref()).unwrap_or(0)
    }

    /// Differences that the last check saw, in sectors.
    pub fn differences(&self) -> u32 {
        first_number(self.mismatch_cnt.as_deref()).unwrap_or(0)
    }
}

fn first_number(text: Option<&str>) -> Option<u32> {
    text?.split_whitespace().next()?.parse().ok()
}

impl MemberTexts {
    /// The words of `state`.
    pub fn words(&self) -> Vec<String> {
        self.state.split(',').map(str::trim).filter(|w| !w.is_empty()).map(str::to_owned).collect()
    }

    /// Whether the kernel has given it up.
    pub fn is_faulty(&self) -> bool {
        self.state.split(',').any(|w| w.trim() == "faulty")
    }

    /// The disk it is on or is: what follows `block` in its device path, `sda` in `…/block/sda/sda3`.
    pub fn disk(&self) -> Option<&str> {
        let (_, rest) = self.path.as_deref()?.rsplit_once("/block/")?;
        rest.split('/').next().filter(|disk| !disk.is_empty())
    }

    /// Whether it carries the data.
    pub fn is_in_sync(&self) -> bool {
        !self.is_faulty() && self.state.split(',').any(|w| w.trim() == "in_sync")
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
}
