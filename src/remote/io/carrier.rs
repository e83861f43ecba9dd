//! One carrier at the NAS's end: streams that the device opens, each led to a service or answered. A shell.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use smol::channel::Sender;
use smol::net::TcpStream;
use smol::{LocalExecutor, Task};
use yamux::{Config, Connection, Mode};

use super::messages;
use super::pump::pump_program;
use super::stream::Stream;
use crate::remote::gate::Admitted;
use crate::remote::opening::{Answer, Name, Opening, Refusal, Service};
use crate::session::io::gather::Writes;
use crate::session::io::stream::Duplex;
use crate::sys::clock::{timely, within};

/// Streams of one carrier at once, at the NAS; one more is reset.
const STREAMS_MAX: usize = 16;
/// Those that a device opens at once; more wait. A browser opens six a page, a file manager some more. The others are such as the
/// device has done with and the service has not.
pub const SEATS: usize = 12;
/// The multiplexer breaks the whole carrier at its own limit, which nobody who waits reaches.
const LIMIT: usize = 2 * STREAMS_MAX;
/// What yamux may hold for one carrier: its least, 256 KiB a stream, and some more for those that are quicker than that, so that both
/// ends seldom wait for each other. Only a service that does not read lets it be filled.
const WINDOW_MAX: usize = LIMIT * 256 * 1024 + 2 * 1024 * 1024;
/// Frames are cut to this: one TLS record each with their twelve bytes of header, and a short stream waits for no long one's megabyte.
pub(super) const FRAME_MAX: usize = 16 * 1024 - 12;
/// For the first message on a stream.
const OPENING_MAX: Duration = Duration::from_secs(10);
/// For a service on the same box to take a connection.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// The same, where it is only asked whether it is there.
const LOOK_MAX: Duration = Duration::from_millis(500);
/// As [`LOOK_MAX`] where the agent's loop waits for it.
const LOOK_NOW_MAX: Duration = Duration::from_millis(50);
/// For the agent's loop to answer: longer than the slowest commit.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// A carrier without streams is closed after this long; the device opens another when it needs one.
const IDLE_MAX: Duration = Duration::from_secs(600);

/// A question of a device for the agent's loop.
#[derive(Debug)]
pub struct Call {
    /// Who asks.
    pub from: Admitted,
    /// What.
    pub opening: Opening,
    /// Takes one answer.
    pub reply: Sender<Answer>,
}

/// A local service.
#[derive(Clone, Debug)]
pub struct Local {
    /// Its name.
    pub name: Name,
    /// Where it listens.
    pub address: SocketAddr,
    /// Who may use it; `*` is everybody.
    pub users: Vec<String>,
}

/// What every stream needs.
pub(super) struct Counter {
    pub(super) services: Vec<Local>,
    pub(super) calls: Sender<Call>,
}

impl Counter {
    /// Those that this device may reach.
    fn of<'a>(&'a self, device: &'a Admitted) -> impl Iterator<Item = &'a Local> {
        let user = device.user.as_str();
        self.services.iter().filter(move |s| s.users.iter().any(|u| u == "*" || u == user))
    }
}

/// How both ends multiplex.
pub fn config() -> Config {
    let mut config = Config::default();
    config
        .set_max_num_streams(LIMIT)
        .set_max_connection_receive_window(Some(WINDOW_MAX))
        .set_split_send_size(FRAME_MAX);
    config
}

/// Serves one carrier until the device has gone or has been idle for long. Dropped, it ends at once, and its streams with it.
pub(super) async fn serve(
    executor: Rc<LocalExecutor<'static>>,
    stream: Box<dyn Duplex>,
    device: Admitted,
    counter: Rc<Counter>,
) {
    let mut mux = Connection::new(Writes::new(stream), config(), Mode::Server);
    let mut open: Vec<Task<()>> = Vec::new();
    loop {
        let next = within(IDLE_MAX, poll_fn(|cx| mux.poll_next_inbound(cx))).await;
        open.retain(|task| !task.is_finished());
        match next {
            // Its bytes and its window go with it.
            Some(Some(Ok(stream))) if open.len() >= STREAMS_MAX => drop(stream),
            Some(Some(Ok(stream))) => {
                let stream = Stream::new(stream, ());
                let (device, counter) = (device.clone(), Rc::clone(&counter));
                open.push(executor.spawn(async move {
                    if let Err(error) = converse(stream, &device, &counter).await {
                        log::debug!("remote: a stream of {} ended: {error}", device.device);
                    }
                }));
            }
            Some(Some(Err(_)) | None) => return,
            None if open.iter().all(Task::is_finished) => break,
            None => {}
        }
    }
    let _ = within(CONNECT_MAX, poll_fn(|cx| mux.poll_close(cx))).await;
}

async fn converse(mut stream: Stream, device: &Admitted, counter: &Counter) -> io::Result<()> {
    match timely(OPENING_MAX, messages::receive::<Opening>(&mut stream)).await {
        Ok(Opening::Service(name)) => serve_stream(stream, device, counter, &name).await,
        Ok(Opening::Services) => answer(stream, &Answer::Services(services(device, counter).await)).await,
        Ok(opening) => {
            let told = ask(device.clone(), opening, &counter.calls).await;
            answer(stream, &told).await
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            answer(stream, &Answer::Refused(Refusal::NotUnderstood)).await
        }
        Err(error) => Err(error),
    }
}

async fn answer(mut stream: Stream, answer: &Answer) -> io::Result<()> {
    messages::send(&mut stream, answer).await?;
    smol::io::AsyncWriteExt::close(&mut stream).await
}

async fn serve_stream(
    mut stream: Stream,
    device: &Admitted,
    counter: &Counter,
    name: &Name,
) -> io::Result<()> {
    let Some(service) = counter.of(device).find(|s| s.name == *name) else {
        return answer(stream, &Answer::Refused(Refusal::NoSuchService)).await;
    };
    let Some(Ok(local)) = within(CONNECT_MAX, TcpStream::connect(service.address)).await else {
        return answer(stream, &Answer::Refused(Refusal::Down)).await;
    };
    let _ = local.set_nodelay(true);
    messages::send(&mut stream, &Answer::Open).await?;
    // A carrier that breaks drops this future.
    pump_program(local, stream, || true).await
}

async fn services(
    device: &Admitted,
    counter: &Counter,
) -> heapless::Vec<Service, { crate::remote::opening::SERVICES_MAX }> {
    let mut found = heapless::Vec::new();
    for service in counter.of(device) {
        let is_up = matches!(within(LOOK_MAX, TcpStream::connect(service.address)).await, Some(Ok(_)));
        // No more are configured than are told.
        let _ = found.push(Service { name: service.name.clone(), is_up });
    }
    found
}

/// Whether something listens at this address of the box now. The kernel knows at once; only a service whose queue is full takes the whole
/// time.
pub fn is_up(address: SocketAddr) -> bool {
    std::net::TcpStream::connect_timeout(&address, LOOK_NOW_MAX).is_ok()
}

async fn ask(from: Admitted, opening: Opening, calls: &Sender<Call>) -> Answer {
    let (reply, answer) = smol::channel::bounded(1);
    let asked = async {
        calls.send(Call { from, opening, reply }).await.ok()?;
        answer.recv().await.ok()
    };
    within(ANSWER_MAX, asked).await.flatten().unwrap_or(Answer::Refused(Refusal::NotKept))
}
