//! Asking time servers, where that helps: while the clock is certainly wrong, or the broker's certificate seems to be.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::Agent;
use crate::clock::Confidence;
use crate::health::finding::Code;
use crate::session::cause::Cause;
use crate::session::io::dns::Overrides;
use crate::session::io::sntp::{Told, ask_any};
use crate::units::Mono;

/// Least time between two questions.
const ASK_EVERY: Duration = Duration::from_secs(30);

/// The question under way.
#[derive(Default)]
pub(super) struct Question {
    under_way: Option<Pin<Box<dyn Future<Output = Option<Told>>>>>,
    asked: Option<Mono>,
}

impl Agent {
    /// Asks, if that would help and was not done just now.
    pub(super) fn ask_for_time(&mut self) {
        let now = self.now().mono;
        let recently = self.time.asked.is_some_and(|at| now.since(at) < ASK_EVERY);
        if recently || self.time.under_way.is_some() || !self.is_time_wanted() {
            return;
        }
        self.time.asked = Some(now);
        self.time.under_way = Some(Box::pin(ask_any(self.config.time_hosts(), Overrides::default())));
    }

    fn is_time_wanted(&self) -> bool {
        let dates = matches!(self.session.last_failure(), Some(Cause::Tls(fault)) if fault.is_about_dates());
        self.can_have_session() && (dates || self.clock.confidence() == Confidence::Unset)
    }

    /// The answer. Cancel-safe: everything is kept in `self`.
    pub(super) fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<Option<Told>> {
        let Some(question) = &mut self.time.under_way else { return Poll::Pending };
        let told = std::task::ready!(question.as_mut().poll(cx));
        self.time.under_way = None;
        Poll::Ready(told)
    }

    /// What a time server said is good for judging certificates, and for naming a wrong clock.
    pub(super) fn handle_time(&mut self, told: Option<Told>) {
        let Some(told) = told else { return };
        log::info!("time server {}: it is {}", told.by, told.at);
        let before = self.clock.judged();
        self.clock.handle_told(told.at, told.mono);
        self.look_at_clock();
        if self.clock.judged() != before {
            let now = self.now().mono;
            self.session.handle_cure(now);
        }
    }

    /// The system clock against what time servers say.
    pub(super) fn judge_clock(&mut self) {
        let now = self.now().mono;
        let wrong = self
            .clock
            .contradicted()
            .map(|told| format!("the NAS's clock says {}, time servers say {told}", self.clock.system()));
        self.hold(wrong.is_some(), Code::ClockWrong, &wrong.unwrap_or_default(), now);
    }
}
