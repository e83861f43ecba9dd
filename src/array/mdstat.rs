//! `/proc/mdstat`, by the kernel's own print rules (drivers/md/md.c: md_seq_show, status_resync; raid1.c:
//! raid1_status). A core. sysfs comes first; this is the cross-check. One odd array never hides another.

/// Arrays that are read.
pub const ARRAYS_MAX: usize = 16;
/// Members of one array that are read.
pub const MEMBERS_MAX: usize = 16;

/// What it says of one array.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// `md0`, `md_d0`, `md127`…
    pub name: String,
    /// `active`, `inactive`, `broken`, or a word that is new to us.
    pub activity: String,
    /// `read-only` or `auto-read-only`.
    pub read_only: Option<String>,
    /// `raid1` and so on; absent when inactive.
    pub level: Option<String>,
    /// Its disks, in no useful order.
    pub members: Vec<Member>,
    /// `[disks/working]`.
    pub disks: Option<(u32, u32)>,
    /// What runs.
    pub progress: Option<Progress>,
}

/// A disk of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The kernel's name.
    pub device: String,
    /// Letters of its flags: W, J, F, S, R.
    pub flags: String,
}

/// What runs on an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// `recovery`, `resync`, `check`, `reshape`; sectors done and in all.
    Running {
        /// The word.
        what: String,
        /// Done.
        done: u64,
        /// In all.
        total: u64,
    },
    /// `resync=DELAYED` and the like.
    Waiting(String),
}

/// Reads the whole file; what cannot be read is left out, array by array.
pub fn parse(text: &str) -> Vec<Entry> {
    let mut arrays: Vec<Entry> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        if line.trim().is_empty() {
            open = false;
        } else if line.starts_with([' ', '\t']) {
            if let Some(array) = arrays.last_mut().filter(|_| open) {
                detail(array, line);
            }
        } else if let Some(array) = heading(line) {
            open = arrays.len() < ARRAYS_MAX;
            if open {
                arrays.push(array);
            }
        } else {
            open = false;
        }
    }
    arrays
}

fn heading(line: &str) -> Option<Entry> {
    let (name, rest) = line.split_once(" : ")?;
    let name = name.trim();
    if !name.starts_with("md") || name.len() > 32 {
        return None;
    }
    let mut words = rest.split_whitespace().peekable();
    let mut array = Entry { name: name.to_owned(), activity: words.next()?.to_owned(), ..Entry::default() };
    if let Some(word) = words.next_if(|w| w.starts_with('(') && w.ends_with(')')) {
        array.read_only = Some(word.trim_matches(['(', ')']).to_owned());
    }
    if let Some(level) = words.next_if(|w| !w.contains('[')) {
        array.level = Some(level.to_owned());
    }
    array.members = words.filter_map(member).take(MEMBERS_MAX).collect();
    Some(array)
}

/// `sda3[0]`, `sdb3[1](F)`, `sdc[2](W)(R)`.
fn member(word: &str) -> Option<Member> {
    let (device, rest) = word.split_once('[')?;
    let (_, flags) = rest.split_once(']')?;
    let flags = flags.chars().filter(|c| c.is_ascii_uppercase()).take(8).collect();
    Some(Member { device: device.to_owned(), flags })
}

fn detail(array: &mut Entry, line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    // The bitmap line has brackets of its own: `[0/30` after it must not be taken for disks.
    if words.first().is_some_and(|w| *w == "bitmap:") {
        return;
    }
    if let Some(progress) = running(&words).or_else(|| waiting(&words)) {
        array.progress = Some(progress);
        return;
    }
    if words.get(1).is_some_and(|w| *w == "blocks") {
        array.disks = words.iter().find_map(|w| pair(w.strip_prefix('[')?.strip_suffix(']')?));
    }
}

fn pair(text: &str) -> Option<(u32, u32)> {
    let (a, b) = text.split_once('/')?;
    Some((a.parse().ok()?, b.parse().ok()?))
}

/// `[=>...] recovery =  8.5% (16775552/195310144) finish=17.0min speed=259783K/sec`.
fn running(words: &[&str]) -> Option<Progress> {
    let at = words.iter().position(|w| *w == "=")?;
    let what = (*words.get(at.checked_sub(1)?)?).to_owned();
    let counts = words.iter().find_map(|w| w.strip_prefix('(')?.strip_suffix(')')?.split_once('/'));
    let (done, total) = counts?;
    Some(Progress::Running { what, done: done.parse().ok()?, total: total.parse().ok()? })
}

/// `resync=DELAYED`, behind a tab in the kernel and behind blanks in hand-made files.
fn waiting(words: &[&str]) -> Option<Progress> {
    let (what, state) = words.first()?.split_once('=')?;
    let known = ["resync", "recover", "recovery", "reshape", "check"].contains(&what);
    (known && state.bytes().all(|b| b.is_ascii_uppercase())).then(|| Progress::Waiting(state.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(text: &str) -> Entry {
        let mut arrays = parse(text);
        assert_eq!(arrays.len(), 1, "{text}");
        arrays.remove(0)
    }

    #[track_caller]
    fn check(
        text: &str,
        activity: &str,
        level: Option<&str>,
        disks: Option<(u32, u32)>,
        progress: Option<Progress>,
    ) {
        let array = one(text);
        assert_eq!(
            (array.activity.as_str(), array.level.as_deref(), array.disks, array.progress),
            (activity, level, disks, progress)
        );
    }

    fn running(what: &str, done: u64, total: u64) -> Option<Progress> {
        Some(Progress::Running { what: what.into(), done, total })
    }

    #[test]
    fn reference_lines_are_read() {
        let raid1 = Some("raid1");
        check(
            "md127 : active raid1 sdi2[0] sdj2[1]\n      312319552 blocks [2/2] [UU]\n",
            "active",
            raid1,
            Some((2, 2)),
            None,
        );
        check(
            "md1 : active raid1 sda20[0]\n      20954112 blocks super 1.2 [2/1] [U_]\n",
            "active",
            raid1,
            Some((2, 1)),
            None,
        );
        check(
            "md6 : active raid1 sdb2[2](F) sdc[1](S) sda2[0]\n      195310144 blocks [2/1] [U_]\n      [=>...................]  recovery =  8.5% (16775552/195310144) finish=17.0min speed=259783K/sec\n",
            "active",
            raid1,
            Some((2, 1)),
            running("recovery", 16_775_552, 195_310_144),
        );
        check(
            "md201 : active raid1 sda3[0] sdb3[1]\n      1993728 blocks super 1.2 [2/2] [UU]\n      [=>...................]  check =  5.7% (114176/1993728) finish=0.2min speed=114176K/sec\n",
            "active",
            raid1,
            Some((2, 2)),
            running("check", 114_176, 1_993_728),
        );
        check(
            "md219 : inactive sdb[2](S) sdc[1](S) sda[0](S)\n        7932 blocks super external:imsm\n",
            "inactive",
            None,
            None,
            None,
        );
        check(
            "md1 : broken raid1 sdb2[1](F) sda2[0]\n      9 blocks super 1.2 [2/1] [U_]\n",
            "broken",
            raid1,
            Some((2, 1)),
            None,
        );
    }

    #[test]
    fn delayed_behind_a_tab_is_waiting() {
        let text = "md0 : active raid1 sdb1[1] sda1[0]\n      2097088 blocks super 1.2 [2/2] [UU]\n      \tresync=DELAYED\n";
        check(text, "active", Some("raid1"), Some((2, 2)), Some(Progress::Waiting("DELAYED".into())));
    }

    #[test]
    fn pending_is_waiting_too() {
        let text = "md0 : active (auto-read-only) raid1 nvme1n1p1[1]\n      2097088 blocks [2/2] [UU]\n      \tresync=PENDING\n";
        assert_eq!(one(text).progress, Some(Progress::Waiting("PENDING".into())));
    }

    #[test]
    fn auto_read_only_is_not_the_level() {
        let array = one("md0 : active (auto-read-only) raid1 sda1[0]\n");
        assert_eq!(
            (array.read_only.as_deref(), array.level.as_deref()),
            (Some("auto-read-only"), Some("raid1"))
        );
    }

    #[test]
    fn two_flags_on_one_member_are_two() {
        assert_eq!(one("md0 : active raid1 sda1[0](W)(R) sdb1[1]\n").members[0].flags, "WR");
    }

    #[test]
    fn the_bitmap_does_not_overwrite_the_disks() {
        let text = "md42 : active raid5 a[0] b[1] c[2]\n      9 blocks level 5, 64k chunk, algorithm 2 [3/2] [UU_]\n      [===========>.........]  reshape = 56.1% (1/2) finish=1868.1min speed=7640K/sec\n      bitmap: 4/15 pages [16KB], 65536KB chunk\n";
        check(text, "active", Some("raid5"), Some((3, 2)), running("reshape", 1, 2));
        let array = one(
            "md0 : active raid1 a[0]\n      9 blocks [2/1] [U_]\n      bitmap: 0/30 pages [0KB], 65536KB chunk\n",
        );
        assert_eq!(array.disks, Some((2, 1)));
    }

    #[test]
    fn raid0_has_no_disk_counts() {
        check(
            "md0 : active raid0 sda1[0] sdb1[1]\n      9 blocks super 1.2 512k chunks\n",
            "active",
            Some("raid0"),
            None,
            None,
        );
    }

    #[test]
    fn an_empty_status_line_is_no_panic() {
        check("md0 : active raid1 sda1[0]\n      \n", "active", Some("raid1"), None, None);
        assert!(parse("md0 : \n").is_empty());
    }

    #[test]
    fn one_odd_array_does_not_hide_another() {
        let text = "Personalities : [raid1] \nmd0 : strange\nmd_d0 : active raid1 cciss/c0d0p1[0]\n      9 blocks [2/2] [UU]\n\nunused devices: <none>\n";
        let names: Vec<String> = parse(text).into_iter().map(|a| a.name).collect();
        assert_eq!(names, ["md0", "md_d0"]);
    }

    /// Prints as md_seq_show does.
    fn print(array: &Entry) -> String {
        let mut text = format!("{} : {}", array.name, array.activity);
        if let Some(word) = &array.read_only {
            text += &format!(" ({word})");
        }
        if let Some(level) = &array.level {
            text += &format!(" {level}");
        }
        for (i, m) in array.members.iter().enumerate() {
            text += &format!(
                " {}[{i}]{}",
                m.device,
                m.flags.chars().map(|f| format!("({f})")).collect::<String>()
            );
        }
        text += "\n      976630464 blocks super 1.2";
        if let Some((disks, working)) = array.disks {
            text += &format!(
                " [{disks}/{working}] [{}]",
                "U".repeat(working as usize) + &"_".repeat((disks - working) as usize)
            );
        }
        match &array.progress {
            Some(Progress::Running { what, done, total }) => {
                text += &format!(
                    "\n      [=>...................]  {what} = {:4.1}% ({done}/{total}) finish=1.0min speed=1K/sec",
                    *done as f64 * 100.0 / *total as f64
                );
            }
            Some(Progress::Waiting(word)) => text += &format!("\n      \tresync={word}"),
            None => {}
        }
        text + "\n      bitmap: 0/8 pages [0KB], 65536KB chunk\n\n"
    }

    prop_compose! {
        fn entry()(
            number in 0u32..300, broken in any::<bool>(), read_only in proptest::option::of(prop::sample::select(vec!["read-only", "auto-read-only"])),
            flags in proptest::collection::vec(prop::sample::select(vec!["", "F", "S", "WR", "J", "SR"]), 1..5),
            disks in (1u32..5).prop_flat_map(|d| (Just(d), 0..=d)),
            progress in proptest::option::of(prop_oneof![
                (prop::sample::select(vec!["recovery", "resync", "check", "reshape"]), 0u64..1000, 1000u64..9999)
                    .prop_map(|(what, done, total)| Progress::Running { what: what.into(), done, total }),
                prop::sample::select(vec!["DELAYED", "PENDING", "REMOTE"]).prop_map(|w| Progress::Waiting(w.into())),
            ]),
        ) -> Entry {
            let members = flags.iter().enumerate().map(|(i, f)| Member { device: format!("sd{}3", (b'a' + i as u8) as char), flags: (*f).into() }).collect();
            Entry {
                name: format!("md{number}"), activity: if broken { "broken" } else { "active" }.into(), read_only: read_only.map(str::to_owned),
                level: Some("raid1".into()), members, disks: Some(disks), progress,
            }
        }
    }

    proptest! {
        #[test]
        fn what_the_kernel_prints_is_read_back(arrays in proptest::collection::vec(entry(), 0..6)) {
            let text = arrays.iter().fold("Personalities : [raid1] \n".to_owned(), |t, a| t + &print(a)) + "unused devices: <none>\n";
            prop_assert_eq!(parse(&text), arrays);
        }

        #[test]
        fn arbitrary_text_never_panics(text in "(md[0-9_d]{0,3} : |[ \t=/()\\[\\]a-zA-Z0-9\n]){0,60}") {
            let _ = parse(&text);
        }
    }
}
