//! Every value of a board file and every part of a fixture, changed one at a time: something that is expected must change, or
//! the value is not tested.

use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use moorline::board::description::{Description, parse};

use super::report::{Report, report};
use super::tree::{self, Tree};
use super::{Case, boards, cases};

/// Keys whose values no kernel shows: that they are told as the file says is all that can be tested.
const FREE: [&str; 18] = [
    "id",
    "name",
    "soc",
    "isa",
    "verified_on_device",
    "source",
    "notes",
    "covers",
    "label",
    "bay_count",
    "fan_count",
    "nic_count",
    "memory_mib",
    "rpm",
    "owner",
    "role",
    "has",
    "fs",
];
/// Tables whose values no kernel of a fixture shows.
const FREE_TABLES: [&str; 2] = ["mcu", "array"];
/// Worker threads: the machine that builds has few cores.
const WORKERS: usize = 3;

/// A text with one thing in it changed.
struct Mutant {
    /// Line from 1, what it was and what it is.
    what: String,
    text: String,
    /// Whether telling it is enough.
    is_free: bool,
}

/// Another character of the same kind.
fn other(c: char) -> char {
    match c {
        '9' => '0',
        'z' => 'a',
        'Z' => 'A',
        c => char::from_u32(u32::from(c) + 1).unwrap(),
    }
}

/// The text with each part between slashes changed in its last letter or digit.
fn changed(text: &str) -> Vec<String> {
    let parts: Vec<&str> = text.split('/').collect();
    let change = |at: usize| {
        let part = parts[at];
        let (last, c) = part.char_indices().rfind(|(_, c)| c.is_ascii_alphanumeric())?;
        let part = format!("{}{}{}", &part[..last], other(c), &part[last + c.len_utf8()..]);
        let all: Vec<&str> =
            parts.iter().enumerate().map(|(i, p)| if i == at { part.as_str() } else { p }).collect();
        Some(all.join("/"))
    };
    (0..parts.len()).filter_map(change).collect()
}

/// Byte ranges of the values in a line of TOML, without comments: what is in quotes, numbers, booleans.
fn values(line: &str) -> Vec<(usize, usize)> {
    let (mut found, mut at) = (Vec::new(), 0);
    let start =
        if line.trim_start().starts_with('[') { line.len() } else { line.find('=').map_or(0, |e| e + 1) };
    let bytes = line.as_bytes();
    at += start;
    while at < bytes.len() {
        match bytes[at] {
            b'#' => break,
            b'"' => {
                let end = line[at + 1..].find('"').unwrap() + at + 1;
                found.push((at + 1, end));
                at = end + 1;
            }
            c if c.is_ascii_alphanumeric() => {
                let end =
                    line[at..].find(|c: char| !c.is_ascii_alphanumeric()).map_or(line.len(), |l| l + at);
                // A key of a table in braces is no value.
                if !line[end..].trim_start().starts_with('=') {
                    found.push((at, end));
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    found
}

fn toml_mutants(text: &str) -> Vec<Mutant> {
    let (mut found, mut key, mut table, mut offset) = (Vec::new(), String::new(), String::new(), 0);
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        if trimmed.starts_with('[') && !trimmed.starts_with("[\"") {
            trimmed.trim_matches(['[', ']', ' ']).clone_into(&mut table);
        } else if let Some((name, _)) = line.split_once('=').filter(|(n, _)| !n.contains(['"', '#'])) {
            name.trim().clone_into(&mut key);
        }
        for (from, to) in if trimmed.starts_with('#') { Vec::new() } else { values(line) } {
            let old = &line[from..to];
            let new = match old {
                "true" => vec!["false".to_owned()],
                "false" => vec!["true".to_owned()],
                other => changed(other),
            };
            for new in new {
                let text = format!("{}{new}{}", &text[..offset + from], &text[offset + to..]);
                // A button's or a sensor's name is looked for in the tree, and so is everything of a table in braces.
                let named = key == "name" && ["temperature", "fan", "button"].contains(&table.as_str());
                let is_free =
                    (FREE.contains(&key.as_str()) && !named) || FREE_TABLES.contains(&table.as_str());
                found.push(Mutant { what: format!("{}: {old} -> {new}", number + 1), text, is_free });
            }
        }
        offset += line.len() + 1;
    }
    found
}

/// Of a fixture: each word of each line, in each of its parts.
fn tree_mutants(text: &str) -> Vec<Mutant> {
    let (mut found, mut offset) = (Vec::new(), 0);
    for (number, line) in text.lines().enumerate() {
        if !line.trim_start().starts_with('#') {
            let mut from = offset;
            for piece in line.split_inclusive([' ', '"', '=']) {
                let word = piece.trim_end_matches([' ', '"', '=']);
                for new in if word.starts_with('@') { Vec::new() } else { changed(word) } {
                    let text = format!("{}{new}{}", &text[..from], &text[from + word.len()..]);
                    let what = format!("{}: {word} -> {new}", number + 1);
                    found.push(Mutant { what, text, is_free: false });
                }
                from += piece.len();
            }
        }
        offset += line.len() + 1;
    }
    found
}

/// Mutants that nothing noticed, and how many there were.
fn survivors(case: &Case, boards: &[Description]) -> (Vec<String>, usize) {
    let at = boards.iter().position(|b| b.id == case.id).unwrap();
    let dirs: Vec<tempfile::TempDir> = case.trees.iter().map(|_| tempfile::tempdir().unwrap()).collect();
    let mut expected: Vec<Report> = Vec::new();
    for (dir, (_, _, tree)) in dirs.iter().zip(&case.trees) {
        tree::lay(dir.path(), &Tree::new(), tree);
        expected.push(report(dir.path(), boards));
    }
    let (mut found, mut count) = (Vec::new(), 0);
    for mutant in toml_mutants(&case.toml) {
        count += 1;
        let Ok(board) = parse(&mutant.text) else { continue };
        let mut all = boards.to_vec();
        all[at] = board;
        let is_noticed = dirs.iter().zip(&expected).any(|(dir, expected)| {
            let now = report(dir.path(), &all);
            now.seen != expected.seen || (mutant.is_free && now.said != expected.said)
        });
        if !is_noticed {
            found.push(format!("boards/{}.toml:{}", case.id, mutant.what));
        }
    }
    for ((dir, (name, text, tree)), expected) in dirs.iter().zip(&case.trees).zip(&expected) {
        for mutant in tree_mutants(text) {
            count += 1;
            let Ok(other) = tree::parse(&mutant.text) else { continue };
            tree::lay(dir.path(), tree, &other);
            if report(dir.path(), boards) == *expected {
                found.push(format!("{name}.tree:{}", mutant.what));
            }
            tree::lay(dir.path(), &other, tree);
        }
        assert_eq!(report(dir.path(), boards), *expected, "{name}: the tree is as it was");
    }
    (found, count)
}

#[test]
fn every_name_in_a_board_file_or_fixture_matters() {
    let (cases, boards) = (cases(), boards());
    let (next, found, count) = (AtomicUsize::new(0), Mutex::new(Vec::new()), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (alive, tried) = survivors(case, &boards);
                    count.fetch_add(tried, Ordering::Relaxed);
                    found.lock().unwrap().extend(alive);
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap();
    found.sort();
    let count = count.into_inner();
    eprintln!("{count} changes, {} unnoticed", found.len());
    assert!(count > 20 * cases.len(), "{count} changes are too few to mean anything");
    assert!(found.is_empty(), "nothing notices:\n{}", found.join("\n"));
}

#[test]
fn values_are_found_and_changed() {
    let text =
        "a = [\"x/ata1/\", \"y\"] # \"no\"\n[leds]\none_lamp = true\nmac = { mtd = \"u\", offset = 0xff }\n";
    let told: Vec<String> = toml_mutants(text).into_iter().map(|m| m.what).collect();
    let expect = [
        "1: x/ata1/ -> y/ata1/",
        "1: x/ata1/ -> x/ata2/",
        "1: y -> z",
        "3: true -> false",
        "4: u -> v",
        "4: 0xff -> 0xfg",
    ];
    assert_eq!(told, expect);
    let told: Vec<String> = tree_mutants("# no\n@led \"a b\" k=v/w\n").into_iter().map(|m| m.what).collect();
    assert_eq!(told, ["2: a -> b", "2: b -> c", "2: k -> l", "2: v/w -> w/w", "2: v/w -> v/x"]);
    // Every mutant differs from the original in its own place only.
    for mutant in toml_mutants(text) {
        assert_eq!(mutant.text.len(), text.len() + usize::from(mutant.what.contains("true")));
        assert_ne!(mutant.text, text);
    }
    fs::metadata(super::source("boards")).unwrap();
}
