//! Tables and properties of the light policy and the panel.

use super::policy::{Arrays, Bay, Class, Cloud, lamp, shows};
use super::*;
use crate::board::builtin;
use crate::board::description::{Colour, Mcu, McuKind, Tint};

const SIM: [&str; 6] =
    ["sim:red:fault", "sim:green:status", "sim:red:hdd1", "sim:red:hdd2", "sim:blue:hdd1", "sim:blue:hdd2"];

fn board(id: &str) -> Description {
    builtin::all().into_iter().find(|b| b.id == id).unwrap()
}

fn panel_of(board: &Description, present: &[&str]) -> Panel {
    Panel::new(board, &present.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>())
}

fn panel(id: &str, present: &[&str]) -> Panel {
    panel_of(&board(id), present)
}

/// Actions as text: `+` save, `=` restore, or what is set.
fn told(actions: &[Action]) -> Vec<String> {
    let tell = |action: &Action| match action {
        Action::Save(name) => format!("+{name}"),
        Action::Set(name, Show::AsFound) => format!("{name}: a restore in disguise"),
        Action::Set(name, show) => format!("{name} {}", show.name()),
        Action::Restore(name) => format!("={name}"),
        Action::Lamp(lamp) => format!("lamp {}", lamp.name()),
    };
    actions.iter().map(tell).collect()
}

fn arrays(failed: bool, degraded: bool, rebuilding: bool, bays: &[(u8, Bay)]) -> Conditions {
    let arrays = Arrays { failed, degraded, rebuilding, bays: bays.to_vec() };
    Conditions { arrays, ..Conditions::default() }
}

fn degraded(bays: &[(u8, Bay)]) -> Conditions {
    arrays(false, true, false, bays)
}

fn cloud(cloud: Cloud) -> Conditions {
    Conditions { cloud, ..Conditions::default() }
}

/// Every combination of what can hold: 3 × 8 × 4 × 2 × 2 × 6.
fn all() -> Vec<Conditions> {
    let clouds = [
        Cloud::Unwanted,
        Cloud::Starting,
        Cloud::Connecting,
        Cloud::Online,
        Cloud::Offline(Class::Local),
        Cloud::Offline(Class::Account),
    ];
    let bays: [&[(u8, Bay)]; 4] =
        [&[], &[(1, Bay::Lost)], &[(2, Bay::Rebuilding)], &[(1, Bay::Rebuilding), (2, Bay::Lost)]];
    let mut found = Vec::new();
    for identify in [None, Some(Target::Box), Some(Target::Bay(1))] {
        for (bits, bays) in (0..32u8).flat_map(|bits| bays.map(move |b| (bits, b))) {
            let bit = |n: u8| bits & (1 << n) != 0;
            for cloud in clouds {
                found.push(Conditions {
                    identify,
                    store_corrupt: bit(3),
                    pairing: bit(4),
                    cloud,
                    ..arrays(bit(0), bit(1), bit(2), bays)
                });
            }
        }
    }
    found
}

const TWO: Means = Means { fault: true, status: true, one_lamp: false, bay_fault: true, all_bays: true };
const ONE_LAMP: Means = Means { one_lamp: true, ..TWO };

/// Each condition by itself: fault, status, bay 1, lamp.
#[test]
fn each_condition_has_its_lights() {
    use Show::{AsFound, Double, Fast, Flash, On, Slow, Wink};
    let lost = [(1, Bay::Lost)];
    let new = [(1, Bay::Rebuilding)];
    let store = Conditions { store_corrupt: true, ..Conditions::default() };
    let pairing = Conditions { pairing: true, ..Conditions::default() };
    let identify = |target| Conditions { identify: Some(target), ..Conditions::default() };
    for (conditions, fault, status, bay, expect) in [
        (Conditions::default(), AsFound, AsFound, AsFound, Lamp::Blue),
        (cloud(Cloud::Starting), AsFound, Slow, AsFound, Lamp::BlueFade),
        (cloud(Cloud::Connecting), AsFound, Slow, AsFound, Lamp::BlueFade),
        (cloud(Cloud::Online), AsFound, On, AsFound, Lamp::Blue),
        (cloud(Cloud::Offline(Class::Local)), AsFound, Flash, AsFound, Lamp::BlueBlink),
        (cloud(Cloud::Offline(Class::Names)), AsFound, Wink, AsFound, Lamp::BlueBlink),
        (cloud(Cloud::Offline(Class::Time)), AsFound, Wink, AsFound, Lamp::BlueBlink),
        (cloud(Cloud::Offline(Class::Broker)), AsFound, Wink, AsFound, Lamp::BlueBlink),
        (cloud(Cloud::Offline(Class::Account)), AsFound, Wink, AsFound, Lamp::BlueBlink),
        (pairing, AsFound, Double, AsFound, Lamp::OrangeBlink),
        (arrays(false, false, true, &new), Flash, AsFound, Flash, Lamp::Orange),
        (store, Slow, AsFound, AsFound, Lamp::RedBlink),
        (degraded(&lost), On, AsFound, On, Lamp::Red),
        (arrays(true, false, false, &[]), Double, AsFound, AsFound, Lamp::RedBlink),
        (identify(Target::Box), Fast, Fast, Fast, Lamp::OrangeBlink),
        (identify(Target::Bay(1)), AsFound, AsFound, Fast, Lamp::Blue),
        (identify(Target::Bay(2)), AsFound, AsFound, AsFound, Lamp::Blue),
    ] {
        let found = [Place::Box, Place::Status, Place::Bay(1)].map(|p| shows(p, &conditions, TWO));
        assert_eq!((found, lamp(&conditions)), ([fault, status, bay], expect), "{conditions:?}");
    }
}

#[test]
fn the_more_urgent_has_the_fault_light() {
    let mut now = arrays(true, true, true, &[]);
    (now.store_corrupt, now.identify) = (true, Some(Target::Box));
    let mut seen = Vec::new();
    let mut look = |now: &Conditions| seen.push((shows(Place::Box, now, TWO), lamp(now)));
    look(&now);
    now.identify = None;
    look(&now);
    now.arrays.failed = false;
    look(&now);
    now.arrays.degraded = false;
    look(&now);
    now.store_corrupt = false;
    look(&now);
    let expect = [
        (Show::Fast, Lamp::OrangeBlink),
        (Show::Double, Lamp::RedBlink),
        (Show::On, Lamp::Red),
        (Show::Slow, Lamp::RedBlink),
        (Show::Flash, Lamp::Orange),
    ];
    assert_eq!(seen, expect);
}

#[test]
fn bays_stand_in_for_the_box_only_together() {
    let bare = Means { fault: false, ..TWO };
    let general = degraded(&[]);
    assert_eq!(shows(Place::Bay(1), &general, bare), Show::On);
    let some = Means { all_bays: false, ..bare };
    assert_eq!(shows(Place::Bay(1), &general, some), Show::AsFound, "the disk may be in another bay");
    assert_eq!(shows(Place::Bay(1), &degraded(&[(1, Bay::Lost)]), some), Show::On, "its own it shows");
}

#[test]
fn being_offline_never_lights_a_fault_light() {
    for conditions in all().into_iter().filter(|c| c.identify.is_none()) {
        let same = |cloud| Conditions { cloud, ..conditions.clone() };
        let (online, offline) = (same(Cloud::Online), same(Cloud::Offline(Class::Local)));
        for place in [Place::Box, Place::Bay(1), Place::Bay(2)] {
            for means in [TWO, ONE_LAMP, Means::default()] {
                assert_eq!(shows(place, &online, means), shows(place, &offline, means), "{conditions:?}");
            }
        }
        let red = |c: &Conditions| matches!(lamp(c), Lamp::Red | Lamp::RedBlink);
        assert_eq!(red(&online), red(&offline));
    }
}

#[test]
fn one_lamp_shows_one_colour_at_a_time() {
    let dark = |show| matches!(show, Show::Off);
    for conditions in all() {
        let (fault, status) =
            (shows(Place::Box, &conditions, ONE_LAMP), shows(Place::Status, &conditions, ONE_LAMP));
        let both_as_found = fault == Show::AsFound && status == Show::AsFound;
        assert!(dark(fault) != dark(status) || both_as_found, "{conditions:?}: {fault:?}, {status:?}");
    }
}

#[test]
fn a_colour_goes_out_before_the_other_comes_on() {
    let mut board = board("sim");
    board.one_lamp = true;
    let mut panel = panel_of(&board, &SIM[..2]);
    panel.handle_conditions(&degraded(&[]));
    let online = told(&panel.handle_conditions(&cloud(Cloud::Online)));
    assert_eq!(online, ["sim:red:fault dark", "sim:green:status steady"]);
    assert_eq!(told(&panel.handle_end()), ["=sim:red:fault", "=sim:green:status"]);
}

#[test]
fn the_third_colour_of_a_lamp_is_dark_while_one_of_the_others_says_something() {
    let mut board = board("sim");
    board.one_lamp = true;
    let tint = |colour, name: &str| Tint { colour, names: vec![name.to_owned()] };
    board.colours =
        vec![tint(Colour::Red, SIM[0]), tint(Colour::Green, SIM[1]), tint(Colour::Blue, "sim:blue:lamp")];
    let mut panel = panel_of(&board, &[SIM[0], SIM[1], "sim:blue:lamp"]);
    let actions = told(&panel.handle_conditions(&degraded(&[])));
    let dark = ["+sim:green:status", "sim:green:status dark", "+sim:blue:lamp", "sim:blue:lamp dark"];
    assert_eq!(actions, [&dark[..], &["+sim:red:fault", "sim:red:fault steady"]].concat());
    assert_eq!(panel.can_show(Target::Box), Ok(1), "red would tell of a fault");
    let actions = told(&panel.handle_conditions(&Conditions::default()));
    assert_eq!(actions, ["=sim:red:fault", "=sim:green:status", "=sim:blue:lamp"]);
}

#[test]
fn the_light_of_a_bay_that_is_well_goes_out_beside_its_fault_light() {
    let mut board = board("sim");
    for (bay, name) in board.bays.iter_mut().zip(["sim:ok:1", "sim:ok:2"]) {
        bay.ok_led = vec![name.to_owned()];
    }
    board.bays[0].fault_led.clear();
    let mut panel = panel_of(&board, &["sim:red:hdd2", "sim:ok:1", "sim:ok:2"]);
    let actions = told(&panel.handle_conditions(&degraded(&[(1, Bay::Lost), (2, Bay::Lost)])));
    let dark = ["+sim:ok:1", "sim:ok:1 dark", "+sim:ok:2", "sim:ok:2 dark"];
    assert_eq!(actions, [&dark[..], &["+sim:red:hdd2", "sim:red:hdd2 steady"]].concat());
    assert_eq!(panel.can_show(Target::Bay(1)), Ok(1), "for want of a fault light");
    let identify = |bay| Conditions { identify: Some(Target::Bay(bay)), ..Conditions::default() };
    assert!(told(&panel.handle_conditions(&identify(1))).contains(&"sim:ok:1 fast blink".to_owned()));
    assert!(told(&panel.handle_conditions(&identify(2))).contains(&"sim:ok:2 dark".to_owned()));
}

#[test]
fn a_fault_lights_the_box_and_the_bay_and_goes_back() {
    let mut panel = panel("sim", &SIM);
    let now = degraded(&[(2, Bay::Lost)]);
    let actions = told(&panel.handle_conditions(&now));
    assert_eq!(actions, ["+sim:red:fault", "sim:red:fault steady", "+sim:red:hdd2", "sim:red:hdd2 steady"]);
    assert_eq!(panel.handle_conditions(&now), [], "nothing is written twice");
    assert_eq!(told(&panel.handle_end()), ["=sim:red:fault", "=sim:red:hdd2"]);
    assert_eq!(panel.handle_end(), []);
}

#[test]
fn a_board_without_a_fault_light_uses_those_of_its_bays() {
    let mut board = board("wd-cloud-mirror-gen2");
    board.status_led.clear();
    let mut panel = panel_of(&board, &["red:hdd1", "red:hdd2", "blue:hdd1"]);
    let lost = degraded(&[(1, Bay::Lost)]);
    assert_eq!(told(&panel.handle_conditions(&lost)), ["+red:hdd1", "red:hdd1 steady"]);
    assert_eq!(told(&panel.handle_conditions(&degraded(&[]))), ["+red:hdd2", "red:hdd2 steady"]);
    let store = Conditions { store_corrupt: true, ..Conditions::default() };
    assert_eq!(told(&panel.handle_conditions(&store)), ["red:hdd1 slow blink", "red:hdd2 slow blink"]);
}

#[test]
fn the_microcontrollers_lamp_is_the_boxs_fault_light_and_is_left_blue() {
    let mut board = board("wd-cloud-mirror-gen2");
    board.status_led = vec![MCU_LAMP.to_owned()];
    let (kind, tty, has) = (McuKind::Weltrend, Some("ttyS1".to_owned()), vec![McuPart::Lamp]);
    board.mcu = Some(Mcu { kind, tty, has, rpm: None });
    let mut panel = panel_of(&board, &["red:hdd1", "red:hdd2"]);
    let store = Conditions { store_corrupt: true, ..Conditions::default() };
    assert_eq!(told(&panel.handle_conditions(&store)), ["lamp red, blinking"], "no bay is to blame");
    assert_eq!(panel.handle_conditions(&store), [], "nothing is sent twice");
    assert_eq!(told(&panel.handle_end()), ["lamp blue"]);
    assert_eq!(panel.handle_end(), []);
    board.mcu.as_mut().unwrap().kind = McuKind::Vendor;
    assert_eq!(panel_of(&board, &[]).handle_conditions(&store), [], "not if it is not spoken to");
}

#[test]
fn the_kernels_lights_are_in_no_action() {
    let mut board = board("sim");
    board.kernel_led = board.status_led.clone();
    let mut panel = panel_of(&board, &SIM);
    let mut written = Vec::new();
    for conditions in all() {
        for action in panel.handle_conditions(&conditions) {
            let (Action::Save(name) | Action::Set(name, _) | Action::Restore(name)) = action else {
                continue;
            };
            written.push(name);
        }
    }
    assert!(written.iter().any(|n| n == "sim:red:hdd1"));
    let theirs = |n: &&String| n.contains("blue") || *n == "sim:green:status";
    assert_eq!(written.iter().find(theirs), None);
    assert!(!panel.owns("sim:blue:hdd1") && panel.owns("sim:red:hdd1"));
}

#[test]
fn what_can_be_looked_for_has_a_light() {
    let sim = panel("sim", &SIM);
    assert_eq!(sim.can_show(Target::Box), Ok(4));
    assert_eq!(sim.can_show(Target::Bay(2)), Ok(1));
    assert_eq!(sim.can_show(Target::Bay(3)), Err(NoLight::NoBay));
    let bare = panel("sim", &["sim:red:fault"]);
    assert_eq!(bare.can_show(Target::Bay(2)), Err(NoLight::Dark));
    assert_eq!(panel("sim", &[]).can_show(Target::Box), Err(NoLight::Dark));
}

#[test]
fn every_saved_light_is_restored_whatever_came_between() {
    let mut one_lamp = board("sim");
    one_lamp.one_lamp = true;
    let all = all();
    for board in [board("sim"), one_lamp] {
        let mut panel = panel_of(&board, &SIM);
        let mut held: Vec<String> = Vec::new();
        // A walk through all of them with far jumps, ending at every seventh.
        for (n, at) in (0..all.len()).map(|n| (n, n * 1009 % all.len())) {
            let mut actions = panel.handle_conditions(&all[at]);
            if n % 7 == 0 {
                actions.extend(panel.handle_end());
            }
            for action in actions {
                match action {
                    Action::Save(name) => {
                        assert!(!held.contains(&name), "saved twice");
                        held.push(name);
                    }
                    Action::Set(name, _) => assert!(held.contains(&name), "set without save"),
                    Action::Restore(name) => {
                        assert!(held.contains(&name), "restored what was not saved");
                        held.retain(|h| *h != name);
                    }
                    Action::Lamp(_) => panic!("it has none"),
                }
            }
            assert!(n % 7 != 0 || held.is_empty(), "{:?} leaves {held:?}", all[at]);
        }
    }
}
