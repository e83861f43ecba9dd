//! What the lights tell: one pure function from everything that holds to what each light shows. A core.
//! docs/lights.md has the same as a table, made from here.
//!
//! Two rules. Red is only for what is wrong in this box: a NAS that is merely offline says so with its status light. And
//! patterns are few and differ in kind, not in speed alone.

use crate::hardware::mcu::lamp::Lamp;

/// What a light shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Nothing to say: it is as it was found.
    AsFound,
    /// Dark, because the lamp it is part of shows something else.
    Off,
    /// Steady.
    On,
    /// A second on, a second off.
    Slow,
    /// Four times a second, to be seen across a room.
    Fast,
    /// Dark, with a short flash every two seconds.
    Flash,
    /// Lit, with a short gap every two seconds.
    Wink,
    /// Two flashes every two seconds.
    Double,
}

impl Show {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::AsFound, Self::Off, Self::On, Self::Slow, Self::Fast, Self::Flash, Self::Wink, Self::Double];

    /// The word of the documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AsFound => "as found",
            Self::Off => "dark",
            Self::On => "steady",
            Self::Slow => "slow blink",
            Self::Fast => "fast blink",
            Self::Flash => "short flashes",
            Self::Wink => "short gaps",
            Self::Double => "double flashes",
        }
    }

    /// Milliseconds lit and dark in turn, beginning with lit, over and over; `None` for what does not blink.
    pub const fn rhythm(self) -> Option<&'static [u16]> {
        match self {
            Self::AsFound | Self::Off | Self::On => None,
            Self::Slow => Some(&[1000, 1000]),
            Self::Fast => Some(&[125, 125]),
            Self::Flash => Some(&[100, 1900]),
            Self::Wink => Some(&[1900, 100]),
            Self::Double => Some(&[150, 150, 150, 1550]),
        }
    }
}

/// Which light.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The fault light of the box as a whole.
    Box,
    /// The light that shows the box at work.
    Status,
    /// The fault light of one bay.
    Bay(u8),
    /// The light that shows that one bay is well.
    BayOk(u8),
    /// Another colour of the lamp that fault and status light are.
    OtherColour,
}

/// What somebody looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The box: every light.
    Box,
    /// One bay: its light.
    Bay(u8),
}

/// Remote access, as far as a light can tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cloud {
    /// Nobody wants it, or no broker is configured: nothing to say.
    #[default]
    Unwanted,
    /// The agent has only begun.
    Starting,
    /// On the way, or lost a moment ago.
    Connecting,
    /// Confirmed.
    Online,
    /// Not to be had for a while, for this kind of reason.
    Offline(Class),
}

/// Where the cause lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Cable, address or route: between the box and the router.
    Local,
    /// Name servers.
    Names,
    /// The date.
    Time,
    /// The broker, or the way to it.
    Broker,
    /// The broker refuses this NAS: login or rights.
    Account,
}

/// What is wrong with a bay's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bay {
    /// The kernel has given it up, or it is gone.
    Lost,
    /// Being written to become part of the mirror.
    Rebuilding,
}

/// The arrays, as far as lights can tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrays {
    /// One has failed.
    pub failed: bool,
    /// One has lost its redundancy, and nothing is done about it yet.
    pub degraded: bool,
    /// One is getting its redundancy back.
    pub rebuilding: bool,
    /// Bays with something to tell, each once.
    pub bays: Vec<(u8, Bay)>,
}

/// Everything that lights can tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Somebody looks for something.
    pub identify: Option<Target>,
    /// Arrays.
    pub arrays: Arrays,
    /// The store cannot be read.
    pub store_corrupt: bool,
    /// A code was made a moment ago and waits to be typed.
    pub pairing: bool,
    /// Remote access.
    pub cloud: Cloud,
}

/// What the box can show it with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Means {
    /// Something shows a fault of the box as a whole: a fault light, or the microcontroller's lamp.
    pub fault: bool,
    /// There is a status light.
    pub status: bool,
    /// Fault and status light are colours of one lamp.
    pub one_lamp: bool,
    /// The bay in question has a fault light.
    pub bay_fault: bool,
    /// Each bay of the box has a fault light, so that all of them together can stand in for one of the box. Where only some have,
    /// they would point at disks that are well.
    pub all_bays: bool,
}

impl Conditions {
    /// What the fault light of the box shows, the most urgent first.
    const fn fault(&self) -> Show {
        if self.arrays.failed {
            Show::Double
        } else if self.arrays.degraded {
            Show::On
        } else if self.store_corrupt {
            Show::Slow
        } else if self.arrays.rebuilding {
            Show::Flash
        } else {
            Show::AsFound
        }
    }

    /// What the status light shows.
    const fn status(&self) -> Show {
        if self.pairing {
            return Show::Double;
        }
        match self.cloud {
            Cloud::Unwanted => Show::AsFound,
            Cloud::Starting | Cloud::Connecting => Show::Slow,
            Cloud::Online => Show::On,
            Cloud::Offline(Class::Local) => Show::Flash,
            Cloud::Offline(Class::Names | Class::Time | Class::Broker | Class::Account) => Show::Wink,
        }
    }

    const fn is_box_looked_for(&self) -> bool {
        matches!(self.identify, Some(Target::Box))
    }
}

/// What the light at `place` shows on a box with these means.
pub fn shows(place: Place, conditions: &Conditions, means: Means) -> Show {
    let Means { fault, status, one_lamp, bay_fault, all_bays } = means;
    let looked_for = conditions.is_box_looked_for();
    match place {
        // Of one lamp the status light's colour helps to find the box: red would tell of a fault.
        Place::Box if looked_for => {
            if one_lamp && status {
                Show::Off
            } else {
                Show::Fast
            }
        }
        // Left as found it could be lit, and mix.
        Place::Box
            if one_lamp
                && status
                && conditions.fault() == Show::AsFound
                && conditions.status() != Show::AsFound =>
        {
            Show::Off
        }
        Place::Box => conditions.fault(),
        Place::Status if looked_for => Show::Fast,
        Place::Status if one_lamp && fault && conditions.fault() != Show::AsFound => Show::Off,
        Place::Status => conditions.status(),
        Place::Bay(_) if looked_for => Show::Fast,
        Place::Bay(number) if conditions.identify == Some(Target::Bay(number)) => Show::Fast,
        Place::Bay(number) => match conditions.arrays.bays.iter().find(|(bay, _)| *bay == number) {
            Some((_, Bay::Lost)) => Show::On,
            Some((_, Bay::Rebuilding)) => Show::Flash,
            // Without a light of the box, what no bay is to blame for is on all of them.
            None if !fault && all_bays && conditions.arrays.bays.is_empty() => conditions.fault(),
            None => Show::AsFound,
        },
        // Beside a fault light it may be a colour of the same lamp; it is out while that one says something.
        Place::BayOk(number) => match shows(Place::Bay(number), conditions, means) {
            Show::AsFound => Show::AsFound,
            Show::On => Show::Off,
            _ if bay_fault => Show::Off,
            show => show,
        },
        Place::OtherColour => {
            let is_quiet = |place| shows(place, conditions, means) == Show::AsFound;
            if is_quiet(Place::Box) && is_quiet(Place::Status) { Show::AsFound } else { Show::Off }
        }
    }
}

/// What the microcontroller's lamp shows. It has fewer patterns and more colours; blinking orange is for what somebody asked
/// for just now.
pub const fn lamp(conditions: &Conditions) -> Lamp {
    let Arrays { failed, degraded, rebuilding, .. } = &conditions.arrays;
    let (failed, degraded, rebuilding) = (*failed, *degraded, *rebuilding);
    if conditions.is_box_looked_for() {
        Lamp::OrangeBlink
    } else if failed {
        Lamp::RedBlink
    } else if degraded {
        Lamp::Red
    } else if conditions.store_corrupt {
        Lamp::RedBlink
    } else if conditions.pairing {
        Lamp::OrangeBlink
    } else if rebuilding {
        Lamp::Orange
    } else {
        match conditions.cloud {
            Cloud::Unwanted | Cloud::Online => Lamp::Blue,
            Cloud::Starting | Cloud::Connecting => Lamp::BlueFade,
            Cloud::Offline(_) => Lamp::BlueBlink,
        }
    }
}
