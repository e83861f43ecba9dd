//! The microcontroller's port, against one that is played on a pseudo-terminal by the table of frames
//! (src/hardware/mcu/frame.rs), with its bad days.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use moorline::hardware::io::mcu::{Mcu, Report, Trouble};
use moorline::hardware::mcu::exchange::{Parts, Timing};
use moorline::hardware::mcu::frame::Command;
use moorline::hardware::mcu::lamp::Lamp;
use moorline::sys::root::Root;
use nix::fcntl::{Flock, FlockArg};

use serde_json::json;

use super::lab::{Lab, PATIENCE, wait};

const ACK: [u8; 7] = [0xfa, 0x30, 0, 0, 0, 0, 0xfb];

/// How it behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    Good,
    Silent,
    /// Half a frame and noise before each answer.
    Garbled,
    /// Each byte of an answer by itself.
    Slow,
    /// The acknowledgement comes when its time is up.
    LateAcknowledgement,
    /// Anything but the fan.
    Fanless,
}

/// What it saw.
#[derive(Default)]
pub struct Seen {
    pub frames: Vec<[u8; 7]>,
    /// From the first byte of each to its last.
    pub took: Vec<Duration>,
    /// The byte of the light.
    pub lamp: Option<u8>,
}

/// A microcontroller, until the value ends.
pub struct Microcontroller {
    pub tty: PathBuf,
    seen: Arc<Mutex<Seen>>,
    habit: Arc<Mutex<Habit>>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Microcontroller {
    pub fn new(habit: Habit) -> Self {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let tty = PathBuf::from(ptsname(&master, Vec::new()).unwrap().into_string().unwrap());
        let (seen, habit) = (Arc::<Mutex<Seen>>::default(), Arc::new(Mutex::new(habit)));
        let end = Arc::<AtomicBool>::default();
        let (file, play) = (File::from(master), (Arc::clone(&seen), Arc::clone(&habit), Arc::clone(&end)));
        let thread = std::thread::spawn(move || run(file, &play.0, &play.1, &play.2));
        Self { tty, seen, habit, end, thread: Some(thread) }
    }

    /// A tree in which it is ttyS1.
    pub fn tree(&self) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        self.plug(dir.path());
        dir
    }

    /// Into the tree `nas`.
    pub fn plug(&self, nas: &Path) {
        fs::create_dir_all(nas.join("dev")).unwrap();
        symlink(&self.tty, nas.join("dev/ttyS1")).unwrap();
    }

    pub fn behave(&self, habit: Habit) {
        *self.habit.lock().unwrap() = habit;
    }

    pub fn lamp(&self) -> Option<u8> {
        self.seen.lock().unwrap().lamp
    }

    pub fn frames(&self) -> Vec<[u8; 7]> {
        self.seen.lock().unwrap().frames.clone()
    }
}

impl Drop for Microcontroller {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

/// A byte, if one comes within 20 ms.
fn byte(file: &mut File) -> Option<u8> {
    use nix::poll::{PollFd, PollFlags, poll};
    use std::os::fd::AsFd;
    let mut fds = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, 20u8).unwrap();
    let is_there = fds[0].revents().is_some_and(|r| r.contains(PollFlags::POLLIN));
    let mut byte = [0];
    if is_there && file.read(&mut byte).is_ok_and(|n| n == 1) {
        return Some(byte[0]);
    }
    if !is_there {
        // While nobody has the other end open, poll returns at once.
        std::thread::sleep(Duration::from_millis(1));
    }
    None
}

fn run(mut file: File, seen: &Mutex<Seen>, habit: &Mutex<Habit>, end: &AtomicBool) {
    let (mut last, mut times) = ([0u8; 7], [Instant::now(); 7]);
    while !end.load(Ordering::Relaxed) {
        let Some(byte) = byte(&mut file) else { continue };
        last.rotate_left(1);
        times.rotate_left(1);
        (last[6], times[6]) = (byte, Instant::now());
        if last[0] != 0xfa || last[6] != 0xfb {
            continue;
        }
        let frame = std::mem::take(&mut last);
        {
            let mut seen = seen.lock().unwrap();
            seen.frames.push(frame);
            seen.took.push(times[6] - times[0]);
        }
        let habit = *habit.lock().unwrap();
        if let Some(value) = answer(frame, seen, habit) {
            say(&mut file, habit, &value);
        }
    }
}

/// The answer with a value, empty if there is only the acknowledgement; `None`: not a word.
fn answer(frame: [u8; 7], seen: &Mutex<Seen>, habit: Habit) -> Option<Vec<u8>> {
    let value = match frame {
        _ if habit == Habit::Silent => return None,
        [_, 0x03, 0x01, ..] => None,
        [_, 0x03, 0x08, ..] => Some(80),
        [_, 0x02, 0x01, ..] if habit == Habit::Fanless => return None,
        [_, 0x02, 0x01, ..] => Some(100),
        [_, 0x26, 0, lamp, 0, 1, _] => {
            seen.lock().unwrap().lamp = Some(lamp);
            None
        }
        other => panic!("{other:02x?} is not in the table of what may be sent"),
    };
    let [a, b, c, d, e, _, g] = frame;
    Some(value.map(|value| vec![a, b, c, d, e, value, g]).unwrap_or_default())
}

fn say(file: &mut File, habit: Habit, value: &[u8]) {
    if habit == Habit::Garbled {
        file.write_all(&[0x00, 0xfb, 0xfa, 0xfa, 0x30, 0x13]).unwrap();
    }
    match habit {
        Habit::Slow => value.iter().chain(&ACK).for_each(|byte| {
            file.write_all(&[*byte]).unwrap();
            std::thread::sleep(Duration::from_millis(10));
        }),
        Habit::LateAcknowledgement => {
            file.write_all(value).unwrap();
            std::thread::sleep(QUICK.answer + QUICK.quiet / 2);
            file.write_all(&ACK).unwrap();
        }
        _ => {
            file.write_all(value).unwrap();
            file.write_all(&ACK).unwrap();
        }
    }
}

/// The usual times, but for those that a test would wait for.
const QUICK: Timing = Timing { again: Duration::from_secs(2), ..Timing::USUAL };

fn open(tree: &tempfile::TempDir, timing: Timing) -> Mcu {
    let parts = Parts { temperature: true, fan: true };
    Mcu::new(Root::simulated(tree.path().to_owned()), "ttyS1", parts, timing)
}

/// The next report within `span`.
fn next(mcu: &mut Mcu, span: Duration) -> Option<Report> {
    smol::block_on(smol::future::or(
        async { Some(std::future::poll_fn(|cx| mcu.poll_report(cx)).await) },
        async {
            async_io::Timer::after(span).await;
            None
        },
    ))
}

/// Reports until one fits.
#[track_caller]
fn until(mcu: &mut Mcu, fits: impl Fn(&Report) -> bool) {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if next(mcu, Duration::from_millis(200)).is_some_and(|r| fits(&r)) {
            return;
        }
    }
    panic!("it did not come");
}

fn is_reading(report: &Report) -> bool {
    matches!(report, Report::Reading)
}

#[test]
fn temperature_fan_and_light_of_a_good_a_garbled_and_a_slow_one() {
    for habit in [Habit::Good, Habit::Garbled, Habit::Slow] {
        let other_end = Microcontroller::new(habit);
        let tree = other_end.tree();
        let mut mcu = open(&tree, QUICK);
        mcu.show(Lamp::Red);
        until(&mut mcu, is_reading);
        let exchange = mcu.exchange();
        let celsius = exchange.temperature().unwrap().degrees();
        assert!((celsius - 46.9).abs() < 0.05, "{habit:?}: {celsius}");
        assert_eq!((exchange.fan(), exchange.shown()), (Some(3000), Some(Lamp::Red)), "{habit:?}");
        assert_eq!(other_end.lamp(), Some(0x14), "{habit:?}");
        let frames = other_end.frames();
        assert_eq!(frames.len(), 4, "{habit:?}: each once: {frames:02x?}");
    }
}

#[test]
fn bytes_are_sent_one_by_one_with_their_pause() {
    let other_end = Microcontroller::new(Habit::Good);
    let tree = other_end.tree();
    let mut mcu = open(&tree, Timing { byte_gap: Duration::from_millis(40), ..QUICK });
    until(&mut mcu, is_reading);
    let took = other_end.seen.lock().unwrap().took.clone();
    // Six pauses; a machine that is busy may notice the first byte late.
    assert!(took.iter().all(|t| *t >= Duration::from_millis(160)), "{took:?}");
}

#[test]
fn a_silent_one_is_told_once_and_found_again_when_it_speaks() {
    let other_end = Microcontroller::new(Habit::Silent);
    let tree = other_end.tree();
    let mut mcu = open(&tree, QUICK);
    mcu.show(Lamp::Blue);
    until(&mut mcu, |r| matches!(r, Report::Silent(Command::Ready)));
    assert_eq!(other_end.frames().len(), 3, "tries");
    assert!(!mcu.ask(Duration::ZERO), "nobody is to wait for it");
    other_end.behave(Habit::Good);
    until(&mut mcu, |r| matches!(r, Report::Answers));
    until(&mut mcu, is_reading);
    assert_eq!((mcu.exchange().shown(), other_end.lamp()), (Some(Lamp::Blue), Some(0x11)));
}

#[test]
fn a_late_acknowledgement_is_not_taken_for_the_next_commands() {
    let other_end = Microcontroller::new(Habit::LateAcknowledgement);
    let tree = other_end.tree();
    let mut mcu = open(&tree, QUICK);
    mcu.show(Lamp::Blue);
    until(&mut mcu, |r| matches!(r, Report::Silent(Command::Ready)));
    assert_eq!(mcu.exchange().shown(), None);
    assert_eq!(other_end.lamp(), None, "it was never asked for");
}

#[test]
fn a_fan_that_says_nothing_hides_nothing() {
    let other_end = Microcontroller::new(Habit::Fanless);
    let tree = other_end.tree();
    let mut mcu = open(&tree, QUICK);
    until(&mut mcu, is_reading);
    assert!(mcu.exchange().temperature().is_some() && mcu.exchange().fan().is_none());
}

fn lock(tty: &Path) -> Option<Flock<File>> {
    let file = OpenOptions::new().read(true).write(true).custom_flags(nix::libc::O_NOCTTY).open(tty).ok()?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).ok()
}

#[test]
fn a_port_that_another_program_has_locked_is_left_to_it() {
    let other_end = Microcontroller::new(Habit::Good);
    let tree = other_end.tree();
    let theirs = lock(&other_end.tty).unwrap();
    let mut mcu = open(&tree, QUICK);
    let report = next(&mut mcu, PATIENCE);
    assert!(matches!(report, Some(Report::Port(Trouble::Taken(_)))), "{report:?}");
    assert!(next(&mut mcu, Duration::from_millis(300)).is_none(), "told once, then tried again rarely");
    assert_eq!(other_end.frames(), [[0u8; 7]; 0], "not a byte was sent");
    drop(theirs);
    let mut mcu = open(&tree, QUICK);
    until(&mut mcu, is_reading);
    assert!(lock(&other_end.tty).is_none(), "now it is ours");
    drop(mcu);
    assert!(lock(&other_end.tty).is_some(), "and now anybody's");
}

#[test]
fn who_is_not_root_cannot_open_the_port_meanwhile() {
    let other_end = Microcontroller::new(Habit::Good);
    let tree = other_end.tree();
    fs::set_permissions(&other_end.tty, fs::Permissions::from_mode(0o666)).unwrap();
    let busy = || {
        let mut open = if nix::unistd::geteuid().is_root() {
            let mut open = Program::new("setpriv");
            open.args(["--reuid=65534", "--clear-groups", "sh"]);
            open
        } else {
            Program::new("sh")
        };
        let done = open.args(["-c", "exec 3<>\"$0\""]).arg(&other_end.tty).output().unwrap();
        String::from_utf8_lossy(&done.stderr).contains("busy")
    };
    assert!(!busy());
    let mut mcu = open(&tree, QUICK);
    until(&mut mcu, is_reading);
    assert!(busy(), "TIOCEXCL");
    drop(mcu);
    assert!(!busy());
}

#[test]
fn the_kernels_console_is_not_talked_to() {
    let other_end = Microcontroller::new(Habit::Good);
    let tree = other_end.tree();
    fs::create_dir_all(tree.path().join("proc")).unwrap();
    let consoles = "ttyS10               -W- (EC p a)    4:74\nttyS1                -W- (EC p a)    4:65\n";
    fs::write(tree.path().join("proc/consoles"), consoles).unwrap();
    let mut mcu = open(&tree, QUICK);
    let report = next(&mut mcu, PATIENCE);
    assert!(matches!(report, Some(Report::Port(Trouble::Taken(_)))), "{report:?}");
    assert_eq!(other_end.frames(), [[0u8; 7]; 0]);
}

#[test]
fn a_port_that_is_not_there_or_goes_away_is_told_and_waited_for() {
    let nothing = tempfile::tempdir().unwrap();
    let mut mcu = open(&nothing, QUICK);
    let report = next(&mut mcu, PATIENCE);
    assert!(matches!(report, Some(Report::Port(Trouble::Failed(_)))), "{report:?}");
    let other_end = Microcontroller::new(Habit::Good);
    let tree = other_end.tree();
    let mut mcu = open(&tree, QUICK);
    until(&mut mcu, is_reading);
    drop(other_end);
    until(&mut mcu, |r| matches!(r, Report::Port(Trouble::Failed(_))));
    assert!(next(&mut mcu, Duration::from_millis(300)).is_none(), "and it does not spin");
}

/// An agent whose board has this microcontroller.
fn agent(lab: &mut Lab, other_end: &Microcontroller) {
    other_end.plug(&lab.path("nas"));
    lab.more += "[board]\nid = \"sim-mcu\"\n";
    lab.start_broker();
    lab.start_agent();
}

fn codes(lab: &Lab) -> Vec<String> {
    let findings = lab.get("/v1/status")["findings"].clone();
    findings.as_array().unwrap().iter().map(|f| f["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_agent_shows_its_temperature_and_its_lamp_follows_what_holds() {
    let other_end = Microcontroller::new(Habit::Good);
    let mut lab = Lab::new();
    agent(&mut lab, &other_end);
    lab.wait_online();
    wait("blue", || other_end.lamp() == Some(0x11));
    let hardware = lab.get("/v1/hardware");
    let named = |list: &str| {
        let list = hardware[list]
            .as_array()
            .unwrap()
            .iter()
            .find(|t| t["name"].as_str().unwrap().starts_with("mcu"));
        list.cloned().unwrap_or_default()
    };
    assert_eq!(named("temperatures"), json!({ "name": "mcu/1", "celsius": 46.9 }));
    assert_eq!(named("fans"), json!({ "name": "mcu/1", "rpm": 3000, "unreliable": true }));
    assert_eq!(named("leds"), json!({ "name": "mcu:power", "on": true, "shows": "blue" }));
    lab.nas("degraded");
    wait("red", || other_end.lamp() == Some(0x14));
    assert!(lab.moorline(&["hardware", "identify"]).status.success());
    wait("orange, blinking", || other_end.lamp() == Some(0x22));
    assert!(lab.moorline(&["hardware", "identify", "--stop"]).status.success());
    wait("red again", || other_end.lamp() == Some(0x14));
    assert_eq!(codes(&lab), ["array-degraded"]);
    assert!(lab.terminate_agent() < Duration::from_secs(2));
    assert_eq!(other_end.lamp(), Some(0x11), "left blue");
    let fan = other_end.frames().into_iter().find(|f| f[1] == 2 && f[2] != 1);
    assert_eq!(fan, None, "nothing ever drove the fan");
}

#[test]
fn a_silent_or_taken_one_is_a_finding_and_disturbs_nothing() {
    let other_end = Microcontroller::new(Habit::Silent);
    let mut lab = Lab::new();
    agent(&mut lab, &other_end);
    lab.wait_online();
    wait("the finding", || codes(&lab) == ["mcu-silent"]);
    let begun = Instant::now();
    let hardware = lab.get("/v1/hardware");
    assert!(hardware["temperatures"].as_array().unwrap().iter().all(|t| t["name"] != "mcu/1"));
    assert!(begun.elapsed() < Duration::from_secs(2), "nobody waits for what does not come");
    lab.terminate_agent();
    let theirs = lock(&other_end.tty).unwrap();
    lab.start_agent();
    wait("the finding", || codes(&lab) == ["mcu-busy"]);
    lab.wait_online();
    drop(theirs);
}
