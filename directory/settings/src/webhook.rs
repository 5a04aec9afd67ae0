//! Webhook endpoints: entries of class `provostSetting` in `ou=services` whose `cn` is `webhook.NAME`.
//!
//! Each value of `provostValue` is a line `KEY WORDS`: `url`, `events`, and optionally `details` and `paused`. The secret
//! that signs the requests is never in the directory: who may read the settings must not be able to sign.

/// Beginning of the `cn` of an endpoint's entry.
pub const WEBHOOK_PREFIX: &str = "webhook.";
/// Maximum number of endpoints in force.
pub const WEBHOOKS_MAX: usize = 32;
/// Longest name of an endpoint, octets.
const NAME_OCTETS_MAX: usize = 40;
/// Longest URL, octets; with its key it fits into one value.
const URL_OCTETS_MAX: usize = 480;

/// The types of events.
pub const WEBHOOK_EVENTS: [&str; 14] = [
    "person.created",
    "person.renamed",
    "person.changed",
    "person.suspended",
    "person.released",
    "person.closed",
    "person.restored",
    "person.removed",
    "state.changed",
    "notice.sent",
    "notice.objected",
    "import.applied",
    "change.outcome",
    "webhook.test",
];

/// A receiver of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookEndpoint {
    /// The name, which selects its secret and its cursor: lower-case letters, digits and hyphens.
    pub name: String,
    /// Where events are posted: https, or http to this machine.
    pub url: String,
    /// Types of events (`person.renamed`), groups of them (`person.*`), or `*` for all.
    pub events: Vec<String>,
    /// Whether events have the values before and after, the actor and the reason, and not only ids, states and names of
    /// attributes.
    pub details: bool,
    /// Whether nothing is sent for now; events wait for the end of the pause.
    pub paused: bool,
}

impl WebhookEndpoint {
    /// Reads the values of an entry. The error is the broken rule.
    pub fn parse<S: AsRef<str>>(name: &str, values: &[S]) -> Result<Self, String> {
        check_name(name)?;
        let mut endpoint =
            Self { name: name.to_owned(), url: String::new(), events: Vec::new(), details: false, paused: false };
        for value in values {
            let (key, words) = value.as_ref().trim().split_once(char::is_whitespace).unwrap_or((value.as_ref(), ""));
            match (key.trim(), words.trim()) {
                ("url", url) if endpoint.url.is_empty() => endpoint.url = checked_url(url)?,
                ("url", _) => return Err("one url".to_owned()),
                ("events", events) => endpoint.events.extend(checked_events(events)?),
                ("details", word) => endpoint.details = yes(word)?,
                ("paused", word) => endpoint.paused = yes(word)?,
                (other, _) => return Err(format!("the keys are url, events, details and paused, not '{other}'")),
            }
        }
        if endpoint.url.is_empty() {
            return Err("a line 'url https://…' is needed".to_owned());
        }
        if endpoint.events.is_empty() {
            endpoint.events.push("*".to_owned());
        }
        Ok(endpoint)
    }

    /// The values of the entry.
    pub fn values(&self) -> Vec<String> {
        let mut values = vec![format!("url {}", self.url), format!("events {}", self.events.join(" "))];
        for (key, is_set) in [("details", self.details), ("paused", self.paused)] {
            values.extend(is_set.then(|| format!("{key} yes")));
        }
        values
    }

    /// Whether the endpoint wants events of a type.
    pub fn wants(&self, event: &str) -> bool {
        let matches = |pattern: &String| match pattern.strip_suffix('*') {
            Some(prefix) => event.starts_with(prefix),
            None => pattern == event,
        };
        self.events.iter().any(matches)
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let is_word = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
    if name.is_empty() || name.len() > NAME_OCTETS_MAX || !name.bytes().all(is_word) {
        return Err(format!("a name is 1 to {NAME_OCTETS_MAX} lower-case letters, digits and hyphens"));
    }
    Ok(())
}

/// Checks that the secret of the receiver's answer and the ids of people do not cross a network in the clear.
fn checked_url(url: &str) -> Result<String, String> {
    let rule = || "an https URL without user and fragment; http only to 127.0.0.1, [::1] or localhost".to_owned();
    if url.len() > URL_OCTETS_MAX || url.chars().any(|c| c.is_whitespace() || c.is_control() || c == '#') {
        return Err(rule());
    }
    let (scheme, rest) = url.split_once("://").ok_or_else(rule)?;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(_) => authority.split_once(']').map(|(host, _)| format!("{host}]")).ok_or_else(rule)?,
        None => authority.split(':').next().unwrap_or_default().to_owned(),
    };
    let is_loopback = ["127.0.0.1", "[::1]", "localhost"].contains(&host.as_str());
    let is_accepted = scheme == "https" || scheme == "http" && is_loopback;
    if host.is_empty() || authority.contains('@') || !is_accepted { Err(rule()) } else { Ok(url.to_owned()) }
}

fn checked_events(words: &str) -> Result<Vec<String>, String> {
    let mut events = Vec::new();
    for word in words.split_whitespace() {
        let is_known = match word.strip_suffix('*') {
            Some(prefix) => WEBHOOK_EVENTS.iter().any(|event| event.starts_with(prefix)),
            None => WEBHOOK_EVENTS.contains(&word),
        };
        if !is_known {
            return Err(format!("events are {} or patterns such as person.*, not '{word}'", WEBHOOK_EVENTS.join(", ")));
        }
        events.push(word.to_owned());
    }
    Ok(events)
}

fn yes(word: &str) -> Result<bool, String> {
    match word {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("yes or no".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_and_written() {
        let values = ["url https://hooks.example.edu/provost?x=1", "events person.* import.applied", "details yes"];
        let endpoint = WebhookEndpoint::parse("sis", &values).unwrap();
        assert_eq!(endpoint.values(), values);
        for (event, wanted) in [("person.renamed", true), ("import.applied", true), ("state.changed", false)] {
            assert_eq!(endpoint.wants(event), wanted, "{event}");
        }
        assert!(WebhookEndpoint::parse("a", &["url http://localhost:80/"]).unwrap().wants("state.changed"));
    }

    #[test]
    fn wrong_endpoints_are_refused_with_their_rule() {
        for (name, value, rule) in [
            ("A", "url https://x/", "a name is"),
            ("", "url https://x/", "a name is"),
            ("../x", "url https://x/", "a name is"),
            ("a", "url http://x/", "an https URL"),
            ("a", "url http://127.0.0.1.evil.example/", "an https URL"),
            ("a", "url https://user:secret@x/", "an https URL"),
            ("a", "url https://", "an https URL"),
            ("a", "url ftp://x/", "an https URL"),
            ("a", "url https://x/#f", "an https URL"),
            ("a", "events person.*", "a line 'url"),
            ("a", "events person.unheard", "events are"),
            ("a", "secret whsec_x", "the keys are"),
            ("a", "details maybe", "yes or no"),
        ] {
            let refused = WebhookEndpoint::parse(name, &[value]).unwrap_err();
            assert!(refused.starts_with(rule), "{value}: {refused}");
        }
        assert_eq!(WebhookEndpoint::parse("a", &["url https://x/", "url https://y/"]), Err("one url".to_owned()));
        assert!(WebhookEndpoint::parse("a", &["url http://[::1]:8080/x"]).is_ok());
    }
}
