//! Talking to the microcontroller: one command outstanding, with retries and an end to them. A core: bytes and the time come
//! in, bytes come out one by one. The pause between two of them is data ([`Timing::byte_gap`]); keeping it is the shell's.
//!
//! After anything that did not go as it should, the line is left alone for a while and what comes meanwhile is dropped: an
//! acknowledgement does not say what it acknowledges, so a late one must not be taken for that of the next command.

use core::time::Duration;

use super::frame::{ACKNOWLEDGEMENT, Command, FRAME, Finder};
use super::lamp::Lamp;
use super::sensor;
use crate::units::{MilliCelsius, Mono};

/// The times of the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Between two bytes: one byte on the line at 19200 baud with its start and stop bit (521 µs) and the 200 µs that
    /// mcm-daemon leaves the microcontroller.
    pub byte_gap: Duration,
    /// Longest wait for an answer.
    pub answer: Duration,
    /// Longest wait for the acknowledgement that follows a value (about 50 ms in mcm-daemon). Without it the value counts.
    pub acknowledgement: Duration,
    /// How long the line is left alone after a command that was not answered.
    pub quiet: Duration,
    /// How often a command is sent in all.
    pub tries: u8,
    /// From giving up to the next attempt.
    pub again: Duration,
    /// From one reading of the thermometer to the next. Rare: each wakes the processor a dozen times.
    pub reading: Duration,
}

impl Timing {
    /// The usual ones.
    pub const USUAL: Self = Self {
        byte_gap: Duration::from_micros(721),
        answer: Duration::from_millis(500),
        acknowledgement: Duration::from_millis(200),
        quiet: Duration::from_millis(300),
        tries: 3,
        again: Duration::from_secs(120),
        reading: Duration::from_secs(300),
    };
}

/// What is behind this microcontroller and to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// A thermometer.
    pub temperature: bool,
    /// A fan.
    pub fan: bool,
}

/// What became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The microcontroller answers, for the first time or again.
    Answers,
    /// It does not: this command was sent several times in vain.
    Silent(Command),
    /// A reading is complete, with or without an answer: [`Exchange::temperature`] and [`Exchange::fan`] have it.
    Reading,
}

/// What the line is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// Nothing.
    Idle,
    /// What comes is dropped until then; after that this command is sent for the `tries`-th time, or none.
    Quiet { until: Mono, next: Option<(Command, u8)> },
    /// `sent` of its bytes are out.
    Sending { command: Command, tries: u8, sent: u8 },
    /// All of it is out.
    Waiting { command: Command, tries: u8, until: Mono },
    /// The value is here, its acknowledgement is not.
    Closing { until: Mono },
}

/// Whether it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hearing {
    /// Nothing was tried yet.
    Unknown,
    Answers,
    /// The next attempt is due then.
    Silent {
        again: Mono,
    },
}

/// Whether the fan is worth a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fan {
    Untried,
    Value(u8),
    /// It did not answer once, as on some boxes: it is not asked again.
    Mute,
}

/// What is still to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    ready: bool,
    temperature: bool,
    fan: bool,
    lamp: Option<Lamp>,
}

/// The conversation.
#[derive(Clone, Debug)]
pub struct Exchange {
    timing: Timing,
    parts: Parts,
    line: Line,
    hearing: Hearing,
    wanted: Wanted,
    shown: Option<Lamp>,
    finder: Finder,
    temperature: Option<u8>,
    fan: Fan,
    next_reading: Mono,
    read_at: Option<Mono>,
    told: heapless::Deque<Told, 4>,
}

impl Exchange {
    /// A conversation that begins at `now`, with the word that the system is up and a reading.
    pub const fn new(timing: Timing, parts: Parts, now: Mono) -> Self {
        let Parts { temperature, fan } = parts;
        Self {
            timing,
            parts,
            line: Line::Idle,
            hearing: Hearing::Unknown,
            wanted: Wanted { ready: true, temperature, fan, lamp: None },
            shown: None,
            finder: Finder::new(),
            temperature: None,
            fan: Fan::Untried,
            next_reading: now.after(timing.reading),
            read_at: None,
            told: heapless::Deque::new(),
        }
    }

    /// The light is to show this. Of several the last counts; what it shows already is not sent again.
    pub fn handle_lamp(&mut self, lamp: Lamp) {
        self.wanted.lamp = (self.shown != Some(lamp)).then_some(lamp);
        // Another colour is on its way: this one must follow.
        if matches!(self.in_flight(), Some(Command::Lamp(other)) if other != lamp) {
            self.wanted.lamp = Some(lamp);
        }
    }

    /// Somebody wants to know: a reading is begun unless one is at most `age` old or under way. Whether [`Told::Reading`]
    /// is to be waited for.
    pub fn handle_question(&mut self, now: Mono, age: Duration) -> bool {
        if self.parts == (Parts { temperature: false, fan: false })
            || matches!(self.hearing, Hearing::Silent { .. })
            || self.read_at.is_some_and(|at| now.since(at) <= age)
        {
            return false;
        }
        self.begin_reading(now);
        true
    }

    fn begin_reading(&mut self, now: Mono) {
        self.wanted.temperature = self.parts.temperature;
        self.wanted.fan = self.parts.fan && self.fan != Fan::Mute;
        self.next_reading = now.after(self.timing.reading);
    }

    /// The port was opened anew: whatever was under way is forgotten, what is wanted is not.
    pub fn handle_opened(&mut self, now: Mono) {
        self.wanted.lamp = self.wanted.lamp.or(self.shown);
        self.shown = None;
        self.wanted.ready = true;
        self.hearing = Hearing::Unknown;
        self.line = Line::Quiet { until: now, next: None };
    }

    /// Bytes from the line.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Mono) {
        for byte in bytes {
            let Some(frame) = self.finder.handle_byte(*byte) else { continue };
            match self.line {
                Line::Waiting { command, .. } => self.handle_frame(command, frame, now),
                Line::Closing { .. } if frame == ACKNOWLEDGEMENT => self.line = Line::Idle,
                // Nobody asked, or it is what was left of an earlier answer.
                Line::Idle | Line::Quiet { .. } | Line::Sending { .. } | Line::Closing { .. } => {}
            }
        }
    }

    fn handle_frame(&mut self, command: Command, frame: [u8; FRAME], now: Mono) {
        if let Some(value) = command.value(frame) {
            self.line = Line::Closing { until: now.after(self.timing.acknowledgement) };
            self.handle_answer(command, Some(value), now);
        } else if !command.asks() && frame == ACKNOWLEDGEMENT {
            self.line = Line::Idle;
            self.handle_answer(command, None, now);
        }
    }

    fn handle_answer(&mut self, command: Command, value: Option<u8>, now: Mono) {
        if self.hearing != Hearing::Answers {
            self.hearing = Hearing::Answers;
            self.tell(Told::Answers);
        }
        match command {
            Command::Ready => self.wanted.ready = false,
            Command::Lamp(lamp) => {
                self.shown = Some(lamp);
                self.wanted.lamp = self.wanted.lamp.filter(|l| *l != lamp);
            }
            Command::Temperature => {
                self.wanted.temperature = false;
                self.temperature = value;
            }
            Command::Fan => {
                self.wanted.fan = false;
                self.fan = value.map_or(Fan::Mute, Fan::Value);
            }
        }
        self.close_reading(command, now);
    }

    fn close_reading(&mut self, command: Command, now: Mono) {
        if command.asks() && !self.wanted.temperature && !self.wanted.fan {
            self.read_at = Some(now);
            self.tell(Told::Reading);
        }
    }

    /// Something may be due.
    pub fn handle_timeout(&mut self, now: Mono) {
        match self.line {
            Line::Waiting { command, tries, until } if until <= now => {
                self.handle_no_answer(command, tries, now)
            }
            Line::Closing { until } if until <= now => {
                self.line = Line::Quiet { until: now.after(self.timing.quiet), next: None };
            }
            Line::Quiet { until, next } if until <= now => {
                self.finder = Finder::new();
                self.line = match next {
                    Some((command, tries)) => Line::Sending { command, tries, sent: 0 },
                    None => Line::Idle,
                };
            }
            Line::Idle
            | Line::Quiet { .. }
            | Line::Sending { .. }
            | Line::Waiting { .. }
            | Line::Closing { .. } => {}
        }
        if self.next_reading <= now {
            self.begin_reading(now);
        }
        if self.line == Line::Idle
            && self.may_speak(now)
            && let Some(command) = self.next()
        {
            self.line = Line::Sending { command, tries: 1, sent: 0 };
        }
    }

    fn handle_no_answer(&mut self, command: Command, tries: u8, now: Mono) {
        let until = now.after(self.timing.quiet);
        // While it is known to be silent, one question is enough.
        let again = tries < self.timing.tries && !matches!(self.hearing, Hearing::Silent { .. });
        self.line = Line::Quiet { until, next: again.then_some((command, tries.saturating_add(1))) };
        if again {
            return;
        }
        if command == Command::Fan {
            // It answers all else, or this would not have been asked.
            self.fan = Fan::Mute;
            self.wanted.fan = false;
            self.close_reading(command, now);
            return;
        }
        if !matches!(self.hearing, Hearing::Silent { .. }) {
            self.tell(Told::Silent(command));
        }
        self.hearing = Hearing::Silent { again: now.after(self.timing.again) };
        // Old values would be told as if they were new.
        self.temperature = None;
        self.fan = if self.fan == Fan::Mute { Fan::Mute } else { Fan::Untried };
        self.tell(Told::Reading);
    }

    fn may_speak(&self, now: Mono) -> bool {
        match self.hearing {
            Hearing::Unknown | Hearing::Answers => true,
            Hearing::Silent { again } => again <= now,
        }
    }

    fn next(&self) -> Option<Command> {
        let Wanted { ready, temperature, fan, lamp } = self.wanted;
        let lamp = lamp.map(Command::Lamp);
        let questions = [(ready, Command::Ready), (temperature, Command::Temperature), (fan, Command::Fan)];
        let [ready, temperature, fan] = questions.map(|(wanted, command)| wanted.then_some(command));
        ready.or(lamp).or(temperature).or(fan)
    }

    fn in_flight(&self) -> Option<Command> {
        match self.line {
            Line::Sending { command, .. } | Line::Waiting { command, .. } => Some(command),
            Line::Quiet { next, .. } => next.map(|(command, _)| command),
            Line::Idle | Line::Closing { .. } => None,
        }
    }

    /// The next byte to be written; another one not before [`Timing::byte_gap`].
    pub fn poll_byte(&mut self, now: Mono) -> Option<u8> {
        let Line::Sending { command, tries, sent } = self.line else { return None };
        let frame = command.encode();
        let byte = *frame.get(usize::from(sent))?;
        let sent = sent.saturating_add(1);
        self.line = if usize::from(sent) < FRAME {
            Line::Sending { command, tries, sent }
        } else {
            Line::Waiting { command, tries, until: now.after(self.timing.answer) }
        };
        Some(byte)
    }

    /// When [`Exchange::handle_timeout`] wants to be called. `None` while bytes are to be written.
    pub fn poll_timeout(&self) -> Option<Mono> {
        match self.line {
            Line::Sending { .. } => None,
            Line::Waiting { until, .. } | Line::Closing { until } | Line::Quiet { until, .. } => Some(until),
            Line::Idle => Some(match (self.hearing, self.next()) {
                (Hearing::Silent { again }, Some(_)) => again,
                (Hearing::Unknown | Hearing::Answers, Some(_)) => Mono::from_millis(0),
                (_, None) => self.next_reading,
            }),
        }
    }

    /// What became known since.
    pub fn poll_told(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    /// Whether [`Exchange::poll_told`] has something.
    pub fn has_told(&self) -> bool {
        !self.told.is_empty()
    }

    fn tell(&mut self, told: Told) {
        if self.told.is_full() {
            self.told.pop_front();
        }
        let _ = self.told.push_back(told);
    }

    /// The temperature of the last reading.
    pub fn temperature(&self) -> Option<MilliCelsius> {
        self.temperature.and_then(sensor::temperature)
    }

    /// The fan of the last reading, in turns a minute.
    pub const fn fan(&self) -> Option<u32> {
        match self.fan {
            Fan::Value(value) => sensor::rpm(value),
            Fan::Untried | Fan::Mute => None,
        }
    }

    /// What the light shows, by the microcontroller's word.
    pub const fn shown(&self) -> Option<Lamp> {
        self.shown
    }

    /// Whether nothing more is to be done for the light.
    pub const fn is_lamp_done(&self) -> bool {
        self.wanted.lamp.is_none() || matches!(self.hearing, Hearing::Silent { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a microcontroller does with a whole frame: bytes, each lot after so many milliseconds.
    type Habit = fn([u8; FRAME]) -> Vec<(u64, Vec<u8>)>;

    fn good(frame: [u8; FRAME]) -> Vec<(u64, Vec<u8>)> {
        let mut answer = Vec::new();
        let value = match frame[1..3] {
            [0x03, 0x08] => Some(80),
            [0x02, 0x01] => Some(100),
            _ => None,
        };
        if let Some(value) = value {
            answer.push((5, vec![frame[0], frame[1], frame[2], 0, 0, value, frame[6]]));
        }
        answer.push((50, ACKNOWLEDGEMENT.to_vec()));
        answer
    }

    fn silent(_: [u8; FRAME]) -> Vec<(u64, Vec<u8>)> {
        Vec::new()
    }

    fn garbled(frame: [u8; FRAME]) -> Vec<(u64, Vec<u8>)> {
        let mut answer = vec![(1, vec![0xfa, 0xfa, 0x30, 0xfb, 0x00])];
        answer.extend(good(frame));
        answer
    }

    fn fanless(frame: [u8; FRAME]) -> Vec<(u64, Vec<u8>)> {
        if frame[1] == 2 { Vec::new() } else { good(frame) }
    }

    /// Every acknowledgement comes when nobody waits for it any more.
    fn late(frame: [u8; FRAME]) -> Vec<(u64, Vec<u8>)> {
        good(frame)
            .into_iter()
            .map(|(after, bytes)| (after + if bytes == ACKNOWLEDGEMENT { 600 } else { 0 }, bytes))
            .collect()
    }

    const ALL: Parts = Parts { temperature: true, fan: true };

    struct World {
        exchange: Exchange,
        now: u64,
        habit: Habit,
        line: Finder,
        coming: Vec<(u64, Vec<u8>)>,
        /// Whole frames with the time of their last byte.
        sent: Vec<(u64, [u8; FRAME])>,
        told: Vec<Told>,
    }

    impl World {
        fn new(habit: Habit) -> Self {
            let exchange = Exchange::new(Timing::USUAL, ALL, Mono::from_millis(0));
            let (coming, sent, told) = (Vec::new(), Vec::new(), Vec::new());
            Self { exchange, now: 0, habit, line: Finder::new(), coming, sent, told }
        }

        /// Millisecond by millisecond, a byte in each.
        fn run(&mut self, ms: u64) {
            for _ in 0..ms {
                self.now += 1;
                let now = Mono::from_millis(self.now);
                let (due, rest) =
                    std::mem::take(&mut self.coming).into_iter().partition(|(at, _)| *at <= self.now);
                self.coming = rest;
                let due: Vec<(u64, Vec<u8>)> = due;
                due.iter().for_each(|(_, bytes)| self.exchange.handle_bytes(bytes, now));
                if self.exchange.poll_timeout().is_some_and(|at| at <= now) {
                    self.exchange.handle_timeout(now);
                }
                if let Some(byte) = self.exchange.poll_byte(now)
                    && let Some(frame) = self.line.handle_byte(byte)
                {
                    self.sent.push((self.now, frame));
                    let answers = (self.habit)(frame);
                    self.coming.extend(answers.into_iter().map(|(after, bytes)| (self.now + after, bytes)));
                }
                while let Some(told) = self.exchange.poll_told() {
                    self.told.push(told);
                }
            }
        }

        fn commands(&self) -> Vec<[u8; FRAME]> {
            self.sent.iter().map(|(_, frame)| *frame).collect()
        }
    }

    fn frames(commands: &[Command]) -> Vec<[u8; FRAME]> {
        commands.iter().map(|c| c.encode()).collect()
    }

    #[test]
    fn a_good_one_is_told_of_and_asked_once() {
        for habit in [good as Habit, garbled] {
            let mut world = World::new(habit);
            world.exchange.handle_lamp(Lamp::BlueFade);
            world.run(60_000);
            let expect = [Command::Ready, Command::Lamp(Lamp::BlueFade), Command::Temperature, Command::Fan];
            assert_eq!(world.commands(), frames(&expect));
            assert_eq!(world.told, [Told::Answers, Told::Reading]);
            let found = world.exchange.temperature().unwrap().degrees();
            assert!((found - 46.9).abs() < 0.05, "{found}");
            assert_eq!((world.exchange.fan(), world.exchange.shown()), (Some(3000), Some(Lamp::BlueFade)));
        }
    }

    #[test]
    fn what_is_shown_already_is_not_sent_again() {
        let mut world = World::new(good);
        for lamp in [Lamp::Red, Lamp::Red, Lamp::Blue, Lamp::Blue] {
            world.exchange.handle_lamp(lamp);
            world.run(1000);
        }
        let lamps = world.commands().into_iter().filter(|f| f[1] == 0x26).count();
        assert_eq!(lamps, 2);
    }

    #[test]
    fn the_last_wish_counts_whatever_was_on_its_way() {
        let mut world = World::new(good);
        world.exchange.handle_lamp(Lamp::Blue);
        world.run(1000);
        world.exchange.handle_lamp(Lamp::Red);
        world.run(3);
        world.exchange.handle_lamp(Lamp::Blue);
        world.run(1000);
        assert_eq!(world.exchange.shown(), Some(Lamp::Blue));
    }

    #[test]
    fn a_silent_one_is_asked_three_times_and_then_rarely() {
        let mut world = World::new(silent);
        world.run(110_000);
        assert_eq!(world.commands(), frames(&[Command::Ready; 3]));
        assert_eq!(world.told, [Told::Silent(Command::Ready), Told::Reading]);
        world.run(120_000);
        assert_eq!(world.sent.len(), 4, "one question, and no new word of it");
        assert_eq!(world.told.len(), 3, "{:?}", world.told);
        assert!(
            !world.exchange.handle_question(Mono::from_millis(world.now), Duration::ZERO),
            "nobody waits for it"
        );
        world.habit = good;
        world.run(130_000);
        assert_eq!(world.told[3..5], [Told::Answers, Told::Reading], "{:?}", world.told);
        assert!(world.exchange.temperature().is_some());
    }

    #[test]
    fn one_that_falls_silent_leaves_no_old_values() {
        let mut world = World::new(good);
        world.run(1000);
        world.habit = silent;
        world.run(310_000);
        assert_eq!((world.exchange.temperature(), world.exchange.fan()), (None, None));
        assert!(world.told.contains(&Told::Silent(Command::Temperature)));
    }

    #[test]
    fn a_fan_that_does_not_answer_is_not_asked_again_and_hides_nothing() {
        let mut world = World::new(fanless);
        world.run(1_000_000);
        assert_eq!(world.commands().iter().filter(|f| f[1] == 2).count(), 3);
        assert!(world.exchange.temperature().is_some() && world.exchange.fan().is_none());
        assert!(!world.told.iter().any(|t| matches!(t, Told::Silent(_))), "{:?}", world.told);
    }

    #[test]
    fn a_late_acknowledgement_is_nobodys() {
        let mut world = World::new(late);
        world.exchange.handle_lamp(Lamp::Red);
        world.run(2_700);
        // 600 ms after each frame, 100 ms after its time was up, while the line is left alone.
        assert_eq!(world.commands(), frames(&[Command::Ready; 3]));
        assert_eq!(world.exchange.shown(), None, "none was taken for the light's");
    }

    #[test]
    fn a_value_without_its_acknowledgement_counts() {
        let mut world = World::new(|frame| {
            good(frame)
                .into_iter()
                .filter(|(after, _)| frame[1] == 3 && frame[2] == 1 || *after == 5)
                .collect()
        });
        world.run(3000);
        assert!(world.exchange.temperature().is_some() && world.exchange.fan() == Some(3000));
    }

    #[test]
    fn the_thermometer_is_read_every_five_minutes_or_when_asked() {
        let mut world = World::new(good);
        world.run(900_500);
        assert_eq!(world.sent.len(), 1 + 2 * 4);
        let now = Mono::from_millis(world.now);
        assert!(!world.exchange.handle_question(now, Duration::from_secs(10)), "it was just now");
        world.run(20_000);
        let now = Mono::from_millis(world.now);
        assert!(world.exchange.handle_question(now, Duration::from_secs(10)));
        world.run(1000);
        assert_eq!(world.sent.len(), 11);
    }

    #[test]
    fn what_is_not_there_is_not_asked_for() {
        let mut world = World::new(good);
        world.exchange = Exchange::new(Timing::USUAL, Parts { fan: false, ..ALL }, Mono::from_millis(0));
        world.run(400_000);
        assert_eq!(world.commands(), frames(&[Command::Ready, Command::Temperature, Command::Temperature]));
        let nothing = Parts { temperature: false, fan: false };
        let mut exchange = Exchange::new(Timing::USUAL, nothing, Mono::from_millis(0));
        assert!(!exchange.handle_question(Mono::from_millis(5), Duration::ZERO), "nobody would be answered");
    }

    #[test]
    fn a_port_that_was_opened_anew_is_told_all_again() {
        let mut world = World::new(good);
        world.exchange.handle_lamp(Lamp::Orange);
        world.run(1000);
        world.exchange.handle_opened(Mono::from_millis(world.now));
        world.run(1000);
        let again = &world.commands()[4..];
        assert_eq!(again, frames(&[Command::Ready, Command::Lamp(Lamp::Orange)]));
    }

    proptest! {
        /// Whatever comes back: no panic, one command at a time, and never more than a frame a quiet time.
        #[test]
        fn any_noise_ends(noise in prop::collection::vec((0u64..4000, prop::collection::vec(any::<u8>(), 0..20)), 0..20)) {
            let mut world = World::new(silent);
            world.coming = noise;
            world.run(20_000);
            prop_assert!(world.sent.len() <= 12, "{}", world.sent.len());
            let frames = world.commands();
            prop_assert!(frames.iter().all(|f| f[1] != 2 || f[2] == 1));
        }
    }
}
