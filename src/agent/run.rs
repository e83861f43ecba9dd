//! The loop: wait for one thing, handle it, carry out what follows, arm one timer.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_io::Timer;
use smol::LocalExecutor;
use smol::stream::Stream;

use super::start::{Options, StartError};
use super::{Agent, views};
use crate::array::io::Watch;
use crate::control::io::Call;
use crate::doctor::check::Diagnosis;
use crate::hardware::button::Told as ButtonTold;
use crate::hardware::io::buttons::Buttons;
use crate::hardware::io::disks::Reading;
use crate::health::finding::Code;
use crate::pairing::plan;
use crate::session::io::Report;
use crate::session::io::network::Bell;
use crate::session::io::sntp::Told;
use crate::sys::clock::within;
use crate::sys::heap;
use crate::sys::notify;
use crate::sys::signals::Termination;

/// Progress of an array is looked at this often while something runs: the kernel announces only each sixteenth.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);
/// The clock is looked at at least this often, so that its being set is noticed.
const CLOCK_EVERY: Duration = Duration::from_secs(60);
/// For devices that come through the broker to be told that the agent ends.
const RELAY_MAX: Duration = Duration::from_millis(300);
/// Longest good-bye. With what comes before it the agent ends within two seconds.
const GOODBYE_MAX: Duration = Duration::from_millis(800);

/// What the loop waits for.
enum Event {
    /// SIGTERM or SIGINT.
    Terminate,
    /// A caller of the control socket.
    Call(Call),
    /// The connection to the broker.
    Session(Report),
    /// A link, an address or a route.
    Network,
    /// Thermometers of disks.
    Readings(Vec<Reading>),
    /// An md array or a disk.
    Arrays,
    /// A time server answered, or none did.
    Time(Option<Told>),
    /// The doctor has looked at everything.
    Diagnosed(Diagnosis),
    /// An input device with buttons.
    Button(String, ButtonTold),
    /// What a router says about the port that leads here.
    Router(crate::portmap::io::Report),
    /// A device through its carrier, or somebody on the LAN who looks for the NAS.
    Remote(super::remote::Word),
    /// The box's microcontroller.
    Mcu(crate::hardware::io::mcu::Report),
    /// Something is due.
    Timer,
}

/// The things that can happen; polled in turn, so that none starves another.
struct Sources {
    termination: Termination,
    bell: Option<Bell>,
    watch: Option<Watch>,
    buttons: Buttons,
    timer: Timer,
    turn: usize,
}

/// Runs the agent until it is asked to end.
///
/// # Errors
/// [`StartError`]: it never ran.
pub fn run(options: &Options) -> Result<(), StartError> {
    // First of all: threads inherit which signals are blocked.
    let termination = Termination::new().map_err(|e| StartError::System("signals", e))?;
    heap::keep_some_free();
    let executor = Rc::new(LocalExecutor::new());
    // On the heap, agent and future alike: its bounded tables make it some hundred KiB.
    let agent = Box::new(Agent::new(options, &executor)?);
    smol::block_on(executor.run(Box::pin(agent.turn(termination))));
    Ok(())
}

impl Agent {
    async fn turn(mut self: Box<Self>, termination: Termination) {
        let mut sources = Sources {
            termination,
            bell: Bell::new().inspect_err(|e| log::warn!("network changes are not announced: {e}")).ok(),
            watch: Watch::new(&self.root)
                .inspect_err(|e| log::warn!("array changes are not announced: {e}"))
                .ok(),
            buttons: Buttons::open(&self.root, &self.keypad),
            timer: Timer::never(),
            turn: 0,
        };
        self.keypad.handle_open(self.since_boot());
        self.begin();
        notify::ready();
        loop {
            self.settle();
            sources.timer = self.next_timer().map_or_else(Timer::never, Timer::after);
            let event = poll_fn(|cx| self.poll_event(&mut sources, cx)).await;
            self.look_at_clock();
            match event {
                Event::Terminate => break,
                Event::Call(call) => self.handle_call(call),
                Event::Session(report) => self.handle_report(report),
                Event::Network => {
                    self.look_at_network();
                    let now = self.now().mono;
                    self.entrance.handle_network(now, &mut self.random);
                    self.route_mapping();
                }
                Event::Arrays => {
                    // Armed first, then read: in that order no change is missed.
                    if let Some(Err(error)) = sources.watch.as_mut().map(Watch::rearm) {
                        log::warn!("array changes are no longer announced: {error}");
                        sources.watch = None;
                    }
                    self.look_at_arrays();
                }
                Event::Readings(readings) => self.handle_readings(&readings),
                Event::Button(device, told) => self.handle_button(&device, told),
                Event::Time(told) => self.handle_time(told),
                Event::Diagnosed(diagnosis) => self.handle_diagnosis(&diagnosis),
                Event::Remote(word) => self.handle_word(&word),
                Event::Router(report) => self.handle_router(report),
                Event::Mcu(report) => self.handle_mcu(&report),
                Event::Timer => self.handle_timer(),
            }
        }
        self.end().await;
    }

    /// The first look at everything.
    fn begin(&mut self) {
        let now = self.now();
        log::info!(
            "moorline {} on {}, NAS {}",
            env!("CARGO_PKG_VERSION"),
            self.config.name,
            self.identity.id()
        );
        if let Some(evidence) = self.vault.corruption() {
            self.tracker.raise(Code::StoreCorrupt, "", &evidence, now.mono);
        }
        self.hold(
            self.config.cloud.is_none(),
            Code::CloudNotConfigured,
            "[cloud] broker is not set",
            now.mono,
        );
        for array in self.arrays.clone() {
            self.judge_array(&array);
            log::info!("array {}", views::array_evidence(&array));
        }
        self.tell_closed_door();
        self.tell_happened(&crate::array::event::at_first(&self.arrays));
        self.begin_lights();
        self.look_at_disks_now_and_then();
        self.look_at_clock();
        self.look_at_network();
        self.route_mapping();
    }

    /// What follows from whatever happened, until nothing more follows.
    fn settle(&mut self) {
        let now = self.now();
        let due = plan::housekeeping(self.vault.ledger(), &now);
        if !due.is_empty() && self.commit(due).is_err() {
            log::warn!("expired codes could not be written; they are not accepted all the same");
        }
        let disabled =
            self.config.cloud.is_some() && self.vault.corruption().is_none() && !self.wants_session();
        if disabled {
            let evidence = "switched off by the owner or the configuration";
            self.hold(true, Code::CloudDisabled, evidence, now.mono);
        } else {
            self.tracker.clear_where(now.mono, |f| f.code == Code::CloudDisabled);
        }
        self.look_at_inflow();
        self.keep_gate();
        self.drive_mapping();
        self.drive_session();
        self.tell_removed_if_online();
        self.show_lights();
        self.tell_findings();
    }

    fn tell_removed_if_online(&mut self) {
        if self.session.is_online() {
            self.tell_removed();
            self.drive_session();
        }
    }

    fn next_timer(&self) -> Option<Duration> {
        let now = self.now();
        let until = |at: crate::units::Mono| at.since(now.mono);
        let expiry = plan::next_housekeeping(self.vault.ledger(), &now);
        // A full flash budget must not make this spin: what could not be written is tried again in a minute.
        let expiry = expiry.map(|wait| if wait.is_zero() { CLOCK_EVERY } else { wait });
        let all = [
            self.session.poll_timeout().map(until),
            self.tracker.poll_timeout().map(until),
            self.inflow.poll_timeout().map(until),
            self.entrance.poll_timeout().map(until),
            self.mapper.poll_timeout().map(until),
            self.lights_timeout().map(until),
            self.next_step(),
            self.disks.poll_timeout().map(until),
            expiry,
            notify::watchdog_interval(),
            self.is_array_busy().then_some(PROGRESS_EVERY),
            Some(CLOCK_EVERY),
        ];
        all.into_iter().flatten().min()
    }

    fn handle_timer(&mut self) {
        let now = self.now().mono;
        self.session.handle_timeout(now, &mut self.random);
        self.tracker.handle_timeout(now);
        self.entrance.handle_timeout(now);
        self.time_mapping();
        self.time_lights();
        self.tell_steps();
        self.look_at_disks_now_and_then();
        self.watch_session();
        self.look_at_losses();
        self.ask_for_time();
        notify::alive();
        if self.is_array_busy() {
            self.look_at_arrays();
        }
    }

    fn poll_event(&mut self, sources: &mut Sources, cx: &mut Context<'_>) -> Poll<Event> {
        // Word to end goes before everything.
        if sources.termination.poll_asked(cx).is_ready() {
            return Poll::Ready(Event::Terminate);
        }
        sources.turn = sources.turn.wrapping_add(1);
        for source in 0..12 {
            let event = match (sources.turn + source) % 12 {
                0 => Pin::new(&mut sources.timer).poll(cx).map(|_| Event::Timer),
                1 => self.calls.as_mut().poll_next(cx).map(|call| call.map_or(Event::Terminate, Event::Call)),
                2 => self.transport.poll_report(cx).map(Event::Session),
                3 => {
                    sources.bell.as_ref().map_or(Poll::Pending, |b| b.poll_rung(cx)).map(|()| Event::Network)
                }
                4 => self.poll_time(cx).map(Event::Time),
                5 => self.poll_doctor(cx).map(Event::Diagnosed),
                8 => self.mapper.poll_report(cx).map(Event::Router),
                9 => self.poll_mcu(cx).map(Event::Mcu),
                10 => self.disks.poll_read(cx).map(Event::Readings),
                7 => self.entrance.poll_word(cx).map(Event::Remote),
                6 => sources.buttons.poll_told(cx).map(|(device, told)| Event::Button(device, told)),
                _ => sources
                    .watch
                    .as_mut()
                    .map_or(Poll::Pending, |w| w.poll_changed(cx))
                    .map(|()| Event::Arrays),
            };
            if event.is_ready() {
                return event;
            }
        }
        Poll::Pending
    }

    /// Presence goes offline, lights go back, files are closed by being dropped.
    async fn end(&mut self) {
        log::info!("ending");
        notify::stopping();
        self.end_lights();
        let now = self.now().mono;
        self.publish_absence();
        self.session.handle_enabled(now, false);
        let mut closing = false;
        while let Some(action) = self.session.poll_action() {
            closing |= matches!(action, crate::session::machine::Action::Goodbye(_));
            self.carry_out_last(action);
        }
        // What takes time goes side by side with nothing that matters more.
        let _ = within(RELAY_MAX, self.entrance.end()).await;
        let mapping = within(GOODBYE_MAX, self.end_mapping()).await;
        if mapping.is_none() {
            log::warn!("the router did not take its port back in time; it ends by itself");
        }
        if closing {
            let _ = within(GOODBYE_MAX, self.transport.closed()).await;
        }
        self.end_mcu().await;
    }

    fn carry_out_last(&mut self, action: crate::session::machine::Action) {
        use crate::session::machine::Action;
        match action {
            Action::Send(packet) => self.transport.send(&packet),
            Action::Goodbye(packet) => self.transport.goodbye(&packet),
            Action::Hangup => self.transport.hangup(),
            Action::Resolve | Action::Dial(_) | Action::Deliver(..) | Action::Changed(_) => {}
        }
    }
}
