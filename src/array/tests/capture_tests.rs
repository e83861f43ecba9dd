//! What Linux showed of arrays in QEMU (tests/qemu/cases/arrays.py wrote it down, with what the states are): read by the code
//! that reads a box.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::array::event::{self, Happened};
use crate::array::io::read_all;
use crate::array::state::{Array, Expectation};
use crate::sys::root::Root;

/// One look at a machine.
struct Look {
    name: String,
    /// Arrays and their states.
    expected: Vec<(String, String)>,
    dir: tempfile::TempDir,
}

impl Look {
    fn read(&self) -> Vec<Array> {
        read_all(&Root::simulated(self.dir.path().to_owned()), |_| Expectation::default())
    }

    fn states(&self) -> Vec<(String, String)> {
        self.read().into_iter().map(|a| (a.name, a.state.name().to_owned())).collect()
    }
}

fn files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/md");
    for release in fs::read_dir(dir).unwrap() {
        found.extend(fs::read_dir(release.unwrap().path()).unwrap().map(|e| e.unwrap().path()));
    }
    found.sort();
    found
}

/// Lays the machine of a file out as a tree.
fn lay_out(file: &Path) -> Look {
    let text = fs::read_to_string(file).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = |inner: &str| dir.path().join(inner);
    let (mut expected, mut mdstat, mut array) = (Vec::new(), String::new(), PathBuf::new());
    fs::create_dir_all(path("sys/block")).unwrap();
    for line in text.lines() {
        if let Some(line) = line.strip_prefix("mdstat|") {
            mdstat += &format!("{line}\n");
        } else if let Some(state) = line.strip_prefix("expect|") {
            let (name, state) = state.split_once(' ').unwrap();
            expected.push((name.to_owned(), state.to_owned()));
        } else if let Some(name) = line.strip_prefix("array|") {
            array = path(&format!("sys/devices/virtual/block/{name}"));
            fs::create_dir_all(array.join("md")).unwrap();
            symlink(&array, path(&format!("sys/block/{name}"))).unwrap();
        } else if let Some((link, target)) = line.split_once('>') {
            let dir = array.join(link).parent().unwrap().to_owned();
            fs::create_dir_all(&dir).unwrap();
            symlink(target, dir.join("block")).unwrap();
            // A disk that was pulled leaves its link behind.
            if let Some(there) = target.strip_suffix(" (gone)") {
                assert!(there.contains("block/"));
                fs::remove_file(dir.join("block")).unwrap();
                symlink(there, dir.join("block")).unwrap();
            } else {
                fs::create_dir_all(dir.join(target)).unwrap();
            }
        } else {
            let (name, value) = line.split_once('=').unwrap();
            fs::create_dir_all(array.join(name).parent().unwrap()).unwrap();
            fs::write(array.join(name), format!("{}\n", value.replace(';', "\n"))).unwrap();
        }
    }
    fs::create_dir_all(path("proc")).unwrap();
    fs::write(path("proc/mdstat"), mdstat).unwrap();
    expected.sort();
    Look { name: file.file_stem().unwrap().to_string_lossy().into_owned(), expected, dir }
}

fn looks() -> Vec<Look> {
    let looks: Vec<Look> = files().iter().map(|f| lay_out(f)).collect();
    assert!(looks.len() >= 30, "{} captures", looks.len());
    looks
}

fn look(name: &str) -> Look {
    let file = files().into_iter().find(|f| f.to_string_lossy().contains(name)).unwrap();
    lay_out(&file)
}

#[test]
fn every_state_that_linux_was_brought_into_is_called_by_its_name() {
    for look in looks() {
        assert_eq!(look.states(), look.expected, "{}", look.name);
    }
}

/// sysfs and /proc/mdstat are two ways to the same facts; what one cannot know is listed.
#[test]
fn mdstat_alone_says_the_same_but_for_what_it_does_not_print() {
    for look in looks() {
        fs::remove_dir_all(look.dir.path().join("sys/block")).unwrap();
        let cannot = |name: &str, state: &str| {
            match (look.name.split_once('-').unwrap().1, name) {
                // Linux 6.1 prints `active`.
                ("raid10-broken" | "mirror-broken", "md0") => "degraded",
                ("stripes-broken", "md0") => "degraded",
                // Without counts, and without a word of the disk that is gone.
                ("stripes-broken", "md1") => "healthy",
                // A repair prints as a resync.
                ("repair", "md0") => "synchronising",
                _ => state,
            }
            .to_owned()
        };
        let expected: Vec<_> = look.expected.iter().map(|(n, s)| (n.clone(), cannot(n, s))).collect();
        assert_eq!(look.states(), expected, "{}", look.name);
        for array in look.read() {
            assert!(array.remarks.iter().any(|r| r.contains("sysfs does not show it")), "{}", look.name);
            // It is not guessed which disk carries the data.
            let working = array.members.iter().filter(|m| m.is_working()).count();
            let counted = array.disks_wanted > 0;
            assert!(
                !counted || working <= array.disks_working as usize,
                "{}: {working} members work",
                look.name
            );
        }
    }
}

#[test]
fn sysfs_and_mdstat_never_disagree_in_what_linux_showed() {
    for look in looks() {
        for array in look.read() {
            assert_eq!(array.dispute, None, "{}: {}", look.name, array.name);
        }
    }
}

#[test]
fn one_array_that_cannot_be_read_hides_no_other() {
    let look = look("second-waits");
    fs::remove_file(look.dir.path().join("sys/block/md0/md/array_state")).unwrap();
    assert_eq!(look.states(), look.expected, "mdstat stands in");
    fs::write(look.dir.path().join("proc/mdstat"), "Personalities : [raid1] \nunused devices: <none>\n")
        .unwrap();
    assert_eq!(
        look.states(),
        [("md0".to_owned(), "unknown".to_owned()), ("md1".to_owned(), "waiting".to_owned())]
    );
}

#[test]
fn notes_say_what_was_seen() {
    for (name, array, note) in [
        ("-differences", "md0", "the last check saw differences in "),
        ("repaired", "md0", "the last repair made "),
        ("bad-blocks", "md1", "sdb2 had write errors or wants replacement"),
        ("bad-blocks", "md1", "sdb2 has sectors that md found bad"),
        ("read-only", "md0", "it is read only"),
        ("pending", "md0", "a synchronisation waits until it is written to"),
        ("second-waits", "md1", "waits for another array on the same disks"),
        ("frozen-with-spare", "md0", "md was told to begin nothing (frozen)"),
        ("replacement", "md0", "a disk is being replaced that still works"),
        ("mirror-on-one-disk", "md5", "no redundancy"),
        ("container", "md127", "a container (external:ddf)"),
        ("stripes-broken", "md1", "is no longer there"),
    ] {
        let arrays = look(name).read();
        let found = arrays.iter().find(|a| a.name == array).unwrap();
        assert!(found.notes().any(|n| n.contains(note)), "{name}: {:?}", found.notes().collect::<Vec<_>>());
    }
}

#[test]
fn a_member_that_is_odd_but_well_raises_no_warning() {
    for (name, array) in
        [("hot-spare.", "md0"), ("raid5-journal", "md0"), ("raid5.", "md0"), ("clean", "md1")]
    {
        let arrays = look(name).read();
        let found = arrays.iter().find(|a| a.name == array).unwrap();
        assert_eq!(
            (found.warnings.len(), found.redundant.is_some()),
            (0, true),
            "{name}: {:?}",
            found.warnings
        );
    }
}

#[test]
fn a_life_is_told_by_mdadms_names() {
    let words = |happened: Vec<Happened>| -> Vec<String> {
        let word = |h: Happened| match h.device {
            Some(device) => format!("{} {} {device}", h.name.text(), h.array),
            None => format!("{} {}", h.name.text(), h.array),
        };
        let mut words: Vec<String> = happened.into_iter().map(word).collect();
        words.sort();
        words
    };
    let mut before: Vec<Array> = Vec::new();
    for (name, expect) in [
        ("first-synchronisation", &["NewArray md0", "RebuildStarted md0"][..]),
        ("second-waits", &["NewArray md1"]),
        ("clean", &["RebuildFinished md0"]),
        ("04-check", &["RebuildStarted md0"]),
        ("-differences", &["RebuildFinished md0"]),
        ("06-repair", &["RebuildStarted md0"]),
        ("repaired", &["RebuildFinished md0"]),
        ("failed-disk", &["Fail md0 sdb1"]),
        ("removed-disk", &[]),
        ("frozen-with-spare", &[]),
    ] {
        let after = look(name).read();
        let found = words(event::between(&before, &after));
        let found: Vec<String> = found.into_iter().filter(|w| !w.starts_with("Rebuild2")).collect();
        assert_eq!(found, expect, "{name}");
        before = after;
    }
    let pair = |one: &str, other: &str| words(event::between(&look(one).read(), &look(other).read()));
    let takes_over = pair("hot-spare.", "hot-spare-takes-over");
    assert!(takes_over.contains(&"Fail md0 sdb1".to_owned()), "{takes_over:?}");
    assert!(takes_over.contains(&"RebuildStarted md0".to_owned()), "{takes_over:?}");
    let replaced = pair("15-replacement", "16-replaced");
    for word in ["Fail md0 sda3", "RebuildFinished md0", "SpareActive md0 sdb1"] {
        assert!(replaced.contains(&word.to_owned()), "{word}: {replaced:?}");
    }
    assert_eq!(words(event::at_first(&look("failed-disk").read())), ["DegradedArray md0"]);
    assert_eq!(words(event::at_first(&look("clean").read())), [] as [&str; 0]);
    assert_eq!(pair("raid5-degraded", "raid5-two-lost"), ["Fail md0 sdb1"]);
    assert_eq!(pair("21-inactive", "clean"), ["NewArray md0", "NewArray md1"]);
    assert_eq!(pair("mirror-on-one-disk", "21-inactive"), ["DeviceDisappeared md5"]);
}
