//! Commands that need no agent: checking files, listing boards, the doctor by itself. A shell.
#![allow(clippy::print_stderr, reason = "this is the command line")]

use std::path::Path;

use serde_json::Value;

use crate::board::builtin;
use crate::board::description::{self, Description};
use crate::board::select;
use crate::clock::{BootId, Clock};
use crate::config::io::{ConfigError, load};
use crate::control::api;
use crate::doctor::io::{Patient, examine};
use crate::doctor::verdict::diagnose;
use crate::pairing::ledger;
use crate::session::tls::Judged;
use crate::session::topics::Topics;
use crate::store::inspect::{self, Report};
use crate::store::io::read_image;
use crate::sys::root::Root;
use crate::sys::{clock, keyfile};

/// Checks a configuration; the text to show.
///
/// # Errors
/// [`ConfigError`].
pub fn config_check(file: &Path) -> Result<String, ConfigError> {
    let config = load(file, "NAS")?;
    let cloud = config.cloud.map_or_else(|| "no broker".to_owned(), |c| c.url.to_string());
    Ok(format!(
        "{} is good: {cloud}, {} services, store in {}\n",
        file.display(),
        config.services.len(),
        config.store_dir.display()
    ))
}

/// The doctor without an agent: by the configuration in `file`, and the identity as far as this caller may read it. What the
/// owner set with `moorline cloud` is in the store, which only the agent opens.
///
/// # Errors
/// [`ConfigError`].
pub fn doctor(file: &Path, is_watched: bool) -> Result<Value, ConfigError> {
    let config = load(file, "NAS")?;
    let clock = Clock::new(BootId([0; 8]), config.trust, crate::agent::build_time(), clock::read());
    let endpoint = crate::agent::endpoint(&config, &Judged::new(clock.judged())).map_err(|error| {
        let (message, help) = (error.to_string(), "check ca_file and the client certificate".to_owned());
        let fault = crate::typed_toml::Fault { line: 1, column: 1, code: "bad-ca", message, help };
        ConfigError { file: file.display().to_string(), text: String::new(), faults: vec![fault] }
    })?;
    let identity = keyfile::load(&config.store_dir.join(crate::agent::KEY_FILE)).ok();
    let topics = identity.map(|i| Topics::new(config.topic_prefix.clone(), i.id()));
    let patient = Patient { topics, ..Patient::new(&config, endpoint, &clock) };
    let tell = |what: &'static str| {
        if is_watched {
            eprintln!("looking at {what} …");
        }
    };
    let facts = smol::block_on(examine(patient, tell));
    Ok(serde_json::to_value(api::Doctor::from(&diagnose(&facts))).unwrap_or_default())
}

/// Looks at the store that the configuration names, also while an agent uses it; where it is, and what it holds.
///
/// # Errors
/// In words.
pub fn store_verify(file: &Path) -> Result<(String, Report), String> {
    let config = load(file, "NAS").map_err(|e| e.to_string())?;
    let root = Root::real();
    let board = select::select(&builtin::all(), &crate::board::io::facts(&root), config.board.as_deref());
    let (place, image) =
        crate::agent::site(&root, &config, board.as_ref().ok()).image().map_err(|e| e.to_string())?;
    looked(place.to_string(), &image)
}

/// Looks into an image of a store.
///
/// # Errors
/// In words.
pub fn store_inspect(path: &Path, segment_kib: Option<usize>) -> Result<(String, Report), String> {
    let name = path.display().to_string();
    let mut image = read_image(path).map_err(|error| format!("{name}: {error}"))?;
    if let (Some(kib), [(file, bytes)]) = (segment_kib, image.as_slice()) {
        image = inspect::split(file, bytes, kib.saturating_mul(1024));
    }
    looked(name, &image)
}

fn looked(name: String, image: &[(String, Vec<u8>)]) -> Result<(String, Report), String> {
    let report = inspect::inspect(image, &ledger::words).map_err(|error| format!("{name}: {error}"))?;
    Ok((name, report))
}

/// Checks a board file; the text to show.
///
/// # Errors
/// Every complaint, with line and column.
pub fn board_check(file: &Path) -> Result<String, ConfigError> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| {
        let (message, help) =
            (format!("the file cannot be read: {error}"), "give the path of a board file".to_owned());
        let fault = crate::typed_toml::Fault { line: 1, column: 1, code: "unreadable-file", message, help };
        ConfigError { file: name.clone(), text: String::new(), faults: vec![fault] }
    })?;
    match description::parse(&text) {
        Ok(board) => Ok(format!("{name} is good: {}\n", board.name)),
        Err(faults) => Err(ConfigError { file: name, text, faults }),
    }
}

/// One line a board.
pub fn board_list() -> String {
    let line = |b: &Description| {
        let proof = if b.verified_on_device { "tested on a device" } else { "from documents only" };
        format!("{:<24} {:<8} {:<32} {proof}\n", b.id, b.isa, b.name)
    };
    builtin::all().iter().map(line).collect()
}

/// A board, in full; `None` if there is none of that name.
pub fn board_show(id: &str) -> Option<String> {
    let board = builtin::all().into_iter().find(|b| b.id == id)?;
    let mut text = format!(
        "{} ({})\n  SoC        {}\n  ISA        {}\n  tested     {}\n",
        board.name,
        board.id,
        board.soc,
        board.isa,
        if board.verified_on_device { "on a device" } else { "no: from documents only" }
    );
    for m in &board.matches {
        text += &format!("  match      model {:?} compatible {:?}\n", m.model, m.compatible);
    }
    for bay in &board.bays {
        text += &format!(
            "  bay {}      {:?} (fault light {})\n",
            bay.number,
            bay.slot,
            bay.fault_led.join(" or ")
        );
    }
    if board.bays.is_empty() {
        text += "  bays       not known\n";
    }
    text += &format!("  fault LED  {}\n", if board.fault_led.is_empty() { "none of its own" } else { "" });
    for name in &board.fault_led {
        text += &format!("             {name}\n");
    }
    for source in &board.source {
        text += &format!("  source     {source}\n");
    }
    Some(text)
}
