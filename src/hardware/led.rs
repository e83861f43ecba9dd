//! What the fault lights show, and how they come back to what they were. A core: reading and writing sysfs is `io`'s.
//!
//! The agent takes a light only while it has something to show, remembers brightness and trigger as it found them (writing
//! 0 to `brightness` removes the trigger: kernel, Documentation/ABI/testing/sysfs-class-led), and gives both back.

use crate::board::description::Description;

/// Lights that can be driven.
pub const LIGHTS_MAX: usize = 16;

/// What a light shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Nothing to say: it is as it was found.
    AsFound,
    /// A fault.
    Fault,
}

/// Which light.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Of the box as a whole.
    Box,
    /// Of one bay.
    Bay(u8),
}

/// What is to be done to a light.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Remember how it is, take the trigger off, light it.
    Light(String),
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

/// What is wrong with the box, as far as lights can tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Anything at all.
    pub any: bool,
    /// These bays have a disk that the kernel has given up.
    pub bays: Vec<u8>,
}

/// The lights of one box.
#[derive(Clone, Debug, Default)]
pub struct Panel {
    lights: Vec<Light>,
}

impl Panel {
    /// The board's lights that `present` has, each by the first of its names that is there. A board without a fault light of
    /// its own shows the fault on every bay's.
    pub fn new(board: &Description, present: &[String]) -> Self {
        let there = |names: &[String]| names.iter().find(|n| present.contains(n)).cloned();
        let mut lights = Vec::new();
        if let Some(name) = there(&board.fault_led) {
            lights.push(Light { place: Place::Box, name, shows: Show::AsFound });
        }
        for bay in &board.bays {
            if let Some(name) = there(&bay.fault_led) {
                lights.push(Light { place: Place::Bay(bay.number), name, shows: Show::AsFound });
            }
        }
        lights.truncate(LIGHTS_MAX);
        Self { lights }
    }

    /// The faults changed: what to do.
    pub fn handle_faults(&mut self, faults: &Faults) -> Vec<Action> {
        let has_box = self.lights.iter().any(|l| l.place == Place::Box);
        let no_bay = faults.bays.is_empty();
        let wanted = |place: Place| match place {
            Place::Box => faults.any,
            Place::Bay(number) => faults.bays.contains(&number) || faults.any && no_bay && !has_box,
        };
        let mut actions = Vec::new();
        for light in &mut self.lights {
            let shows = if wanted(light.place) { Show::Fault } else { Show::AsFound };
            if light.shows != shows {
                light.shows = shows;
                actions.push(match shows {
                    Show::Fault => Action::Light(light.name.clone()),
                    Show::AsFound => Action::Restore(light.name.clone()),
                });
            }
        }
        actions
    }

    /// The agent ends: everything back as it was found.
    pub fn handle_end(&mut self) -> Vec<Action> {
        self.handle_faults(&Faults::default())
    }

    /// Whether the board has a light that could show a fault.
    pub fn is_empty(&self) -> bool {
        self.lights.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::builtin;

    fn panel(id: &str, present: &[&str]) -> Panel {
        let board = builtin::all().into_iter().find(|b| b.id == id).unwrap();
        Panel::new(&board, &present.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>())
    }

    fn light(name: &str) -> Action {
        Action::Light(name.into())
    }

    #[test]
    fn a_fault_lights_the_box_and_the_bay_and_goes_back() {
        let mut panel = panel("sim", &["sim:red:fault", "sim:red:hdd1", "sim:red:hdd2"]);
        let faults = Faults { any: true, bays: vec![2] };
        assert_eq!(panel.handle_faults(&faults), [light("sim:red:fault"), light("sim:red:hdd2")]);
        assert_eq!(panel.handle_faults(&faults), [], "nothing is written twice");
        let back = panel.handle_end();
        assert_eq!(back, [Action::Restore("sim:red:fault".into()), Action::Restore("sim:red:hdd2".into())]);
        assert_eq!(panel.handle_end(), []);
    }

    #[test]
    fn a_board_without_a_fault_light_uses_those_of_its_bays() {
        let mut panel = panel("wd-cloud-mirror-gen2", &["red:hdd1", "red:hdd2", "blue:hdd1"]);
        assert_eq!(panel.handle_faults(&Faults { any: true, bays: vec![1] }), [light("red:hdd1")]);
        assert_eq!(panel.handle_faults(&Faults { any: true, bays: vec![] }), [light("red:hdd2")]);
    }

    #[test]
    fn lights_that_are_not_there_are_left_out() {
        assert!(panel("sim", &["led0"]).is_empty());
    }
}
