//! What presence says: JSON, since operators and devices of any make read it. No name, no address. A core.

use crate::units::UnixSeconds;

/// One run of an agent: random, so that the presence of another box with the same identity can be told from our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance(pub u32);

/// `{"v":1,"online":true,"seq":…,"run":"…","for_s":…,"until":…}`: alive for so many seconds from now, and until when if the date
/// is trusted; `until` is left out otherwise.
pub fn alive(instance: Instance, seq: u32, for_s: u64, until: Option<UnixSeconds>) -> Vec<u8> {
    let until =
        until.and_then(UnixSeconds::rfc3339).map(|date| format!(",\"until\":\"{date}\"")).unwrap_or_default();
    let run = instance.0;
    format!("{{\"v\":1,\"online\":true,\"seq\":{seq},\"run\":\"{run:08x}\",\"for_s\":{for_s}{until}}}")
        .into_bytes()
}

/// The will and the good-bye.
pub fn gone() -> Vec<u8> {
    br#"{"v":1,"online":false,"seq":0,"for_s":0}"#.to_vec()
}

/// The run that says in this message that it is alive; `None` if it does not say so.
pub fn instance_of(payload: &[u8]) -> Option<Instance> {
    #[derive(serde::Deserialize)]
    struct Said<'a> {
        online: bool,
        run: &'a str,
    }
    let said: Said<'_> = serde_json::from_slice(payload).ok()?;
    u32::from_str_radix(said.run, 16).ok().filter(|_| said.online).map(Instance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presence_is_json_without_an_untrusted_date() {
        let text = |p: Vec<u8>| String::from_utf8(p).unwrap();
        let run = Instance(0xab);
        assert_eq!(
            text(alive(run, 7, 600, None)),
            r#"{"v":1,"online":true,"seq":7,"run":"000000ab","for_s":600}"#
        );
        let dated = text(alive(run, 7, 600, Some(UnixSeconds(1_700_000_000))));
        assert!(dated.ends_with(r#""for_s":600,"until":"2023-11-14T22:13:20Z"}"#), "{dated}");
        assert_eq!(text(gone()), r#"{"v":1,"online":false,"seq":0,"for_s":0}"#);
    }

    #[test]
    fn a_run_is_told_from_another() {
        assert_eq!(instance_of(&alive(Instance(9), 1, 600, None)), Some(Instance(9)));
        assert_eq!(instance_of(&gone()), None);
        assert_eq!(instance_of(br#"{"v":1,"online":true,"seq":7,"for_s":600}"#), None);
        assert_eq!(instance_of(b"\xff{"), None);
    }
}
