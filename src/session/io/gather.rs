//! Fewer and larger: what is read below TLS, which by itself asks for 4 KiB at a time, and what is written into it, where each
//! frame would be a record and a packet, its header another. A shell.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use smol::io::{AsyncRead, AsyncWrite};

/// Read at once from the socket: two TLS records.
const READ: usize = 32 * 1024;
/// Written at once: two full TLS records.
const WRITE: usize = 32 * 1024;

/// Reads much at once. Writes go straight through.
#[derive(Debug)]
pub struct Reads<T> {
    inner: T,
    /// Empty until the first read, then of one size: filling it with zeros again and again costs more than the reads that it saves.
    room: Vec<u8>,
    /// What of the room has come, and what of that has been taken.
    filled: usize,
    taken: usize,
}

impl<T> Reads<T> {
    /// Nothing is read yet.
    pub const fn new(inner: T) -> Self {
        Self { inner, room: Vec::new(), filled: 0, taken: 0 }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Reads<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.room.is_empty() {
            this.room = vec![0; READ];
        }
        if this.taken == this.filled {
            (this.taken, this.filled) = (0, 0);
            this.filled = ready!(Pin::new(&mut this.inner).poll_read(cx, &mut this.room))?;
        }
        let mut left = this.room.get(this.taken..this.filled).unwrap_or_default();
        let n = io::Read::read(&mut left, buf)?;
        this.taken += n;
        Poll::Ready(Ok(n))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Reads<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_close(cx)
    }
}

/// Writes what comes in one turn of its task at once. Reads go straight through.
///
/// The multiplexer flushes after every frame and then looks whether there is another: the first flush after a write only asks to
/// be polled again, and what was written then goes with it; the next one without a write between does it.
#[derive(Debug)]
pub struct Writes<T> {
    inner: T,
    room: Vec<u8>,
    /// What of the room is written already.
    written: usize,
    was_asked: bool,
}

impl<T> Writes<T> {
    /// Nothing is written yet.
    pub const fn new(inner: T) -> Self {
        Self { inner, room: Vec::new(), written: 0, was_asked: false }
    }
}

impl<T: AsyncWrite + Unpin> Writes<T> {
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(left) = self.room.get(self.written..).filter(|left| !left.is_empty()) {
            let n = ready!(Pin::new(&mut self.inner).poll_write(cx, left))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += n;
        }
        self.room.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Writes<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Writes<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.room.len() >= WRITE {
            ready!(this.poll_drain(cx))?;
        }
        let n = buf.len().min(WRITE - this.room.len());
        this.room.extend_from_slice(buf.get(..n).unwrap_or_default());
        this.was_asked = false;
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.room.is_empty() && !this.was_asked {
            this.was_asked = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.inner).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smol::io::{AsyncReadExt, AsyncWriteExt};
    use smol::net::unix::UnixStream;

    /// Counts what reaches it; takes no more than so much at once.
    struct Counted<T>(T, Vec<usize>, usize);

    impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
        fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
            let this = self.get_mut();
            this.1.push(buf.len());
            Pin::new(&mut this.0).poll_read(cx, buf)
        }
    }

    impl AsyncWrite for Counted<Vec<u8>> {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            let this = self.get_mut();
            let n = buf.len().min(this.2);
            this.0.extend_from_slice(&buf[..n]);
            this.1.push(n);
            Poll::Ready(Ok(n))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn small_reads_come_from_large_ones_and_the_end_is_the_end() {
        smol::block_on(async {
            let (mut writer, reader) = UnixStream::pair().unwrap();
            let sent: Vec<u8> = (0..10_000u32).map(|i| (i % 251) as u8).collect();
            writer.write_all(&sent).await.unwrap();
            drop(writer);
            let mut reads = Reads::new(Counted(reader, Vec::new(), 0));
            let (mut all, mut piece) = (Vec::new(), [0; 7]);
            loop {
                let n = reads.read(&mut piece).await.unwrap();
                if n == 0 {
                    break;
                }
                all.extend_from_slice(&piece[..n]);
            }
            assert_eq!(all, sent);
            assert_eq!(reads.read(&mut piece).await.unwrap(), 0);
            assert!(reads.inner.1.len() <= 4, "{:?}", reads.inner.1);
        });
    }

    #[test]
    fn what_is_written_before_the_second_flush_goes_at_once() {
        let mut writes = Writes::new(Counted(Vec::new(), Vec::new(), usize::MAX));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        for piece in [&b"head"[..], b"body", b"head", b"body"] {
            assert!(Pin::new(&mut writes).poll_write(&mut cx, piece).is_ready());
            assert!(Pin::new(&mut writes).poll_flush(&mut cx).is_pending());
        }
        assert!(writes.inner.1.is_empty());
        assert!(Pin::new(&mut writes).poll_flush(&mut cx).is_ready());
        assert_eq!((writes.inner.0.as_slice(), writes.inner.1.len()), (&b"headbodyheadbody"[..], 1));
        smol::block_on(writes.flush()).unwrap();
        assert_eq!(writes.inner.1.len(), 1, "there is nothing to flush");
    }

    #[test]
    fn more_than_there_is_room_for_goes_in_order_through_a_slow_stream() {
        smol::block_on(async {
            let mut writes = Writes::new(Counted(Vec::new(), Vec::new(), 1000));
            let sent: Vec<u8> = (0..3 * WRITE as u32 + 17).map(|i| (i % 253) as u8).collect();
            for piece in sent.chunks(4099) {
                writes.write_all(piece).await.unwrap();
                assert!(writes.room.len() <= WRITE);
            }
            writes.close().await.unwrap();
            assert_eq!(writes.inner.0, sent);
        });
    }

    #[test]
    fn a_stream_that_takes_nothing_is_broken() {
        smol::block_on(async {
            let mut writes = Writes::new(Counted(Vec::new(), Vec::new(), 0));
            writes.write_all(b"x").await.unwrap();
            assert_eq!(writes.flush().await.unwrap_err().kind(), io::ErrorKind::WriteZero);
        });
    }
}
