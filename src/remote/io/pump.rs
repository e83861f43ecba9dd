//! Bytes between two streams, both ways at once, each way ended by itself: who has said all can still be answered. A shell.

use std::io;

use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};
use smol::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use smol::net::TcpStream;

use super::carrier::FRAME_MAX;

/// Bytes that are under way in one direction: with yamux's windows the only memory that a busy stream takes. The larger, the fewer
/// calls of the kernel; most streams never fill the small one. The largest is four whole frames, and no crumb of a fifth.
const CHUNK: usize = CHUNK_MAX / 8;
const CHUNK_MAX: usize = 4 * FRAME_MAX;

/// Until both directions have ended.
///
/// # Errors
/// The first of either stream; then neither goes on.
pub async fn pump(
    one: impl AsyncRead + AsyncWrite + Unpin,
    other: impl AsyncRead + AsyncWrite + Unpin,
) -> io::Result<(u64, u64)> {
    let ((one_in, one_out), (other_in, other_out)) = (split(one), split(other));
    smol::future::try_zip(copy(one_in, other_out), copy(other_in, one_out)).await
}

/// As [`pump`], where one end is a program: if it is cut off, or the stream breaks, the program sees a reset. An end would look as if
/// everything had come. `is_whole` is asked at the end: whether what the stream ended by was no loss.
///
/// # Errors
/// As [`pump`].
pub async fn pump_program(
    program: TcpStream,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    is_whole: impl FnOnce() -> bool,
) -> io::Result<()> {
    let socket = program.clone();
    // SO_LINGER without time, socket(7): closing it resets it, also when this future is dropped.
    let _ = setsockopt(&socket, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 });
    pump(program, stream).await?;
    if is_whole() {
        let _ = setsockopt(&socket, sockopt::Linger, &linger { l_onoff: 0, l_linger: 0 });
    }
    Ok(())
}

async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> io::Result<u64> {
    let mut buffer = vec![0; CHUNK];
    let mut all = 0;
    loop {
        let n = from.read(&mut buffer).await?;
        if n == 0 {
            to.close().await?;
            return Ok(all);
        }
        to.write_all(buffer.get(..n).unwrap_or_default()).await?;
        all += n as u64;
        if n == buffer.len() && n < CHUNK_MAX {
            buffer = vec![0; 2 * n];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smol::net::unix::UnixStream;

    #[test]
    fn each_direction_ends_by_itself_and_nothing_is_lost() {
        smol::block_on(async {
            let (mut client, near) = UnixStream::pair().unwrap();
            let (far, mut server) = UnixStream::pair().unwrap();
            let asks = async {
                client.write_all(b"question").await.unwrap();
                client.close().await.unwrap();
                let mut answer = Vec::new();
                client.read_to_end(&mut answer).await.unwrap();
                answer
            };
            let answers = async {
                let mut question = Vec::new();
                // Only the end of the question lets this go on.
                server.read_to_end(&mut question).await.unwrap();
                server.write_all(&question.repeat(50_000)).await.unwrap();
                server.close().await.unwrap();
            };
            let ((moved, answer), ()) =
                smol::future::zip(smol::future::zip(pump(near, far), asks), answers).await;
            assert_eq!(answer, b"question".repeat(50_000));
            assert_eq!(moved.unwrap(), (8, 400_000));
        });
    }

    #[test]
    fn a_broken_end_ends_both() {
        smol::block_on(async {
            let (client, near) = UnixStream::pair().unwrap();
            let (far, server) = UnixStream::pair().unwrap();
            drop(server);
            let mut client = client;
            let (moved, _) = smol::future::zip(pump(near, far), async {
                let _ = client.write_all(&[0; 1000]).await;
                let _ = client.read(&mut [0]).await;
            })
            .await;
            assert!(moved.is_err());
        });
    }
}
