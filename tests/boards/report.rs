//! What this software says of a box: of its description (`said`), and of the tree that its kernel shows (`seen`). The agent's
//! own code decides what can be decided by it; the rest is looked up here.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use moorline::board::description::{
    Bay, Button, Cell, Colour, Description, FanOwner, Format, Input, Known, Match, Mcu, McuKind, McuPart,
    MdArray, MdRole, Medium, Part, Role, Rpm, Slot, Watchdog, thermal, word_of,
};
use moorline::board::{io, select};
use moorline::hardware::button::{Key, Keypad};
use moorline::hardware::io::leds::Lights;
use moorline::hardware::io::sysfs::{self, Hardware};
use moorline::hardware::led::policy::{Arrays, Bay as BayState, Class, Cloud, Conditions, Show, Target};
use moorline::hardware::led::{Action, Panel};
use moorline::store::io::Site;
use moorline::store::place::{Ground, Place};
use moorline::sys::root::Root;

use super::tree::codes;

/// Both halves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// From the description alone.
    pub said: String,
    /// From the description and the tree.
    pub seen: String,
}

/// Of the tree in `dir`, whichever of the boards it is.
pub fn report(dir: &Path, boards: &[Description]) -> Report {
    let root = Root::simulated(dir.to_owned());
    let facts = io::facts(&root);
    match select::select(boards, &facts, None) {
        Err(error) => Report { said: String::new(), seen: format!("{error}\n") },
        Ok(board) => {
            let seen = format!("board {}\n{}", board.id, Seen::new(&board, root).told());
            Report { said: said(&board), seen }
        }
    }
}

/// A list, or a dash.
fn list<T: AsRef<str>>(all: &[T]) -> String {
    let all: Vec<&str> = all.iter().map(AsRef::as_ref).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(" | ") }
}

fn number(number: Option<u8>) -> String {
    number.map_or_else(|| "not known".to_owned(), |n| n.to_string())
}

fn word<T: PartialEq>(words: &[(&'static str, T)], value: Option<T>) -> &'static str {
    value.map_or("not known", |v| word_of(words, v))
}

fn said(b: &Description) -> String {
    let mut out = format!("{} ({})\n{}, {}, ", b.name, b.id, b.soc, b.isa);
    out += if b.verified_on_device { "tested on a device\n" } else { "from documents only\n" };
    for source in &b.source {
        writeln!(out, "source {source}").unwrap();
    }
    for note in &b.notes {
        writeln!(out, "note {note}").unwrap();
    }
    for model in &b.covers {
        writeln!(out, "covers {model}").unwrap();
    }
    b.matches.iter().for_each(|m| writeln!(out, "match {}", way(m)).unwrap());
    writeln!(
        out,
        "bays {}, fans {}, sockets {}",
        number(b.bay_count),
        number(b.fan_count),
        number(b.nic_count)
    )
    .unwrap();
    for bay in b.bays.iter().filter(|b| b.label.is_some()) {
        writeln!(out, "bay {} is labelled {}", bay.number, bay.label.as_deref().unwrap()).unwrap();
    }
    writeln!(out, "console {}", b.console.as_deref().unwrap_or("not known")).unwrap();
    if let Some(mcu) = &b.mcu {
        writeln!(out, "microcontroller {}", microcontroller(mcu)).unwrap();
    }
    b.arrays.iter().for_each(|a| writeln!(out, "array {}", array(a)).unwrap());
    if !b.state_fs.is_empty() {
        writeln!(out, "state on {}", list(&b.state_fs)).unwrap();
    }
    for (what, wanted) in
        [("known", Known::Present), ("absent", Known::Absent), ("not known", Known::Unknown)]
    {
        let parts: Vec<&str> =
            Part::ALL.iter().filter(|(_, p)| b.knows(*p) == wanted).map(|(name, _)| *name).collect();
        writeln!(out, "{what}: {}", if parts.is_empty() { "nothing".into() } else { parts.join(", ") })
            .unwrap();
    }
    out
}

fn way(m: &Match) -> String {
    let mut out = Vec::new();
    for (what, texts) in [("model", &m.model), ("compatible", &m.compatible), ("hardware", &m.hardware)] {
        if !texts.is_empty() {
            out.push(format!("{what} {}", list(texts)));
        }
    }
    if let Some((low, high)) = m.memory_mib {
        out.push(format!("{low} to {high} MiB"));
    }
    if !m.mtd.is_empty() {
        out.push(format!("partitions {}", m.mtd.join(", ")));
    }
    if let Some(ports) = m.sata_ports {
        out.push(format!("{ports} ATA ports"));
    }
    out.join(", and ")
}

fn microcontroller(m: &Mcu) -> String {
    let has: Vec<&str> = m.has.iter().map(|p| word_of(&McuPart::ALL, *p)).collect();
    let kind = word_of(&McuKind::ALL, m.kind);
    format!(
        "{kind} on {}: {}, rpm {}",
        m.tty.as_deref().unwrap_or("a port that is not known"),
        list(&has),
        word(&Rpm::ALL, m.rpm)
    )
}

fn array(a: &MdArray) -> String {
    let level = a.level.as_deref().unwrap_or("any level");
    let degraded = a.expected_degraded.map_or(String::new(), |d| format!(", fewer are right: {d:?}"));
    format!(
        "{}: {level}, partition {}, members {}{degraded}",
        word_of(&MdRole::ALL, a.role),
        number(a.partition),
        number(a.members)
    )
}

struct Seen<'b> {
    board: &'b Description,
    root: Root,
    lights: Vec<String>,
    hardware: Hardware,
    out: String,
}

impl<'b> Seen<'b> {
    fn new(board: &'b Description, root: Root) -> Self {
        let lights = Lights::new(root.clone(), Path::new("/nowhere")).names();
        let hardware = sysfs::read(&root, Some(board));
        Self { board, root, lights, hardware, out: String::new() }
    }

    fn told(mut self) -> String {
        self.facts();
        self.names_of_lights();
        self.panel();
        self.disks();
        self.thermal();
        self.buttons();
        self.rest();
        self.flash();
        self.out
    }

    fn line(&mut self, text: &str) {
        self.out += text.trim_end();
        self.out.push('\n');
    }

    /// Entries of a directory, sorted.
    fn entries(&self, dir: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.root.path(dir)) else { return Vec::new() };
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        // Numbers at the end in their order: mtd10 comes after mtd9.
        names.sort_by_key(|n| {
            (n.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned(), n.len(), n.clone())
        });
        names
    }

    /// A file of each entry of a class.
    fn all(&self, class: &str, file: &str) -> Vec<String> {
        let read = |name: String| self.root.read(&format!("{class}/{name}/{file}")).ok();
        self.entries(class).into_iter().filter_map(read).collect()
    }

    /// What a link of sysfs leads to, below /sys/devices.
    fn device(&self, link: &str) -> String {
        let [path, devices] = [link, "/sys/devices"].map(|p| fs::canonicalize(self.root.path(p)).unwrap());
        path.strip_prefix(devices).unwrap().to_str().unwrap().to_owned()
    }

    /// The controller of an ATA port.
    fn port(&self, name: &str) -> String {
        let path = self.device(&format!("/sys/class/ata_port/{name}"));
        path.split(&format!("/{name}/")).next().unwrap().to_owned()
    }

    fn facts(&mut self) {
        let facts = io::facts(&self.root);
        let memory = self.root.read("/proc/meminfo").unwrap_or_default();
        let memory = memory
            .lines()
            .next()
            .unwrap_or("memory not shown")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        let ports = self.entries("/sys/class/ata_port").len();
        let hardware = facts.hardware.map_or(String::new(), |h| format!(", hardware {h}"));
        let text = format!(
            "the kernel says: model {}, compatible {}{hardware}; {memory}; {ports} ATA ports",
            facts.model.as_deref().unwrap_or("-"),
            list(&facts.compatible),
        );
        self.line(&text);
        // Which of the texts of a match the box has: an alias that no tree has is not tested.
        let facts = io::facts(&self.root);
        let mut ways = Vec::new();
        for m in &self.board.matches {
            let alone = Description { matches: vec![m.clone()], ..self.board.clone() };
            if select::select(&[alone], &facts, None).is_ok() {
                let mut hit = m.clone();
                hit.model.retain(|text| facts.model.as_ref() == Some(text));
                hit.compatible.retain(|text| facts.compatible.contains(text));
                hit.hardware.retain(|text| facts.hardware.as_ref() == Some(text));
                ways.push(way(&hit));
            }
        }
        ways.iter().for_each(|w| self.line(&format!("recognised by {w}")));
    }

    /// The first of its names that is there.
    fn light(&self, names: &[String]) -> Option<String> {
        names.iter().find(|n| self.lights.contains(n)).cloned()
    }

    fn names_of_lights(&mut self) {
        let b = self.board;
        let mut places: Vec<(String, &[String])> =
            vec![("box fault".into(), &b.fault_led), ("box status".into(), &b.status_led)];
        for bay in &b.bays {
            for (what, names) in
                [("fault", &bay.fault_led), ("activity", &bay.activity_led), ("ok", &bay.ok_led)]
            {
                places.push((format!("bay {} {what}", bay.number), names));
            }
        }
        for tint in &b.colours {
            places.push((format!("colour {}", word_of(&Colour::ALL, tint.colour)), &tint.names));
        }
        for (place, names) in places {
            let text = match self.light(names) {
                Some(name) if b.is_kernels(&name) => format!("{name}, the kernel's"),
                Some(name) => format!("{name}, the agent's"),
                // Not in sysfs by its nature; names that other kernels have are not told here.
                None => {
                    names.iter().find(|n| n.starts_with("mcu:")).cloned().unwrap_or_else(|| "-".to_owned())
                }
            };
            self.line(&format!("light {place}: {text}"));
        }
        let kernel: Vec<String> = b.kernel_led.iter().filter(|n| self.lights.contains(n)).cloned().collect();
        self.line(&format!("lights of the kernel: {}", list(&kernel)));
        let shown = |led: &sysfs::Led| {
            let on = if led.on { " on" } else { "" };
            format!("{}{on}{}", led.name, led.trigger.as_ref().map_or(String::new(), |t| format!(" [{t}]")))
        };
        let all: Vec<String> = self.hardware.leds.iter().map(shown).collect();
        self.line(&format!("lights there: {}", list(&all)));
    }

    fn panel(&mut self) {
        let arrays = |bays: Vec<(u8, BayState)>| Conditions {
            arrays: Arrays { degraded: true, bays, ..Arrays::default() },
            ..Conditions::default()
        };
        let cloud = |cloud| Conditions { cloud, ..Conditions::default() };
        let mut cases = vec![
            (
                "somebody looks for it".to_owned(),
                Conditions { identify: Some(Target::Box), ..Conditions::default() },
            ),
            ("it is online".to_owned(), cloud(Cloud::Online)),
            ("its broker is gone".to_owned(), cloud(Cloud::Offline(Class::Broker))),
            ("a mirror is degraded".to_owned(), arrays(vec![])),
        ];
        cases.extend(self.board.bays.iter().map(|b| {
            (format!("the disk in bay {} fails", b.number), arrays(vec![(b.number, BayState::Lost)]))
        }));
        for (case, conditions) in cases {
            let actions = Panel::new(self.board, &self.lights).handle_conditions(&conditions);
            let set = |action: &Action| match action {
                Action::Set(name, Show::AsFound) | Action::Save(name) | Action::Restore(name) => {
                    assert!(self.lights.contains(name));
                    None
                }
                Action::Set(name, shows) => Some(format!("{name} {}", shows.name())),
                Action::Lamp(lamp) => Some(format!("the lamp {}", lamp.name())),
            };
            let set: Vec<String> = actions.iter().filter_map(set).collect();
            self.line(&format!("if {case}: {}", list(&set)));
        }
    }

    fn disks(&mut self) {
        for Bay { number, slot, regulator, .. } in &self.board.bays {
            let place = match slot {
                Slot::Path(path) => path.clone(),
                Slot::Port { controller, port } => format!("port {port} of {controller}"),
            };
            let power = regulator.as_ref().map_or(String::new(), |name| {
                let there = self.all("/sys/class/regulator", "name").contains(name);
                format!(", power by {name}{}", if there { "" } else { " (not there)" })
            });
            self.line(&format!("bay {number}: {place}{power}"));
        }
        for (number, path) in
            self.entries("/sys/class/ata_port").iter().map(|p| (p, self.port(p))).collect::<Vec<_>>()
        {
            self.line(&format!("port {number} at {path}"));
        }
        let disks = self.hardware.disks.clone();
        for disk in disks {
            let bay = disk.bay.map_or_else(|| "in no bay".to_owned(), |n| format!("in bay {n}"));
            let path = self.device(&format!("/sys/block/{}", disk.device));
            let port = path.split("/host").next().unwrap();
            self.line(&format!(
                "disk {} {bay}: {} at {port}",
                disk.device,
                disk.model.as_deref().unwrap_or("?")
            ));
        }
    }

    fn thermal(&mut self) {
        // Driver, and device; a thermal zone has none.
        let mut sensors: Vec<(String, String)> = Vec::new();
        for hwmon in self.entries("/sys/class/hwmon") {
            let dir = format!("/sys/class/hwmon/{hwmon}");
            let device = self.device(&format!("{dir}/device"));
            sensors.push((self.root.read(&format!("{dir}/name")).unwrap(), device));
        }
        let zones = self.all("/sys/class/thermal", "type");
        sensors.extend(zones.into_iter().map(|kind| (kind, String::new())));
        let fits = |names: &[String], device: Option<&String>| {
            let found: Vec<String> = sensors
                .iter()
                .filter(|(name, at)| {
                    thermal::is_driver(names, name) && device.is_none_or(|d| at.ends_with(&format!("/{d}")))
                })
                .map(|(name, at)| format!("{name} at {}", if at.is_empty() { "a thermal zone" } else { at }))
                .collect();
            if found.is_empty() { "not there".to_owned() } else { found.join(" and ") }
        };
        let mut lines = Vec::new();
        for t in &self.board.temperatures {
            let label = t.label.as_deref().unwrap_or("thermometer");
            lines.push(format!("{label}: {}", fits(&t.name, t.device.as_ref())));
        }
        for f in &self.board.fans {
            lines.push(format!(
                "{}: {}, rpm {}, set by {}",
                f.label.as_deref().unwrap_or("fan"),
                fits(&f.name, f.device.as_ref()),
                word(&Rpm::ALL, f.rpm),
                word(&FanOwner::ALL, f.owner),
            ));
        }
        lines.extend(sensors.iter().map(|(name, at)| format!("sensor there: {name} {at}")));
        lines.extend(
            self.hardware
                .temperatures
                .iter()
                .map(|(name, t)| format!("temperature {name}: {} degrees", t.degrees())),
        );
        lines.extend(self.hardware.fans.iter().map(|(name, rpm)| format!("turning {name}: {rpm} rpm")));
        lines.extend(self.hardware.troubles.iter().map(|t| format!("trouble {}", t.what)));
        lines.iter().for_each(|l| self.line(l));
    }

    fn buttons(&mut self) {
        let word = if self.board.isa == "aarch64" { 64 } else { 32 };
        for event in self.entries("/sys/class/input") {
            let dir = format!("/sys/class/input/{event}/device");
            let device = self.root.read(&format!("{dir}/name")).unwrap();
            for (input, file) in [(Input::Key, "key"), (Input::Switch, "sw")] {
                let bits = self.root.read(&format!("{dir}/capabilities/{file}")).unwrap();
                for code in codes(&bits, word) {
                    let key = Key { input, code, is_down: true, stamp: Duration::ZERO };
                    let mut pad = Keypad::new(&self.board.buttons);
                    let name = pad.handle_key(&device, key, Duration::ZERO).map(|(name, _)| name.to_owned());
                    let name = name.filter(|_| pad.wants(&device));
                    let role = |b: &&Button| name.as_ref() == Some(&b.name);
                    let role = self.board.buttons.iter().find(role).map(|b| word_of(&Role::ALL, b.role));
                    let what = name.as_deref().unwrap_or("of nobody");
                    let kind = word_of(&Input::ALL, input);
                    self.line(&format!(
                        "{kind} {code} of {device}: {what}{}",
                        role.map_or(String::new(), |r| format!(" ({r})"))
                    ));
                }
            }
        }
    }

    fn rest(&mut self) {
        let rtcs = self.hardware.rtcs.clone();
        for rtc in rtcs {
            let sets = if rtc.sets_clock { ", the kernel sets its clock from it" } else { "" };
            self.line(&format!(
                "clock {}{sets}{}",
                rtc.name,
                if rtc.is_chosen { ", to be trusted" } else { "" }
            ));
        }
        // The ones that are wanted after the first are seen only if the first is not.
        let named = |wanted: &&String| {
            let is = |found: &String| {
                found.strip_prefix(wanted.as_str()).is_some_and(|r| r.is_empty() || r.starts_with(' '))
            };
            self.hardware.rtcs.iter().any(|r| is(&r.name))
        };
        let there: Vec<String> = self.board.rtc.iter().filter(named).cloned().collect();
        self.line(&format!("clocks in order: {}", list(&there)));
        for interface in self.hardware.network.clone() {
            let device =
                fs::canonicalize(self.root.path(&format!("/sys/class/net/{}/device", interface.name)))
                    .unwrap();
            let driver = fs::canonicalize(device.join("driver")).unwrap();
            let driver = driver.file_name().unwrap().to_str().unwrap();
            let path = format!("{}/", device.to_str().unwrap());
            let fits = |path_part: &Option<String>| {
                path_part.as_ref().is_none_or(|p| path.contains(&format!("/{p}/")))
            };
            let nics = self
                .board
                .nics
                .iter()
                .filter(|n| fits(&n.path) && n.driver.as_deref().is_none_or(|d| d == driver));
            let label =
                |n: &moorline::board::description::Nic| n.label.clone().unwrap_or_else(|| "known".to_owned());
            let nics: Vec<String> = nics.map(label).collect();
            let device = path.split("/devices/").nth(1).unwrap();
            self.line(&format!(
                "network {} at {device} {driver} ({}): {}",
                interface.name,
                interface.operstate,
                list(&nics)
            ));
        }
        let identities = self.all("/sys/class/watchdog", "identity");
        let watchdog = match &self.board.watchdog {
            None => "-",
            Some(Watchdog::Vendor) => "the vendor's",
            Some(Watchdog::Identity(names)) => {
                names.iter().find(|n| identities.contains(n)).map_or("not there", |n| n)
            }
        };
        self.line(&format!("watchdog: {watchdog}; there: {}", list(&identities)));
        for (what, cell) in [("address", &self.board.mac), ("serial number", &self.board.serial)] {
            if let Some(cell) = cell {
                let text = self.cell(cell);
                self.line(&format!("{what}: {text}"));
            }
        }
        let ports = self.entries("/sys/class/tty");
        let is_there = |port: &str| if ports.iter().any(|p| p == port) { "" } else { " (not there)" };
        if let Some(port) = self.board.console.clone() {
            self.line(&format!("console: {port}{}", is_there(&port)));
        }
        if let Some(port) = self.board.mcu.as_ref().and_then(|m| m.tty.clone()) {
            self.line(&format!("microcontroller: {port}{}", is_there(&port)));
        }
        self.line(&format!("serial ports: {}", list(&ports)));
        let others = self.all("/sys/class/regulator", "name");
        self.line(&format!("regulators: {}", list(&others)));
    }

    fn cell(&self, cell: &Cell) -> String {
        let (name, there) = match &cell.medium {
            Medium::Mtd(name) => (name, self.all("/sys/class/mtd", "name").contains(name)),
            Medium::Nvmem(name) => (name, self.entries("/sys/bus/nvmem/devices").contains(name)),
        };
        let format = word_of(&Format::ALL, cell.format);
        format!(
            "{} bytes {format} at {:#x} of {name}{}",
            cell.length,
            cell.offset,
            if there { "" } else { " (not there)" }
        )
    }

    /// Partitions and volumes: what the store would be refused or offered there.
    fn flash(&mut self) {
        for mtd in self.entries("/sys/class/mtd").into_iter().filter(|m| !m.ends_with("ro")) {
            let of = |file: &str| self.root.read(&format!("/sys/class/mtd/{mtd}/{file}")).unwrap();
            let (name, kind, bytes) = (of("name"), of("type"), of("size").parse::<u64>().unwrap());
            let size =
                if bytes % 1024 == 0 { format!("{} KiB", bytes / 1024) } else { format!("{bytes} bytes") };
            let said = self.asked(Place::Mtd(name.clone()));
            self.line(&format!("{mtd} {name}, {kind} {size}: {said}"));
        }
        for nvmem in self.entries("/sys/bus/nvmem/devices") {
            self.line(&format!("nvmem {nvmem}"));
        }
        for volume in self.all("/sys/class/ubi", "name") {
            self.line(&format!("volume {volume}"));
        }
        let try_list = self.board.state.clone();
        for place in try_list {
            let said = match place.parse::<Place>() {
                Ok(Place::Dir(_)) => "a directory".to_owned(),
                Ok(place) => self.asked(place),
                Err(_) => "a directory on a disk".to_owned(),
            };
            self.line(&format!("state in {place}: {said}"));
        }
    }

    /// The store's own word on a place of the tree, whose device nodes are not there.
    fn asked(&self, place: Place) -> String {
        let dir = self.root.path("/var/lib/moorline");
        let site = Site {
            root: self.root.clone(),
            dir,
            segment_bytes: 64 * 1024,
            wanted: Some(place.clone()),
            candidates: Vec::new(),
            never: self.board.never_mtd.clone(),
            ground: Ground::default(),
        };
        let error = site.image().err().map(|e| e.to_string()).unwrap_or_default();
        let why = error.rsplit(&format!("{place}: ")).next().unwrap_or_default().to_owned();
        if why.contains("os error 2") { "could be used if it is blank".to_owned() } else { why }
    }
}
