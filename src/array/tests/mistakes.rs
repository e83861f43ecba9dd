//! What other readers of /proc/mdstat and md's sysfs got wrong, by the issue where it is told.

use crate::array::mdstat::{Access, Activity, Entry, Flag, Progress, Said, Wait, parse};
use crate::array::state::{Array, Expectation, State, understand};
use crate::array::sysfs::{Texts, Work};

fn one(text: &str) -> Entry {
    let mut arrays = parse(text);
    assert_eq!(arrays.len(), 1, "{text}");
    arrays.remove(0)
}

/// The array as /proc/mdstat alone shows it.
fn seen(text: &str) -> Array {
    understand("md0", Texts::default(), Some(&one(text)), &Expectation::default()).unwrap()
}

#[test]
fn py_mdstat_1_delayed_stands_behind_a_tab() {
    for indent in ["      \t", "\t", "      "] {
        let text = format!(
            "md0 : active raid1 sdb1[1] sda1[0]\n      2097088 blocks super 1.2 [2/2] [UU]\n{indent}resync=DELAYED\n"
        );
        let waits = Progress::Waiting { work: Said::Known(Work::Resync), wait: Said::Known(Wait::Delayed) };
        assert_eq!(one(&text).progress, Some(waits), "{text}");
        assert_eq!(seen(&text).state, State::Waiting);
    }
}

#[test]
fn procfs_770_786_837_delayed_in_sync_completed_spoils_nothing() {
    let some = |text: &str| Some(text.to_owned());
    let texts = Texts {
        array_state: some("clean"),
        level: some("raid1"),
        degraded: some("0"),
        raid_disks: some("2"),
        sync_action: some("check"),
        sync_completed: some("delayed"),
        sync_speed: some("none"),
        ..Texts::default()
    };
    let array = understand("md0", texts, None, &Expectation::default()).unwrap();
    assert_eq!((array.state, array.disks_wanted, array.disks_working), (State::Waiting, 2, 2));
}

#[test]
fn check_raid_199_two_flags_on_one_member_are_two() {
    let entry = one("md0 : active raid1 sda1[0](W)(R) sdb1[1](W)(F) sdc1[2]\n");
    let flags: Vec<&[Flag]> = entry.members.iter().map(|m| &m.flags[..]).collect();
    assert_eq!(flags, [&[Flag::WriteMostly, Flag::Replacement][..], &[Flag::WriteMostly, Flag::Faulty], &[]]);
}

#[test]
fn netdata_4977_the_third_line_is_progress_or_bitmap() {
    let head = "md0 : active raid1 sda1[0] sdb1[1]\n      9 blocks super 1.2 [2/2] [UU]\n";
    let progress = "      [>....................]  check =  0.0% (0/9) finish=1.0min speed=1K/sec\n";
    let bitmap = "      bitmap: 0/30 pages [0KB], 65536KB chunk\n";
    let running =
        Some(Progress::Running { work: Said::Known(Work::Check), done: 0, total: 9, speed_kib: Some(1) });
    for (tail, expect) in [
        (bitmap.to_owned(), None),
        (progress.to_owned(), running.clone()),
        (format!("{progress}{bitmap}"), running.clone()),
        (format!("{bitmap}{progress}"), running),
    ] {
        let entry = one(&format!("{head}{tail}"));
        assert_eq!((entry.progress, entry.disks), (expect, Some((2, 2))), "{tail}");
    }
}

#[test]
fn riemann_tools_241_progress_comes_before_the_bitmap() {
    let text = "md42 : active raid5 a[0] b[1] c[2]\n      9 blocks level 5, 64k chunk, algorithm 2 [3/2] [UU_]\n      [===========>.........]  reshape = 56.1% (561/1000) finish=1868.1min speed=7640K/sec\n      bitmap: 4/15 pages [16KB], 65536KB chunk\n";
    let running =
        Progress::Running { work: Said::Known(Work::Reshape), done: 561, total: 1000, speed_kib: Some(7640) };
    assert_eq!(one(text).progress, Some(running));
    // mdadm's own reader stops at the word `bitmap:`, since `[16KB]` and `4/15` look like counts of disks.
    assert_eq!(one(text).disks, Some((3, 2)));
    let file = "md0 : active raid1 a[0]\n      9 blocks [2/1] [U_]\n      bitmap: 0/1 pages [0KB], 65536KB chunk, file: /my = (1/2) file\n";
    assert_eq!((one(file).progress, one(file).disks), (None, Some((2, 1))));
    assert_eq!(seen(text).doing.and_then(|d| d.share).map(|s| s.done.percent()), Some(56.1));
}

#[test]
fn node_exporter_219_stripes_have_no_counts() {
    let text = "md0 : active raid0 sda1[0] sdb1[1]\n      9 blocks super 1.2 512k chunks\n      \n";
    assert_eq!((one(text).disks, one(text).size_kib), (None, Some(9)));
    let array = seen(text);
    assert_eq!((array.state, array.redundant), (State::Healthy, Some(false)));
}

#[test]
fn node_exporter_309_pending_is_no_progress() {
    let text = "md0 : active (auto-read-only) raid1 nvme1n1p1[1] nvme0n1p1[0]\n      2097088 blocks [2/2] [UU]\n      \tresync=PENDING\n      \n";
    let waits = Progress::Waiting { work: Said::Known(Work::Resync), wait: Said::Known(Wait::Pending) };
    assert_eq!(one(text).progress, Some(waits));
    assert_eq!(seen(text).state, State::Waiting);
}

#[test]
fn zentyal_748_auto_read_only_is_not_the_level() {
    let entry = one("md0 : active (auto-read-only) raid1 sda1[0]\n");
    assert_eq!(entry.access, Some(Said::Known(Access::AutoReadOnly)));
    assert_eq!((entry.level.as_deref(), entry.members.len()), (Some("raid1"), 1));
    let array = seen("md0 : active (read-only) raid1 sda1[0] sdb1[1]\n      9 blocks [2/2] [UU]\n");
    assert_eq!((array.state, array.level.as_str()), (State::Healthy, "raid1"));
}

#[test]
fn procfs_b9b5ad9_an_empty_status_line_is_no_panic() {
    for text in
        ["md0 : active raid1 sda1[0]\n      \n", "md0 : active raid1 sda1[0]\n", "md0 : active raid1 sda1[0]"]
    {
        let entry = one(text);
        assert_eq!((entry.level.as_deref(), entry.disks, entry.size_kib), (Some("raid1"), None, None));
    }
    assert!(parse("md0 : \n").is_empty() && parse("md0 :\n").is_empty());
}

#[test]
fn an_array_that_does_not_run_has_no_level() {
    let text = "md219 : inactive sdb[2](S) sdc[1](S) sda[0](S)\n        7932 blocks super external:imsm\n       \nunused devices: <none>\n";
    let entry = one(text);
    assert_eq!((entry.activity, entry.level.as_deref()), (Said::Known(Activity::Inactive), None));
    assert_eq!((entry.members.len(), entry.metadata.as_deref()), (3, Some("external:imsm")));
}

#[test]
fn monitoring_plugins_55_a_resync_is_not_ok_and_not_a_failure() {
    let text = "md0 : active raid1 sdb1[1] sda1[0]\n      9 blocks super 1.2 [2/2] [UU]\n      [=>...................]  resync =  5.7% (57/1000) finish=0.2min speed=114K/sec\n";
    let array = seen(text);
    assert_eq!((array.state.name(), array.state.is_fault()), ("synchronising", false));
}

#[test]
fn one_odd_array_does_not_hide_another() {
    let text = "Personalities : [raid1] \nmd0 : strange\nmd_d0 : active raid1 cciss/c0d0p1[0]\n      9 blocks [2/2] [UU]\n\nmd7 : \u{fffd}\u{fffd} raid1 ]x[ y[z](F)\n      junk [\n\nmd8 : active raid1 sda[0]\n      9 blocks [2/1] [_U]\n\nunused devices: <none>\n";
    let names: Vec<String> = parse(text).into_iter().map(|a| a.name).collect();
    assert_eq!(names, ["md0", "md_d0", "md7", "md8"]);
    assert_eq!((parse(text)[1].disks, parse(text)[3].disks), (Some((2, 2)), Some((2, 1))));
}

#[test]
fn broken_is_never_two_of_none() {
    let array = seen("md1 : broken raid1 sdb2[1](F) sda2[0]\n      9 blocks super 1.2 [2/1] [U_]\n");
    assert_eq!((array.state, array.disks_working), (State::Failed, 1));
}

#[test]
fn check_raid_34_a_container_is_not_the_array_in_it() {
    let text = "md127 : active raid1 sda[1] sdb[0]\n      976759808 blocks super external:/md0/0 [2/2] [UU]\n\nmd0 : inactive sda[1](S) sdb[0](S)\n      5288 blocks super external:imsm\n\nunused devices: <none>\n";
    let arrays: Vec<Array> = parse(text)
        .iter()
        .filter_map(|e| understand(&e.name, Texts::default(), Some(e), &Expectation::default()))
        .collect();
    let seen: Vec<_> =
        arrays.iter().map(|a| (a.name.as_str(), a.level.as_str(), a.state.name(), a.remarks.len())).collect();
    assert_eq!(seen, [("md127", "raid1", "healthy", 1), ("md0", "container", "healthy", 2)]);
}

#[test]
fn monitoring_plugins_995_a_line_of_linux_2_4_disturbs_nothing() {
    let text = "Personalities : [raid1]\nread_ahead 1024 sectors\nEvent: 8\nmd0 : active raid1 sdb1[2] sda1[1]\n      2097024 blocks [2/1] [_U]\n      [>....................]  recovery =  0.4% (10168/2097024) finish=23.8min speed=1452K/sec\nunused devices: <none>\n";
    let array = seen(text);
    assert_eq!((array.state, array.disks_working), (State::Rebuilding, 1));
    assert_eq!(array.doing.and_then(|d| d.share).and_then(|s| s.left).map(|l| l.as_secs()), Some(1437));
}

#[test]
fn netdata_2193_an_array_can_be_a_member() {
    let text = "md2 : active raid0 md0[0] md1[1]\n      3906764288 blocks super 1.2 64k chunks\n\nmd1 : active raid1 sdd1[2] sde1[1]\n      1953382208 blocks super 1.2 [2/2] [UU]\n";
    let members = |at: usize| parse(text)[at].members.iter().map(|m| m.device.clone()).collect::<Vec<_>>();
    assert_eq!(
        (parse(text).len(), members(0), members(1)),
        (2, vec!["md0".into(), "md1".into()], vec!["sdd1".into(), "sde1".into()])
    );
}

#[test]
fn lines_that_lost_their_blanks_are_read() {
    let text = "md3 : active raid1 sda3[0] sdb3[1]\n242781120 blocks [2/2] [UU]\nresync=DELAYED\nbitmap: 2/2 pages [8KB], 65536KB chunk\n\nmd1 : active raid1 sdb1[1]\nnonsense\n9 blocks [2/1] [_U]\n";
    let arrays = parse(text);
    assert_eq!(
        (arrays[0].disks, arrays[0].size_kib, arrays[0].progress.is_some()),
        (Some((2, 2)), Some(242_781_120), true)
    );
    // What is not understood may have been the name of another array.
    assert_eq!((arrays[1].disks, arrays[1].size_kib), (None, None));
}

#[test]
fn an_array_whose_name_is_damaged_does_not_speak_for_the_one_before() {
    let text = "md0 : active raid1 a[0] b[1]\n      9 blocks [2/2] [UU]\n      \tresync=PENDING\n \u{1}md1 : active raid1 c[0]\n      5 blocks [2/1] [U_]\n      \tresync=DELAYED\n";
    let entry = one(text);
    assert_eq!((entry.size_kib, entry.disks), (Some(9), Some((2, 2))));
    let Some(Progress::Waiting { wait, .. }) = entry.progress else { panic!() };
    assert_eq!(wait, Said::Known(Wait::Pending));
}

/// Found here, by printing all that the kernel can print.
#[test]
fn a_hundred_percent_leaves_no_room_for_a_blank() {
    let text = "md0 : active raid1 sdb1[1] sda1[0]\n      9 blocks super 1.2 [2/2] [UU]\n      [====================>]  resync =100.0% (1000/1000) finish=0.0min speed=114K/sec\n";
    assert_eq!(
        (seen(text).state, seen(text).doing.and_then(|d| d.share).map(|s| s.done.percent())),
        (State::Synchronising, Some(100.0))
    );
}
