//! Disks as the agent sees them without asking: at work or quiet, warm, failing, worn; and a quiet one is left alone.

use std::fs;
use std::os::unix::fs::symlink;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use serde_json::Value;

use super::lab::{Lab, wait};

const SDA: &str = "nas/sys/devices/platform/soc/f10a8000.sata/ata1/host1/target1:0:0/1:0:0:0";
const SDB: &str = "nas/sys/devices/platform/soc/f10a8000.sata/ata2/host2/target2:0:0/2:0:0:0";

fn put(lab: &Lab, path: &str, text: &str) {
    let path = lab.path(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("{text}\n")).unwrap();
}

fn stat(lab: &Lab, device: &str, name: &str, reads: u64) {
    put(lab, &format!("{device}/block/{name}/stat"), &format!("{reads} 0 80 4 20 0 160 9 0 8 13"));
}

/// Two disks that drivetemp has thermometers of, and an eMMC.
fn lab() -> Lab {
    let mut lab = Lab::new();
    for (n, name, device) in [(5, "sda", SDA), (6, "sdb", SDB)] {
        stat(&lab, device, name, 100);
        put(&lab, &format!("{device}/ioerr_cnt"), "0x7");
        put(&lab, &format!("{device}/iotmo_cnt"), "0x0");
        put(&lab, &format!("{device}/state"), "running");
        put(&lab, &format!("{device}/power/runtime_status"), "active");
        let hwmon = format!("nas/sys/class/hwmon/hwmon{n}");
        put(&lab, &format!("{hwmon}/name"), "drivetemp");
        put(&lab, &format!("{hwmon}/temp1_input"), "41000");
        put(&lab, &format!("{hwmon}/temp1_max"), "55000");
        symlink(lab.path(device), lab.path(&hwmon).join("device")).unwrap();
    }
    let mmc = "nas/sys/devices/platform/soc/mmc0/mmc0:0001";
    put(&lab, &format!("{mmc}/life_time"), "0x0a 0x02");
    put(&lab, &format!("{mmc}/pre_eol_info"), "0x01");
    put(&lab, &format!("{mmc}/block/mmcblk0/size"), "7634944");
    symlink(lab.path(mmc), lab.path(&format!("{mmc}/block/mmcblk0/device"))).unwrap();
    symlink(lab.path(&format!("{mmc}/block/mmcblk0")), lab.path("nas/sys/block/mmcblk0")).unwrap();
    lab.start_agent();
    lab
}

fn disk(lab: &Lab, name: &str) -> Value {
    let disks = lab.get("/v1/hardware")["disks"].as_array().unwrap().clone();
    disks.into_iter().find(|d| d["device"] == name).unwrap()
}

fn finding(lab: &Lab, code: &str) -> Option<Value> {
    let status = lab.get("/v1/status");
    status["findings"].as_array().unwrap().iter().find(|f| f["code"] == code).cloned()
}

#[test]
fn only_a_disk_at_work_is_asked_for_its_temperature() {
    let lab = lab();
    let watch = Inotify::init(InitFlags::IN_NONBLOCK).unwrap();
    for n in [5, 6] {
        let dir = lab.path(&format!("nas/sys/class/hwmon/hwmon{n}"));
        watch.add_watch(&dir.join("temp1_input"), AddWatchFlags::IN_OPEN).unwrap();
        watch.add_watch(&dir.join("temp1_max"), AddWatchFlags::IN_OPEN).unwrap();
    }
    // Asked as often as somebody likes: nothing is known of them, and neither thermometer is touched.
    for _ in 0..5 {
        assert_eq!(
            (disk(&lab, "sda")["power"].as_str(), disk(&lab, "sdb")["power"].as_str()),
            (Some("unknown"), Some("unknown"))
        );
    }
    put(&lab, &format!("{SDB}/power/runtime_status"), "suspended");
    stat(&lab, SDB, "sdb", 101);
    assert_eq!(
        disk(&lab, "sdb")["power"],
        "asleep",
        "what the kernel has suspended sleeps, whatever it counts"
    );
    assert!(lab.get("/v1/hardware")["temperatures"].to_string().contains("lm75"), "others are read");
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(watch.read_events().is_err(), "a thermometer of a quiet disk was opened");
    // One of them works.
    stat(&lab, SDA, "sda", 101);
    wait("its temperature is known", || disk(&lab, "sda")["celsius"] == 41.0);
    let sda = disk(&lab, "sda");
    assert_eq!((&sda["power"], &sda["bay"]), (&"awake".into(), &1.into()));
    assert!(sda["celsius_age_s"].as_u64().unwrap() < 30 && sda["quiet_s"].is_u64());
    assert!(watch.read_events().is_ok(), "the watch sees openings");
    assert_eq!(disk(&lab, "sdb").get("celsius"), None);
    let shown = String::from_utf8(lab.moorline(&["hardware"]).stdout).unwrap();
    let line = shown.lines().find(|l| l.contains("sda")).unwrap();
    assert!(line.contains("bay 1, SIM DISK 3TB") && line.ends_with("awake, 41 °C"), "{shown}");
    assert!(shown.lines().any(|l| l.contains("sdb") && l.ends_with("asleep")), "{shown}");
    assert!(shown.lines().any(|l| l.contains("mmcblk0") && l.ends_with("100 % worn")), "{shown}");
}

#[test]
fn a_hot_disk_a_failing_one_and_worn_flash_are_findings_by_bay() {
    let lab = lab();
    let worn = finding(&lab, "flash-worn").unwrap();
    assert_eq!(worn["subject"], "mmcblk0");
    assert!(worn["evidence"].as_str().unwrap().contains("100 % of its life"), "{worn}");
    assert_eq!((finding(&lab, "disk-errors"), finding(&lab, "disk-hot")), (None, None));
    // A few failed commands are no news; many at work are.
    stat(&lab, SDB, "sdb", 101);
    put(&lab, &format!("{SDB}/ioerr_cnt"), "0xb");
    disk(&lab, "sdb");
    assert_eq!(finding(&lab, "disk-errors"), None);
    stat(&lab, SDB, "sdb", 102);
    put(&lab, &format!("{SDB}/ioerr_cnt"), "0x20");
    assert_eq!(disk(&lab, "sdb")["errors"], 32);
    let failing = finding(&lab, "disk-errors").unwrap();
    assert_eq!(failing["subject"], "bay 2");
    let evidence = failing["evidence"].as_str().unwrap();
    assert!(evidence.starts_with("bay 2 (sdb, SIM DISK 3TB): ") && evidence.contains("32"), "{evidence}");
    // The other one gets too hot, by its own limit.
    put(&lab, "nas/sys/class/hwmon/hwmon5/temp1_input", "56000");
    stat(&lab, SDA, "sda", 101);
    wait("it is hot", || disk(&lab, "sda")["celsius"] == 56.0);
    let hot = finding(&lab, "disk-hot").unwrap();
    assert_eq!(hot["subject"], "bay 1");
    assert!(hot["evidence"].as_str().unwrap().ends_with("56 °C, 55 °C are allowed"), "{hot}");
    // A disk that is pulled takes its findings along.
    fs::remove_file(lab.path("nas/sys/block/sdb")).unwrap();
    lab.get("/v1/hardware");
    assert_eq!(finding(&lab, "disk-errors"), None);
}
