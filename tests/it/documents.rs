//! Documents and code say the same. `MOORLINE_BLESS=1 cargo test --all-features documents` writes the generated ones anew.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use moorline::control::fault;
use moorline::hardware::led::policy;
use moorline::health::finding;

use super::lab::{program, source};

/// docs/lights.md up to its tables.
const LIGHTS: &str = "# Lights

Generated from `src/hardware/led/policy.rs` (`MOORLINE_BLESS=1 cargo test --all-features documents`).

A board file says which lights are the agent's ([boards.md](boards.md)): `fault` and `status` of the box, `fault_led` of each bay. Lights that the kernel drives are never written to. A
light is taken while there is something to show: brightness and trigger are remembered first and given back afterwards, at the end of the agent too. An agent that was killed leaves its
patterns; the next one gives those lights back before anything else, by a file beside the control socket, in RAM.

Red is only for what is wrong in the box. A NAS that is merely offline says so with its status light; which kind of reason it is, `moorline status` says in full. A short flash in the
dark is the one pattern of the red lights that asks for nothing: a mirror is being rebuilt, leave the disks in.

Blinking is the kernel's (`timer` trigger), so that the agent sleeps meanwhile; where a light has no such trigger, and for double flashes, the agent switches it itself. Nothing is written
while nothing changes, and never to flash.

`moorline hardware identify` blinks every light of the agent's for 30 seconds, `moorline hardware identify 2` that of bay 2; `--for` takes up to ten minutes, `--stop` ends it.

A code is shown for ten minutes, not for the two days that it can be used. A box without a light of its own (`fault`) but with one for each of its bays shows on all of those
what no bay is to blame for; where only some bays have one, they would point at disks that are well.

The power lamp behind a microcontroller cannot be read. The agent leaves it steady blue at its end. It has fewer patterns and more colours; blinking orange is for what somebody asked for
just now.
";

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

/// One condition at a time, the most urgent first, with the words of docs/lights.md.
fn conditions() -> Vec<(&'static str, policy::Conditions)> {
    use policy::{Arrays, Bay, Class, Cloud, Conditions, Target};
    let none = Conditions::default;
    let array = |failed, degraded, rebuilding, bay: Option<Bay>| Conditions {
        arrays: Arrays { failed, degraded, rebuilding, bays: bay.map(|b| (1, b)).into_iter().collect() },
        ..none()
    };
    let cloud = |cloud| Conditions { cloud, ..none() };
    vec![
        ("identify the box", Conditions { identify: Some(Target::Box), ..none() }),
        ("identify this bay", Conditions { identify: Some(Target::Bay(1)), ..none() }),
        ("an array has failed", array(true, false, false, Some(Bay::Lost))),
        ("a mirror is degraded; this bay's disk is lost", array(false, true, false, Some(Bay::Lost))),
        ("the store is corrupt", Conditions { store_corrupt: true, ..none() }),
        ("a code waits to be typed", Conditions { pairing: true, ..none() }),
        ("a mirror is rebuilt; onto this bay's disk", array(false, false, true, Some(Bay::Rebuilding))),
        ("offline: no cable, address or route", cloud(Cloud::Offline(Class::Local))),
        ("offline: name servers", cloud(Cloud::Offline(Class::Names))),
        ("offline: the date", cloud(Cloud::Offline(Class::Time))),
        ("offline: the broker or the way to it", cloud(Cloud::Offline(Class::Broker))),
        ("offline: login or rights", cloud(Cloud::Offline(Class::Account))),
        ("starting", cloud(Cloud::Starting)),
        ("connecting", cloud(Cloud::Connecting)),
        ("online", cloud(Cloud::Online)),
        ("remote access not wanted or not configured", none()),
    ]
}

#[test]
fn the_table_of_lights_is_what_the_code_does() {
    use policy::{Means, Place, Show, lamp, shows};
    let mut text = LIGHTS.to_owned();
    text += "\n## Patterns\n\n| pattern | milliseconds lit, dark, … |\n|---|---|\n";
    for show in Show::ALL {
        let rhythm = show.rhythm().map(|r| r.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
        writeln!(text, "| {} | {} |", show.name(), rhythm.unwrap_or_default()).unwrap();
    }
    text += "\n## What is shown\n\nOne condition at a time, the most urgent first: a light shows the first that concerns it.\n\n\
             | | status light | fault light | light of the bay | both in one lamp: status, fault | microcontroller's lamp |\n|---|---|---|---|---|---|\n";
    let two = Means { fault: true, status: true, one_lamp: false, bay_fault: true, all_bays: true };
    let one = Means { one_lamp: true, ..two };
    for (what, now) in conditions() {
        let [status, fault, bay] =
            [Place::Status, Place::Box, Place::Bay(1)].map(|p| shows(p, &now, two).name());
        let [a, b] = [Place::Status, Place::Box].map(|p| shows(p, &now, one).name());
        writeln!(text, "| {what} | {status} | {fault} | {bay} | {a}, {b} | {} |", lamp(&now).name()).unwrap();
    }
    generated("docs/lights.md", &text);
}

/// The order of the table is the order of urgency: with two at once, no light shows something that neither asks for.
#[test]
fn the_table_of_lights_is_in_the_order_of_urgency() {
    use policy::{Means, Place, Show, lamp, shows};
    let two = Means { fault: true, status: true, one_lamp: false, bay_fault: true, all_bays: true };
    let all = conditions();
    for (n, (first, a)) in all.iter().enumerate() {
        for (second, b) in &all[n + 1..] {
            let mut both = a.clone();
            both.store_corrupt |= b.store_corrupt;
            both.pairing |= b.pairing;
            both.identify = a.identify.or(b.identify);
            let (x, y) = (&mut both.arrays, &b.arrays);
            (x.failed, x.degraded, x.rebuilding) =
                (x.failed | y.failed, x.degraded | y.degraded, x.rebuilding | y.rebuilding);
            if x.bays.is_empty() {
                x.bays.clone_from(&y.bays);
            }
            both.cloud = if a.cloud == policy::Cloud::Unwanted { b.cloud } else { a.cloud };
            for place in [Place::Status, Place::Box, Place::Bay(1)] {
                let [one, other, found] = [a, b, &both].map(|c| shows(place, c, two));
                let expect = if one == Show::AsFound { other } else { one };
                assert_eq!(found, expect, "{place:?}: {first} and {second}");
            }
            let usual = lamp(&policy::Conditions::default());
            let [one, other, found] = [a, b, &both].map(lamp);
            // Online is blue, too.
            let is_said = one != usual || matches!(a.cloud, policy::Cloud::Online);
            assert_eq!(found, if is_said { one } else { other }, "{first} and {second}");
        }
    }
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
