//! A fixture: what a kernel shows of one box, as text. tests/fixtures/boards/README.md documents the lines.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// A file or a link of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A file with this text.
    File(String),
    /// A link to this path.
    Link(String),
}

/// All of them by path, without the slash at the start.
pub type Tree = BTreeMap<String, Entry>;

/// What the lines of a fixture have numbered so far, as the kernel counts.
#[derive(Default)]
struct Counts {
    ata: usize,
    hosts: usize,
    mtd: usize,
    hwmon: usize,
    zones: usize,
    inputs: usize,
    rtcs: usize,
    nets: usize,
    watchdogs: usize,
    regulators: usize,
    ubi: usize,
}

/// Bits of a C long of the kernel, for bitmaps: `@word 64` says that it is another.
const WORD: usize = 32;

struct Reader {
    tree: Tree,
    counts: Counts,
    word: usize,
}

/// The tree of a fixture's text.
///
/// # Errors
/// The line that makes no sense, with its number.
pub fn parse(text: &str) -> Result<Tree, String> {
    let mut reader = Reader { tree: Tree::new(), counts: Counts::default(), word: WORD };
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            reader.line(line).map_err(|why| format!("{}: {why}: {line}", at + 1))?;
        }
    }
    Ok(reader.tree)
}

/// Words of a line; what is in quotes is one.
pub fn words(line: &str) -> Vec<String> {
    let (mut found, mut word, mut quoted, mut begun) = (Vec::new(), String::new(), false, false);
    for c in line.chars() {
        if c == '"' {
            (quoted, begun) = (!quoted, true);
        } else if c.is_whitespace() && !quoted {
            if begun {
                found.push(std::mem::take(&mut word));
            }
            begun = false;
        } else {
            word.push(c);
            begun = true;
        }
    }
    if begun {
        found.push(word);
    }
    found
}

impl Reader {
    fn file(&mut self, path: String, text: impl Into<String>) {
        self.tree.insert(path, Entry::File(text.into()));
    }

    /// A link with a relative target, as sysfs has them.
    fn link(&mut self, path: &str, target: &str) {
        let (from, to): (Vec<&str>, Vec<&str>) = (path.split('/').collect(), target.split('/').collect());
        let same = from.iter().zip(&to).take_while(|(a, b)| a == b).count().min(to.len() - 1);
        let mut parts = vec![".."; from.len() - 1 - same];
        parts.extend(&to[same..]);
        self.tree.insert(path.to_owned(), Entry::Link(parts.join("/")));
    }

    fn line(&mut self, line: &str) -> Result<(), &'static str> {
        if let Some(special) = line.strip_prefix('@') {
            let words = words(special);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            return self.expand(&words);
        }
        if let Some((path, target)) = line.split_once(" -> ") {
            self.tree.insert(path.trim().to_owned(), Entry::Link(target.trim().to_owned()));
        } else if let Some((path, text)) = line.split_once(" = ") {
            let text = text.replace("\\0", "\0").replace("\\n", "\n").replace("\\t", "\t");
            self.file(path.trim().to_owned(), text);
        } else if let Some(path) = line.strip_suffix(" =") {
            self.file(path.to_owned(), "");
        } else {
            return Err("neither a file nor a link nor a known @word");
        }
        Ok(())
    }

    fn expand(&mut self, words: &[&str]) -> Result<(), &'static str> {
        match *words {
            ["model", model] => self.file("proc/device-tree/model".into(), format!("{model}\0")),
            ["compatible", ref list @ ..] if !list.is_empty() => {
                let text: String = list.iter().map(|c| format!("{c}\0")).collect();
                self.file("proc/device-tree/compatible".into(), text);
            }
            ["hardware", hardware] => {
                self.file("proc/cpuinfo".into(), format!("processor\t: 0\n\nHardware\t: {hardware}\n"));
            }
            ["memory", kib] => {
                let kib: u32 = kib.parse().map_err(|_| "no number")?;
                self.file("proc/meminfo".into(), format!("MemTotal: {kib:>14} kB\nMemFree:  {:>14} kB\n", 1));
            }
            ["word", bits] => {
                self.word = bits.parse().ok().filter(|w| [32, 64].contains(w)).ok_or("32 or 64")?
            }
            ["led", name] => self.led(name, "none"),
            ["led", name, trigger] => self.led(name, trigger),
            ["mtd", kind, name, size] => return self.mtd(kind, name, size, true),
            ["mtd", kind, name, size, "ro"] => return self.mtd(kind, name, size, false),
            ["ata", controller, disk] => self.ata(controller, disk),
            ["usb", disk] => self.scsi("platform/usb/usb1/1-1/1-1:1.0", disk, "USB STICK"),
            ["nvme", controller, disk] => return self.nvme(controller, disk),
            ["mmc", host, disk] => {
                self.disk(&format!("{host}/mmc_host/mmc0/mmc0:0001"), disk, "name", "EMMC")
            }
            ["hwmon", name, device, ref attributes @ ..] => return self.hwmon(name, device, attributes),
            ["zone", kind, milli] => {
                let dir = format!("sys/class/thermal/thermal_zone{}", self.counts.zones);
                self.counts.zones += 1;
                self.file(format!("{dir}/type"), kind);
                self.file(format!("{dir}/temp"), milli);
            }
            ["input", name, ref codes @ ..] => return self.input(name, codes),
            ["rtc", name] => self.rtc(name, "0"),
            ["rtc", name, "sets-clock"] => self.rtc(name, "1"),
            ["net", device, driver] => self.net(device, driver),
            ["watchdog", identity] => {
                let dir = format!("sys/class/watchdog/watchdog{}", self.counts.watchdogs);
                self.counts.watchdogs += 1;
                self.file(format!("{dir}/identity"), identity);
            }
            ["regulator", name] => {
                self.counts.regulators += 1;
                self.file(format!("sys/class/regulator/regulator.{}/name", self.counts.regulators), name);
            }
            ["nvmem", name] => self.file(format!("sys/bus/nvmem/devices/{name}/nvmem"), ""),
            ["ubi", volume, bytes] => {
                let dir = format!("sys/class/ubi/ubi0_{}", self.counts.ubi);
                self.counts.ubi += 1;
                self.file("sys/class/ubi/ubi0/min_io_size".into(), "2048");
                self.file(format!("{dir}/name"), volume);
                self.file(format!("{dir}/data_bytes"), bytes);
            }
            ["tty", name] => self.file(format!("sys/class/tty/{name}/dev"), "4:64"),
            _ => return Err("no known @word, or the wrong number of words behind it"),
        }
        Ok(())
    }

    fn led(&mut self, name: &str, trigger: &str) {
        let dir = format!("sys/class/leds/{name}");
        self.file(format!("{dir}/brightness"), if trigger == "default-on" { "255" } else { "0" });
        self.file(format!("{dir}/max_brightness"), "255");
        let offered = ["none", "disk-activity", "timer", "heartbeat", "default-on"];
        let mut all: Vec<String> =
            offered.iter().filter(|t| **t != trigger).map(ToString::to_string).collect();
        all.push(format!("[{trigger}]"));
        self.file(format!("{dir}/trigger"), all.join(" "));
    }

    fn mtd(&mut self, kind: &str, name: &str, size: &str, writeable: bool) -> Result<(), &'static str> {
        let (number, unit) = match (size.strip_suffix('K'), size.strip_suffix('M')) {
            (Some(number), _) => (number, 1024),
            (_, Some(number)) => (number, 1024 * 1024),
            _ => (size, 1),
        };
        let bytes: u64 = number.parse::<u64>().map_err(|_| "no size")? * unit;
        let (erase, write, flags) = match kind {
            "nand" => (131_072, 2048, 0x400),
            "nor" => (65_536, 1, 0xc00),
            _ => return Err("nand or nor"),
        };
        let flags = if writeable { flags } else { flags & !0x400 };
        for suffix in ["", "ro"] {
            let dir = format!("sys/class/mtd/mtd{}{suffix}", self.counts.mtd);
            self.file(format!("{dir}/name"), name);
            self.file(format!("{dir}/type"), kind);
            self.file(format!("{dir}/size"), bytes.to_string());
            self.file(format!("{dir}/erasesize"), erase.to_string());
            self.file(format!("{dir}/writesize"), write.to_string());
            self.file(format!("{dir}/flags"), format!("{flags:#x}"));
        }
        self.counts.mtd += 1;
        Ok(())
    }

    /// A port of an ATA controller; `-`: no disk is in it.
    fn ata(&mut self, controller: &str, disk: &str) {
        self.counts.ata += 1;
        let ata = format!("ata{}", self.counts.ata);
        let dir = format!("{controller}/{ata}");
        self.file(format!("sys/devices/{dir}/ata_port/{ata}/port_no"), self.counts.ata.to_string());
        self.link(&format!("sys/class/ata_port/{ata}"), &format!("sys/devices/{dir}/ata_port/{ata}"));
        if disk == "-" {
            self.counts.hosts += 1;
        } else {
            self.scsi(&dir, disk, "DISK");
        }
    }

    fn scsi(&mut self, above: &str, disk: &str, model: &str) {
        let host = self.counts.hosts;
        self.counts.hosts += 1;
        let device = format!("{above}/host{host}/target{host}:0:0/{host}:0:0:0");
        self.disk(&device, disk, "model", model);
    }

    fn nvme(&mut self, controller: &str, disk: &str) -> Result<(), &'static str> {
        let name = disk.strip_suffix("n1").ok_or("such as nvme0n1")?;
        let device = format!("{controller}/nvme/{name}");
        self.file(format!("sys/devices/{device}/model"), "DISK");
        let block = format!("sys/devices/{device}/{disk}");
        self.block(&block, disk);
        self.link(&format!("{block}/device"), &format!("sys/devices/{device}"));
        Ok(())
    }

    fn disk(&mut self, device: &str, disk: &str, key: &str, model: &str) {
        self.file(format!("sys/devices/{device}/{key}"), model);
        let block = format!("sys/devices/{device}/block/{disk}");
        self.block(&block, disk);
        self.link(&format!("{block}/device"), &format!("sys/devices/{device}"));
    }

    fn block(&mut self, block: &str, disk: &str) {
        self.file(format!("{block}/size"), "5860533168");
        self.file(format!("{block}/queue/rotational"), "1");
        self.link(&format!("sys/block/{disk}"), block);
    }

    fn hwmon(&mut self, name: &str, device: &str, attributes: &[&str]) -> Result<(), &'static str> {
        let number = self.counts.hwmon;
        self.counts.hwmon += 1;
        let device = format!("sys/devices/{device}");
        let dir = format!("{device}/hwmon/hwmon{number}");
        self.file(format!("{dir}/name"), name);
        self.link(&format!("{dir}/device"), &device);
        self.link(&format!("sys/class/hwmon/hwmon{number}"), &dir);
        for attribute in attributes {
            let (key, value) = attribute.split_once('=').ok_or("attributes are NAME=VALUE")?;
            self.file(format!("{dir}/{key}"), value);
        }
        Ok(())
    }

    fn input(&mut self, name: &str, codes: &[&str]) -> Result<(), &'static str> {
        let number = self.counts.inputs;
        self.counts.inputs += 1;
        let dir = format!("sys/devices/platform/{}/input/input{number}", name.replace(' ', "-"));
        self.file(format!("{dir}/name"), name);
        for (kind, file) in [("key:", "key"), ("switch:", "sw")] {
            let of_kind = codes.iter().filter_map(|code| code.strip_prefix(kind));
            let codes: Result<Vec<usize>, _> = of_kind.map(str::parse).collect();
            let bits = bitmap(&codes.map_err(|_| "codes are key:NUMBER or switch:NUMBER")?, self.word);
            self.file(format!("{dir}/capabilities/{file}"), bits);
        }
        if codes.iter().any(|c| !c.starts_with("key:") && !c.starts_with("switch:")) {
            return Err("codes are key:NUMBER or switch:NUMBER");
        }
        self.link(&format!("{dir}/event{number}/device"), &dir);
        self.link(&format!("sys/class/input/event{number}"), &format!("{dir}/event{number}"));
        Ok(())
    }

    fn rtc(&mut self, name: &str, sets_clock: &str) {
        let dir = format!("sys/class/rtc/rtc{}", self.counts.rtcs);
        self.counts.rtcs += 1;
        self.file(format!("{dir}/name"), name);
        self.file(format!("{dir}/hctosys"), sets_clock);
    }

    fn net(&mut self, device: &str, driver: &str) {
        let name = format!("eth{}", self.counts.nets);
        self.counts.nets += 1;
        let device = format!("sys/devices/{device}");
        let dir = format!("{device}/net/{name}");
        self.file(format!("{dir}/operstate"), "up");
        self.link(&format!("{dir}/device"), &device);
        self.file(format!("sys/bus/drivers/{driver}/uevent"), "");
        self.link(&format!("{device}/driver"), &format!("sys/bus/drivers/{driver}"));
        self.link(&format!("sys/class/net/{name}"), &dir);
    }
}

/// As the kernel prints a bitmap: words of a C long in hexadecimal, the highest first, without those that are empty above.
fn bitmap(codes: &[usize], word: usize) -> String {
    let mut words = vec![0u64; codes.iter().max().map_or(0, |m| m / word) + 1];
    for code in codes {
        words[code / word] |= 1 << (code % word);
    }
    words.iter().rev().map(|w| format!("{w:x}")).collect::<Vec<_>>().join(" ")
}

/// The other way.
pub fn codes(bitmap: &str, word: usize) -> Vec<u16> {
    let words: Vec<u64> = bitmap.split(' ').filter_map(|w| u64::from_str_radix(w, 16).ok()).collect();
    let bits = |(at, bits): (usize, &u64)| {
        let bits = *bits;
        (0..word).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| at * word + bit)
    };
    words.iter().rev().enumerate().flat_map(bits).filter_map(|code| u16::try_from(code).ok()).collect()
}

/// Changes a directory from one tree to another.
pub fn lay(dir: &Path, from: &Tree, to: &Tree) {
    for (path, entry) in from {
        if to.get(path) != Some(entry) {
            fs::remove_file(dir.join(path)).unwrap();
            // Directories that are now empty would still be there for the kernel's class directories.
            let mut above = dir.join(path);
            while above.pop() && above != dir && fs::remove_dir(&above).is_ok() {}
        }
    }
    for (path, entry) in to {
        if from.get(path) == Some(entry) {
            continue;
        }
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match entry {
            Entry::File(text) => fs::write(&path, text).unwrap(),
            Entry::Link(target) => symlink(target, &path).unwrap(),
        }
    }
}

#[test]
fn bitmaps_are_printed_as_the_kernel_does() {
    assert_eq!(bitmap(&[408], 32), "1000000 0 0 0 0 0 0 0 0 0 0 0 0");
    assert_eq!(bitmap(&[116, 133, 408], 64), "1000000 0 0 0 20 10000000000000 0");
    assert_eq!(bitmap(&[], 32), "0");
    for word in [32, 64] {
        assert_eq!(codes(&bitmap(&[0, 63, 64, 408], word), word), [0, 63, 64, 408]);
    }
}

#[test]
fn a_port_with_a_disk_is_as_sysfs_has_it() {
    let tree =
        parse("@usb sda\n@ata platform/soc/a.sata -\n@ata platform/soc/a.sata sdb # no comment").unwrap_err();
    assert!(tree.starts_with("3: "), "{tree}");
    let tree = parse("@usb sda\n@ata platform/soc/a.sata -\n@ata platform/soc/a.sata sdb").unwrap();
    let block = "../devices/platform/soc/a.sata/ata2/host2/target2:0:0/2:0:0:0/block/sdb";
    assert_eq!(tree["sys/block/sdb"], Entry::Link(block.into()));
    let device = "sys/devices/platform/soc/a.sata/ata2/host2/target2:0:0/2:0:0:0/block/sdb/device";
    assert_eq!(tree[device], Entry::Link("../../../2:0:0:0".into()));
    let port = "../../devices/platform/soc/a.sata/ata1/ata_port/ata1";
    assert_eq!(tree["sys/class/ata_port/ata1"], Entry::Link(port.into()));
}
