//! A byte stream over a WebSocket over a byte stream. A shell over [`Frames`].

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use smol::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::stream::{Duplex, lost};
use crate::random::{Random, bytes};
use crate::session::cause::Cause;
use crate::session::websocket::{Frames, NoUpgrade, RESPONSE_MAX, binary, close, request, response};
use crate::sys::random::System;

/// Largest payload of a frame that is sent.
const FRAME_MAX: usize = 16 * 1024;
/// Bytes read at a time.
const READ_MAX: usize = 4096;

/// The stream inside the frames.
pub struct WebSocket {
    below: Box<dyn Duplex>,
    frames: Frames,
    /// Unpacked, not yet read.
    incoming: Vec<u8>,
    /// Packed, not yet sent.
    outgoing: Vec<u8>,
    random: System,
    said_goodbye: bool,
}

/// Asks for the upgrade.
///
/// # Errors
/// `Upgrade` with what the server said instead, or as a lost connection.
pub async fn upgrade(
    mut below: Box<dyn Duplex>,
    host: &str,
    port: u16,
    path: &str,
) -> Result<WebSocket, Cause> {
    let mut random = System::new();
    let nonce = bytes(&mut random);
    let io = |error: io::Error| lost(&error);
    below.write_all(&request(host, port, path, nonce)).await.map_err(io)?;
    below.flush().await.map_err(io)?;
    let mut answer = Vec::new();
    loop {
        let mut buffer = [0u8; 1024];
        let n = below.read(&mut buffer).await.map_err(io)?;
        if n == 0 {
            return Err(Cause::Closed);
        }
        answer.extend_from_slice(buffer.get(..n).unwrap_or_default());
        answer.truncate(RESPONSE_MAX);
        let length = match response(&answer, nonce) {
            Ok(Some(length)) => length,
            Ok(None) => continue,
            Err(NoUpgrade::Status(code)) => return Err(Cause::Upgrade(code)),
            Err(NoUpgrade::NotHttp) => return Err(Cause::Protocol("not an answer to a WebSocket upgrade")),
            Err(NoUpgrade::NotMqtt) => return Err(Cause::Protocol("a WebSocket, but not for MQTT")),
        };
        let mut socket = WebSocket {
            below,
            frames: Frames::default(),
            incoming: Vec::new(),
            outgoing: Vec::new(),
            random,
            said_goodbye: false,
        };
        socket.unpack(answer.get(length..).unwrap_or_default()).map_err(io)?;
        return Ok(socket);
    }
}

impl WebSocket {
    fn unpack(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.frames
            .handle_bytes(bytes, &mut self.incoming)
            .map_err(|violation| io::Error::new(io::ErrorKind::InvalidData, violation.0))?;
        let mask = self.mask();
        self.frames.poll_pong(mask, &mut self.outgoing);
        Ok(())
    }

    fn mask(&mut self) -> [u8; 4] {
        let mut mask = [0; 4];
        self.random.fill(&mut mask);
        mask
    }

    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let n = ready!(Pin::new(&mut self.below).poll_write(cx, &self.outgoing))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.drain(..n);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for WebSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        loop {
            if !this.incoming.is_empty() {
                let n = out.len().min(this.incoming.len());
                out.iter_mut().zip(this.incoming.drain(..n)).for_each(|(to, from)| *to = from);
                return Poll::Ready(Ok(n));
            }
            if this.frames.is_closed() {
                return Poll::Ready(Ok(0));
            }
            // A pong goes out with the reading, since nobody may write for long.
            if let Poll::Ready(Err(error)) = this.poll_sent(cx) {
                return Poll::Ready(Err(error));
            }
            let mut buffer = [0u8; READ_MAX];
            let n = ready!(Pin::new(&mut this.below).poll_read(cx, &mut buffer))?;
            if n == 0 {
                return Poll::Ready(Ok(0));
            }
            this.unpack(buffer.get(..n).unwrap_or_default())?;
            if !this.outgoing.is_empty() {
                let _ = this.poll_sent(cx)?;
                let _ = Pin::new(&mut this.below).poll_flush(cx)?;
            }
        }
    }
}

impl AsyncWrite for WebSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_sent(cx))?;
        let chunk = data.get(..FRAME_MAX).unwrap_or(data);
        let mask = self.mask();
        binary(chunk, mask, &mut self.outgoing);
        // What the layer below does not take now goes with the next write or flush.
        if let Poll::Ready(Err(error)) = self.poll_sent(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(chunk.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_sent(cx))?;
        Pin::new(&mut self.below).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.said_goodbye {
            self.said_goodbye = true;
            let mask = self.mask();
            close(mask, &mut self.outgoing);
        }
        ready!(self.poll_sent(cx))?;
        Pin::new(&mut self.below).poll_close(cx)
    }
}
