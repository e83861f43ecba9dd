//! A local port for a service of the NAS: each connection to it becomes a stream. A shell.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use rustls::ClientConfig;
use smol::LocalExecutor;
use smol::lock::Mutex;
use smol::net::{TcpListener, TcpStream};

use super::channel::{Channel, Stream, Unreached, connect};
use crate::remote::io::pump::pump;

/// Where a NAS may be, and the channel to it while there is one.
pub struct Way {
    executor: Rc<LocalExecutor<'static>>,
    addresses: Vec<SocketAddr>,
    tls: Arc<ClientConfig>,
    channel: Mutex<Option<Channel>>,
}

impl Way {
    /// Nothing is opened yet.
    pub fn new(
        executor: &Rc<LocalExecutor<'static>>,
        addresses: Vec<SocketAddr>,
        tls: Arc<ClientConfig>,
    ) -> Self {
        Self { executor: Rc::clone(executor), addresses, tls, channel: Mutex::new(None) }
    }

    /// The channel; a new one if there is none, or if `broken` is what there is.
    ///
    /// # Errors
    /// That of the last address.
    pub async fn channel(&self, broken: Option<&Channel>) -> Result<Channel, Unreached> {
        let mut held = self.channel.lock().await;
        if let Some(channel) = held.as_ref().filter(|c| broken.is_none_or(|b| !b.is_same(c))) {
            return Ok(channel.clone());
        }
        *held = None;
        let mut failure = Unreached::Broken;
        for address in &self.addresses {
            match connect(*address, Arc::clone(&self.tls)).await {
                Ok((channel, driver)) => {
                    self.executor.spawn(driver).detach();
                    *held = Some(channel.clone());
                    return Ok(channel);
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// A stream to `service`. A channel that turns out to be broken is replaced once.
    ///
    /// # Errors
    /// [`Unreached`].
    pub async fn open(&self, service: &str) -> Result<Stream, Unreached> {
        let first = self.channel(None).await?;
        match first.open(service).await {
            Err(Unreached::Broken) => self.channel(Some(&first)).await?.open(service).await,
            opened => opened,
        }
    }
}

/// Takes connections for ever. `tell`: what is worth knowing of each that failed.
///
/// # Errors
/// Those of accept(2) that do not pass by themselves.
pub async fn forward(
    way: Rc<Way>,
    listener: TcpListener,
    service: String,
    tell: impl Fn(&Unreached) + Clone + 'static,
) -> io::Result<()> {
    loop {
        let (connection, _) = listener.accept().await?;
        let (way_in, service, tell) = (Rc::clone(&way), service.clone(), tell.clone());
        way.executor
            .spawn(async move {
                if let Err(error) = carry(&way_in, &service, connection).await {
                    tell(&error);
                }
            })
            .detach();
    }
}

async fn carry(way: &Way, service: &str, connection: TcpStream) -> Result<(), Unreached> {
    let _ = connection.set_nodelay(true);
    let stream = way.open(service).await?;
    // How a connection ends is its two ends' business.
    let _ = pump(connection, stream).await;
    Ok(())
}
