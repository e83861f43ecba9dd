//! Grammar of `moorline-client`. A core.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::Arg::{Long, Short, Value};
use lexopt::ValueExt;

use super::way::Path;
use crate::cli::args::Usage;

/// The help.
pub const HELP: &str = "\
moorline-client: the other end of moorline, for laptops, scripts and tests

usage: moorline-client COMMAND [OPTIONS]

  pair CODE|URI [--broker URL] [--lan HOST:PORT] [--name NAME] [--timeout SECONDS]
                       pair this device with the NAS that showed the code; with
                       --lan at the NAS itself, and without any broker
  list                 the NASes this device is paired with
  status [NAS]         ask a NAS where this device stands; with --at or --path,
                       and where there is no broker, how it is
  rename NAME [--nas NAS]
                       call this device something else at the NAS
  unpair NAS           leave a NAS; it forgets this device
  services [NAS]       what this device may reach there, and whether it runs
  forward SERVICE [--nas NAS] [--listen 127.0.0.1:0]
                       a local port for a service of the NAS, until interrupted
                       (the last five: --path lan|direct|broker for one path only,
                       else the best that works; --at HOST:PORT and nowhere else)

options of every command:
  --state DIR          keys and pairings (default ~/.config/moorline-client)
  --ca FILE            CA certificate of the broker (default: the bundled roots)
  --user USER --password-file FILE
                       account at the broker, where it wants one
  --prefix WORD        first level of the topics (default moorline)
  --json               answer as JSON
  --help, --version

exit codes: 0 done, 1 failed, 2 wrong usage, 3 the NAS or the broker cannot be reached
";

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Print the help.
    Help,
    /// Print the version.
    Version,
    /// Pair.
    Pair {
        /// Code or `moorline:` URI.
        code: String,
        /// What this device is to be called.
        name: Option<String>,
        /// How long to try.
        timeout: Duration,
    },
    /// List pairings.
    List,
    /// Ask a NAS, or all of them.
    Status(Option<String>),
    /// Leave a NAS.
    Unpair(String),
    /// Call this device something else.
    Rename {
        /// What.
        name: String,
        /// At which NAS, where there are several.
        nas: Option<String>,
    },
    /// List the services of a NAS.
    Services(Option<String>),
    /// Give a service a local port.
    Forward {
        /// Which.
        service: String,
        /// Of which NAS, where there are several.
        nas: Option<String>,
        /// The local port.
        listen: String,
    },
}

/// What was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What to do.
    pub command: Command,
    /// Keys and pairings.
    pub state: Option<PathBuf>,
    /// Broker.
    pub broker: Option<String>,
    /// CA file.
    pub ca: Option<PathBuf>,
    /// Account.
    pub user: Option<String>,
    /// File with its password.
    pub password_file: Option<PathBuf>,
    /// First level of the topics.
    pub prefix: String,
    /// Where the NAS listens for its devices.
    pub at: Option<String>,
    /// Where the NAS listens for those who want to pair.
    pub lan: Option<String>,
    /// The only path that is wanted.
    pub path: Option<Path>,
    /// Answer as JSON.
    pub json: bool,
}

/// Reads the command line, without the program's name.
///
/// # Errors
/// [`Usage`].
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Line, Usage> {
    let mut line = Line {
        command: Command::Help,
        state: None,
        broker: None,
        ca: None,
        user: None,
        password_file: None,
        prefix: "moorline".into(),
        at: None,
        lan: None,
        path: None,
        json: false,
    };
    let (mut name, mut timeout, mut words) = (None, Duration::from_secs(60), Vec::new());
    let (mut nas, mut listen) = (None, "127.0.0.1:0".to_owned());
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Value(word) => words.push(word.string()?),
            Short('h') | Long("help") => return Ok(line),
            Short('V') | Long("version") => return Ok(Line { command: Command::Version, ..line }),
            Long("json") => line.json = true,
            Long("state") => line.state = Some(parser.value()?.into()),
            Long("broker") => line.broker = Some(parser.value()?.string()?),
            Long("ca") => line.ca = Some(parser.value()?.into()),
            Long("user") => line.user = Some(parser.value()?.string()?),
            Long("password-file") => line.password_file = Some(parser.value()?.into()),
            Long("prefix") => line.prefix = parser.value()?.string()?,
            Long("at") => line.at = Some(parser.value()?.string()?),
            Long("path") => line.path = Some(parser.value()?.parse()?),
            Long("nas") => nas = Some(parser.value()?.string()?),
            Long("lan") => line.lan = Some(parser.value()?.string()?),
            Long("listen") => listen = parser.value()?.string()?,
            Long("name") => name = Some(parser.value()?.string()?),
            Long("timeout") => timeout = Duration::from_secs(parser.value()?.parse()?),
            Long(_) | Short(_) => return Err(arg.unexpected().into()),
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    line.command = match words.as_slice() {
        [] => Command::Help,
        ["pair", code] => Command::Pair { code: (*code).to_owned(), name, timeout },
        ["pair"] => {
            return Err(Usage(
                "pair needs a code: moorline-client pair CODE --broker URL, or --lan HOST:PORT".into(),
            ));
        }
        ["list"] => Command::List,
        ["status"] => Command::Status(None),
        ["status", nas] => Command::Status(Some((*nas).to_owned())),
        ["services"] => Command::Services(None),
        ["services", nas] => Command::Services(Some((*nas).to_owned())),
        ["forward", service] => Command::Forward { service: (*service).to_owned(), nas, listen },
        ["rename", name] => Command::Rename { name: (*name).to_owned(), nas },
        ["unpair", nas] => Command::Unpair((*nas).to_owned()),
        other => return Err(Usage(format!("there is no command {:?}", other.join(" ")))),
    };
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read() {
        let read =
            |text: &str| parse(text.split(' ').map(OsString::from)).map(|l| l.command).map_err(|e| e.0);
        let pair =
            Command::Pair { code: "X".into(), name: Some("p".into()), timeout: Duration::from_secs(5) };
        assert_eq!(read("pair X --name p --timeout 5"), Ok(pair));
        assert_eq!(read("status"), Ok(Command::Status(None)));
        let forward = |nas: Option<&str>, listen: &str| Command::Forward {
            service: "web".into(),
            nas: nas.map(Into::into),
            listen: listen.into(),
        };
        assert_eq!(read("forward web --at nas:46800"), Ok(forward(None, "127.0.0.1:0")));
        assert_eq!(read("forward web --nas x --listen [::1]:8080"), Ok(forward(Some("x"), "[::1]:8080")));
        let rename = |nas: Option<&str>| Command::Rename { name: "Desk".into(), nas: nas.map(Into::into) };
        assert_eq!(read("rename Desk --at nas:46800"), Ok(rename(None)));
        assert_eq!(read("rename Desk --nas x"), Ok(rename(Some("x"))));
        assert!(read("pair").unwrap_err().contains("needs a code"));
        assert!(read("dance").unwrap_err().contains("no command \"dance\""));
    }
}
