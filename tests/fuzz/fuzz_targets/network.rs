//! What name servers, time servers and home routers answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moorline::portmap::igd::{self, Action};
use moorline::portmap::url::Url;
use moorline::portmap::{http, natpmp, pcp, ssdp};
use moorline::session::dns::{self, Family};
use moorline::session::{resolver_files, sntp};

fuzz_target!(|data: &[u8]| {
    let Some((which, bytes)) = data.split_first() else { return };
    match which % 7 {
        0 => {
            let id = bytes.get(..2).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
            for family in [Family::V4, Family::V6] {
                let _ = dns::answer(bytes, id, "broker.example", family);
            }
        }
        1 => drop(sntp::response(bytes, [1; 8])),
        2 => drop(ssdp::parse(bytes)),
        3 => drop(natpmp::parse(&natpmp::Request::PublicAddress, bytes)),
        4 => drop(pcp::parse(&pcp::Request::Announce, bytes)),
        5 => {
            if let Ok(Some(reply)) = http::parse(bytes, true) {
                let _ = igd::external_address(&reply);
                let _ = igd::status(&reply);
                let _ = igd::done(&reply, &Action::GetExternalIpAddress);
                let location = Url::parse("http://192.0.2.1:5000/root.xml").expect("a good address");
                if let Ok(controls) = igd::controls(&reply.body, &location) {
                    for control in &controls {
                        assert!(!igd::request(control, &Action::GetExternalIpAddress).is_empty());
                    }
                }
            }
        }
        _ => {
            let text = String::from_utf8_lossy(bytes);
            let parsed = resolver_files::ResolvConf::parse(&text, |_| Some(1));
            let _ = parsed.candidates("broker");
            let _ = resolver_files::in_hosts(&text, "broker");
        }
    }
});
