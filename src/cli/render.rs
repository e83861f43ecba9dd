//! Answers of the control socket as people read them. A core: JSON in, text out; at most 100 columns, no colours, so that
//! it reads the same in a terminal, a log and a mail.

use std::time::Duration;

use serde_json::Value;

use crate::store::inspect::{FrameReport, Report};
use crate::units::{Bytes, Span};

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, key: &str) -> Option<u64> {
    value.get(key).and_then(Value::as_u64)
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn span(value: &Value, key: &str) -> Option<String> {
    number(value, key).map(|s| Span(Duration::from_secs(s)).to_string())
}

/// Findings of the last day that are listed.
const PAST_SHOWN: usize = 6;

/// Columns as wide as their widest cell.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        out += cells.join("  ").trim_end();
        out.push('\n');
    }
    out
}

fn heading(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| n.to_uppercase()).collect()
}

/// `moorline status`.
pub fn status(status: &Value) -> String {
    let nas = status.get("nas").cloned().unwrap_or_default();
    let board = nas.get("board").map(|b| format!(" · {}", text(b, "name"))).unwrap_or_default();
    let mut out =
        format!("{}{board} · NAS {}\n{}\n\n", text(&nas, "name"), text(&nas, "id"), text(status, "summary"));
    let cloud_value = status.get("cloud").cloned().unwrap_or_default();
    let clock = status.get("clock").cloned().unwrap_or_default();
    let devices = status.get("devices").cloned().unwrap_or_default();
    let count = |key| number(&devices, key).unwrap_or(0);
    let date = clock.get("now").and_then(Value::as_str).map(|d| format!(", {d}")).unwrap_or_default();
    let rows = vec![
        vec!["  cloud".to_owned(), cloud_line(&cloud_value)],
        vec!["  clock".to_owned(), format!("{}{date}", text(&clock, "state"))],
        vec![
            "  devices".to_owned(),
            format!(
                "{} paired, {} waiting for their code, {} to be told of their removal",
                count("paired"),
                count("pending"),
                count("revoked")
            ),
        ],
        vec!["  store".to_owned(), text(status.get("store").unwrap_or(&Value::Null), "state").to_owned()],
    ];
    out += &table(&rows);
    for array in list(status, "arrays") {
        out += &format!("  {}\n", array_line(array));
    }
    let findings = list(status, "findings");
    if !findings.is_empty() {
        out += "\nWhat needs attention\n";
    }
    for finding in findings {
        out += &finding_block(finding);
    }
    let past = list(status, "past_findings");
    if !past.is_empty() {
        out += "\nWhat was in the last day\n";
        out += &table(&past.iter().take(PAST_SHOWN).map(past_row).collect::<Vec<_>>());
    }
    if past.len() > PAST_SHOWN {
        out += &format!("  and {} more; `moorline status --json` has them all\n", past.len() - PAST_SHOWN);
    }
    out
}

fn past_row(past: &Value) -> Vec<String> {
    let times = number(past, "times").filter(|t| *t > 1).map(|t| format!(", {t} times")).unwrap_or_default();
    let ended = span(past, "ended_ago_s").unwrap_or_default();
    let lasted =
        number(past, "began_ago_s").zip(number(past, "ended_ago_s")).map(|(b, e)| b.saturating_sub(e));
    let lasted = lasted.map(|s| Span(Duration::from_secs(s)).to_string()).unwrap_or_default();
    vec![
        format!("  {}{}", text(past, "title"), of_subject(past)),
        format!("for {lasted}{times}, over since {ended}"),
    ]
}

/// What it is about, in brackets, where there can be several.
fn of_subject(finding: &Value) -> String {
    let subject = text(finding, "subject");
    if subject.is_empty() { String::new() } else { format!(" ({subject})") }
}

/// `moorline store verify` and `inspect`.
pub fn store(name: &str, report: &Report) -> String {
    let mut out = format!("{name}: {}\n{}", report.state, wrapped("  ", &report.verdict));
    for segment in &report.segments {
        out += &format!("\n{}, {}: ", segment.name, Bytes(segment.bytes as u64));
        out += &match (segment.state, segment.generation) {
            ("ours", Some(generation)) => {
                let old = if segment.superseded { ", superseded" } else { "" };
                let torn = match segment.leftover_bytes {
                    0 => String::new(),
                    n => format!(", {n} bytes behind them that are no frame"),
                };
                format!(
                    "generation {generation}, {} frames up to {}{torn}{old}\n",
                    segment.frames.len(),
                    segment.end
                )
            }
            (state, _) => format!("{state}\n"),
        };
        let rows: Vec<Vec<String>> = segment.frames.iter().map(frame_row).collect();
        out += &table(&rows);
    }
    out
}

fn frame_row(frame: &FrameReport) -> Vec<String> {
    let number = if frame.kind == "snapshot-end" { String::new() } else { frame.number.to_string() };
    vec![format!("  {:>6}", frame.offset), frame.kind.to_owned(), number, frame.what.clone()]
}

fn cloud_line(cloud: &Value) -> String {
    let since = span(cloud, "since_s").unwrap_or_default();
    let broker = text(cloud, "broker");
    let mut line = format!("{} for {since}", text(cloud, "phase"));
    if !broker.is_empty() {
        line += &format!(", {broker}");
    }
    if let Some(next) = span(cloud, "next_try_in_s") {
        line += &format!(", next try in {next}");
    }
    if let Some(failure) = cloud.get("last_failure") {
        line += &format!("\n           {}", text(failure, "detail"));
    }
    line
}

fn finding_block(finding: &Value) -> String {
    let subject = of_subject(finding);
    let times = number(finding, "times").filter(|t| *t > 1);
    let times = times.map(|t| format!(", has come {t} times")).unwrap_or_default();
    let since = span(finding, "since_s").unwrap_or_default();
    format!(
        "  {}: {}{subject}, for {since}{times} [{}]\n{}{}",
        text(finding, "severity"),
        text(finding, "title"),
        text(finding, "code"),
        wrapped("    ", text(finding, "evidence")),
        wrapped("    → ", text(finding, "remedy")),
    )
}

/// Breaks a text at blanks into lines of at most 96 characters, the later ones as far in as the first.
fn wrapped(lead: &str, text: &str) -> String {
    let indent = " ".repeat(lead.chars().count());
    let mut out = String::new();
    let mut line = lead.to_owned();
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && line.chars().count() + word.chars().count() >= 96 {
            out += line.trim_end();
            out.push('\n');
            line.clone_from(&indent);
        }
        line += word;
        line.push(' ');
        empty = false;
    }
    if empty { String::new() } else { format!("{out}{}\n", line.trim_end()) }
}

fn array_line(array: &Value) -> String {
    let mut line = format!(
        "{}  {} {}, {} of {} disks",
        text(array, "name"),
        text(array, "level"),
        text(array, "state"),
        number(array, "disks_working").unwrap_or(0),
        number(array, "disks_wanted").unwrap_or(0)
    );
    if let Some(size) = number(array, "size_bytes") {
        line += &format!(", {}", Bytes(size));
    }
    if let Some(percent) = array.get("percent").and_then(Value::as_f64) {
        line += &format!(", {percent:.1} %");
    }
    if let Some(left) = span(array, "left_s") {
        line += &format!(", {left} left");
    }
    line
}

/// `moorline arrays`.
pub fn arrays(answer: &Value) -> String {
    let mut out = String::new();
    for array in list(answer, "arrays") {
        out += &format!("{}\n", array_line(array));
        for member in list(array, "members") {
            let words: Vec<&str> = list(member, "state").iter().filter_map(Value::as_str).collect();
            let bay = number(member, "bay").map(|b| format!("bay {b}")).unwrap_or_default();
            out += &format!("  {:<8} {bay:<6} {}\n", text(member, "device"), words.join(", "));
        }
        for note in list(array, "notes").iter().filter_map(Value::as_str) {
            out += &wrapped("  ", note);
        }
    }
    if out.is_empty() { "There is no RAID array.\n".to_owned() } else { out }
}

/// `moorline cloud`.
pub fn cloud(cloud: &Value) -> String {
    let mut out = format!("{}\n", cloud_line(cloud));
    let dns: Vec<&str> = list(cloud, "dns").iter().filter_map(Value::as_str).collect();
    out += &format!(
        "mode {}, name servers {}\n",
        text(cloud, "mode"),
        if dns.is_empty() { "of the system".to_owned() } else { dns.join(" ") }
    );
    if let Some(limits) = cloud.get("broker_limits") {
        let retain = limits.get("retain_available").and_then(Value::as_bool).unwrap_or_default();
        out += &format!(
            "the broker takes {} messages in flight and {} copies\n",
            number(limits, "receive_maximum").unwrap_or(0),
            if retain { "keeps" } else { "keeps no" }
        );
    }
    out += "\nlast changes\n";
    let rows: Vec<Vec<String>> = list(cloud, "history")
        .iter()
        .map(|t| {
            let ago = span(t, "ago_s").map(|s| format!("  {s} ago")).unwrap_or_default();
            vec![ago, text(t, "phase").to_owned(), text(t, "cause").to_owned()]
        })
        .collect();
    let from = rows.len().saturating_sub(16);
    out + &table(rows.get(from..).unwrap_or_default())
}

/// `moorline doctor`.
pub fn doctor(answer: &Value) -> String {
    let mut out = String::new();
    for check in list(answer, "checks") {
        let subject = text(check, "subject");
        let step = format!("{} {subject}", text(check, "id"));
        let lead = format!("{}  {:<28}", text(check, "status").to_uppercase(), step.trim_end());
        let hanging = wrapped(&" ".repeat(lead.chars().count()), text(check, "detail"));
        out += &lead;
        out += hanging.trim_start();
    }
    out += &format!("\n{}\n", text(answer, "summary"));
    if let Some(first) = answer.get("first_failure") {
        out += &wrapped("  → ", text(first, "remedy"));
        out += &format!("    ({})\n", text(first, "code"));
    }
    out
}

/// `moorline devices`.
pub fn devices(answer: &Value) -> String {
    let mut rows = vec![heading(&["id", "user", "state", "name", "since", ""])];
    for device in list(answer, "devices") {
        let since = device.get("since_at").and_then(Value::as_str).map(str::to_owned);
        let since = since.or_else(|| span(device, "since_s").map(|s| format!("{s} ago")));
        let is_near = device.get("lan_only").and_then(Value::as_bool).unwrap_or_default();
        let near = if is_near { ", on the LAN only" } else { "" };
        let more = match text(device, "state") {
            "pending" => {
                span(device, "expires_in_s").map(|s| format!("expires in {s}{near}")).unwrap_or_default()
            }
            "paired" => match span(device, "seen_s") {
                Some(seen) => format!("seen {seen} ago"),
                None => "not seen since the agent started".to_owned(),
            },
            "revoked" => format!("notice {}", text(device, "notice")),
            _ => String::new(),
        };
        rows.push(vec![
            text(device, "id").to_owned(),
            text(device, "user").to_owned(),
            text(device, "state").to_owned(),
            text(device, "name").to_owned(),
            since.unwrap_or_else(|| "not known".to_owned()),
            more,
        ]);
    }
    if rows.len() == 1 { "There are no devices.\n".to_owned() } else { table(&rows) }
}

/// `moorline users`.
pub fn users(answer: &Value) -> String {
    let mut rows = vec![heading(&["name", "devices", "e-mail"])];
    for user in list(answer, "users") {
        let devices = number(user, "devices").unwrap_or(0).to_string();
        rows.push(vec![text(user, "name").to_owned(), devices, text(user, "email").to_owned()]);
    }
    if rows.len() == 1 {
        "There are no users. Add one: moorline users add NAME\n".to_owned()
    } else {
        table(&rows)
    }
}

/// `moorline code`.
pub fn code(answer: &Value) -> String {
    let valid = span(answer, "expires_in_s").unwrap_or_default();
    let until =
        answer.get("expires_at").and_then(Value::as_str).map(|d| format!(", until {d}")).unwrap_or_default();
    let paths: Vec<&str> = list(answer, "usable_by").iter().filter_map(Value::as_str).collect();
    let usable = if paths.is_empty() {
        "It cannot be used before the cloud can be reached.".to_owned()
    } else {
        format!("It can be used now by way of: {}.", paths.join(", "))
    };
    let is_near = answer.get("lan_only").and_then(Value::as_bool).unwrap_or_default();
    let only = if is_near { ", on this network only" } else { "" };
    let lan = match answer.get("lan_port").and_then(Value::as_u64) {
        Some(port) if paths.contains(&"lan") => {
            format!(" On this network the NAS takes it at port {port} (--lan HOST:{port}).")
        }
        Some(_) | None => String::new(),
    };
    let valid = wrapped("", &format!("Valid for {valid}{until}. {usable}{lan}"));
    format!(
        "\n    {}\n\nActivation code for one device of {} (entry {}){only}.\n{valid}",
        text(answer, "code"),
        text(answer, "user"),
        text(answer, "device_id")
    )
}

/// `moorline codes`.
pub fn codes(answer: &Value) -> String {
    let shown: String = list(answer, "codes").iter().map(code).collect();
    if shown.is_empty() { "No code waits for a device.\n".to_owned() } else { shown }
}

/// `moorline remove`.
pub fn removed(answer: &Value) -> String {
    let removed: Vec<&str> = list(answer, "removed").iter().filter_map(Value::as_str).collect();
    let queued: Vec<&str> = list(answer, "queued").iter().filter_map(Value::as_str).collect();
    if removed.is_empty() {
        return "There was nothing to remove.\n".to_owned();
    }
    let mut out = format!("Removed: {}.\n", removed.join(", "));
    if !queued.is_empty() {
        out +=
            &format!("Locked out at once, and told as soon as it can be reached: {}.\n", queued.join(", "));
    }
    out
}

/// How a disk is: at work or not, how warm, how worn, and what is wrong.
fn disk_words(disk: &Value) -> String {
    let mut words = match text(disk, "power") {
        "awake" => ", awake".to_owned(),
        "asleep" => ", asleep".to_owned(),
        _ => span(disk, "quiet_s").map(|s| format!(", quiet for {s}")).unwrap_or_default(),
    };
    if let Some(celsius) = disk.get("celsius").and_then(Value::as_f64) {
        let age = number(disk, "celsius_age_s").filter(|age| *age > 120);
        let age = age.and_then(|_| span(disk, "celsius_age_s")).map(|s| format!(" {s} ago"));
        words += &format!(", {celsius:.0} °C{}", age.unwrap_or_default());
    }
    if let Some(used) = number(disk, "life_used_percent") {
        words += &format!(", {used} % worn");
    }
    let state = text(disk, "state");
    if !matches!(state, "" | "running") {
        words += &format!(", {state}");
    }
    words
}

/// `moorline hardware`.
pub fn hardware(answer: &Value) -> String {
    let mut rows = Vec::new();
    let mut push =
        |kind: &str, name: &str, value: String| rows.push(vec![kind.to_owned(), name.to_owned(), value]);
    if let Some(board) = answer.get("board") {
        let tested = board.get("verified_on_device").and_then(Value::as_bool).unwrap_or_default();
        push(
            "board",
            text(board, "name"),
            if tested { "tested on a device" } else { "from documents only" }.to_owned(),
        );
    }
    for t in list(answer, "temperatures") {
        push(
            "temperature",
            text(t, "name"),
            format!("{:.1} °C", t.get("celsius").and_then(Value::as_f64).unwrap_or_default()),
        );
    }
    for f in list(answer, "fans") {
        let doubt = f.get("unreliable").and_then(Value::as_bool).unwrap_or_default();
        let doubt = if doubt { ", not reliable" } else { "" };
        push("fan", text(f, "name"), format!("{} rpm{doubt}", number(f, "rpm").unwrap_or(0)));
    }
    for d in list(answer, "disks") {
        let bay = number(d, "bay").map(|b| format!("bay {b}, ")).unwrap_or_default();
        let model = text(d, "model");
        let model = if model.is_empty() { String::new() } else { format!("{model}, ") };
        let size = Bytes(number(d, "size_bytes").unwrap_or(0));
        push("disk", text(d, "device"), format!("{bay}{model}{size}{}", disk_words(d)));
    }
    for l in list(answer, "leds") {
        let on = l.get("on").and_then(Value::as_bool).unwrap_or_default();
        let more = l.get("trigger").or_else(|| l.get("shows")).and_then(Value::as_str);
        let more = more.map(|t| format!(", {t}")).unwrap_or_default();
        push("light", text(l, "name"), format!("{}{more}", if on { "on" } else { "off" }));
    }
    for i in list(answer, "network") {
        let link = i.get("link").and_then(Value::as_bool).unwrap_or_default();
        let speed = number(i, "speed_mbit").map(|s| format!(", {s} Mbit/s")).unwrap_or_default();
        push(
            "network",
            text(i, "name"),
            format!("{}{speed}, {}", if link { "up" } else { "no link" }, text(i, "mac")),
        );
    }
    for r in list(answer, "rtcs") {
        push("clock", text(r, "device"), text(r, "name").to_owned());
    }
    table(&rows)
}

/// `moorline hardware identify`.
pub fn identify(answer: &Value) -> String {
    let Some(left) = span(answer, "ends_in_s").filter(|_| number(answer, "ends_in_s") != Some(0)) else {
        return "Nothing blinks.\n".to_owned();
    };
    let what = number(answer, "bay").map_or_else(|| "the box".to_owned(), |n| format!("bay {n}"));
    let lights = match number(answer, "lights") {
        Some(1) => "1 light blinks".to_owned(),
        n => format!("{} lights blink", n.unwrap_or(0)),
    };
    format!("{lights} at {what} for {left}. End it with `moorline hardware identify --stop`.\n")
}

/// `moorline services`.
pub fn services(answer: &Value) -> String {
    let mut rows = vec![heading(&["name", "address", "now", "users"])];
    for s in list(answer, "services") {
        let users: Vec<&str> = list(s, "users").iter().filter_map(Value::as_str).collect();
        let now =
            if s.get("up").and_then(Value::as_bool).unwrap_or_default() { "runs" } else { "does not run" };
        rows.push(vec![
            text(s, "name").to_owned(),
            text(s, "address").to_owned(),
            now.to_owned(),
            users.join(" "),
        ]);
    }
    if rows.len() == 1 { "No service is configured.\n".to_owned() } else { table(&rows) }
}

/// `moorline reset`.
pub fn reset(answer: &Value) -> String {
    let words = |key| {
        list(answer, key).iter().filter_map(Value::as_str).map(|w| format!("  {w}\n")).collect::<String>()
    };
    let (keeps, loses) = (words("keeps"), words("loses"));
    let done = answer.get("done").and_then(Value::as_bool).unwrap_or_default();
    let head = if done { "Done. Lost:" } else { "This would be lost:" };
    format!("{head}\n{loses}Kept:\n{keeps}No disk is touched.\n")
}

/// One event.
pub fn event(kind: &str, data: &str) -> String {
    let value: Value = serde_json::from_str(data).unwrap_or_default();
    let when = value.get("at").and_then(Value::as_str).map(str::to_owned);
    let when =
        when.or_else(|| span(&value, "uptime_s").map(|s| format!("{s} after boot"))).unwrap_or_default();
    let fields = value
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(k, _)| !["at", "uptime_s", "remedy", "since_s"].contains(&k.as_str()));
    let words: Vec<String> = fields
        .map(|(k, v)| format!("{k}={}", v.as_str().map_or_else(|| v.to_string(), str::to_owned)))
        .collect();
    format!("{when}  {kind}  {}\n", words.join("  "))
}

/// A problem, in the words of the agent.
pub fn problem(problem: &Value) -> String {
    let detail = text(problem, "detail");
    let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
    format!(
        "moorline: {}{detail} [{}]\n{}",
        text(problem, "title"),
        text(problem, "code"),
        wrapped("  → ", text(problem, "remedy"))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_code_is_shown_whole_and_without_an_untrusted_date() {
        let answer = json!({"device_id": "d3", "user": "anna", "code": "7K3Q-MX42-9ABC", "expires_in_s": 172_800, "usable_by": ["broker"]});
        let shown = code(&answer);
        assert!(
            shown.contains("    7K3Q-MX42-9ABC\n")
                && shown.contains("Valid for 2 d. It can be used now by way of: broker."),
            "{shown}"
        );
        assert!(!shown.contains("until"));
    }

    #[test]
    fn a_problem_names_what_why_and_what_to_do() {
        let answer = json!({"title": "T", "detail": "D", "code": "c-d", "remedy": "Do it."});
        assert_eq!(problem(&answer), "moorline: T: D [c-d]\n  → Do it.\n");
    }

    #[test]
    fn long_texts_are_wrapped() {
        let shown = wrapped("  → ", &"word ".repeat(60));
        assert!(shown.lines().count() > 3 && shown.lines().all(|l| l.chars().count() <= 100));
    }

    #[test]
    fn empty_lists_are_sentences() {
        assert_eq!(devices(&json!({"devices": []})), "There are no devices.\n");
        assert_eq!(arrays(&json!({"arrays": []})), "There is no RAID array.\n");
    }

    #[test]
    fn nothing_that_is_missing_makes_it_panic() {
        #[rustfmt::skip]
        let views =
            [status, arrays, cloud, devices, users, code, removed, hardware, identify, services, reset, problem, codes];
        for view in views {
            let _ = view(&json!(null));
            let _ = view(&json!({"arrays": [1], "devices": [null], "cloud": 3, "findings": ["x"]}));
        }
    }
}
