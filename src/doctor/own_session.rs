//! What the agent's own session says: the better proof while it is online, and causes that no other step can see. A core.

use core::time::Duration;

use super::check::{Standing, Step};
use super::facts::Session;
use crate::health::finding::Code;
use crate::session::cause::{Cause, TAKEN_OVER};
use crate::session::packet::Level;
use crate::session::record::Packets;
use crate::units::Span;

/// A pause or a loss is worth a word for this long.
const LATELY: Duration = Duration::from_secs(600);
/// Packets that were sent once more: so many are no accident …
const REPEATED_MIN: u32 = 3;
/// … if they are more than one of this many.
const REPEATED_SHARE: u32 = 50;

/// How the session stands. `broken`: the first step before it that failed.
pub(super) fn judge(session: &Session, broken: Option<Step>) -> (Standing, String) {
    match (&session.confirmed, &session.last_failure) {
        (_, Some(cause)) if *cause == Cause::Ended(TAKEN_OVER) => {
            (Standing::Fail(Code::IdentityCloned), cause.to_string())
        }
        (None, Some(cause @ Cause::Box(_))) => (Standing::Fail(Code::BoxResources), cause.to_string()),
        _ if session.flooded.is_some() => {
            (Standing::Warn(Code::MessageFlood), session.flooded.clone().unwrap_or_default())
        }
        _ if session.unstable.is_some() => {
            (Standing::Warn(Code::SessionUnstable), session.unstable.clone().unwrap_or_default())
        }
        (Some(ago), _) => online(session, *ago),
        (None, _) if !session.wanted => (Standing::Skip, "switched off, or no agent runs".to_owned()),
        // The steps before have passed by now, or have named the cause.
        (None, Some(cause)) => match (broken, cause.finding()) {
            (None, Some(code)) => (Standing::Warn(code), format!("not online yet; the last time: {cause}")),
            _ => (Standing::Skip, format!("not online: {cause}")),
        },
        (None, None) => (Standing::Skip, "not online yet".to_owned()),
    }
}

fn online(session: &Session, ago: Duration) -> (Standing, String) {
    let mut detail = format!("online, confirmed {} s ago", ago.as_secs());
    if let Some((ago, cause)) = session.lost.as_ref().filter(|(ago, _)| *ago <= LATELY) {
        detail += &format!("; it was lost {} ago: {cause}", Span(*ago));
    }
    if let Some(packets) = session.packets.filter(are_lost) {
        let Packets { sent, repeated } = packets;
        detail += &format!("; {repeated} of {sent} packets had to be sent once more");
        return (Standing::Warn(Code::NetworkSlow), detail);
    }
    if let Some((ago, long)) = session.stopped.filter(|(ago, _)| *ago <= LATELY) {
        detail += &format!("; the agent stood still until {} ago, for {} or more", Span(ago), Span(long));
        return (Standing::Warn(Code::WasStopped), detail);
    }
    (Standing::Pass, detail)
}

/// Whether too many were sent once more.
const fn are_lost(packets: &Packets) -> bool {
    packets.repeated >= REPEATED_MIN && packets.repeated.saturating_mul(REPEATED_SHARE) > packets.sent
}

/// What the protocol of an open session says of the broker.
pub(super) fn of_level(level: Level) -> Standing {
    match level {
        Level::V5 => Standing::Pass,
        Level::V311 => Standing::Warn(Code::BrokerOld),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(change: impl FnOnce(&mut Session), expect: Option<Code>, says: &str) {
        let confirmed = Some(Duration::from_secs(5));
        let mut session = Session { wanted: true, confirmed, level: Some(Level::V5), ..Session::default() };
        change(&mut session);
        let (standing, detail) = judge(&session, None);
        assert_eq!(standing.code(), expect, "{detail}");
        assert!(detail.contains(says), "{detail}");
    }

    #[test]
    fn an_online_session_tells_what_it_went_through() {
        let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3600));
        check(|_| {}, None, "confirmed 5 s ago");
        check(|s| s.lost = Some((minute, Cause::AddressChanged)), None, "it was lost 1 min ago");
        check(|s| s.lost = Some((hour, Cause::AddressChanged)), None, "online, confirmed 5 s ago");
        check(|s| s.stopped = Some((minute, minute)), Some(Code::WasStopped), "stood still");
        check(|s| s.stopped = Some((hour, minute)), None, "online");
        check(|s| s.flooded = Some("900 messages".to_owned()), Some(Code::MessageFlood), "900");
        check(|s| s.unstable = Some("lost 4 times".to_owned()), Some(Code::SessionUnstable), "4 times");
    }

    #[test]
    fn packets_that_are_sent_again_and_again_are_a_bad_line() {
        for (sent, repeated, many) in
            [(1000, 2, false), (10, 2, false), (1000, 20, false), (1000, 21, true), (40, 3, true)]
        {
            let code = many.then_some(Code::NetworkSlow);
            check(|s| s.packets = Some(Packets { sent, repeated }), code, "online");
        }
    }
}
