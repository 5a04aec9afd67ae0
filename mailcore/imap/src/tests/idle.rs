//! IDLE (RFC 2177) and changes by other sessions.

use super::*;

#[tokio::test]
async fn idle() {
    let site = Site::new();
    site.deliver("INBOX", "A: b\r\n\r\nc\r\n").await;
    let mut clients = [site.logged_in().await, site.logged_in().await];
    for client in &mut clients {
        client.send("s SELECT INBOX\r\n").await;
        client.take();
    }
    let script = r"
        C: a IDLE
        S: + idling
        2C: b STORE 1 +FLAGS (\Deleted)
        2S: * 1 FETCH (FLAGS (\Deleted))
        2S: b OK STORE completed
        E:
        S: * 1 FETCH (FLAGS (\Deleted \Recent))
        2C: c EXPUNGE
        2S: * 1 EXPUNGE
        2S: c OK EXPUNGE completed
        E:
        S: * 1 EXPUNGE
        S: * 0 RECENT";
    play(&mut clients, script).await;
    site.deliver("INBOX", "A: b\r\n\r\nd\r\n").await;
    let script = r"
        E:
        S: * 1 EXISTS
        S: * 1 RECENT
        C: done
        S: a OK IDLE terminated
        # Any other line than DONE ends IDLE with BAD
        C: d IDLE
        S: + idling
        C: e NOOP
        S: d BAD DONE was expected
        C: f NOOP
        S: f OK NOOP completed
        # RFC 2177 §4: IDLE is allowed without a selected mailbox
        C: g UNSELECT
        S: g OK UNSELECT completed
        C: h IDLE
        S: + idling
        C: DONE
        S: h OK IDLE terminated";
    play(&mut clients, script).await;
}

/// EXPUNGE responses that a FETCH held back are sent when IDLE begins.
#[tokio::test]
async fn idle_begins_with_what_was_held_back() {
    let site = Site::new();
    site.deliver("INBOX", "A: b\r\n\r\nc\r\n").await;
    site.deliver("INBOX", "A: b\r\n\r\nc\r\n").await;
    let mut clients = [site.logged_in().await, site.logged_in().await];
    for client in &mut clients {
        client.send("s SELECT INBOX\r\n").await;
        client.take();
    }
    let script = r"
        2C: a STORE 1 +FLAGS.SILENT (\Deleted)
        2S: a OK ~
        2C: b EXPUNGE
        2S: * 1 EXPUNGE
        2S: b OK ~
        C: a FETCH 1:2 (UID)
        S: * 1 FETCH (UID 1)
        S: * 2 FETCH (UID 2)
        S: a OK ~
        C: b IDLE
        S: + idling
        S: * 1 EXPUNGE
        S: * 1 RECENT
        C: DONE
        S: b OK ~";
    play(&mut clients, script).await;
}

#[tokio::test(start_paused = true)]
async fn only_a_change_wakes_an_idle_session() {
    let site = Site::new();
    let mut client = site.logged_in().await;
    client.send("a SELECT INBOX\r\nb IDLE\r\n").await;
    let quiet = Duration::from_secs(3_600);
    assert!(tokio::time::timeout(quiet, client.session.event()).await.is_err(), "an event without a change");
    // A delivery is no event for a session that is not in IDLE.
    let mut other = site.logged_in().await;
    other.send("a SELECT INBOX\r\n").await;
    site.deliver("INBOX", "A: b\r\n\r\nd\r\n").await;
    assert!(tokio::time::timeout(quiet, other.session.event()).await.is_err(), "an event without IDLE");
    assert!(tokio::time::timeout(quiet, client.session.event()).await.is_ok(), "no event in IDLE");
}

#[tokio::test]
async fn new_mail_is_reported_with_search() {
    let site = Site::new();
    let mut clients = [site.logged_in().await];
    clients[0].send("s SELECT INBOX\r\n").await;
    clients[0].take();
    site.deliver("INBOX", "A: b\r\n\r\nc\r\n").await;
    let script = r"
        C: a SEARCH ALL
        S: * SEARCH
        S: * 1 EXISTS
        S: * 1 RECENT
        S: a OK SEARCH completed
        C: b LIST {2+}
        C:  INBOX
        S: b BAD ~
        C: c FETCH 1 (UID)
        S: * 1 FETCH (UID 1)
        S: c OK FETCH completed";
    play(&mut clients, script).await;
}
