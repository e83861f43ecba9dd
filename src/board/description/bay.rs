//! Drive bays: where each is, by the path of its controller and port, never by `sdX`.

use serde::{Deserialize, Serialize};

use super::BAYS_MAX;
use super::led::{Lights, Owner};
use super::read::{LIST_MAX, count, no_polarity, text};
use crate::typed_toml::{At, Reader, Table};

/// Ports of one controller.
const PORTS_MAX: usize = 32;

/// A drive bay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bay {
    /// As printed on the box, from 1.
    pub number: u8,
    /// What is printed on the box, where it is not the number.
    pub label: Option<String>,
    /// Where it is.
    pub slot: Slot,
    /// Light that shows a fault of this bay, under every name it has had. The agent's.
    pub fault_led: Vec<String>,
    /// Light that shows its disk at work, likewise. The kernel's.
    pub activity_led: Vec<String>,
    /// Light that shows it is well, likewise. The agent's.
    pub ok_led: Vec<String>,
    /// The regulator that gives its disk power, by its name in /sys/class/regulator. It is only told, never switched.
    pub regulator: Option<String>,
}

/// Where a bay is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Slot {
    /// Part of the disk's device path in sysfs: whole components with a slash behind the last. ATA ports have numbers that
    /// count over all controllers here.
    Path(String),
    /// A port of a controller, whatever number the kernel gave it.
    Port {
        /// Part of the controller's device path: whole components, no slash at the ends.
        controller: String,
        /// The how manieth of the controller's ATA ports by number, from 1.
        port: u8,
    },
}

/// Reads `[[bay]]`. `count`: of the box, if that is known.
pub(super) fn bays<'t>(
    r: &mut Reader<'t>,
    t: &mut Table<'t>,
    lights: &mut Lights,
    count: Option<u8>,
) -> Vec<Bay> {
    let most = count.map_or(BAYS_MAX, usize::from);
    let mut list: Vec<Bay> = Vec::new();
    for table in t.tables(r, "bay").into_iter().take(LIST_MAX) {
        let at = table.at();
        let Some(bay) = bay(r, table, lights, most) else { continue };
        if list.iter().any(|b| b.number == bay.number || b.slot == bay.slot) {
            let help = "give each bay a number and a place of its own".into();
            r.complain(at, "impossible", format!("bay {} is there twice", bay.number), help);
        }
        list.push(bay);
    }
    list
}

fn bay<'t>(r: &mut Reader<'t>, mut t: Table<'t>, lights: &mut Lights, most: usize) -> Option<Bay> {
    let at = t.at();
    let number = t.integer(r, "number", 1, i64::try_from(most).unwrap_or(i64::MAX));
    let label = text(r, &mut t, "label").map(|l| l.value);
    let (path, controller) = (text(r, &mut t, "path"), text(r, &mut t, "controller"));
    let port = count(r, &mut t, "port", 1, PORTS_MAX);
    let fault_led = lights.read(r, &mut t, "fault_led", Owner::Agent);
    let activity_led = lights.read(r, &mut t, "activity_led", Owner::Kernel);
    let ok_led = lights.read(r, &mut t, "ok_led", Owner::Agent);
    let regulator = text(r, &mut t, "regulator").map(|l| l.value);
    no_polarity(r, &mut t);
    t.finish(r);
    let slot = match (path, controller, port) {
        (Some(path), None, None) => by_path(r, path),
        (None, Some(controller), Some(port)) => by_port(r, controller, port),
        (None, Some(_), None) | (None, None, Some(_)) | (None, None, None) | (Some(_), _, _) => {
            let help = "give path, or controller and port".into();
            r.complain(at, "missing-key", "a bay without a place, or with two".into(), help);
            None
        }
    };
    let number = u8::try_from(number?.value).ok()?;
    Some(Bay { number, label, slot: slot?, fault_led, activity_led, ok_led, regulator })
}

/// Without the slash ata1 would also be ata12; without a controller it would be any port 1.
fn by_path(r: &mut Reader<'_>, path: At<String>) -> Option<Slot> {
    let parts = path.value.strip_suffix('/').map_or(0, |p| p.split('/').filter(|p| !p.is_empty()).count());
    if parts < 2 || path.value.contains("block/") {
        let help = "write controller and port with a slash behind each: \"f10a8000.sata/ata1/\"".into();
        r.complain(path.at, "bad-value", format!("path is {:?}", path.value), help);
        return None;
    }
    Some(Slot::Path(path.value))
}

fn by_port(r: &mut Reader<'_>, controller: At<String>, port: u8) -> Option<Slot> {
    let is_odd = |part: &str| part.is_empty() || ["ata", "host", "sd"].iter().any(|p| part.starts_with(p));
    if controller.value.split('/').any(is_odd) {
        let help = "write the controller's address alone: \"f10a8000.sata\"".into();
        r.complain(controller.at, "bad-value", format!("controller is {:?}", controller.value), help);
        return None;
    }
    Some(Slot::Port { controller: controller.value, port })
}
