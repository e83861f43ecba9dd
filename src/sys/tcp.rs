//! What std and nix have no call for on a TCP connection: tcp(7) and linux/tcp.h.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::socket::{setsockopt, sockopt};

/// Words of `struct tcp_info` that are asked for: up to `tcpi_segs_out`, which Linux has since 4.2.
const WORDS: usize = 35;
/// Where `tcpi_total_retrans` stands, in words of 32 bits behind the eight single bytes.
const TOTAL_RETRANS: usize = 25;
/// Where `tcpi_segs_out` stands.
const SEGS_OUT: usize = 34;

/// Where `tcpi_rtt` stands.
const RTT: usize = 17;
/// From here on a line is a long one: no house is that large.
const LONG_US: u32 = 10_000;
/// The congestion control for a long line (kernel: net/ipv4/tcp_bbr.c): a lost packet now and then does not slow it down. With the
/// others one packet in a hundred lost on a line of 50 ms leaves 0.3 MiB/s of any line (docs/bench-remote.md).
const FOR_LONG_LINES: &str = "bbr";

/// Packets sent, repetitions included, and repetitions. `None` where the kernel does not say.
pub fn packets(socket: &impl AsFd) -> Option<(u32, u32)> {
    let info = info(socket, SEGS_OUT)?;
    Some((*info.get(SEGS_OUT)?, *info.get(TOTAL_RETRANS)?))
}

/// How soon a connection that leads nowhere any more is given up: tcp(7). Without it one on which nothing is said stays for hours.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Sent data that is not acknowledged for this long ends it (TCP_USER_TIMEOUT), in milliseconds.
    pub unacknowledged_ms: u32,
    /// After so many seconds without a word the other end is asked whether it is there (TCP_KEEPIDLE), …
    pub ask_after_s: u32,
    /// … and again every so many (TCP_KEEPINTVL).
    pub ask_every_s: u32,
}

/// For a connection between device and NAS: nothing waits for more, and a dead path is noticed. All of it only makes it better; a kernel
/// without it still works.
pub fn prepare(socket: &impl AsFd, patience: Patience) {
    let _ = setsockopt(socket, sockopt::TcpNoDelay, &true);
    let _ = setsockopt(socket, sockopt::TcpUserTimeout, &patience.unacknowledged_ms);
    let _ = setsockopt(socket, sockopt::TcpKeepIdle, &patience.ask_after_s);
    let _ = setsockopt(socket, sockopt::TcpKeepInterval, &patience.ask_every_s);
    let _ = setsockopt(socket, sockopt::KeepAlive, &true);
}

/// For a connection that is open and has said something: on a long line it takes a congestion control that suits it, where the kernel has
/// that. Whether it has is of no interest.
pub fn suit_line(socket: &impl AsFd) {
    let rtt = info(socket, RTT).and_then(|info| info.get(RTT).copied());
    if rtt.is_some_and(|us| us >= LONG_US) {
        let _ = setsockopt(socket, sockopt::TcpCongestion, &OsString::from(FOR_LONG_LINES));
    }
}

/// What the kernel says of a connection, if it says that much.
#[expect(unsafe_code, reason = "nix has no TCP_INFO")]
fn info(socket: &impl AsFd, last: usize) -> Option<[u32; WORDS]> {
    let mut info = [0u32; WORDS];
    let size = size_of_val(&info);
    let mut length = nix::libc::socklen_t::try_from(size).ok()?;
    // SAFETY: the descriptor is open for as long as `socket` is borrowed; the kernel writes at most `length` bytes into
    // `info`, which is that long and may hold any bits, and says in `length` how many it wrote.
    let done = unsafe {
        nix::libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            nix::libc::IPPROTO_TCP,
            nix::libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    let is_there = usize::try_from(length).is_ok_and(|l| l >= (last + 1) * size_of::<u32>());
    (done == 0 && is_there).then_some(info)
}

/// Acknowledges at once what came, once: TCP_QUICKACK, which the kernel takes back by itself. A broker that does not switch Nagle's
/// algorithm off (Mosquitto, unless told) holds the end of each message back until what was sent before is acknowledged, which
/// takes 40 ms otherwise. It only makes it faster, so whether it could be set is of no interest.
#[expect(unsafe_code, reason = "nix has no TCP_QUICKACK")]
pub fn acknowledge(socket: &impl AsFd) {
    let one: nix::libc::c_int = 1;
    let length = nix::libc::socklen_t::try_from(size_of_val(&one)).unwrap_or(4);
    // SAFETY: the descriptor is open for as long as `socket` is borrowed; the kernel reads `length` bytes of `one`.
    let _ = unsafe {
        nix::libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            nix::libc::IPPROTO_TCP,
            nix::libc::TCP_QUICKACK,
            (&raw const one).cast(),
            length,
        )
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    #[cfg_attr(
        not(target_arch = "x86_64"),
        ignore = "the suite runs under qemu-user there, which has no TCP_INFO"
    )]
    fn the_kernel_counts_what_was_sent() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = std::net::TcpStream::connect(server.local_addr().unwrap()).unwrap();
        let mut peer = server.accept().unwrap().0;
        let (before, repeated) = packets(&client).unwrap();
        assert_eq!(repeated, 0);
        for _ in 0..10 {
            client.write_all(b"x").unwrap();
            peer.read_exact(&mut [0]).unwrap();
        }
        let (after, _) = packets(&client).unwrap();
        assert!(after >= before + 10, "{before} {after}");
        assert_eq!(packets(&std::io::stdin()), None, "not a connection");
        let before = nix::sys::socket::getsockopt(&client, sockopt::TcpCongestion).unwrap();
        suit_line(&client);
        let after = nix::sys::socket::getsockopt(&client, sockopt::TcpCongestion).unwrap();
        assert_eq!(after, before, "a short line is left alone");
    }
}
