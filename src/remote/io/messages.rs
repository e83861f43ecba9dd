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
    stream.write_all(&opening::encode(message)).await?;
    stream.flush().await
}

/// Receives one.
///
/// # Errors
/// Those of the stream; `InvalidData` for what is no message.
pub async fn receive<M: DeserializeOwned>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<M> {
    let garbled = |garbled: Garbled| io::Error::new(io::ErrorKind::InvalidData, garbled);
    let mut head = [0; LENGTH];
    stream.read_exact(&mut head).await?;
    let mut body = vec![0; opening::length(head).map_err(garbled)?];
    stream.read_exact(&mut body).await?;
    opening::decode(&body).map_err(garbled)
}
