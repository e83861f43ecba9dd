//! What a board file says: the schema, read with every complaint at its line. A core, also used by the build script.
//! docs/boards.md documents every key.
//!
//! Contract: a description that [`parse`] lets through names only plain light names (they become parts of paths that are
//! written to), bays by device path, and never an evaluation board's string alone.

use serde::{Deserialize, Serialize};

use crate::typed_toml::{Fault, Reader, Table};

/// The version of the schema that this software reads.
const SCHEMA: i64 = 1;
/// Evaluation boards whose strings vendors left in their products: they never identify a NAS.
pub const EVALUATION: [&str; 3] = ["marvell,a370-db", "marvell,a375-db", "marvell,a385-gp"];
/// Bays a box can have here.
pub const BAYS_MAX: usize = 8;
/// Buttons a box can have here.
pub const BUTTONS_MAX: usize = 8;
/// Fans a box can have here.
pub const FANS_MAX: usize = 8;
/// Entries of one list of a board file: more is a mistake, not a NAS.
const LIST_MAX: usize = 16;
/// Longest text of a list in bytes: sources are the longest, addresses in a repository.
const TEXT_MAX: usize = 200;

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
    /// Number of drive bays; `None`: not known.
    pub bay_count: Option<u8>,
    /// Drive bays whose path is known; may be fewer than `bay_count`.
    pub bays: Vec<Bay>,
    /// Its buttons.
    pub buttons: Vec<Button>,
    /// Number of fans; `None`: not known. Also counts those that sysfs does not show.
    pub fan_count: Option<u8>,
    /// Light that shows a fault of the box as a whole, under every name it has had; the first that is there counts.
    pub fault_led: Vec<String>,
    /// Light that shows the box as a whole at work, likewise.
    pub status_led: Vec<String>,
    /// Lights that the kernel drives, besides the bays' activity lights. The agent never writes to them.
    pub kernel_led: Vec<String>,
    /// Whether fault and status light are colours of one lamp, so that one must be dark while the other is to be seen.
    pub one_lamp: bool,
    /// hwmon driver names of its thermometers.
    pub temperatures: Vec<String>,
    /// hwmon driver names of its fans.
    pub fans: Vec<String>,
    /// Driver names of its clocks, the one to trust first.
    pub rtc: Vec<String>,
    /// Where the pairing state can be kept, the best first, as `[store] place` names it; empty: in the configured directory.
    pub state: Vec<String>,
    /// MTD partitions that are never touched.
    pub never_mtd: Vec<String>,
    /// What it is known not to have in sysfs.
    pub absent: Vec<Part>,
}

/// One way to recognise a board; all that is given must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// Exact texts of the device tree's `model`; empty: not looked at.
    pub model: Vec<String>,
    /// Entries of the device tree's `compatible`; empty: not looked at.
    pub compatible: Vec<String>,
    /// Exact texts of `Hardware` in /proc/cpuinfo, for kernels without a device tree; empty: not looked at.
    pub hardware: Vec<String>,
}

/// A drive bay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bay {
    /// As printed on the box, from 1.
    pub number: u8,
    /// What is printed on the box, where it is not the number.
    pub label: Option<String>,
    /// Part of the disk's device path in sysfs: controller address and port, never `sdX`.
    pub path: String,
    /// Light that shows a fault of this bay, under every name it has had. The agent's.
    pub fault_led: Vec<String>,
    /// Light that shows its disk at work, likewise. The kernel's.
    pub activity_led: Vec<String>,
}

/// A button that the kernel shows as an input device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Button {
    /// What it is called in events: `reset`, `usb-copy`.
    pub name: String,
    /// Name of the input device, under every name it has had.
    pub device: Vec<String>,
    /// Key code of <linux/input-event-codes.h>.
    pub code: u16,
}

/// A part of which a description says whether the box has it in sysfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// `leds.fault`.
    FaultLed,
    /// `leds.status`.
    StatusLed,
    /// `thermal.temperatures`.
    Temperatures,
    /// `thermal.fans`.
    Fans,
    /// `rtc`.
    Rtc,
}

/// What a description knows of something: three values, because a paper board must not pretend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known<T> {
    /// It is there, like this.
    Present(T),
    /// The box has none.
    Absent,
    /// Nobody has said.
    Unknown,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::FaultLed, Self::StatusLed, Self::Temperatures, Self::Fans, Self::Rtc];

    /// The word for `absent`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FaultLed => "fault-led",
            Self::StatusLed => "status-led",
            Self::Temperatures => "temperatures",
            Self::Fans => "fans",
            Self::Rtc => "rtc",
        }
    }
}

impl Description {
    /// What is known of a part: its names, that there is none, or nothing.
    pub fn knows(&self, part: Part) -> Known<&[String]> {
        let names = self.names(part);
        match names {
            [] if self.absent.contains(&part) => Known::Absent,
            [] => Known::Unknown,
            [_, ..] => Known::Present(names),
        }
    }

    fn names(&self, part: Part) -> &[String] {
        match part {
            Part::FaultLed => &self.fault_led,
            Part::StatusLed => &self.status_led,
            Part::Temperatures => &self.temperatures,
            Part::Fans => &self.fans,
            Part::Rtc => &self.rtc,
        }
    }

    /// Whether the light belongs to the kernel: the agent never writes to it.
    pub fn is_kernels(&self, light: &str) -> bool {
        let bays = self.bays.iter().flat_map(|b| &b.activity_led);
        self.kernel_led.iter().chain(bays).any(|l| l == light)
    }

    /// Whether its mirrors run on one disk by design.
    pub fn is_single_disk(&self) -> bool {
        self.bay_count == Some(1)
    }
}

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
    if t.integer(r, "schema", SCHEMA, SCHEMA).is_none() && r.is_content() {
        let help = format!("write schema = {SCHEMA}");
        r.complain(0, "missing-key", "schema is missing".into(), help);
    }
    let (id, name, soc, isa) =
        (t.required(r, "id"), t.required(r, "name"), t.required(r, "soc"), t.required(r, "isa"));
    let verified_on_device = t.boolean(r, "verified_on_device").is_some_and(|b| b.value);
    let source = texts(r, &mut t, "source");
    if source.is_empty() {
        r.complain(0, "missing-key", "source is missing".into(), "say where the facts are from".into());
    }
    let matches = matches(r, &mut t);
    let bay_count = count(r, &mut t, "bay_count", BAYS_MAX);
    let bays = bays(r, &mut t, bay_count);
    let buttons = buttons(r, &mut t);
    let fan_count = count(r, &mut t, "fan_count", FANS_MAX);
    let ([fault_led, status_led, kernel_led], one_lamp) = leds(r, &mut t);
    let [temperatures, fans] = match t.table(r, "thermal") {
        Some(table) => lists(r, table, ["temperatures", "fans"]),
        None => Default::default(),
    };
    let rtc = texts(r, &mut t, "rtc");
    let [state, never_mtd] = state(r, &mut t);
    let absent = absent(r, &mut t);
    t.finish(r);
    let isa = isa.filter(|isa| is_isa(r, isa.at, &isa.value));
    let id = id.filter(|id| is_id(r, id.at, &id.value));
    let (id, name, soc, isa) = (id?.value, name?.value, soc?.value, isa?.value);
    let bay_count = bay_count.or_else(|| u8::try_from(bays.len()).ok().filter(|n| *n > 0));
    #[rustfmt::skip]
    let found = Description {
        id, name, soc, isa, verified_on_device, source, matches, bay_count, bays, buttons, fan_count,
        fault_led, status_led, kernel_led, one_lamp, temperatures, fans, rtc, state, never_mtd, absent,
    };
    contradictions(r, &found);
    Some(found)
}

fn is_id(r: &mut Reader<'_>, at: usize, id: &str) -> bool {
    let good = !id.is_empty() && id.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if !good {
        r.complain(at, "bad-name", format!("the name is {id:?}"), "write a-z, 0-9 and - only".into());
    }
    good
}

fn is_isa(r: &mut Reader<'_>, at: usize, isa: &str) -> bool {
    let good = ["armv5te", "armv7", "aarch64", "any"].contains(&isa);
    if !good {
        let help = "write \"armv5te\", \"armv7\", \"aarch64\" or \"any\"".into();
        r.complain(at, "bad-value", format!("isa is {isa:?}"), help);
    }
    good
}

fn count<'t>(r: &mut Reader<'t>, t: &mut Table<'t>, key: &'static str, most: usize) -> Option<u8> {
    let found = t.integer(r, key, 0, i64::try_from(most).unwrap_or(i64::MAX))?;
    u8::try_from(found.value).ok()
}

/// A list of texts, bounded.
fn texts<'t>(r: &mut Reader<'t>, t: &mut Table<'t>, key: &'static str) -> Vec<String> {
    let Some(list) = t.strings(r, key) else { return Vec::new() };
    if list.value.len() > LIST_MAX {
        let help = format!("{LIST_MAX} entries are the most");
        r.complain(list.at, "too-many", format!("{key} has {} entries", list.value.len()), help);
    }
    let mut found = Vec::new();
    for item in list.value.into_iter().take(LIST_MAX) {
        if item.value.is_empty() || item.value.len() > TEXT_MAX {
            let help = format!("write 1 to {TEXT_MAX} bytes");
            r.complain(item.at, "bad-value", format!("{key} has an entry that is empty or too long"), help);
        }
        found.push(item.value);
    }
    found
}

/// The lists that are all there is in a sub-table.
fn lists<'t, const N: usize>(
    r: &mut Reader<'t>,
    mut table: Table<'t>,
    keys: [&'static str; N],
) -> [Vec<String>; N] {
    let found = keys.map(|key| texts(r, &mut table, key));
    table.finish(r);
    found
}

fn leds<'t>(r: &mut Reader<'t>, t: &mut Table<'t>) -> ([Vec<String>; 3], bool) {
    let Some(mut table) = t.table(r, "leds") else { return Default::default() };
    let at = table.at();
    let one_lamp = table.boolean(r, "one_lamp").is_some_and(|b| b.value);
    let found = lists(r, table, ["fault", "status", "kernel"]);
    found.iter().for_each(|names| plain(r, at, names));
    (found, one_lamp)
}

/// Light names become parts of paths: plain names only.
fn plain(r: &mut Reader<'_>, at: usize, names: &[String]) {
    for name in names.iter().filter(|n| n.contains(['/', '\0']) || n.starts_with('.')) {
        let help = "write the name as /sys/class/leds shows it".into();
        r.complain(at, "bad-name", format!("{name:?} is no name of a light"), help);
    }
}

fn matches<'t>(r: &mut Reader<'t>, t: &mut Table<'t>) -> Vec<Match> {
    let mut list = Vec::new();
    for mut table in t.tables(r, "match").into_iter().take(LIST_MAX) {
        let at = table.at();
        let model = texts(r, &mut table, "model");
        let compatible = texts(r, &mut table, "compatible");
        let hardware = texts(r, &mut table, "hardware");
        table.finish(r);
        if model.is_empty() && compatible.is_empty() && hardware.is_empty() {
            let help = "give model, compatible or hardware".into();
            r.complain(at, "missing-key", "a match matches everything".into(), help);
        }
        let found = Match { model, compatible, hardware };
        if found.is_evaluation_only() {
            let help = "an evaluation board's string is found on many products: give model as well".into();
            r.complain(at, "evaluation-board", "a match by an evaluation board's string alone".into(), help);
        }
        list.push(found);
    }
    if list.is_empty() {
        let help = "add [[match]] with model or compatible".into();
        r.complain(0, "missing-key", "match is missing".into(), help);
    }
    list
}

impl Match {
    /// Whether one string that many products share would be enough.
    pub fn is_evaluation_only(&self) -> bool {
        self.model.is_empty()
            && self.hardware.is_empty()
            && self.compatible.iter().any(|c| EVALUATION.contains(&c.as_str()))
    }

    /// Whether some box fits both: they share a string, and nothing else keeps them apart.
    fn overlaps(&self, other: &Self) -> bool {
        let kinds = [
            (&self.model, &other.model),
            (&self.compatible, &other.compatible),
            (&self.hardware, &other.hardware),
        ];
        let shares = |(a, b): &(&Vec<String>, &Vec<String>)| a.iter().any(|text| b.contains(text));
        let apart =
            |(a, b): &(&Vec<String>, &Vec<String>)| !a.is_empty() && !b.is_empty() && !shares(&(a, b));
        kinds.iter().any(shares) && !kinds.iter().any(apart)
    }
}

fn bays<'t>(r: &mut Reader<'t>, t: &mut Table<'t>, count: Option<u8>) -> Vec<Bay> {
    let most = count.map_or(BAYS_MAX, usize::from);
    let mut list: Vec<Bay> = Vec::new();
    for table in t.tables(r, "bay").into_iter().take(LIST_MAX) {
        let at = table.at();
        let Some(bay) = bay(r, table, most) else { continue };
        if list.iter().any(|b| b.number == bay.number || b.path == bay.path) {
            let help = "give each bay a number and a path of its own".into();
            r.complain(at, "impossible", format!("bay {} is there twice", bay.number), help);
        }
        list.push(bay);
    }
    list
}

fn bay<'t>(r: &mut Reader<'t>, mut table: Table<'t>, most: usize) -> Option<Bay> {
    let at = table.at();
    let number = table.integer(r, "number", 1, i64::try_from(most).unwrap_or(i64::MAX));
    let label = table.string(r, "label").map(|l| l.value);
    let path = table.required(r, "path");
    let fault_led = texts(r, &mut table, "fault_led");
    let activity_led = texts(r, &mut table, "activity_led");
    table.finish(r);
    plain(r, at, &fault_led);
    plain(r, at, &activity_led);
    let path = path?;
    // Without the slash ata1 would also be ata12; without a controller it would be any port 1.
    let parts = path.value.strip_suffix('/').map_or(0, |p| p.split('/').filter(|p| !p.is_empty()).count());
    if parts < 2 || path.value.contains("block/") {
        let help = "write controller and port with a slash behind each: \"f10a8000.sata/ata1/\"".into();
        r.complain(path.at, "bad-value", format!("path is {:?}", path.value), help);
    }
    let number = u8::try_from(number?.value).ok()?;
    Some(Bay { number, label, path: path.value, fault_led, activity_led })
}

fn buttons<'t>(r: &mut Reader<'t>, t: &mut Table<'t>) -> Vec<Button> {
    let mut list: Vec<Button> = Vec::new();
    for mut table in t.tables(r, "button").into_iter().take(BUTTONS_MAX) {
        let at = table.at();
        let name = table.required(r, "name");
        let device = texts(r, &mut table, "device");
        let code = table.integer(r, "code", 1, 0x2ff);
        table.finish(r);
        if device.is_empty() || code.is_none() {
            let help = "give device, as /sys/class/input/*/device/name shows it, and code".into();
            r.complain(at, "missing-key", "a button without device or code".into(), help);
        }
        let (Some(name), Some(code)) = (name, code.and_then(|c| u16::try_from(c.value).ok())) else {
            continue;
        };
        if list.iter().any(|b| b.code == code && b.device.iter().any(|d| device.contains(d))) {
            let help = "give each button a code of its own".into();
            r.complain(at, "impossible", format!("two buttons have the code {code}"), help);
        }
        if is_id(r, name.at, &name.value) {
            list.push(Button { name: name.value, device, code });
        }
    }
    list
}

/// `[state]`. The places are checked by their form only: which of them is used is decided on the box.
fn state<'t>(r: &mut Reader<'t>, t: &mut Table<'t>) -> [Vec<String>; 2] {
    let Some(table) = t.table(r, "state") else { return Default::default() };
    let at = table.at();
    let [places, never] = lists(r, table, ["try", "never_mtd"]);
    for place in &places {
        let name = place.split_once(':').filter(|(kind, name)| match *kind {
            "dir" => name.starts_with('/'),
            "mtd" | "ubi" => !name.is_empty(),
            _ => false,
        });
        match name {
            None => {
                let help = "write dir:/PATH, mtd:NAME or ubi:NAME".into();
                r.complain(at, "bad-value", format!("{place:?} is no place for the store"), help);
            }
            Some(("mtd", name)) if never.iter().any(|n| n == name) => {
                let help = "take it out of one of the two lists".into();
                r.complain(at, "impossible", format!("{name} is to be tried and never to be touched"), help);
            }
            Some(_) => {}
        }
    }
    [places, never]
}

fn absent<'t>(r: &mut Reader<'t>, t: &mut Table<'t>) -> Vec<Part> {
    let Some(list) = t.strings(r, "absent") else { return Vec::new() };
    let mut found = Vec::new();
    for item in list.value {
        match Part::ALL.into_iter().find(|p| p.name() == item.value) {
            Some(part) if !found.contains(&part) => found.push(part),
            Some(_) => {}
            None => {
                let known = Part::ALL.map(Part::name).join(", ");
                let message = format!("absent names {:?}", item.value);
                r.complain(item.at, "bad-value", message, format!("known here: {known}"));
            }
        }
    }
    found
}

/// What cannot all be true.
fn contradictions(r: &mut Reader<'_>, d: &Description) {
    for part in d.absent.iter().filter(|p| !d.names(**p).is_empty()) {
        let message = format!("{} is absent and has a name", part.name());
        r.complain(0, "impossible", message, "take out one of the two".into());
    }
    let agents = d.bays.iter().flat_map(|b| &b.fault_led).chain(&d.fault_led).chain(&d.status_led);
    for light in agents.filter(|l| d.is_kernels(l)) {
        let message = format!("the light {light} is the kernel's and the agent's");
        r.complain(0, "impossible", message, "a light has one owner".into());
    }
}

/// Boards that a box could be at the same time, or that have the same id: pairs of positions. None in what ships.
pub fn conflicts(boards: &[Description]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (i, a) in boards.iter().enumerate() {
        for (j, b) in boards.iter().enumerate().skip(i + 1) {
            if a.id == b.id || a.matches.iter().any(|m| b.matches.iter().any(|n| m.overlaps(n))) {
                found.push((i, j));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "schema = 1\nid = \"x\"\nname = \"X\"\nsoc = \"s\"\nisa = \"armv7\"\nsource = [\"y\"]\n\
                        #more\n[[match]]\nmodel = [\"X\"]\n";
    const BAY: &str = "[[bay]]\nnumber = 1\npath = \"a.sata/ata1/\"\n";

    fn with(more: &str) -> String {
        GOOD.replace("#more", more)
    }

    #[track_caller]
    fn codes(text: &str, expect: &[&str]) {
        let found: Vec<&str> = parse(text).unwrap_err().iter().map(|f| f.code).collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn the_least_board_is_a_board() {
        let board = parse(GOOD).unwrap();
        assert_eq!((board.id.as_str(), board.bay_count, board.verified_on_device), ("x", None, false));
    }

    #[test]
    fn mistakes_are_named() {
        codes(&format!("{GOOD}models = [\"y\"]\n"), &["unknown-key"]);
        codes(&GOOD.replace("armv7", "mips"), &["bad-value"]);
        codes(&GOOD.replace("\"x\"", "\"X y\""), &["bad-name"]);
        codes(&GOOD.replace("schema = 1", "schema = 2"), &["out-of-range"]);
        codes(&GOOD.replace("schema = 1", ""), &["missing-key"]);
        codes(&GOOD.replace("model = [\"X\"]", ""), &["missing-key"]);
        codes(&GOOD.replace("model = [\"X\"]", "compatible = [\"marvell,a370-db\"]"), &["evaluation-board"]);
        codes(&format!("{GOOD}{BAY}{BAY}"), &["impossible"]);
        codes(&format!("{GOOD}{}", BAY.replace("= 1", "= 9")), &["out-of-range"]);
        codes(&with("bay_count = 9"), &["out-of-range"]);
        codes(&format!("{}{}", with("bay_count = 2"), BAY.replace("= 1", "= 3")), &["out-of-range"]);
        codes(&with("fan_count = \"2\""), &["wrong-type"]);
        codes(&with("absent = [\"wheels\"]"), &["bad-value"]);
        codes(&with(&format!("rtc = [{}]", "\"a\",".repeat(17))), &["too-many"]);
        codes("", &["missing-key"; 7]);
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        let fault = parse(&with("fan_count = 99")).unwrap_err().remove(0);
        assert_eq!((fault.line, fault.column), (7, 13));
    }

    #[test]
    fn a_bay_path_names_controller_and_port_and_ends() {
        for path in ["sda", "ata1/", "a.sata/ata1", "a.sata/ata1/host0/block/sda/", ""] {
            codes(&format!("{GOOD}{}", BAY.replace("a.sata/ata1/", path)), &["bad-value"]);
        }
    }

    #[test]
    fn light_names_cannot_leave_their_directory() {
        codes(&format!("{GOOD}[leds]\nfault = [\"../../x\"]\n"), &["bad-name"]);
        codes(&format!("{GOOD}{BAY}fault_led = [\"a/b\"]\n"), &["bad-name"]);
    }

    #[test]
    fn known_absent_and_unknown_are_three() {
        let board = parse(&with("absent = [\"fans\"]\nrtc = [\"rtc-a\", \"rtc-b\"]")).unwrap();
        assert_eq!(board.knows(Part::Fans), Known::Absent);
        assert_eq!(board.knows(Part::Temperatures), Known::Unknown);
        assert_eq!(board.knows(Part::Rtc), Known::Present(&["rtc-a".to_owned(), "rtc-b".to_owned()][..]));
        codes(&with("absent = [\"rtc\"]\nrtc = [\"a\"]"), &["impossible"]);
    }

    #[test]
    fn a_light_has_one_owner() {
        codes(&format!("{GOOD}[leds]\nfault = [\"r\"]\nkernel = [\"r\"]\n"), &["impossible"]);
        codes(&format!("{GOOD}{BAY}fault_led = [\"r\"]\nactivity_led = [\"r\"]\n"), &["impossible"]);
    }

    #[test]
    fn one_bay_is_a_single_disk() {
        assert!(parse(&format!("{GOOD}{BAY}")).unwrap().is_single_disk());
        assert!(!parse(&format!("{}{BAY}", with("bay_count = 2"))).unwrap().is_single_disk());
    }

    #[test]
    fn boards_that_one_box_could_be_are_conflicts() {
        let board = |id: &str, matched: &str| {
            parse(&GOOD.replace("\"x\"", &format!("{id:?}")).replace("model = [\"X\"]", matched)).unwrap()
        };
        let shared = "compatible = [\"marvell,a370-db\"]";
        let (a, b) = (
            board("a", &format!("model = [\"A\"]\n{shared}")),
            board("b", &format!("model = [\"B\"]\n{shared}")),
        );
        assert_eq!(conflicts(&[a.clone(), b.clone()]), [], "the models keep them apart");
        assert_eq!(conflicts(&[a.clone(), b, board("c", "model = [\"A\"]")]), [(0, 2)]);
        assert_eq!(conflicts(&[a, board("a", "model = [\"C\"]")]), [(0, 1)], "the same id");
    }

    #[test]
    fn arbitrary_text_never_panics() {
        proptest::proptest!(|(text in "([a-z_]{1,10} = |\\[\\[?|\\]\\]?|\"[^\"]{0,4}\"|match|bay|[0-9]{1,4}|\\n|.){0,40}")| {
            let _ = parse(&text);
        });
    }
}
