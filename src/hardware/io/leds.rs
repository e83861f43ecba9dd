//! Lights in /sys/class/leds (kernel: Documentation/ABI/testing/sysfs-class-led). A shell.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use crate::hardware::led::{Action, LIGHTS_MAX, Show};
use crate::sys::root::{Root, read_small};

/// Names in the class directory that are looked at.
const NAMES_MAX: usize = 64;

/// The lights, and how those that were taken had been.
#[derive(Debug)]
pub struct Lights {
    root: Root,
    found: Vec<Found>,
}

/// A light as it was before the agent took it.
#[derive(Debug)]
struct Found {
    name: String,
    brightness: String,
    /// `None`: it had none, or the light cannot have any.
    trigger: Option<String>,
    /// `delay_on` and `delay_off` of a light that blinked by itself.
    delays: Option<[String; 2]>,
}

impl Lights {
    /// Nothing is touched yet.
    pub const fn new(root: Root) -> Self {
        Self { root, found: Vec::new() }
    }

    /// The names that are there.
    pub fn names(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.root.path("/sys/class/leds")) else { return Vec::new() };
        let names = entries.filter_map(Result::ok).map(|e| e.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.take(NAMES_MAX).collect();
        names.sort();
        names
    }

    /// Carries out one action.
    ///
    /// # Errors
    /// Those of writing to sysfs, with the light's name.
    pub fn carry_out(&mut self, action: &Action) -> Result<(), (String, io::Error)> {
        let (name, done) = match action {
            Action::Save(name) => (name, self.save(name)),
            Action::Set(name, show) => (name, self.set(name, *show)),
            Action::Restore(name) => (name, self.restore(name)),
        };
        done.map_err(|error| (name.clone(), error))
    }

    fn attribute(&self, name: &str, attribute: &str) -> PathBuf {
        self.root.path("/sys/class/leds").join(name).join(attribute)
    }

    fn read(&self, name: &str, attribute: &str) -> io::Result<String> {
        read_small(&self.attribute(name, attribute))
    }

    /// Writes an attribute that is there; never makes one.
    fn write(&self, name: &str, attribute: &str, text: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).truncate(true).open(self.attribute(name, attribute))?;
        file.write_all(text.as_bytes())
    }

    fn save(&mut self, name: &str) -> io::Result<()> {
        if self.found.iter().any(|f| f.name == name) {
            return Ok(());
        }
        if self.found.len() >= LIGHTS_MAX {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let brightness = self.read(name, "brightness")?;
        let trigger = self.read(name, "trigger").ok().and_then(|t| current(&t)).filter(|t| t != "none");
        let delays = trigger
            .as_ref()
            .and_then(|_| Some([self.read(name, "delay_on").ok()?, self.read(name, "delay_off").ok()?]));
        self.found.push(Found { name: name.to_owned(), brightness, trigger, delays });
        Ok(())
    }

    fn set(&self, name: &str, show: Show) -> io::Result<()> {
        // A light whose state is not remembered could not be given back.
        if !self.found.iter().any(|f| f.name == name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        match show {
            Show::AsFound => Ok(()),
            Show::Off => self.steady(name, "0"),
            Show::On => self.lit(name),
            Show::Blink(ms) => self.blink(name, ms).or_else(|_| self.lit(name)),
        }
    }

    fn lit(&self, name: &str) -> io::Result<()> {
        let full = self.read(name, "max_brightness").unwrap_or_else(|_| "255".into());
        self.steady(name, &full)
    }

    fn steady(&self, name: &str, brightness: &str) -> io::Result<()> {
        // What the trigger is now counts: the agent's own blinking is one too.
        match self.read(name, "trigger") {
            Ok(triggers) if current(&triggers).as_ref().unwrap_or(&triggers) == "none" => {}
            Ok(_) => self.write(name, "trigger", "none")?,
            // A light that can have no trigger has no such file.
            Err(_) => {}
        }
        self.write(name, "brightness", brightness)
    }

    /// By the kernel's own timer, so that the agent sleeps meanwhile.
    fn blink(&self, name: &str, ms: u16) -> io::Result<()> {
        let offered = self.read(name, "trigger")?;
        if !offered.split_whitespace().any(|t| t.trim_matches(['[', ']']) == "timer") {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.write(name, "trigger", "timer")?;
        let delay = ms.to_string();
        self.write(name, "delay_on", &delay)?;
        self.write(name, "delay_off", &delay)
    }

    fn restore(&mut self, name: &str) -> io::Result<()> {
        let Some(at) = self.found.iter().position(|f| f.name == name) else { return Ok(()) };
        let found = self.found.swap_remove(at);
        // The agent's blinking ends first: with a trigger on, a brightness is the trigger's.
        self.steady(name, &found.brightness)?;
        let Some(trigger) = found.trigger else { return Ok(()) };
        // After the brightness: writing 0 there would take the trigger off again.
        self.write(name, "trigger", &trigger)?;
        if let Some([on, off]) = found.delays {
            self.write(name, "delay_on", &on)?;
            self.write(name, "delay_off", &off)?;
        }
        Ok(())
    }
}

/// The word in brackets: `none timer [disk-activity]`.
pub fn current(triggers: &str) -> Option<String> {
    let (_, rest) = triggers.split_once('[')?;
    let (word, _) = rest.split_once(']')?;
    Some(word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(trigger: &str) -> (tempfile::TempDir, Lights) {
        let dir = tempfile::tempdir().unwrap();
        let led = dir.path().join("sys/class/leds/red:hdd1");
        fs::create_dir_all(&led).unwrap();
        fs::write(led.join("brightness"), "7").unwrap();
        fs::write(led.join("max_brightness"), "64").unwrap();
        fs::write(led.join("trigger"), trigger).unwrap();
        let root = Root::simulated(dir.path().to_owned());
        (dir, Lights::new(root))
    }

    fn read(lights: &Lights, attribute: &str) -> String {
        fs::read_to_string(lights.attribute("red:hdd1", attribute)).unwrap()
    }

    fn state(lights: &Lights) -> (String, String) {
        (read(lights, "brightness"), read(lights, "trigger"))
    }

    fn carry_out(lights: &mut Lights, actions: &[Action]) {
        actions.iter().for_each(|a| lights.carry_out(a).unwrap());
    }

    fn save() -> Action {
        Action::Save("red:hdd1".into())
    }

    fn set(show: Show) -> Action {
        Action::Set("red:hdd1".into(), show)
    }

    fn restore() -> Action {
        Action::Restore("red:hdd1".into())
    }

    #[test]
    fn a_light_is_given_back_with_brightness_and_trigger() {
        let (_dir, mut lights) = tree("none [timer] heartbeat");
        carry_out(&mut lights, &[save(), set(Show::On)]);
        assert_eq!(state(&lights), ("64".into(), "none".into()));
        carry_out(&mut lights, &[set(Show::Off)]);
        assert_eq!(state(&lights), ("0".into(), "none".into()));
        carry_out(&mut lights, &[restore()]);
        assert_eq!(state(&lights), ("7".into(), "timer".into()));
    }

    #[test]
    fn the_first_saving_counts() {
        let (_dir, mut lights) = tree("[none] timer");
        carry_out(&mut lights, &[save(), set(Show::On), save(), restore()]);
        assert_eq!(state(&lights).0, "7");
    }

    #[test]
    fn a_light_without_a_trigger_gets_none() {
        let (_dir, mut lights) = tree("[none] timer");
        carry_out(&mut lights, &[save(), set(Show::On), restore()]);
        assert_eq!(state(&lights), ("7".into(), "[none] timer".into()));
    }

    #[test]
    fn blinking_is_the_kernels_timer_or_a_steady_light() {
        let (dir, mut lights) = tree("[none] timer");
        let led = dir.path().join("sys/class/leds/red:hdd1");
        // The kernel makes these when the trigger is set.
        ["delay_on", "delay_off"].iter().for_each(|f| fs::write(led.join(f), "500").unwrap());
        carry_out(&mut lights, &[save(), set(Show::Blink(125))]);
        assert_eq!((state(&lights).1, read(&lights, "delay_off")), ("timer".into(), "125".into()));
        carry_out(&mut lights, &[restore()]);
        assert_eq!(state(&lights), ("7".into(), "none".into()));
        let (_dir, mut lights) = tree("[none] heartbeat");
        carry_out(&mut lights, &[save(), set(Show::Blink(125))]);
        assert_eq!(state(&lights).0, "64", "no timer: steady");
    }

    #[test]
    fn a_light_that_blinked_by_itself_blinks_at_its_own_pace_again() {
        let (dir, mut lights) = tree("none [timer]");
        let led = dir.path().join("sys/class/leds/red:hdd1");
        ["delay_on", "delay_off"].iter().for_each(|f| fs::write(led.join(f), "500").unwrap());
        carry_out(&mut lights, &[save(), set(Show::Blink(125)), restore()]);
        assert_eq!((state(&lights).1, read(&lights, "delay_on")), ("timer".into(), "500".into()));
    }

    #[test]
    fn a_light_that_was_not_saved_is_not_touched() {
        let (_dir, mut lights) = tree("[none] timer");
        assert_eq!(lights.carry_out(&set(Show::On)).unwrap_err().1.kind(), io::ErrorKind::NotFound);
        assert_eq!(state(&lights), ("7".into(), "[none] timer".into()));
    }

    #[test]
    fn a_light_that_is_gone_is_an_error_with_its_name() {
        let (_dir, mut lights) = tree("");
        assert_eq!(lights.carry_out(&Action::Save("x".into())).unwrap_err().0, "x");
    }
}
