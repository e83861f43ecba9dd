//! Documents and code say the same. `MOORLINE_BLESS=1 cargo test --all-features documents` writes the generated ones anew.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use moorline::control::fault;
use moorline::health::finding;

use super::lab::{program, source};

#[track_caller]
pub fn generated(file: &str, text: &str) {
    if std::env::var_os("MOORLINE_BLESS").is_some() {
        fs::write(source(file), text).unwrap();
    }
    let found = fs::read_to_string(source(file)).unwrap_or_default();
    assert!(
        found == text,
        "{file} is not what the code says: MOORLINE_BLESS=1 cargo test --all-features documents"
    );
}

#[test]
fn the_table_of_codes_is_complete() {
    let mut text = "# Codes\n\nGenerated from `src/health/finding.rs` and `src/control/fault.rs`.\n\n## Findings\n\n\
                    Shown by `moorline status` while they hold, and told as events when they appear and when they are over.\n\n\
                    | code | severity | shown after | what it is | what to do |\n|---|---|---|---|---|\n"
        .to_owned();
    for e in finding::CATALOGUE {
        let after = e.visible_after.as_secs();
        writeln!(text, "| `{}` | {} | {after} s | {} | {} |", e.name, e.severity.name(), e.title, e.remedy)
            .unwrap();
    }
    text += "\n## Errors of the control socket\n\nIn `application/problem+json` (RFC 9457), and on the command line in brackets.\n\n\
             | code | HTTP | what it is | what to do |\n|---|---|---|---|\n";
    for e in fault::CATALOGUE {
        writeln!(text, "| `{}` | {} | {} | {} |", e.name, e.status, e.title, e.remedy).unwrap();
    }
    generated("docs/codes.md", &text);
}

/// Where each finding is produced: the texts of tests, by what they are.
fn producers() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for directory in ["tests/lab/cases", "tests/it", "tests/qemu/cases"] {
        for entry in fs::read_dir(source(directory)).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{directory}/{}", path.file_name().unwrap().to_str().unwrap());
            if path.is_file() && !name.ends_with("documents.rs") {
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// Findings whose condition is tested beside the code only: a bug of ours, an hour's wait, or hardware that refuses.
const UNIT_TESTED: [(&str, &str); 11] = [
    ("session-stuck", "src/session/watchdog.rs"),
    ("array-inactive", "src/array/state.rs"),
    ("array-attention", "src/array/state.rs"),
    ("array-unknown", "src/array/state.rs"),
    ("board-ambiguous", "src/board/select.rs"),
    ("board-unknown", "src/board/select.rs"),
    ("store-read-only", "src/store/tests.rs"),
    ("write-budget-spent", "src/pairing/budget.rs"),
    ("clock-unconfirmed", "src/clock.rs"),
    ("cloud-not-configured", "src/doctor/verdict.rs"),
    ("led-unavailable", "src/health/tracker.rs"),
];

/// As a word of its own: `tls-failed` is not in `tls-failed-again`.
fn names(text: &str, code: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '-');
    text.match_indices(code)
        .any(|(at, _)| !part(text[..at].chars().next_back()) && !part(text[at + code.len()..].chars().next()))
}

#[test]
fn troubleshooting_has_every_finding_and_a_test_produces_each() {
    let producers = producers();
    let mut text = "# Troubleshooting\n\nGenerated from `src/health/finding.rs`. `moorline doctor` walks every step between the NAS and the \
                    cloud and names the first cause; `moorline status` shows what holds now. Each code below is brought about by the tests in \
                    its last column, which shows that it can be told.\n"
        .to_owned();
    let mut missing = Vec::new();
    for e in finding::CATALOGUE {
        let mut by: Vec<&str> =
            producers.iter().filter(|(_, text)| names(text, e.name)).map(|(name, _)| name.as_str()).collect();
        by.extend(UNIT_TESTED.iter().filter(|(code, _)| *code == e.name).map(|(_, file)| *file));
        if by.is_empty() {
            missing.push(e.name);
        }
        writeln!(text, "\n## {}\n\n`{}`, {}. {}\n", e.title, e.name, e.severity.name(), e.remedy).unwrap();
        let hidden: Vec<String> = e.hidden_by.iter().map(|c| format!("`{}`", c.entry().name)).collect();
        if !hidden.is_empty() {
            writeln!(text, "Not shown while {} explains it.\n", hidden.join(" or ")).unwrap();
        }
        writeln!(text, "Produced by {}.", by.join(", ")).unwrap();
    }
    assert!(missing.is_empty(), "no test produces {missing:?}");
    generated("docs/troubleshooting.md", &text);
}

/// The man page is the help, in roff.
fn man(name: &str, summary: &str, help: &str) -> String {
    let body: String =
        help.lines().skip(2).map(|l| format!("{}\n", l.replace('\\', "\\\\").replace('-', "\\-"))).collect();
    format!(
        ".TH {} 1\n.SH NAME\n{name} \\- {summary}\n.SH SYNOPSIS\n.nf\n{body}.fi\n.SH SEE ALSO\n.BR mosquitto (8),\n.BR mdadm (8)\n",
        name.to_uppercase()
    )
}

#[test]
fn the_man_pages_are_the_help() {
    let nas = man("moorline", "the cloud-access agent of a NAS", moorline::cli::args::HELP);
    generated("docs/moorline.1", &nas);
    let client = man("moorline-client", "the other end of moorline", moorline::client::args::HELP);
    generated("docs/moorline-client.1", &client);
}

#[test]
fn every_key_of_the_configuration_is_documented_and_no_other() {
    let parser = fs::read_to_string(source("src/config/parse.rs")).unwrap();
    let document = fs::read_to_string(source("docs/configuration.md")).unwrap();
    let documented: Vec<&str> =
        document.lines().filter_map(|l| l.strip_prefix("| `")?.split('`').next()).collect();
    let mut keys: Vec<&str> = Vec::new();
    for call in [
        "string(r, \"",
        "required(r, \"",
        "boolean(r, \"",
        "integer(r, \"",
        "strings(r, \"",
        "number(r, t, \"",
        "path(r, t, \"",
        "section(r, t, \"",
    ] {
        keys.extend(
            parser.match_indices(call).filter_map(|(at, _)| parser[at + call.len()..].split('"').next()),
        );
    }
    assert!(keys.len() >= 20, "{keys:?}");
    for key in &keys {
        assert!(documented.contains(key), "{key} is not documented");
    }
    for key in documented {
        assert!(keys.contains(&key), "{key} is documented but not read");
    }
}

#[test]
fn the_example_configuration_is_good_when_its_files_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(source("docs/agent.example.toml")).unwrap();
    for name in ["broker.password", "device.password"] {
        let file = dir.path().join(name);
        fs::write(&file, "secret\n").unwrap();
        std::os::unix::fs::PermissionsExt::set_mode(&mut fs::metadata(&file).unwrap().permissions(), 0o600);
        let done = Command::new("chmod").arg("600").arg(&file).status().unwrap();
        assert!(done.success());
    }
    let made = Command::new(source("scripts/broker")).arg(dir.path().join("b")).arg("1").status().unwrap();
    assert!(made.success());
    fs::copy(dir.path().join("b/ca.pem"), dir.path().join("ca.pem")).unwrap();
    let config = dir.path().join("agent.toml");
    fs::write(&config, text.replace("/etc/moorline", dir.path().to_str().unwrap())).unwrap();
    let checked =
        program(env!("CARGO_BIN_EXE_moorline")).args(["config", "check"]).arg(&config).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn every_key_of_a_board_file_is_documented() {
    let mut parser = String::new();
    for file in fs::read_dir(source("src/board/description")).unwrap() {
        parser += &fs::read_to_string(file.unwrap().path()).unwrap();
    }
    let document = fs::read_to_string(source("docs/boards.md")).unwrap();
    let mut keys = 0;
    // Every reading call begins with the reader: `text(r, &mut t, "label")`, `t.tables(r, "bay")`.
    for call in ["(r, \"", "(r, t, \"", "(r, &mut t, \""] {
        for (at, _) in parser.match_indices(call) {
            let key = parser[at + call.len()..].split('"').next().unwrap();
            assert!(document.contains(&format!("| `{key}` |")), "{key} is not documented");
            keys += 1;
        }
    }
    assert!(keys > 60, "only {keys} were found");
}

#[test]
fn every_resource_of_the_api_is_understood() {
    let document: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(source("docs/openapi.json")).unwrap()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 15);
    for (path, methods) in paths {
        let path = path.replace("{name}", "anna").replace("{id}", "d1").replace("{scope}", "pairings");
        let allowed = moorline::control::route::allowed(&path);
        let documented: Vec<String> = methods.as_object().unwrap().keys().map(|m| m.to_uppercase()).collect();
        let mut understood: Vec<&str> = allowed.split(", ").collect();
        understood.sort_unstable();
        let mut documented: Vec<&str> = documented.iter().map(String::as_str).collect();
        documented.sort_unstable();
        assert_eq!(understood, documented, "{path}");
    }
}

#[test]
fn links_in_documents_lead_somewhere() {
    let mut files: Vec<_> = fs::read_dir(source("docs")).unwrap().map(|e| e.unwrap().path()).collect();
    files.extend(["README.md", "ARCHITECTURE.md", "CHANGELOG.md"].map(source));
    for file in files.iter().filter(|f| f.extension().is_some_and(|e| e == "md")) {
        let text = fs::read_to_string(file).unwrap();
        for link in text.match_indices("](").filter_map(|(at, _)| text[at + 2..].split(')').next()) {
            if !link.contains("://") && !link.starts_with('#') {
                let target = file.parent().unwrap().join(link.split('#').next().unwrap());
                assert!(target.exists(), "{}: {link}", file.display());
            }
        }
    }
}
