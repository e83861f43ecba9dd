//! Board files at run time, and the commands about boards, as owners and engineers of firmware meet them.

use std::fs;
use std::process::Output;

use serde_json::{Value, json};

use super::lab::{Lab, program, source, wait};

fn sim() -> String {
    fs::read_to_string(source("boards/sim.toml")).unwrap()
}

/// Puts a board file where the agent of the lab looks for it.
fn put(lab: &Lab, name: &str, text: &str) {
    let dir = lab.path("nas").join("etc/moorline/boards");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join(name), text).unwrap();
}

fn findings(lab: &Lab) -> Vec<(String, String)> {
    let status = lab.get("/v1/status");
    let text = |f: &Value, key: &str| f[key].as_str().unwrap_or_default().to_owned();
    status["findings"].as_array().unwrap().iter().map(|f| (text(f, "code"), f.to_string())).collect()
}

fn moorline(args: &[&str]) -> Output {
    program(env!("CARGO_BIN_EXE_moorline")).args(args).output().unwrap()
}

fn stdout(args: &[&str]) -> String {
    String::from_utf8(moorline(args).stdout).unwrap()
}

#[test]
fn a_file_of_the_owner_replaces_the_built_in_board_and_a_bad_one_is_a_finding() {
    let mut lab = Lab::new();
    lab.no_cloud = true;
    put(&lab, "sim.toml", &sim().replace("moorline simulated two-bay NAS\"\nsoc", "my own NAS\"\nsoc"));
    put(&lab, "bad.toml", &sim().replace("bay_count = 2", "bay_count = 99"));
    lab.start_agent();
    let hardware = lab.get("/v1/hardware");
    assert_eq!((&hardware["board"]["id"], &hardware["board"]["name"]), (&json!("sim"), &json!("my own NAS")));
    assert_eq!(hardware["disks"][1]["bay"], 2, "found by the controller's port");
    let found = findings(&lab);
    let bad: Vec<&String> =
        found.iter().filter(|(c, _)| c == "board-file-bad").map(|(_, text)| text).collect();
    let line = sim().lines().position(|l| l.starts_with("bay_count")).unwrap() + 1;
    assert_eq!(bad.len(), 1, "{found:?}");
    assert!(bad[0].contains(&format!("bad.toml:{line}:13: error[out-of-range]")), "{}", bad[0]);
    let log = lab.text("agent.log");
    assert!(log.contains("board sim: a file of this NAS in place of the built-in one"), "{log}");
}

#[test]
fn a_file_that_fits_the_box_besides_the_built_in_one_is_refused() {
    let mut lab = Lab::new();
    lab.no_cloud = true;
    put(&lab, "mine.toml", &sim().replace("id = \"sim\"", "id = \"mine\""));
    lab.start_agent();
    wait("two descriptions fit", || {
        findings(&lab).iter().any(|(c, text)| c == "board-ambiguous" && text.contains("mine, sim"))
    });
    assert_eq!(lab.get("/v1/hardware")["board"], Value::Null, "no light of another box is driven");
    let root = lab.path("nas");
    let list = stdout(&["board", "list", "--root", root.to_str().unwrap()]);
    assert!(list.contains("This NAS: several descriptions fit: mine, sim"), "{list}");
}

#[test]
fn the_list_tells_paper_from_tested_files_from_built_in_and_what_this_box_is() {
    let lab = Lab::new();
    put(
        &lab,
        "mine.toml",
        &sim()
            .replace("id = \"sim\"", "id = \"mine\"")
            .replace("moorline,sim", "my,nas")
            .replace("simulated two-bay", "own"),
    );
    put(&lab, "bad.toml", &sim().replace("schema = 1", "schema = 2"));
    let root = lab.path("nas");
    let root = root.to_str().unwrap();
    let list = stdout(&["board", "list", "--root", root]);
    let line = |id: &str| list.lines().find(|l| l.starts_with(&format!("{id} "))).unwrap().to_owned();
    assert!(line("mine").contains("2 bays") && line("mine").ends_with("from documents only  file"), "{list}");
    assert!(
        line("qemu-armv7").contains("armv7") && line("qemu-armv7").ends_with("tested on a device"),
        "{list}"
    );
    assert!(list.contains("not usable: bad.toml:2:10: error[out-of-range]: schema is 2"), "{list}");
    assert!(list.contains("This NAS: sim"), "{list}");
    assert!(list.lines().all(|l| l.chars().count() <= 80), "{list}");
    let json: Value = serde_json::from_str(&stdout(&["board", "list", "--root", root, "--json"])).unwrap();
    assert_eq!((&json["this"], &json["unusable_files"]), (&json!("sim"), &json!(["bad.toml"])));
    let mine = json["boards"].as_array().unwrap().iter().find(|b| b["id"] == "mine").unwrap();
    assert_eq!(
        (&mine["origin"], &mine["bays"], &mine["verified_on_device"]),
        (&json!("file"), &json!(2), &json!(false))
    );
}

#[test]
fn a_board_is_shown_in_full_with_its_sources_and_what_is_not_known() {
    let shown = stdout(&["board", "show", "wd-cloud-mirror-gen2"]);
    for words in [
        "from documents only",
        "mcu:power (behind the microcontroller)",
        "armada-385-wd_cloud.dtsi",
        "not known",
        "controller f10a8000.sata, port 2",
        "never mtd",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let json: Value =
        serde_json::from_str(&stdout(&["board", "show", "wd-cloud-mirror-gen2", "--json"])).unwrap();
    let parts = [
        &json["fault_led"],
        &json["temperatures"],
        &json["bays"][0]["fault_led"],
        &json["verified_on_device"],
    ];
    assert_eq!(parts, [&json!(false), &Value::Null, &json!(["red:hdd1"]), &json!(false)]);
    assert_eq!(moorline(&["board", "show", "x"]).status.code(), Some(1));
}

#[test]
fn several_files_are_checked_and_each_mistake_is_told_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = source("boards/sim.toml").to_str().unwrap().to_owned();
    let bad = file("bad.toml", &sim().replace("[leds]\n", "[leds]\nactive_low = true\n"));
    let twin = file("twin.toml", &sim().replace("id = \"sim\"", "id = \"twin\""));
    let done = moorline(&["board", "check", &good, &bad]);
    assert_eq!(done.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&done.stdout).contains("sim.toml is good: moorline simulated two-bay NAS")
    );
    let line = sim().lines().position(|l| l == "[leds]").unwrap() + 2;
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(
        told.contains(&format!("bad.toml:{line}:1: error[polarity]")) && told.contains("  | active_low"),
        "{told}"
    );
    let done = moorline(&["board", "check", "--json", &good, &bad, &twin, "gone.toml"]);
    let json: Value = serde_json::from_slice(&done.stdout).unwrap();
    let codes: Vec<&str> =
        json["errors"].as_array().unwrap().iter().map(|e| e["code"].as_str().unwrap()).collect();
    assert_eq!((done.status.code(), codes), (Some(1), vec!["polarity", "unreadable-file", "ambiguous"]));
    let done = moorline(&["board", "check", &twin]);
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(told.contains("one box could be this and sim of the binary"), "{told}");
    assert!(moorline(&["board", "check", &good]).status.success(), "a board is no rival of itself");
    assert_eq!(moorline(&["board", "check"]).status.code(), Some(2));
}

#[test]
fn every_board_file_is_good() {
    let files: Vec<String> = fs::read_dir(source("boards"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "toml"))
        .map(|p| p.to_str().unwrap().to_owned())
        .collect();
    let args: Vec<&str> = ["board", "check"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let done = moorline(&args);
    assert!(done.status.success() && files.len() >= 5, "{}", String::from_utf8_lossy(&done.stderr));
}
