//! Events by mdadm's names: by table, and by lives that are put together from what they tell.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::select;

use crate::array::event::{Happened, Name, at_first, between};
use crate::array::state::{Array, Doing, Expectation, Share, State, understand};
use crate::array::sysfs::{MemberTexts, Texts, Work};
use crate::units::PerMille;

fn member(device: &str, state: &str) -> MemberTexts {
    MemberTexts { device: device.into(), state: state.into(), ..MemberTexts::default() }
}

/// A mirror of two with these members: `sda+` in sync, `sda-` given up, `sda` standing by.
fn mirror(name: &str, members: &str) -> Array {
    let members: Vec<MemberTexts> = members
        .split_whitespace()
        .map(|m| match (m.strip_suffix('+'), m.strip_suffix('-')) {
            (Some(device), _) => member(device, "in_sync"),
            (_, Some(device)) => member(device, "faulty"),
            (None, None) => member(m, "spare"),
        })
        .collect();
    let working = members.iter().filter(|m| m.is_working()).count();
    let texts = Texts {
        array_state: Some("clean".into()),
        level: Some("raid1".into()),
        raid_disks: Some("2".into()),
        degraded: Some(2usize.saturating_sub(working).to_string()),
        members,
        ..Texts::default()
    };
    understand(name, texts, None, &Expectation::default()).unwrap()
}

fn at(mut array: Array, work: Work, per_mille: Option<u64>) -> Array {
    let share =
        per_mille.map(|done| Share { done: PerMille::of(done, 1000).unwrap(), left: None, speed_kib: None });
    array.doing = Some(Doing { work, share });
    array
}

fn words(happened: Vec<Happened>) -> Vec<String> {
    let word = |h: Happened| match h.device {
        Some(device) => format!("{} {} {device}", h.name.text(), h.array),
        None => format!("{} {}", h.name.text(), h.array),
    };
    happened.into_iter().map(word).collect()
}

#[track_caller]
fn check(before: &[Array], after: &[Array], expect: &[&str]) {
    assert_eq!(words(between(before, after)), expect);
}

#[test]
fn each_name_means_what_mdadm_means_by_it() {
    let whole = || mirror("md0", "sda+ sdb+");
    check(&[], &[whole()], &["NewArray md0"]);
    check(&[], &[mirror("md0", "sda+")], &["NewArray md0", "DegradedArray md0"]);
    check(&[], &[at(whole(), Work::Resync, Some(10))], &["NewArray md0", "RebuildStarted md0"]);
    check(&[whole()], &[], &["DeviceDisappeared md0"]);
    check(&[whole()], &[whole()], &[]);
    check(&[whole()], &[mirror("md0", "sda+ sdb-")], &["Fail md0 sdb"]);
    check(&[whole()], &[mirror("md0", "sda+")], &["Fail md0 sdb"]);
    check(&[mirror("md0", "sda+ sdb-")], &[mirror("md0", "sda+")], &[]);
    check(&[mirror("md0", "sda+ sdb")], &[mirror("md0", "sda+ sdb-")], &["FailSpare md0 sdb"]);
    check(&[mirror("md0", "sda+ sdb")], &[mirror("md0", "sda+")], &[]);
    check(&[mirror("md0", "sda+")], &[mirror("md0", "sda+ sdb")], &[]);
    check(&[mirror("md0", "sda+ sdb")], &[whole()], &["SpareActive md0 sdb"]);
    check(&[mirror("md0", "sda+")], &[whole()], &["SpareActive md0 sdb"]);
}

#[test]
fn a_disk_that_was_pulled_fails_once() {
    let mut pulled = mirror("md0", "sda+ sdb+");
    pulled.members[1].gone = true;
    check(&[mirror("md0", "sda+ sdb+")], &[pulled.clone()], &["Fail md0 sdb"]);
    // md notices.
    check(&[pulled], &[mirror("md0", "sda+ sdb-")], &[]);
}

#[test]
fn progress_is_told_by_steps_of_twenty() {
    let whole = || mirror("md0", "sda+ sdb+");
    let of = |work, share| [at(whole(), work, share)];
    let check_at = |share| of(Work::Check, Some(share));
    check(&[whole()], &check_at(0), &["RebuildStarted md0"]);
    check(&[whole()], &check_at(450), &["RebuildStarted md0", "Rebuild40 md0"]);
    check(&check_at(0), &check_at(199), &[]);
    check(&check_at(199), &check_at(200), &["Rebuild20 md0"]);
    check(&check_at(200), &check_at(399), &[]);
    check(&check_at(399), &check_at(400), &["Rebuild40 md0"]);
    check(&check_at(599), &check_at(600), &["Rebuild60 md0"]);
    check(&check_at(100), &check_at(900), &["Rebuild80 md0"]);
    check(&check_at(800), &check_at(1000), &[]);
    check(&check_at(900), &[whole()], &["RebuildFinished md0"]);
    // What waits has not begun.
    check(&[whole()], &of(Work::Resync, None), &[]);
    check(&of(Work::Resync, None), &of(Work::Resync, Some(10)), &["RebuildStarted md0"]);
    // Another work, or the same from its beginning.
    check(&check_at(900), &of(Work::Repair, Some(10)), &["RebuildFinished md0", "RebuildStarted md0"]);
    check(&check_at(900), &check_at(10), &["RebuildFinished md0", "RebuildStarted md0"]);
}

#[test]
fn a_spare_that_moves_is_followed() {
    let before = [mirror("md0", "sda+ sdb+ sdc"), mirror("md1", "sdd+")];
    check(&before, &[mirror("md0", "sda+ sdb+"), mirror("md1", "sdd+ sdc")], &["MoveSpare md1 md0"]);
    check(&before, &[mirror("md0", "sda+ sdb+ sdc"), mirror("md1", "sdd+ sde")], &[]);
    check(&before, &[mirror("md0", "sda+ sdb+ sdc"), mirror("md1", "sdd+ sdc")], &[]);
}

#[test]
fn the_first_look_tells_what_mdadm_would_at_its_start() {
    let degraded = mirror("md1", "sda+");
    let mut lacking = mirror("md2", "sda+ sdb+");
    lacking.spares_missing = 1;
    let mut stopped = mirror("md3", "sda+");
    stopped.state = State::Inactive;
    let rebuilding = at(mirror("md4", "sda+ sdb"), Work::Recover, Some(10));
    let rebuilding = Array { state: State::Rebuilding, ..rebuilding };
    let by_design = Array { state: State::SingleDisk, ..mirror("md5", "sda+") };
    let all = [mirror("md0", "sda+ sdb+"), degraded, lacking, stopped, rebuilding, by_design];
    assert_eq!(words(at_first(&all)), ["DegradedArray md1", "SparesMissing md2", "DegradedArray md4"]);
}

#[test]
fn an_array_that_stops_is_gone_and_its_disks_did_not_fail() {
    let stopped = || Array { state: State::Inactive, ..mirror("md0", "sda sdb") };
    check(&[mirror("md0", "sda+ sdb+")], &[stopped()], &["DeviceDisappeared md0"]);
    check(&[stopped()], &[mirror("md0", "sda+ sdb+")], &["NewArray md0"]);
}

/// An array at a look, or that it is not there.
fn moment() -> impl Strategy<Value = Option<Array>> {
    let member = (select(vec!["sda", "sdb", "sdc"]), select(vec!["+", "-", ""]));
    let members = proptest::collection::vec(member, 0..4).prop_map(|mut all| {
        all.sort_unstable();
        all.dedup_by_key(|(device, _)| *device);
        all.into_iter().map(|(device, sign)| format!("{device}{sign} ")).collect::<String>()
    });
    let doing =
        proptest::option::of((select(vec![Work::Check, Work::Recover]), proptest::option::of(0u64..1000)));
    (members, doing, any::<bool>(), 0..8).prop_map(|(members, doing, inactive, there)| {
        let mut array = mirror("md0", &members);
        if let Some((work, share)) = doing {
            array = at(array, work, share);
        }
        if inactive && there == 1 {
            array.state = State::Inactive;
        }
        (there > 0).then_some(array)
    })
}

/// What is known of an array from events alone.
#[derive(Default)]
struct Told {
    there: bool,
    working: BTreeSet<String>,
    runs: bool,
    steps: Vec<Name>,
}

proptest! {
    /// Who follows the events knows at every moment which disks carry data and whether something runs.
    #[test]
    fn a_life_can_be_told_from_its_events(life in proptest::collection::vec(moment(), 1..12)) {
        let mut told = Told::default();
        let mut before: Vec<Array> = Vec::new();
        for now in life {
            let after: Vec<Array> = now.into_iter().collect();
            for happened in between(&before, &after) {
                prop_assert_eq!(happened.array.as_str(), "md0");
                match (happened.name, happened.device) {
                    (Name::NewArray, None) => {
                        prop_assert!(!told.there);
                        let working = after[0].members.iter().filter(|m| m.is_working());
                        let working = working.map(|m| m.device.clone()).collect();
                        told = Told { there: true, working, ..Told::default() };
                    }
                    (Name::DeviceDisappeared, None) => {
                        prop_assert!(told.there);
                        told = Told::default();
                    }
                    (Name::Fail, Some(device)) => prop_assert!(told.working.remove(&device)),
                    (Name::SpareActive, Some(device)) => prop_assert!(told.working.insert(device)),
                    (Name::FailSpare, Some(device)) => prop_assert!(!told.working.contains(&device)),
                    (Name::RebuildStarted, None) => {
                        prop_assert!(!told.runs);
                        (told.runs, told.steps) = (true, Vec::new());
                    }
                    (Name::RebuildFinished, None) => {
                        prop_assert!(told.runs);
                        told.runs = false;
                    }
                    (step @ (Name::Rebuild20 | Name::Rebuild40 | Name::Rebuild60 | Name::Rebuild80), None) => {
                        prop_assert!(told.runs && told.steps.iter().all(|s| s.text() < step.text()));
                        told.steps.push(step);
                    }
                    (Name::DegradedArray, None) => prop_assert!(after[0].disks_working < 2),
                    other => prop_assert!(false, "{other:?}"),
                }
            }
            let running = after.iter().find(|a| a.is_running());
            prop_assert_eq!(told.there, running.is_some());
            if let Some(array) = running {
                let working: BTreeSet<String> =
                    array.members.iter().filter(|m| m.is_working()).map(|m| m.device.clone()).collect();
                prop_assert_eq!(&told.working, &working);
                prop_assert_eq!(told.runs, array.doing.is_some_and(|d| d.share.is_some()));
            }
            before = after;
        }
    }
}

#[test]
fn names_are_mdadms() {
    let names = [
        Name::NewArray,
        Name::DegradedArray,
        Name::SparesMissing,
        Name::DeviceDisappeared,
        Name::Fail,
        Name::FailSpare,
        Name::SpareActive,
        Name::MoveSpare,
        Name::RebuildStarted,
        Name::Rebuild20,
        Name::Rebuild40,
        Name::Rebuild60,
        Name::Rebuild80,
        Name::RebuildFinished,
    ];
    let texts: BTreeMap<&str, ()> = names.iter().map(|n| (n.text(), ())).collect();
    // mdadm.8, "MONITOR MODE": all but TestMessage; RebuildNN with the increment that it has by itself.
    let manual = "DegradedArray DeviceDisappeared Fail FailSpare MoveSpare NewArray Rebuild20 Rebuild40 Rebuild60 Rebuild80 \
        RebuildFinished RebuildStarted SpareActive SparesMissing";
    assert_eq!(texts.into_keys().collect::<Vec<_>>().join(" "), manual);
}
