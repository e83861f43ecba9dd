//! `/metrics`: OpenMetrics text (<https://prometheus.io/docs/specs/om/open_metrics_spec/>). A core, from the same status
//! that everybody else reads.

use std::fmt::Write as _;

use super::api::Status;

/// Media type of the text.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Writes the text.
pub fn render(status: &Status) -> String {
    let mut text = String::new();
    let c = &status.cloud.counters;
    gauge(
        &mut text,
        "moorline_session_online",
        "A round trip has confirmed the session",
        f64::from(u8::from(status.cloud.online)),
    );
    for (name, help, value) in [
        ("moorline_session_attempts", "Attempts begun", c.attempts),
        ("moorline_session_failures", "Failures and losses", c.failures),
        ("moorline_session_round_trips", "Confirmed round trips", c.round_trips),
        ("moorline_store_records", "Records written", status.store.records),
        ("moorline_store_programmed_bytes", "Bytes written to the flash", status.store.bytes_programmed),
        ("moorline_store_erases", "Segments erased", status.store.erases),
    ] {
        // Writing to a string does not fail.
        let _ = write!(text, "# TYPE {name} counter\n# HELP {name} {help}\n{name}_total {value}\n");
    }
    if let Some(years) = status.store.years_at_least {
        let help = "Years that the flash lasts at least at the daily budget";
        gauge(&mut text, "moorline_store_years_at_least", help, f64::from(years));
    }
    let d = &status.devices;
    text.push_str("# TYPE moorline_devices gauge\n# HELP moorline_devices Device entries by state\n");
    for (state, value) in
        [("pending", d.pending), ("paired", d.paired), ("revoked", d.revoked), ("ended", d.ended)]
    {
        let _ = writeln!(text, "moorline_devices{{state=\"{state}\"}} {value}");
    }
    text.push_str(
        "# TYPE moorline_array_working_disks gauge\n# HELP moorline_array_working_disks Working disks\n",
    );
    for array in &status.arrays {
        let _ = writeln!(
            text,
            "moorline_array_working_disks{{array=\"{}\"}} {}",
            escape(&array.name),
            array.disks_working
        );
    }
    text.push_str("# TYPE moorline_findings gauge\n# HELP moorline_findings Findings that are shown\n");
    for severity in ["info", "warning", "error"] {
        let count = status.findings.iter().filter(|f| f.severity == severity).count();
        let _ = writeln!(text, "moorline_findings{{severity=\"{severity}\"}} {count}");
    }
    text.push_str("# EOF\n");
    text
}

fn gauge(text: &mut String, name: &str, help: &str, value: f64) {
    let _ = write!(text, "# TYPE {name} gauge\n# HELP {name} {help}\n{name} {value}\n");
}

fn escape(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
