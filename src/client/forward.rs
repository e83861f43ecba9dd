//! A local port for a service of the NAS: each connection to it becomes a stream. A shell.

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use smol::Timer;
use smol::lock::Semaphore;
use smol::net::{TcpListener, TcpStream};

use super::channel::Unreached;
use super::way::Way;
use crate::remote::io::pump::pump_program;

/// Connections that are carried, or wait for that; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 256;

/// Takes connections for ever. `tell`: what is worth knowing of each that failed.
pub async fn forward(
    way: Rc<Way>,
    listener: TcpListener,
    service: String,
    tell: impl Fn(&Unreached) + Clone + 'static,
) -> Infallible {
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let seat = seats.acquire_arc().await;
        let Ok((connection, _)) = listener.accept().await else {
            // Out of file descriptors, say: the connection stays in the queue.
            Timer::after(Duration::from_millis(100)).await;
            continue;
        };
        let (way_in, service, tell) = (Rc::clone(&way), service.clone(), tell.clone());
        way.executor()
            .spawn(async move {
                if let Err(error) = carry(&way_in, &service, connection).await {
                    tell(&error);
                }
                drop(seat);
            })
            .detach();
    }
}

async fn carry(way: &Rc<Way>, service: &str, connection: TcpStream) -> Result<(), Unreached> {
    let _ = connection.set_nodelay(true);
    // The channel stays until its last stream has ended, even when newer ones go another way.
    let (stream, channel) = way.open(service).await?;
    // How a connection ends is its two ends' business.
    let _ = pump_program(connection, stream, || channel.is_open()).await;
    Ok(())
}
