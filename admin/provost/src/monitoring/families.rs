//! Every metric of the node in one table: name, kind, meaning, and the series that exist from the start.
//!
//! Names follow the Prometheus conventions: one prefix, the unit in the name, `_total` on counters. A test compares
//! this table with the names that the code records. docs/metrics.md shows it to operators.

use metrics::Label;

/// Kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum MetricKind {
    Counter,
    Gauge,
    /// A histogram with these upper bounds of its buckets, ascending.
    Histogram(&'static [f64]),
}

/// Values of a label that are known when the node starts.
#[derive(Clone, Copy, Debug)]
pub(super) enum LabelValues {
    /// Exactly these values.
    Fixed(&'static [&'static str]),
    /// Names of the mail listeners that are on.
    MailListeners,
    /// Names of all listeners that are on.
    Listeners,
}

/// One metric of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: MetricKind,
    pub(super) help: &'static str,
    /// Labels whose values are all known: each combination has a series from the start, at zero, so that `rate()` sees
    /// the first increment. `None`: a series begins when it is first recorded.
    pub(super) labels: Option<&'static [(&'static str, LabelValues)]>,
}

/// Names of the listeners that are on, as in the label `listener`.
pub(super) struct EnabledListeners {
    pub(super) mail: Vec<&'static str>,
    pub(super) all: Vec<&'static str>,
}

impl Family {
    /// The label sets of the series that exist from the start.
    pub(super) fn series(&self, listeners: &EnabledListeners) -> Vec<Vec<Label>> {
        let Some(labels) = self.labels else { return Vec::new() };
        let mut series = vec![Vec::new()];
        for (name, values) in labels {
            let values: &[&'static str] = match values {
                LabelValues::Fixed(values) => values,
                LabelValues::MailListeners => &listeners.mail,
                LabelValues::Listeners => &listeners.all,
            };
            let with = |labels: &Vec<Label>| -> Vec<Vec<Label>> {
                let one = |value: &&'static str| {
                    let label = Label::from_static_parts(name, value);
                    labels.iter().cloned().chain([label]).collect()
                };
                values.iter().map(one).collect()
            };
            series = series.iter().flat_map(with).collect();
        }
        series
    }
}

const fn counter(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: MetricKind::Counter, help, labels: Some(&[]) }
}

const fn gauge(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: MetricKind::Gauge, help, labels: None }
}

const fn histogram(name: &'static str, buckets: &'static [f64], help: &'static str) -> Family {
    Family { name, kind: MetricKind::Histogram(buckets), help, labels: None }
}

const fn by(family: Family, labels: &'static [(&'static str, LabelValues)]) -> Family {
    Family { labels: Some(labels), ..family }
}

/// A counter whose label values are not known at the start.
const fn open(family: Family) -> Family {
    Family { labels: None, ..family }
}

/// Bucket bounds in seconds, up to the time limit of a request.
const REQUEST_BUCKETS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];
/// Bucket bounds for the number of batches in one commit.
const GROUP_BUCKETS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

const SMTP_SERVICES: LabelValues = LabelValues::Fixed(&["smtp", "submission", "lmtp"]);
const BY_LISTENER: &[(&str, LabelValues)] = &[("listener", LabelValues::Listeners)];
const BY_MAIL_LISTENER: &[(&str, LabelValues)] = &[("listener", LabelValues::MailListeners)];

/// The table, by part of the node.
pub(super) const FAMILIES: &[Family] = &[
    gauge("provost_build_info", "Always 1; the label version is the version of the program."),
    // Disk and certificate, read at each scrape; directory servers, probed every 15 seconds.
    gauge("provost_data_free_bytes", "Space that the node can still use on the file system of its data folder."),
    gauge("provost_data_size_bytes", "Size of the file system of the data folder."),
    gauge(
        "provost_certificate_not_after_timestamp_seconds",
        "When the certificate that a listener presents expires, seconds since 1970.",
    ),
    gauge(
        "provost_directory_server_up",
        "1 if the directory server accepted the node's bind and returned its contextCSN at the last probe, else 0.",
    ),
    gauge("provost_directory_server_followed", "1 for the directory server from which the View takes its changes."),
    gauge(
        "provost_directory_server_last_contact_timestamp_seconds",
        "When the directory server last answered a probe, seconds since 1970.",
    ),
    gauge(
        "provost_directory_server_lag_seconds",
        "For how long the directory server has lacked changes that another one has; steps of 15 seconds, an hour at most.",
    ),
    // Connections.
    by(counter("provost_net_accepted_total", "Connections that a listener accepted."), BY_LISTENER),
    by(gauge("provost_net_connections", "Connections that are open on a listener."), BY_LISTENER),
    by(
        counter(
            "provost_net_refused_total",
            "Connections closed because their source, the listener or the process had too many open.",
        ),
        BY_LISTENER,
    ),
    by(
        counter(
            "provost_net_proxy_refused_total",
            "Connections from a balancer's network without a usable PROXY header.",
        ),
        BY_LISTENER,
    ),
    by(counter("provost_net_tls_failures_total", "TLS handshakes that failed."), BY_LISTENER),
    by(counter("provost_net_bugs_total", "Sessions that a bug ended."), BY_MAIL_LISTENER),
    by(counter("provost_net_panics_total", "Connections that a panic ended."), BY_LISTENER),
    gauge(
        "provost_memory_budget_bytes",
        "Memory budget of the node; kind \"limit\" is its size, kind \"used\" the part in use.",
    ),
    by(
        counter(
            "provost_memory_budget_refused_total",
            "Messages, recipients, literals, LDAP requests, HTTP bodies and replies refused because memory was short.",
        ),
        &[("what", LabelValues::Fixed(&["message", "recipient", "literal", "http", "ldap"]))],
    ),
    by(
        counter("provost_tls_reloads_total", "Times that certificate and key were read again."),
        &[("outcome", LabelValues::Fixed(&["good", "bad"]))],
    ),
    by(
        counter("provost_config_reloads_total", "Times that the configuration file was read again (HUP)."),
        &[("outcome", LabelValues::Fixed(&["good", "bad"]))],
    ),
    // Logins.
    by(
        counter(
            "provost_logins_total",
            "Logins by protocol and outcome; unavailable: the node could not verify the login at that time.",
        ),
        &[
            ("protocol", LabelValues::Fixed(&["imap", "pop3", "submission", "web"])),
            ("outcome", LabelValues::Fixed(&["accepted", "refused", "throttled", "unavailable"])),
        ],
    ),
    // Mail.
    by(
        counter(
            "provost_smtp_messages_total",
            "Replies to incoming messages after DATA, one for each recipient in LMTP.",
        ),
        &[("service", SMTP_SERVICES), ("outcome", LabelValues::Fixed(&["accepted", "refused"]))],
    ),
    by(
        counter("provost_smtp_recipients_refused_total", "Recipients refused or deferred at RCPT."),
        &[("service", SMTP_SERVICES)],
    ),
    by(
        counter("provost_smtp_http_total", "Connections that spoke HTTP to an SMTP listener."),
        &[("service", SMTP_SERVICES)],
    ),
    open(counter(
        "provost_smtp_verdicts_total",
        "Verdicts of stages other than \"accept\", by service, stage, verdict and label.",
    )),
    counter("provost_smtp_relay_tls_failures_total", "TLS handshakes with the relay that failed."),
    by(
        counter("provost_deliveries_total", "Deliveries to local recipients, by outcome."),
        &[("outcome", LabelValues::Fixed(&["stored", "refused", "unavailable"]))],
    ),
    counter("provost_reports_total", "Reports to senders (RFC 3464) that were made."),
    counter(
        "provost_trace_events_dropped_total",
        "Trace events that were dropped because the disk was too slow or failed.",
    ),
    counter("provost_sieve_errors_total", "Sieve scripts that ended with an error; the message went to the INBOX."),
    // Queue.
    counter(
        "provost_queue_accepted_total",
        "Messages queued by SMTP, submission and LMTP; redirects, vacation replies and reports that a delivery or \
         a queue attempt causes do not count.",
    ),
    by(
        counter("provost_queue_attempts_total", "Recipients attempted from the queue, by outcome."),
        &[("outcome", LabelValues::Fixed(&["sent", "failed", "deferred"]))],
    ),
    gauge(
        "provost_queue_messages",
        "Queue rows by state (waiting, due, taken, set_aside); a message has one row for each destination domain.",
    ),
    gauge(
        "provost_queue_oldest_age_seconds",
        "Age of the oldest queue row that is not set aside; 0 when there is none.",
    ),
    counter(
        "provost_queue_set_aside_total",
        "Queue rows set aside: unreadable, or taken repeatedly without an outcome.",
    ),
    counter(
        "provost_queue_double_bounces_total",
        "Failures reported to no one: the message had the null reverse-path, as reports have.",
    ),
    counter(
        "provost_queue_leases_lost_total",
        "Messages not handed to the relay because another worker had taken the queue row.",
    ),
    counter("provost_queue_panics_total", "Queue attempts that a panic ended."),
    // Store.
    counter("provost_store_batches_total", "Batches of changes that were committed."),
    counter("provost_store_commits_total", "Commits, each with one disk sync."),
    histogram("provost_store_group_batches", GROUP_BUCKETS, "Batches that shared one commit."),
    counter(
        "provost_store_committer_panics_total",
        "Committer threads of the store that a panic ended; until a restart, their database takes no changes.",
    ),
    counter("provost_store_damaged_total", "Reads that met damaged data."),
    counter(
        "provost_store_compaction_copied_bytes_total",
        "Octets of messages copied out of packs that compaction then removes.",
    ),
    counter("provost_store_compaction_freed_bytes_total", "Octets given back to the file system by compaction."),
    // View and directory.
    gauge("provost_view_people", "People in the View."),
    gauge(
        "provost_view_current",
        "1 while the View follows a directory server, else 0: unknown recipients are then deferred, not refused.",
    ),
    gauge(
        "provost_view_last_contact_timestamp_seconds",
        "When the View last received something from its directory server, seconds since 1970.",
    ),
    counter(
        "provost_view_unmappable_entries_total",
        "Entries of a person, address, group, domain or setting that could not be read; their previous data stays in \
         use.",
    ),
    counter("provost_view_refreshes_total", "Complete refreshes of the View."),
    counter(
        "provost_view_parked_total",
        "Refreshes and removals that were not applied because they would remove too many entries.",
    ),
    gauge("provost_settings_bad", "Settings in the directory that break their rule and are not in force."),
    open(counter(
        "provost_directory_failures_total",
        "Operations that failed because the directory server was unreachable, busy or faulty, or did not answer in time.",
    )),
    open(counter(
        "provost_directory_unsent_operations_total",
        "Operations not sent because too many were under way at the server, or because it had just failed.",
    )),
    by(
        counter("provost_ldap_binds_total", "Binds at the embedded directory server."),
        &[("outcome", LabelValues::Fixed(&["accepted", "refused"]))],
    ),
    counter("provost_ldap_writes_total", "Writes that the embedded directory server committed."),
    counter("provost_ldap_commits_total", "Commits of the embedded directory server, each with one disk sync."),
    // REST and web.
    open(counter("provost_api_requests_total", "Requests to the REST API by method, path and status.")),
    histogram("provost_api_request_duration_seconds", REQUEST_BUCKETS, "How long requests to the REST API took."),
    counter("provost_api_refused_tokens_total", "Requests with an unknown, revoked or expired token."),
    open(counter("provost_web_requests_total", "Requests to the web pages by status.")),
    open(counter("provost_webhook_requests_total", "Requests to webhook receivers by endpoint and result.")),
    counter("provost_web_refused_forms_total", "Forms refused because they did not come from a page of this site."),
];
