//! A description in full, for people and as JSON, from one list of rows: every part is there, or known to be absent, or not
//! known, and the three look different. A core.

use serde_json::{Map, Value, json};

use super::catalogue::Origin;
use super::description::array::{Degraded, MdRole};
use super::description::{
    Backend, Bay, Button, Cell, Colour, Description, Fan, FanOwner, Format, Input, Known, Match, McuKind,
    McuPart, MdArray, Medium, Nic, Part, Role, Rpm, Slot, Temperature, Watchdog, word_of,
};

/// Columns of the terminal.
const WIDTH: usize = 80;
/// Columns of the names of rows.
const NAMES: usize = 17;

/// What a row says.
enum Field {
    /// Nobody has said.
    Unknown,
    /// The box has none.
    Absent,
    /// A word, a sentence.
    Text(String),
    /// A count.
    Number(u32),
    /// Yes or no.
    Flag(bool),
    /// Names of one thing: the first that is there counts.
    Names(Vec<String>),
    /// Sentences, each on a line of its own.
    Lines(Vec<String>),
    /// Things with several properties each.
    Things(Vec<Row>),
}

type Row = Vec<(&'static str, Field)>;

/// The word for "tested or not", wherever a board is named.
pub const fn proof(board: &Description) -> &'static str {
    if board.verified_on_device { "tested on a device" } else { "from documents only" }
}

/// One line of the list: at most 80 columns.
pub fn line(board: &Description, origin: Origin) -> String {
    let bays = board.bay_count.map_or_else(|| "?".to_owned(), |n| n.to_string());
    let text = format!(
        "{:<24} {:<8} {bays:>2} {:<5} {:<19}  {}",
        board.id,
        board.isa,
        if bays == "1" { "bay" } else { "bays" },
        proof(board),
        if origin == Origin::Builtin { "" } else { origin.name() }
    );
    text.trim_end().to_owned()
}

/// The same as JSON.
pub fn summary(board: &Description, origin: Origin) -> Value {
    json!({
        "id": board.id, "name": board.name, "isa": board.isa, "bays": board.bay_count,
        "verified_on_device": board.verified_on_device, "origin": origin.name(),
    })
}

/// Everything, for people.
pub fn text(board: &Description, origin: Origin) -> String {
    let mut out = format!("{} ({}): {}\n", board.name, board.id, proof(board));
    for (name, field) in rows(board, origin) {
        let (mut name, lines) = (words(name), told(&field));
        for line in lines {
            wrap(&mut out, &name, &line);
            name.clear();
        }
    }
    out
}

/// Everything, as JSON: `null` is not known, `false` known to be absent.
pub fn value(board: &Description, origin: Origin) -> Value {
    object(rows(board, origin))
}

fn object(row: Row) -> Value {
    let fields = row.into_iter().filter(|(name, _)| !name.is_empty());
    Value::Object(fields.map(|(name, field)| (name.to_owned(), plain(field))).collect::<Map<_, _>>())
}

fn plain(field: Field) -> Value {
    match field {
        Field::Unknown => Value::Null,
        Field::Absent => Value::Bool(false),
        Field::Text(text) => text.into(),
        Field::Number(number) => number.into(),
        Field::Flag(flag) => flag.into(),
        Field::Names(list) | Field::Lines(list) => list.into(),
        Field::Things(list) => list.into_iter().map(object).collect(),
    }
}

fn words(name: &str) -> String {
    name.replace('_', " ")
}

fn told(field: &Field) -> Vec<String> {
    match field {
        Field::Unknown => vec!["not known".to_owned()],
        Field::Absent => vec!["none".to_owned()],
        Field::Text(text) => vec![text.clone()],
        Field::Number(number) => vec![number.to_string()],
        Field::Flag(flag) => vec![if *flag { "yes" } else { "no" }.to_owned()],
        Field::Names(names) => vec![names.join(" or ")],
        Field::Lines(lines) => lines.clone(),
        Field::Things(things) => things.iter().map(thing).collect(),
    }
}

fn thing(row: &Row) -> String {
    let said = row.iter().filter(|(_, field)| !matches!(field, Field::Unknown));
    let pairs: Vec<String> =
        said.map(|(name, field)| format!("{} {}", words(name), told(field).join(" and "))).collect();
    pairs.join(", ")
}

/// Adds a row, folded between words; a word that is longer than a line stays whole.
fn wrap(out: &mut String, name: &str, text: &str) {
    let mut used = NAMES;
    *out += &format!("  {name:<15}");
    for (at, word) in text.split(' ').enumerate() {
        let wanted = word.chars().count() + usize::from(at > 0);
        if at > 0 && used + wanted > WIDTH {
            *out += &format!("\n{:NAMES$}", "");
            used = NAMES + wanted - 1;
        } else {
            used += wanted;
            *out += if at > 0 { " " } else { "" };
        }
        *out += word;
    }
    out.push('\n');
}

fn rows(b: &Description, origin: Origin) -> Row {
    let part = |part: Part, there: fn(&Description) -> Field| match b.knows(part) {
        Known::Present => there(b),
        Known::Absent => Field::Absent,
        Known::Unknown => Field::Unknown,
    };
    vec![
        ("id", text_of(&b.id)),
        ("name", text_of(&b.name)),
        ("origin", text_of(origin.name())),
        ("soc", text_of(&b.soc)),
        ("isa", text_of(&b.isa)),
        ("verified_on_device", Field::Flag(b.verified_on_device)),
        ("covers", if b.covers.is_empty() { Field::Unknown } else { Field::Lines(b.covers.clone()) }),
        ("matches", Field::Things(b.matches.iter().map(matched).collect())),
        ("bay_count", number(b.bay_count)),
        ("bays", things(&b.bays, bay)),
        ("bay_fault_led", part(Part::BayFaultLed, |_| text_of("see bays"))),
        ("bay_activity_led", part(Part::BayActivityLed, |_| text_of("see bays"))),
        ("bay_ok_led", part(Part::BayOkLed, |_| text_of("see bays"))),
        ("fault_led", part(Part::FaultLed, |b| light(&b.fault_led))),
        ("status_led", part(Part::StatusLed, |b| light(&b.status_led))),
        ("kernel_led", names(&b.kernel_led)),
        ("one_lamp", Field::Flag(b.one_lamp)),
        ("colours", things(&b.colours, |c| vec![(word_of(&Colour::ALL, c.colour), names(&c.names))])),
        ("buttons", part(Part::Buttons, |b| things(&b.buttons, button))),
        ("temperatures", part(Part::Temperatures, |b| things(&b.temperatures, temperature))),
        ("fan_count", number(b.fan_count)),
        ("fans", part(Part::Fans, |b| things(&b.fans, fan))),
        ("mcu", part(Part::Mcu, |b| things(b.mcu.as_slice(), mcu))),
        ("console", optional(b.console.as_deref())),
        ("rtc", part(Part::Rtc, |b| names(&b.rtc))),
        ("watchdog", part(Part::Watchdog, |b| b.watchdog.as_ref().map_or(Field::Unknown, watchdog))),
        ("nic_count", number(b.nic_count)),
        ("nics", things(&b.nics, nic)),
        ("mac", part(Part::Mac, |b| things(b.mac.as_slice(), cell))),
        ("serial", part(Part::Serial, |b| things(b.serial.as_slice(), cell))),
        ("arrays", things(&b.arrays, array)),
        ("state", names(&b.state)),
        ("state_fs", names(&b.state_fs)),
        ("flash", part(Part::Flash, |_| text_of("see state"))),
        (
            "never_mtd",
            if b.never_mtd.is_empty() { Field::Unknown } else { Field::Lines(b.never_mtd.clone()) },
        ),
        ("notes", if b.notes.is_empty() { Field::Unknown } else { Field::Lines(b.notes.clone()) }),
        ("source", Field::Lines(b.source.clone())),
    ]
}

fn text_of(text: &str) -> Field {
    Field::Text(text.to_owned())
}

fn optional(text: Option<&str>) -> Field {
    text.map_or(Field::Unknown, text_of)
}

fn number(number: Option<u8>) -> Field {
    number.map_or(Field::Unknown, |n| Field::Number(n.into()))
}

fn names(list: &[String]) -> Field {
    if list.is_empty() { Field::Unknown } else { Field::Names(list.to_vec()) }
}

/// A light says where it is if that is not the kernel.
fn light(list: &[String]) -> Field {
    let one = |name: &String| match Backend::of(name) {
        Backend::Sysfs(_) => name.clone(),
        Backend::Mcu(_) => format!("{name} (behind the microcontroller)"),
    };
    Field::Names(list.iter().map(one).collect())
}

fn things<T>(list: &[T], row: fn(&T) -> Row) -> Field {
    if list.is_empty() { Field::Unknown } else { Field::Things(list.iter().map(row).collect()) }
}

fn word<T: PartialEq>(words: &[(&'static str, T)], value: Option<T>) -> Field {
    value.map_or(Field::Unknown, |v| text_of(word_of(words, v)))
}

fn matched(m: &Match) -> Row {
    let memory = m.memory_mib.map(|(low, high)| format!("{low} to {high}"));
    vec![
        ("model", names(&m.model)),
        ("compatible", names(&m.compatible)),
        ("hardware", names(&m.hardware)),
        ("memory_mib", optional(memory.as_deref())),
        ("mtd", if m.mtd.is_empty() { Field::Unknown } else { Field::Lines(m.mtd.clone()) }),
        ("sata_ports", number(m.sata_ports)),
    ]
}

fn bay(bay: &Bay) -> Row {
    let (path, controller, port) = match &bay.slot {
        Slot::Path(path) => (Some(path.as_str()), None, None),
        Slot::Port { controller, port } => (None, Some(controller.as_str()), Some(*port)),
    };
    vec![
        ("number", Field::Number(bay.number.into())),
        ("label", optional(bay.label.as_deref())),
        ("path", optional(path)),
        ("controller", optional(controller)),
        ("port", number(port)),
        ("fault_led", names(&bay.fault_led)),
        ("activity_led", names(&bay.activity_led)),
        ("ok_led", names(&bay.ok_led)),
        ("regulator", optional(bay.regulator.as_deref())),
    ]
}

fn button(button: &Button) -> Row {
    vec![
        ("name", text_of(&button.name)),
        ("role", word(&Role::ALL, Some(button.role))),
        ("type", word(&Input::ALL, Some(button.input))),
        ("code", Field::Number(button.code.into())),
        ("device", names(&button.device)),
    ]
}

fn temperature(t: &Temperature) -> Row {
    vec![
        ("name", names(&t.name)),
        ("device", optional(t.device.as_deref())),
        ("label", optional(t.label.as_deref())),
    ]
}

fn fan(f: &Fan) -> Row {
    vec![
        ("name", names(&f.name)),
        ("device", optional(f.device.as_deref())),
        ("label", optional(f.label.as_deref())),
        ("rpm", word(&Rpm::ALL, f.rpm)),
        ("owner", word(&FanOwner::ALL, f.owner)),
    ]
}

fn mcu(m: &super::description::Mcu) -> Row {
    let has: Vec<String> = m.has.iter().map(|p| word_of(&McuPart::ALL, *p).to_owned()).collect();
    vec![
        ("kind", word(&McuKind::ALL, Some(m.kind))),
        ("tty", optional(m.tty.as_deref())),
        ("has", if has.is_empty() { Field::Unknown } else { Field::Lines(has) }),
        ("rpm", word(&Rpm::ALL, m.rpm)),
    ]
}

fn watchdog(w: &Watchdog) -> Field {
    match w {
        Watchdog::Identity(list) => names(list),
        Watchdog::Vendor => text_of("the vendor's software feeds it"),
    }
}

fn nic(n: &Nic) -> Row {
    vec![
        ("path", optional(n.path.as_deref())),
        ("driver", optional(n.driver.as_deref())),
        ("label", optional(n.label.as_deref())),
    ]
}

fn cell(c: &Cell) -> Row {
    let (mtd, nvmem) = match &c.medium {
        Medium::Mtd(name) => (Some(name.as_str()), None),
        Medium::Nvmem(name) => (None, Some(name.as_str())),
    };
    vec![
        ("mtd", optional(mtd)),
        ("nvmem", optional(nvmem)),
        ("offset", Field::Number(c.offset)),
        ("length", Field::Number(c.length.into())),
        ("format", word(&Format::ALL, Some(c.format))),
    ]
}

fn array(a: &MdArray) -> Row {
    let (degraded, disks) = match a.expected_degraded {
        None => (Field::Unknown, None),
        Some(Degraded::Fitted) => (Field::Flag(true), None),
        Some(Degraded::Disks(disks)) => (Field::Flag(true), Some(disks)),
    };
    vec![
        ("role", word(&MdRole::ALL, Some(a.role))),
        ("level", optional(a.level.as_deref())),
        ("partition", number(a.partition)),
        ("members", number(a.members)),
        ("expected_degraded", degraded),
        ("disks", number(disks)),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::builtin;
    use super::super::description::parse;
    use super::*;

    const LEAST: &str = "schema = 1\nid = \"x\"\nname = \"X\"\nsoc = \"s\"\nisa = \"armv7\"\nsource = [\"y:z\"]\n\
                         absent = [\"fans\", \"bay-ok-led\"]\n[[match]]\nmodel = [\"X\"]\nmemory_mib = [1, 2]\n";

    fn row(shown: &str, name: &str) -> String {
        let line = shown.lines().find(|l| l.get(2..).is_some_and(|l| l.starts_with(name))).unwrap();
        line.get(NAMES..).unwrap().to_owned()
    }

    #[test]
    fn known_absent_and_unknown_look_different() {
        let board = parse(&format!("{LEAST}[leds]\nfault = [\"a\", \"b\"]\n")).unwrap();
        let (shown, json) = (text(&board, Origin::File), value(&board, Origin::File));
        assert_eq!(row(&shown, "fans"), "none");
        assert_eq!(row(&shown, "temperatures"), "not known");
        assert_eq!(row(&shown, "fault led"), "a or b");
        assert_eq!(row(&shown, "bay ok led"), "none");
        assert_eq!(row(&shown, "matches"), "model X, memory mib 1 to 2");
        assert_eq!(
            (&json["fans"], &json["temperatures"], &json["fault_led"]),
            (&json!(false), &Value::Null, &json!(["a", "b"]))
        );
        assert_eq!((&json["origin"], &json["verified_on_device"]), (&json!("file"), &json!(false)));
    }

    #[test]
    fn every_part_is_a_row() {
        let board = parse(LEAST).unwrap();
        let json = value(&board, Origin::Builtin);
        for (name, part) in Part::ALL {
            let shown = json.get(name.replace('-', "_")).unwrap_or_else(|| panic!("{name} is not shown"));
            let expect = if board.knows(part) == Known::Absent { json!(false) } else { Value::Null };
            assert_eq!(*shown, expect, "{name}");
        }
    }

    #[test]
    fn every_board_is_called_what_it_is_and_fits_the_screen() {
        for board in builtin::all() {
            let shown = text(&board, Origin::Builtin) + &line(&board, Origin::Replaces);
            assert_eq!(shown.matches(proof(&board)).count(), 2, "{}", board.id);
            // A name without blanks may be longer than a line.
            let long =
                |l: &&str| l.chars().count() > WIDTH && l.get(NAMES..).is_some_and(|l| l.contains(' '));
            let too_long: Vec<&str> = shown.lines().filter(long).collect();
            assert_eq!(too_long, Vec::<&str>::new(), "{}", board.id);
            for source in &board.source {
                assert!(shown.contains(source.as_str()), "{source}");
            }
        }
    }

    #[test]
    fn folding_keeps_words_whole() {
        let mut out = String::new();
        wrap(&mut out, "name", &"abcdefghi ".repeat(9));
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|l| l.chars().count() <= WIDTH), "{lines:?}");
        assert_eq!(out.matches("abcdefghi").count(), 9);
        assert!(lines[1].starts_with(&format!("{:NAMES$}abc", "")));
    }
}
