//! SIGTERM and SIGINT as events of the loop (signalfd(2)), so that no code runs in a signal handler.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};

use async_io::Async;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

struct Descriptor(SignalFd);

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The wish to end.
pub struct Termination {
    fd: Async<Descriptor>,
}

impl Termination {
    /// Blocks the signals and opens their descriptor. To be called before any other thread is started, since threads
    /// inherit what is blocked.
    ///
    /// # Errors
    /// Those of sigprocmask(2) and signalfd(2).
    pub fn new() -> io::Result<Self> {
        let mut set = SigSet::empty();
        set.add(Signal::SIGTERM);
        set.add(Signal::SIGINT);
        set.thread_block()?;
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { fd: Async::new_nonblocking(Descriptor(fd))? })
    }

    /// Ready when one of them arrived.
    pub fn poll_asked(&self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Ok(Some(_)) = self.fd.get_ref().0.read_signal() {
                return Poll::Ready(());
            }
            match self.fd.poll_readable(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}
