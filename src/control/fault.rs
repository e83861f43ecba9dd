//! THE TABLE of what the control API can answer instead of success: code, HTTP status, title, remedy. A core.
//! docs/codes.md is generated from it; the detail is given where a fault happens.

/// Everything about a kind of fault that does not depend on the case.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Which.
    pub code: Fault,
    /// Its stable name.
    pub name: &'static str,
    /// HTTP status.
    pub status: u16,
    /// One line.
    pub title: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

macro_rules! catalogue {
    ($($code:ident $name:literal $status:literal: $title:literal, $remedy:literal;)*) => {
        /// Which fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault { $(#[doc = $title] $code,)* }

        /// The whole table.
        pub const CATALOGUE: &[Entry] = &[$(Entry {
            code: Fault::$code, name: $name, status: $status, title: $title, remedy: $remedy,
        },)*];

        impl Fault {
            /// Its row of the table.
            #[expect(clippy::indexing_slicing, reason = "the macro makes one row for each variant, in their order")]
            pub const fn entry(self) -> &'static Entry {
                &CATALOGUE[self as usize]
            }
        }
    };
}

catalogue! {
    BadRequest "bad-request" 400: "The request is not HTTP as this socket speaks it",
        "Send HTTP/1.1 with a Content-Length; /openapi.json describes every request.";
    InvalidJson "invalid-json" 400: "The body is not the JSON that is wanted here",
        "Compare the body with /openapi.json; fields it does not name are refused.";
    InvalidParameter "invalid-parameter" 400: "A parameter is wrong",
        "The detail names it; /openapi.json has its range.";
    NotPermitted "not-permitted" 403: "Only an administrator may do this",
        "Run it as root, or add this user to [control] admins in the agent's configuration.";
    NotFound "not-found" 404: "There is no such resource",
        "/openapi.json lists what there is.";
    UserUnknown "user-unknown" 404: "There is no such user",
        "Add the user first: moorline users add NAME.";
    DeviceUnknown "device-unknown" 404: "There is no such device entry",
        "Nothing to do if it was to be removed; `moorline devices` lists what there is.";
    ScopeUnknown "scope-unknown" 404: "There is no such reset",
        "Use connection, pairings or identity.";
    BayUnknown "bay-unknown" 404: "The box has no such bay",
        "`moorline hardware` lists the bays with disks; a board description can name more.";
    MethodNotAllowed "method-not-allowed" 405: "The resource is not used that way",
        "/openapi.json has the methods of each resource.";
    Timeout "request-timeout" 408: "The request did not arrive in time",
        "Send head and body within ten seconds.";
    UsersFull "users-full" 409: "There is no room for another user",
        "Remove a user that is no longer needed.";
    DevicesFull "devices-full" 409: "There is no room for another device",
        "Remove a device, or all unused codes: moorline remove --unused.";
    NotPending "not-pending" 409: "The device has no code that could be shown",
        "Make a new code: moorline code USER.";
    CloudNotConfigured "cloud-not-configured" 409: "No broker is configured",
        "Name one in the agent's configuration ([cloud] broker), open the listener of the LAN ([remote] port), or ask with --offline.";
    CloudDisabled "cloud-disabled" 409: "Remote access is switched off",
        "Switch it on with `moorline cloud on`, or ask with --offline.";
    NoLight "no-light" 409: "There is no light for this",
        "The board has none, or it is the kernel's; docs/boards.md says how a board description names lights.";
    BodyTooLarge "body-too-large" 413: "The body is too large",
        "No request of this interface needs more than 16 KiB.";
    HeadTooLarge "head-too-large" 431: "The head of the request is too large",
        "No request of this interface needs more than 8 KiB or 32 fields.";
    WriteBudget "write-budget-spent" 429: "Too many pairing changes today",
        "To spare the flash, changes are limited; wait an hour and try again.";
    NoAnswer "no-answer" 504: "The agent did not answer in time",
        "Try again; if it happens again, send a report.";
    NotImplemented "not-implemented" 501: "The request uses a part of HTTP that this socket does not have",
        "Send the body with a Content-Length and without a transfer coding.";
    CloudUnreachable "cloud-unreachable" 503: "The cloud cannot be reached, so a code could not be used now",
        "`moorline status` says why. Try again when it is online, or ask with --offline.";
    StoreCorrupt "store-corrupt" 503: "The pairing data on the flash is damaged",
        "`moorline reset pairings` starts afresh; the damaged data is kept and your files are not touched.";
    StoreReadOnly "store-read-only" 503: "Pairing data cannot be written",
        "The flash refuses writes: free space on the partition or have it checked, then restart the agent.";
    Busy "too-many-connections" 503: "Too many programs use this socket at once",
        "Close connections that are not needed, then try again.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_texts_are_sentences() {
        for (i, entry) in CATALOGUE.iter().enumerate() {
            assert_eq!(entry.code.entry().name, entry.name);
            assert!(CATALOGUE.iter().skip(i + 1).all(|other| other.name != entry.name), "{}", entry.name);
            assert!((400..600).contains(&entry.status));
            assert!(entry.remedy.ends_with('.') && !entry.title.ends_with('.'), "{}", entry.name);
        }
    }
}
