//! One command, from argv to exit code. A shell, and the only part of the library that prints.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the command line")]

use crate::store::inspect::Report;
use std::ffi::OsString;
use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::args::{Command, HELP, Line, parse};
use super::call::{Answer, CallError, call, follow};
use super::{local, render};
use crate::agent::{self, Options};
use crate::config::io::ConfigError;
use crate::control::qr;
use crate::sys::root::Root;

/// Failed.
const FAILED: u8 = 1;
/// Wrong usage.
const USAGE: u8 = 2;
/// The agent cannot be reached.
const NOT_REACHABLE: u8 = 3;
/// Not permitted.
const NOT_PERMITTED: u8 = 4;

type Done = Result<(), u8>;

/// Runs one command line, without the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let line = match parse(args) {
        Ok(line) => line,
        Err(usage) => {
            eprintln!("moorline: {usage}\nTry `moorline --help`.");
            return ExitCode::from(USAGE);
        }
    };
    match carry_out(&line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => ExitCode::from(code),
    }
}

fn carry_out(line: &Line) -> Done {
    match &line.command {
        Command::Help => print(HELP),
        Command::Version => print(concat!("moorline ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Agent { config, root } => run_agent(&Options { config: config.clone(), root: root.clone() }),
        Command::ConfigCheck(file) => match local::config_check(file) {
            Ok(text) => checked(line, &text, &[]),
            Err(error) => checked(line, "", &[error]),
        },
        Command::StoreVerify(config) => store(line, local::store_verify(config)),
        Command::StoreInspect { path, segment_kib } => store(line, local::store_inspect(path, *segment_kib)),
        Command::BoardCheck(files) => {
            let (text, errors) = local::board_check(files);
            checked(line, &text, &errors)
        }
        Command::BoardList { root } => print(&local::board_list(&at(root.as_deref()), line.json)),
        Command::BoardShow { id, root } => match local::board_show(&at(root.as_deref()), id, line.json) {
            Some(text) => print(&text),
            None => {
                eprintln!("moorline: there is no board {id:?}; `moorline board list` has them");
                Err(FAILED)
            }
        },
        Command::Status => get(line, "/v1/status", render::status),
        Command::Devices(user) => get(line, &with_user("/v1/devices", user.as_deref(), '?'), render::devices),
        Command::Codes => get(line, "/v1/codes", render::codes),
        Command::Users { personal } => get(line, &with_personal("/v1/users", *personal), render::users),
        Command::Hardware { personal } => {
            get(line, &with_personal("/v1/hardware", *personal), render::hardware)
        }
        Command::Identify { bay, span } => {
            let body = json!({ "bay": bay, "for_s": span.map(|s| s.as_secs()) }).to_string();
            ask(line, "POST", "/v1/hardware/identify", body.as_bytes(), render::identify)
        }
        Command::EndIdentify => ask(line, "DELETE", "/v1/hardware/identify", b"", render::identify),
        Command::Cloud => get(line, "/v1/cloud", render::cloud),
        Command::Doctor { alone } => doctor(line, alone.as_deref()),
        Command::Arrays => get(line, "/v1/arrays", render::arrays),
        Command::Services => get(line, "/v1/services", render::services),
        Command::Reconnect => ask(line, "POST", "/v1/cloud/reconnect", b"", render::cloud),
        Command::PatchCloud(body) => ask(line, "PATCH", "/v1/cloud", body.as_bytes(), render::cloud),
        Command::AddUser { name, email } => {
            let body = email.as_ref().map_or_else(|| json!({}), |e| json!({ "email": e })).to_string();
            let shown = |v: &Value| {
                format!("{} is a user.\n", v.get("name").and_then(Value::as_str).unwrap_or_default())
            };
            ask(line, "PUT", &format!("/v1/users/{}", segment(name)), body.as_bytes(), shown)
        }
        Command::RemoveUser(name) => {
            ask(line, "DELETE", &format!("/v1/users/{}", segment(name)), b"", render::removed)
        }
        Command::Remove(ids) => {
            let one = |id: &String| {
                ask(line, "DELETE", &format!("/v1/devices/{}", segment(id)), b"", render::removed)
            };
            // All are tried, whatever becomes of one.
            ids.iter().map(one).fold(Ok(()), Result::and)
        }
        Command::RemoveUnused(user) => ask(
            line,
            "DELETE",
            &with_user("/v1/devices?unused=true", user.as_deref(), '&'),
            b"",
            render::removed,
        ),
        Command::Code { user, ttl, keep_others, offline, qr } => {
            code(line, user, *ttl, *keep_others, *offline, *qr)
        }
        Command::Events { follow } => events(line, *follow),
        Command::Reset { scope, plan, yes } => reset(line, scope, *plan, *yes),
        Command::Report(output) => report(line, output.as_deref()),
    }
}

fn at(root: Option<&Path>) -> Root {
    root.map_or_else(Root::real, |root| Root::simulated(root.to_owned()))
}

fn run_agent(options: &Options) -> Done {
    let config = simplelog::ConfigBuilder::new()
        // No date: it may be wrong, and who collects the lines adds one.
        .set_time_level(simplelog::LevelFilter::Off)
        .set_target_level(simplelog::LevelFilter::Off)
        .set_thread_level(simplelog::LevelFilter::Off)
        .set_location_level(simplelog::LevelFilter::Off)
        .add_filter_allow_str("moorline")
        .build();
    let _ = simplelog::WriteLogger::init(simplelog::LevelFilter::Trace, config, std::io::stderr());
    agent::run(options).map_err(|error| {
        eprintln!("moorline: {error}");
        FAILED
    })
}

/// A reader that went away (a pager, `head`) is no failure worth words.
fn print(text: &str) -> Done {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|_| FAILED)
}

/// What was checked: a text for what is good, and what is wrong with the rest.
fn checked(line: &Line, good: &str, errors: &[ConfigError]) -> Done {
    let is_good = errors.is_empty();
    if line.json && is_good {
        print(&format!("{}\n", json!({ "ok": true, "summary": good.trim_end() })))?;
    } else if line.json {
        let fault = |file: &str, f: &crate::typed_toml::Fault| json!({ "file": file, "line": f.line, "column": f.column, "code": f.code, "message": f.message, "help": f.help });
        let faults: Vec<Value> =
            errors.iter().flat_map(|e| e.faults.iter().map(|f| fault(&e.file, f))).collect();
        print(&format!("{}\n", json!({ "ok": false, "errors": faults })))?;
    } else {
        print(good)?;
        errors.iter().for_each(|error| eprint!("{error}"));
    }
    if is_good { Ok(()) } else { Err(FAILED) }
}

/// A look into a store; a corrupt one is a failure.
fn store(line: &Line, result: Result<(String, Report), String>) -> Done {
    let (place, report) = result.map_err(|error| {
        eprintln!("moorline: {error}");
        FAILED
    })?;
    if line.json {
        print(&format!("{}\n", json!(report)))?;
    } else {
        print(&render::store(&place, &report))?;
    }
    if report.state == "corrupt" { Err(FAILED) } else { Ok(()) }
}

fn with_user(path: &str, user: Option<&str>, joint: char) -> String {
    user.map_or_else(|| path.to_owned(), |u| format!("{path}{joint}user={}", segment(u)))
}

fn with_personal(path: &str, personal: bool) -> String {
    if personal { format!("{path}?personal=true") } else { path.to_owned() }
}

/// Percent-encodes what a person typed into one part of a target.
fn segment(text: &str) -> String {
    let encode = |b: u8| {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            char::from(b).to_string()
        } else {
            format!("%{b:02X}")
        }
    };
    text.bytes().map(encode).collect()
}

fn get(line: &Line, target: &str, show: fn(&Value) -> String) -> Done {
    ask(line, "GET", target, b"", show)
}

fn ask(line: &Line, method: &str, target: &str, body: &[u8], show: fn(&Value) -> String) -> Done {
    let value = asked(line, method, target, body)?;
    show_value(line, &value, show)
}

fn show_value(line: &Line, value: &Value, show: fn(&Value) -> String) -> Done {
    if line.json { print(&format!("{value}\n")) } else { print(&show(value)) }
}

/// The answer as JSON; a problem is shown, and its exit code returned.
fn asked(line: &Line, method: &str, target: &str, body: &[u8]) -> Result<Value, u8> {
    let Answer { status, body } =
        call(&line.socket, method, target, body).map_err(|e| unreachable_agent(&e))?;
    let value: Value = serde_json::from_slice(&body).map_err(|e| {
        eprintln!("moorline: the agent's answer is of no use: {e}");
        FAILED
    })?;
    match status {
        200..=299 => Ok(value),
        _ => {
            if line.json {
                print(&format!("{value}\n"))?;
            } else {
                eprint!("{}", render::problem(&value));
            }
            Err(if status == 403 { NOT_PERMITTED } else { FAILED })
        }
    }
}

fn unreachable_agent(error: &CallError) -> u8 {
    eprintln!("moorline: {error}");
    match error {
        CallError::NotReachable { .. } => NOT_REACHABLE,
        CallError::NotPermitted { .. } => NOT_PERMITTED,
        CallError::Broken(_) => FAILED,
    }
}

fn code(
    line: &Line,
    user: &str,
    ttl: Option<Duration>,
    keep_others: bool,
    offline: bool,
    draw: bool,
) -> Done {
    let mut body = json!({ "user": user, "keep_others": keep_others, "offline": offline });
    if let (Some(ttl), Some(fields)) = (ttl, body.as_object_mut()) {
        fields.insert("ttl_s".into(), ttl.as_secs().into());
    }
    let value = asked(line, "POST", "/v1/codes", body.to_string().as_bytes())?;
    show_value(line, &value, render::code)?;
    let uri = value.get("uri").and_then(Value::as_str).unwrap_or_default();
    match qr::terminal(uri) {
        Some(picture) if draw && !line.json => print(&format!("\n{picture}")),
        Some(_) | None => Ok(()),
    }
}

fn events(line: &Line, for_ever: bool) -> Done {
    let idle = if for_ever { None } else { Some(Duration::from_millis(300)) };
    let mut each = |kind: &str, data: &str| {
        let text = if line.json {
            format!("{{\"event\":\"{kind}\",\"data\":{data}}}\n")
        } else {
            render::event(kind, data)
        };
        print(&text).is_ok()
    };
    follow(&line.socket, 0, idle, &mut each).map_err(|e| unreachable_agent(&e))
}

/// Exit code 1 if a step fails.
fn doctor(line: &Line, alone: Option<&Path>) -> Done {
    let is_watched = std::io::stderr().is_terminal() && !line.json;
    let value = match alone {
        Some(config) => match local::doctor(config, is_watched) {
            Ok(value) => value,
            Err(error) => {
                eprint!("{error}");
                return Err(FAILED);
            }
        },
        None => {
            if is_watched {
                show_progress(line);
            }
            asked(line, "POST", "/v1/doctor", b"")?
        }
    };
    show_value(line, &value, render::doctor)?;
    let failed = value
        .get("checks")
        .and_then(Value::as_array)
        .is_some_and(|checks| checks.iter().any(|c| c.get("status").and_then(Value::as_str) == Some("fail")));
    if failed { Err(FAILED) } else { Ok(()) }
}

/// What the agent looks at, while it does; the thread ends with the process.
fn show_progress(line: &Line) {
    let socket = line.socket.clone();
    std::thread::spawn(move || {
        let mut each = |kind: &str, data: &str| {
            let value: Value = serde_json::from_str(data).unwrap_or_default();
            if let Some(what) = value.get("looking_at").and_then(Value::as_str).filter(|_| kind == "doctor") {
                eprintln!("looking at {what} …");
            }
            true
        };
        // Only what happens from now on: no event has a number so large.
        let _ = follow(&socket, u64::MAX, None, &mut each);
    });
}

fn reset(line: &Line, scope: &str, plan: bool, yes: bool) -> Done {
    let target = format!("/v1/reset/{}", segment(scope));
    if plan || !yes {
        let value = asked(line, "POST", &format!("{target}?plan=true"), b"")?;
        show_value(line, &value, render::reset)?;
        if plan {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            eprintln!("moorline: nothing was done; add --yes to do it");
            return Err(USAGE);
        }
        print("Do it? Type yes: ")?;
        let mut answer = String::new();
        let _ = std::io::stdin().lock().read_line(&mut answer);
        if answer.trim() != "yes" {
            return print("Nothing was done.\n");
        }
    }
    ask(line, "POST", &target, b"", render::reset)
}

fn report(line: &Line, output: Option<&Path>) -> Done {
    let value = asked(line, "GET", "/v1/report", b"")?;
    let text = format!("{value:#}\n");
    match output {
        None => print(&text),
        Some(file) => {
            std::fs::write(file, text).map_err(|error| {
                eprintln!("moorline: {}: {error}", file.display());
                FAILED
            })?;
            print(&format!("The report is in {}; personal data is masked in it.\n", file.display()))
        }
    }
}
