//! Reading `agent.toml` and the files it names. A shell.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use zeroize::Zeroizing;

use super::parse::{Raw, RawCertificate, RawLogin, parse};
use super::secret::Secret;
use super::{Account, ClientCertificate, Cloud, Config};
use crate::typed_toml::{At, Fault, Reader};

/// Largest configuration file and largest CA file in bytes.
const FILE_MAX: u64 = 256 * 1024;

/// A configuration that cannot be used, with everything that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub file: String,
    /// Its text, for quoting; empty if it could not be read.
    pub text: String,
    /// At least one.
    pub faults: Vec<Fault>,
}

impl std::fmt::Display for ConfigError {
    /// One block for each complaint: where, what, the line itself, what would be right.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for fault in &self.faults {
            writeln!(f, "{}:{fault}", self.file)?;
            if let Some(line) = self.text.lines().nth(fault.line.saturating_sub(1)) {
                writeln!(f, "  | {line}")?;
            }
            writeln!(f, "  = help: {}", fault.help)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Reads a configuration and every file it names. `hostname`: the name of a NAS that has none configured.
///
/// # Errors
/// [`ConfigError`] with all complaints.
pub fn load(path: &Path, hostname: &str) -> Result<Config, ConfigError> {
    let file = path.display().to_string();
    let text =
        read(path, FILE_MAX).and_then(|b| String::from_utf8(b.to_vec()).map_err(|_| "is not UTF-8".into()));
    let text = text.map_err(|why| {
        let help = "give the path with --config; docs/agent.example.toml is a start".into();
        let fault =
            Fault { line: 1, column: 1, code: "unreadable-file", message: format!("the file {why}"), help };
        ConfigError { file: file.clone(), text: String::new(), faults: vec![fault] }
    })?;
    let wrong = |faults| ConfigError { file: file.clone(), text: text.clone(), faults };
    let raw = parse(&text).map_err(wrong)?;
    let (mut reader, _) = Reader::new(&text);
    let config = resolve(raw, hostname, &mut reader);
    let faults = reader.finish();
    if faults.is_empty() { Ok(config) } else { Err(wrong(faults)) }
}

fn read(path: &Path, max: u64) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut bytes = Zeroizing::new(Vec::new());
    let file = File::open(path).map_err(|e| format!("cannot be read: {e}"))?;
    file.take(max + 1).read_to_end(&mut bytes).map_err(|e| format!("cannot be read: {e}"))?;
    if bytes.len() as u64 > max { Err(format!("has more than {max} bytes")) } else { Ok(bytes) }
}

fn resolve(raw: Raw, hostname: &str, reader: &mut Reader<'_>) -> Config {
    let login = raw.cloud.login.as_ref().and_then(|l| account(l, reader));
    let ca = raw.cloud.ca_file.as_ref().and_then(|f| ca(f, reader));
    let certificate = raw.cloud.certificate.as_ref().and_then(|c| certificate(c, reader));
    let device_access = raw.cloud.device_access.as_ref().and_then(|l| account(l, reader));
    Config {
        name: raw.name.unwrap_or_else(|| hostname.to_owned()),
        cloud: raw.cloud.broker.map(|url| Cloud { url, account: login, ca, certificate }),
        cloud_enabled: raw.cloud.enabled,
        topic_prefix: raw.cloud.topic_prefix,
        device_access,
        keepalive: Duration::from_secs(raw.cloud.keepalive_s),
        backoff_max: Duration::from_secs(raw.cloud.backoff_max_s),
        spread: Duration::from_secs(raw.cloud.spread_s),
        store_dir: raw.store_dir.into(),
        store_place: raw.store_place,
        segment_bytes: raw.segment_kib * 1024,
        records_per_day: raw.records_per_day,
        socket: raw.socket.into(),
        group: raw.group,
        admins: raw.admins,
        max_connections: raw.max_connections,
        board: raw.board,
        trust: raw.trust,
        time_servers: raw.time_servers,
        log: raw.log,
        remote_port: raw.remote.port,
        announces: raw.remote.announce,
        maps_port: raw.remote.map_port,
        external_port: raw.remote.external_port,
        external_address: raw.remote.external_address,
        button_reset: raw.button_reset,
        pairing_user: raw.pairing_user,
        services: raw.services,
    }
}

fn account(login: &RawLogin, reader: &mut Reader<'_>) -> Option<Account> {
    let At { value: file, at } = &login.password_file;
    let path = Path::new(file);
    let bytes = match read(path, 4096) {
        Ok(bytes) => bytes,
        Err(why) => {
            let help = "make the file, owned by root, mode 600, with the password as its first line".into();
            reader.complain(*at, "unreadable-file", format!("{file} {why}"), help);
            return None;
        }
    };
    if is_exposed(&login.password_file, reader) {
        return None;
    }
    let Some(password) = Secret::from_file_content(&bytes) else {
        let help = "its first line is the password: 1 to 256 bytes of text".into();
        reader.complain(*at, "bad-secret", format!("{file} holds no password"), help);
        return None;
    };
    Some(Account { user: login.user.clone(), password })
}

fn is_exposed(file: &At<String>, reader: &mut Reader<'_>) -> bool {
    let exposed = fs::metadata(&file.value).is_ok_and(|m| m.permissions().mode() & 0o004 != 0);
    if exposed {
        let help = format!("chmod 600 {}", file.value);
        reader.complain(file.at, "secret-exposed", format!("{} can be read by everybody", file.value), help);
    }
    exposed
}

/// Chain and key; whether they belong together shows when TLS is set up.
fn certificate(files: &RawCertificate, reader: &mut Reader<'_>) -> Option<ClientCertificate> {
    let chain = ca(&files.chain, reader);
    let key = match read(Path::new(&files.key.value), FILE_MAX) {
        Ok(bytes) => bytes,
        Err(why) => {
            let help = "name the file with the private key of the certificate, in PEM form".into();
            reader.complain(files.key.at, "unreadable-file", format!("{} {why}", files.key.value), help);
            return None;
        }
    };
    if is_exposed(&files.key, reader) {
        return None;
    }
    let Some(key) = Secret::from_pem(&key).filter(is_key) else {
        let help = "it must hold a private key in PEM form, without a password".into();
        reader.complain(
            files.key.at,
            "bad-secret",
            format!("{} holds no private key", files.key.value),
            help,
        );
        return None;
    };
    let chain = chain?;
    if let Err(error) = crate::session::tls::certified(&chain, key.reveal().as_bytes()) {
        let help = "name a certificate (X.509 version 3) and the key it was made with".into();
        reader.complain(files.chain.at, "bad-certificate", error.to_string(), help);
        return None;
    }
    Some(ClientCertificate { chain, key })
}

fn is_key(key: &Secret) -> bool {
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject;
    PrivateKeyDer::from_pem_slice(key.reveal().as_bytes()).is_ok()
}

fn ca(file: &At<String>, reader: &mut Reader<'_>) -> Option<Vec<u8>> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    match read(Path::new(&file.value), FILE_MAX) {
        Ok(bytes) if CertificateDer::pem_slice_iter(&bytes).next().is_some_and(|c| c.is_ok()) => {
            Some(bytes.to_vec())
        }
        Ok(_) => {
            let help = "it must hold at least one certificate in PEM form".into();
            reader.complain(file.at, "bad-ca", format!("{} holds no certificate", file.value), help);
            None
        }
        Err(why) => {
            let help = "name a file with a certificate in PEM form, or leave the key out".into();
            reader.complain(file.at, "unreadable-file", format!("{} {why}", file.value), help);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_text(text: &str) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.toml");
        for (name, mode) in [("good", 0o600), ("open", 0o644)] {
            let file = dir.path().join(name);
            fs::write(&file, "secret\n").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::write(&path, text.replace("DIR", dir.path().to_str().unwrap())).unwrap();
        load(&path, "nas").map_err(|e| e.to_string().replace(dir.path().to_str().unwrap(), "DIR"))
    }

    #[track_caller]
    fn refused(text: &str, expect: &str) {
        assert_eq!(load_text(text).unwrap_err(), expect);
    }

    #[test]
    fn nothing_is_a_configuration() {
        let config = load_text("").unwrap();
        assert_eq!((config.name.as_str(), config.cloud.is_none()), ("nas", true));
        assert_eq!(config.socket, Path::new("/run/moorline/control.sock"));
    }

    #[test]
    fn a_login_is_read_from_its_file() {
        let text = "[cloud]\nbroker = \"mqtts://b\"\nuser = \"nas\"\npassword_file = \"DIR/good\"\n";
        let account = load_text(text).unwrap().cloud.unwrap().account.unwrap();
        assert_eq!((account.user.as_str(), account.password.reveal()), ("nas", "secret"));
        assert_eq!(format!("{account:?}"), "Account { user: \"nas\", password: Secret(…) }");
    }

    #[test]
    fn every_complaint_says_where_what_and_what_would_be_right() {
        refused(
            "[cloud]\nbroker = \"mqtts://b\"\nkeepalive = 60\n",
            "DIR/agent.toml:3:1: error[unknown-key]: there is no key cloud.keepalive\n  | keepalive = 60\n  = help: did you mean keepalive_s?\n",
        );
        refused(
            "[cloud]\nkeepalive_s = \"60\"\n",
            "DIR/agent.toml:2:16: error[wrong-type]: cloud.keepalive_s is a string where a whole number is wanted\n  | keepalive_s = \"60\"\n  = help: write cloud.keepalive_s = 60, without quotes\n",
        );
        refused(
            "[cloud]\nuser = \"x\"\n",
            "DIR/agent.toml:2:9: error[impossible]: cloud.user stands without cloud.password_file\n  | user = \"x\"\n  = help: name the file whose first line is the password\n",
        );
        refused(
            "[cloud]\nuser = \"x\"\npassword_file = \"DIR/open\"\n",
            "DIR/agent.toml:3:18: error[secret-exposed]: DIR/open can be read by everybody\n  | password_file = \"DIR/open\"\n  = help: chmod 600 DIR/open\n",
        );
    }

    #[track_caller]
    fn codes(text: &str, expect: &[&str]) {
        let error = load_text(text).unwrap_err();
        let found: Vec<&str> =
            error.match_indices("error[").filter_map(|(i, _)| error[i + 6..].split(']').next()).collect();
        assert_eq!(found, expect, "{error}");
    }

    #[test]
    fn all_complaints_come_at_once_and_in_order() {
        codes(
            "x = 1\n[log]\nlevel = \"loud\"\n[clock]\ntrust = true\n",
            &["unknown-key", "bad-value", "wrong-type"],
        );
        codes("[cloud]\nbroker = \"http://x\"\n", &["bad-broker"]);
        codes("[cloud]\nbroker = \"wss://x/mqtt?y\"\n", &["bad-broker"]);
        codes("[cloud]\nbroker = \"ws://broker.example/mqtt\"\n", &["plaintext"]);
        codes("[cloud]\nbroker = \"mqtts://b\"\nclient_cert_file = \"/x\"\n", &["impossible"]);
        let both = "client_cert_file = \"/nonexistent\"\nclient_key_file = \"DIR/good\"\n";
        codes(&format!("[cloud]\nbroker = \"mqtts://b\"\n{both}"), &["unreadable-file", "bad-secret"]);
        let open = both.replace("good", "open");
        codes(&format!("[cloud]\nbroker = \"mqtts://b\"\n{open}"), &["unreadable-file", "secret-exposed"]);
        codes("[clock]\ntime_servers = [\"a\", \"b\", \"c\", \"d\", \"e\"]\n", &["too-many"]);
        codes("[cloud]\nbroker = \"mqtt://broker.example\"\n", &["plaintext"]);
        codes("[cloud]\nbroker = \"mqtt://127.0.0.1\"\nca_file = \"/x\"\n", &["impossible"]);
        codes("[cloud]\nca_file = \"/nonexistent\"\nbroker = \"mqtts://b\"\n", &["unreadable-file"]);
        codes("[cloud]\nca_file = \"DIR/good\"\nbroker = \"mqtts://b\"\n", &["bad-ca"]);
        codes("[store]\nsegment_kib = 66\ndir = \"x\"\n", &["out-of-range", "bad-path"]);
        codes("[[service]]\nname = \"web\"\naddress = \"192.0.2.1:80\"\n", &["bad-address"]);
        let web = "[[service]]\nname = \"web\"\naddress = \"127.0.0.1:80\"\n";
        codes(&format!("{web}{web}"), &["impossible"]);
        codes(
            "[[service]]\nname = \"Web\"\naddress = \"127.0.0.1:80\"\n[[service]]\n",
            &["bad-name", "missing-key", "missing-key"],
        );
        codes("[cloud\n", &["syntax"]);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load(Path::new("/nonexistent/agent.toml"), "nas").unwrap_err();
        assert_eq!(error.faults[0].code, "unreadable-file");
        assert!(error.to_string().contains("/nonexistent/agent.toml"));
    }
}
