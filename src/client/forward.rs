//! A local port for a service of the NAS: each connection to it becomes a stream. A shell.

use std::io;
use std::rc::Rc;

use smol::net::{TcpListener, TcpStream};

use super::channel::Unreached;
use super::way::Way;
use crate::remote::io::pump::pump;

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
        way.executor()
            .spawn(async move {
                if let Err(error) = carry(&way_in, &service, connection).await {
                    tell(&error);
                }
            })
            .detach();
    }
}

async fn carry(way: &Rc<Way>, service: &str, connection: TcpStream) -> Result<(), Unreached> {
    let _ = connection.set_nodelay(true);
    // The channel stays until its last stream has ended, even when newer ones go another way.
    let (stream, _channel) = way.open(service).await?;
    // How a connection ends is its two ends' business.
    let _ = pump(connection, stream).await;
    Ok(())
}
