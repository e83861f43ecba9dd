//! Lights in /sys/class/leds (kernel: Documentation/ABI/testing/sysfs-class-led). A shell.
//!
//! How each light was found is also kept in a file beside the control socket, which is in RAM: an agent that was killed
//! leaves its own patterns behind, and the next one must not take those for how the lights are by themselves.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::hardware::led::blink::Blink;
use crate::hardware::led::policy::Show;
use crate::hardware::led::{Action, LIGHTS_MAX};
use crate::sys::clock::mono;
use crate::sys::root::{Root, listed, read_small};
use crate::units::Mono;

/// Names in the class directory that are looked at.
const NAMES_MAX: usize = 64;

/// The file of what was found.
const MEMORY: &str = "lights";

/// The lights, and how those that were taken had been.
#[derive(Debug)]
pub struct Lights {
    root: Root,
    memory: PathBuf,
    found: Vec<Found>,
    /// Those that blink by the agent's timer.
    blinking: Vec<(String, Blink)>,
}

/// A light as it was before the agent took it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    name: String,
    brightness: String,
    /// `None`: it had none, or the light cannot have any.
    trigger: Option<String>,
    /// `delay_on` and `delay_off` of a light that blinked by itself.
    delays: Option<[String; 2]>,
}

impl Found {
    /// A line of [`MEMORY`]: fields with tabs between, empty where there is none.
    fn line(&self) -> String {
        let [on, off] = self.delays.clone().unwrap_or_default();
        format!(
            "{}\t{}\t{}\t{on}\t{off}\n",
            self.name,
            self.brightness,
            self.trigger.as_deref().unwrap_or_default()
        )
    }

    fn of_line(line: &str) -> Option<Self> {
        let mut fields = line.split('\t').map(str::to_owned);
        // Empty ones at the end of the file are cut off by reading it.
        let [name, brightness, trigger, on, off] =
            std::array::from_fn(|_| fields.next().filter(|f| !f.is_empty()));
        let delays = on.zip(off).map(|(on, off)| [on, off]);
        Some(Self { name: name?, brightness: brightness?, trigger, delays })
    }
}

impl Lights {
    /// Nothing is touched yet. `run`: a directory in RAM, for what must outlive this process and not the boot.
    pub fn new(root: Root, run: &Path) -> Self {
        Self { root, memory: run.join(MEMORY), found: Vec::new(), blinking: Vec::new() }
    }

    /// Gives back what an agent that was killed had taken; `owns` says which lights are ours to write to.
    pub fn recover(&mut self, owns: impl Fn(&str) -> bool) {
        let Ok(text) = read_small(&self.memory) else { return };
        self.found =
            text.lines().filter_map(Found::of_line).filter(|f| owns(&f.name)).take(LIGHTS_MAX).collect();
        let names: Vec<String> = self.found.iter().map(|f| f.name.clone()).collect();
        // An agent that ended has given all back and taken the file away.
        log::info!("lights: given back after an agent that did not end: {}", names.join(", "));
        for name in names {
            if let Err(error) = self.restore(&name) {
                log::warn!("light {name}: {error}");
            }
        }
        let _ = fs::remove_file(&self.memory);
    }

    /// Writes down what is held, before it is touched. Without it only a killed agent's lights would be wrong.
    fn remember(&self) {
        let done = if self.found.is_empty() {
            fs::remove_file(&self.memory)
        } else {
            let text: String = self.found.iter().map(Found::line).collect();
            let new = self.memory.with_extension("new");
            fs::write(&new, text).and_then(|()| fs::rename(&new, &self.memory))
        };
        if let Err(error) = done {
            log::debug!("{}: {error}", self.memory.display());
        }
    }

    /// When a light that blinks by the agent's timer changes next.
    pub fn poll_timeout(&self) -> Option<Mono> {
        self.blinking.iter().map(|(_, blink)| blink.next()).min()
    }

    /// Lights that blink by the agent's timer change. One that refuses stops blinking.
    pub fn handle_timeout(&mut self, now: Mono) {
        let mut blinking = std::mem::take(&mut self.blinking);
        blinking.retain_mut(|(name, blink)| match blink.handle_timeout(now) {
            Some(true) => self.lit(name).is_ok(),
            Some(false) => self.steady(name, "0").is_ok(),
            None => true,
        });
        self.blinking = blinking;
    }

    /// The names that are there.
    pub fn names(&self) -> Vec<String> {
        let lights = listed(&self.root.path("/sys/class/leds"), NAMES_MAX);
        lights.into_iter().map(|(name, _)| name).collect()
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
            // It is not in sysfs.
            Action::Lamp(_) => return Ok(()),
        };
        done.map_err(|error| (name.clone(), error))
    }

    fn attribute(&self, name: &str, attribute: &str) -> PathBuf {
        self.root.path("/sys/class/leds").join(name).join(attribute)
    }

    fn read(&self, name: &str, attribute: &str) -> io::Result<String> {
        read_small(&self.attribute(name, attribute))
    }

    /// The trigger that it has now. A light that can have none has no such file. In a simulated tree, which does not keep
    /// the kernel's list, the last word that was written is all there is.
    fn trigger(&self, name: &str) -> Option<String> {
        let text = self.read(name, "trigger").ok()?;
        current(&text).or(Some(text)).filter(|t| !t.is_empty())
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
        let trigger = self.trigger(name).filter(|t| t != "none");
        let delays = trigger
            .as_ref()
            .and_then(|_| Some([self.read(name, "delay_on").ok()?, self.read(name, "delay_off").ok()?]));
        self.found.push(Found { name: name.to_owned(), brightness, trigger, delays });
        self.remember();
        Ok(())
    }

    fn set(&mut self, name: &str, show: Show) -> io::Result<()> {
        // A light whose state is not remembered could not be given back.
        if !self.found.iter().any(|f| f.name == name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.blinking.retain(|(n, _)| n != name);
        match (show, show.rhythm()) {
            (Show::Off, _) => self.steady(name, "0"),
            (_, Some([on, off])) if self.blink(name, *on, *off).is_ok() => Ok(()),
            (_, Some(rhythm)) => {
                self.lit(name)?;
                self.blinking.push((name.to_owned(), Blink::new(rhythm, mono())));
                Ok(())
            }
            (Show::AsFound, _) => Ok(()),
            (_, None) => self.lit(name),
        }
    }

    fn lit(&self, name: &str) -> io::Result<()> {
        let full = self.read(name, "max_brightness").unwrap_or_else(|_| "255".into());
        self.steady(name, &full)
    }

    fn steady(&self, name: &str, brightness: &str) -> io::Result<()> {
        // What the trigger is now counts: the agent's own blinking is one too.
        if self.trigger(name).is_some_and(|t| t != "none") {
            self.write(name, "trigger", "none")?;
        }
        self.write(name, "brightness", brightness)
    }

    /// By the kernel's own timer, so that the agent sleeps meanwhile.
    fn blink(&self, name: &str, on: u16, off: u16) -> io::Result<()> {
        let offered = self.read(name, "trigger")?;
        // Without brackets it is not the kernel's text but a simulated tree's, which does not keep the list.
        let is_offered = offered.split_whitespace().any(|t| t.trim_matches(['[', ']']) == "timer");
        if !is_offered && offered.contains('[') {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.write(name, "trigger", "timer")?;
        self.write(name, "delay_on", &on.to_string())?;
        self.write(name, "delay_off", &off.to_string())
    }

    fn restore(&mut self, name: &str) -> io::Result<()> {
        let Some(at) = self.found.iter().position(|f| f.name == name) else { return Ok(()) };
        let found = self.found.swap_remove(at);
        self.blinking.retain(|(n, _)| n != name);
        let done = self.give_back(name, found);
        // Afterwards: killed in between, the next agent does it again.
        self.remember();
        done
    }

    fn give_back(&self, name: &str, found: Found) -> io::Result<()> {
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
        let lights = Lights::new(Root::simulated(dir.path().to_owned()), dir.path());
        (dir, lights)
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

    /// The kernel makes these when the trigger is set.
    fn with_delays(dir: &tempfile::TempDir) {
        let led = dir.path().join("sys/class/leds/red:hdd1");
        ["delay_on", "delay_off"].iter().for_each(|f| fs::write(led.join(f), "500").unwrap());
    }

    #[test]
    fn blinking_is_the_kernels_timer_where_there_is_one() {
        let (dir, mut lights) = tree("[none] timer");
        with_delays(&dir);
        carry_out(&mut lights, &[save(), set(Show::Flash)]);
        let delays = (read(&lights, "delay_on"), read(&lights, "delay_off"));
        assert_eq!((state(&lights).1, delays), ("timer".into(), ("100".into(), "1900".into())));
        assert_eq!(lights.poll_timeout(), None, "the agent sleeps meanwhile");
        carry_out(&mut lights, &[restore()]);
        assert_eq!(state(&lights), ("7".into(), "none".into()));
    }

    #[test]
    fn blinking_is_the_agents_own_where_the_kernel_cannot() {
        for (triggers, show) in [("[none] heartbeat", Show::Slow), ("[none] timer", Show::Double)] {
            let (dir, mut lights) = tree(triggers);
            with_delays(&dir);
            carry_out(&mut lights, &[save(), set(show)]);
            assert_eq!(state(&lights).0, "64", "lit at first");
            let mut seen = Vec::new();
            for _ in 0..3 {
                let at = lights.poll_timeout().unwrap();
                lights.handle_timeout(at);
                seen.push(state(&lights).0);
            }
            assert_eq!(seen, ["0", "64", "0"]);
            carry_out(&mut lights, &[set(Show::On)]);
            assert_eq!((lights.poll_timeout(), state(&lights).0), (None, "64".into()));
            carry_out(&mut lights, &[set(show), restore()]);
            assert_eq!((lights.poll_timeout(), state(&lights).0), (None, "7".into()));
        }
    }

    #[test]
    fn a_killed_agents_pattern_is_not_taken_for_how_the_light_was() {
        let (dir, mut killed) = tree("none timer [heartbeat]");
        with_delays(&dir);
        carry_out(&mut killed, &[save(), set(Show::Slow)]);
        assert_eq!(state(&killed).1, "timer");
        drop(killed);
        let again = || Lights::new(Root::simulated(dir.path().to_owned()), dir.path());
        let mut lights = again();
        lights.recover(|_| true);
        assert_eq!(state(&lights), ("7".into(), "heartbeat".into()));
        assert!(!dir.path().join(MEMORY).exists());
        carry_out(&mut lights, &[save(), set(Show::On), restore()]);
        assert_eq!(state(&lights), ("7".into(), "heartbeat".into()));
        assert!(!dir.path().join(MEMORY).exists(), "an agent that ends leaves nothing");
        lights.write("red:hdd1", "brightness", "3").unwrap();
        again().recover(|_| true);
        assert_eq!(state(&lights).0, "3", "nothing is remembered twice");
    }

    #[test]
    fn a_light_that_is_no_longer_ours_is_not_given_back() {
        let (dir, mut killed) = tree("[none] timer");
        carry_out(&mut killed, &[save(), set(Show::On)]);
        let mut lights = Lights::new(Root::simulated(dir.path().to_owned()), dir.path());
        lights.recover(|name| name != "red:hdd1");
        assert_eq!(state(&lights).0, "64");
    }

    #[test]
    fn what_is_remembered_is_read_again() {
        let found = |trigger: Option<&str>, delays: Option<[&str; 2]>| Found {
            name: "green:status".into(),
            brightness: "255".into(),
            trigger: trigger.map(Into::into),
            delays: delays.map(|d| d.map(Into::into)),
        };
        for each in
            [found(None, None), found(Some("heartbeat"), None), found(Some("timer"), Some(["500", "0"]))]
        {
            assert_eq!(Found::of_line(each.line().trim_end()), Some(each));
        }
        assert_eq!(Found::of_line("half a li"), None);
    }

    #[test]
    fn a_light_that_blinked_by_itself_blinks_at_its_own_pace_again() {
        let (dir, mut lights) = tree("none [timer]");
        with_delays(&dir);
        carry_out(&mut lights, &[save(), set(Show::Fast), restore()]);
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
