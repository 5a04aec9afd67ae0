//! Probes each listener, and compares the certificate that it presents with that of the file.

use std::net::SocketAddr;

use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::probe::{ListenerProbe, ProbeFault, Protocol, TlsStart};
use super::{DoctorFinding, finding, good};
use crate::config::{Config, ConnectionStart, ListenerConfig, TlsSection};
use crate::monitoring::Certificate;

/// Advice for a listener that accepts no connection.
const START: &str = "start the node: provost --config FILE serve; its log explains why a listener does not open";
/// Advice for a listener that accepts a connection but then violates its protocol.
const UNEXPECTED: &str =
    "another program may listen there, or the node runs with another configuration: see the node's log";
/// Advice for a listener whose certificate differs from the file.
const RELOAD: &str = "kill -HUP the node; if the difference remains, its log explains why the file is not used";
/// A certificate that expires within this time is reported. ACME clients renew a 90-day certificate 30 days before its
/// end, so 14 days left mean that renewals fail.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(14 * 24);

/// A listener and the result of its probe.
struct ProbedListener {
    name: &'static str,
    address: SocketAddr,
    result: Result<Option<CertificateDer<'static>>, ProbeFault>,
}

/// One finding for each listener, or a single one when none accepts connections; then findings about the certificate.
pub(super) fn findings(config: &Config, now: Timestamp) -> Vec<DoctorFinding> {
    let threads: Vec<_> = probes(config)
        .into_iter()
        .map(|(name, probe)| (name, probe.address, std::thread::spawn(move || probe.run())))
        .collect();
    let bug = || ProbeFault::Unexpected("internal error: the probe panicked; please report it".to_owned());
    let probed = threads.into_iter().map(|(name, address, thread)| ProbedListener {
        name,
        address,
        result: thread.join().unwrap_or_else(|_| Err(bug())),
    });
    let probed: Vec<ProbedListener> = probed.collect();
    let mut findings = listener_findings(&probed);
    findings.extend(config.tls.iter().flat_map(|files| certificates(files, &config.node.hostname, &probed, now)));
    findings
}

fn probes(config: &Config) -> Vec<(&'static str, ListenerProbe)> {
    let upgrade = if config.tls.is_some() { TlsStart::Upgrade } else { TlsStart::Never };
    let probe = |address, protocol, tls, proxies| {
        let hostname = config.node.hostname.clone();
        ListenerProbe { address, protocol, tls, proxies, hostname }
    };
    let listeners = &config.listeners;
    let web = |listener: &ListenerConfig, path, proxies| {
        let tls = if listener.tls { TlsStart::FromStart } else { TlsStart::Never };
        probe(listener.address, Protocol::Http(path), tls, proxies)
    };
    let pages = listeners.http.iter().map(|listener| ("http", web(listener, "/", listeners.proxies(listener))));
    let health = listeners.health.iter();
    let health = health.map(|listener| ("health", web(listener, "/livez", listeners.health_proxies(listener))));
    let mail = listeners.mail().into_iter().filter_map(|(name, listener, start)| {
        let listener = listener.as_ref()?;
        let tls = if start == ConnectionStart::Tls { TlsStart::FromStart } else { upgrade };
        Some((name, probe(listener.address, mail_protocol(name)?, tls, listeners.proxies(listener))))
    });
    let ldap = config.directory.embedded.iter().flat_map(|embedded| {
        embedded.listen.iter().map(|address| ("ldap", probe(*address, Protocol::Ldap, upgrade, embedded.proxies())))
    });
    pages.chain(mail).chain(health).chain(ldap).collect()
}

/// The protocol of the mail listener of this name.
fn mail_protocol(name: &str) -> Option<Protocol> {
    match name {
        "mx" | "submission" | "submissions" => Some(Protocol::Smtp),
        "lmtp" => Some(Protocol::Lmtp),
        "imap" | "imaps" => Some(Protocol::Imap),
        "pop3" | "pop3s" => Some(Protocol::Pop3),
        _ => None,
    }
}

fn listener_findings(probed: &[ProbedListener]) -> Vec<DoctorFinding> {
    if !probed.is_empty() && probed.iter().all(|one| matches!(one.result, Err(ProbeFault::NotAccepting(_)))) {
        let what = format!("node: none of its {} listeners accepts a connection", probed.len());
        return vec![DoctorFinding { what, good: false, advice: START.to_owned() }];
    }
    let finding = |ProbedListener { name, address, result }: &ProbedListener| {
        let what = format!("listener {name} {address}");
        match result {
            Ok(_) => good(what),
            Err(ProbeFault::NotAccepting(why)) => finding(what, Err(why.clone()), START),
            Err(ProbeFault::Unexpected(why)) => finding(what, Err(why.clone()), UNEXPECTED),
        }
    };
    probed.iter().map(finding).collect()
}

fn certificates(files: &TlsSection, hostname: &str, probed: &[ProbedListener], now: Timestamp) -> Vec<DoctorFinding> {
    let file = match certificate_of_file(files) {
        Ok(certificate) => certificate,
        Err(why) => {
            return vec![finding("certificate and key".to_owned(), Err(why), "both must be PEM and belong together")];
        }
    };
    let mut findings = vec![validity("certificate and key".to_owned(), &file, now)];
    // A certificate without the host name is no fault: clients may connect by any of its names.
    findings.push(good(if file.is_for(hostname) {
        format!("certificate is for {hostname}")
    } else {
        let names = file.names();
        format!(
            "certificate is for {names}, not for node.hostname {hostname}: clients must connect by one of its names"
        )
    }));
    for ProbedListener { name, address, result } in probed {
        let Ok(Some(der)) = result else { continue };
        match Certificate::read(der) {
            Some(served) if served.fingerprint == file.fingerprint => {}
            Some(served) => {
                let what = format!("listener {name} {address} presents a certificate that differs from the file");
                let why = format!(
                    "SHA-256 {}, ends {}; the file has {}",
                    served.fingerprint, served.not_after, file.fingerprint
                );
                findings.push(finding(what, Err(why), RELOAD));
            }
            None => {
                let what = format!("listener {name} {address}");
                findings.push(finding(what, Err("its certificate cannot be read".to_owned()), RELOAD));
            }
        }
    }
    findings
}

/// The first certificate of the file, if the key matches it; otherwise why the node cannot use them.
fn certificate_of_file(files: &TlsSection) -> Result<Certificate, String> {
    provost_net::server_config(&files.certificate, &files.key).map_err(|error| error.to_string())?;
    let der = CertificateDer::from_pem_file(&files.certificate).map_err(|error| error.to_string())?;
    Certificate::read(&der).ok_or_else(|| format!("{}: not an X.509 certificate", files.certificate.display()))
}

fn validity(what: String, certificate: &Certificate, now: Timestamp) -> DoctorFinding {
    const RENEW: &str = "renew it; the node loads the new files within seconds";
    let Certificate { not_before, not_after, .. } = certificate;
    if now < *not_before {
        return finding(what, Err(format!("not valid before {not_before}")), "check the clock of this machine");
    }
    if now >= *not_after {
        return finding(what, Err(format!("expired {not_after}")), RENEW);
    }
    if not_after.duration_since(now) < RENEW_BEFORE {
        return finding(what, Err(format!("expires {not_after}")), RENEW);
    }
    good(format!("{what}, until {not_after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expiry_of_a_certificate_is_reported_two_weeks_before() {
        let made = rcgen::generate_simple_self_signed(vec!["mail.example.edu".to_owned()]).unwrap();
        let certificate = Certificate::read(made.cert.der()).unwrap();
        let day = SignedDuration::from_hours(24);
        let (start, end) = (certificate.not_before, certificate.not_after);
        for (now, expect) in [
            (start - day, "certificate: not valid before"),
            (start + day, "certificate, until"),
            (end - day * 15, "certificate, until"),
            (end - day * 13, "certificate: expires"),
            (end, "certificate: expired"),
        ] {
            let finding = validity("certificate".to_owned(), &certificate, now);
            assert!(finding.what.starts_with(expect), "{now}: {}", finding.what);
            assert_eq!(finding.good, expect.ends_with("until"), "{now}");
        }
    }
}
