//! A NAS in a directory, a broker on loopback, the binaries as they were built. Everything ends with the value.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use moorline::cli::call::call;
use serde_json::{Value, json};

/// Longest wait for anything; a loaded machine with two cores is slow.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Lab {
    dir: tempfile::TempDir,
    pub port: u16,
    broker: Option<Child>,
    agent: Option<Child>,
    phones: u32,
    /// Put before the agent's command line; must exec, so that the agent is the process that is ended.
    pub wrapper: Vec<String>,
    /// More of the agent's environment.
    pub environment: Vec<(&'static str, String)>,
    /// More lines of the configuration.
    pub more: String,
    /// More lines of its [store].
    pub store: String,
    /// More lines of its [cloud].
    pub cloud: String,
    /// The broker's address, if not the usual one.
    pub url: Option<String>,
    /// More lines of the broker's configuration; DIR stands for its directory.
    pub broker_more: String,
    /// The configuration names no broker.
    pub no_cloud: bool,
}

pub fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What runs the built programs where this machine cannot: qemu-arm-static and its like, from MOORLINE_RUNNER.
pub fn runner() -> Option<String> {
    std::env::var("MOORLINE_RUNNER").ok()
}

/// A built program, ready to get its arguments.
pub fn program(path: impl AsRef<std::ffi::OsStr>) -> Command {
    let Some(runner) = runner() else { return Command::new(path) };
    let mut command = Command::new(runner);
    command.arg(path);
    command
}

/// The preloadable library of faketime, wherever this architecture has it.
fn libfaketime(file: &str) -> PathBuf {
    let places = fs::read_dir("/usr/lib").unwrap().map(|e| e.unwrap().path().join("faketime").join(file));
    places.into_iter().find(|p| p.exists()).expect("libfaketime is installed")
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Lab {
    /// Nothing runs yet.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let trust = "[clock]\ntrust = \"system\"\n".to_owned();
        let lab = Self {
            dir,
            port: free_port(),
            broker: None,
            agent: None,
            phones: 0,
            wrapper: Vec::new(),
            environment: Vec::new(),
            more: trust,
            store: String::new(),
            cloud: String::new(),
            url: None,
            broker_more: String::new(),
            no_cloud: false,
        };
        lab.nas("healthy");
        lab.make_broker(&[]);
        lab
    }

    /// CA, certificate and accounts of the broker; `wrapper` is put before the command.
    fn make_broker(&self, wrapper: &[&str]) {
        let script = source("scripts/broker");
        let words = [wrapper, &[script.to_str().unwrap()]].concat();
        let done = Command::new(words[0])
            .args(&words[1..])
            .arg(self.path("broker"))
            .arg(self.port.to_string())
            .status();
        assert!(done.unwrap().success());
    }

    /// A broker whose certificates are older than this binary.
    pub fn with_old_certificates() -> Self {
        let lab = Self::new();
        fs::remove_dir_all(lab.path("broker")).unwrap();
        // Not the faketime wrapper: it trips over the semaphores of one that was killed under the same process id.
        let preload = format!("LD_PRELOAD={}", libfaketime("libfaketime.so.1").display());
        lab.make_broker(&["env", &preload, "FAKETIME=@2024-01-01 00:00:00"]);
        lab
    }

    /// Broker and agent run, and the session is confirmed.
    pub fn online() -> Self {
        let mut lab = Self::new();
        lab.start_broker();
        lab.start_agent();
        lab.wait_online();
        lab
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default().trim().to_owned()
    }

    /// Lays out the NAS, or changes the state of its mirror.
    pub fn nas(&self, state: &str) {
        let done = Command::new(source("scripts/sim-nas")).arg(self.path("nas")).arg(state).status().unwrap();
        assert!(done.success());
    }

    pub fn start_broker(&mut self) {
        let mut command = Command::new(source("scripts/broker"));
        command
            .arg(self.path("broker"))
            .arg(self.port.to_string())
            .arg("--run")
            .env("MOORLINE_BROKER_MORE", &self.broker_more)
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        self.broker = Some(command.spawn().unwrap());
        let port = self.port;
        wait("the broker listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    }

    pub fn stop_broker(&mut self) {
        end(&mut self.broker);
    }

    fn broker_url(&self) -> String {
        self.url.clone().unwrap_or_else(|| format!("mqtts://localhost:{}", self.port))
    }

    pub fn configure(&self) {
        let dir = self.dir.path().display();
        let url = self.broker_url();
        let cloud = format!(
            "[cloud]\nbroker = \"{url}\"\nca_file = \"{dir}/broker/ca.pem\"\n\
             user = \"nas\"\npassword_file = \"{dir}/broker/nas.password\"\nreconnect_spread_s = 1\nbackoff_max_s = 2\n\
             {}[cloud.device_access]\nuser = \"device\"\npassword_file = \"{dir}/broker/device.password\"\n",
            self.cloud
        );
        let text = format!(
            "[nas]\nname = \"Test NAS\"\n{}[store]\ndir = \"{dir}/store\"\n{}[control]\nsocket = \"{dir}/control.sock\"\n\
             [[service]]\nname = \"web\"\naddress = \"127.0.0.1:80\"\n{}",
            if self.no_cloud { "" } else { &cloud },
            self.store,
            self.more
        );
        fs::write(self.path("agent.toml"), text).unwrap();
    }

    /// The agent's command, ready to run.
    pub fn agent_command(&self) -> Command {
        self.configure();
        let binary = env!("CARGO_BIN_EXE_moorline").to_owned();
        let own = [binary, "agent".into(), "--config".into()];
        let words: Vec<String> = self.wrapper.iter().cloned().chain(runner()).chain(own).collect();
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .arg(self.path("agent.toml"))
            .arg("--root")
            .arg(self.path("nas"))
            .stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(k, v)| (k, v))).stdout(Stdio::null());
        command
    }

    /// The agent will believe that it is `date`; libfaketime is preloaded, the boot clock left alone.
    pub fn fake_date(&mut self, date: &str) {
        let library = libfaketime("libfaketimeMT.so.1");
        self.environment = vec![
            ("LD_PRELOAD", library.to_str().unwrap().to_owned()),
            ("FAKETIME", format!("@{date}")),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ];
    }

    pub fn start_agent(&mut self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("agent.log")).unwrap();
        self.agent = Some(self.agent_command().stderr(log).spawn().unwrap());
        let socket = self.path("control.sock");
        wait("the agent answers", || call(&socket, "GET", "/v1/cloud", b"").is_ok());
    }

    /// SIGKILL.
    pub fn kill_agent(&mut self) {
        end(&mut self.agent);
    }

    /// SIGTERM; how long it took.
    pub fn terminate_agent(&mut self) -> Duration {
        let agent = self.agent.as_mut().unwrap();
        let began = Instant::now();
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(agent.id() as i32),
            nix::sys::signal::Signal::SIGTERM,
        )
        .unwrap();
        assert!(agent.wait().unwrap().success(), "{}", self.text("agent.log"));
        self.agent = None;
        began.elapsed()
    }

    pub fn agent_pid(&self) -> u32 {
        self.agent.as_ref().unwrap().id()
    }

    pub fn wait_online(&self) {
        wait("the session is online", || self.get("/v1/cloud")["online"] == true);
    }

    /// Status and body; the body is JSON.
    pub fn ask(&self, method: &str, target: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = call(&self.path("control.sock"), method, target, body.as_bytes())
            .unwrap_or_else(|e| panic!("{method} {target}: {e}\n{}", self.text("agent.log")));
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    pub fn get(&self, target: &str) -> Value {
        let (status, value) = self.ask("GET", target, &Value::Null);
        assert_eq!(status, 200, "{target}: {value}");
        value
    }

    pub fn add_user(&self, name: &str) {
        let (status, _) = self.ask("PUT", &format!("/v1/users/{name}"), &json!({}));
        assert!(matches!(status, 200 | 201));
    }

    /// A code for `user`: the whole answer.
    pub fn code(&self, user: &str) -> Value {
        let (status, value) = self.ask("POST", "/v1/codes", &json!({ "user": user }));
        assert_eq!(status, 201, "{value}");
        value
    }

    /// State of each entry, oldest first.
    pub fn states(&self) -> Vec<String> {
        let devices = self.get("/v1/devices")["devices"].clone();
        devices.as_array().unwrap().iter().map(|d| d["state"].as_str().unwrap().to_owned()).collect()
    }

    /// One of this lab's own command lines.
    pub fn moorline(&self, args: &[&str]) -> Output {
        let socket = self.path("control.sock");
        program(env!("CARGO_BIN_EXE_moorline")).args(args).arg("--socket").arg(socket).output().unwrap()
    }

    /// A command line that needs no agent.
    pub fn moorline_alone(&self, args: &[&str]) -> Output {
        program(env!("CARGO_BIN_EXE_moorline")).args(args).output().unwrap()
    }

    /// A phone that was never here before.
    pub fn fresh_phone(&mut self) -> Phone {
        self.phones += 1;
        Phone {
            state: self.path(&format!("phone-{}", self.phones)),
            broker: self.broker_url(),
            ca: self.path("broker/ca.pem"),
            password: self.path("broker/pairing.password"),
        }
    }

    /// Pairs a fresh phone with `user`.
    pub fn paired_phone(&mut self, user: &str) -> Phone {
        self.add_user(user);
        let code = self.code(user)["code"].as_str().unwrap().to_owned();
        let phone = self.fresh_phone();
        let done = phone.pair(&code).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        phone
    }

    /// Bytes of the store's files, to see whether anything was written.
    pub fn flash(&self) -> Vec<Vec<u8>> {
        ["store/a.log", "store/b.log"].iter().map(|f| fs::read(self.path(f)).unwrap()).collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the agent's log ---\n{}", self.text("agent.log"));
        }
        end(&mut self.agent);
        end(&mut self.broker);
    }
}

/// A device.
#[derive(Clone)]
pub struct Phone {
    state: PathBuf,
    broker: String,
    ca: PathBuf,
    password: PathBuf,
}

impl Phone {
    /// What it keeps.
    pub fn state(&self) -> &Path {
        &self.state
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = program(env!("CARGO_BIN_EXE_moorline-client"));
        command.args(args).arg("--state").arg(&self.state).arg("--json").stdin(Stdio::null());
        command
    }

    pub fn pair(&self, code: &str) -> Command {
        let mut command = self.command(&[
            "pair",
            code,
            "--broker",
            &self.broker,
            "--name",
            "Test phone",
            "--user",
            "pairing",
        ]);
        command
            .arg("--ca")
            .arg(&self.ca)
            .arg("--password-file")
            .arg(&self.password)
            .args(["--timeout", "30"]);
        command
    }

    /// What the NAS says about this device.
    pub fn standing(&self) -> String {
        let done = self.command(&["status"]).output().unwrap();
        let value: Value = serde_json::from_slice(&done.stdout).unwrap_or_default();
        value["nas"][0]["standing"].as_str().unwrap_or("nowhere").to_owned()
    }
}

fn end(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Until it holds; the only sleep there is.
#[track_caller]
pub fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
