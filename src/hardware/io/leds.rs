//! Lights in /sys/class/leds (kernel: Documentation/ABI/testing/sysfs-class-led). A shell.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::hardware::led::{Action, LIGHTS_MAX};
use crate::sys::root::{Root, read_small};

/// Names in the class directory that are looked at.
const NAMES_MAX: usize = 64;

/// The lights, and how those that were taken had been.
#[derive(Debug)]
pub struct Lights {
    root: Root,
    found: Vec<Found>,
}

#[derive(Debug)]
struct Found {
    name: String,
    brightness: String,
    trigger: Option<String>,
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
        match action {
            Action::Light(name) => self.light(name).map_err(|e| (name.clone(), e)),
            Action::Restore(name) => self.restore(name).map_err(|e| (name.clone(), e)),
        }
    }

    fn attribute(&self, name: &str, attribute: &str) -> PathBuf {
        self.root.path("/sys/class/leds").join(name).join(attribute)
    }

    fn light(&mut self, name: &str) -> io::Result<()> {
        let brightness = read_small(&self.attribute(name, "brightness"))?;
        let trigger = read_small(&self.attribute(name, "trigger")).ok().and_then(|t| current(&t));
        let full = read_small(&self.attribute(name, "max_brightness")).unwrap_or_else(|_| "255".into());
        if self.found.len() < LIGHTS_MAX && !self.found.iter().any(|f| f.name == name) {
            self.found.push(Found { name: name.to_owned(), brightness, trigger: trigger.clone() });
        }
        if trigger.is_some_and(|t| t != "none") {
            fs::write(self.attribute(name, "trigger"), "none")?;
        }
        fs::write(self.attribute(name, "brightness"), full)
    }

    fn restore(&mut self, name: &str) -> io::Result<()> {
        let Some(at) = self.found.iter().position(|f| f.name == name) else { return Ok(()) };
        let found = self.found.swap_remove(at);
        fs::write(self.attribute(name, "brightness"), &found.brightness)?;
        match found.trigger {
            // After the brightness: writing 0 there would take the trigger off again.
            Some(trigger) if trigger != "none" => fs::write(self.attribute(name, "trigger"), trigger),
            Some(_) | None => Ok(()),
        }
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

    #[test]
    fn a_light_is_given_back_with_brightness_and_trigger() {
        let (_dir, mut lights) = tree("none [timer] heartbeat");
        lights.carry_out(&Action::Light("red:hdd1".into())).unwrap();
        assert_eq!((read(&lights, "brightness"), read(&lights, "trigger")), ("64".into(), "none".into()));
        lights.carry_out(&Action::Restore("red:hdd1".into())).unwrap();
        assert_eq!((read(&lights, "brightness"), read(&lights, "trigger")), ("7".into(), "timer".into()));
    }

    #[test]
    fn a_light_without_a_trigger_gets_none() {
        let (_dir, mut lights) = tree("[none] timer");
        lights.carry_out(&Action::Light("red:hdd1".into())).unwrap();
        lights.carry_out(&Action::Restore("red:hdd1".into())).unwrap();
        assert_eq!(
            (read(&lights, "brightness"), read(&lights, "trigger")),
            ("7".into(), "[none] timer".into())
        );
    }

    #[test]
    fn a_light_that_is_gone_is_an_error_with_its_name() {
        let (_dir, mut lights) = tree("");
        assert_eq!(lights.carry_out(&Action::Light("x".into())).unwrap_err().0, "x");
    }
}
