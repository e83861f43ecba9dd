//! What presence says: JSON, since operators and devices of any make read it. No name, no address. A core.

use crate::units::UnixSeconds;

/// `{"v":1,"online":…,"seq":…,"for_s":…,"until":…}`: alive for so many seconds from now, and until when if the date is
/// trusted; `until` is left out otherwise.
pub fn payload(online: bool, seq: u32, for_s: u64, until: Option<UnixSeconds>) -> Vec<u8> {
    let until =
        until.and_then(UnixSeconds::rfc3339).map(|date| format!(",\"until\":\"{date}\"")).unwrap_or_default();
    format!("{{\"v\":1,\"online\":{online},\"seq\":{seq},\"for_s\":{for_s}{until}}}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presence_is_json_without_an_untrusted_date() {
        let text = |p: Vec<u8>| String::from_utf8(p).unwrap();
        assert_eq!(text(payload(true, 7, 600, None)), r#"{"v":1,"online":true,"seq":7,"for_s":600}"#);
        let dated = text(payload(true, 7, 600, Some(UnixSeconds(1_700_000_000))));
        assert_eq!(dated, r#"{"v":1,"online":true,"seq":7,"for_s":600,"until":"2023-11-14T22:13:20Z"}"#);
        assert_eq!(text(payload(false, 0, 0, None)), r#"{"v":1,"online":false,"seq":0,"for_s":0}"#);
    }
}
