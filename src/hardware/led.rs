//! What the lights show, who of several reasons has a light, and how lights come back to what they were. A core: reading
//! and writing sysfs is `io`'s.
//!
//! Inputs: everything that lights can tell, as one value. Outputs: actions, in the order in which they are to be carried
//! out. The agent takes a light only while it has something to show, remembers brightness and trigger first (writing 0 to
//! `brightness` removes the trigger: kernel, Documentation/ABI/testing/sysfs-class-led), and gives both back. A light that
//! the description gives to the kernel is never in a panel.

use crate::board::description::{BAYS_MAX, Description};

/// Lights that can be driven: one of each bay, fault, status, and some to spare.
pub const LIGHTS_MAX: usize = 16;

/// What a light shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Nothing to say: it is as it was found.
    AsFound,
    /// Dark, because the lamp it is part of shows something else.
    Off,
    /// Steady.
    On,
    /// On and off, for this many milliseconds each.
    Blink(u16),
}

/// Half a period of the light that helps to find the box: fast, to be seen across a room.
const IDENTIFY: Show = Show::Blink(125);
/// Half a period of the light that tells of a damaged store: slow, unlike a failed disk's steady light.
const STORE: Show = Show::Blink(1000);

/// Which light.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The fault light of the box as a whole.
    Box,
    /// The light that shows the box at work.
    Status,
    /// The fault light of one bay.
    Bay(u8),
}

/// What is to be done to a light.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Remember brightness and trigger. Comes before the first `Set`.
    Save(String),
    /// Take the trigger off and show this.
    Set(String, Show),
    /// Give it back as it was remembered.
    Restore(String),
}

/// A light of the board that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Light {
    place: Place,
    name: String,
    shows: Show,
}

/// What is wrong with the arrays, as far as lights can tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Anything at all.
    pub any: bool,
    /// These bays have a disk that the kernel has given up.
    pub bays: Vec<u8>,
}

/// Everything that lights can tell, the most urgent first: each light shows the first that concerns it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Somebody looks for the box: every light of the panel.
    pub identify: bool,
    /// Arrays: the box's light, and those of the bays.
    pub faults: Faults,
    /// The store cannot be read: the box's light.
    pub store_corrupt: bool,
}

/// The lights of one box.
#[derive(Clone, Debug, Default)]
pub struct Panel {
    lights: Vec<Light>,
    one_lamp: bool,
}

impl Panel {
    /// The board's lights that `present` has, each by the first of its names that is there. A board without a fault light of
    /// its own shows the fault on every bay's.
    pub fn new(board: &Description, present: &[String]) -> Self {
        let there =
            |names: &[String]| names.iter().find(|n| present.contains(n) && !board.is_kernels(n)).cloned();
        let bays = board.bays.iter().take(BAYS_MAX).map(|b| (Place::Bay(b.number), &b.fault_led));
        let all =
            [(Place::Box, &board.fault_led), (Place::Status, &board.status_led)].into_iter().chain(bays);
        let found = all.filter_map(|(place, names)| Some((place, there(names)?)));
        let lights = found.map(|(place, name)| Light { place, name, shows: Show::AsFound });
        Self { lights: lights.take(LIGHTS_MAX).collect(), one_lamp: board.one_lamp }
    }

    /// The conditions changed: what to do. Nothing is done twice.
    pub fn handle_conditions(&mut self, conditions: &Conditions) -> Vec<Action> {
        let has_box = self.lights.iter().any(|l| l.place == Place::Box);
        let one_lamp = self.one_lamp;
        let mut actions = Vec::new();
        for light in &mut self.lights {
            let shows = wanted(light.place, conditions, has_box, one_lamp);
            if light.shows == shows {
                continue;
            }
            if light.shows == Show::AsFound {
                actions.push(Action::Save(light.name.clone()));
            }
            light.shows = shows;
            actions.push(match shows {
                Show::AsFound => Action::Restore(light.name.clone()),
                Show::Off | Show::On | Show::Blink(_) => Action::Set(light.name.clone(), shows),
            });
        }
        actions
    }

    /// As [`Panel::handle_conditions`] with nothing but faults.
    pub fn handle_faults(&mut self, faults: &Faults) -> Vec<Action> {
        self.handle_conditions(&Conditions { faults: faults.clone(), ..Conditions::default() })
    }

    /// The agent ends: everything back as it was found.
    pub fn handle_end(&mut self) -> Vec<Action> {
        self.handle_conditions(&Conditions::default())
    }

    /// Whether the board has no light that could show a fault.
    pub fn is_empty(&self) -> bool {
        self.lights.iter().all(|l| l.place == Place::Status)
    }
}

/// Who has the light.
fn wanted(place: Place, conditions: &Conditions, has_box: bool, one_lamp: bool) -> Show {
    let Conditions { identify, faults, store_corrupt } = conditions;
    // Without a light of the box, what no bay is to blame for is on all of them.
    let general = if faults.any {
        Show::On
    } else if *store_corrupt {
        STORE
    } else {
        Show::AsFound
    };
    match place {
        Place::Box if *identify => IDENTIFY,
        Place::Box => general,
        // Part of the same lamp, it would mix its colour with the fault's.
        Place::Status if one_lamp && has_box && (*identify || general != Show::AsFound) => Show::Off,
        Place::Status if *identify && !has_box => IDENTIFY,
        Place::Status => Show::AsFound,
        Place::Bay(_) if *identify => IDENTIFY,
        Place::Bay(number) if faults.bays.contains(&number) => Show::On,
        Place::Bay(_) if !has_box && faults.bays.is_empty() => general,
        Place::Bay(_) => Show::AsFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::builtin;

    const SIM: [&str; 6] = [
        "sim:red:fault",
        "sim:green:status",
        "sim:red:hdd1",
        "sim:red:hdd2",
        "sim:blue:hdd1",
        "sim:blue:hdd2",
    ];

    fn panel(id: &str, present: &[&str]) -> Panel {
        let board = builtin::all().into_iter().find(|b| b.id == id).unwrap();
        Panel::new(&board, &present.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>())
    }

    /// Actions as text: `+` save, `=` restore, or what is set.
    fn told(actions: &[Action]) -> Vec<String> {
        let tell = |action: &Action| match action {
            Action::Save(name) => format!("+{name}"),
            Action::Set(name, Show::On) => format!("{name} on"),
            Action::Set(name, Show::Off) => format!("{name} off"),
            Action::Set(name, Show::Blink(ms)) => format!("{name} blink {ms}"),
            Action::Set(name, Show::AsFound) => format!("{name}: a restore in disguise"),
            Action::Restore(name) => format!("={name}"),
        };
        actions.iter().map(tell).collect()
    }

    fn faults(bays: &[u8]) -> Conditions {
        Conditions { faults: Faults { any: true, bays: bays.to_vec() }, ..Conditions::default() }
    }

    #[test]
    fn a_fault_lights_the_box_and_the_bay_and_goes_back() {
        let mut panel = panel("sim", &SIM);
        let actions = told(&panel.handle_conditions(&faults(&[2])));
        assert_eq!(actions, ["+sim:red:fault", "sim:red:fault on", "+sim:red:hdd2", "sim:red:hdd2 on"]);
        assert_eq!(panel.handle_conditions(&faults(&[2])), [], "nothing is written twice");
        assert_eq!(told(&panel.handle_end()), ["=sim:red:fault", "=sim:red:hdd2"]);
        assert_eq!(panel.handle_end(), []);
    }

    #[test]
    fn a_board_without_a_fault_light_uses_those_of_its_bays() {
        let mut panel = panel("wd-cloud-mirror-gen2", &["red:hdd1", "red:hdd2", "blue:hdd1"]);
        assert_eq!(told(&panel.handle_conditions(&faults(&[1]))), ["+red:hdd1", "red:hdd1 on"]);
        assert_eq!(told(&panel.handle_conditions(&faults(&[]))), ["+red:hdd2", "red:hdd2 on"]);
        let store = Conditions { store_corrupt: true, ..Conditions::default() };
        assert_eq!(told(&panel.handle_conditions(&store)), ["red:hdd1 blink 1000", "red:hdd2 blink 1000"]);
    }

    #[test]
    fn the_more_urgent_has_the_light_and_the_other_gets_it_back() {
        let mut panel = panel("kobol-helios64", &["helios64:red:fault"]);
        let mut now = Conditions { store_corrupt: true, ..Conditions::default() };
        assert_eq!(
            told(&panel.handle_conditions(&now)),
            ["+helios64:red:fault", "helios64:red:fault blink 1000"]
        );
        now.faults.any = true;
        assert_eq!(told(&panel.handle_conditions(&now)), ["helios64:red:fault on"]);
        now.identify = true;
        assert_eq!(told(&panel.handle_conditions(&now)), ["helios64:red:fault blink 125"]);
        now = Conditions { store_corrupt: true, ..Conditions::default() };
        assert_eq!(told(&panel.handle_conditions(&now)), ["helios64:red:fault blink 1000"]);
        assert_eq!(told(&panel.handle_end()), ["=helios64:red:fault"]);
    }

    #[test]
    fn the_kernels_lights_are_never_touched() {
        let mut panel = panel("sim", &SIM);
        let mut all = faults(&[1, 2]);
        (all.identify, all.store_corrupt) = (true, true);
        let actions = told(&panel.handle_conditions(&all));
        assert!(!actions.is_empty() && !actions.iter().any(|a| a.contains("blue")), "{actions:?}");
        let mut board = builtin::all().into_iter().find(|b| b.id == "sim").unwrap();
        board.kernel_led = board.fault_led.clone();
        let present = ["sim:red:fault".to_owned()];
        assert!(Panel::new(&board, &present).is_empty(), "not even if the agent's list has it too");
    }

    #[test]
    fn one_lamp_does_not_mix_colours() {
        let mut board = builtin::all().into_iter().find(|b| b.id == "sim").unwrap();
        board.one_lamp = true;
        let mut panel = Panel::new(&board, &SIM[..2].iter().map(|p| (*p).to_owned()).collect::<Vec<_>>());
        let actions = told(&panel.handle_conditions(&faults(&[])));
        assert_eq!(
            actions,
            ["+sim:red:fault", "sim:red:fault on", "+sim:green:status", "sim:green:status off"]
        );
        assert_eq!(told(&panel.handle_end()), ["=sim:red:fault", "=sim:green:status"]);
    }

    #[test]
    fn lights_that_are_not_there_are_left_out() {
        assert!(panel("sim", &["led0"]).is_empty());
        assert!(panel("sim", &["sim:green:status"]).is_empty(), "a status light shows no fault");
    }

    #[test]
    fn every_saved_light_is_restored_whatever_came_between() {
        // All subsets of conditions, from each to each.
        let all: Vec<Conditions> = (0..16u8)
            .map(|bits| Conditions {
                identify: bits & 1 != 0,
                store_corrupt: bits & 2 != 0,
                faults: Faults { any: bits & 4 != 0, bays: if bits & 8 != 0 { vec![1] } else { vec![] } },
            })
            .collect();
        for (a, b) in all.iter().flat_map(|a| all.iter().map(move |b| (a, b))) {
            let mut panel = panel("sim", &SIM);
            let mut actions = panel.handle_conditions(a);
            actions.extend(panel.handle_conditions(b));
            actions.extend(panel.handle_end());
            let mut held: Vec<&String> = Vec::new();
            for action in &actions {
                match action {
                    Action::Save(name) => held.push(name),
                    Action::Set(name, _) => assert!(held.contains(&name), "set without save"),
                    Action::Restore(name) => held.retain(|h| *h != name),
                }
            }
            assert!(held.is_empty(), "{a:?} then {b:?} leaves {held:?}");
        }
    }
}
