//! Buttons, switches and alarm lines as input devices tell of them (kernel: Documentation/input/input.rst): which was pressed, for
//! how long, and what that means. A core.

use core::time::Duration;

use super::press::{self, Step};
use crate::board::description::{Button, Input, Role};

const LONG: usize = size_of::<core::ffi::c_long>();
/// Bytes of `struct input_event`: the time in two C longs, seconds and microseconds, then type, code and value.
pub const EVENT_SIZE: usize = 2 * LONG + 8;
/// `EV_SYN`, `EV_KEY` and `EV_SW` of <linux/input-event-codes.h>.
const EV_SYN: u16 = 0;
const EV_KEY: u16 = 1;
const EV_SW: u16 = 5;
/// `SYN_DROPPED` likewise: the kernel had no room, and events are missing.
const SYN_DROPPED: u16 = 3;
/// What is down so soon after the devices were opened was down before: a driver tells then how its lines stand (`gpio_keys_open` of
/// drivers/input/keyboard/gpio_keys.c), one that polls a little later.
const START: Duration = Duration::from_secs(2);

/// A key went down or up, or a switch on or off. Repeats are not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Key or switch: each has codes of its own.
    pub input: Input,
    /// Its code.
    pub code: u16,
    /// Down, or up.
    pub is_down: bool,
    /// When, by the kernel's clock, which can be set: of use only for differences, and these only with care.
    pub stamp: Duration,
}

/// One event of an input device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// This key.
    Key(Key),
    /// Some are missing before the next.
    Lost,
}

/// What one event says, if it is of use.
pub fn told(event: &[u8; EVENT_SIZE]) -> Option<Told> {
    let [.., t0, t1, c0, c1, v0, v1, v2, v3] = *event;
    let (kind, value) = (u16::from_ne_bytes([t0, t1]), i32::from_ne_bytes([v0, v1, v2, v3]));
    let code = u16::from_ne_bytes([c0, c1]);
    let input = match kind {
        EV_KEY => Input::Key,
        EV_SW => Input::Switch,
        EV_SYN if code == SYN_DROPPED => return Some(Told::Lost),
        _ => return None,
    };
    let is_down = match value {
        1 => true,
        0 => false,
        _ => return None,
    };
    let (seconds, micros) = (long(event, 0), long(event, LONG));
    let stamp = Duration::from_secs(seconds).saturating_add(Duration::from_micros(micros));
    Some(Told::Key(Key { input, code, is_down, stamp }))
}

/// An unsigned C long at `at`; the kernel has used all its bits for seconds since 2018.
fn long(event: &[u8], at: usize) -> u64 {
    let mut bytes = [0; size_of::<u64>()];
    let part = event.get(at..at + LONG).unwrap_or_default();
    let to = if cfg!(target_endian = "big") { size_of::<u64>() - LONG } else { 0 };
    for (to, from) in bytes.iter_mut().skip(to).zip(part) {
        *to = *from;
    }
    u64::from_ne_bytes(bytes)
}

/// What happened to one of the board's buttons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// A button went down.
    Pressed,
    /// It went up.
    Released {
        /// After this long.
        held: Duration,
        /// What that sets off; only a reset button has it, and only if it was pressed alone and while we looked.
        step: Option<Step>,
    },
    /// A switch was put on or off.
    Switched(bool),
    /// An alarm line began or ended.
    Alarm(bool),
}

/// A button that is down.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// By our clock, since boot.
    since: Duration,
    /// By the kernel's.
    stamp: Duration,
    /// It means nothing when it is let go: it was down before we looked, or another one was at the same time.
    is_void: bool,
    /// The step under the finger that was told last.
    shown: Option<Step>,
}

/// One of the board's buttons.
#[derive(Clone, Debug)]
struct State {
    button: Button,
    held: Option<Held>,
}

impl State {
    fn is_button(&self) -> bool {
        self.button.input == Input::Key && self.button.role != Role::Alarm
    }

    fn is_reset(&self) -> bool {
        self.is_button() && self.button.role == Role::Reset
    }

    fn step(&self, now: Duration) -> Option<Step> {
        let held = self.held.filter(|h| !h.is_void && self.is_reset())?;
        press::step(now.saturating_sub(held.since))
    }
}

/// The board's buttons, each with when it went down.
#[derive(Clone, Debug, Default)]
pub struct Keypad {
    buttons: Vec<State>,
    opened: Duration,
}

impl Keypad {
    /// All up.
    pub fn new(buttons: &[Button]) -> Self {
        let buttons = buttons.iter().map(|b| State { button: b.clone(), held: None }).collect();
        Self { buttons, opened: Duration::ZERO }
    }

    /// Whether one of the buttons is on an input device of this name.
    pub fn wants(&self, device: &str) -> bool {
        self.buttons.iter().any(|s| s.button.device.iter().any(|d| d == device))
    }

    /// The input devices are opened now, since boot. Which buttons are down is not known.
    pub fn handle_open(&mut self, now: Duration) {
        self.opened = now;
    }

    /// Events of the input device `device` are missing: nobody knows how its buttons stand, or for how long.
    pub fn handle_lost(&mut self, device: &str) {
        for state in self.buttons.iter_mut().filter(|s| s.button.device.iter().any(|d| d == device)) {
            // An alarm stays as it was told last; that is the better guess.
            if state.is_button() {
                state.held = None;
            }
        }
    }

    /// A key of the input device `device`; `now` since boot. A release without a press is none of ours.
    pub fn handle_key(&mut self, device: &str, key: Key, now: Duration) -> Option<(&str, Happened)> {
        let fits = |s: &State| {
            (s.button.input, s.button.code) == (key.input, key.code)
                && s.button.device.iter().any(|d| d == device)
        };
        let at = self.buttons.iter().position(fits)?;
        let is_button = self.buttons.get(at)?.is_button();
        let mut is_void = now < self.opened.saturating_add(START);
        if key.is_down && is_button {
            let others = self.buttons.iter_mut().enumerate().filter(|(i, s)| *i != at && s.is_button());
            for held in others.filter_map(|(_, s)| s.held.as_mut()) {
                held.is_void = true;
                is_void = true;
            }
        }
        let state = self.buttons.get_mut(at)?;
        if !is_button {
            let was_on = state.held.is_some();
            state.held =
                key.is_down.then_some(Held { since: now, stamp: key.stamp, is_void: true, shown: None });
            let is_alarm = state.button.role == Role::Alarm;
            let happened =
                if is_alarm { Happened::Alarm(key.is_down) } else { Happened::Switched(key.is_down) };
            // A switch that was on when we came tells nothing before it goes off.
            let is_news = key.is_down != was_on || !is_alarm;
            return is_news.then_some((&*state.button.name, happened));
        }
        let happened = match (key.is_down, state.held.take()) {
            (true, None) => {
                state.held = Some(Held { since: now, stamp: key.stamp, is_void, shown: None });
                Happened::Pressed
            }
            (true, before @ Some(_)) => {
                state.held = before;
                return None;
            }
            (false, before) => {
                let before = before?;
                // Ours is late when we are, and the kernel's jumps when it is set: the shorter one is never too long by either.
                let held = now.saturating_sub(before.since).min(key.stamp.saturating_sub(before.stamp));
                let step = if state.is_reset() && !before.is_void { press::step(held) } else { None };
                Happened::Released { held, step }
            }
        };
        Some((&state.button.name, happened))
    }

    /// The step under the finger on a reset button, if it is another than was told last: what letting go would set off.
    pub fn poll_step(&mut self, now: Duration) -> Option<(&str, Option<Step>)> {
        for state in &mut self.buttons {
            let step = state.step(now);
            if let Some(held) = state.held.as_mut().filter(|h| h.shown != step) {
                held.shown = step;
                return Some((&state.button.name, step));
            }
        }
        None
    }

    /// When [`Keypad::poll_step`] has something to say; `now` and the answer since boot.
    pub fn poll_timeout(&self, now: Duration) -> Option<Duration> {
        let until = |s: &State| {
            let held = s.held.filter(|h| !h.is_void && s.is_reset())?;
            if s.step(now) != held.shown {
                return Some(now);
            }
            let change = press::next_change(now.saturating_sub(held.since))?;
            Some(held.since.saturating_add(change))
        };
        self.buttons.iter().filter_map(until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(kind: u16, code: u16, value: i32) -> [u8; EVENT_SIZE] {
        let mut bytes = [0; EVENT_SIZE];
        let at = EVENT_SIZE - 8;
        bytes[..LONG].copy_from_slice(&(7 as core::ffi::c_long).to_ne_bytes());
        bytes[LONG..at].copy_from_slice(&(250_000 as core::ffi::c_long).to_ne_bytes());
        bytes[at..at + 2].copy_from_slice(&kind.to_ne_bytes());
        bytes[at + 2..at + 4].copy_from_slice(&code.to_ne_bytes());
        bytes[at + 4..].copy_from_slice(&value.to_ne_bytes());
        bytes
    }

    const STAMP: Duration = Duration::from_millis(7250);

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn key(code: u16, is_down: bool, ms: u64) -> Key {
        Key { input: Input::Key, code, is_down, stamp: at(ms) }
    }

    fn button(name: &str, input: Input, code: u16, role: Role) -> Button {
        Button { name: name.into(), device: vec!["keys".into(), "gpio-keys".into()], input, code, role }
    }

    const RESET: u16 = 408;
    const COPY: u16 = 133;
    const USB: u16 = 240;

    /// Opened at 0: presses count from [`START`] on.
    fn pad() -> Keypad {
        Keypad::new(&[
            button("reset", Input::Key, RESET, Role::Reset),
            button("copy", Input::Key, COPY, Role::Copy),
            button("usb", Input::Key, USB, Role::Alarm),
            button("auto", Input::Switch, 1, Role::Other),
        ])
    }

    /// What a list of (ms, code, down) comes to.
    fn play(events: &[(u64, u16, bool)]) -> Vec<(String, Happened)> {
        let mut pad = pad();
        let mut happened = Vec::new();
        for (ms, code, down) in events {
            let word = pad.handle_key("keys", key(*code, *down, *ms), at(*ms));
            happened.extend(word.map(|(name, what)| (name.to_owned(), what)));
        }
        happened
    }

    fn steps(events: &[(u64, u16, bool)]) -> Vec<Step> {
        let step = |(_, h)| match h {
            Happened::Released { step, .. } => step,
            Happened::Pressed | Happened::Switched(_) | Happened::Alarm(_) => None,
        };
        play(events).into_iter().filter_map(step).collect()
    }

    #[test]
    fn keys_are_told_from_other_events_and_repeats() {
        let told_key = |input, code, is_down| Some(Told::Key(Key { input, code, is_down, stamp: STAMP }));
        for (bytes, expect) in [
            (event(1, 408, 1), told_key(Input::Key, 408, true)),
            (event(1, 408, 0), told_key(Input::Key, 408, false)),
            (event(5, 1, 1), told_key(Input::Switch, 1, true)),
            (event(1, 408, 2), None),
            (event(0, 0, 0), None),
            (event(4, 4, 1), None),
            (event(0, 3, 0), Some(Told::Lost)),
        ] {
            assert_eq!(told(&bytes), expect, "{bytes:?}");
        }
    }

    #[test]
    fn a_press_is_timed_from_its_first_word() {
        let events =
            [(5_000, RESET, false), (6_000, RESET, true), (6_020, RESET, true), (6_140, RESET, false)];
        let held = at(140);
        let expect = [
            ("reset".to_owned(), Happened::Pressed),
            ("reset".to_owned(), Happened::Released { held, step: Some(Step::Pairing) }),
        ];
        assert_eq!(play(&events), expect, "a release without a press is none of ours");
        let mut pad = pad();
        assert!(pad.wants("gpio-keys") && !pad.wants("buttons"));
        assert_eq!(pad.handle_key("buttons", key(RESET, true, 0), at(9_000)), None);
        assert_eq!(pad.handle_key("keys", key(1, true, 0), at(9_000)), None);
    }

    #[test]
    fn only_a_reset_button_alone_that_was_up_when_we_came_means_anything() {
        for (what, events, expect) in [
            ("short", vec![(3_000, RESET, true), (3_200, RESET, false)], vec![Step::Pairing]),
            ("long", vec![(3_000, RESET, true), (8_000, RESET, false)], vec![Step::Connection]),
            ("very long", vec![(3_000, RESET, true), (44_000, RESET, false)], vec![Step::Pairings]),
            ("another button", vec![(3_000, COPY, true), (8_000, COPY, false)], vec![]),
            ("held since before", vec![(1_900, RESET, true), (43_000, RESET, false)], vec![]),
            (
                "two at once, the other first",
                vec![(3_000, COPY, true), (3_100, RESET, true), (3_200, COPY, false), (8_000, RESET, false)],
                vec![],
            ),
            (
                "two at once, the other later",
                vec![(3_000, RESET, true), (5_000, COPY, true), (5_100, COPY, false), (8_000, RESET, false)],
                vec![],
            ),
            (
                "one after the other",
                vec![(3_000, COPY, true), (3_100, COPY, false), (3_200, RESET, true), (8_000, RESET, false)],
                vec![Step::Connection],
            ),
            (
                "an alarm is no other button",
                vec![(3_000, USB, true), (3_100, RESET, true), (8_000, RESET, false)],
                vec![Step::Connection],
            ),
        ] {
            assert_eq!(steps(&events), expect, "{what}");
        }
    }

    #[test]
    fn a_switch_and_an_alarm_are_no_presses() {
        let mut pad = pad();
        let switch = |is_down| Key { input: Input::Switch, code: 1, is_down, stamp: at(0) };
        let now = at(9_000);
        for (key, expect) in [
            (switch(false), Some(("auto", Happened::Switched(false)))),
            (switch(true), Some(("auto", Happened::Switched(true)))),
            (key(USB, false, 0), None),
            (key(USB, true, 0), Some(("usb", Happened::Alarm(true)))),
            (key(USB, true, 0), None),
            (key(USB, false, 0), Some(("usb", Happened::Alarm(false)))),
        ] {
            assert_eq!(pad.handle_key("keys", key, now), expect, "{key:?}");
        }
        // What stands before we come is no press, and all the same an alarm.
        let mut pad = super::tests::pad();
        assert_eq!(
            pad.handle_key("keys", super::tests::key(USB, true, 0), at(1)),
            Some(("usb", Happened::Alarm(true)))
        );
    }

    #[test]
    fn where_events_are_missing_no_press_is_made_up() {
        let mut pad = pad();
        let down = key(RESET, true, 3_000);
        assert!(pad.handle_key("keys", down, at(3_000)).is_some());
        pad.handle_lost("others");
        assert_eq!(pad.poll_step(at(8_000)), Some(("reset", Some(Step::Connection))), "others are others");
        pad.handle_lost("keys");
        assert_eq!(pad.handle_key("keys", key(RESET, false, 8_000), at(8_000)), None);
    }

    #[test]
    fn a_press_is_never_longer_than_either_clock_says() {
        // We were held up; the kernel was not. Its clock is set forward, back.
        for (what, (down, up), stamps, held, step) in [
            ("late", (3_000, 9_000), (100_000, 100_200), 200, Some(Step::Pairing)),
            ("forward", (3_000, 3_200), (100_000, 900_000_000), 200, Some(Step::Pairing)),
            ("back", (3_000, 8_000), (100_000, 5_000), 0, None),
        ] {
            let mut pad = pad();
            pad.handle_key("keys", key(RESET, true, stamps.0), at(down));
            let released = pad.handle_key("keys", key(RESET, false, stamps.1), at(up));
            assert_eq!(released, Some(("reset", Happened::Released { held: at(held), step })), "{what}");
        }
    }

    #[test]
    fn each_step_is_told_while_the_finger_is_there() {
        let mut pad = pad();
        pad.handle_key("keys", key(RESET, true, 3_000), at(3_000));
        let (mut now, mut told) = (at(3_000), Vec::new());
        while let Some(next) = pad.poll_timeout(now) {
            now = next;
            if let Some((_, step)) = pad.poll_step(now) {
                told.push(((now.as_millis()) as u64, step));
            }
        }
        let expect = [
            (3_050, Some(Step::Pairing)),
            (5_000, None),
            (7_000, Some(Step::Connection)),
            (23_000, None),
            (43_000, Some(Step::Pairings)),
            (63_000, None),
        ];
        assert_eq!(told, expect);
        assert_eq!(pad.poll_timeout(now), None, "what lies on it does not keep the box awake");
        // A copy button has no steps.
        let mut pad = super::tests::pad();
        pad.handle_key("keys", key(COPY, true, 3_000), at(3_000));
        assert_eq!((pad.poll_timeout(at(4_000)), pad.poll_step(at(9_000))), (None, None));
    }

    proptest! {
        /// Whatever fingers do: a step is only what one press of the reset button alone comes to.
        #[test]
        fn every_step_is_one_clean_press(
            gaps in proptest::collection::vec((0u64..70_000, 0usize..3, any::<bool>()), 0..24)
        ) {
            let codes = [RESET, COPY, USB];
            let mut now = 0;
            let mut events = Vec::new();
            for (gap, which, down) in gaps {
                now += gap;
                events.push((now, codes[which], down));
            }
            let mut expect = Vec::new();
            // By another way: for each release, back to the press before it.
            for (i, (up, code, down)) in events.iter().enumerate() {
                if *code != RESET || *down {
                    continue;
                }
                let before = &events[..i];
                let last_up = before.iter().rposition(|(_, c, d)| *c == RESET && !d).map_or(0, |at| at + 1);
                let Some(first) = before.iter().skip(last_up).position(|(_, c, d)| *c == RESET && *d) else {
                    continue;
                };
                let first = last_up + first;
                let (since, _, _) = before[first];
                let was_down = before[..first].iter().rev().find(|(_, c, _)| *c == COPY).is_some_and(|e| e.2);
                let went_down = before[first..].iter().any(|(_, c, d)| *c == COPY && *d);
                if since >= 2_000 && !was_down && !went_down {
                    expect.extend(press::step(at(up - since)));
                }
            }
            prop_assert_eq!(steps(&events), expect);
        }
    }
}
