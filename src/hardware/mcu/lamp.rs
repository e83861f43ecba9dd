//! What the microcontroller's power light can show. A core.

/// A state of the light. It has one pace for blinking and one for fading, both the microcontroller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lamp {
    /// Dark.
    Off,
    /// Steady blue.
    Blue,
    /// Blue, on and off.
    BlueBlink,
    /// Blue, waxing and waning.
    BlueFade,
    /// Steady red.
    Red,
    /// Red, on and off.
    RedBlink,
    /// Steady orange.
    Orange,
    /// Orange, on and off.
    OrangeBlink,
}

impl Lamp {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Off,
        Self::Blue,
        Self::BlueBlink,
        Self::BlueFade,
        Self::Red,
        Self::RedBlink,
        Self::Orange,
        Self::OrangeBlink,
    ];

    /// The word of the documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Blue => "blue",
            Self::BlueBlink => "blue, blinking",
            Self::BlueFade => "blue, fading",
            Self::Red => "red",
            Self::RedBlink => "red, blinking",
            Self::Orange => "orange",
            Self::OrangeBlink => "orange, blinking",
        }
    }

    /// Its byte in a frame.
    pub(super) const fn byte(self) -> u8 {
        match self {
            Self::Off => 0x01,
            Self::Blue => 0x11,
            Self::BlueBlink => 0x21,
            Self::BlueFade => 0x41,
            Self::Red => 0x14,
            Self::RedBlink => 0x24,
            Self::Orange => 0x12,
            Self::OrangeBlink => 0x22,
        }
    }
}
