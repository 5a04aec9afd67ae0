//! Metrics of the node: the recorder, and the gauges that are read at each scrape.

mod certificate;
mod families;
mod lag;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use provost_api::Scrape;
use provost_client::{Directory, ServerCondition, ServerRole};
use provost_net::{Certificates, Drain};
use provost_queue::Queue;
use provost_view::View;

pub(crate) use certificate::Certificate;
use families::{EnabledListeners, FAMILIES, Family, MetricKind};
use lag::LagChecks;

use crate::config::Listeners;

/// Interval between two checks of each directory server.
const PROBE_INTERVAL: Duration = Duration::from_secs(15);
/// Interval at which histogram samples are folded into buckets: without folding, a node without a monitor would keep
/// every sample.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
/// Bucket bounds of a histogram that is not in [`FAMILIES`]: without them it would become a summary, the recorder's
/// default.
const FALLBACK_BUCKETS: &[f64] = &[0.001, 0.01, 0.1, 1.0, 10.0, 100.0];

/// The process's recorder.
#[derive(Clone)]
pub(crate) struct Metrics {
    handle: PrometheusHandle,
}

impl Metrics {
    /// Installs the recorder, describes every family and creates the known series. Call it before anything is counted.
    pub(crate) fn install(listeners: &Listeners) -> anyhow::Result<Self> {
        let handle = builder()?.install_recorder().context("metrics")?;
        create_series(&EnabledListeners { mail: listeners.mail_names(), all: listeners.names() });
        Ok(Self { handle })
    }

    /// Folds histogram samples until the node stops.
    pub(crate) async fn keep_up(self, drain: Drain) {
        loop {
            tokio::select! {
                () = drain.stopping() => return,
                () = tokio::time::sleep(UPKEEP_INTERVAL) => self.handle.run_upkeep(),
            }
        }
    }

    /// Returns the function that answers a monitor's scrape; it reads `gauges` anew each time.
    pub(crate) fn scrape(self, gauges: Gauges) -> Scrape {
        let gauges = Arc::new(gauges);
        Arc::new(move || {
            let (handle, gauges) = (self.handle.clone(), gauges.clone());
            Box::pin(async move {
                gauges.read().await;
                handle.render()
            })
        })
    }
}

fn builder() -> anyhow::Result<PrometheusBuilder> {
    let mut builder = PrometheusBuilder::new().set_buckets(FALLBACK_BUCKETS)?;
    for family in FAMILIES {
        if let MetricKind::Histogram(buckets) = family.kind {
            builder = builder.set_buckets_for_metric(Matcher::Full(family.name.to_owned()), buckets)?;
        }
    }
    Ok(builder)
}

/// Describes all families and creates their known series in the current recorder.
fn create_series(listeners: &EnabledListeners) {
    for family in FAMILIES {
        let Family { name, kind, help, .. } = *family;
        match kind {
            MetricKind::Counter => {
                describe_counter!(name, help);
                family.series(listeners).into_iter().for_each(|labels| counter!(name, labels).increment(0));
            }
            MetricKind::Gauge => {
                describe_gauge!(name, help);
                family.series(listeners).into_iter().for_each(|labels| gauge!(name, labels).set(0.0));
            }
            MetricKind::Histogram(_) => describe_histogram!(name, help),
        }
    }
    gauge!("provost_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// The sources that are read at each scrape.
pub(crate) struct Gauges {
    pub(crate) queue: Queue,
    pub(crate) view: View,
    /// URLs of the directory servers.
    pub(crate) servers: Vec<String>,
    pub(crate) data: PathBuf,
    pub(crate) certificates: Option<Arc<Certificates>>,
    /// Names of the listeners that present the certificate.
    pub(crate) tls_listeners: Vec<&'static str>,
}

impl Gauges {
    async fn read(&self) {
        self.read_queue().await;
        self.read_disk();
        self.read_certificate();
        let source = self.view.status().source;
        for url in &self.servers {
            let is_followed = source.as_deref() == Some(url);
            gauge!("provost_directory_server_followed", "server" => url.clone()).set(f64::from(u8::from(is_followed)));
        }
    }

    /// Reads the queue. If that fails, the numbers of the last scrape stay: `/readyz` reports the fault of the store.
    async fn read_queue(&self) {
        let now = Timestamp::now();
        let Ok(tally) = self.queue.tally(now).await else { return };
        for (state, count) in
            [("waiting", tally.waiting), ("due", tally.due), ("taken", tally.taken), ("set_aside", tally.set_aside)]
        {
            gauge!("provost_queue_messages", "state" => state).set(count as f64);
        }
        let age = tally.oldest.map_or(0.0, |oldest| now.duration_since(oldest).as_secs_f64().max(0.0));
        gauge!("provost_queue_oldest_age_seconds").set(age);
    }

    fn read_disk(&self) {
        match rustix::fs::statvfs(&self.data) {
            Ok(disk) => {
                gauge!("provost_data_free_bytes").set(disk.f_bavail as f64 * disk.f_frsize as f64);
                gauge!("provost_data_size_bytes").set(disk.f_blocks as f64 * disk.f_frsize as f64);
            }
            Err(error) => tracing::warn!(%error, data = %self.data.display(), "free space cannot be read"),
        }
    }

    fn read_certificate(&self) {
        let der = self.certificates.as_ref().and_then(|certificates| certificates.in_force());
        let Some(certificate) = der.and_then(|der| Certificate::read(&der)) else { return };
        for listener in &self.tls_listeners {
            gauge!("provost_certificate_not_after_timestamp_seconds", "listener" => *listener)
                .set(certificate.not_after.as_second() as f64);
        }
    }
}

/// Checks each directory server periodically until the node stops.
pub(crate) async fn watch_directory(directory: Directory, drain: Drain) {
    let mut checks = LagChecks::default();
    let probing = async {
        loop {
            let conditions = directory.probe_servers().await;
            record(&conditions, &mut checks, Timestamp::now());
            tokio::time::sleep(PROBE_INTERVAL).await;
        }
    };
    tokio::select! {
        () = drain.stopping() => {}
        () = probing => {}
    }
}

fn record(conditions: &[ServerCondition], checks: &mut LagChecks, now: Timestamp) {
    for condition in conditions {
        let labels = labels(condition);
        gauge!("provost_directory_server_up", labels.clone()).set(f64::from(u8::from(condition.context_csn.is_ok())));
        if let Ok(csns) = &condition.context_csn {
            gauge!("provost_directory_server_last_contact_timestamp_seconds", labels.clone())
                .set(now.as_second() as f64);
            checks.record(&condition.url, csns);
        }
    }
    checks.end_of_round(now);
    for condition in conditions {
        if let Some(lag) = checks.lag(&condition.url, now) {
            gauge!("provost_directory_server_lag_seconds", labels(condition)).set(lag.as_secs_f64());
        }
    }
}

fn labels(condition: &ServerCondition) -> Vec<metrics::Label> {
    let role = match condition.role {
        ServerRole::Provider => "provider",
        ServerRole::Replica => "replica",
    };
    vec![metrics::Label::new("server", condition.url.clone()), metrics::Label::from_static_parts("role", role)]
}

#[cfg(test)]
mod tests;
