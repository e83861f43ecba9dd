//! The router's port that leads to the door: what is wished of it follows from the owner's mode, what came of it is shown.

use std::task::{Context, Poll};

use super::Agent;
use crate::control::api;
use crate::pairing::record::AccessMode;
use crate::portmap::io::{Asker, Report, way};
use crate::portmap::keeper::{Keeper, Status, Wish};
use crate::random::{self, Random};
use crate::units::Mono;

/// The keeper of the mapping and what asks routers for it.
pub(super) struct Mapper {
    keeper: Keeper,
    asker: Asker,
}

impl Mapper {
    /// Nothing is wished yet.
    pub(super) fn new(now: Mono, random: &mut dyn Random) -> Self {
        Self { keeper: Keeper::new(now, random::bytes(random)), asker: Asker::new() }
    }

    /// What a router said. Cancel-safe.
    pub(super) fn poll_report(&mut self, cx: &mut Context<'_>) -> Poll<Report> {
        self.asker.poll_report(cx)
    }

    /// When [`Agent::time_mapping`] has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        self.keeper.poll_timeout()
    }
}

impl Agent {
    /// What is wished of the router: a port in automatic mode, none by relay; in manual mode somebody has set one.
    fn wish(&self) -> Wish {
        let mode = self.vault.ledger().cloud().map(|c| c.mode).unwrap_or_default();
        let Some(port) = self.entrance.port() else { return Wish::Off };
        match mode {
            AccessMode::Automatic if self.config.maps_port => Wish::Map { internal: port, external: port },
            AccessMode::Manual => {
                let port = self.config.external_port.unwrap_or(port);
                Wish::Manual { address: self.config.external_address, port }
            }
            AccessMode::Automatic | AccessMode::Relay => Wish::Off,
        }
    }

    /// Brings the mapping in line with what is wished, then carries out what that takes; after each event.
    pub(super) fn drive_mapping(&mut self) {
        let (now, wish) = (self.now().mono, self.wish());
        self.mapper.keeper.handle_wish(now, wish, &mut self.random);
        while let Some(action) = self.mapper.keeper.poll_action() {
            self.mapper.asker.carry_out(action);
        }
        if let Some(status) = self.mapper.keeper.poll_change() {
            log::info!("router: {}", words(status));
        }
    }

    /// The way to the router changed, or was looked at again.
    pub(super) fn route_mapping(&mut self) {
        let gateway = self.session.gateway();
        let now = self.now().mono;
        // Without a wish nobody is asked, and no socket is opened to find out who would be.
        let found = if self.wish() == Wish::Off { None } else { way(gateway) };
        self.mapper.keeper.handle_way(now, found, &mut self.random);
    }

    /// A router said something.
    pub(super) fn handle_router(&mut self, report: Report) {
        let now = self.now().mono;
        match report {
            Report::Answer(answer) => self.mapper.keeper.handle_answer(now, answer, &mut self.random),
            Report::Announced { from, epoch_s } => {
                self.mapper.keeper.handle_announcement(now, from, epoch_s, &mut self.random);
            }
        }
    }

    /// Time has passed.
    pub(super) fn time_mapping(&mut self) {
        let now = self.now().mono;
        if self.mapper.keeper.poll_timeout().is_some_and(|at| at <= now) {
            self.mapper.keeper.handle_timeout(now, &mut self.random);
        }
    }

    /// Gives the port back, so that it does not lead to nobody; as long as the good-bye has time.
    pub(super) async fn end_mapping(&mut self) {
        let now = self.now().mono;
        self.mapper.keeper.handle_wish(now, Wish::Off, &mut self.random);
        loop {
            while let Some(action) = self.mapper.keeper.poll_action() {
                self.mapper.asker.carry_out(action);
            }
            if self.mapper.keeper.is_idle() {
                return;
            }
            let report = std::future::poll_fn(|cx| self.mapper.asker.poll_report(cx)).await;
            self.handle_router(report);
        }
    }

    /// What is seen of the mapping.
    pub(super) fn mapping_view(&self) -> api::Mapping {
        let status = self.mapper.keeper.status();
        let (mut address, mut port, mut reachable) = (None, None, None);
        if let Status::Mapping(mapping) = status {
            address = mapping.outside.address().map(|a| a.to_string());
            (port, reachable) = (Some(mapping.port), mapping.is_reachable());
        }
        api::Mapping { state: name(status), detail: words(status), address, port, reachable }
    }
}

const fn name(status: &Status) -> &'static str {
    match status {
        Status::Off => "off",
        Status::NoRouter => "no-router",
        Status::Trying => "trying",
        Status::Mapping(_) => "mapped",
        Status::Refused(_) => "refused",
    }
}

fn words(status: &Status) -> String {
    match status {
        Status::Off => "no port is wanted".to_owned(),
        Status::NoRouter => "there is no router to ask".to_owned(),
        Status::Trying => "the router is being asked for a port".to_owned(),
        Status::Mapping(mapping) => format!("port {} leads here, by {}", mapping.port, mapping.means),
        Status::Refused(why) => why.to_string(),
    }
}
