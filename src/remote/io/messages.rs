//! The first message on a stream and its answer, as both ends read and write them. A shell.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use smol::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::remote::opening::{self, Garbled, LENGTH};

/// Sends a message.
///
/// # Errors
/// Those of the stream.
pub async fn send<M: Serialize>(stream: &mut (impl AsyncWrite + Unpin), message: &M) -> io::Result<()> {
    send_framed(stream, &opening::encode(message)).await
}

/// Receives one.
///
/// # Errors
/// Those of the stream; `InvalidData` for what is no message.
pub async fn receive<M: DeserializeOwned>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<M> {
    opening::decode(&receive_framed(stream, opening::length).await?).map_err(garbled)
}

/// Sends what has its length before it already.
///
/// # Errors
/// Those of the stream.
pub(super) async fn send_framed(stream: &mut (impl AsyncWrite + Unpin), framed: &[u8]) -> io::Result<()> {
    stream.write_all(framed).await?;
    stream.flush().await
}

/// Receives what stands behind a length that `length` accepts.
///
/// # Errors
/// Those of the stream; `InvalidData` for a length that is none.
pub(super) async fn receive_framed(
    stream: &mut (impl AsyncRead + Unpin),
    length: impl FnOnce([u8; LENGTH]) -> Result<usize, Garbled>,
) -> io::Result<Vec<u8>> {
    let mut head = [0; LENGTH];
    stream.read_exact(&mut head).await?;
    let mut body = vec![0; length(head).map_err(garbled)?];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

fn garbled(garbled: Garbled) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, garbled)
}
