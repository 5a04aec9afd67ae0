//! Require-Recipient-Valid-Since (RFC 7293), as parameter of RCPT and as header field.

use provost_view::{Person, View};

use super::site::{person, site_with};
use crate::server::Service;

/// Zoe has zoe@ since 2020 and dean@ since 2026; of ann@ no time is recorded.
fn view() -> View {
    let with_dn = |login: &str| Person { dn: format!("uid={login},dc=example,dc=edu").into(), ..person(login) };
    let at = |text: &str| text.parse().unwrap();
    let addresses = [
        ("zoe@example.edu", "zoe", at("2020-01-01T00:00:00Z")),
        ("dean@example.edu", "zoe", at("2026-01-01T00:00:00Z")),
    ];
    View::fixed_since(vec![with_dn("zoe"), with_dn("ann")], &addresses)
}

/// RFC 7293 §3.1, §5.1: a mailbox that has had its owner since then takes the message; 5.7.17 for one that has not, and
/// 5.7.19 where that is not recorded.
#[tokio::test]
async fn rcpt_asks_for_the_owner_of_a_moment() {
    let site = site_with(view());
    site.connect(Service::Mx)
        .run(
            "C: HELO x\nS: 250\nC: MAIL FROM:<bank@far.example>\nS: 250
            C: RCPT TO:<zoe@example.edu> RRVS=2020-01-01T00:00:00Z\nS: 250 2.1.5
            C: RCPT TO:<zoe+bank@example.edu> RRVS=2025-01-01T00:00:00Z;R\nS: 250 2.1.5
            C: RCPT TO:<dean@example.edu> RRVS=2025-12-31T23:59:59Z;C\nS: 550 5.7.17
            C: RCPT TO:<dean+bank@example.edu> RRVS=2025-12-31T23:59:59Z\nS: 550 5.7.17
            C: RCPT TO:<dean@example.edu> rrvs=2026-01-01T01:00:00+01:00\nS: 250 2.1.5
            C: RCPT TO:<ann@example.edu> RRVS=2025-12-31T23:59:59Z\nS: 550 5.7.19
            C: RCPT TO:<nobody@example.edu> RRVS=2025-12-31T23:59:59Z\nS: 550 5.1.1
            C: RCPT TO:<zoe@example.edu> RRVS=yesterday\nS: 501 5.5.4
            C: RCPT TO:<ann@example.edu>\nS: 250 2.1.5",
        )
        .await;
    // A submission may leave this site, so the extension is not offered.
    let mut submission = site.connect(Service::Submission);
    submission
        .run("C: EHLO x\nS: 250-mx\nS: 250-PIPE\nS: 250-SIZE\nS: 250-8BIT\nS: 250-DSN\nS: 250-START\nS: 250-AUTH\nS: 250 ENH")
        .await;
}

/// RFC 7293 §3.2, §5.2: the header field counts at the final delivery, unless the extension was used for the recipient.
#[tokio::test]
async fn the_header_asks_where_the_extension_was_not_used() {
    const FIELD: &str = "Require-Recipient-Valid-Since: dean@example.edu; Wed, 31 Dec 2025 23:59:59 +0000";
    for (parameter, field, expect) in [
        ("", FIELD, "550 5.7.17"),
        (" RRVS=2026-02-01T00:00:00Z", FIELD, "250 2.0.0"),
        ("", "Require-Recipient-Valid-Since: dean@example.edu; Fri, 2 Jan 2026 00:00:00 +0000", "250 2.0.0"),
        ("", "Require-Recipient-Valid-Since: zoe@example.edu; Wed, 1 Jan 2003 00:00:00 +0000", "250 2.0.0"),
        ("", "Require-Recipient-Valid-Since: dean@example.edu; some day", "250 2.0.0"),
    ] {
        let site = site_with(view());
        let talk = format!(
            "C: HELO x\nS: 250\nC: MAIL FROM:<bank@far.example>\nS: 250
            C: RCPT TO:<dean@example.edu>{parameter}\nS: 250\nC: DATA\nS: 354\nC: {field}\nC: \nC: hi\nC: .\nS: {expect}"
        );
        site.connect(Service::Mx).run(&talk).await;
    }
    let site = site_with(view());
    let talk = format!(
        "# LMTP answers each recipient by itself.
        C: LHLO x\nS: 250-mx\nS: 250-PIPE\nS: 250-SIZE\nS: 250-8BIT\nS: 250-DSN\nS: 250-START\nS: 250-RRVS\nS: 250 ENH
        C: MAIL FROM:<bank@far.example>\nS: 250\nC: RCPT TO:<dean@example.edu>\nS: 250\nC: RCPT TO:<zoe@example.edu>\nS: 250
        C: DATA\nS: 354\nC: {FIELD}\nC: \nC: hi\nC: .\nS: 550 5.7.17\nS: 250 2.1.5"
    );
    site.connect(Service::Lmtp).run(&talk).await;
}
