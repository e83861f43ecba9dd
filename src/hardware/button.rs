//! Buttons as input devices tell of them (kernel: Documentation/input/input.rst): which was pressed and for how long. A core.

use core::time::Duration;

use crate::board::description::{Button, Input};

/// Bytes of `struct input_event`: the time in two C longs, which nobody needs, then type, code and value.
pub const EVENT_SIZE: usize = 2 * size_of::<core::ffi::c_long>() + 8;
/// `EV_KEY` of <linux/input-event-codes.h>.
const EV_KEY: u16 = 1;
/// `EV_SW` likewise.
const EV_SW: u16 = 5;

/// A key went down or up, or a switch on or off. Repeats are not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Key or switch: each has codes of its own.
    pub input: Input,
    /// Its code.
    pub code: u16,
    /// Down, or up.
    pub is_down: bool,
}

/// The key of one event, if it is one.
pub fn key(event: &[u8; EVENT_SIZE]) -> Option<Key> {
    let [.., t0, t1, c0, c1, v0, v1, v2, v3] = *event;
    let (kind, value) = (u16::from_ne_bytes([t0, t1]), i32::from_ne_bytes([v0, v1, v2, v3]));
    let input = match kind {
        EV_KEY => Input::Key,
        EV_SW => Input::Switch,
        _ => return None,
    };
    let is_down = match value {
        1 => true,
        0 => false,
        _ => return None,
    };
    Some(Key { input, code: u16::from_ne_bytes([c0, c1]), is_down })
}

/// What a button did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Press {
    /// It went down.
    Down,
    /// It went up after this long.
    Up(Duration),
}

/// The board's buttons, each with when it went down.
#[derive(Clone, Debug, Default)]
pub struct Keypad {
    buttons: Vec<(Button, Option<Duration>)>,
}

impl Keypad {
    /// All up.
    pub fn new(buttons: &[Button]) -> Self {
        Self { buttons: buttons.iter().map(|b| (b.clone(), None)).collect() }
    }

    /// Whether one of the buttons is on an input device of this name.
    pub fn wants(&self, device: &str) -> bool {
        self.buttons.iter().any(|(b, _)| b.device.iter().any(|d| d == device))
    }

    /// A key of the input device `device`; `now` since boot. A release without a press is none of ours.
    pub fn handle_key(&mut self, device: &str, key: Key, now: Duration) -> Option<(&str, Press)> {
        let fits =
            |b: &Button| (b.input, b.code) == (key.input, key.code) && b.device.iter().any(|d| d == device);
        let (button, since) = self.buttons.iter_mut().find(|(b, _)| fits(b))?;
        let press = match (key.is_down, since.take()) {
            (true, before) => {
                *since = Some(before.unwrap_or(now));
                before.is_none().then_some(Press::Down)?
            }
            (false, before) => Press::Up(now.saturating_sub(before?)),
        };
        Some((&button.name, press))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::description::Role;

    fn event(kind: u16, code: u16, value: i32) -> [u8; EVENT_SIZE] {
        let mut bytes = [0xaa; EVENT_SIZE];
        let at = EVENT_SIZE - 8;
        bytes[at..at + 2].copy_from_slice(&kind.to_ne_bytes());
        bytes[at + 2..at + 4].copy_from_slice(&code.to_ne_bytes());
        bytes[at + 4..].copy_from_slice(&value.to_ne_bytes());
        bytes
    }

    fn pressed(code: u16, is_down: bool) -> Key {
        Key { input: Input::Key, code, is_down }
    }

    fn button(name: &str, device: &[&str], input: Input, code: u16) -> Button {
        let device = device.iter().map(|d| (*d).to_owned()).collect();
        Button { name: name.into(), device, input, code, role: Role::Other }
    }

    #[test]
    fn a_switch_and_a_key_of_one_code_are_two() {
        let device = ["gpio-keys"];
        let both = [button("key", &device, Input::Key, 1), button("auto", &device, Input::Switch, 1)];
        let mut pad = Keypad::new(&both);
        let at = Duration::from_secs(1);
        let switched = Key { input: Input::Switch, code: 1, is_down: true };
        assert_eq!(pad.handle_key("gpio-keys", switched, at), Some(("auto", Press::Down)));
        assert_eq!(pad.handle_key("gpio-keys", pressed(1, true), at), Some(("key", Press::Down)));
    }

    #[test]
    fn keys_are_told_from_other_events_and_repeats() {
        assert_eq!(key(&event(1, 408, 1)), Some(pressed(408, true)));
        assert_eq!(key(&event(1, 408, 0)), Some(pressed(408, false)));
        assert_eq!(
            key(&event(5, 1, 1)),
            Some(Key { input: Input::Switch, code: 1, is_down: true }),
            "a switch"
        );
        assert_eq!(key(&event(1, 408, 2)), None, "a repeat");
        assert_eq!((key(&event(0, 0, 0)), key(&event(4, 4, 1))), (None, None), "synchronisation, scan code");
    }

    #[test]
    fn a_press_is_timed_from_its_first_word() {
        let reset = button("reset", &["keys", "gpio-keys"], Input::Key, 408);
        let mut pad = Keypad::new(&[reset]);
        let (down, up) = (pressed(408, true), pressed(408, false));
        let at = Duration::from_millis;
        assert!(pad.wants("gpio-keys") && !pad.wants("buttons"));
        assert_eq!(pad.handle_key("keys", up, at(5)), None, "held since before we looked");
        assert_eq!(pad.handle_key("keys", down, at(10)), Some(("reset", Press::Down)));
        assert_eq!(pad.handle_key("keys", down, at(20)), None);
        assert_eq!(pad.handle_key("keys", up, at(150)), Some(("reset", Press::Up(at(140)))));
        assert_eq!(pad.handle_key("keys", pressed(1, true), at(0)), None);
        assert_eq!(pad.handle_key("others", down, at(0)), None);
    }
}
