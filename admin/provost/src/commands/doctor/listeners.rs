//! Visits each listener and compares the certificate that it presents with the file.

use std::net::SocketAddr;

use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::probe::{ListenerProbe, Protocol, TlsStart};
use super::{DoctorFinding, finding};
use crate::config::{Config, ConnectionStart, ListenerConfig, TlsSection as TlsFiles};
use crate::monitoring::Certificate;

/// Advice for a listener that does not accept.
const START: &str = "start the node: provost --config FILE serve; its log explains why a listener does not open";
/// Advice for a listener whose certificate differs from the file.
const RELOAD: &str = "kill -HUP the node; if the difference remains, its log explains why the file is not used";
/// A certificate that expires within this time is reported: ACME clients renew after two thirds of its life.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(14 * 24);

/// A listener and the result of the visit.
struct ProbedListener {
    name: &'static str,
    address: SocketAddr,
    heard: Result<Option<CertificateDer<'static>>, String>,
}

/// One finding for each listener, or a single one when no listener accepts; then findings about the certificate.
pub(super) fn look(config: &Config, now: Timestamp) -> Vec<DoctorFinding> {
    let threads: Vec<_> = visits(config)
        .into_iter()
        .map(|(name, visit)| (name, visit.address, std::thread::spawn(move || visit.run())))
        .collect();
    let visited = threads.into_iter().map(|(name, address, thread)| ProbedListener {
        name,
        address,
        heard: thread.join().unwrap_or_else(|_| Err("the visit failed: a bug".to_owned())),
    });
    let visited: Vec<ProbedListener> = visited.collect();
    let mut found = reachable(&visited);
    found.extend(config.tls.iter().flat_map(|files| certificates(files, &config.node.hostname, &visited, now)));
    found
}

fn visits(config: &Config) -> Vec<(&'static str, ListenerProbe)> {
    let on = &config.listeners;
    let visit = |address, protocol, tls, proxies| ListenerProbe {
        address,
        protocol,
        tls,
        proxies,
        hostname: config.node.hostname.clone(),
    };
    let upgrade = if config.tls.is_some() { TlsStart::Upgrade } else { TlsStart::Never };
    let web = |name, listener: &Option<ListenerConfig>, path| {
        let listener = listener.as_ref()?;
        let proxies = if name == "health" {
            provost_net::ProxyNetworks::new(listener.proxy_networks.clone().unwrap_or_default())
        } else {
            on.proxies(listener)
        };
        let tls = if listener.tls { TlsStart::FromStart } else { TlsStart::Never };
        Some((name, visit(listener.address, Protocol::Http(path), tls, proxies)))
    };
    let mail = on.mail().into_iter().filter_map(|(name, listener, begin)| {
        let listener = listener.as_ref()?;
        let protocol = match name {
            "imap" | "imaps" => Protocol::Imap,
            "pop3" | "pop3s" => Protocol::Pop3,
            "lmtp" => Protocol::Lmtp,
            _ => Protocol::Smtp,
        };
        let tls = if begin == ConnectionStart::Tls { TlsStart::FromStart } else { upgrade };
        Some((name, visit(listener.address, protocol, tls, on.proxies(listener))))
    });
    let ldap = config.directory.embedded.iter().flat_map(|embedded| {
        let visit = |address: &SocketAddr| ("ldap", visit(*address, Protocol::Ldap, upgrade, embedded.proxies()));
        embedded.listen.iter().map(visit)
    });
    let mut visits: Vec<_> = web("http", &on.http, "/").into_iter().chain(mail).collect();
    visits.extend(web("health", &on.health, "/livez"));
    visits.extend(ldap);
    visits
}

fn reachable(visited: &[ProbedListener]) -> Vec<DoctorFinding> {
    let findings: Vec<DoctorFinding> = visited
        .iter()
        .map(|ProbedListener { name, address, heard }| {
            finding(format!("listener {name} {address}"), heard.as_ref().map(|_| ()).map_err(Clone::clone), START)
        })
        .collect();
    if !findings.is_empty() && findings.iter().all(|finding| !finding.good) {
        let what = format!("node: none of its {} listeners accepts", findings.len());
        return vec![DoctorFinding { what, good: false, advice: START.to_owned() }];
    }
    findings
}

fn certificates(files: &TlsFiles, hostname: &str, visited: &[ProbedListener], now: Timestamp) -> Vec<DoctorFinding> {
    let file = match read(files) {
        Ok(certificate) => certificate,
        Err(why) => {
            return vec![finding("certificate and key".to_owned(), Err(why), "both must be PEM and belong together")];
        }
    };
    let mut found = vec![validity("certificate and key".to_owned(), &file, now)];
    let names = if file.is_for(hostname) {
        format!("certificate is for {hostname}")
    } else {
        format!("certificate is for {}, not for node.hostname {hostname}: clients must use a name of it", file.names())
    };
    found.push(finding(names, Ok(()), ""));
    for ProbedListener { name, address, heard } in visited {
        let Ok(Some(der)) = heard else { continue };
        match Certificate::read(der) {
            Some(served) if served.fingerprint == file.fingerprint => {}
            Some(served) => {
                let what = format!("listener {name} {address} presents another certificate than the file has");
                let why = format!(
                    "SHA-256 {}, ends {}; the file has {}",
                    served.fingerprint, served.not_after, file.fingerprint
                );
                found.push(finding(what, Err(why), RELOAD));
            }
            None => {
                let what = format!("listener {name} {address}");
                found.push(finding(what, Err("its certificate cannot be read".to_owned()), RELOAD));
            }
        }
    }
    found
}

/// The first certificate of the chain, if the key matches it; otherwise why the node cannot serve it.
fn read(files: &TlsFiles) -> Result<Certificate, String> {
    provost_net::server_config(&files.certificate, &files.key).map_err(|error| error.to_string())?;
    let der = CertificateDer::from_pem_file(&files.certificate).map_err(|error| error.to_string())?;
    Certificate::read(&der).ok_or_else(|| format!("{}: it cannot be read as X.509", files.certificate.display()))
}

fn validity(what: String, certificate: &Certificate, now: Timestamp) -> DoctorFinding {
    const RENEW: &str = "renew it; the node takes the new files by itself";
    let Certificate { not_before, not_after, .. } = certificate;
    if now < *not_before {
        return finding(what, Err(format!("not valid before {not_before}")), "is the clock right?");
    }
    if now >= *not_after {
        return finding(what, Err(format!("expired {not_after}")), RENEW);
    }
    if not_after.duration_since(now) < RENEW_BEFORE {
        return finding(what, Err(format!("expires {not_after}")), RENEW);
    }
    finding(format!("{what}, until {not_after}"), Ok(()), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_reported_two_weeks_before() {
        let made = rcgen::generate_simple_self_signed(vec!["mail.example.edu".to_owned()]).unwrap();
        let certificate = Certificate::read(made.cert.der()).unwrap();
        let day = SignedDuration::from_hours(24);
        let (begin, end) = (certificate.not_before, certificate.not_after);
        for (now, expect) in [
            (begin - day, "certificate: not valid before"),
            (begin + day, "certificate, until"),
            (end - day * 15, "certificate, until"),
            (end - day * 13, "certificate: expires"),
            (end, "certificate: expired"),
        ] {
            let found = validity("certificate".to_owned(), &certificate, now);
            assert!(found.what.starts_with(expect), "{now}: {}", found.what);
            assert_eq!(found.good, expect.ends_with("until"), "{now}");
        }
    }
}
