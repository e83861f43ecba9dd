//! What a board file says: the schema, read with every complaint at its line. A core, also used by the build script.
//! docs/boards.md documents every key.

use serde::{Deserialize, Serialize};

use crate::typed_toml::{Fault, Reader, Table};

/// The version of the schema that this software reads.
const SCHEMA: i64 = 1;

/// One NAS model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Stable name: `[a-z0-9-]`.
    pub id: String,
    /// The model as people know it.
    pub name: String,
    /// System on chip.
    pub soc: String,
    /// `armv5te`, `armv7`, `aarch64` or `any`.
    pub isa: String,
    /// Whether somebody tested it on a device; otherwise it comes from documents only.
    pub verified_on_device: bool,
    /// Where the facts are from.
    pub source: Vec<String>,
    /// Ways to recognise it; any one is enough.
    pub matches: Vec<Match>,
    /// Drive bays; empty: not known.
    pub bays: Vec<Bay>,
    /// Lights that show a fault of the box as a whole, each under every name it has had; the first that is there counts.
    pub fault_led: Vec<String>,
}

/// One way to recognise a board; all that is given must fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// Exact texts of the device tree's `model`; empty: not looked at.
    pub model: Vec<String>,
    /// Entries of the device tree's `compatible`; empty: not looked at.
    pub compatible: Vec<String>,
}

/// A drive bay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bay {
    /// As printed on the box.
    pub number: u8,
    /// Part of the disk's device path in sysfs: controller address and port, never `sdX`.
    pub path: String,
    /// Light that shows a fault of this bay, under every name it has had.
    pub fault_led: Vec<String>,
}

/// Evaluation boards whose strings vendors left in their products: they never identify a NAS.
const EVALUATION: [&str; 3] = ["marvell,a370-db", "marvell,a375-db", "marvell,a385-gp"];
/// Bays a box can have here.
const BAYS_MAX: i64 = 8;

/// Reads a board file.
///
/// # Errors
/// Every complaint, in the order of the file.
pub fn parse(text: &str) -> Result<Description, Vec<Fault>> {
    let (mut reader, table) = Reader::new(text);
    let description = table.and_then(|table| root(&mut reader, table));
    match description {
        Some(description) if reader.is_content() => Ok(description),
        Some(_) | None => Err(reader.finish()),
    }
}

fn root<'t>(r: &mut Reader<'t>, mut t: Table<'t>) -> Option<Description> {
    t.integer(r, "schema", SCHEMA, SCHEMA);
    let id = t.required(r, "id");
    let name = t.required(r, "name");
    let soc = t.required(r, "soc");
    let isa = t.required(r, "isa");
    let verified = t.boolean(r, "verified_on_device").is_some_and(|b| b.value);
    let source = texts(r, &mut t, "source");
    let matches = matches(r, &mut t);
    let bays = bays(r, &mut t);
    let fault_led = match t.table(r, "leds") {
        Some(mut leds) => {
            let names = texts(r, &mut leds, "fault");
            leds.finish(r);
            names
        }
        None => Vec::new(),
    };
    t.finish(r);
    if source.is_empty() {
        r.complain(0, "missing-key", "source is missing".into(), "say where the facts are from".into());
    }
    let (id, name, soc, isa) = (id?, name?, soc?, isa?);
    if id.value.is_empty()
        || !id.value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    {
        r.complain(id.at, "bad-name", format!("id is {:?}", id.value), "write a-z, 0-9 and - only".into());
    }
    if !["armv5te", "armv7", "aarch64", "any"].contains(&isa.value.as_str()) {
        let help = "write \"armv5te\", \"armv7\", \"aarch64\" or \"any\"".into();
        r.complain(isa.at, "bad-value", format!("isa is {:?}", isa.value), help);
    }
    let (id, name, soc, isa) = (id.value, name.value, soc.value, isa.value);
    Some(Description { id, name, soc, isa, verified_on_device: verified, source, matches, bays, fault_led })
}

fn texts<'t>(r: &mut Reader<'t>, t: &mut Table<'t>, key: &'static str) -> Vec<String> {
    t.strings(r, key).map(|list| list.value.into_iter().map(|s| s.value).collect()).unwrap_or_default()
}

fn matches<'t>(r: &mut Reader<'t>, t: &mut Table<'t>) -> Vec<Match> {
    let mut list = Vec::new();
    for mut table in t.tables(r, "match") {
        let at = table.at();
        let found =
            Match { model: texts(r, &mut table, "model"), compatible: texts(r, &mut table, "compatible") };
        table.finish(r);
        if found.model.is_empty() && found.compatible.is_empty() {
            r.complain(
                at,
                "missing-key",
                "a match matches everything".into(),
                "give model or compatible".into(),
            );
        }
        if found.model.is_empty() && found.compatible.iter().any(|c| EVALUATION.contains(&c.as_str())) {
            let help = "an evaluation board's string is found on many products: give model as well".into();
            r.complain(at, "evaluation-board", "a match by an evaluation board's string alone".into(), help);
        }
        list.push(found);
    }
    if list.is_empty() {
        r.complain(
            0,
            "missing-key",
            "match is missing".into(),
            "add [[match]] with model or compatible".into(),
        );
    }
    list
}

fn bays<'t>(r: &mut Reader<'t>, t: &mut Table<'t>) -> Vec<Bay> {
    let mut list: Vec<Bay> = Vec::new();
    for mut table in t.tables(r, "bay") {
        let at = table.at();
        let number = table.integer(r, "number", 1, BAYS_MAX);
        let path = table.required(r, "path");
        let fault_led = texts(r, &mut table, "fault_led");
        table.finish(r);
        let (Some(number), Some(path)) = (number, path) else { continue };
        let bay = Bay { number: u8::try_from(number.value).unwrap_or(0), path: path.value, fault_led };
        if list.iter().any(|b| b.number == bay.number || b.path == bay.path) {
            let help = "give each bay a number and a path of its own".into();
            r.complain(at, "impossible", format!("bay {} is there twice", bay.number), help);
        }
        list.push(bay);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "schema = 1\nid = \"x\"\nname = \"X\"\nsoc = \"s\"\nisa = \"armv7\"\nsource = [\"y\"]\n[[match]]\nmodel = [\"X\"]\n";

    #[track_caller]
    fn codes(text: &str, expect: &[&str]) {
        let found: Vec<&str> = parse(text).unwrap_err().iter().map(|f| f.code).collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn the_least_board_is_a_board() {
        assert_eq!(parse(GOOD).unwrap().id, "x");
    }

    #[test]
    fn mistakes_are_named() {
        codes(&format!("{GOOD}models = [\"y\"]\n"), &["unknown-key"]);
        codes(&GOOD.replace("armv7", "mips"), &["bad-value"]);
        codes(&GOOD.replace("schema = 1", "schema = 2"), &["out-of-range"]);
        codes(&GOOD.replace("model = [\"X\"]", ""), &["missing-key"]);
        codes(&GOOD.replace("model = [\"X\"]", "compatible = [\"marvell,a370-db\"]"), &["evaluation-board"]);
        let bay = "[[bay]]\nnumber = 1\npath = \"a\"\n";
        codes(&format!("{GOOD}{bay}{bay}"), &["impossible"]);
        codes(&format!("{GOOD}[[bay]]\nnumber = 9\npath = \"a\"\n"), &["out-of-range"]);
        codes("", &["missing-key"; 6]);
    }
}
