//! Word to systemd, where there is one: ready, stopping, still alive (sd_notify(3)).

use core::time::Duration;

use sd_notify::NotifyState;

/// The agent serves.
pub fn ready() {
    // Without NOTIFY_SOCKET this does nothing; a failed message is systemd's to notice.
    let _ = sd_notify::notify(false, &[NotifyState::Ready]);
}

/// The agent is about to end.
pub fn stopping() {
    let _ = sd_notify::notify(false, &[NotifyState::Stopping]);
}

/// The loop turns.
pub fn alive() {
    let _ = sd_notify::notify(false, &[NotifyState::Watchdog]);
}

/// How often [`alive`] is due: half of what systemd allows; `None` if it does not watch.
pub fn watchdog_interval() -> Option<Duration> {
    let mut usec = 0;
    let watched = sd_notify::watchdog_enabled(false, &mut usec);
    (watched && usec > 0).then(|| Duration::from_micros(usec / 2))
}
