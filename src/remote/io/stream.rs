//! A stream of a carrier as the ends want it: a reset is an error and no end, so that what waits for an answer waits no longer; and
//! it gives back its seat in the carrier when it is dropped. A shell.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use smol::io::{AsyncRead, AsyncWrite};

/// With what is held as long as it lives.
#[derive(Debug)]
pub struct Stream<S = ()> {
    inner: yamux::Stream,
    is_ended: bool,
    _seat: S,
}

impl<S> Stream<S> {
    /// An open one.
    pub const fn new(inner: yamux::Stream, seat: S) -> Self {
        Self { inner, is_ended: false, _seat: seat }
    }
}

impl<S: Unpin> AsyncRead for Stream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let read = Pin::new(&mut this.inner).poll_read(cx, buf);
        match read {
            // Closed in both directions, and not by this end.
            Poll::Ready(Ok(0)) if !buf.is_empty() && !this.is_ended && this.inner.is_closed() => {
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
            read => read,
        }
    }
}

impl<S: Unpin> AsyncWrite for Stream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.is_ended = true;
        Pin::new(&mut this.inner).poll_close(cx)
    }
}
