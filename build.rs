//! Checks and embeds the board files, and fixes the build time that the clock's floor starts from.

#![allow(clippy::expect_used, reason = "a build that cannot go on is to stop")]

use std::path::Path;
use std::{env, fs, process};

use description::subset::Subset;

#[path = "src/board/description/mod.rs"]
#[allow(dead_code, unreachable_pub, unused_imports)]
mod description;
#[path = "src/typed_toml.rs"]
#[allow(dead_code, unreachable_pub)]
mod typed_toml;

fn main() {
    println!("cargo:rerun-if-changed=docs/openapi.json");
    println!("cargo:rerun-if-changed=src/board/description");
    println!("cargo:rerun-if-changed=src/typed_toml.rs");
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    // Written at every commit and checkout. Named only where it is: a missing file would run this at every build.
    if Path::new(".git/logs/HEAD").exists() {
        println!("cargo:rerun-if-changed=.git/logs/HEAD");
    }
    println!("cargo:rerun-if-changed=Cargo.toml");
    println!("cargo:rustc-env=MOORLINE_BUILD_UNIX={}", build_time());
    println!("cargo:rerun-if-env-changed=MOORLINE_BOARDS");
    let wanted = env::var("MOORLINE_BOARDS").unwrap_or_default();
    let boards = boards(&Subset::of(&wanted));
    let blob = postcard::to_allocvec(&boards).expect("board descriptions are plain data");
    let out = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    let out = Path::new(&out);
    fs::write(out.join("boards.packed"), pack(&blob)).expect("OUT_DIR can be written");
    let document = fs::read_to_string("docs/openapi.json").expect("docs/openapi.json is part of the package");
    fs::write(out.join("openapi.packed"), pack(compact(&document).as_bytes()))
        .expect("OUT_DIR can be written");
}

/// For `src/packed.rs`.
fn pack(bytes: &[u8]) -> Vec<u8> {
    miniz_oxide::deflate::compress_to_vec(bytes, 10)
}

/// JSON without the blanks between its tokens: the document is for people here and for programs in the binary.
fn compact(json: &str) -> String {
    let (mut text, mut quoted, mut escaped) = (String::new(), false, false);
    for c in json.chars() {
        if quoted || !c.is_whitespace() {
            text.push(c);
        }
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && c == '\\' && !escaped;
    }
    text
}

/// Those that are wanted, in the order of their names. Complaints stop the build, each with file, line and column.
fn boards(wanted: &Subset<'_>) -> Vec<description::Description> {
    let Some(dir) = wanted.directory().map(Path::new) else { return Vec::new() };
    println!("cargo:rerun-if-changed={}", dir.display());
    let Ok(entries) = fs::read_dir(dir) else {
        refuse(dir, " there is no such directory of board files (MOORLINE_BOARDS)");
        return Vec::new();
    };
    let mut files: Vec<_> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
    files.retain(|p| p.extension().is_some_and(|e| e == "toml"));
    files.sort();
    let mut boards = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).expect("a board file is text");
        match description::parse(&text) {
            Ok(board) if file.file_stem().is_some_and(|stem| *stem == *board.id) => boards.push(board),
            Ok(board) => refuse(file, &format!("1:1: the id {} is not the name of the file", board.id)),
            Err(faults) => {
                faults.iter().for_each(|fault| refuse(file, &format!("{fault} ({})", fault.help)));
            }
        }
    }
    let there: Vec<&str> = boards.iter().map(|b| b.id.as_str()).collect();
    for id in wanted.missing(&there) {
        refuse(dir, &format!(" there is no board {id} (MOORLINE_BOARDS)"));
    }
    boards.retain(|b| wanted.has(&b.id));
    for (a, b) in description::conflicts(&boards) {
        if let (Some(a), Some(b)) = (boards.get(a), boards.get(b)) {
            let file = dir.join(format!("{}.toml", b.id));
            refuse(&file, &format!("1:1: one box could be both {} and {}", a.id, b.id));
        }
    }
    boards
}

/// Cargo fails the build after the script has told everything.
fn refuse(file: &Path, complaint: &str) {
    println!("cargo::error={}:{complaint}", file.display());
}

/// Seconds since 1970. The same source gives the same time: SOURCE_DATE_EPOCH, the commit's date, or that of Cargo.toml.
fn build_time() -> u64 {
    if let Some(given) = env::var("SOURCE_DATE_EPOCH").ok().and_then(|t| t.trim().parse().ok()) {
        return given;
    }
    let git = process::Command::new("git").args(["log", "-1", "--format=%ct"]).output();
    if let Some(commit) =
        git.ok().and_then(|o| String::from_utf8(o.stdout).ok()).and_then(|t| t.trim().parse().ok())
    {
        return commit;
    }
    let modified = fs::metadata("Cargo.toml").and_then(|m| m.modified()).ok();
    let since = modified.and_then(|m| m.duration_since(std::time::UNIX_EPOCH).ok());
    since.map_or(0, |d| d.as_secs())
}
