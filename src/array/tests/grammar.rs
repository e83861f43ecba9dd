//! What the kernel can print is read back: a second implementation of its print rules (drivers/md/md.c: md_seq_show,
//! status_resync; raid1_status, raid5_status, raid10_status, raid0_status, linear_status, md_bitmap_status).

use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::array::mdstat::{
    ARRAYS_MAX, Access, Activity, Entry, Flag, MEMBERS_MAX, Member, Progress, Said, Wait, parse,
};
use crate::array::sysfs::Work;

/// What md knows of a member.
#[derive(Clone, Debug)]
struct Disk {
    device: String,
    number: u32,
    /// W, J, F, spare, R.
    bits: [bool; 5],
}

/// What md is at.
#[derive(Clone, Debug)]
enum Sync {
    Nothing,
    /// Remote, pending, delayed.
    Word(&'static str, Progress),
    /// The kernel's word, KiB done and in all, KiB a second.
    Runs(&'static str, Work, u64, u64, u64),
}

/// What md knows of an array.
#[derive(Clone, Debug)]
struct Md {
    name: String,
    running: bool,
    /// Not in Linux 6.1, which prints `active`.
    broken: bool,
    access: Option<Access>,
    level: &'static str,
    disks: Vec<Disk>,
    blocks: u64,
    /// `None` for 0.90.
    metadata: Option<String>,
    places: (u32, u32),
    sync: Sync,
    bitmap: Option<bool>,
}

impl Md {
    fn has_sync(&self) -> bool {
        !matches!(self.level, "raid0" | "linear")
    }

    fn print(&self) -> String {
        let word = match (self.running, self.broken) {
            (false, _) => "inactive",
            (true, true) => "broken",
            (true, false) => "active",
        };
        let mut out = format!("{} : {word}", self.name);
        if self.running {
            out += match self.access {
                Some(Access::ReadOnly) => " (read-only)",
                Some(Access::AutoReadOnly) => " (auto-read-only)",
                None => "",
            };
            out += &format!(" {}", self.level);
        }
        for disk in &self.disks {
            let [write_mostly, journal, faulty, spare, replacement] = disk.bits;
            out += &format!(" {}[{}]", disk.device, disk.number);
            out += if write_mostly { "(W)" } else { "" };
            out += if journal { "(J)" } else { "" };
            if faulty {
                out += "(F)";
                continue;
            }
            out += if spare { "(S)" } else { "" };
            out += if replacement { "(R)" } else { "" };
        }
        if !self.disks.is_empty() {
            out += &format!("\n      {} blocks", self.blocks);
        }
        if let Some(metadata) = &self.metadata {
            out += &format!(" super {metadata}");
        }
        if self.running {
            let (places, working) = self.places;
            let letters: String = (0..places).map(|n| if n < working { 'U' } else { '_' }).collect();
            let counts = format!("[{places}/{working}] [{letters}]");
            out += &match self.level {
                "raid0" => " 512k chunks".to_owned(),
                "linear" => " 0k rounding".to_owned(),
                "raid5" => format!(" level 5, 64k chunk, algorithm 2 {counts}"),
                "raid6" => format!(" level 6, 512k chunk, algorithm 2 {counts}"),
                "raid10" => format!(" 512K chunks 2 near-copies {counts}"),
                _ => format!(" {counts}"),
            };
            out += "\n      ";
            if self.has_sync() {
                out += &self.print_sync();
            }
        } else {
            out += "\n       ";
        }
        if let Some(file) = self.bitmap {
            out += "bitmap: 4/15 pages [16KB], 65536KB chunk";
            out += if file { ", file: /var/md [2/2] bitmap" } else { "" };
            out += "\n";
        }
        out + "\n"
    }

    fn print_sync(&self) -> String {
        match &self.sync {
            Sync::Nothing => String::new(),
            Sync::Word(word, _) => format!("\t{word}\n      "),
            Sync::Runs(word, _, done, total, speed) => {
                let per_mille = done * 1000 / total;
                let bar = per_mille / 50;
                let (minutes, tenths) = ((total - done) / 1024 / 60, (total - done) / 1024 % 60 / 6);
                format!(
                    "[{}>{}]  {word} ={:3}.{}% ({done}/{total}) finish={minutes}.{tenths}min speed={speed}K/sec\n      ",
                    "=".repeat(bar as usize),
                    ".".repeat(20 - bar as usize),
                    per_mille / 10,
                    per_mille % 10,
                )
            }
        }
    }

    fn entry(&self) -> Entry {
        let member = |disk: &Disk| {
            let flags =
                [Flag::WriteMostly, Flag::Journal, Flag::Faulty, Flag::Spare, Flag::Replacement].into_iter();
            let shown = |(at, _): &(usize, Flag)| disk.bits[*at] && !(disk.bits[2] && *at > 2);
            let flags = flags.enumerate().filter(shown).map(|(_, flag)| flag).collect();
            Member { device: disk.device.clone(), flags }
        };
        let counted = self.running && self.has_sync();
        Entry {
            name: self.name.clone(),
            activity: Said::Known(match (self.running, self.broken) {
                (false, _) => Activity::Inactive,
                (true, true) => Activity::Broken,
                (true, false) => Activity::Active,
            }),
            access: self.access.filter(|_| self.running).map(Said::Known),
            level: self.running.then(|| self.level.to_owned()),
            members: self.disks.iter().map(member).collect(),
            size_kib: Some(self.blocks),
            metadata: self.metadata.clone(),
            disks: counted.then_some(self.places),
            progress: match &self.sync {
                _ if !counted => None,
                Sync::Nothing => None,
                Sync::Word(_, progress) => Some(progress.clone()),
                Sync::Runs(_, work, done, total, speed) => Some(Progress::Running {
                    work: Said::Known(*work),
                    done: *done,
                    total: *total,
                    speed_kib: (*speed > 0).then_some(*speed),
                }),
            },
        }
    }
}

fn waits(work: Work, wait: Wait) -> Progress {
    Progress::Waiting { work: Said::Known(work), wait: Said::Known(wait) }
}

fn sync() -> impl Strategy<Value = Sync> {
    let words = vec![
        ("resync=DELAYED", waits(Work::Resync, Wait::Delayed)),
        ("resync=PENDING", waits(Work::Resync, Wait::Pending)),
        ("resync=REMOTE", waits(Work::Resync, Wait::Remote)),
        ("recover=REMOTE", waits(Work::Recover, Wait::Remote)),
        ("reshape=REMOTE", waits(Work::Reshape, Wait::Remote)),
    ];
    // A repair prints as a resync.
    let running = vec![
        ("resync", Work::Resync),
        ("recovery", Work::Recover),
        ("check", Work::Check),
        ("reshape", Work::Reshape),
    ];
    prop_oneof![
        Just(Sync::Nothing),
        select(words).prop_map(|(word, progress)| Sync::Word(word, progress)),
        (select(running), 1u64..1 << 34, prop_oneof![0u64..=1000, Just(1000)], 0u64..300_000).prop_map(
            |((word, work), total, share, speed)| {
                Sync::Runs(
                    word,
                    work,
                    u64::try_from(u128::from(total) * u128::from(share) / 1000).unwrap(),
                    total,
                    speed,
                )
            }
        ),
    ]
}

fn disk() -> impl Strategy<Value = Disk> {
    let names = prop_oneof![
        "sd[a-z]{1,2}[0-9]{0,2}",
        "nvme[0-9]n1p[1-9]",
        "mmcblk[0-3]p[1-9]",
        "dm-[0-9]{1,2}",
        "loop[0-9]",
        "md[0-9]{1,2}",
        "cciss/c[0-9]d0p[1-9]",
    ];
    (names, 0u32..1000, any::<[bool; 5]>()).prop_map(|(device, number, bits)| Disk { device, number, bits })
}

fn md(number: usize) -> impl Strategy<Value = Md> {
    let name = select(vec![
        format!("md{number}"),
        format!("md_d{number}"),
        format!("md_home{number}"),
        format!("md/x{number}"),
    ]);
    let kind = (
        any::<bool>(),
        any::<bool>(),
        proptest::option::of(select(vec![Access::ReadOnly, Access::AutoReadOnly])),
        select(vec!["raid1", "raid1", "raid5", "raid6", "raid10", "raid4", "raid0", "linear"]),
    );
    let metadata = proptest::option::of(select(
        ["1.0", "1.1", "1.2", "external:imsm", "external:/md127/0", "non-persistent"]
            .map(str::to_owned)
            .to_vec(),
    ));
    let places = (1u32..=64).prop_flat_map(|places| (Just(places), 0..=places));
    (
        name,
        kind,
        proptest::collection::vec(disk(), 1..8),
        0u64..1 << 40,
        metadata,
        places,
        sync(),
        any::<Option<bool>>(),
    )
        .prop_map(
            |(name, (running, broken, access, level), disks, blocks, metadata, places, sync, bitmap)| Md {
                name,
                running,
                broken,
                access,
                level,
                disks,
                blocks,
                metadata,
                places,
                sync,
                bitmap,
            },
        )
}

fn arrays() -> impl Strategy<Value = Vec<Md>> {
    (md(0), md(1), md(127), md(3), 0usize..=4).prop_map(|(a, b, c, d, count)| {
        let mut all = vec![a, b, c, d];
        all.truncate(count);
        all
    })
}

fn file(arrays: &[Md]) -> String {
    let mut text = "Personalities : [linear] [raid0] [raid1] [raid6] [raid5] [raid4] [raid10] \n".to_owned();
    text.extend(arrays.iter().map(Md::print));
    text + "unused devices: <none>\n"
}

/// What can happen to a line.
#[derive(Clone, Debug)]
enum Damage {
    Cut(Index),
    Gone,
    Twice,
    Swapped,
    Replaced(String),
    Byte(Index, char),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        any::<Index>().prop_map(Damage::Cut),
        Just(Damage::Gone),
        Just(Damage::Twice),
        Just(Damage::Swapped),
        "[ \t=/()\\[\\]a-zA-Z0-9:%.\u{e4}]{0,60}".prop_map(Damage::Replaced),
        (any::<Index>(), any::<char>()).prop_map(|(at, c)| Damage::Byte(at, c)),
    ]
}

fn damaged(text: &str, at: usize, damage: &Damage) -> String {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    let line = lines[at].trim_end_matches('\n').to_owned();
    let chars: Vec<char> = line.chars().collect();
    match damage {
        Damage::Cut(to) => lines[at] = chars[..to.index(chars.len() + 1)].iter().collect::<String>() + "\n",
        Damage::Gone => drop(lines.remove(at)),
        Damage::Twice => lines.insert(at, line + "\n"),
        Damage::Swapped if at > 0 => lines.swap(at - 1, at),
        Damage::Swapped => {}
        Damage::Replaced(with) => lines[at] = with.clone() + "\n",
        Damage::Byte(to, c) => {
            let mut chars = chars;
            let to = to.index(chars.len() + 1);
            chars.insert(to, *c);
            lines[at] = chars.into_iter().collect::<String>() + "\n";
        }
    }
    lines.concat()
}

/// The lines of each array, from the line of its name on.
fn spans(arrays: &[Md]) -> Vec<core::ops::Range<usize>> {
    let mut at = 1;
    let mut span = |array: &Md| {
        let from = at;
        at += array.print().lines().count();
        from..at
    };
    arrays.iter().map(&mut span).collect()
}

proptest! {
    #[test]
    fn what_the_kernel_prints_is_read_back(arrays in arrays()) {
        let entries: Vec<Entry> = arrays.iter().map(Md::entry).collect();
        prop_assert_eq!(parse(&file(&arrays)), entries);
    }

    #[test]
    fn damage_to_one_array_hides_no_other(arrays in arrays(), line in any::<Index>(), damage in damage()) {
        let text = file(&arrays);
        let at = line.index(text.lines().count());
        let found = parse(&damaged(&text, at, &damage));
        let spans = spans(&arrays);
        for (array, span) in arrays.iter().zip(spans) {
            // A swap touches the line before, too.
            if span.contains(&at) || (matches!(damage, Damage::Swapped) && span.contains(&(at.max(1) - 1))) {
                continue;
            }
            prop_assert!(found.contains(&array.entry()), "{:?}", array.name);
        }
    }

    #[test]
    fn arbitrary_text_never_panics_and_is_bounded(text in "(md[0-9_d]{0,3} : |[ \t=/()\\[\\]a-zA-Z0-9\n]){0,60}") {
        prop_assert!(parse(&text).len() <= ARRAYS_MAX);
    }
}

#[test]
fn counts_and_words_are_bounded() {
    let many: String =
        (0..100).map(|n| format!("md{n} : active raid1 sda[0]\n      9 blocks [2/1] [U_]\n\n")).collect();
    assert_eq!(parse(&many).len(), ARRAYS_MAX);
    let wide: String = (0..100).map(|n| format!(" sda{n}[{n}]")).collect();
    assert_eq!(parse(&format!("md0 : active raid1{wide}\n"))[0].members.len(), MEMBERS_MAX);
    let long = "\u{e4}".repeat(1000);
    let entry = &parse(&format!("md0 : {long} {long} {long}[0]\n"))[0];
    let Said::Other(word) = &entry.activity else { panic!("{entry:?}") };
    assert_eq!(
        (word.len(), entry.level.as_ref().map(String::len), entry.members[0].device.len()),
        (64, Some(64), 64)
    );
    assert!(parse(&format!("md{long} : active raid1\n")).is_empty());
}

#[test]
fn words_that_are_new_are_kept_as_they_are() {
    let entry = &parse(
        "md0 : hibernating (write-once) raid7 sda[0](Q)\n      9 blocks super 1.3 [2/2] [UU]\n      dawn: chorus\n      \tpolish=ELSEWHERE\n",
    )[0];
    assert_eq!(entry.activity, Said::Other("hibernating".into()));
    assert_eq!(entry.access, Some(Said::Other("write-once".into())));
    assert_eq!((entry.level.as_deref(), entry.metadata.as_deref()), (Some("raid7"), Some("1.3")));
    assert_eq!(entry.members[0].flags, [Flag::Other('Q')]);
    let waits =
        Progress::Waiting { work: Said::Other("polish".into()), wait: Said::Other("ELSEWHERE".into()) };
    assert_eq!(entry.progress, Some(waits));
}
