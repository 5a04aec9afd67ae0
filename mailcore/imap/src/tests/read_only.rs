//! A person who may only read (provostRestriction: read-only).

use provost_view::{Access, Forbidden};

use super::*;
use crate::state::State;

/// A view of the same person, who may only read or may do everything.
fn view(before: &View, read_only: bool) -> View {
    let held = before.snapshot().person(Uuid::from_u128(1)).unwrap();
    let forbidden = if read_only { Forbidden::CHANGE } else { Forbidden::default() };
    let access = Access { forbidden, ..Access::default() };
    View::fixed_with(vec![Person { access, ..(*held).clone() }], message_size(200_000))
}

/// Lets a logged-in session see its person change in the directory.
fn change_person(client: &mut Client, read_only: bool) {
    let before = Arc::clone(&client.session.connection.config);
    let view = view(&before.view, read_only);
    let (State::Authenticated(account) | State::Selected(account, _)) = &mut client.session.state else {
        panic!("not logged in");
    };
    // The person as before, watched in the new view: the change is not read yet.
    account.person = view.watch(&before.view.snapshot().person(account.id.get()).unwrap());
    client.session.connection.config = Arc::new(ImapConfig { view, ..(*before).clone() });
}

#[tokio::test]
async fn who_may_only_read_changes_nothing() {
    let site = Site::new();
    site.deliver("INBOX", "A: b\r\n\r\nc\r\n").await;
    let site = Site { config: Arc::new(ImapConfig { view: view(&site.config.view, true), ..(*site.config).clone() }) };
    site.play(
        r"
        C: a SELECT INBOX
        S: * FLAGS ~
        S: * OK [PERMANENTFLAGS ()] ~
        S: * 1 EXISTS
        S: * 1 RECENT
        S: * OK [UNSEEN 1] ~
        S: * OK [UIDVALIDITY ~
        S: * OK [UIDNEXT 2] ~
        S: a OK [READ-ONLY] SELECT completed
        # Reading sets no flag
        C: b FETCH 1 BODY[TEXT]
        S: * 1 FETCH (BODY[TEXT] {3}
        S: c
        S: )
        S: b OK ~
        C: c STORE 1 +FLAGS (\Deleted)
        S: c NO [NOPERM] ~
        C: d UID STORE 1 FLAGS.SILENT (\Seen)
        S: d NO [NOPERM] ~
        C: e EXPUNGE
        S: e NO [NOPERM] ~
        C: f UID EXPUNGE 1
        S: f NO [NOPERM] ~
        C: g COPY 1 Drafts
        S: g NO [NOPERM] ~
        C: h UID MOVE 1 Drafts
        S: h NO [NOPERM] ~
        C: i APPEND INBOX {4+}
        C: A: b
        S: i NO [NOPERM] ~
        C: j CREATE new
        S: j NO [NOPERM] ~
        C: k DELETE Drafts
        S: k NO [NOPERM] ~
        C: l RENAME Drafts new
        S: l NO [NOPERM] ~
        C: m SUBSCRIBE INBOX
        S: m NO [NOPERM] ~
        C: n UNSUBSCRIBE INBOX
        S: n NO [NOPERM] ~
        C: o SEARCH UNSEEN
        S: * SEARCH 1
        S: o OK ~
        C: p CLOSE
        S: p OK CLOSE completed
        C: q APPEND INBOX {4+}
        C: A: b
        S: q NO [NOPERM] ~
        C: r STATUS INBOX (MESSAGES RECENT UNSEEN)
        S: * STATUS INBOX (MESSAGES 1 RECENT 1 UNSEEN 1)
        S: r OK ~",
    )
    .await;
}

/// RFC 3501 §7.1: READ-ONLY and READ-WRITE also report that the access has changed while the mailbox is selected.
#[tokio::test]
async fn a_right_that_changes_shows_in_the_selected_mailbox() {
    let site = Site::new();
    site.deliver("INBOX", "A: b\r\n\r\nc\r\n").await;
    let mut clients = [site.logged_in().await, site.logged_in().await];
    clients[0].send("s SELECT INBOX\r\nt STORE 1 +FLAGS (\\Deleted)\r\n").await;
    clients[1].send("s EXAMINE INBOX\r\n").await;
    clients.iter_mut().for_each(|client| drop(client.take()));
    clients.iter_mut().for_each(|client| change_person(client, true));
    let script = r"
        E:
        S: * OK [READ-ONLY] The mailbox can now only be read
        S: * FLAGS (\Answered \Flagged \Deleted \Seen \Draft)
        S: * OK [PERMANENTFLAGS ()] Read-only mailbox
        C: a EXPUNGE
        S: a NO [NOPERM] ~
        # An examined mailbox was read-only before
        2C: a STORE 1 +FLAGS (\Seen)
        2S: a NO [NOPERM] ~";
    play(&mut clients, script).await;
    clients.iter_mut().for_each(|client| change_person(client, false));
    let script = r"
        C: a EXPUNGE
        S: * OK [READ-WRITE] The mailbox can be changed again
        S: * FLAGS ~
        S: * OK [PERMANENTFLAGS (~
        S: * 1 EXPUNGE
        S: * 0 RECENT
        S: a OK EXPUNGE completed
        2C: a STORE 1 +FLAGS (\Seen)
        2S: a NO [READ-ONLY] ~";
    play(&mut clients, script).await;
    // CLOSE expunges nothing without the right to.
    site.deliver("INBOX", "A: b\r\n\r\nd\r\n").await;
    clients[0].send("b STORE 1 +FLAGS (\\Deleted)\r\nc NOOP\r\nd STORE 1 +FLAGS (\\Deleted)\r\n").await;
    clients[0].take();
    change_person(&mut clients[0], true);
    clients[0].send("e CLOSE\r\nf STATUS INBOX (MESSAGES)\r\n").await;
    let replies = clients[0].take();
    assert!(replies.contains("e OK CLOSE completed\r\n* STATUS INBOX (MESSAGES 1)\r\n"), "{replies}");
}
