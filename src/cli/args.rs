//! Grammar of the command line and its help. A core.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::Arg::{Long, Short, Value};
use lexopt::ValueExt;

/// The help, and the source of the man page's synopsis.
pub const HELP: &str = "\
moorline: the cloud-access agent of this NAS

usage: moorline COMMAND [OPTIONS]

  agent [--config FILE] [--root DIR]  run the agent in the foreground
  status                              one screen: what is, and what needs attention
  code USER [--ttl 48h] [--keep-others] [--offline] [--qr]
                                      make an activation code for a device of USER
  codes                               show the codes that wait for a device
  devices [--user USER]               list devices and codes
  remove DEVICE_ID… | --unused [--user USER]
                                      remove devices in any state, or all unused codes
  users [--show-personal]             list users
  users add NAME [--email ADDRESS]    add a user
  users remove NAME                   remove a user and its devices
  cloud                               the session with the broker, with its history
  cloud on | off | reconnect | mode automatic|manual|relay | dns system|IP…
  doctor [--no-agent [--config FILE]] walk every step between this NAS and the cloud (at most 15 s)
  arrays | hardware [--show-personal] | services
  hardware identify [BAY] [--for 30s] [--stop]
                                      blink the lights of the NAS or of one bay
  events [--follow]                   what happened, as it happens
  reset connection|pairings|identity [--plan] [--yes]
                                      --plan says what would be kept and lost
  report [--output FILE]              support bundle without personal data
  board list | show ID [--root DIR]   descriptions of NAS models, also those in
                                      /etc/moorline/boards; which one this NAS is
  board check FILE…                   check descriptions
  config check FILE                   check an agent.toml
  store verify [--config FILE]        whether the pairing data on the flash is sound
  store inspect FILE|DIR [--segment-kib N]
                                      an image of it, frame by frame

options of every command:
  --json           answer as JSON, stable across versions
  --socket PATH    control socket (default /run/moorline/control.sock)
  --help, --version

exit codes: 0 done, 1 failed, 2 wrong usage, 3 agent not reachable, 4 not permitted
";

/// Where the agent's configuration is.
pub const CONFIG: &str = "/etc/moorline/agent.toml";

/// What was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What to do.
    pub command: Command,
    /// Answer as JSON.
    pub json: bool,
    /// The control socket.
    pub socket: PathBuf,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Print the help.
    Help,
    /// Print the version.
    Version,
    /// Run the agent.
    Agent {
        /// Its configuration.
        config: PathBuf,
        /// Prefix of /sys and so on.
        root: Option<PathBuf>,
    },
    /// Show the status.
    Status,
    /// Make a code.
    Code {
        /// For whom.
        user: String,
        /// Validity.
        ttl: Option<Duration>,
        /// Keep the user's other codes.
        keep_others: bool,
        /// Also without the cloud.
        offline: bool,
        /// Draw a QR code.
        qr: bool,
    },
    /// Show the codes that wait.
    Codes,
    /// List devices.
    Devices(Option<String>),
    /// Remove devices.
    Remove(Vec<String>),
    /// Remove unused codes.
    RemoveUnused(Option<String>),
    /// List users.
    Users {
        /// With addresses.
        personal: bool,
    },
    /// Add a user.
    AddUser {
        /// Name.
        name: String,
        /// Address.
        email: Option<String>,
    },
    /// Remove a user.
    RemoveUser(String),
    /// Show the session.
    Cloud,
    /// Change cloud settings; the body of the PATCH.
    PatchCloud(String),
    /// A new session.
    Reconnect,
    /// Look at every step to the cloud.
    Doctor {
        /// Without the agent: by this configuration.
        alone: Option<PathBuf>,
    },
    /// List arrays.
    Arrays,
    /// Show hardware.
    Hardware {
        /// With addresses.
        personal: bool,
    },
    /// Blink, to be found.
    Identify {
        /// One bay; otherwise the box.
        bay: Option<u8>,
        /// How long.
        span: Option<Duration>,
    },
    /// Blink no more.
    EndIdentify,
    /// List services.
    Services,
    /// Follow events.
    Events {
        /// Until interrupted; otherwise what is kept.
        follow: bool,
    },
    /// Reset.
    Reset {
        /// What.
        scope: String,
        /// Only say.
        plan: bool,
        /// Do not ask.
        yes: bool,
    },
    /// Support bundle.
    Report(Option<PathBuf>),
    /// List boards.
    BoardList {
        /// Prefix of /sys, /proc and /etc.
        root: Option<PathBuf>,
    },
    /// Show one.
    BoardShow {
        /// Its id.
        id: String,
        /// Prefix of /etc.
        root: Option<PathBuf>,
    },
    /// Check files.
    BoardCheck(Vec<PathBuf>),
    /// Check a configuration.
    ConfigCheck(PathBuf),
    /// Judge the store that this configuration names.
    StoreVerify(PathBuf),
    /// Look into an image of a store.
    StoreInspect {
        /// File or directory.
        path: PathBuf,
        /// Size of a segment, for one file with all of them.
        segment_kib: Option<usize>,
    },
}

/// What was typed makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

impl From<lexopt::Error> for Usage {
    fn from(error: lexopt::Error) -> Self {
        Self(error.to_string())
    }
}

/// Options and words, before they are understood.
#[derive(Default)]
struct Typed {
    words: Vec<String>,
    options: Vec<(&'static str, Option<OsString>)>,
}

/// Options that take a value, and those that do not.
const WITH_VALUE: [&str; 10] =
    ["socket", "config", "root", "ttl", "user", "email", "output", "name", "segment-kib", "for"];
const FLAGS: [&str; 13] = [
    "stop",
    "no-agent",
    "json",
    "help",
    "version",
    "keep-others",
    "offline",
    "qr",
    "unused",
    "show-personal",
    "follow",
    "plan",
    "yes",
];

impl Typed {
    fn read(args: impl IntoIterator<Item = OsString>) -> Result<Self, Usage> {
        let mut typed = Self::default();
        let mut parser = lexopt::Parser::from_args(args);
        while let Some(arg) = parser.next()? {
            match arg {
                Value(word) => typed.words.push(word.string()?),
                Short('h') => typed.options.push(("help", None)),
                Short('V') => typed.options.push(("version", None)),
                Long(name) => {
                    if let Some(known) = WITH_VALUE.iter().find(|k| **k == name) {
                        let value = parser.value()?;
                        typed.options.push((known, Some(value)));
                    } else if let Some(known) = FLAGS.iter().find(|k| **k == name) {
                        typed.options.push((known, None));
                    } else {
                        return Err(Usage(format!("there is no option --{name}")));
                    }
                }
                Short(_) => return Err(arg.unexpected().into()),
            }
        }
        Ok(typed)
    }

    fn flag(&mut self, name: &str) -> bool {
        let before = self.options.len();
        self.options.retain(|(n, _)| *n != name);
        self.options.len() != before
    }

    fn value(&mut self, name: &str) -> Option<OsString> {
        let at = self.options.iter().position(|(n, _)| *n == name)?;
        self.options.remove(at).1
    }

    fn text(&mut self, name: &str) -> Result<Option<String>, Usage> {
        self.value(name).map(|v| v.string().map_err(Usage::from)).transpose()
    }

    /// Everything must have been asked for.
    fn end(&self, command: &str) -> Result<(), Usage> {
        match self.options.first() {
            Some((name, _)) => Err(Usage(format!("{command} has no option --{name}"))),
            None => Ok(()),
        }
    }
}

/// Reads the command line, without the program's name.
///
/// # Errors
/// [`Usage`].
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Line, Usage> {
    let mut typed = Typed::read(args)?;
    let json = typed.flag("json");
    let socket =
        typed.value("socket").map_or_else(|| PathBuf::from(crate::config::parse::SOCKET), PathBuf::from);
    let line = |command| Line { command, json, socket };
    if typed.flag("help") {
        return Ok(line(Command::Help));
    }
    if typed.flag("version") {
        return Ok(line(Command::Version));
    }
    let words = std::mem::take(&mut typed.words);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some((first, rest)) = words.split_first() else { return Ok(line(Command::Help)) };
    let command = command(first, rest, &mut typed)?;
    typed.end(first)?;
    Ok(line(command))
}

fn command(first: &str, rest: &[&str], typed: &mut Typed) -> Result<Command, Usage> {
    match (first, rest) {
        ("agent", []) => {
            let config = typed.value("config").map_or_else(|| PathBuf::from(CONFIG), PathBuf::from);
            Ok(Command::Agent { config, root: typed.value("root").map(PathBuf::from) })
        }
        ("help", []) => Ok(Command::Help),
        ("status", []) => Ok(Command::Status),
        ("code", [user]) => Ok(Command::Code {
            user: (*user).to_owned(),
            ttl: typed.text("ttl")?.map(|t| duration(&t)).transpose()?,
            keep_others: typed.flag("keep-others"),
            offline: typed.flag("offline"),
            qr: typed.flag("qr"),
        }),
        ("code", []) => Err(Usage("code needs the name of a user: moorline code USER".into())),
        ("codes", []) => Ok(Command::Codes),
        ("devices", []) => {
            typed.flag("show-personal");
            Ok(Command::Devices(typed.text("user")?))
        }
        ("remove", ids) => remove(ids, typed),
        ("users", rest) => users(rest, typed),
        ("cloud", rest) => cloud(rest),
        ("doctor", []) => {
            let config = typed.value("config").map_or_else(|| PathBuf::from(CONFIG), PathBuf::from);
            Ok(Command::Doctor { alone: typed.flag("no-agent").then_some(config) })
        }
        ("arrays", []) => Ok(Command::Arrays),
        ("hardware", []) => Ok(Command::Hardware { personal: typed.flag("show-personal") }),
        ("hardware", ["identify", bays @ ..]) => identify(bays, typed),
        ("services", []) => Ok(Command::Services),
        ("events", []) => Ok(Command::Events { follow: typed.flag("follow") }),
        ("reset", [scope]) => Ok(Command::Reset {
            scope: (*scope).to_owned(),
            plan: typed.flag("plan"),
            yes: typed.flag("yes"),
        }),
        ("reset", []) => Err(Usage("reset needs a scope: connection, pairings or identity".into())),
        ("report", []) => Ok(Command::Report(typed.value("output").map(PathBuf::from))),
        ("board", ["list"]) => Ok(Command::BoardList { root: typed.value("root").map(PathBuf::from) }),
        ("board", ["show", id]) => {
            Ok(Command::BoardShow { id: (*id).to_owned(), root: typed.value("root").map(PathBuf::from) })
        }
        ("board", ["check", files @ ..]) if !files.is_empty() => {
            Ok(Command::BoardCheck(files.iter().map(PathBuf::from).collect()))
        }
        ("config", ["check", file]) => Ok(Command::ConfigCheck(PathBuf::from(file))),
        ("config", ["check"]) => Ok(Command::ConfigCheck(PathBuf::from(CONFIG))),
        ("store", ["verify"]) => {
            let config = typed.value("config").map_or_else(|| PathBuf::from(CONFIG), PathBuf::from);
            Ok(Command::StoreVerify(config))
        }
        ("store", ["inspect", path]) => {
            let bad = |text| Usage(format!("{text:?} is not a size in KiB"));
            let kib = typed.text("segment-kib")?;
            let segment_kib = kib.map(|t| t.parse().map_err(|_| bad(t))).transpose()?;
            Ok(Command::StoreInspect { path: PathBuf::from(path), segment_kib })
        }
        _ => Err(Usage(format!("there is no command {:?}", [&[first], rest].concat().join(" ")))),
    }
}

fn identify(bays: &[&str], typed: &mut Typed) -> Result<Command, Usage> {
    let bad = |text: &str| Usage(format!("{text:?} is not the number of a bay"));
    match (bays, typed.flag("stop")) {
        ([], true) => Ok(Command::EndIdentify),
        (_, true) => Err(Usage("identify takes a bay or --stop, not both".into())),
        ([] | [_], false) => Ok(Command::Identify {
            bay: bays.first().map(|text| text.parse().map_err(|_| bad(text))).transpose()?,
            span: typed.text("for")?.map(|t| duration(&t)).transpose()?,
        }),
        ([_, more, ..], false) => Err(Usage(format!("identify takes one bay; {more:?} is another"))),
    }
}

fn remove(ids: &[&str], typed: &mut Typed) -> Result<Command, Usage> {
    match (ids, typed.flag("unused")) {
        ([], true) => Ok(Command::RemoveUnused(typed.text("user")?)),
        ([], false) => {
            Err(Usage("remove needs device ids, or --unused; `moorline devices` lists them".into()))
        }
        (_, true) => Err(Usage("remove takes device ids or --unused, not both".into())),
        (ids, false) => Ok(Command::Remove(ids.iter().map(|id| (*id).to_owned()).collect())),
    }
}

fn users(rest: &[&str], typed: &mut Typed) -> Result<Command, Usage> {
    match rest {
        [] => Ok(Command::Users { personal: typed.flag("show-personal") }),
        ["add", name] => Ok(Command::AddUser { name: (*name).to_owned(), email: typed.text("email")? }),
        ["remove", name] => Ok(Command::RemoveUser((*name).to_owned())),
        _ => Err(Usage("users takes nothing, add NAME or remove NAME".into())),
    }
}

fn cloud(rest: &[&str]) -> Result<Command, Usage> {
    let patch = |value: serde_json::Value| Ok(Command::PatchCloud(value.to_string()));
    match rest {
        [] => Ok(Command::Cloud),
        ["on"] => patch(serde_json::json!({ "enabled": true })),
        ["off"] => patch(serde_json::json!({ "enabled": false })),
        ["reconnect"] => Ok(Command::Reconnect),
        ["mode", mode] => patch(serde_json::json!({ "mode": mode })),
        ["dns", "system"] => patch(serde_json::json!({ "dns": [] })),
        ["dns", servers @ ..] if !servers.is_empty() => patch(serde_json::json!({ "dns": servers })),
        _ => Err(Usage("cloud takes nothing, on, off, reconnect, mode MODE or dns system|IP…".into())),
    }
}

/// `90`, `90s`, `5m`, `48h`, `2d`.
fn duration(text: &str) -> Result<Duration, Usage> {
    let bad = || Usage(format!("{text:?} is not a time: write for example 30m, 48h or 2d"));
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(bad()),
    };
    let count: u64 = digits.parse().map_err(|_| bad())?;
    count.checked_mul(factor).map(Duration::from_secs).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(OsString::from)).map(|l| l.command).map_err(|e| e.0)
    }

    #[track_caller]
    fn wrong(line: &str, part: &str) {
        let error = typed(line).unwrap_err();
        assert!(error.contains(part), "{error}");
    }

    #[test]
    fn commands_are_read() {
        let code =
            |ttl, qr| Command::Code { user: "anna".into(), ttl, keep_others: false, offline: false, qr };
        assert_eq!(typed("code anna"), Ok(code(None, false)));
        assert_eq!(typed("code --ttl 5m anna --qr"), Ok(code(Some(Duration::from_secs(300)), true)));
        assert_eq!(typed("remove d1 d2"), Ok(Command::Remove(vec!["d1".into(), "d2".into()])));
        assert_eq!(typed("remove --unused --user anna"), Ok(Command::RemoveUnused(Some("anna".into()))));
        assert_eq!(
            typed("cloud dns 1.1.1.1 ::1"),
            Ok(Command::PatchCloud(r#"{"dns":["1.1.1.1","::1"]}"#.into()))
        );
        assert_eq!(typed("cloud off"), Ok(Command::PatchCloud(r#"{"enabled":false}"#.into())));
        let identify = |bay, span| Ok(Command::Identify { bay, span });
        assert_eq!(typed("hardware identify"), identify(None, None));
        assert_eq!(typed("hardware identify 2 --for 5m"), identify(Some(2), Some(Duration::from_secs(300))));
        assert_eq!(typed("hardware identify --stop"), Ok(Command::EndIdentify));
        assert_eq!(typed(""), Ok(Command::Help));
        assert_eq!(typed("status --help"), Ok(Command::Help));
        let line = parse(["status", "--json", "--socket", "/x"].map(OsString::from)).unwrap();
        assert_eq!((line.json, line.socket), (true, PathBuf::from("/x")));
    }

    #[test]
    fn mistakes_are_named() {
        wrong("frobnicate", "no command \"frobnicate\"");
        wrong("status now", "no command \"status now\"");
        wrong("status --qr", "status has no option --qr");
        wrong("status --loud", "no option --loud");
        wrong("code", "needs the name of a user");
        wrong("code anna --ttl soon", "is not a time");
        wrong("remove", "needs device ids");
        wrong("remove d1 --unused", "not both");
        wrong("reset", "needs a scope");
        wrong("hardware identify left", "not the number of a bay");
        wrong("hardware identify 1 --stop", "not both");
        wrong("hardware identify 1 2", "another");
        wrong("hardware --stop", "no option --stop");
        wrong("store", "no command \"store\"");
        wrong("store inspect x --segment-kib much", "not a size in KiB");
        wrong("--socket", "missing argument");
    }

    #[test]
    fn the_help_fits_a_terminal() {
        assert!(HELP.lines().all(|l| l.chars().count() <= 100), "a line is too long");
    }
}
