//! Composes the node from its crates; only this module knows all of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use provost_api::{ApiState, FixedToken, MessageTraces, ProbedParts, Scrape, Tokens};
use provost_client::Directory;
use provost_delivery::Delivery;
use provost_imap::{ImapConfig, ImapSession};
use provost_net::{
    Budgets, Certificates, Drain, Limits, Listener, MemoryBudget, ProxyNetworks, Session, Transport, serve as listen,
};
use provost_pop3::{Pop3Config, Pop3Session};
use provost_provision::{Audit, Desk, ProvisionSettings, SettingsSource};
use provost_queue::{NextHop, Queue, QueueConfig};
use provost_server::{CommitterProbe, Server};
use provost_smtp::{CertificatePolicy, RelayClient, RelayConfig, Service, SmtpConfig, SmtpSession};
use provost_store::{LocalConfig, LocalState, LocalStore, MessageStore, StateStore};
use provost_trace::{InstalledRecorder, Recorder, RecorderConfig};
use provost_view::View;
use provost_web::WebState;
use provost_webhook::{Sender, WebhookCursors, WebhookParts};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::audit_log;
use crate::config::{Config, ListenerConfig, read_secret};
use crate::descriptors;
use crate::exit::Exit;
use crate::followed::FollowedSources;
use crate::http::CountedReplies;
use crate::ldap_clients::LdapClients;
use crate::lifecycle_runs::LifecycleRuns;
use crate::log_filter::LogFilter;
use crate::mail_outbox::{OutboxMails, StateOutbox};
use crate::monitoring::{Gauges, Metrics, watch_directory};
use crate::private;
use crate::reload::{Reload, ReloadableParts};

/// Longest wait at a start for the View to be current; after it, the node serves from its saved View.
const CURRENT_LIMIT: Duration = Duration::from_secs(3);
/// Longest time for sessions and background tasks to end when the node stops.
const DRAIN_LIMIT: Duration = Duration::from_secs(15);
const _: () = assert!(provost_queue::STOP_MAX.as_millis() < DRAIN_LIMIT.as_millis());
/// Room for Received, Return-Path and Delivered-To of one message, in octets.
const TRACE_FIELDS_OCTETS_MAX: u64 = 64 * 1024;
/// Maximum number of recipients of one transaction that the node receives. RFC 5321 §4.5.3.1.8 demands at least 100.
const RECIPIENTS_MAX: usize = 1000;

/// A running node.
pub(crate) struct Node {
    drain: Drain,
    view: View,
    server: Option<Server>,
    reload: Arc<Reload>,
    /// Path of the configuration file.
    file: PathBuf,
    _trace: InstalledRecorder,
    /// The desk, for the quickstart.
    pub(crate) desk: Desk,
}

/// `provost serve`: runs until INT or TERM; HUP reloads the configuration.
pub(crate) async fn serve(config: &Config, log: &LogFilter) -> anyhow::Result<Exit> {
    // Install the handler first: a HUP without a handler ends the process.
    let mut hangup = hangup_signal()?;
    let node = Node::start(config, log).await?;
    tracing::info!(hostname = config.node.hostname, "serving");
    node.wait_for_stop(&mut hangup).await?;
    node.stop().await;
    Ok(Exit::Clean)
}

/// Receives HUP from now on.
pub(crate) fn hangup_signal() -> anyhow::Result<Signal> {
    Ok(signal(SignalKind::hangup())?)
}

/// Resolves at INT or TERM.
pub(crate) async fn stop_signal() -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

impl Node {
    /// Starts everything that the configuration asks for; returns when all listeners accept connections.
    pub(crate) async fn start(config: &Config, log: &LogFilter) -> anyhow::Result<Self> {
        log.set(config.node.log.as_deref());
        let data = &config.node.data;
        prepare_data_folder(data)?;
        // Install the recorder before any counter is used: earlier increments would be lost.
        let metrics = Metrics::install(&config.listeners)?;
        let certificates = match &config.tls {
            Some(tls) => Some(Certificates::open(&tls.certificate, &tls.key)?),
            None => None,
        };
        let tls = certificates.as_ref().map(Certificates::server_config).transpose()?;
        let memory = MemoryBudget::new(config.node.memory_octets);
        let server = start_embedded(config, tls.clone(), memory.clone()).await?;
        let directory = Directory::new(config.directory_config()?);
        let view = View::start(config.view_config(), directory.clone());
        let store = Arc::new(LocalStore::open(&local_config(config)).context("store")?);
        let trace = start_trace(config).context("trace")?;
        let hostname: Arc<str> = config.node.hostname.as_str().into();
        let delivery = Delivery { view: view.clone(), store: store.clone(), hostname: hostname.clone() };
        let queue = Queue::new(store.clone(), delivery.clone(), next_hop(config), queue_config(config));
        let local_state = Arc::new(LocalState::open(&config.store_folder()).context("shared state")?);
        let state: Arc<dyn StateStore> = local_state.clone();
        let audit = audit_log::open(data, state.clone()).await.context("audit")?;
        let of_view = view.clone();
        let settings = SettingsSource::new(move || ProvisionSettings::of(of_view.snapshot().settings()));
        let webhook_audit = audit.clone();
        let outbox = Arc::new(StateOutbox::new(state.clone()));
        let provisioning = Directory::new(config.provisioning_config()?);
        let desk = Desk::new(provisioning, settings, audit, crate::commands::journals(config)).with_outbox(outbox);
        if let Some(server) = &server {
            let of_view = view.clone();
            server.follow_password_policy(move || of_view.snapshot().settings().passwords.clone());
        }
        provost_api::end_abandoned_jobs(&state, &hostname, jiff::Timestamp::now()).await.context("jobs")?;
        remove_old_uploads(data);

        // The saved View is from before the stop. Wait a moment for the directory, because an outdated View decides
        // logins by outdated rules and passwords.
        if !is_current(&view, CURRENT_LIMIT).await {
            tracing::warn!("the View is not current yet: this node starts with its saved View, if it has one");
        }
        let drain = Drain::new();
        let budgets = Budgets { memory, connections: descriptors::raise_limit() };
        drain.spawn(budgets.memory.clone().report(drain.clone()));
        let tokens = Tokens::new(state.clone(), fixed_tokens(config)?);
        let runs_store: Arc<dyn MessageStore> = store.clone();
        let mails = OutboxMails { state: state.clone(), queue: queue.clone(), directory: directory.clone() };
        let (webhook_state, webhook_store) = (state.clone(), store.clone());
        let followed = FollowedSources {
            desk: desk.clone(),
            store: store.clone(),
            state: state.clone(),
            data: data.clone(),
            ca_file: config.directory.ca_file.clone(),
            drain: drain.clone(),
        };
        let parts = NodeParts {
            config,
            tls,
            budgets,
            drain: &drain,
            view: &view,
            store,
            state,
            local_state,
            directory_committer: server.as_ref().map(Server::committer_probe),
            delivery,
            queue: &queue,
            desk: &desk,
            tokens: tokens.clone(),
            hostname,
        };
        parts.listen_mail().await?;
        parts.listen_http(metrics.clone().scrape(parts.gauges(&directory, certificates.clone()))).await?;
        drain.spawn(metrics.keep_up(drain.clone()));
        drain.spawn(mails.run(drain.clone()));
        drain.spawn(watch_directory(directory, drain.clone()));
        let webhooks = webhook_parts(data, webhook_audit, &view, webhook_state, webhook_store);
        let stopping = drain.clone();
        drain.spawn(async move { provost_webhook::run(webhooks, stopping.stopping()).await });
        let (working, stopping) = (queue.clone(), drain.clone());
        drain.spawn(async move { working.run(stopping.stopping()).await });
        drain.spawn(crate::log::report_dropped(drain.clone()));
        let runs = LifecycleRuns { desk: desk.clone(), store: runs_store, view: view.clone(), drain: drain.clone() };
        drain.spawn(runs.keep());
        drain.spawn(followed.keep());
        if let Some(certificates) = &certificates {
            drain.spawn(certificates.clone().follow(drain.clone()));
        }
        let reload = Arc::new(Reload::new(config, ReloadableParts { certificates, tokens, log: log.clone() }));
        Ok(Self { drain, view, server, reload, file: config.file.clone(), _trace: trace, desk })
    }

    /// Resolves at INT or TERM; until then, reloads the configuration at each HUP.
    pub(crate) async fn wait_for_stop(&self, hangup: &mut Signal) -> anyhow::Result<()> {
        let stop = stop_signal();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                stopped = &mut stop => return stopped,
                _ = hangup.recv() => self.reload().await,
            }
        }
    }

    async fn reload(&self) {
        let (reload, file) = (self.reload.clone(), self.file.clone());
        _ = tokio::task::spawn_blocking(move || reload.run(&file)).await;
    }

    /// Whether the View is complete and follows the directory; waits for that up to `limit`.
    pub(crate) async fn ready(&self, limit: Duration) -> bool {
        is_current(&self.view, limit).await
    }

    /// Ends the sessions, saves the View, and closes the embedded directory.
    pub(crate) async fn stop(self) {
        self.drain.stop();
        if !self.drain.finished(DRAIN_LIMIT).await {
            tracing::warn!("some sessions or background tasks did not end in time");
        }
        self.view.stop();
        if let Err(error) = self.view.save().await {
            tracing::warn!(%error, "the View was not saved");
        }
        if let Some(server) = self.server {
            server.stop().await;
        }
    }
}

/// What the sending of webhooks needs. The endpoints are those of the View.
fn webhook_parts(
    data: &Path,
    audit: Audit,
    view: &View,
    state: Arc<dyn StateStore>,
    store: Arc<dyn MessageStore>,
) -> WebhookParts {
    let secrets = crate::commands::webhook::secrets(data);
    let of_view = view.clone();
    WebhookParts {
        audit,
        cursors: WebhookCursors::new(state),
        sender: Sender::new(secrets.folder()),
        secrets,
        endpoints: Arc::new(move || of_view.snapshot().settings().webhooks().to_vec()),
        store,
    }
}

/// Starts the recording of message events.
fn start_trace(config: &Config) -> anyhow::Result<InstalledRecorder> {
    let (days, octets_max) = (config.trace.days, u64::from(config.trace.mib) << 20);
    let recorder = Recorder::start(RecorderConfig { folder: config.trace_folder(), days, octets_max })?;
    Ok(provost_trace::install(recorder))
}

/// Creates the data folder, and removes the rights of group and others in it.
fn prepare_data_folder(data: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(data).with_context(|| format!("cannot make {}", data.display()))?;
    match private::tighten(data) {
        Ok(0) => {}
        Ok(count) => {
            tracing::warn!(count, data = %data.display(), "files and folders in the data folder gave rights to group or others; these were removed");
        }
        Err(error) => tracing::error!(%error, data = %data.display(), "the data folder cannot be made private"),
    }
    Ok(())
}

fn local_config(config: &Config) -> LocalConfig {
    LocalConfig {
        shards: config.store.shards,
        // `message-size` limits the message as received; the trace fields that the node adds come on top.
        message_octets_max: provost_settings::MESSAGE_SIZE_MAX + TRACE_FIELDS_OCTETS_MAX,
        ..LocalConfig::new(config.store_folder())
    }
}

/// Whether the View is complete and follows the directory; waits for that up to `limit`.
async fn is_current(view: &View, limit: Duration) -> bool {
    let mut changes = view.changes();
    let wait = async {
        while !(view.status().complete && view.status().current) {
            let _ = tokio::time::timeout(Duration::from_millis(20), changes.next()).await;
        }
    };
    tokio::time::timeout(limit, wait).await.is_ok()
}

async fn start_embedded(
    config: &Config,
    tls: Option<Arc<rustls::ServerConfig>>,
    memory: MemoryBudget,
) -> anyhow::Result<Option<Server>> {
    let Some(embedded) = &config.directory.embedded else { return Ok(None) };
    let root_password = read_secret(&embedded.root_password_file)?;
    let settings = provost_server::ServerConfig {
        folder: config.node.data.join("directory"),
        suffix: config.suffix()?,
        root_dn: embedded.root_dn.parse()?,
        root_password,
        listen: embedded.listen.clone(),
        tls,
        admission: Some(Arc::new(LdapClients::new(embedded.proxies(), memory))),
        server_id: embedded.server_id,
    };
    // The seed is needed: an empty directory has no contextCSN, and the View waits for one.
    let seed = provost_provision::base_tree(&settings.suffix, &config.settings())?;
    Ok(Some(Server::start(settings, seed).await?))
}

fn next_hop(config: &Config) -> Option<Arc<dyn NextHop>> {
    let relay = config.queue.relay.clone()?;
    let hostname = config.node.hostname.clone();
    let config = RelayConfig { relay, hostname, certificates: CertificatePolicy::Any };
    Some(Arc::new(RelayClient::new(config)))
}

fn queue_config(config: &Config) -> QueueConfig {
    QueueConfig { concurrency: config.queue.concurrency, ..QueueConfig::default() }
}

/// The parts of the node that its listeners use.
struct NodeParts<'a> {
    config: &'a Config,
    tls: Option<Arc<rustls::ServerConfig>>,
    /// Budgets that all listeners share.
    budgets: Budgets,
    drain: &'a Drain,
    view: &'a View,
    store: Arc<LocalStore>,
    state: Arc<dyn StateStore>,
    /// The same as `state`, for the check whether its committer is alive.
    local_state: Arc<LocalState>,
    /// Reports whether the committer of the embedded directory is alive; `None` without an embedded directory.
    directory_committer: Option<CommitterProbe>,
    delivery: Delivery,
    queue: &'a Queue,
    desk: &'a Desk,
    tokens: Tokens,
    hostname: Arc<str>,
}

impl NodeParts<'_> {
    /// The sources of the gauges that are read at each scrape.
    fn gauges(&self, directory: &Directory, certificates: Option<Arc<Certificates>>) -> Gauges {
        let listeners = &self.config.listeners;
        Gauges {
            queue: self.queue.clone(),
            view: self.view.clone(),
            servers: directory.config().servers.iter().map(|server| server.url.clone()).collect(),
            data: self.config.node.data.clone(),
            certificates,
            tls_listeners: if self.config.tls.is_some() { listeners.tls_names() } else { Vec::new() },
        }
    }

    async fn listen_mail(&self) -> anyhow::Result<()> {
        let listeners = &self.config.listeners;
        for (name, section, service, implicit) in [
            ("mx", &listeners.mx, Service::Mx, false),
            ("submission", &listeners.submission, Service::Submission, false),
            ("submissions", &listeners.submissions, Service::Submission, true),
            ("lmtp", &listeners.lmtp, Service::Lmtp, false),
        ] {
            let config = Arc::new(self.smtp());
            let make = move |peer, transport, tls| SmtpSession::new(service, config.clone(), peer, transport, tls);
            self.listen(name, section, implicit, make).await?;
        }
        let imap = Arc::new(self.imap());
        for (name, section, implicit) in [("imap", &listeners.imap, false), ("imaps", &listeners.imaps, true)] {
            let config = imap.clone();
            let make = move |peer, transport, tls| ImapSession::new(config.clone(), peer, transport, tls);
            self.listen(name, section, implicit, make).await?;
        }
        let pop3 = Arc::new(self.pop3());
        for (name, section, implicit) in [("pop3", &listeners.pop3, false), ("pop3s", &listeners.pop3s, true)] {
            let config = pop3.clone();
            let make = move |peer, transport, tls| Pop3Session::new(config.clone(), peer, transport, tls);
            self.listen(name, section, implicit, make).await?;
        }
        Ok(())
    }

    async fn listen<S: Session>(
        &self,
        name: &'static str,
        section: &Option<ListenerConfig>,
        implicit_tls: bool,
        make: impl Fn(provost_net::Peer, Transport, bool) -> S + Send + Sync + 'static,
    ) -> anyhow::Result<()> {
        let Some(section) = section else { return Ok(()) };
        let listener = self.listener(name, section, implicit_tls, self.config.listeners.proxies(section));
        let served = listen(listener, self.drain.clone(), make).await;
        served.with_context(|| format!("listener {name} {}", section.address))?;
        Ok(())
    }

    fn listener(
        &self,
        name: &'static str,
        section: &ListenerConfig,
        implicit_tls: bool,
        proxies: ProxyNetworks,
    ) -> Listener {
        let mut limits = Limits::default();
        limits.connections_per_address = section.connections_per_address.unwrap_or(limits.connections_per_address);
        let (address, tls, budgets) = (section.address, self.tls.clone(), self.budgets.clone());
        Listener { name, address, implicit_tls, tls, proxies, limits, budgets }
    }

    fn smtp(&self) -> SmtpConfig {
        SmtpConfig {
            hostname: self.hostname.clone(),
            recipients_max: RECIPIENTS_MAX,
            view: self.view.clone(),
            delivery: self.delivery.clone(),
            queue: self.queue.clone(),
            memory: self.budgets.memory.clone(),
        }
    }

    fn imap(&self) -> ImapConfig {
        ImapConfig {
            hostname: self.hostname.clone(),
            view: self.view.clone(),
            store: self.store.clone(),
            literals: provost_imap::LiteralBudget::within(self.config.node.data.clone(), self.budgets.memory.clone()),
            searches: provost_imap::SearchTurns::default(),
            message_lists: provost_imap::MessageLists::default(),
            recents: provost_imap::Recents::default(),
        }
    }

    fn pop3(&self) -> Pop3Config {
        Pop3Config { hostname: self.hostname.clone(), view: self.view.clone(), store: self.store.clone() }
    }

    async fn listen_http(&self, metrics: Scrape) -> anyhow::Result<()> {
        if let Some(section) = &self.config.listeners.http {
            let store: Arc<dyn MessageStore> = self.store.clone();
            let api = ApiState {
                desk: self.desk.clone(),
                store: store.clone(),
                view: self.view.clone(),
                queue: self.queue.clone(),
                messages: MessageTraces::new(self.desk.clone(), self.config.trace_folder()),
                tokens: self.tokens.clone(),
                state: self.state.clone(),
                node: self.hostname.clone(),
            };
            let (desk, state, view) = (self.desk.clone(), self.state.clone(), self.view.clone());
            let web = WebState { desk, store, state, view };
            let pages = provost_web::router(web).merge(provost_api::router(api));
            let proxies = self.config.listeners.proxies(section);
            self.serve_http("http", CountedReplies::Large, section, proxies, pages).await?;
        }
        if let Some(section) = &self.config.listeners.health {
            let pages = provost_api::health_router(self.health(), metrics);
            let proxies = self.config.listeners.health_proxies(section);
            self.serve_http("health", CountedReplies::None, section, proxies, pages).await?;
        }
        Ok(())
    }

    fn health(&self) -> ProbedParts {
        let (store, state) = (self.store.clone(), self.local_state.clone());
        let directory_committer = self.directory_committer.clone();
        let dead = move || {
            let shards = store.dead_shards().into_iter().map(|number| format!("store shard {number}"));
            let state = state.is_dead().then(|| "shared state".to_owned());
            let directory =
                directory_committer.as_ref().is_some_and(CommitterProbe::is_dead).then(|| "directory".to_owned());
            shards.chain(state).chain(directory).collect()
        };
        ProbedParts { view: self.view.clone(), store: self.store.clone(), dead: Arc::new(dead) }
    }

    async fn serve_http(
        &self,
        name: &'static str,
        replies: CountedReplies,
        section: &ListenerConfig,
        proxies: ProxyNetworks,
        pages: axum::Router,
    ) -> anyhow::Result<()> {
        let listener = self.listener(name, section, section.tls, proxies);
        let served = crate::http::serve(listener, replies, pages, self.drain).await;
        served.with_context(|| format!("listener {name} {}", section.address))
    }
}

/// The tokens of `api.tokens_file`; logs a warning for each that never expires.
fn fixed_tokens(config: &Config) -> anyhow::Result<Vec<FixedToken>> {
    let tokens = config.fixed_tokens()?;
    for token in tokens.iter().filter(|token| token.expires.is_none()) {
        tracing::warn!(name = token.name, role = %token.role, "a token of api.tokens_file never expires: add its last day");
    }
    Ok(tokens)
}

/// Removes uploads that an earlier version kept in files: they are never applied and may hold passwords.
fn remove_old_uploads(data: &Path) {
    match std::fs::remove_dir_all(data.join("plans")) {
        Ok(()) => tracing::warn!("files that were uploaded to an earlier version were removed: upload them again"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => tracing::error!(%error, "the files that were uploaded to an earlier version cannot be removed"),
    }
}
