//! Commands that need no agent: checking files, listing boards, the doctor by itself. A shell.
#![allow(clippy::print_stderr, reason = "this is the command line")]

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::board::description::{self, Description};
use crate::board::{self, builtin, select, show};
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
use crate::typed_toml::Fault;

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
        let fault = Fault { line: 1, column: 1, code: "bad-ca", message, help };
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
    let boards = board::io::catalogue(&root).boards;
    let board = select::select(&boards, &board::io::facts(&root), config.board.as_deref());
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

/// Checks board files; what is wrong with each, with line and column, and a text for those that are good.
pub fn board_check(files: &[PathBuf]) -> (String, Vec<ConfigError>) {
    let (mut good, mut bad, mut boards) = (String::new(), Vec::new(), Vec::new());
    for file in files {
        let name = file.display().to_string();
        let told = |text: String, faults| ConfigError { file: name.clone(), text, faults };
        match board_of(file) {
            Ok(board) => {
                good += &format!("{name} is good: {} ({})\n", board.name, show::proof(&board));
                boards.push((name, board));
            }
            Err((text, faults)) => bad.push(told(text, faults)),
        }
    }
    // Two files that one box could be, or a file and a board of this binary: each alone is good.
    let files = boards.len();
    let is_replaced = |b: &Description| boards.iter().any(|(_, board)| board.id == b.id);
    let others: Vec<Description> = builtin::all().into_iter().filter(|b| !is_replaced(b)).collect();
    boards.extend(others.into_iter().map(|b| ("the binary".to_owned(), b)));
    let all: Vec<Description> = boards.iter().map(|(_, board)| board.clone()).collect();
    for (a, b) in description::conflicts(&all).into_iter().filter(|(a, _)| *a < files) {
        if let (Some((file, _)), Some((other, board))) = (boards.get(a), boards.get(b)) {
            let message = format!("one box could be this and {} of {other}", board.id);
            let help = "tell them apart by another fact in match, or replace that one by its id".to_owned();
            let faults = vec![Fault { line: 1, column: 1, code: "ambiguous", message, help }];
            bad.push(ConfigError { file: file.clone(), text: String::new(), faults });
        }
    }
    (good, bad)
}

fn board_of(file: &Path) -> Result<Description, (String, Vec<Fault>)> {
    let text = board::io::board_file(file).map_err(|why| {
        let (message, help) = (format!("the file {why}"), "give the path of a board file".to_owned());
        (String::new(), vec![Fault { line: 1, column: 1, code: "unreadable-file", message, help }])
    })?;
    description::parse(&text).map_err(|faults| (text, faults))
}

/// All boards, which of them this NAS is by its own facts, and files that cannot be used.
pub fn board_list(root: &Root, json: bool) -> String {
    let catalogue = board::io::catalogue(root);
    let this = select::select(&catalogue.boards, &board::io::facts(root), None);
    let listed = catalogue.boards.iter().map(|b| (b, catalogue.origin(&b.id)));
    if json {
        let boards: Vec<Value> = listed.map(|(b, origin)| show::summary(b, origin)).collect();
        let bad: Vec<&str> = catalogue.bad.iter().map(|b| b.name.as_str()).collect();
        let this = this.as_ref().map(|b| b.id.as_str()).ok();
        return format!("{}\n", json!({ "boards": boards, "this": this, "unusable_files": bad }));
    }
    let mut text: String = listed.map(|(b, origin)| show::line(b, origin) + "\n").collect();
    for bad in &catalogue.bad {
        let first = bad.faults.first().map(ToString::to_string).unwrap_or_default();
        text += &format!("not usable: {}:{first}\n", bad.name);
    }
    match this {
        Ok(board) => text += &format!("\nThis NAS: {}\n", board.id),
        Err(why) => text += &format!("\nThis NAS: {why}\n"),
    }
    text
}

/// A board, in full; `None` if there is none of that name.
pub fn board_show(root: &Root, id: &str, json: bool) -> Option<String> {
    let catalogue = board::io::catalogue(root);
    let origin = catalogue.origin(id);
    let board = catalogue.boards.iter().find(|b| b.id == id)?;
    Some(if json { format!("{}\n", show::value(board, origin)) } else { show::text(board, origin) })
}
