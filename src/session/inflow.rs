//! Whether somebody sends more messages than any device would. A core.

use core::time::Duration;

use crate::units::Mono;

/// Messages are counted in spans of this length.
const SPAN: Duration = Duration::from_secs(5);
/// More in one span is a flood: ten a second, the most that one control session is to send (docs/broker.md), for a full span.
const TOO_MANY: u32 = 50;

/// The count of the present span, and what the last one came to.
#[derive(Debug, Default)]
pub struct Inflow {
    began: Mono,
    count: u32,
    before: u32,
}

impl Inflow {
    /// One has come.
    pub fn handle_message(&mut self, now: Mono) {
        self.handle_timeout(now);
        self.count = self.count.saturating_add(1);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Mono) {
        let passed = now.since(self.began);
        if passed >= SPAN {
            // After two spans the last one had none.
            self.before = if passed < SPAN * 2 { self.count } else { 0 };
            (self.began, self.count) = (now, 0);
        }
    }

    /// The evidence, while it is too many.
    pub fn flood(&self) -> Option<String> {
        let most = self.count.max(self.before);
        (most > TOO_MANY).then(|| format!("{most} messages within {} s", SPAN.as_secs()))
    }

    /// When [`Inflow::handle_timeout`] has something to do: only while there is a flood to end.
    pub fn poll_timeout(&self) -> Option<Mono> {
        self.flood().map(|_| self.began.after(SPAN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Mono {
        Mono::from_millis(ms)
    }

    /// So many messages, this far apart.
    fn send(inflow: &mut Inflow, from: u64, count: u64, every: u64) -> u64 {
        (0..count).for_each(|i| inflow.handle_message(ms(from + i * every)));
        from + count * every
    }

    #[test]
    fn what_devices_send_is_none_and_more_is_one_until_it_has_ended() {
        let mut inflow = Inflow::default();
        let mut now = send(&mut inflow, 100_000, 300, 110);
        assert_eq!((inflow.flood(), inflow.poll_timeout()), (None, None), "nine a second are not");
        now = send(&mut inflow, now, 400, 10);
        assert!(inflow.flood().is_some(), "a hundred a second are");
        let mut turns = 0;
        while let Some(at) = inflow.poll_timeout() {
            now = now.max(at.as_millis());
            inflow.handle_timeout(ms(now));
            turns += 1;
            assert!(turns < 4);
        }
        assert_eq!(inflow.flood(), None, "it is over within two spans: {turns}");
    }

    #[test]
    fn a_long_quiet_forgets_at_once() {
        let mut inflow = Inflow::default();
        send(&mut inflow, 100_000, 200, 1);
        inflow.handle_timeout(ms(200_000));
        assert_eq!(inflow.flood(), None);
    }
}
