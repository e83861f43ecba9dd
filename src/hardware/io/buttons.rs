//! Reading the board's buttons from their input devices. A shell.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::task::{Context, Poll};

use async_io::Async;

use crate::hardware::button::{EVENT_SIZE, Keypad, Told, told};
use crate::sys::root::{Root, listed_where, read_small};

/// Input devices that are looked at.
const DEVICES_MAX: usize = 32;

/// The input devices that have buttons of the board.
#[derive(Debug, Default)]
pub struct Buttons {
    devices: Vec<(String, Async<File>)>,
}

impl Buttons {
    /// Opens them. One that cannot be opened is said in the log: the others still work.
    pub fn open(root: &Root, keypad: &Keypad) -> Self {
        let class = root.path("/sys/class/input");
        let mut devices = Vec::new();
        for (event, path) in listed_where(&class, DEVICES_MAX, |name| name.starts_with("event")) {
            let name = read_small(&path.join("device/name")).unwrap_or_default();
            if !keypad.wants(&name) {
                continue;
            }
            let node = root.path("/dev").join("input").join(event);
            let flags = nix::libc::O_NONBLOCK | nix::libc::O_CLOEXEC;
            let opened = OpenOptions::new().read(true).custom_flags(flags).open(&node);
            // A simulated tree has plain files, which cannot be waited for.
            match opened.and_then(Async::new_nonblocking) {
                Ok(file) => devices.push((name, file)),
                Err(error) => log::warn!("buttons: {}: {error}", node.display()),
            }
        }
        Self { devices }
    }

    /// What an input device tells next, with its name. A device that fails is given up.
    pub fn poll_told(&mut self, cx: &mut Context<'_>) -> Poll<(String, Told)> {
        let mut at = 0;
        while let Some((name, device)) = self.devices.get(at) {
            match poll_one(device, cx) {
                Poll::Ready(Ok(told)) => return Poll::Ready((name.clone(), told)),
                Poll::Ready(Err(error)) => {
                    log::warn!("buttons: {name}: {error}");
                    self.devices.remove(at);
                }
                Poll::Pending => at += 1,
            }
        }
        Poll::Pending
    }
}

fn poll_one(device: &Async<File>, cx: &mut Context<'_>) -> Poll<io::Result<Told>> {
    loop {
        let mut event = [0u8; EVENT_SIZE];
        match device.get_ref().read(&mut event) {
            Ok(EVENT_SIZE) => {
                if let Some(told) = told(&event) {
                    return Poll::Ready(Ok(told));
                }
            }
            // The kernel gives whole events only.
            Ok(_) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => match device.poll_readable(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            },
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
}
