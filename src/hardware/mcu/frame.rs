//! Frames of the microcontroller: seven bytes, `fa … fb`. A core.
//!
//! What is sent is the closed [`Command`]; what comes is found again in whatever the line delivers ([`Finder`]).

use super::lamp::Lamp;

/// Bytes of a frame.
pub const FRAME: usize = 7;
const START: u8 = 0xfa;
const END: u8 = 0xfb;
/// What the microcontroller says when it has done something.
pub const ACKNOWLEDGEMENT: [u8; FRAME] = [START, 0x30, 0, 0, 0, 0, END];

/// All that is ever sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// The system is up. The microcontroller wants to hear it once after boot; hearing it again changes nothing.
    Ready,
    /// The power light.
    Lamp(Lamp),
    /// What does the thermometer say?
    Temperature,
    /// How fast does the fan turn?
    Fan,
}

impl Command {
    /// As it goes over the line.
    pub const fn encode(self) -> [u8; FRAME] {
        match self {
            Self::Ready => [START, 0x03, 0x01, 0, 0, 0, END],
            Self::Lamp(lamp) => [START, 0x26, 0, lamp.byte(), 0, 0x01, END],
            Self::Temperature => [START, 0x03, 0x08, 0, 0, 0, END],
            Self::Fan => [START, 0x02, 0x01, 0, 0, 0, END],
        }
    }

    /// What it is called in evidence.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Lamp(_) => "power light",
            Self::Temperature => "temperature",
            Self::Fan => "fan",
        }
    }

    /// Whether a frame with a value comes before the acknowledgement.
    pub const fn asks(self) -> bool {
        match self {
            Self::Temperature | Self::Fan => true,
            Self::Ready | Self::Lamp(_) => false,
        }
    }

    /// The value in `frame`, if it is the answer to this: the command again, with the value as its sixth byte.
    pub fn value(self, frame: [u8; FRAME]) -> Option<u8> {
        let [a, b, c, d, e, value, _] = frame;
        let [f, g, h, i, j, ..] = self.encode();
        (self.asks() && [a, b, c, d, e] == [f, g, h, i, j]).then_some(value)
    }
}

/// Finds frames in a stream of bytes, whatever lies between them: the last seven bytes are one as soon as they begin and
/// end as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Finder {
    last: [u8; FRAME],
}

impl Finder {
    /// Nothing has come yet.
    pub const fn new() -> Self {
        Self { last: [0; FRAME] }
    }

    /// One more byte; the frame that it completes.
    pub fn handle_byte(&mut self, byte: u8) -> Option<[u8; FRAME]> {
        let [_, b, c, d, e, f, g] = self.last;
        self.last = [b, c, d, e, f, g, byte];
        let found = (b == START && byte == END).then_some(self.last);
        if found.is_some() {
            // No byte belongs to two frames.
            *self = Self::new();
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all() -> Vec<Command> {
        let lamps = Lamp::ALL.into_iter().map(Command::Lamp);
        lamps.chain([Command::Ready, Command::Temperature, Command::Fan]).collect()
    }

    fn found(bytes: &[u8]) -> Vec<[u8; FRAME]> {
        let mut finder = Finder::new();
        bytes.iter().filter_map(|b| finder.handle_byte(*b)).collect()
    }

    #[test]
    fn frames_are_those_of_the_table() {
        let table = [
            (Command::Ready, "fa 03 01 00 00 00 fb"),
            (Command::Temperature, "fa 03 08 00 00 00 fb"),
            (Command::Fan, "fa 02 01 00 00 00 fb"),
            (Command::Lamp(Lamp::Off), "fa 26 00 01 00 01 fb"),
            (Command::Lamp(Lamp::Blue), "fa 26 00 11 00 01 fb"),
            (Command::Lamp(Lamp::BlueBlink), "fa 26 00 21 00 01 fb"),
            (Command::Lamp(Lamp::BlueFade), "fa 26 00 41 00 01 fb"),
            (Command::Lamp(Lamp::Red), "fa 26 00 14 00 01 fb"),
            (Command::Lamp(Lamp::RedBlink), "fa 26 00 24 00 01 fb"),
            (Command::Lamp(Lamp::Orange), "fa 26 00 12 00 01 fb"),
            (Command::Lamp(Lamp::OrangeBlink), "fa 26 00 22 00 01 fb"),
        ];
        assert_eq!(table.len(), all().len());
        for (command, expect) in table {
            let bytes: Vec<String> = command.encode().iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(bytes.join(" "), expect, "{command:?}");
        }
    }

    #[test]
    fn no_command_sets_the_fan() {
        for command in all() {
            assert_ne!(command.encode()[1..3], [0x02, 0x00], "{command:?}");
        }
    }

    #[test]
    fn a_value_is_taken_only_from_the_answer_to_the_question() {
        let answer = [0xfa, 0x03, 0x08, 0, 0, 0xfb, 0xfb];
        assert_eq!(Command::Temperature.value(answer), Some(0xfb));
        assert_eq!(Command::Fan.value(answer), None);
        assert_eq!(Command::Temperature.value(ACKNOWLEDGEMENT), None);
        assert_eq!(Command::Ready.value(Command::Ready.encode()), None, "it asks nothing");
    }

    #[test]
    fn a_frame_is_found_behind_the_wreck_of_another() {
        for wreck in [&[0xfa][..], &[0xfa, 0xfa, 0x03], &[0xfb; 9], &[0xfa, 0x03, 0x08, 0, 0, 7]] {
            let bytes = [wreck, &ACKNOWLEDGEMENT].concat();
            assert!(found(&bytes).ends_with(&[ACKNOWLEDGEMENT]), "{wreck:02x?}");
        }
    }

    proptest! {
        #[test]
        fn frames_in_a_row_are_all_found(values in prop::collection::vec(any::<u8>(), 0..20)) {
            let sent: Vec<[u8; FRAME]> =
                values.iter().flat_map(|v| [[START, 0x03, 0x08, 0, 0, *v, END], ACKNOWLEDGEMENT]).collect();
            prop_assert_eq!(found(&sent.concat()), sent);
        }

        #[test]
        fn after_any_noise_the_second_frame_is_found(noise in prop::collection::vec(any::<u8>(), 0..40)) {
            // The first may end a frame that the noise began.
            let bytes = [noise, ACKNOWLEDGEMENT.to_vec(), ACKNOWLEDGEMENT.to_vec()].concat();
            prop_assert!(found(&bytes).ends_with(&[ACKNOWLEDGEMENT]));
        }
    }
}
