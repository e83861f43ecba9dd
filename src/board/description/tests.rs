//! What board files can say, and what is refused, with the place.

use super::*;

const GOOD: &str = "schema = 1\nid = \"x\"\nname = \"X\"\nsoc = \"s\"\nisa = \"armv7\"\nsource = [\"y:z\"]\n\
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
    codes(&with("rtc = [\"a\", \"a\"]"), &["impossible"]);
    codes(&with("notes = [\"two\\nlines\"]"), &["bad-value"]);
    codes(&format!("{GOOD}{}", BAY.replace("= 1", "= 9")), &["out-of-range"]);
    codes(&with("bay_count = 9"), &["out-of-range"]);
    codes(&format!("{}{}", with("bay_count = 2"), BAY.replace("= 1", "= 3")), &["out-of-range"]);
    codes(&with("fan_count = \"2\""), &["wrong-type"]);
    codes(&with("absent = [\"wheels\"]"), &["bad-value"]);
    let many: String = (0..17).map(|n| format!("\"{n}\",")).collect();
    codes(&with(&format!("rtc = [{many}]")), &["too-many"]);
    codes("", &["missing-key"; 7]);
}

#[test]
fn a_mistake_is_told_with_its_line() {
    let fault = parse(&with("fan_count = 99")).unwrap_err().remove(0);
    assert_eq!((fault.line, fault.column), (7, 13));
}

#[test]
fn a_bay_path_names_controller_and_port_and_ends() {
    for path in ["sda", "ata1/", "a.sata/ata1", "a.sata/ata1/host0/block/sda/"] {
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
    assert_eq!(board.knows(Part::Rtc), Known::Present);
    assert_eq!(board.rtc, ["rtc-a", "rtc-b"]);
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

const MCU: &str =
    "[mcu]\nkind = \"weltrend\"\ntty = \"ttyS1\"\nhas = [\"lamp\", \"fan\"]\nrpm = \"unreliable\"\n";

/// The fault that `more` at the end of a good file has: code, and the text at its place.
#[track_caller]
fn fault(more: &str, code: &str, place: &str) {
    let text = format!("{GOOD}{more}");
    let faults = parse(&text).unwrap_err();
    let [fault] = faults.as_slice() else { panic!("{more}: {faults:?}") };
    let line = text.lines().nth(fault.line - 1).unwrap();
    let at: String = line.chars().skip(fault.column - 1).collect();
    assert_eq!(fault.code, code, "{more}");
    assert!(at.starts_with(place), "{more}: it is told at {at:?}");
}

#[track_caller]
fn good(more: &str) -> Description {
    parse(&format!("{GOOD}{more}")).unwrap()
}

#[test]
fn a_source_is_a_repository_and_a_path() {
    for bad in ["y", ":z", "y:", " : "] {
        codes(&GOOD.replace("y:z", bad), &["bad-value"]);
    }
}

#[test]
fn a_string_that_many_products_share_needs_another_fact() {
    let with = |m: &str| GOOD.replace("model = [\"X\"]", m);
    let shared = "compatible = [\"marvell,a375-db\"]\n";
    for more in [
        "",
        "memory_mib = [400, 512]",
        "mtd = [\"u-boot\"]",
        "sata_ports = 1",
        "hardware = [\"Marvell Armada (Device Tree)\"]",
    ] {
        codes(&with(&format!("{shared}{more}")), &["evaluation-board"]);
    }
    for more in [
        "model = [\"WD\"]",
        "hardware = [\"Comcerto\"]",
        "memory_mib = [400, 512]\nmtd = [\"a\"]",
        "memory_mib = [1, 2]\nsata_ports = 0",
    ] {
        parse(&with(&format!("{shared}{more}"))).unwrap();
    }
    codes(&with("compatible = [\"own,board\", \"marvell,armada385\"]"), &["evaluation-board"]);
    codes(&with("hardware = [\"Generic DT based system\"]"), &["evaluation-board"]);
    codes(&with("memory_mib = [1, 2]\nmtd = [\"a\"]\nsata_ports = 1"), &["missing-key"]);
    for bad in ["[2, 1]", "[1]", "[]", "[1, 2, 3]"] {
        codes(&with(&format!("{shared}model = [\"WD\"]\nmemory_mib = {bad}")), &["bad-value"]);
    }
}

#[test]
fn memory_and_ports_keep_two_files_apart_and_partitions_do_not() {
    let board = |id: &str, more: &str| {
        let matched =
            format!("compatible = [\"marvell,a375-db\"]\nmemory_mib = [400, 512]\nsata_ports = 1\n{more}");
        let matched = if more.contains("memory") {
            matched.replacen("memory_mib = [400, 512]\n", "", 1)
        } else {
            matched
        };
        let matched =
            if more.contains("ports") { matched.replacen("sata_ports = 1\n", "", 1) } else { matched };
        parse(&GOOD.replace("\"x\"", &format!("{id:?}")).replace("model = [\"X\"]", &matched)).unwrap()
    };
    let a = board("a", "");
    for (more, expect) in [
        ("", 1),
        ("mtd = [\"u-boot\"]", 1),
        ("memory_mib = [512, 600]", 1),
        ("memory_mib = [513, 600]", 0),
        ("sata_ports = 2", 0),
        ("model = [\"A\"]", 1),
    ] {
        assert_eq!(conflicts(&[a.clone(), board("b", more)]).len(), expect, "{more}");
    }
}

#[test]
fn a_bay_is_a_path_or_a_port_of_a_controller() {
    let bay = |place: &str| format!("[[bay]]\nnumber = 1\n{place}\n");
    let expect = Slot::Port { controller: "f10a8000.sata".into(), port: 2 };
    assert_eq!(good(&bay("controller = \"f10a8000.sata\"\nport = 2")).bays[0].slot, expect);
    let nvme = "a40000000.pcie/pci0000:00/";
    assert_eq!(good(&bay(&format!("path = {nvme:?}"))).bays[0].slot, Slot::Path(nvme.into()));
    for none in ["", "controller = \"a.sata\"", "port = 1", "path = \"a.sata/ata1/\"\nport = 1"] {
        fault(&bay(none), "missing-key", "[[bay");
    }
    for bad in ["a.sata/", "/a.sata", "a.sata/ata1", "a//b"] {
        fault(&bay(&format!("controller = {bad:?}\nport = 1")), "bad-value", &format!("{bad}\""));
    }
    let port_0 = bay("controller = \"a.sata\"\nport = 0");
    codes(&format!("{GOOD}{port_0}"), &["missing-key", "out-of-range"]);
}

#[test]
fn polarity_and_fan_control_are_refused_by_name() {
    for key in ["active_low", "active_high", "polarity", "inverted"] {
        let value = format!("{key} = true\n");
        fault(&format!("[leds]\n{value}"), "polarity", key);
        fault(&format!("{BAY}{value}"), "polarity", key);
        let button = "[[button]]\nname = \"a\"\ndevice = [\"d\"]\ncode = 1\n";
        fault(&format!("{button}{value}"), "polarity", key);
        fault(&format!("[[fan]]\nname = [\"f\"]\n{value}"), "polarity", key);
    }
    for key in ["pwm", "speed", "write", "target", "curve"] {
        fault(&format!("[[fan]]\nname = [\"f\"]\n{key} = 1\n"), "fan-control", key);
    }
}

#[test]
fn a_lamp_behind_a_microcontroller_needs_one_that_is_spoken_to() {
    let lamp = "[leds]\nstatus = [\"mcu:power\"]\n";
    let board = good(&format!("{lamp}{MCU}"));
    assert_eq!(Backend::of(&board.status_led[0]), Backend::Mcu("power"));
    assert_eq!(Backend::of("red:hdd1"), Backend::Sysfs("red:hdd1"));
    assert!(board.mcu.as_ref().unwrap().gives(McuPart::Lamp));
    fault(lamp, "bad-value", "mcu:power");
    fault(&format!("{lamp}{}", MCU.replace("\"lamp\", ", "")), "bad-value", "mcu:power");
    fault(&format!("{lamp}{}", MCU.replace("weltrend", "vendor")), "bad-value", "mcu:power");
    fault(&format!("{}{MCU}", lamp.replace("power", "disk")), "bad-value", "mcu:disk");
    fault(&format!("{}{MCU}", lamp.replace("status", "kernel")), "bad-value", "mcu:power");
}

#[test]
fn a_serial_port_has_one_owner() {
    let console = |port: &str| parse(&format!("{}{MCU}", with(&format!("console = {port:?}"))));
    assert_eq!(console("ttyS0").unwrap().console.as_deref(), Some("ttyS0"));
    assert_eq!(console("ttyS1").unwrap_err()[0].code, "impossible");
    for bad in ["dev/ttyS1", "ttyS1/x", "tty", "../x", "ttyS123456789"] {
        codes(&with(&format!("console = {bad:?}")), &["bad-name"]);
    }
    fault("[mcu]\nkind = \"weltrend\"\n", "missing-key", "[mcu");
    assert_eq!(good("[mcu]\nkind = \"vendor\"\n").mcu.unwrap().tty, None, "not spoken to");
    fault(&MCU.replace(", \"fan\"", ""), "impossible", "[mcu");
    fault(&MCU.replace("\"lamp\"", "\"wheels\""), "bad-value", "wheels");
}

#[test]
fn colours_are_those_of_the_one_lamp() {
    let lamp = "[leds]\nfault = [\"r\"]\nstatus = [\"g\"]\none_lamp = true\ncolours = { red = [\"r\"], green = [\"g\"], blue = [\"b\"] }\n";
    let tints = good(lamp).colours;
    let expect = [Colour::Red, Colour::Green, Colour::Blue];
    assert_eq!(tints.iter().map(|t| t.colour).collect::<Vec<_>>(), expect);
    assert_eq!(tints[2].names, ["b"]);
    fault(&lamp.replace("one_lamp = true\n", ""), "impossible", "[leds");
    fault(&lamp.replace("red = [\"r\"]", "red = [\"other\"]"), "impossible", "[leds");
    fault(&lamp.replace("blue", "pink"), "unknown-key", "pink");
    fault(&lamp.replace("\"b\"", "\"../b\""), "bad-name", "../b");
}

#[test]
fn buttons_have_a_kind_and_a_role() {
    let button = |more: &str| format!("[[button]]\nname = \"a\"\ndevice = [\"d\"]\n{more}\n");
    let found = good(&button("code = 198")).buttons.remove(0);
    assert_eq!((found.input, found.role), (Input::Key, Role::Other));
    let found = good(&button("code = 0\ntype = \"switch\"\nrole = \"power\"")).buttons.remove(0);
    assert_eq!((found.input, found.code, found.role), (Input::Switch, 0, Role::Power));
    assert_eq!(good(&button("code = 240\nrole = \"alarm\"")).buttons[0].role, Role::Alarm);
    codes(&format!("{GOOD}{}", button("code = 17\ntype = \"switch\"")), &["missing-key", "out-of-range"]);
    fault(&button("code = 1\nrole = \"copy-paste\""), "bad-value", "copy-paste");
    let twice = button("code = 1") + &button("code = 1").replace("\"a\"", "\"b\"");
    fault(&twice, "impossible", "[[button");
    good(&(button("code = 1") + &button("code = 1\ntype = \"switch\"").replace("\"a\"", "\"b\"")));
}

#[test]
fn fans_and_thermometers_are_told_apart() {
    let fan = |more: &str| format!("[[fan]]\nname = [\"g762\"]\n{more}\n");
    let three = [fan("device = \"0-003e\""), fan("device = \"0-0048\""), fan("device = \"0-0049\"")].concat();
    assert_eq!(good(&three).fans.len(), 3);
    fault(&(fan("") + &fan("device = \"0-0048\"")), "impossible", "[[fan");
    let found = good(&fan("rpm = \"virtual\"\nowner = \"kernel\"")).fans.remove(0);
    assert_eq!((found.rpm, found.owner), (Some(Rpm::Virtual), Some(FanOwner::Kernel)));
    fault(&fan("owner = \"agent\""), "bad-value", "agent");
    codes(&format!("{}{three}", with("fan_count = 2")), &["out-of-range"]);
    fault("[[temperature]]\nlabel = \"board\"\n", "missing-key", "[[temp");
    let names = ["gpio-fan".to_owned()];
    assert!(thermal::is_driver(&names, "gpio_fan") && thermal::is_driver(&names, "gpio-fan"));
    assert!(!thermal::is_driver(&names, "gpio_fans") && !thermal::is_driver(&names, "gpio.fan"));
}

#[test]
fn arrays_are_told_by_what_they_are_made_of() {
    let array = |more: &str| format!("[[array]]\nrole = \"system\"\n{more}\n");
    let found =
        good(&array("level = \"raid1\"\npartition = 1\nmembers = 4\nexpected_degraded = true\ndisks = 2"));
    let found = &found.arrays[0];
    assert_eq!(found.expected_degraded, Some(Degraded::Disks(2)));
    assert!(found.fits("raid1", 4, Some(1)));
    assert!(
        !found.fits("raid5", 4, Some(1)) && !found.fits("raid1", 2, Some(1)) && !found.fits("raid1", 4, None)
    );
    let fitted = good(&array("members = 4\nexpected_degraded = true"));
    assert_eq!(fitted.arrays[0].expected_degraded, Some(Degraded::Fitted));
    for odd in ["disks = 1", "expected_degraded = true\ndisks = 4", "expected_degraded = false\ndisks = 1"] {
        fault(&array(&format!("members = 4\n{odd}")), "impossible", "[[array");
    }
    fault(&array(""), "missing-key", "[[array");
    for key in ["device", "name", "md"] {
        fault(&array(&format!("members = 2\n{key} = \"md0\"")), "md-number", key);
    }
    fault(&(array("partition = 1") + &array("level = \"raid1\"")), "impossible", "[[array");
    good(&(array("partition = 1") + &array("partition = 2")));
}

#[test]
fn places_for_the_store_have_an_order_and_a_form() {
    let places = |list: &str| format!("[state]\ntry = [{list}]\n");
    let board =
        good(&(places("\"ubi:a\", \"dir:/b\", \"disk:/c\"") + "fs = [\"ext4\"]\nnever_mtd = [\"u-boot\"]\n"));
    assert_eq!((board.state.len(), board.state_fs.len(), board.never_mtd.len()), (3, 1, 1));
    fault(&places("\"disk:/c\", \"ubi:a\""), "impossible", "disk:/c");
    fault(&(places("\"mtd:a\"") + "never_mtd = [\"a\"]\n"), "impossible", "mtd:a");
    fault(&(places("\"ubi:a\"") + "fs = [\"ext4\"]\n"), "impossible", "ubi:a");
    for bad in ["dir:x", "disk:x", "mtd:", "ubi:", "file:/x", "/x", "usb"] {
        fault(&places(&format!("{bad:?}")), "bad-value", bad);
    }
}

#[test]
fn addresses_sockets_and_watchdogs_have_their_places() {
    let mac = "[identity.mac]\nmtd = \"u-boot\"\noffset = 0xff800\nlength = 0x11\n";
    let expect =
        Cell { medium: Medium::Mtd("u-boot".into()), offset: 0xff800, length: 17, format: Format::Ascii };
    assert_eq!(good(mac).mac, Some(expect));
    let nvmem =
        good("[identity.serial]\nnvmem = \"0-00500\"\nlength = 6\nformat = \"binary\"\n").serial.unwrap();
    assert_eq!((nvmem.medium, nvmem.format), (Medium::Nvmem("0-00500".into()), Format::Binary));
    fault(&mac.replace("length = 0x11\n", ""), "missing-key", "[identity.mac");
    fault(&mac.replace("mtd", "nvmem = \"x\"\nmtd"), "missing-key", "[identity.mac");
    let nic =
        good("[[nic]]\npath = \"f1070000.ethernet\"\nlabel = \"LAN 1\"\n[[nic]]\ndriver = \"r8169\"\n").nics;
    assert_eq!(
        (nic[0].path.as_deref(), nic[1].driver.as_deref()),
        (Some("f1070000.ethernet"), Some("r8169"))
    );
    fault("[[nic]]\nlabel = \"LAN\"\n", "missing-key", "[[nic");
    fault("[[nic]]\ndriver = \"a\"\nname = \"eth0\"\n", "nic-number", "name");
    fault("[[nic]]\ndriver = \"a\"\n[[nic]]\ndriver = \"a\"\n", "impossible", "[[nic");
    assert_eq!(good("[watchdog]\nowner = \"vendor\"\n").watchdog, Some(Watchdog::Vendor));
    let named = Watchdog::Identity(vec!["Orion Watchdog".into()]);
    assert_eq!(good("[watchdog]\nidentity = [\"Orion Watchdog\"]\n").watchdog, Some(named));
    fault("[watchdog]\n", "missing-key", "[watchdog");
    codes(&format!("{GOOD}[watchdog]\nowner = \"agent\"\n"), &["missing-key", "bad-value"]);
}

/// For each part: a text that describes it.
const DESCRIBED: [(Part, &str); 14] = [
    (Part::FaultLed, "[leds]\nfault = [\"a\"]\n"),
    (Part::StatusLed, "[leds]\nstatus = [\"a\"]\n"),
    (Part::BayFaultLed, "fault_led = [\"a\"]\n"),
    (Part::BayActivityLed, "activity_led = [\"a\"]\n"),
    (Part::BayOkLed, "ok_led = [\"a\"]\n"),
    (Part::Buttons, "[[button]]\nname = \"a\"\ndevice = [\"d\"]\ncode = 1\n"),
    (Part::Temperatures, "[[temperature]]\nname = [\"a\"]\n"),
    (Part::Fans, "[[fan]]\nname = [\"a\"]\n"),
    (Part::Rtc, "rtc = [\"a\"]\n"),
    (Part::Mcu, MCU),
    (Part::Watchdog, "[watchdog]\nowner = \"vendor\"\n"),
    (Part::Flash, "[state]\ntry = [\"ubi:a\"]\n"),
    (Part::Mac, "[identity.mac]\nmtd = \"a\"\nlength = 6\n"),
    (Part::Serial, "[identity.serial]\nmtd = \"a\"\nlength = 6\n"),
];

#[test]
fn every_part_can_be_known_absent_or_unknown_and_no_two_at_once() {
    assert_eq!(DESCRIBED.map(|(part, _)| part), Part::ALL.map(|(_, part)| part));
    for (part, described) in DESCRIBED {
        let file = |absent: &str| match part {
            Part::BayFaultLed | Part::BayActivityLed | Part::BayOkLed => format!("{}{BAY}", with(absent)),
            Part::Rtc => with(&format!("{absent}\n#more")),
            _ => with(absent),
        };
        let put = |absent: &str| match part {
            Part::Rtc => file(absent).replace("#more", described),
            _ => file(absent) + described,
        };
        let absent = format!("absent = [{:?}]", part.name());
        assert_eq!(parse(&file("")).unwrap().knows(part), Known::Unknown, "{part:?}");
        assert_eq!(parse(&file(&absent)).unwrap().knows(part), Known::Absent, "{part:?}");
        assert_eq!(parse(&put("")).unwrap().knows(part), Known::Present, "{part:?}");
        let faults = parse(&put(&absent)).unwrap_err();
        assert_eq!((faults.len(), faults[0].code, faults[0].line), (1, "impossible", 7), "{part:?}");
    }
}
