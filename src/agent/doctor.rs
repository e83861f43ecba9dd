//! The doctor's round beside the session: one at a time, everybody who asks meanwhile gets the same answer.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use serde::Serialize;
use smol::channel::Sender;

use super::Agent;
use crate::control::api;
use crate::control::http::Response;
use crate::control::io::Reply;
use crate::doctor::check::Diagnosis;
use crate::doctor::facts::Session;
use crate::doctor::io::{Patient, examine};
use crate::doctor::verdict::diagnose;

/// The round under way.
#[derive(Default)]
pub(super) struct Round {
    under_way: Option<Pin<Box<dyn Future<Output = Diagnosis>>>>,
    waiting: Vec<Sender<Reply>>,
    /// What is looked at next, to be told.
    progress: Rc<RefCell<Vec<&'static str>>>,
}

#[derive(Serialize)]
struct Looking {
    looking_at: &'static str,
}

impl Agent {
    /// Somebody wants a diagnosis.
    pub(super) fn call_doctor(&mut self, reply: Sender<Reply>) {
        // As many as there are connections, which are bounded.
        self.doctor.waiting.push(reply);
        if self.doctor.under_way.is_some() {
            return;
        }
        let (patient, progress) = (self.patient(), Rc::clone(&self.doctor.progress));
        self.doctor.under_way = Some(Box::pin(async move {
            let tell = |what| progress.borrow_mut().push(what);
            diagnose(&examine(patient, tell).await)
        }));
    }

    fn patient(&self) -> Patient {
        let now = self.now().mono;
        let session = Session {
            wanted: self.wants_session(),
            confirmed: self.session.confirmed().map(|at| now.since(at)),
            last_failure: self.session.last_failure().cloned(),
            unstable: self.losses.many(now),
            lost: self.session.history().last_loss().map(|(at, cause)| (now.since(at), cause.clone())),
            stopped: self.session.last_pause().map(|(at, long)| (now.since(at), long)),
            flooded: self.inflow.flood(),
            level: self.session.welcome().map(|w| w.level),
            packets: self.transport.packets(),
        };
        Patient {
            servers: self.overrides().servers,
            remembered: self.session.addresses().named().to_vec(),
            topics: Some(self.session.topics().clone()),
            session,
            ..Patient::new(&self.config, self.transport.endpoint().clone(), &self.clock)
        }
    }

    /// Carries the round on. Cancel-safe: everything is kept in `self`.
    pub(super) fn poll_doctor(&mut self, cx: &mut Context<'_>) -> Poll<Diagnosis> {
        let Some(round) = &mut self.doctor.under_way else { return Poll::Pending };
        let polled = round.as_mut().poll(cx);
        let steps = std::mem::take(&mut *self.doctor.progress.borrow_mut());
        let now = self.now();
        for looking_at in steps {
            self.events.push(&now, "doctor", &Looking { looking_at });
        }
        let diagnosis = std::task::ready!(polled);
        self.doctor.under_way = None;
        Poll::Ready(diagnosis)
    }

    /// Everybody who waits gets the answer. Whoever has gone is not waited for.
    pub(super) fn handle_diagnosis(&mut self, diagnosis: &Diagnosis) {
        log::info!("doctor: {}", diagnosis.summary());
        let answer = api::Doctor::from(diagnosis);
        for reply in self.doctor.waiting.drain(..) {
            let _ = reply.try_send(Reply::Whole(Response::json(&answer)));
        }
    }
}
