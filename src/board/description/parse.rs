//! From the text of a board file to a description, or every complaint at its line and column.

use super::led::Lights;
use super::mcu::McuPart;
use super::read::{count, is_id, needed, placed, texts, tty, words};
use super::{Description, FANS_MAX, Part, array, bay, button, identity, led, matching, mcu, state, thermal};
use crate::typed_toml::{At, Fault, Reader, Table};

/// The version of the schema that this software reads.
const SCHEMA: i64 = 1;
/// Network sockets a box can have here.
const NICS_MAX: usize = 8;

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

fn root<'t>(r: &mut Reader<'t>, mut table: Table<'t>) -> Option<Description> {
    let found = read(r, &mut table);
    table.finish(r);
    found
}

fn read<'t>(r: &mut Reader<'t>, t: &mut Table<'t>) -> Option<Description> {
    if t.integer(r, "schema", SCHEMA, SCHEMA).is_none() && r.is_content() {
        let help = format!("write schema = {SCHEMA}");
        r.complain(0, "missing-key", "schema is missing".into(), help);
    }
    let mut lights = Lights::default();
    let (id, name, soc, isa) =
        (needed(r, t, "id"), needed(r, t, "name"), needed(r, t, "soc"), needed(r, t, "isa"));
    let verified_on_device = t.boolean(r, "verified_on_device").is_some_and(|b| b.value);
    let source = source(r, t);
    let (notes, covers) = (texts(r, t, "notes"), texts(r, t, "covers"));
    let matches = matching::matches(r, t);
    let bay_count = count(r, t, "bay_count", 0, super::BAYS_MAX);
    let bays = bay::bays(r, t, &mut lights, bay_count);
    let buttons = button::buttons(r, t);
    let fan_count = count(r, t, "fan_count", 0, FANS_MAX);
    let leds = led::leds(r, t, &mut lights);
    let temperatures = thermal::temperatures(r, t);
    let fans = thermal::fans(r, t, fan_count);
    let rtc = texts(r, t, "rtc");
    let console = tty(r, t, "console").map(|c| c.value);
    let mcu = mcu::mcu(r, t, console.as_deref());
    let arrays = array::arrays(r, t);
    let nic_count = count(r, t, "nic_count", 0, NICS_MAX);
    let nics = identity::nics(r, t);
    let [mac, serial] = identity::identity(r, t);
    let watchdog = identity::watchdog(r, t);
    let state = state::state(r, t);
    let absent = words(r, t, "absent", &Part::ALL);
    lights.finish(r, mcu.as_ref().is_some_and(|m| m.gives(McuPart::Lamp)));
    let isa = isa.filter(|isa| is_isa(r, isa));
    let id = id.filter(|id| is_id(r, id));
    let (id, name, soc, isa) = (id?.value, name?.value, soc?.value, isa?.value);
    let bay_count = bay_count.or_else(|| u8::try_from(bays.len()).ok().filter(|n| *n > 0));
    #[rustfmt::skip]
    let found = Description {
        id, name, soc, isa, verified_on_device, source, notes, covers, matches, bay_count, bays, buttons, fan_count,
        fault_led: leds.fault, status_led: leds.status, kernel_led: leds.kernel, one_lamp: leds.one_lamp,
        colours: leds.colours, temperatures, fans, rtc, mcu, console, arrays, nic_count, nics, mac, serial, watchdog,
        state: state.places, state_fs: state.fs, never_mtd: state.never_mtd,
        absent: absent.iter().map(|p| p.value).collect(),
    };
    absences(r, &found, &absent);
    Some(found)
}

/// Where each fact is from, so that somebody else can look: a repository and a path in it.
fn source<'t>(r: &mut Reader<'t>, t: &mut Table<'t>) -> Vec<String> {
    let list = placed(r, t, "source");
    if list.is_empty() {
        r.complain(0, "missing-key", "source is missing".into(), "say where the facts are from".into());
    }
    for item in &list {
        let good = item
            .value
            .split_once(':')
            .is_some_and(|(repository, path)| !repository.trim().is_empty() && !path.trim().is_empty());
        if !good {
            let help = "write repository:path, such as \"torvalds/linux:arch/arm/boot/dts/…\"".into();
            r.complain(item.at, "bad-value", format!("source has {:?}", item.value), help);
        }
    }
    list.into_iter().map(|item| item.value).collect()
}

fn is_isa(r: &mut Reader<'_>, isa: &At<String>) -> bool {
    let good = ["armv5te", "armv7", "aarch64", "any"].contains(&isa.value.as_str());
    if !good {
        let help = "write \"armv5te\", \"armv7\", \"aarch64\" or \"any\"".into();
        r.complain(isa.at, "bad-value", format!("isa is {:?}", isa.value), help);
    }
    good
}

/// What is absent cannot be there.
fn absences(r: &mut Reader<'_>, d: &Description, absent: &[At<Part>]) {
    for part in absent.iter().filter(|p| d.has(p.value)) {
        let message = format!("{} is absent and described", part.value.name());
        r.complain(part.at, "impossible", message, "take out one of the two".into());
    }
}
