//! The serial port of the microcontroller. A shell: what is said on it is `hardware::mcu::exchange`'s.
//!
//! It is one of the things that the agent's loop waits for, without thread or task: seven bytes with pauses that a timer
//! keeps, a few times an hour. Nothing here waits, so a microcontroller that does not answer holds up nothing.
//!
//! One owner of the port: TIOCEXCL keeps out who comes later and is not root, flock(2) whoever looks for it. Programs that
//! do neither (mcm-daemon) are not noticed; they show by answers that get lost.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_io::{Async, Timer};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::termios::{
    BaudRate, ControlFlags, FlushArg, SetArg, cfmakeraw, cfsetspeed, tcflush, tcgetattr, tcsetattr,
};
use rustix::termios::{ioctl_tiocexcl, ioctl_tiocnxcl};

use crate::hardware::mcu::exchange::{Exchange, Parts, Timing, Told};
use crate::hardware::mcu::frame::Command;
use crate::hardware::mcu::lamp::Lamp;
use crate::sys::clock::mono;
use crate::sys::root::Root;

/// Bits a second.
const BAUD: BaudRate = BaudRate::B19200;
/// From a port that could not be opened, or failed, to the next attempt.
const REOPEN: Duration = Duration::from_secs(120);
/// Bytes that are taken at a time.
const READ: usize = 64;
/// Lots of bytes after which others have their turn: a port that never stops talking must not keep the loop.
const LOTS: u8 = 4;

/// Why the port is not ours.
#[derive(Debug)]
pub enum Trouble {
    /// Somebody else has it: who keeps us out.
    Taken(&'static str),
    /// It could not be opened or set, or failed.
    Failed(io::Error),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(who) => f.write_str(who),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

/// What became known.
#[derive(Debug)]
pub enum Report {
    /// The port is not ours. It is tried again by and by.
    Port(Trouble),
    /// It answers.
    Answers,
    /// It does not answer to this.
    Silent(Command),
    /// A reading ended.
    Reading,
}

/// The port.
#[derive(Debug)]
enum Port {
    Open {
        file: Async<File>,
        _lock: Flock<File>,
    },
    /// The next attempt is this timer's.
    Closed(Timer),
}

/// The microcontroller of one box.
#[derive(Debug)]
pub struct Mcu {
    root: Root,
    tty: String,
    port: Port,
    exchange: Exchange,
    timing: Timing,
    /// The pause after a byte, or until something is due.
    timer: Timer,
    pausing: bool,
}

impl Mcu {
    /// The one at `tty`, `ttyS1` for example. Nothing is opened yet.
    pub fn new(root: Root, tty: &str, parts: Parts, timing: Timing) -> Self {
        let exchange = Exchange::new(timing, parts, mono());
        let port = Port::Closed(Timer::after(Duration::ZERO));
        Self { root, tty: tty.to_owned(), port, exchange, timing, timer: Timer::never(), pausing: false }
    }

    /// Its port, for evidence.
    pub fn tty(&self) -> &str {
        &self.tty
    }

    /// What it said last.
    pub const fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// The light is to show this, as soon as it can be said.
    pub fn show(&mut self, lamp: Lamp) {
        self.exchange.handle_lamp(lamp);
        self.hurry();
    }

    /// Begins a reading unless there is one of the last `age`. Whether [`Report::Reading`] will follow.
    pub fn ask(&mut self, age: Duration) -> bool {
        let follows = matches!(self.port, Port::Open { .. }) && self.exchange.handle_question(mono(), age);
        self.hurry();
        follows
    }

    /// What is due may have changed. Only within a pause nothing is.
    fn hurry(&mut self) {
        if !self.pausing {
            self.timer.set_after(Duration::ZERO);
        }
    }

    /// Until the light shows what it is to show, or there is no hope of it. The caller sets a limit.
    pub async fn shown(&mut self) {
        std::future::poll_fn(|cx| {
            while matches!(self.port, Port::Open { .. }) && !self.exchange.is_lamp_done() {
                ready!(self.poll_report(cx));
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Drives the conversation; the next thing that became known.
    pub fn poll_report(&mut self, cx: &mut Context<'_>) -> Poll<Report> {
        loop {
            if let Some(told) = self.exchange.poll_told() {
                return Poll::Ready(match told {
                    Told::Answers => Report::Answers,
                    Told::Silent(command) => Report::Silent(command),
                    Told::Reading => Report::Reading,
                });
            }
            let file = match &mut self.port {
                Port::Open { file, .. } => file,
                Port::Closed(timer) => {
                    ready!(Pin::new(timer).poll(cx));
                    match open(&self.root, &self.tty) {
                        Ok(port) => {
                            self.port = port;
                            self.exchange.handle_opened(mono());
                            self.pausing = false;
                            self.hurry();
                        }
                        Err(trouble) => return Poll::Ready(self.close(trouble)),
                    }
                    continue;
                }
            };
            let step = hear(file, &mut self.exchange, cx).and_then(|()| self.speak(cx));
            match step {
                Ok(Poll::Ready(())) => {}
                Ok(Poll::Pending) if self.exchange.has_told() => {}
                Ok(Poll::Pending) => return Poll::Pending,
                Err(error) => return Poll::Ready(self.close(Trouble::Failed(error))),
            }
        }
    }

    /// One step of what is due. Pending: nothing is, and the timer is set.
    fn speak(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        if self.pausing {
            if Pin::new(&mut self.timer).poll(cx).is_pending() {
                return Ok(Poll::Pending);
            }
            self.pausing = false;
        }
        let now = mono();
        if self.exchange.poll_timeout().is_some_and(|at| at <= now) {
            self.exchange.handle_timeout(now);
            return Ok(Poll::Ready(()));
        }
        if let Some(byte) = self.exchange.poll_byte(now) {
            let Port::Open { file, .. } = &self.port else { return Ok(Poll::Pending) };
            // The line takes a byte at once or is broken: nobody else writes to it.
            let mut file = file.get_ref();
            file.write_all(&[byte])?;
            self.pausing = true;
            self.timer.set_after(self.timing.byte_gap);
            return Ok(Poll::Ready(()));
        }
        match self.exchange.poll_timeout() {
            Some(at) => self.timer.set_after(at.since(now)),
            None => self.timer = Timer::never(),
        }
        Ok(Pin::new(&mut self.timer).poll(cx).map(|_| ()))
    }

    fn close(&mut self, trouble: Trouble) -> Report {
        self.port = Port::Closed(Timer::after(REOPEN));
        Report::Port(trouble)
    }
}

impl Drop for Mcu {
    fn drop(&mut self) {
        if let Port::Open { file, .. } = &self.port {
            // Others that have it open keep the mark alive, and would keep out who comes next.
            let _ = ioctl_tiocnxcl(file);
        }
    }
}

/// Takes in what is there.
fn hear(file: &Async<File>, exchange: &mut Exchange, cx: &mut Context<'_>) -> io::Result<()> {
    for _ in 0..LOTS {
        let mut bytes = [0; READ];
        match file.get_ref().read(&mut bytes) {
            // The other end of a simulated line hung up.
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => exchange.handle_bytes(bytes.get(..n).unwrap_or_default(), mono()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => match file.poll_readable(cx) {
                Poll::Ready(done) => done?,
                Poll::Pending => return Ok(()),
            },
            Err(error) => return Err(error),
        }
    }
    cx.waker().wake_by_ref();
    Ok(())
}

fn open(root: &Root, tty: &str) -> Result<Port, Trouble> {
    let failed = Trouble::Failed;
    // What the kernel prints there would be commands to the microcontroller, and its answers those of an operator.
    let consoles = root.read("/proc/consoles").unwrap_or_default();
    if consoles.lines().any(|l| l.split_whitespace().next() == Some(tty)) {
        return Err(Trouble::Taken("it is the kernel's console"));
    }
    let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY | nix::libc::O_CLOEXEC;
    let file =
        OpenOptions::new().read(true).write(true).custom_flags(flags).open(root.path("/dev").join(tty));
    let file = file.map_err(|error| match error.raw_os_error() {
        Some(nix::libc::EBUSY) => Trouble::Taken("another program has it for itself (TIOCEXCL)"),
        _ => failed(error),
    })?;
    // Two handles of one opening: the lock is its, not the handle's.
    let lock = Flock::lock(file.try_clone().map_err(failed)?, FlockArg::LockExclusiveNonblock);
    let _lock = lock.map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => Trouble::Taken("another program has locked it (flock)"),
        other => failed(other.into()),
    })?;
    set(&file).map_err(|errno| failed(errno.into()))?;
    Ok(Port::Open { file: Async::new_nonblocking(file).map_err(failed)?, _lock })
}

/// 19200 8N1, raw, without handshake lines; ours alone; nothing old in it. By the old calls of the C library, which every kernel and
/// qemu-user have; only TIOCEXCL is not among them.
fn set(file: &File) -> nix::Result<()> {
    let mut line = tcgetattr(file)?;
    cfmakeraw(&mut line);
    line.control_flags.remove(ControlFlags::CSTOPB | ControlFlags::CRTSCTS);
    line.control_flags.insert(ControlFlags::CLOCAL | ControlFlags::CREAD);
    cfsetspeed(&mut line, BAUD)?;
    tcsetattr(file, SetArg::TCSANOW, &line)?;
    ioctl_tiocexcl(file).map_err(|errno| Errno::from_raw(errno.raw_os_error()))?;
    tcflush(file, FlushArg::TCIFLUSH)?;
    tcflush(file, FlushArg::TCOFLUSH)
}
