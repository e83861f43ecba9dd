//! Who has a light, and how lights come back to what they were; what they show is [`policy`]'s. A core: reading and writing
//! sysfs is `io`'s.
//!
//! Inputs: everything that lights can tell, as one value. Outputs: actions, in the order in which they are to be carried
//! out. The agent takes a light only while it has something to show, remembers brightness and trigger first (writing 0 to
//! `brightness` removes the trigger: kernel, Documentation/ABI/testing/sysfs-class-led), and gives both back. A light that
//! the description gives to the kernel is never in a panel.

pub mod blink;
pub mod policy;

pub use crate::board::description::led::MCU_LAMP;

use crate::board::description::{BAYS_MAX, Description, McuPart};
use crate::hardware::mcu::lamp::Lamp;
use policy::{Conditions, Means, Place, Show, Target};

/// Lights that can be driven: two of each bay, fault, status, and the other colours of their lamp.
pub const LIGHTS_MAX: usize = 24;

/// What is to be done to a light.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Remember brightness and trigger. Comes before the first `Set`.
    Save(String),
    /// Take the trigger off and show this.
    Set(String, Show),
    /// Give it back as it was remembered.
    Restore(String),
    /// The microcontroller's lamp, which cannot be read: it is set, never saved.
    Lamp(Lamp),
}

/// A light of the board that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Light {
    place: Place,
    name: String,
    shows: Show,
}

/// Why something cannot be made to blink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoLight {
    /// The box has no such bay.
    NoBay,
    /// It has no light that the agent may drive.
    Dark,
}

/// The lights of one box.
#[derive(Clone, Debug, Default)]
pub struct Panel {
    lights: Vec<Light>,
    bays: Vec<u8>,
    /// Each bay of the box has a fault light.
    all_bays: bool,
    one_lamp: bool,
    /// The microcontroller's lamp is the agent's; what it shows by the agent's will.
    lamp: Option<Option<Lamp>>,
}

impl Panel {
    /// The board's lights that `present` has, each by the first of its names that is there. A board without a fault light of
    /// its own shows the fault on every bay's.
    pub fn new(board: &Description, present: &[String]) -> Self {
        let there =
            |names: &[String]| names.iter().find(|n| present.contains(n) && !board.is_kernels(n)).cloned();
        let bays = || board.bays.iter().take(BAYS_MAX);
        let faults = bays().map(|b| (Place::Bay(b.number), &b.fault_led));
        let oks = bays().map(|b| (Place::BayOk(b.number), &b.ok_led));
        let of_box = [(Place::Box, &board.fault_led), (Place::Status, &board.status_led)];
        let rest = board.colours.iter().map(|c| (Place::OtherColour, &c.names));
        let mut lights: Vec<Light> = Vec::new();
        for (place, names) in of_box.into_iter().chain(faults).chain(oks).chain(rest).take(LIGHTS_MAX) {
            // The colours name fault and status light again.
            if let Some(name) = there(names).filter(|n| !lights.iter().any(|l| l.name == *n)) {
                lights.push(Light { place, name, shows: Show::AsFound });
            }
        }
        let mut of_box = board.fault_led.iter().chain(&board.status_led);
        let gives_lamp = board.mcu.as_ref().is_some_and(|m| m.gives(McuPart::Lamp));
        let lit = lights.iter().filter(|l| matches!(l.place, Place::Bay(_))).count();
        Self {
            lights,
            all_bays: board.bay_count.is_some_and(|bays| usize::from(bays) == lit),
            bays: board.bays.iter().take(BAYS_MAX).map(|b| b.number).collect(),
            one_lamp: board.one_lamp,
            lamp: (gives_lamp && of_box.any(|n| n == MCU_LAMP && !board.is_kernels(n))).then_some(None),
        }
    }

    fn has(&self, place: Place) -> bool {
        self.lights.iter().any(|l| l.place == place)
    }

    /// For the light at `place`.
    fn means(&self, place: Place) -> Means {
        Means {
            fault: self.has(Place::Box) || self.lamp.is_some(),
            status: self.has(Place::Status),
            one_lamp: self.one_lamp && self.has(Place::Box),
            bay_fault: matches!(place, Place::BayOk(n) if self.has(Place::Bay(n))),
            all_bays: self.all_bays,
        }
    }

    /// The conditions changed: what to do. Nothing is done twice.
    pub fn handle_conditions(&mut self, conditions: &Conditions) -> Vec<Action> {
        let mut actions = self.drive(|place, means| policy::shows(place, conditions, means));
        let wanted = policy::lamp(conditions);
        if let Some(lamp) = &mut self.lamp
            && *lamp != Some(wanted)
        {
            *lamp = Some(wanted);
            actions.push(Action::Lamp(wanted));
        }
        actions
    }

    fn drive(&mut self, shows: impl Fn(Place, Means) -> Show) -> Vec<Action> {
        let wanted: Vec<Show> = self.lights.iter().map(|l| shows(l.place, self.means(l.place))).collect();
        let (mut dark, mut others) = (Vec::new(), Vec::new());
        for (light, shows) in self.lights.iter_mut().zip(wanted) {
            if light.shows == shows {
                continue;
            }
            // One colour of a lamp goes out before the other comes on.
            let actions = if shows == Show::Off { &mut dark } else { &mut others };
            if light.shows == Show::AsFound {
                actions.push(Action::Save(light.name.clone()));
            }
            light.shows = shows;
            actions.push(match shows {
                Show::AsFound => Action::Restore(light.name.clone()),
                _ => Action::Set(light.name.clone(), shows),
            });
        }
        dark.append(&mut others);
        dark
    }

    /// The agent ends: everything back as it was found. The microcontroller's lamp, of which nobody knows what it showed,
    /// is steady blue, as on a box at work.
    pub fn handle_end(&mut self) -> Vec<Action> {
        let mut actions = self.drive(|_, _| Show::AsFound);
        if self.lamp.take().is_some() {
            actions.push(Action::Lamp(Lamp::Blue));
        }
        actions
    }

    /// Whether a target can be made to blink: with how many lights.
    ///
    /// # Errors
    /// [`NoLight`].
    pub fn can_show(&self, target: Target) -> Result<usize, NoLight> {
        let now = Conditions { identify: Some(target), ..Conditions::default() };
        let blinks = |l: &&Light| policy::shows(l.place, &now, self.means(l.place)) == Show::Fast;
        let lamp = usize::from(self.lamp.is_some() && target == Target::Box);
        let lights = self.lights.iter().filter(blinks).count() + lamp;
        match target {
            Target::Bay(number) if !self.bays.contains(&number) => Err(NoLight::NoBay),
            Target::Bay(_) | Target::Box if lights == 0 => Err(NoLight::Dark),
            Target::Bay(_) | Target::Box => Ok(lights),
        }
    }

    /// Whether `name` is one of its lights: the only ones that are ever written to.
    pub fn owns(&self, name: &str) -> bool {
        self.lights.iter().any(|l| l.name == name)
    }
}

#[cfg(test)]
mod tests;
