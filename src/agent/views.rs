//! From what the domains know to what the control API says. The only place where personal data is let through or masked.

use crate::array::state::{Array, State};
use crate::board::description::{Description, Rpm};
use crate::control::api;
use crate::control::route::Personal;
use crate::hardware::bay;
use crate::hardware::led::MCU_LAMP;
use crate::hardware::mcu::exchange::Exchange;
use crate::hardware::mcu::lamp::Lamp;
use crate::health::past::Ended;
use crate::health::tracker::Finding;
use crate::pairing::plan::remaining;
use crate::pairing::record::{Device, DeviceState, Reach, User};
use crate::units::{Mono, Span, UnixSeconds};

use super::Agent;

pub(super) fn finding(finding: &Finding, now: Mono) -> api::Finding {
    let entry = finding.entry();
    api::Finding {
        code: entry.name,
        severity: entry.severity.name(),
        title: entry.title,
        subject: finding.subject.as_str().to_owned(),
        evidence: finding.evidence.as_str().to_owned(),
        remedy: entry.remedy,
        since_s: now.since(finding.since).as_secs(),
        times: finding.times,
    }
}

fn past_finding(ended: &Ended, now: Mono) -> api::PastFinding {
    let entry = ended.code.entry();
    api::PastFinding {
        code: entry.name,
        severity: entry.severity.name(),
        title: entry.title,
        subject: ended.subject.as_str().to_owned(),
        evidence: ended.evidence.as_str().to_owned(),
        began_ago_s: now.since(ended.since).as_secs(),
        ended_ago_s: now.since(ended.until).as_secs(),
        times: ended.times,
    }
}

/// One line about an array: its disks, what runs, what else was seen.
pub(super) fn array_evidence(array: &Array) -> String {
    let mut text = format!("{}: {} of {} disks work", array.name, array.disks_working, array.disks_wanted);
    if let Some(share) = array.doing.and_then(|d| d.share) {
        text += &format!(", {:.1} % done", share.done.percent());
        if let Some(left) = share.left {
            text += &format!(", {} left", Span(left));
        }
    }
    for note in array.notes() {
        text += "; ";
        text += note;
    }
    text
}

pub(super) fn board(board: &Description) -> api::Board {
    api::Board {
        id: board.id.clone(),
        name: board.name.clone(),
        verified_on_device: board.verified_on_device,
    }
}

pub(super) fn user(user: &User, devices: usize, personal: Personal) -> api::User {
    let email = user.email.as_ref().map(|e| match personal {
        Personal::Shown => e.as_str().to_owned(),
        Personal::Masked => mask_email(e),
    });
    api::User { name: user.name.as_str().to_owned(), email, devices }
}

/// `anna@example.org` → `a…@e….org`.
pub(super) fn mask_email(email: &str) -> String {
    let (local, domain) = email.split_once('@').unwrap_or((email, ""));
    let first = |text: &str| text.chars().next().map(String::from).unwrap_or_default();
    let end = domain.rsplit_once('.').map(|(_, end)| format!(".{end}")).unwrap_or_default();
    format!("{}…@{}…{end}", first(local), first(domain))
}

/// `02:00:00:12:34:56` → `02:00:00:…`: the maker's half says nothing about the box.
pub(super) fn mask_mac(mac: &str) -> String {
    mac.get(..9).map_or_else(|| "…".to_owned(), |maker| format!("{maker}…"))
}

fn millis(time: core::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn date(at: Option<UnixSeconds>) -> Option<String> {
    at.and_then(UnixSeconds::rfc3339)
}

impl Agent {
    pub(super) fn device_view(&self, device: &Device) -> api::Device {
        let now = self.now();
        let mut view = api::Device {
            id: device.id.to_string(),
            user: device.user.as_str().to_owned(),
            state: device.state.name(),
            since_s: None,
            since_at: None,
            expires_in_s: None,
            expires_at: None,
            lan_only: device.reach == Reach::Lan,
            guesses: None,
            name: None,
            platform: None,
            key_id: None,
            seen_s: self.seen.of(device.id).map(|at| now.mono.since(at).as_secs()),
            notice: None,
        };
        let since = match &device.state {
            DeviceState::Pending { since, .. } => {
                let left = remaining(&device.state, &now).unwrap_or_default();
                view.expires_in_s = Some(left.as_secs());
                view.expires_at = date(now.wall.known().map(|at| at.after(left)));
                view.guesses = Some(self.desk.guesses(device.id));
                since
            }
            DeviceState::Paired(paired) => {
                view.name = Some(paired.name.as_str().to_owned());
                view.platform = Some(paired.platform.as_str().to_owned());
                view.key_id = Some(paired.key.id().as_str().to_owned());
                view.notice = Some(if view.seen_s.is_some() { "seen" } else { "not-yet" });
                &paired.since
            }
            DeviceState::Revoked { key, name, since } => {
                view.name = Some(name.as_str().to_owned());
                view.key_id = Some(key.id().as_str().to_owned());
                view.notice = Some(if self.told.has(device.id) { "sent" } else { "queued" });
                since
            }
            DeviceState::Ended { since, .. } => since,
        };
        if let crate::clock::Age::Exact(age) = now.age(since) {
            view.since_s = Some(age.as_secs());
        }
        view.since_at = date(now.date_of(since));
        view
    }

    pub(super) fn array_view(&self, array: &Array) -> api::Array {
        let share = array.doing.and_then(|d| d.share);
        let bays = self.board.as_ref().map(|b| b.bays.as_slice()).unwrap_or_default();
        let member = |m: &crate::array::sysfs::MemberTexts| api::Member {
            device: m.device.clone(),
            bay: m.path.as_deref().and_then(|path| bay::of_path(bays, path)),
            state: m.words(),
        };
        api::Array {
            name: array.name.clone(),
            role: array.role,
            level: array.level.clone(),
            state: array.state.name(),
            raw: if let State::Unknown(raw) = &array.state { Some(raw.clone()) } else { None },
            size_bytes: array.size_bytes,
            disks_wanted: array.disks_wanted,
            disks_working: array.disks_working,
            redundant: array.redundant,
            action: array.doing.map(|d| d.work.name()),
            percent: share.map(|s| s.done.percent()),
            speed_kib_s: share.and_then(|s| s.speed_kib),
            left_s: share.and_then(|s| s.left).map(|l| l.as_secs()),
            members: array.members.iter().map(member).collect(),
            notes: array.notes().cloned().collect(),
        }
    }

    pub(super) fn cloud_view(&self) -> api::Cloud {
        let now = self.now().mono;
        let owner = self.vault.ledger().cloud();
        let counters = self.session.counters();
        let failure = self.session.last_failure().map(|cause| api::Failure {
            code: cause.finding().map(|code| code.entry().name),
            detail: cause.to_string(),
        });
        let transition = |t: &crate::session::record::Transition| api::Transition {
            ago_s: now.since(t.at).as_secs(),
            phase: t.to.name(),
            cause: t.cause.as_ref().map(ToString::to_string),
        };
        api::Cloud {
            configured: self.config.cloud.is_some(),
            enabled: owner.map_or(self.config.cloud_enabled, |c| c.enabled),
            broker: self.config.cloud.as_ref().map(|c| c.url.to_string()),
            phase: self.session.phase().name(),
            online: self.session.is_online(),
            since_s: now.since(self.session.history().since()).as_secs(),
            confirmed_s: self.session.confirmed().map(|at| now.since(at).as_secs()),
            keepalive_s: self.session.keepalive().as_secs(),
            by_memory: self.session.addresses().by_memory().is_some(),
            next_try_in_s: self.session.next_try().map(|at| at.since(now).as_secs()),
            last_failure: failure,
            mode: owner.map(|c| c.mode).unwrap_or_default().name(),
            dns: owner.map(|c| c.dns.iter().map(ToString::to_string).collect()).unwrap_or_default(),
            broker_limits: self.session.welcome().map(broker_limits),
            counters: api::Counters {
                attempts: counters.attempts,
                connects: counters.connects,
                failures: counters.failures,
                round_trips: counters.round_trips,
                messages_published: counters.messages_published,
                messages_received: counters.messages_delivered,
            },
            history: self.session.history().iter().map(transition).collect(),
        }
    }

    pub(super) fn status_view(&self) -> api::Status {
        let now = self.now();
        let counters = self.vault.counters();
        let findings: Vec<api::Finding> =
            self.tracker.visible(now.mono).into_iter().map(|f| finding(f, now.mono)).collect();
        api::Status {
            summary: self.summary(&findings),
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: now.mono.since(self.started).as_secs(),
            nas: api::Nas {
                id: self.identity.id().as_str().to_owned(),
                name: self.config.name.clone(),
                board: self.board.as_ref().map(board),
            },
            cloud: self.cloud_view(),
            clock: api::Clock { state: self.clock.confidence().name(), now: date(now.wall.known()) },
            arrays: self.arrays.iter().map(|a| self.array_view(a)).collect(),
            devices: self.device_counts(),
            store: api::Store {
                state: match (self.vault.corruption(), self.vault.is_read_only()) {
                    (Some(_), _) => "corrupt",
                    (None, true) => "read-only",
                    (None, false) => "ok",
                },
                place: self.vault.place().to_string(),
                years_at_least: self.vault.years_at_least(),
                opened_in_ms: millis(self.vault.times().0),
                worst_commit_ms: millis(self.vault.times().1),
                records: counters.commits,
                bytes_programmed: counters.bytes_programmed,
                erases: counters.erases,
            },
            remote: self.remote_view(),
            findings,
            past_findings: self.tracker.past(now.mono).map(|ended| past_finding(ended, now.mono)).collect(),
        }
    }

    pub(super) fn device_counts(&self) -> api::DeviceCounts {
        let mut counts = api::DeviceCounts::default();
        for device in self.vault.ledger().devices() {
            let count = match &device.state {
                DeviceState::Pending { .. } => &mut counts.pending,
                DeviceState::Paired(_) => &mut counts.paired,
                DeviceState::Revoked { .. } => &mut counts.revoked,
                DeviceState::Ended { .. } => &mut counts.ended,
            };
            *count += 1;
        }
        counts
    }

    /// One sentence: the worst that holds, or that all is well.
    fn summary(&self, findings: &[api::Finding]) -> String {
        let serious = findings.iter().find(|f| f.severity != "info");
        if let Some(finding) = serious {
            return format!("{}: {}.", finding.title, finding.evidence);
        }
        let devices = match self.device_counts().paired {
            0 => "no device is paired yet".to_owned(),
            1 => "1 device is paired".to_owned(),
            n => format!("{n} devices are paired"),
        };
        match (self.session.is_online(), self.config.cloud.is_some()) {
            (true, _) => format!("All is well: remote access works, {devices}."),
            (false, true) => format!("Remote access is {}; {devices}.", self.session.phase().name()),
            (false, false) => format!("Remote access is not configured; {devices}."),
        }
    }

    pub(super) fn hardware_view(&mut self, personal: Personal) -> api::Hardware {
        let mut hardware = crate::hardware::io::sysfs::read(&self.root, self.board.as_ref());
        self.look_at_disks(std::mem::take(&mut hardware.disks));
        let mcu = self.mcu.as_ref().map(crate::hardware::io::mcu::Mcu::exchange);
        hardware.temperatures.extend(mcu.and_then(Exchange::temperature).map(|t| ("mcu/1".to_owned(), t)));
        let fans = hardware.fans.into_iter().map(|(name, rpm)| api::Fan { name, rpm, unreliable: false });
        // Unless somebody measured that it is right.
        let worth = self.board.as_ref().and_then(|b| b.mcu.as_ref()?.rpm);
        let rpm_is_doubtful = worth != Some(Rpm::Measured);
        let fan = |rpm| api::Fan { name: "mcu/1".to_owned(), rpm, unreliable: rpm_is_doubtful };
        let leds = hardware.leds.into_iter().map(|l| api::Led {
            name: l.name,
            on: l.on,
            trigger: l.trigger,
            shows: None,
        });
        let lamp = |lamp: Lamp| api::Led {
            name: MCU_LAMP.to_owned(),
            on: lamp != Lamp::Off,
            trigger: None,
            shows: Some(lamp.name()),
        };
        let mac = |mac: String| match personal {
            Personal::Shown => mac,
            Personal::Masked => mask_mac(&mac),
        };
        api::Hardware {
            board: self.board.as_ref().map(board),
            temperatures: hardware
                .temperatures
                .into_iter()
                .map(|(name, value)| api::Temperature { name, celsius: value.degrees() })
                .collect(),
            fans: fans.chain(mcu.and_then(Exchange::fan).map(fan)).collect(),
            disks: self.disk_views(),
            leds: leds.chain(mcu.and_then(Exchange::shown).map(lamp)).collect(),
            network: hardware
                .network
                .into_iter()
                .map(|i| api::Interface {
                    name: i.name,
                    mac: i.mac.map(mac),
                    link: i.link,
                    speed_mbit: i.speed_mbit,
                })
                .collect(),
            rtcs: hardware
                .rtcs
                .into_iter()
                .map(|r| api::Rtc { device: r.device, name: r.name, sets_clock: r.sets_clock })
                .collect(),
        }
    }
}

fn broker_limits(welcome: &crate::session::packet::Welcome) -> api::BrokerLimits {
    api::BrokerLimits {
        mqtt: welcome.level.name(),
        receive_maximum: welcome.receive_max,
        maximum_packet_size: welcome.packet_max,
        retain_available: welcome.retain,
        server_keepalive_s: welcome.keepalive_s,
        session_expiry_s: welcome.session_expiry_s,
        wildcards_available: welcome.wildcards,
        shared_available: welcome.shared,
        switched_off: welcome.switched_off().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn personal_data_is_masked_beyond_recognition() {
        assert_eq!(mask_email("anna.berg@example.org"), "a…@e….org");
        assert_eq!(mask_email("x"), "x…@…");
        assert_eq!(mask_mac("02:00:00:12:34:56"), "02:00:00:…");
        assert_eq!(mask_mac("02"), "…");
    }
}
