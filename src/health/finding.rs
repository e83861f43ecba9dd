//! THE TABLE of findings: code, severity, title, remedy, what it depends on, how long it must last before it is shown.
//! docs/codes.md is generated from it. A core.
//!
//! Titles and remedies are written for the owner of a NAS. Evidence is given where a finding is raised.

use core::time::Duration;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Something does not work as it should, or soon will not.
    Warning,
    /// Something that the owner relies on does not work.
    Error,
}

impl Severity {
    /// The word of the documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Everything about a kind of finding that does not depend on the case.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Which.
    pub code: Code,
    /// Its stable name.
    pub name: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// One line.
    pub title: &'static str,
    /// What to do.
    pub remedy: &'static str,
    /// Findings that explain it; it is hidden while one of them holds.
    pub hidden_by: &'static [Code],
    /// It is shown once it has lasted this long.
    pub visible_after: Duration,
}

macro_rules! catalogue {
    ($($code:ident $name:literal $severity:ident after $seconds:literal s, hidden by [$($by:ident)*]:
        $title:literal, $remedy:literal;)*) => {
        /// Which finding.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code { $(#[doc = $title] $code,)* }

        /// The whole catalogue, in the order in which one finding is more important than another of the same severity.
        pub const CATALOGUE: &[Entry] = &[$(Entry {
            code: Code::$code,
            name: $name,
            severity: Severity::$severity,
            title: $title,
            remedy: $remedy,
            hidden_by: &[$(Code::$by),*],
            visible_after: Duration::from_secs($seconds),
        },)*];

        impl Code {
            /// Its row of the catalogue.
            #[expect(clippy::indexing_slicing, reason = "the macro makes one row for each variant, in their order")]
            pub const fn entry(self) -> &'static Entry {
                &CATALOGUE[self as usize]
            }
        }
    };
}

catalogue! {
    ArrayFailed "array-failed" Error after 0 s, hidden by []:
        "A RAID array has failed",
        "Do not write to the NAS. Save what can still be read, then have the disks named in the evidence checked.";
    ArrayDegraded "array-degraded" Warning after 0 s, hidden by [ArrayFailed]:
        "A RAID array lacks a disk",
        "The data is still there, in a mirror of two on one disk only. Make a backup now, then replace the disk named in the evidence; the NAS copies onto the new disk by itself.";
    ArrayInactive "array-inactive" Warning after 10 s, hidden by [ArrayFailed]:
        "A RAID array is not running",
        "Look at the disks page of the NAS: a disk may be missing. The array is not touched by the agent.";
    ArrayRebuilding "array-rebuilding" Info after 0 s, hidden by []:
        "A RAID array is being rebuilt",
        "Leave the NAS running until it is done. If it lacked a disk, its data is not safe from the loss of another until then.";
    ArrayAttention "array-attention" Warning after 10 s, hidden by [ArrayFailed]:
        "A RAID array wants attention",
        "Read the evidence. Differences seen by a check are usual on arrays with a swap area; read errors are not: have that disk checked.";
    ArrayUnknown "array-unknown" Info after 10 s, hidden by []:
        "The state of a RAID array is not known",
        "The kernel says something that this version does not know. Look at the disks page of the NAS and send a report.";
    StoreCorrupt "store-corrupt" Error after 0 s, hidden by []:
        "The pairing data on the NAS's flash is damaged",
        "Remote access stays off, since a removed device could come back otherwise. The damaged data is kept. Start afresh with `moorline reset pairings` and pair the devices again; your files are not touched.";
    StoreReadOnly "store-read-only" Error after 0 s, hidden by [StoreCorrupt]:
        "Pairing data can no longer be written",
        "The flash refuses writes. Devices that are paired keep working; free space on the partition or have the flash checked, then restart the agent.";
    WriteBudget "write-budget-spent" Warning after 0 s, hidden by []:
        "Too many pairing changes today",
        "To spare the flash, changes are limited. Wait an hour and try again.";
    IdentityCloned "identity-cloned" Error after 0 s, hidden by []:
        "Another NAS uses this NAS's identity",
        "A firmware image or backup with this NAS's key runs on a second box. Run `moorline reset identity` on one of the two, then pair its devices again.";
    ClockUnset "clock-unset" Warning after 60 s, hidden by []:
        "The NAS does not know the date",
        "The clock stands before the date this software was made. Switch on time synchronisation (NTP) on the NAS, or set the clock; until then no dates are shown.";
    ClockWrong "clock-wrong" Warning after 0 s, hidden by [ClockUnset]:
        "The NAS's date is wrong",
        "Switch on time synchronisation (NTP) on the NAS, or set the date. Until then the agent goes by the time servers named in the evidence.";
    ClockUnconfirmed "clock-unconfirmed" Info after 600 s, hidden by [ClockUnset]:
        "Nobody vouches for the NAS's clock",
        "Switch on time synchronisation (NTP) on the NAS; until then no dates are shown.";
    CloudNotConfigured "cloud-not-configured" Info after 0 s, hidden by []:
        "No broker is configured",
        "Name a broker in the agent's configuration ([cloud] broker = \"mqtts://…\") to reach the NAS from outside.";
    CloudDisabled "cloud-disabled" Info after 0 s, hidden by [CloudNotConfigured]:
        "Remote access is switched off",
        "Switch it on with `moorline cloud on`.";
    LinkDown "link-down" Error after 2 s, hidden by []:
        "No network cable is connected",
        "Check the network cable and the switch or router at its other end; their lights should be on.";
    AddressMissing "address-missing" Error after 5 s, hidden by [LinkDown]:
        "The NAS has no network address",
        "The router gave no address. Restart the router, or check the NAS's network settings.";
    RouteMissing "route-missing" Error after 2 s, hidden by [LinkDown AddressMissing]:
        "No route leads to the internet",
        "The NAS has an address but no default route: check the gateway in the NAS's network settings, or restart the router.";
    DnsNameUnknown "dns-name-unknown" Error after 5 s, hidden by [LinkDown AddressMissing RouteMissing]:
        "The broker's name does not exist",
        "Check the broker's name in the agent's configuration. If it is right, the name server of the router answers wrongly: set another one on the NAS.";
    DnsFailed "dns-failed" Error after 5 s, hidden by [LinkDown AddressMissing RouteMissing]:
        "The name servers do not answer",
        "Check that the router is online. If it is, set another name server on the NAS.";
    BrokerRefused "broker-refused" Error after 5 s, hidden by [LinkDown AddressMissing RouteMissing]:
        "The broker's port is closed",
        "The broker's computer answers, but no broker listens there. Check broker and port in the agent's configuration, or wait until the broker is started again.";
    BrokerUnreachable "broker-unreachable" Error after 5 s, hidden by [LinkDown AddressMissing RouteMissing]:
        "The broker cannot be reached",
        "Check that the router is online and that its firewall lets the NAS out to the broker's port.";
    TlsNotYetValid "tls-not-yet-valid" Error after 5 s, hidden by [LinkDown AddressMissing RouteMissing ClockUnset ClockWrong]:
        "The broker's certificate is not valid yet",
        "Most likely the NAS's clock is behind: switch on time synchronisation (NTP). If the date is right, the broker's operator must renew the certificate.";
    TlsExpired "tls-expired" Error after 5 s, hidden by [LinkDown AddressMissing RouteMissing ClockWrong]:
        "The broker's certificate has expired",
        "If the NAS's date is right, the broker's operator must renew the certificate. If it is ahead, correct it.";
    TlsWrongName "tls-wrong-name" Error after 5 s, hidden by [LinkDown AddressMissing RouteMissing]:
        "The broker's certificate is for another name",
        "Check the broker's name in the agent's configuration. If it is right, something between the NAS and the broker intercepts the connection.";
    TlsUnknownIssuer "tls-unknown-issuer" Error after 5 s, hidden by [LinkDown AddressMissing RouteMissing]:
        "The broker's certificate is not trusted",
        "For a broker of your own, name its CA certificate in the configuration ([cloud] ca_file). Otherwise something between the NAS and the broker intercepts the connection.";
    TlsFailed "tls-failed" Error after 5 s, hidden by [LinkDown AddressMissing RouteMissing]:
        "No secure connection to the broker",
        "The broker must speak TLS 1.3 on this port. The evidence has its own words.";
    BrokerCredentialsRefused "broker-credentials-refused" Error after 0 s, hidden by [LinkDown AddressMissing RouteMissing]:
        "The broker refuses the NAS's user name or password",
        "Check user and password_file in the agent's configuration with the broker's operator.";
    BrokerNotAuthorized "broker-not-authorized" Error after 0 s, hidden by [LinkDown AddressMissing RouteMissing]:
        "The broker does not let the NAS in",
        "Check user and password_file in the agent's configuration: some brokers say this for a wrong password, too. If they are right, the account may not log in: ask the broker's operator.";
    TopicRightsMissing "topic-rights-missing" Error after 0 s, hidden by [LinkDown AddressMissing RouteMissing]:
        "The NAS may not use its topics at the broker",
        "The broker's access rules must let this NAS read and write its topics; docs/broker.md has the rules.";
    EchoLost "echo-lost" Error after 0 s, hidden by [LinkDown AddressMissing RouteMissing]:
        "The broker does not deliver the NAS's messages",
        "The broker accepts messages and drops them: its access rules must let this NAS write its topics; docs/broker.md has the rules.";
    BrokerBusy "broker-busy" Warning after 30 s, hidden by [LinkDown AddressMissing RouteMissing]:
        "The broker is busy",
        "Nothing to do here: the NAS keeps trying at growing intervals.";
    BrokerRejected "broker-rejected" Error after 0 s, hidden by [LinkDown AddressMissing RouteMissing]:
        "The broker rejects the session",
        "The evidence has the broker's reason; its operator can tell more.";
    BrokerSilent "broker-silent" Error after 5 s, hidden by [LinkDown AddressMissing RouteMissing]:
        "The broker does not answer",
        "The connection opens but nothing comes back. Check that the router is online; if it is, the broker or something before it hangs.";
    BrokerClosed "broker-closed" Warning after 5 s, hidden by [LinkDown AddressMissing RouteMissing]:
        "The broker closes the connection",
        "It may be restarting. If this lasts, ask the broker's operator.";
    BrokerProtocol "broker-protocol-error" Error after 0 s, hidden by [LinkDown AddressMissing RouteMissing]:
        "What answers is not an MQTT broker",
        "Check broker and port in the agent's configuration.";
    BoxResources "box-resources" Error after 0 s, hidden by []:
        "The NAS has run out of memory or file handles",
        "Restart the NAS. If it happens again, send a report.";
    NameFromMemory "dns-name-from-memory" Warning after 5 s, hidden by [LinkDown AddressMissing RouteMissing]:
        "Remote access goes by an old address of the broker",
        "It works, but the name servers do not give the broker's address. Check that the router is online, or set another name server with `moorline cloud dns`.";
    SessionUnstable "session-unstable" Warning after 0 s, hidden by [LinkDown AddressMissing RouteMissing]:
        "The connection to the broker breaks again and again",
        "The evidence has the last cause. If the NAS is the only one that is affected, look at the router and its cable; otherwise ask the broker's operator.";
    SessionStuck "session-stuck" Warning after 0 s, hidden by []:
        "The session had to be begun anew",
        "This should not happen: send a report (`moorline report`).";
    DnsServerSilent "dns-server-silent" Warning after 0 s, hidden by [LinkDown AddressMissing RouteMissing]:
        "A name server does not answer",
        "Take it out of the NAS's network settings, or restart the router if it is the router's.";
    DnsServerBad "dns-server-bad" Warning after 0 s, hidden by [LinkDown AddressMissing RouteMissing]:
        "A name server answers with errors",
        "Set another name server on the NAS or in the router, or give the agent one of its own with `moorline cloud dns`.";
    DnsHijacked "dns-hijacked" Error after 0 s, hidden by [LinkDown AddressMissing RouteMissing]:
        "A name server gives a false address",
        "The name leads to somebody else than the broker. Set another name server on the NAS, or give the agent one of its own with `moorline cloud dns`.";
    CaptivePortal "captive-portal" Error after 0 s, hidden by [LinkDown AddressMissing RouteMissing]:
        "The network wants somebody to log in first",
        "Open a web page from another device in the same network and log in there, or ask the network's operator to let the NAS through.";
    Ipv6Broken "ipv6-broken" Warning after 0 s, hidden by [LinkDown AddressMissing RouteMissing]:
        "IPv6 is there but leads nowhere",
        "It works by IPv4. Restart the router; if it stays, switch IPv6 off on the NAS or ask the internet provider.";
    Ipv4Broken "ipv4-broken" Warning after 0 s, hidden by [LinkDown AddressMissing RouteMissing]:
        "IPv4 is there but leads nowhere",
        "It works by IPv6. Restart the router; if it stays, ask the internet provider.";
    NetworkSlow "network-slow" Warning after 0 s, hidden by [LinkDown AddressMissing RouteMissing]:
        "The way to the broker is slow or lossy",
        "It works, but slowly. Look for something that uses up the internet connection, or restart the router.";
    MessageFlood "message-flood" Warning after 5 s, hidden by [LinkDown AddressMissing RouteMissing]:
        "Somebody floods the NAS with messages",
        "Nothing is harmed: what the NAS cannot use is dropped. Ask the broker's operator which account sends them, or change the account's password.";
    BrokerOld "broker-old" Info after 0 s, hidden by [LinkDown AddressMissing RouteMissing]:
        "The broker speaks an older MQTT",
        "It works. With a broker that speaks MQTT 5 the NAS hears of refused messages, and others of its absence sooner.";
    WasStopped "was-stopped" Info after 0 s, hidden by [LinkDown AddressMissing RouteMissing]:
        "The agent stood still for a while",
        "Nothing to do if the NAS was asleep. Otherwise something keeps it too busy: look at what else runs on it.";
    RouterNoMapping "router-no-mapping" Info after 0 s, hidden by [LinkDown AddressMissing RouteMissing]:
        "The router opens no port for the NAS",
        "Not needed: devices reach the NAS through the broker. For a direct path switch on UPnP or NAT-PMP in the router.";
    RouterDoubleNat "router-double-nat" Info after 0 s, hidden by [LinkDown AddressMissing RouteMissing]:
        "The router stands behind another router",
        "Not needed: devices reach the NAS through the broker. For a direct path set the first router to bridge mode.";
    RouterCarrierNat "router-carrier-nat" Info after 0 s, hidden by [LinkDown AddressMissing RouteMissing]:
        "The internet provider gives no address of one's own",
        "Not needed: devices reach the NAS through the broker. For a direct path ask the provider for an address of your own.";
    ServiceDown "service-down" Warning after 0 s, hidden by []:
        "A service of the NAS does not answer",
        "Restart that service on the NAS; the evidence names it.";
    RemotePortTaken "remote-port-taken" Warning after 0 s, hidden by []:
        "Paired devices cannot reach this NAS directly",
        "Another program has the port of [remote] in the agent's configuration, or the key cannot be read: the evidence says which. Choose another port.";
    BoardUnknown "board-unknown" Info after 0 s, hidden by []:
        "This NAS model is not known",
        "Lights and bays are not shown. Add a board description to the firmware (docs/boards.md) or send a report.";
    BoardAmbiguous "board-ambiguous" Warning after 0 s, hidden by []:
        "More than one board description fits this NAS",
        "Name one in the configuration ([board] id = \"…\").";
    BoardFileBad "board-file-bad" Warning after 0 s, hidden by []:
        "A board file of this NAS cannot be used",
        "The evidence names file, line and mistake. Correct it: `moorline board check FILE` tells everything that is wrong.";
    DiskErrors "disk-errors" Warning after 0 s, hidden by []:
        "A disk fails",
        "Make a backup now, then have the disk named in the evidence tested or replaced. If a new disk in the same bay fails too, look at its cable and power.";
    DiskHot "disk-hot" Warning after 0 s, hidden by []:
        "A disk is too hot",
        "See that the fan turns and the vents are free, and that the room is not too warm. Heat wears disks out.";
    FlashWorn "flash-worn" Warning after 0 s, hidden by []:
        "The NAS's built-in flash is worn out",
        "It says so itself. Make a backup of the settings, and ask the maker for a replacement before it fails.";
    AlarmInput "alarm-input" Warning after 0 s, hidden by []:
        "The box raises an alarm",
        "The evidence names the line, as the board description calls it: a USB device may draw too much, or a fan may stand still. Unplug what was plugged in last and look at the box.";
    LedUnavailable "led-unavailable" Info after 0 s, hidden by []:
        "A light of the NAS cannot be controlled",
        "The evidence names it; the board description may be for another kernel.";
    McuBusy "mcu-busy" Warning after 0 s, hidden by []:
        "Another program has the microcontroller's port",
        "The evidence says how. Only one program can use it: stop the other one (mcm-daemon, a console), or take [mcu] out of the board description. Until then the power light and the thermometer are not moorline's.";
    McuSilent "mcu-silent" Warning after 0 s, hidden by []:
        "The NAS's microcontroller does not answer",
        "The power light and the thermometer behind it are not available. If another program uses the port too (mcm-daemon, the maker's daemons), stop it; otherwise switch the NAS off and on again.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_kebab_case_and_match_their_rows() {
        for (i, entry) in CATALOGUE.iter().enumerate() {
            assert_eq!(entry.code.entry().name, entry.name);
            assert!(
                entry.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                "{}",
                entry.name
            );
            assert!(CATALOGUE.iter().skip(i + 1).all(|other| other.name != entry.name), "{}", entry.name);
        }
    }

    #[test]
    fn texts_are_sentences_for_people() {
        for entry in CATALOGUE {
            assert!(entry.title.len() <= 60 && !entry.title.ends_with('.'), "{}", entry.title);
            assert!(entry.remedy.ends_with('.'), "{}", entry.remedy);
        }
    }

    #[test]
    fn nothing_hides_itself_or_its_cause() {
        for entry in CATALOGUE {
            for by in entry.hidden_by {
                assert_ne!(*by, entry.code);
                assert!(!by.entry().hidden_by.contains(&entry.code), "{}", entry.name);
            }
        }
    }
}
