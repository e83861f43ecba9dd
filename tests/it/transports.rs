//! Other ways to the same broker: WebSocket, client certificates; each against a real Mosquitto.

use std::process::{Command, Stdio};

use super::lab::{Lab, free_port, wait};

/// A second listener of the broker with these settings; its port.
fn second_listener(lab: &mut Lab, settings: &str) -> u16 {
    let port = free_port();
    lab.broker_more = format!(
        "listener {port} 127.0.0.1\ncafile DIR/ca.pem\ncertfile DIR/server.pem\nkeyfile DIR/server.key\n{settings}\n"
    );
    port
}

#[test]
fn mqtt_over_websocket_does_all_that_mqtt_does() {
    let mut lab = Lab::new();
    let port = second_listener(&mut lab, "protocol websockets");
    lab.url = Some(format!("wss://localhost:{port}/mqtt"));
    lab.start_broker();
    lab.start_agent();
    lab.wait_online();
    // The phone goes by WebSocket too: its broker is the one of the configuration.
    let phone = lab.paired_phone("anna");
    assert_eq!(phone.standing(), "paired");
    lab.stop_broker();
    wait("the loss is noticed", || lab.get("/v1/cloud")["online"] == false);
    lab.start_broker();
    lab.wait_online();
}

#[test]
fn a_websocket_where_there_is_none_is_named() {
    let mut lab = Lab::new();
    lab.url = Some(format!("wss://localhost:{}/mqtt", lab.port));
    lab.start_broker();
    lab.start_agent();
    wait("a failure", || lab.get("/v1/cloud")["last_failure"].is_object());
    let cloud = lab.get("/v1/cloud");
    // Mosquitto's plain listener hangs up on what is not MQTT.
    assert_eq!(cloud["last_failure"]["code"], "broker-closed", "{cloud}");
}

fn openssl(words: &[&str]) {
    let done = Command::new("openssl").args(words).stderr(Stdio::null()).status().unwrap();
    assert!(done.success(), "{words:?}");
}

#[test]
fn a_client_certificate_logs_in_where_no_password_does() {
    let mut lab = Lab::new();
    let port = second_listener(&mut lab, "require_certificate true\nuse_identity_as_username true");
    lab.url = Some(format!("mqtts://localhost:{port}"));
    let path = |name: &str| lab.path(name).to_str().unwrap().to_owned();
    let (key, request, chain) = (path("nas.key"), path("nas.csr"), path("nas.pem"));
    let (ca, ca_key) = (path("broker/ca.pem"), path("broker/ca.key"));
    let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    openssl(&[&["req"], &curve[..], &["-subj", "/CN=nas", "-keyout", &key, "-out", &request]].concat());
    let sign =
        ["x509", "-req", "-in", &request, "-CA", &ca, "-CAkey", &ca_key, "-days", "30", "-out", &chain];
    let extensions = path("nas.ext");
    std::fs::write(&extensions, "extendedKeyUsage=clientAuth\n").unwrap();
    openssl(&sign);
    lab.start_broker();
    lab.start_agent();
    wait("a failure", || lab.get("/v1/cloud")["last_failure"].is_object());
    assert_eq!(lab.get("/v1/cloud")["online"], false, "the broker wants a certificate");
    lab.kill_agent();
    // Without extensions openssl makes version 1, which is not taken; the complaint says so and where.
    lab.cloud = format!("client_cert_file = \"{chain}\"\nclient_key_file = \"{key}\"\n");
    lab.configure();
    let checked = lab.moorline_alone(&["config", "check", lab.path("agent.toml").to_str().unwrap()]);
    let words = String::from_utf8(checked.stderr).unwrap();
    assert!(words.contains("agent.toml:10:") && words.contains("UnsupportedCertVersion"), "{words}");
    openssl(&[&sign[..], &["-extfile", &extensions]].concat());
    lab.start_agent();
    lab.wait_online();
    let limits = lab.get("/v1/cloud")["broker_limits"].clone();
    assert_eq!(
        (&limits["mqtt"], limits["switched_off"].as_array().unwrap().len()),
        (&"5".into(), 0),
        "{limits}"
    );
}
