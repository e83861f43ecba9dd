//! What callers of the control socket ask, answered.

use serde::Serialize;

use super::{Agent, Unwritten, views};
use crate::control::api;
use crate::control::fault::Fault;
use crate::control::http::Response;
use crate::control::io::{Call, Reply};
use crate::control::route::{Ask, Execution, Personal, Raw, Refused, Scope, allowed, understand};
use crate::control::{metrics, qr};
use crate::packed::unpack;
use crate::pairing::code::Code as PairingCode;
use crate::pairing::plan::{self, Issued, Planned, Refusal};
use crate::pairing::record::{CloudSettings, Device, DeviceId, DeviceState, Reach, UserName};
use crate::remote::io::carrier;
use crate::sys::keyfile;

/// docs/openapi.json, without its blanks, packed.
const OPENAPI: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/openapi.packed"));

type Answer = Result<Response, Refused>;

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
    what: &'static str,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let fault = match refusal {
            Refusal::UserUnknown => Fault::UserUnknown,
            Refusal::DeviceUnknown => Fault::DeviceUnknown,
            Refusal::UsersFull => Fault::UsersFull,
            Refusal::DevicesFull => Fault::DevicesFull,
            Refusal::TtlOutOfRange | Refusal::BadEmail => Fault::InvalidParameter,
            Refusal::NotPending => Fault::NotPending,
        };
        Self::new(fault, refusal.to_string())
    }
}

impl From<Unwritten> for Refused {
    fn from(unwritten: Unwritten) -> Self {
        match unwritten {
            Unwritten::Corrupt => Self::new(Fault::StoreCorrupt, "the store may not be believed"),
            Unwritten::ReadOnly => Self::new(Fault::StoreReadOnly, "the flash refused the record"),
            Unwritten::Budget => Self::new(Fault::WriteBudget, "the daily budget of flash writes is spent"),
        }
    }
}

impl Agent {
    /// Answers one call. A caller that has gone is not waited for.
    pub(super) fn handle_call(&mut self, call: Call) {
        let request = &call.request;
        let raw = Raw {
            method: &request.method,
            path: &request.path,
            query: &request.query,
            body: &request.body,
            last_event_id: request.last_event_id.as_deref(),
        };
        let reply = match understand(&raw, call.rights) {
            Ok(Ask::Events(seen)) => {
                let (first, rest) = self.events.follow(seen);
                Reply::Events { first, rest }
            }
            Ok(Ask::Doctor) => return self.call_doctor(call.reply),
            Ok(Ask::Hardware(personal)) => return self.call_hardware(call.reply, personal),
            Ok(ask) => Reply::Whole(self.answer(ask).unwrap_or_else(|refused| Response::problem(&refused))),
            Err(refused) => {
                let mut response = Response::problem(&refused);
                response.allow = (refused.fault == Fault::MethodNotAllowed).then(|| allowed(&request.path));
                Reply::Whole(response)
            }
        };
        let _ = call.reply.try_send(reply);
    }

    fn answer(&mut self, ask: Ask) -> Answer {
        match ask {
            Ask::OpenApi => Ok(Response::text("application/json", unpack(OPENAPI))),
            Ask::Status => Ok(Response::json(&self.fresh_status())),
            Ask::Users(personal) => Ok(Response::json(&self.users(personal))),
            Ask::PutUser(name, email) => self.put_user(&name, email.as_deref()),
            Ask::RemoveUser(name) => self.remove_user(&name),
            Ask::Devices(user) => self.devices(user.as_ref()),
            Ask::Device(id) => self.device(id),
            Ask::RemoveDevice(id) => self.remove_device(id),
            Ask::RemoveUnused(user) => self.remove_unused(user.as_ref()),
            Ask::Qr(id) => self.qr(id),
            Ask::Codes => Ok(Response::json(&self.codes())),
            Ask::Code { user, ttl, keep_others, offline } => self.code(&user, ttl, keep_others, offline),
            Ask::Cloud => Ok(Response::json(&self.cloud_view())),
            Ask::PatchCloud { enabled, mode, dns } => self.patch_cloud(enabled, mode, dns),
            Ask::Reconnect => self.reconnect(),
            Ask::Arrays => {
                self.look_at_arrays();
                let arrays = self.arrays.iter().map(|a| self.array_view(a)).collect();
                Ok(Response::json(&api::Arrays { arrays }))
            }
            Ask::Identify(target, span) => self.identify(target, span),
            Ask::EndIdentify => Ok(self.end_identify()),
            Ask::Services => Ok(Response::json(&self.services())),
            Ask::Reset(scope, execution) => self.reset(scope, execution),
            Ask::Report => Ok(Response::json(&self.report())),
            Ask::Metrics => {
                let status = self.fresh_status();
                Ok(Response::text(metrics::MEDIA_TYPE, metrics::render(&status)))
            }
            // Answered where they are called for.
            Ask::Events(_) | Ask::Doctor | Ask::Hardware(_) => {
                Err(Refused::new(Fault::NotFound, "not answered at once"))
            }
        }
    }

    /// With the progress of arrays as it is now.
    fn fresh_status(&mut self) -> api::Status {
        self.look_at_arrays();
        self.status_view()
    }

    fn users(&self, personal: Personal) -> api::Users {
        let ledger = self.vault.ledger();
        let devices = |name: &UserName| ledger.devices().iter().filter(|d| d.user == *name).count();
        api::Users {
            users: ledger.users().iter().map(|u| views::user(u, devices(&u.name), personal)).collect(),
        }
    }

    fn put_user(&mut self, name: &UserName, email: Option<&str>) -> Answer {
        let plan = plan::put_user(self.vault.ledger(), name, email)?;
        let new = self.commit(plan)?;
        if new {
            self.user_event(name, "added");
        }
        let user = self.vault.ledger().user(name).ok_or(Refusal::UserUnknown)?;
        let devices = self.vault.ledger().devices().iter().filter(|d| d.user == *name).count();
        let view = views::user(user, devices, Personal::Masked);
        Ok(Response::json_with(if new { 201 } else { 200 }, &view))
    }

    fn remove_user(&mut self, name: &UserName) -> Answer {
        let plan = plan::remove_user(self.vault.ledger(), name)?;
        let devices: Vec<DeviceId> =
            self.vault.ledger().devices().iter().filter(|d| d.user == *name).map(|d| d.id).collect();
        self.commit(plan)?;
        self.user_event(name, "removed");
        self.tell_removed();
        Ok(Response::json(&self.removed(&devices)))
    }

    fn user_event(&mut self, name: &UserName, what: &'static str) {
        let now = self.now();
        self.events.push(&now, "user", &Named { name: name.as_str(), what });
    }

    fn devices(&self, user: Option<&UserName>) -> Answer {
        let ledger = self.vault.ledger();
        if user.is_some_and(|name| {
            ledger.user(name).is_none() && !ledger.devices().iter().any(|d| d.user == *name)
        }) {
            return Err(Refusal::UserUnknown.into());
        }
        let wanted = ledger.devices().iter().filter(|d| user.is_none_or(|name| d.user == *name));
        Ok(Response::json(&api::Devices { devices: wanted.map(|d| self.device_view(d)).collect() }))
    }

    fn device(&self, id: DeviceId) -> Answer {
        let device = self.vault.ledger().device(id).ok_or(Refusal::DeviceUnknown)?;
        Ok(Response::json(&self.device_view(device)))
    }

    fn remove_device(&mut self, id: DeviceId) -> Answer {
        let plan = plan::remove_device(self.vault.ledger(), id)?;
        let id = self.commit(plan)?;
        self.device_event(id, "removed");
        self.tell_removed();
        Ok(Response::json(&self.removed(&[id])))
    }

    fn remove_unused(&mut self, user: Option<&UserName>) -> Answer {
        let plan = plan::remove_unused(self.vault.ledger(), user)?;
        let ids = self.commit(plan)?;
        for id in &ids {
            self.device_event(*id, "removed");
        }
        Ok(Response::json(&self.removed(&ids)))
    }

    fn removed(&self, ids: &[DeviceId]) -> api::Removed {
        let queued = ids.iter().filter(|id| self.vault.ledger().device(**id).is_some());
        api::Removed {
            removed: ids.iter().map(ToString::to_string).collect(),
            queued: queued.map(ToString::to_string).collect(),
        }
    }

    fn broker(&self) -> Option<String> {
        self.config.cloud.as_ref().map(|c| c.url.to_string())
    }

    fn qr(&self, id: DeviceId) -> Answer {
        let device = self.vault.ledger().device(id).ok_or(Refusal::DeviceUnknown)?;
        let DeviceState::Pending { code, .. } = &device.state else { return Err(Refusal::NotPending.into()) };
        let uri = self.code_uri(code, device.reach);
        let svg = qr::svg(&uri).ok_or(Refusal::NotPending)?;
        Ok(Response::text("image/svg+xml", svg))
    }

    fn code(
        &mut self,
        user: &UserName,
        ttl: core::time::Duration,
        keep_others: bool,
        offline: bool,
    ) -> Answer {
        if self.vault.ledger().user(user).is_none() {
            return Err(Refused::new(Fault::UserUnknown, format!("there is no user {user}")));
        }
        let paths = self.pairing_paths();
        if paths.is_empty() && !offline {
            return Err(self.why_not_online());
        }
        let plan = plan::issue(self.vault.ledger(), user, ttl, keep_others, &mut self.random)?;
        let issued = self.carry_out_issue(plan)?;
        Ok(Response::json_with(201, &self.code_view(&issued, paths)))
    }

    /// A code is there from now on, whoever asked for it: kept, shown by the lights, and told.
    pub(super) fn carry_out_issue(&mut self, plan: Planned<Issued>) -> Result<Issued, Unwritten> {
        let issued = self.commit(plan)?;
        self.handle_code_made(issued.valid_for);
        self.device_event(issued.device, "pending");
        Ok(issued)
    }

    /// Those that wait for a device.
    fn codes(&self) -> api::Codes {
        let now = self.now();
        let paths = self.pairing_paths();
        let view = |device: &Device| {
            let DeviceState::Pending { code, .. } = &device.state else { return None };
            let issued = Issued {
                device: device.id,
                user: device.user.clone(),
                code: code.clone(),
                valid_for: plan::remaining(&device.state, &now).filter(|left| !left.is_zero())?,
                reach: device.reach,
            };
            Some(self.code_view(&issued, paths.clone()))
        };
        api::Codes { codes: self.vault.ledger().devices().iter().filter_map(view).collect() }
    }

    fn why_not_online(&self) -> Refused {
        if self.config.cloud.is_none() {
            return Refused::new(Fault::CloudNotConfigured, "the configuration names no broker");
        }
        if self.vault.corruption().is_some() {
            return Unwritten::Corrupt.into();
        }
        if !self.wants_session() {
            return Refused::new(Fault::CloudDisabled, "the owner switched it off");
        }
        let cause = self.session.last_failure().map(ToString::to_string);
        let phase = self.session.phase().name();
        Refused::new(
            Fault::CloudUnreachable,
            cause.unwrap_or_else(|| format!("the session is still {phase}")),
        )
    }

    /// By which ways a phone could use a code now, the shortest first.
    fn pairing_paths(&self) -> Vec<&'static str> {
        let lan = self.entrance.port().map(|_| "lan");
        let broker = self.session.is_online().then_some("broker");
        lan.into_iter().chain(broker).collect()
    }

    /// A picture of the code leads a phone to the broker only if the code works there.
    fn code_uri(&self, code: &PairingCode, reach: Reach) -> String {
        let broker = self.broker().filter(|_| reach == Reach::Anywhere);
        qr::uri(code, &self.identity.id(), broker.as_deref())
    }

    fn code_view(&self, issued: &Issued, mut paths: Vec<&'static str>) -> api::Code {
        let now = self.now();
        let is_near = issued.reach == Reach::Lan;
        paths.retain(|path| !is_near || *path == "lan");
        let expires = now.wall.known().map(|at| at.after(issued.valid_for));
        api::Code {
            device_id: issued.device.to_string(),
            user: issued.user.as_str().to_owned(),
            code: issued.code.reveal(),
            uri: self.code_uri(&issued.code, issued.reach),
            expires_in_s: issued.valid_for.as_secs(),
            expires_at: expires.and_then(crate::units::UnixSeconds::rfc3339),
            usable_by: paths,
            lan_only: is_near,
            lan_port: self.entrance.port(),
        }
    }

    fn patch_cloud(
        &mut self,
        enabled: Option<bool>,
        mode: Option<crate::pairing::record::AccessMode>,
        dns: Option<heapless::Vec<core::net::IpAddr, { crate::pairing::record::DNS_MAX }>>,
    ) -> Answer {
        let mut settings = self.vault.ledger().cloud().cloned().unwrap_or_else(|| self.usual_cloud());
        settings.enabled = enabled.unwrap_or(settings.enabled);
        settings.mode = mode.unwrap_or(settings.mode);
        settings.dns = dns.unwrap_or(settings.dns);
        let plan = plan::set_cloud(self.vault.ledger(), settings);
        self.commit(plan)?;
        self.drive_session();
        Ok(Response::json(&self.cloud_view()))
    }

    fn usual_cloud(&self) -> CloudSettings {
        CloudSettings {
            enabled: self.config.cloud_enabled,
            mode: Default::default(),
            dns: heapless::Vec::new(),
        }
    }

    fn reconnect(&mut self) -> Answer {
        if !self.wants_session() {
            return Err(self.why_not_online());
        }
        let now = self.now().mono;
        self.clone_forgiven = true;
        self.session.handle_reconnect(now, &mut self.random);
        self.drive_session();
        Ok(Response::json(&self.cloud_view()))
    }

    fn services(&self) -> api::Services {
        let view = |s: &crate::config::Service| api::Service {
            name: s.name.clone(),
            address: s.address.to_string(),
            users: s.users.clone(),
            up: carrier::is_up(s.address),
        };
        api::Services { services: self.config.services.iter().map(view).collect() }
    }

    fn reset(&mut self, scope: Scope, execution: Execution) -> Answer {
        let counts = self.device_counts();
        let pairings = format!("{} paired devices and {} codes", counts.paired, counts.pending);
        let (keeps, loses) = match scope {
            Scope::Connection => {
                (vec!["users, devices and codes".into()], vec!["cloud settings made by the owner".into()])
            }
            Scope::Pairings => (vec!["users".into(), "the NAS's identity".into()], vec![pairings]),
            Scope::Identity => {
                (vec!["users".into()], vec![pairings, "the NAS's identity: its id changes".into()])
            }
        };
        if execution == Execution::Do {
            self.carry_out_reset(scope)?;
        }
        let keeps = keeps.into_iter().chain(["all files on the disks".to_owned()]).collect();
        let done = execution == Execution::Do;
        Ok(Response::json(&api::Reset { scope: scope.name(), done, keeps, loses, touches_data: false }))
    }

    pub(super) fn carry_out_reset(&mut self, scope: Scope) -> Result<(), Refused> {
        let now = self.now();
        match scope {
            Scope::Connection => {
                let plan = plan::set_cloud(self.vault.ledger(), self.usual_cloud());
                self.commit(plan)?;
            }
            Scope::Pairings => self.reset_pairings()?,
            Scope::Identity => {
                self.reset_pairings()?;
                self.new_identity()?;
            }
        }
        log::warn!("reset: {}", scope.name());
        self.events.push(&now, "reset", &Named { name: scope.name(), what: "done" });
        self.drive_session();
        Ok(())
    }

    fn reset_pairings(&mut self) -> Result<(), Refused> {
        self.vault
            .start_afresh(self.config.records_per_day, &mut self.random)
            .map_err(|error| Refused::new(Fault::StoreReadOnly, error.to_string()))?;
        let now = self.now().mono;
        self.tracker.clear_where(now, |f| f.code == crate::health::finding::Code::StoreCorrupt);
        self.show_lights();
        let plan: Planned<usize> = plan::reset_pairings(self.vault.ledger());
        self.commit(plan)?;
        self.tell_removed();
        Ok(())
    }

    /// A fresh key, and a session under the new name.
    fn new_identity(&mut self) -> Result<(), Refused> {
        let path = self.config.store_dir.join(super::start::KEY_FILE);
        let failed = |error: String| Refused::new(Fault::StoreReadOnly, error);
        std::fs::remove_file(&path).map_err(|e| failed(e.to_string()))?;
        let identity = keyfile::load_or_create(&path).map_err(|e| failed(e.to_string()))?;
        self.publish_absence();
        let now = self.now().mono;
        self.session.handle_enabled(now, false);
        while self.session.poll_action().is_some() {}
        self.transport.hangup();
        self.session = super::start::session(&self.config, &identity, now);
        self.identity = identity;
        Ok(())
    }

    /// For support: everything, masked.
    fn report(&mut self) -> api::Report {
        let status = self.fresh_status();
        api::Report {
            status,
            hardware: self.hardware_view(Personal::Masked),
            users: self.users(Personal::Masked).users,
            devices: self.vault.ledger().devices().iter().map(|d| self.device_view(d)).collect(),
            services: self.services().services,
            store_corruption: self.vault.corruption(),
        }
    }
}
