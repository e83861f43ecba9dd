//! Where the broker is: what the name servers say, what worked, what only seemed to. A core.

use core::net::{IpAddr, SocketAddr};

use super::cause::Cause;
use super::race;
use crate::units::Mono;

/// What is known of the broker's addresses. In memory only.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// Those of the last lookup.
    named: heapless::Vec<IpAddr, { race::ADDRESSES_MAX }>,
    /// The one that TCP opened to in this attempt or session.
    peer: Option<SocketAddr>,
    /// That of the last confirmed session: the last resort when no name server answers.
    worked: Option<SocketAddr>,
    /// TCP opened there, and nothing came of it.
    demoted: Option<SocketAddr>,
    /// Where somebody else answered since the last confirmed session; the oldest makes room.
    astray: heapless::Deque<IpAddr, { race::ADDRESSES_MAX }>,
    /// What the name servers gave led to somebody without the broker's certificate.
    distrust: bool,
    /// Why the present attempt or session goes by `worked` instead of by the name.
    by_memory: Option<Cause>,
    /// `worked` is not tried again before: it failed, too.
    memory_rests_until: Mono,
}

impl Addresses {
    /// The addresses by the last lookup; none before the first.
    pub fn named(&self) -> &[IpAddr] {
        &self.named
    }

    /// The address that TCP is open to.
    pub const fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Why the attempt or session goes by an address of before, if it does.
    pub const fn by_memory(&self) -> Option<&Cause> {
        self.by_memory.as_ref()
    }

    /// Whether the name servers' last answer led to somebody else.
    pub const fn is_distrusted(&self) -> bool {
        self.distrust
    }

    /// Whether one of these was not tried in vain.
    pub fn is_news(&self, answer: &Result<Vec<SocketAddr>, Cause>) -> bool {
        let Ok(found) = answer else { return false };
        let known = |ip: IpAddr| self.named.contains(&ip) || self.astray.iter().any(|a| *a == ip);
        found.iter().take(race::ADDRESSES_MAX).any(|a| !known(a.ip()))
    }

    /// A new attempt begins.
    pub fn handle_attempt(&mut self) {
        self.by_memory = None;
    }

    /// The name servers' answer: the addresses to try, in this order. Without an answer that is the one of the last session: the
    /// broker's certificate says whether it is still the broker's.
    ///
    /// # Errors
    /// The cause it was given, if nothing is known besides.
    pub fn handle_resolved(
        &mut self,
        now: Mono,
        answer: Result<Vec<SocketAddr>, Cause>,
    ) -> Result<Vec<SocketAddr>, Cause> {
        let answer = answer.and_then(|a| if a.is_empty() { Err(Cause::NameUnknown) } else { Ok(a) });
        let worked = self.worked.filter(|_| answer.is_ok() || self.memory_rests_until <= now);
        match (answer, worked) {
            (Ok(addresses), worked) => {
                self.named = addresses.iter().map(SocketAddr::ip).take(race::ADDRESSES_MAX).collect();
                let mut ordered = race::order(&addresses, self.demoted);
                if let Some(worked) = worked.filter(|_| self.distrust) {
                    ordered.retain(|a| *a != worked);
                    ordered.insert(0, worked);
                }
                Ok(ordered)
            }
            (Err(cause), Some(worked)) => {
                self.by_memory = Some(cause);
                Ok(vec![worked])
            }
            (Err(cause), None) => Err(cause),
        }
    }

    /// The address of before did not help: the names are asked as often as ever, but it is left alone for a while.
    pub fn handle_memory_failed(&mut self, until: Mono) {
        self.memory_rests_until = until;
    }

    /// TCP is open.
    pub const fn handle_opened(&mut self, peer: SocketAddr) {
        self.peer = Some(peer);
    }

    /// The connection is gone.
    pub const fn handle_closed(&mut self) {
        self.peer = None;
    }

    /// A round trip confirmed it.
    pub fn handle_online(&mut self) {
        self.astray.clear();
        (self.worked, self.demoted, self.distrust) = (self.peer, None, false);
        self.memory_rests_until = Mono::from_millis(0);
    }

    /// TCP is open, and nothing comes of it: the next attempt tries the others first.
    pub const fn handle_stalled(&mut self) {
        self.demoted = self.peer;
    }

    /// Somebody else answers there: a portal, or a name server that lies. The next attempt asks otherwise, the one after that
    /// as before.
    pub fn handle_impostor(&mut self) {
        self.distrust = !self.distrust;
        if let Some(peer) = self.peer.map(|peer| peer.ip()) {
            if self.astray.is_full() {
                let _ = self.astray.pop_front();
            }
            let _ = self.astray.push_back(peer);
        }
    }
}
