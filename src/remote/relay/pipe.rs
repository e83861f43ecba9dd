//! One end of a carrier through the broker: bytes in, frames out, and back. A core.
//!
//! Either end says how much it takes (its window less what nobody has read yet); nothing is sent beyond that. The window
//! begins small and is doubled when the other end says that it had to wait for it while the reader kept up: then it is smaller
//! than what fits on the way. Nothing is repeated: a message that is missing ends the carrier, and whoever carries on opens another.

use core::time::Duration;
use std::collections::VecDeque;

use super::frame::{BYTES_MAX, Body, End, Frame, decode};
use crate::units::Mono;

/// What a window begins with.
pub const WINDOW_LEAST: usize = 256 * 1024;
/// What it grows to.
pub const WINDOW_MAX: usize = 2048 * 1024;
/// Bytes that may wait to be framed.
const OUTBOX_MAX: usize = 64 * 1024;
/// What came is acknowledged after this long, if nothing else says so before.
const ACKNOWLEDGE_AFTER: Duration = Duration::from_secs(2);
/// Bytes that nobody acknowledges for this long are lost. Far beyond [`ACKNOWLEDGE_AFTER`] and any line.
const LOST_AFTER: Duration = Duration::from_secs(15);
/// A word is said at least this often: it finds a carrier that the broker has forgotten, and keeps the connection to it.
const WORD_EVERY: Duration = Duration::from_secs(20);
/// Without a word for this long the other end is gone.
const SILENT_AFTER: Duration = Duration::from_secs(50);

/// Which end this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The NAS: it says the first word when it listens.
    Nas,
    /// The device: it waits for that.
    Device,
}

/// One end. It has ended when [`Pipe::end`] says why; then there is nothing more to send once [`Pipe::poll_frame`] has nothing.
#[derive(Debug)]
pub struct Pipe {
    bytes_max: usize,
    // What goes out.
    outbox: VecDeque<u8>,
    /// Since when it is to end.
    closing: Option<Mono>,
    sequence: u32,
    sent: u64,
    acknowledged: u64,
    limit: u64,
    /// Bytes wait for credit.
    waits: bool,
    unacknowledged_since: Mono,
    // What comes in.
    inbox: VecDeque<u8>,
    expected: u32,
    received: u64,
    window: usize,
    /// How far the other end was told that it may go, and what it was told to have arrived.
    told_limit: u64,
    told_received: u64,
    owed_since: Mono,
    /// A word is to be said even if nothing is owed.
    word: bool,
    heard: Mono,
    spoke: Mono,
    end: Option<End>,
    end_told: bool,
}

impl Pipe {
    /// A carrier that begins now. `message_max`: the largest payload that the broker takes, in bytes.
    pub fn new(side: Side, now: Mono, message_max: usize) -> Self {
        Self {
            bytes_max: BYTES_MAX.min(message_max.saturating_sub(super::frame::HEAD)).max(1),
            outbox: VecDeque::new(),
            closing: None,
            sequence: 0,
            sent: 0,
            acknowledged: 0,
            limit: 0,
            waits: false,
            unacknowledged_since: now,
            inbox: VecDeque::new(),
            expected: 0,
            received: 0,
            window: WINDOW_LEAST,
            told_limit: 0,
            told_received: 0,
            owed_since: now,
            word: side == Side::Nas,
            heard: now,
            spoke: now,
            end: None,
            end_told: false,
        }
    }

    /// Why it ended, if it has.
    pub const fn end(&self) -> Option<End> {
        self.end
    }

    /// Whether it has ended and the other end was told.
    pub const fn is_over(&self) -> bool {
        self.end.is_some() && self.end_told
    }

    /// Whether [`Pipe::close`] was called.
    pub const fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// Whether the other end has said anything.
    pub const fn is_heard(&self) -> bool {
        self.expected > 0
    }

    /// Bytes of its window beyond the least: what it has taken of the common budget.
    pub const fn extra(&self) -> usize {
        self.window - WINDOW_LEAST
    }

    /// Takes bytes to send; how many. None: there is no room now, or it has ended.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        if self.end.is_some() || self.closing.is_some() {
            return 0;
        }
        let n = bytes.len().min(OUTBOX_MAX.saturating_sub(self.outbox.len()));
        self.outbox.extend(bytes.get(..n).unwrap_or_default());
        n
    }

    /// Whether [`Pipe::write`] would take any.
    pub fn has_room(&self) -> bool {
        self.end.is_none() && self.closing.is_none() && self.outbox.len() < OUTBOX_MAX
    }

    /// Gives bytes that came; how many. None: nothing is there now, or ever again.
    pub fn read(&mut self, into: &mut [u8]) -> usize {
        let (front, back) = self.inbox.as_slices();
        let mut n = 0;
        for part in [front, back] {
            let room = into.get_mut(n..).unwrap_or_default();
            let take = part.len().min(room.len());
            if let (Some(to), Some(from)) = (room.get_mut(..take), part.get(..take)) {
                to.copy_from_slice(from);
            }
            n += take;
        }
        self.inbox.drain(..n);
        if self.inbox.is_empty() && self.inbox.capacity() > WINDOW_LEAST {
            // A burst is over: give its memory back.
            self.inbox = VecDeque::new();
        }
        n
    }

    /// Whether [`Pipe::read`] would give any.
    pub fn has_bytes(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// Ends it when everything is sent.
    pub fn close(&mut self, now: Mono) {
        self.closing = self.closing.or(Some(now));
    }

    /// Ends it now. The other end is told, unless it is the one that cannot be reached.
    pub fn abort(&mut self, end: End) {
        if self.end.is_none() {
            self.end = Some(end);
            self.end_told = end == End::Line;
            self.outbox = VecDeque::new();
        }
    }

    /// A message came. `spare`: bytes that all windows together may still grow by.
    pub fn handle_frame(&mut self, now: Mono, message: &[u8], spare: &mut usize) {
        if self.end.is_some() {
            return;
        }
        if let Err(end) = self.take(now, message, spare) {
            self.abort(end);
        }
    }

    fn take(&mut self, now: Mono, message: &[u8], spare: &mut usize) -> Result<(), End> {
        let frame = decode(message).map_err(|_| End::Garbled)?;
        let is_next = frame.sequence == self.expected;
        let (bytes, waited) = match frame.body {
            // The end that a NAS says to a carrier that it does not take is the first and last of its frames.
            Body::End(end) if is_next || frame.sequence == 0 => {
                (self.end, self.end_told) = (Some(end), true);
                self.outbox = VecDeque::new();
                return Ok(());
            }
            Body::Bytes(bytes) if is_next => (bytes, false),
            Body::Late(bytes) if is_next => (bytes, true),
            Body::End(_) | Body::Bytes(_) | Body::Late(_) => return Err(End::Gap),
        };
        self.expected = self.expected.wrapping_add(1);
        self.heard = now;
        if frame.received < self.acknowledged || frame.received > self.sent {
            return Err(End::Garbled);
        }
        if frame.received > self.acknowledged {
            self.acknowledged = frame.received;
            self.unacknowledged_since = now;
        }
        self.limit = self.limit.max(frame.received.saturating_add(u64::from(frame.credit)));
        if waited && self.inbox.len() < self.window / 2 {
            let more = self.window.min(WINDOW_MAX - self.window).min(*spare);
            self.window += more;
            *spare -= more;
        }
        self.take_bytes(now, bytes)
    }

    fn take_bytes(&mut self, now: Mono, bytes: &[u8]) -> Result<(), End> {
        if bytes.is_empty() {
            return Ok(());
        }
        let received = self.received.saturating_add(bytes.len() as u64);
        if received > self.told_limit {
            return Err(End::Overrun);
        }
        if self.received == self.told_received {
            self.owed_since = now;
        }
        self.received = received;
        self.inbox.extend(bytes);
        Ok(())
    }

    /// How far the other end may go now.
    fn take_limit(&self) -> u64 {
        self.received + self.window.saturating_sub(self.inbox.len()) as u64
    }

    /// The next message to send, if there is one.
    pub fn poll_frame(&mut self, now: Mono) -> Option<Vec<u8>> {
        if self.end.is_none() && self.closing.is_some() && self.outbox.is_empty() {
            self.end = Some(End::Done);
        }
        if let Some(end) = self.end {
            let told = std::mem::replace(&mut self.end_told, true);
            return (!told).then(|| self.frame(now, Body::End(end)));
        }
        let room = usize::try_from(self.limit.saturating_sub(self.sent)).unwrap_or(usize::MAX);
        let n = self.outbox.len().min(room).min(self.bytes_max);
        if n > 0 {
            if self.sent == self.acknowledged {
                self.unacknowledged_since = now;
            }
            let waited = std::mem::take(&mut self.waits);
            let mut frame = self.frame(now, if waited { Body::Late(&[]) } else { Body::Bytes(&[]) });
            frame.reserve_exact(n);
            let (front, back) = self.outbox.as_slices();
            frame.extend_from_slice(front.get(..n).unwrap_or(front));
            frame.extend_from_slice(back.get(..n.saturating_sub(front.len())).unwrap_or_default());
            self.outbox.drain(..n);
            self.sent += n as u64;
            return Some(frame);
        }
        self.waits = !self.outbox.is_empty();
        (self.word || self.is_word_due(now)).then(|| self.frame(now, Body::Bytes(&[])))
    }

    /// Whether the other end waits for our word, or is to hear that we are here.
    fn is_word_due(&self, now: Mono) -> bool {
        let opened = self.take_limit().saturating_sub(self.told_limit);
        let owes = self.received > self.told_received && now >= self.owed_since.after(ACKNOWLEDGE_AFTER);
        opened >= self.window as u64 / 2 && self.is_heard() || owes || now >= self.spoke.after(WORD_EVERY)
    }

    fn frame(&mut self, now: Mono, body: Body<'_>) -> Vec<u8> {
        self.told_limit = self.told_limit.max(self.take_limit());
        self.told_received = self.received;
        (self.word, self.spoke) = (false, now);
        let credit = u32::try_from(self.told_limit - self.received).unwrap_or(u32::MAX);
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        Frame { sequence, received: self.received, credit, body }.encode()
    }

    /// When [`Pipe::handle_timeout`] has something to do.
    pub fn poll_deadline(&self) -> Option<Mono> {
        let lost = (self.sent > self.acknowledged).then(|| self.unacknowledged_since.after(LOST_AFTER));
        let closed = self.closing.map(|since| since.after(LOST_AFTER));
        let all = [lost, closed, Some(self.heard.after(SILENT_AFTER))];
        all.into_iter().flatten().min().filter(|_| self.end.is_none())
    }

    /// When it is time for that, or [`Pipe::poll_frame`] has something to say.
    pub fn poll_timeout(&self) -> Option<Mono> {
        let owed = (self.received > self.told_received).then(|| self.owed_since.after(ACKNOWLEDGE_AFTER));
        let all = [self.poll_deadline(), owed, Some(self.spoke.after(WORD_EVERY))];
        all.into_iter().flatten().min().filter(|_| self.end.is_none())
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Mono) {
        if self.poll_deadline().is_some_and(|at| at <= now) {
            self.abort(End::Silent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Random, Seeded, bytes};
    use crate::remote::relay::frame::refusal;

    fn ms(ms: u64) -> Mono {
        Mono::from_millis(ms)
    }

    /// Both ends, and the messages that are under way between them.
    struct Pair {
        ends: [Pipe; 2],
        under_way: [VecDeque<Vec<u8>>; 2],
        spare: usize,
        now: Mono,
    }

    impl Pair {
        fn new() -> Self {
            let pipe = |side| Pipe::new(side, ms(0), 16 * 1024);
            let ends = [pipe(Side::Nas), pipe(Side::Device)];
            Self { ends, under_way: Default::default(), spare: 1 << 20, now: ms(0) }
        }

        fn send(&mut self) {
            for (end, way) in self.ends.iter_mut().zip(&mut self.under_way) {
                while let Some(frame) = end.poll_frame(self.now) {
                    way.push_back(frame);
                }
            }
        }

        /// Carries messages until neither end has more to say.
        fn settle(&mut self) {
            loop {
                self.send();
                let mut moved = false;
                for from in 0..2 {
                    while let Some(frame) = self.under_way[from].pop_front() {
                        self.ends[1 - from].handle_frame(self.now, &frame, &mut self.spare);
                        moved = true;
                    }
                }
                if !moved {
                    return;
                }
            }
        }

        fn read(&mut self, end: usize) -> Vec<u8> {
            let mut buffer = vec![0; 2 << 20];
            let n = self.ends[end].read(&mut buffer);
            buffer.truncate(n);
            buffer
        }
    }

    #[test]
    fn the_device_waits_for_the_nas_and_then_bytes_flow_both_ways() {
        let mut pair = Pair::new();
        assert_eq!(pair.ends[1].write(b"hello"), 5);
        assert_eq!(pair.ends[1].poll_frame(pair.now), None, "it may not be there yet");
        pair.settle();
        assert_eq!(pair.read(0), b"hello");
        pair.ends[0].write(b"and you");
        pair.settle();
        assert_eq!(pair.read(1), b"and you");
        pair.ends[0].write(b"last");
        pair.ends[0].close(ms(0));
        pair.settle();
        assert_eq!(pair.read(1), b"last");
        assert_eq!((pair.ends[0].end(), pair.ends[1].end()), (Some(End::Done), Some(End::Done)));
    }

    #[test]
    fn nothing_is_sent_beyond_the_credit_and_a_reader_opens_it_again() {
        let mut pair = Pair::new();
        pair.settle();
        let sent: Vec<u8> = (0..300_000u32).map(|i| (i % 251) as u8).collect();
        let (mut written, mut got) = (0, Vec::new());
        for _ in 0..200 {
            written += pair.ends[0].write(&sent[written..]);
            pair.settle();
            assert!(pair.ends[1].inbox.len() <= WINDOW_MAX);
        }
        let (stuck, window) = (written, pair.ends[1].window);
        assert!(stuck <= window + OUTBOX_MAX, "{stuck} of {window}: nobody reads, so it ends somewhere");
        while got.len() < sent.len() {
            got.extend(pair.read(1));
            written += pair.ends[0].write(&sent[written..]);
            pair.settle();
        }
        assert_eq!(got, sent);
        assert_eq!(pair.ends.iter().map(Pipe::end).collect::<Vec<_>>(), [None, None]);
    }

    #[test]
    fn a_window_grows_while_it_is_too_small_and_only_within_the_budget() {
        let mut pair = Pair::new();
        pair.settle();
        pair.spare = 200_000;
        // A line on which everything takes one turn, and a reader that takes everything at once.
        for _ in 0..100 {
            while pair.ends[0].write(&[7; 65_536]) > 0 {
                pair.send();
            }
            let turn = pair.under_way.each_mut().map(std::mem::take);
            for (from, frames) in turn.iter().enumerate() {
                for frame in frames {
                    pair.ends[1 - from].handle_frame(pair.now, frame, &mut pair.spare);
                    pair.read(1);
                }
            }
            pair.send();
        }
        assert_eq!((pair.ends[1].extra(), pair.spare), (200_000, 0));
        // A reader that does not keep up gets no more.
        let mut pair = Pair::new();
        pair.settle();
        for _ in 0..40 {
            pair.ends[0].write(&[7; 16_000]);
            pair.settle();
        }
        assert_eq!(pair.ends[1].extra(), 0);
    }

    /// What the broker does to messages, and what it must lead to.
    #[track_caller]
    fn harm(harm: impl Fn(&mut VecDeque<Vec<u8>>), expect: End) {
        let mut pair = Pair::new();
        pair.settle();
        for part in [b"one", b"two", b"six"] {
            pair.ends[0].write(part);
            pair.send();
        }
        harm(&mut pair.under_way[0]);
        pair.settle();
        assert_eq!(pair.ends[1].end(), Some(expect));
        assert_eq!(pair.ends[0].end(), Some(expect), "the other end is told");
    }

    #[test]
    fn what_a_broker_does_to_messages_ends_the_carrier_with_its_name() {
        harm(|way| drop(way.remove(1)), End::Gap);
        harm(|way| way.swap(0, 1), End::Gap);
        harm(|way| way.push_back(way[0].clone()), End::Gap);
        harm(|way| way[1].truncate(10), End::Garbled);
        harm(|way| way[1][1] = 9, End::Garbled);
        harm(|way| way[1][6] = 1, End::Garbled);
        harm(
            |way| {
                // More than ever was allowed, in frames that are right in themselves.
                let more = |sequence| {
                    let body = Body::Bytes(&[0; BYTES_MAX]);
                    Frame { sequence, received: 0, credit: 0, body }.encode()
                };
                let enough = WINDOW_LEAST.div_ceil(BYTES_MAX) as u32 + 1;
                way.extend((4..4 + enough).map(more));
            },
            End::Overrun,
        );
    }

    #[test]
    fn the_last_message_lost_is_noticed_by_time() {
        let mut pair = Pair::new();
        pair.settle();
        pair.ends[0].write(b"lost");
        pair.send();
        pair.under_way[0].clear();
        pair.now = pair.ends[0].poll_timeout().unwrap();
        assert_eq!(pair.now, ms(15_000));
        pair.ends[0].handle_timeout(pair.now);
        assert_eq!(pair.ends[0].end(), Some(End::Silent));
    }

    #[test]
    fn an_idle_carrier_lives_by_few_words_and_dies_without_them() {
        let mut pair = Pair::new();
        pair.settle();
        let mut frames = 0;
        while pair.now < ms(600_000) {
            pair.now = pair.ends.iter().filter_map(Pipe::poll_timeout).min().unwrap();
            pair.ends.iter_mut().for_each(|e| e.handle_timeout(pair.now));
            pair.send();
            frames += pair.under_way.iter().map(VecDeque::len).sum::<usize>();
            pair.settle();
        }
        assert!(pair.ends.iter().all(|e| e.end().is_none()) && frames <= 62, "{frames} in ten minutes");
        // The other end is never heard again.
        let end = &mut pair.ends[0];
        while end.end().is_none() {
            let now = end.poll_timeout().unwrap();
            end.handle_timeout(now);
            while end.poll_frame(now).is_some() {}
        }
        assert_eq!((end.end(), end.poll_timeout()), (Some(End::Silent), None));
    }

    #[test]
    fn a_nas_that_does_not_take_it_says_why() {
        let mut pair = Pair::new();
        pair.ends[1].handle_frame(ms(1), &refusal(End::Full), &mut 0);
        assert_eq!((pair.ends[1].end(), pair.ends[1].poll_frame(ms(1))), (Some(End::Full), None));
    }

    /// Random writes, reads, delays and, in half of the runs, one loss: what is read is always what was written, from its beginning,
    /// and without a loss all of it.
    #[test]
    fn whatever_happens_what_is_read_is_what_was_written() {
        let mut whole = 0;
        for seed in 0..60 {
            let mut random = Seeded::new(seed);
            let mut dice = |n: u32| u32::from_le_bytes(bytes(&mut random as &mut dyn Random)) % n;
            let mut pair = Pair::new();
            let lossy = dice(2) == 0;
            let (mut written, mut read) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
            for step in 0..400 {
                pair.now = pair.now.after(Duration::from_millis(u64::from(dice(40))));
                let end = dice(2) as usize;
                match dice(4) {
                    0 => {
                        let chunk: Vec<u8> = (0..dice(20_000)).map(|i| (i * 7 + step) as u8).collect();
                        let n = pair.ends[end].write(&chunk);
                        written[end].extend_from_slice(&chunk[..n]);
                    }
                    1 => {
                        let got = pair.read(end);
                        read[end].extend(got);
                    }
                    2 => pair.send(),
                    _ => {
                        for _ in 0..dice(8) {
                            let Some(frame) = pair.under_way[1 - end].pop_front() else { break };
                            if lossy && dice(200) == 0 {
                                continue;
                            }
                            pair.ends[end].handle_frame(pair.now, &frame, &mut pair.spare);
                        }
                    }
                }
                pair.ends.iter_mut().for_each(|e| e.handle_timeout(pair.now));
            }
            for _ in 0..100 {
                pair.settle();
                // A lost word is noticed by the next one.
                pair.now = pair.now.after(Duration::from_secs(1));
                pair.ends.iter_mut().for_each(|e| e.handle_timeout(pair.now));
                for (end, read) in read.iter_mut().enumerate() {
                    read.extend(pair.read(end));
                }
            }
            let ended = pair.ends.iter().any(|e| e.end().is_some());
            for end in 0..2 {
                assert!(written[1 - end].starts_with(&read[end]), "seed {seed}");
                assert!(ended || read[end] == written[1 - end], "seed {seed}: all of it");
            }
            assert!(lossy || !ended, "seed {seed}: {:?}", pair.ends.map(|e| e.end()));
            whole += u32::from(!ended);
        }
        assert!(whole >= 25, "most runs reach their end: {whole}");
    }
}
