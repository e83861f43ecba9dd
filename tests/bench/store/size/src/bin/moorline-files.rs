//! moorline's log in its two files.

use moorline::store::io::file::Files;
use moorline::store::log::{CommitError, Effect, Log, State};
use size::key;

struct Keys(Vec<Vec<u8>>);

impl State for Keys {
    fn snapshot(&self, part: &mut dyn FnMut(&[u8]) -> Result<(), CommitError>) -> Result<(), CommitError> {
        self.0.iter().try_for_each(|p| part(p))
    }
}

fn main() -> std::io::Result<()> {
    let dir = std::env::args_os().nth(1).unwrap_or_default();
    let files = Files::open(dir.as_ref(), 64 * 1024).map_err(std::io::Error::other)?;
    let mut replayed = Vec::new();
    let log = Log::open(files, 7, &mut |p| {
        replayed.push(p.to_vec());
        Ok(())
    });
    let keys = Keys(replayed);
    let mut log = log.map_err(std::io::Error::other)?;
    log.commit(&key(), Effect::Takes, &keys).map_err(std::io::Error::other)?;
    println!("{:?}", keys.0);
    Ok(())
}
