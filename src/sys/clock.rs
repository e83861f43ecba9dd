//! The clocks of the system: time since boot, the date it claims, and whether the kernel stands by that.

use std::future::Future;
use std::io;
use std::time::Duration;

use async_io::Timer;
use nix::time::{ClockId, clock_gettime};

use crate::clock::{BootId, Reading};
use crate::sys::root::Root;
use crate::units::{Mono, UnixSeconds};

// Dates after 2038: a 32-bit time_t is a mistake of the build (.cargo/config.toml has the switch), not of the box.
const _: () = assert!(size_of::<nix::libc::timespec>() == 16, "time_t has 32 bits: see .cargo/config.toml");

/// `STA_UNSYNC` of <linux/timex.h>: nobody disciplines the clock.
const STA_UNSYNC: i32 = 0x0040;

/// Time since boot.
pub fn mono() -> Mono {
    // CLOCK_BOOTTIME is there since Linux 2.6.39; a kernel without it stands still here and is noticed in the first test.
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).map(std::time::Duration::from).unwrap_or_default();
    Mono::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// What comes of `work`, or `None` when its time is up.
pub async fn within<T>(longest: Duration, work: impl Future<Output = T>) -> Option<T> {
    let late = async {
        Timer::after(longest).await;
        None
    };
    smol::future::or(async { Some(work.await) }, late).await
}

/// As [`within`], for work on a stream: that its time is up is an error like others.
///
/// # Errors
/// Those of the work, or `TimedOut`.
pub async fn timely<T>(longest: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    within(longest, work).await.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
}

/// All clocks at once.
pub fn read() -> Reading {
    // Not std's SystemTime: a standard library that came prebuilt for 32-bit musl may still have a 32-bit time_t.
    let system =
        clock_gettime(ClockId::CLOCK_REALTIME).ok().and_then(|t| u64::try_from(t.tv_sec()).ok()).unwrap_or(0);
    Reading { mono: mono(), system: UnixSeconds(system), disciplined: disciplined() }
}

/// What adjtimex(2) says; it only reads with `modes` 0.
#[expect(unsafe_code, reason = "neither std nor nix has a call for adjtimex(2)")]
fn disciplined() -> bool {
    // SAFETY: timex is a plain C struct for which all zeros is a valid value; modes 0 asks only to be filled in.
    let mut timex: nix::libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live, exclusive timex.
    let state = unsafe { nix::libc::adjtimex(&raw mut timex) };
    state >= 0 && timex.status & STA_UNSYNC == 0
}

/// Which boot this is; without a boot id (no /proc) every start counts as a boot of its own.
pub fn boot_id(root: &Root, fallback: [u8; 8]) -> BootId {
    let text = root.read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let mut digits = text.chars().filter_map(|c| c.to_digit(16)).take(16);
    let mut id = [0u8; 8];
    for byte in &mut id {
        let (Some(high), Some(low)) = (digits.next(), digits.next()) else { return BootId(fallback) };
        *byte = u8::try_from(high * 16 + low).unwrap_or(0);
    }
    BootId(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_clock_runs_and_the_boot_is_known() {
        let first = mono();
        assert!(first.as_millis() > 0 && mono() >= first);
        let root = Root::real();
        assert_eq!(boot_id(&root, [0; 8]), boot_id(&root, [1; 8]));
        let nowhere = Root::simulated("/nonexistent".into());
        assert_eq!(boot_id(&nowhere, [7; 8]), BootId([7; 8]));
        assert!(read().system.0 > 1_700_000_000);
    }
}
