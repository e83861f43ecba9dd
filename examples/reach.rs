//! Reaches a service of a NAS that this device is paired with, as any program can: reads a page of its web server.
//!
//!   cargo run --features client --example reach -- STATE_DIR HOST:PORT SERVICE PATH
#![allow(clippy::print_stdout, reason = "an example prints what it has found")]

use std::net::ToSocketAddrs;
use std::path::PathBuf;

use moorline::client::channel::connect;
use moorline::client::keyring::Keyring;
use moorline::remote::channel;
use smol::io::{AsyncReadExt, AsyncWriteExt};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [state, at, service, path] = words.as_slice() else {
        return Err("usage: reach STATE_DIR HOST:PORT SERVICE PATH".into());
    };
    let pairing =
        Keyring::open(PathBuf::from(state))?.pairings()?.pop().ok_or("this device is not paired")?;
    let address = at.to_socket_addrs()?.next().ok_or("there is no such host")?;
    let executor = smol::LocalExecutor::new();
    smol::block_on(executor.run(async {
        let tls = channel::client(&pairing.key, pairing.nas_key)?;
        let (channel, driver) = connect(address, tls).await?;
        // The driver carries the bytes of all streams; it must run for as long as they are used.
        executor.spawn(driver).detach();
        println!("{}", channel.status().await?.summary);
        let mut stream = channel.open(service).await?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: nas\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        stream.close().await?;
        let mut page = Vec::new();
        stream.read_to_end(&mut page).await?;
        println!("{}", String::from_utf8_lossy(&page));
        Ok(())
    }))
}
