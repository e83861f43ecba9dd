//! House rules as tests. Each is fed a bad example first, to show that it can fire.

use std::fs;
use std::path::{Path, PathBuf};

use super::lab::source;

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Name below src/ and text of each file.
fn sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    rust_files(&source("src"), &mut files);
    files.sort();
    let name = |p: &Path| p.strip_prefix(source("src")).unwrap().to_str().unwrap().to_owned();
    files.iter().map(|p| (name(p), fs::read_to_string(p).unwrap())).collect()
}

/// The part of a file that ships: tests beside the code come last.
fn shipped(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap()
}

/// Files that may touch the world. Everything else is a core.
fn is_shell(name: &str) -> bool {
    let shells = [
        "sys/",
        "agent/",
        "cli/run.rs",
        "cli/call.rs",
        "cli/local.rs",
        "client/channel.rs",
        "client/commands.rs",
        "client/device.rs",
        "client/forward.rs",
        "client/keyring.rs",
        "client/relay.rs",
        "client/way.rs",
        "client/main.rs",
        "client/meeting.rs",
        "main.rs",
    ];
    name.contains("/io/")
        || name.ends_with("/io.rs")
        || name.ends_with("tests.rs")
        || shells.iter().any(|s| name.starts_with(s))
}

/// What a core may not name. `std::time::Duration` is a number; its neighbours are clocks.
fn impure(text: &str) -> Vec<&'static str> {
    const WORDS: [&str; 14] = [
        "std::fs",
        "std::io::",
        "std::process",
        "std::thread",
        "Instant::now",
        "SystemTime",
        "UNIX_EPOCH",
        "nix::",
        "smol::",
        "async_io",
        "crate::sys",
        "log::info",
        "log::warn",
        "log::error",
    ];
    WORDS.into_iter().filter(|w| shipped(text).contains(w)).collect()
}

#[test]
fn cores_touch_nothing() {
    assert_eq!(impure("use std::fs; crate::sys"), ["std::fs", "crate::sys"]);
    assert!(impure("fn f() {}\n#[cfg(test)]\nmod tests {\nuse std::fs;").is_empty());
    for (name, text) in sources().iter().filter(|(name, _)| !is_shell(name)) {
        // An errno in words is no I/O.
        let excused = |w: &&str| name == "session/cause.rs" && *w == "std::io::";
        let found: Vec<&str> = impure(text).into_iter().filter(|w| !excused(w)).collect();
        assert!(found.is_empty(), "{name} is a core and names {found:?}");
    }
}

#[test]
fn every_file_says_what_it_owns() {
    for (name, text) in sources() {
        assert!(text.starts_with("//! "), "{name}");
    }
}

fn too_long(text: &str) -> bool {
    shipped(text).lines().count() > 800
}

#[test]
fn no_file_is_too_long() {
    assert!(too_long(&"\n".repeat(801)));
    for (name, text) in sources().iter().filter(|(name, _)| !name.ends_with("tests.rs")) {
        assert!(!too_long(text), "{name} has {} lines", text.lines().count());
    }
}

#[test]
fn no_drawer_is_called_utils() {
    for (name, _) in sources() {
        for word in ["util", "helper", "common", "misc", "constants"] {
            assert!(!name.contains(word), "{name}");
        }
    }
}

#[test]
fn unsafe_stands_only_where_the_kernel_needs_it() {
    let users: Vec<String> =
        sources().into_iter().filter(|(_, t)| t.contains("unsafe {")).map(|(n, _)| n).collect();
    assert_eq!(users, ["sys/clock.rs", "sys/heap.rs", "sys/mtd.rs", "sys/tcp.rs"]);
}

/// A data disk's device node is never named, let alone opened.
#[test]
fn no_code_names_a_device_node() {
    for (name, text) in sources() {
        assert!(!shipped(&text).contains("\"/dev/"), "{name}");
    }
}

#[test]
fn what_ships_has_no_rival_stack_in_it() {
    let tree = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--offline", "-e", "normal", "--prefix", "none", "--manifest-path"])
        .arg(source("Cargo.toml"))
        .output()
        .unwrap();
    let names = String::from_utf8(tree.stdout).unwrap();
    assert!(
        names.contains("smol v") && names.contains("rustls v"),
        "{}",
        String::from_utf8_lossy(&tree.stderr)
    );
    for rival in ["tokio", "openssl", "native-tls", "reqwest", "hyper", "aws-lc-rs"] {
        assert!(!names.lines().any(|l| l.split(' ').next() == Some(rival)), "{rival}");
    }
}

#[test]
fn nothing_names_the_machine_it_was_made_on() {
    let listed =
        std::process::Command::new("git").arg("-C").arg(source("")).arg("ls-files").output().unwrap();
    for file in String::from_utf8(listed.stdout).unwrap().lines() {
        let Ok(text) = fs::read_to_string(source(file)) else { continue };
        for word in [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("sha", "red/design")] {
            assert!(!text.contains(word), "{file} names {word}");
        }
    }
}
