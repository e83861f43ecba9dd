//! docs/models.md, made from the board files.

use std::fmt::Write as _;

use moorline::board::builtin;
use moorline::board::description::{Description, Known, Part, Rpm, word_of};

use super::documents::generated;

/// Models of which no open device tree was found, with what is known of each.
const GAPS: [(&str, &str); 4] = [
    ("WD My Cloud (gen 1)", "Comcerto 2000, with a kernel that knows no device trees"),
    ("WD My Cloud EX4", "Kirkwood 88F6282"),
    ("WD My Cloud EX2100", "Armada 385"),
    ("WD My Cloud EX4100", "Armada 388"),
];

fn is_real(board: &Description) -> bool {
    board.soc != "none" && !board.soc.starts_with("QEMU")
}

fn join(parts: Vec<String>) -> String {
    if parts.is_empty() { "–".to_owned() } else { parts.join(", ") }
}

fn known(board: &Description, wanted: Known) -> String {
    let is = |(_, part): &&(&'static str, Part)| board.knows(*part) == wanted;
    join(Part::ALL.iter().filter(is).map(|(name, _)| (*name).to_owned()).collect())
}

fn bays(board: &Description) -> String {
    let count = board.bay_count.map_or_else(|| "?".to_owned(), |n| n.to_string());
    match board.bays.len() {
        0 => format!("{count}, places not known"),
        n if board.bay_count.is_some_and(|c| usize::from(c) > n) => format!("{count}, place known of {n}"),
        _ => count,
    }
}

fn lights(board: &Description) -> String {
    let mut found = Vec::new();
    for (what, list) in [("fault", &board.fault_led), ("status", &board.status_led)] {
        found.extend(list.first().map(|name| format!("{what} `{name}`")));
    }
    for (what, count) in [
        ("fault", board.bays.iter().filter(|b| !b.fault_led.is_empty()).count()),
        ("activity", board.bays.iter().filter(|b| !b.activity_led.is_empty()).count()),
        ("ok", board.bays.iter().filter(|b| !b.ok_led.is_empty()).count()),
    ] {
        if count > 0 {
            found.push(format!("{what} of {count} {}", if count == 1 { "bay" } else { "bays" }));
        }
    }
    join(found)
}

fn fans(board: &Description) -> String {
    let fan = |f: &moorline::board::description::Fan| {
        let name = f.name.first().map_or("?", String::as_str);
        match f.rpm {
            None => format!("`{name}`"),
            Some(Rpm::None) => format!("`{name}` without speed"),
            Some(rpm) => format!("`{name}` {}", word_of(&Rpm::ALL, rpm)),
        }
    };
    match (board.knows(Part::Fans), board.fan_count) {
        (Known::Present, _) => join(board.fans.iter().map(fan).collect()),
        (Known::Absent, Some(n)) if n > 0 => format!("{n}, not the kernel's"),
        (Known::Absent, _) => "none that the kernel shows".to_owned(),
        (Known::Unknown, _) => "?".to_owned(),
    }
}

fn state(board: &Description) -> String {
    let mut places: Vec<String> = board.state.iter().map(|p| format!("`{p}`")).collect();
    if board.knows(Part::Flash) == Known::Absent {
        places.push("no flash".to_owned());
    }
    join(places)
}

#[test]
fn the_table_of_models_is_what_the_board_files_say() {
    let boards: Vec<Description> = builtin::all().into_iter().filter(is_real).collect();
    let mut text = "# Models\n\nGenerated from the files in `boards/`. [boards.md](boards.md) explains them; `moorline board show ID` tells one in full. `?` and \
                    \"unknown\" mean that nobody has said, \"absent\" that the box is known to have none, as far as the kernel shows it. The lights of a bay can be named only \
                    if its place is known.\n\n## What each has\n\n\
                    | model | id | SoC | ISA | bays | lights | buttons | fans | state | tested |\n|---|---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for b in &boards {
        let names = if b.covers.is_empty() { b.name.clone() } else { b.covers.join(", ") };
        let buttons = match b.knows(Part::Buttons) {
            Known::Present => join(b.buttons.iter().map(|b| b.name.clone()).collect()),
            Known::Absent => "none that the kernel shows".to_owned(),
            Known::Unknown => "?".to_owned(),
        };
        let tested = if b.verified_on_device { "on a device" } else { "from documents only" };
        writeln!(
            text,
            "| {names} | `{}` | {} | {} | {} | {} | {buttons} | {} | {} | {tested} |",
            b.id,
            b.soc,
            b.isa,
            bays(b),
            lights(b),
            fans(b),
            state(b)
        )
        .unwrap();
    }
    text += "\n## What is known\n\n| id | known | absent | unknown |\n|---|---|---|---|\n";
    for b in &boards {
        let [known, absent, unknown] = [Known::Present, Known::Absent, Known::Unknown].map(|k| known(b, k));
        writeln!(text, "| `{}` | {known} | {absent} | {unknown} |", b.id).unwrap();
    }
    text += "\n## Gaps\n\nNo open device tree of these was found, so there is no file for them. Whoever has one can write it \
             and put it in `/etc/moorline/boards`.\n\n| model | what is known |\n|---|---|\n";
    for (model, what) in GAPS {
        assert!(
            !boards.iter().any(|b| b.name == model || b.covers.iter().any(|c| c == model)),
            "{model} has a file"
        );
        writeln!(text, "| {model} | {what}. |").unwrap();
    }
    text += "\nNothing in the files was read from a device unless \"tested\" says so. Names of the network interfaces in the vendors' own kernels, and how the vendors' \
             software words the state of an array, are not known.\n";
    generated("docs/models.md", &text);
}
