//! LIST, LSUB, CREATE, DELETE, RENAME, SUBSCRIBE, STATUS, SELECT, EXAMINE, CLOSE, UNSELECT, NAMESPACE, ENABLE.

use super::*;

#[tokio::test]
async fn list() {
    let script = r#"
        # RFC 3501 §6.3.8
        C: a LIST "" ""
        S: * LIST (\Noselect) "/" ""
        S: a OK LIST completed
        C: b LIST "" *
        S: * LIST (\HasNoChildren) "/" INBOX
        S: * LIST (\HasNoChildren ~) "/" ~
        S: * LIST (\HasNoChildren ~) "/" ~
        S: * LIST (\HasNoChildren ~) "/" ~
        S: * LIST (\HasNoChildren ~) "/" ~
        S: b OK LIST completed
        C: c LIST "" inbox
        S: * LIST (\HasNoChildren) "/" INBOX
        S: c OK LIST completed
        C: d CREATE "a b/c/"
        S: d OK CREATE completed
        C: e LIST "" "a%"
        S: * LIST (\HasChildren) "/" "a b"
        S: e OK LIST completed
        C: f LIST "a b/" %
        S: * LIST (\HasNoChildren) "/" "a b/c"
        S: f OK LIST completed
        # RFC 3501 §6.3.4: the mailboxes below a deleted one stay
        C: g DELETE "a b"
        S: g OK DELETE completed
        C: h LIST "" a*
        S: * LIST (\NonExistent \Noselect \HasChildren) "/" "a b"
        S: * LIST (\HasNoChildren) "/" "a b/c"
        S: h OK LIST completed
        C: i LIST "" "&notutf7"
        S: i OK LIST completed
        C: j CREATE "Envoy&AOk-s"
        S: j OK CREATE completed
        C: k LIST "" "Envoy&AOk-*"
        S: * LIST (\HasNoChildren) "/" Envoy&AOk-s
        S: k OK LIST completed
        # RFC 6154 §2
        C: l LIST "" Sent
        S: * LIST (\HasNoChildren \Sent) "/" Sent
        S: l OK LIST completed
        C: m LIST
        S: m BAD ~
        C: n LIST ""
        S: n BAD ~"#;
    Site::new().play(script).await;
}

#[tokio::test]
async fn extended_list() {
    let script = r#"
        # RFC 5258 §3, RFC 5819, RFC 6154 §2
        C: a LIST (SPECIAL-USE) "" (Sen% INBOX) RETURN (CHILDREN STATUS (MESSAGES UNSEEN))
        S: * LIST (\HasNoChildren \Sent) "/" Sent
        S: * STATUS Sent (MESSAGES 0 UNSEEN 0)
        S: a OK LIST completed
        C: b SUBSCRIBE x/y
        S: b OK SUBSCRIBE completed
        C: c LIST (SUBSCRIBED) "" x*
        S: * LIST (\NonExistent \Noselect \Subscribed \HasNoChildren) "/" x/y
        S: c OK LIST completed
        C: d LIST (SUBSCRIBED RECURSIVEMATCH) "" x
        S: * LIST (\NonExistent \Noselect \HasNoChildren) "/" x ("CHILDINFO" ("SUBSCRIBED"))
        S: d OK LIST completed
        C: e LIST "" x* RETURN (SUBSCRIBED)
        S: e OK LIST completed
        C: e2 LIST () "" Drafts RETURN (SPECIAL-USE)
        S: * LIST (\HasNoChildren \Drafts) "/" Drafts
        S: e2 OK LIST completed
        C: f LIST (RECURSIVEMATCH) "" *
        S: f BAD RECURSIVEMATCH needs SUBSCRIBED
        C: g LIST (NOSUCH) "" *
        S: g BAD ~
        C: h LIST "" * RETURN (NOSUCH)
        S: h BAD ~
        C: i LIST "" * NOSUCH (X)
        S: i BAD ~"#;
    Site::new().play(script).await;
}

#[tokio::test]
async fn lsub() {
    let script = r#"
        # RFC 3501 §6.3.9
        C: a SUBSCRIBE x/y
        S: a OK SUBSCRIBE completed
        C: b LSUB "" x*
        S: * LSUB () "/" x/y
        S: b OK LSUB completed
        C: c LSUB "" x%
        S: * LSUB (\Noselect) "/" x
        S: c OK LSUB completed
        C: d UNSUBSCRIBE x/y
        S: d OK UNSUBSCRIBE completed
        C: e LSUB "" x*
        S: e OK LSUB completed
        C: f SUBSCRIBE "a*"
        S: f NO [CANNOT] ~
        C: g LSUB "" "&bad"
        S: g OK LSUB completed"#;
    Site::new().play(script).await;
}

#[tokio::test]
async fn create_delete_rename() {
    let script = r#"
        # RFC 3501 §6.3.3 to §6.3.5
        C: a CREATE INBOX
        S: a NO [ALREADYEXISTS] ~
        C: b CREATE x
        S: b OK CREATE completed
        C: c CREATE x
        S: c NO [ALREADYEXISTS] ~
        C: d CREATE "a//b"
        S: d NO [CANNOT] ~
        C: e CREATE "&bad"
        S: e NO [CANNOT] ~
        C: f DELETE INBOX
        S: f NO [CANNOT] ~
        C: g DELETE nosuch
        S: g NO [NONEXISTENT] ~
        C: h RENAME x y
        S: h OK RENAME completed
        C: i RENAME x y
        S: i NO [NONEXISTENT] ~
        # RFC 3501 §6.3.5: RENAME of a name that is only a level above mailboxes
        C: i2 CREATE rn/y
        S: i2 OK ~
        C: i3 DELETE rn
        S: i3 OK ~
        C: i4 RENAME rn y
        S: i4 NO [ALREADYEXISTS] ~
        C: i5 RENAME rn rn2
        S: i5 OK ~
        C: i6 LIST "" rn*
        S: * LIST (~) "/" rn2
        S: * LIST (~) "/" rn2/y
        S: i6 OK ~
        C: i7 DELETE rn2/y
        S: i7 OK ~
        C: i8 DELETE rn2
        S: i8 NO [NONEXISTENT] ~
        C: j RENAME y INBOX
        S: j NO [ALREADYEXISTS] ~
        C: k RENAME y "%"
        S: k NO [CANNOT] ~
        # RFC 6154 §3
        C: l CREATE kept (USE (\Nosuch))
        S: l NO [USEATTR] ~
        C: m CREATE n (USE ())
        S: m OK CREATE completed
        C: n CREATE o (NOSUCH (\Sent))
        S: n BAD ~
        # After DELETE of the selected mailbox, none is selected
        C: o SELECT y
        S: * FLAGS ~
        S: * OK [PERMANENTFLAGS ~
        S: * 0 EXISTS
        S: * 0 RECENT
        S: * OK [UIDVALIDITY ~
        S: * OK [UIDNEXT 1] ~
        S: o OK [READ-WRITE] SELECT completed
        C: p DELETE y
        S: p OK DELETE completed
        C: q EXPUNGE
        S: q BAD Select a mailbox first"#;
    Site::new().play(script).await;
}

/// RFC 2180 §3.3: the connection is closed.
#[tokio::test]
async fn another_session_deletes_the_selected_mailbox() {
    let site = Site::new();
    site.deliver("x", "A: b\r\n\r\nc\r\n").await;
    let mut clients = [site.logged_in().await, site.logged_in().await];
    clients[0].send("a SELECT x\r\n").await;
    clients[0].take();
    play(&mut clients, "2C: b DELETE x\n2S: b OK ~\nC: c NOOP\nS: * BYE The selected mailbox was deleted").await;
    assert_eq!(clients[0].step, Step::Close);
}

#[tokio::test]
async fn status() {
    let site = Site::new();
    site.deliver("INBOX", "A: b\r\n\r\nc\r\n").await;
    let script = r"
        # RFC 3501 §6.3.10, RFC 8438
        C: a STATUS INBOX (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN SIZE)
        S: * STATUS INBOX (MESSAGES 1 RECENT 1 UIDNEXT 2 UIDVALIDITY ~ UNSEEN 1 SIZE 11)
        S: a OK STATUS completed
        C: b STATUS nosuch (MESSAGES)
        S: b NO [NONEXISTENT] ~
        C: c STATUS INBOX (NOSUCH)
        S: c BAD ~
        C: d STATUS INBOX ()
        S: d BAD ~
        C: e STATUS Sent (RECENT)
        S: * STATUS Sent (RECENT 0)
        S: e OK STATUS completed";
    site.play(script).await;
}

#[tokio::test]
async fn select_and_examine() {
    let site = Site::new();
    site.deliver("INBOX", "A: b\r\n\r\nc\r\n").await;
    site.deliver("INBOX", "A: b\r\n\r\nd\r\n").await;
    let script = r"
        # RFC 3501 §6.3.2: EXAMINE changes nothing, not even \Recent
        C: a EXAMINE inbox
        S: * FLAGS (\Answered \Flagged \Deleted \Seen \Draft)
        S: * OK [PERMANENTFLAGS ()] Read-only mailbox
        S: * 2 EXISTS
        S: * 2 RECENT
        S: * OK [UNSEEN 1] First unseen message
        S: * OK [UIDVALIDITY ~] UIDs valid
        S: * OK [UIDNEXT 3] Predicted next UID
        S: a OK [READ-ONLY] EXAMINE completed
        C: b STORE 1 +FLAGS (\Seen)
        S: b NO [READ-ONLY] ~
        C: c EXPUNGE
        S: c NO [READ-ONLY] ~
        C: d MOVE 1 Trash
        S: d NO [READ-ONLY] ~
        C: e FETCH 1 (BODY[TEXT] FLAGS)
        S: * 1 FETCH (BODY[TEXT] {3}
        S: c
        S:  FLAGS (\Recent))
        S: e OK FETCH completed
        C: f CLOSE
        S: f OK CLOSE completed
        C: g UNSELECT
        S: g BAD Select a mailbox first
        C: h CLOSE
        S: h BAD Select a mailbox first
        # RFC 3501 §2.3.2: a message is \Recent in one session
        C: i SELECT INBOX
        S: * FLAGS (\Answered \Flagged \Deleted \Seen \Draft)
        S: * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)] Flags permitted
        S: * 2 EXISTS
        S: * 2 RECENT
        S: * OK [UNSEEN 1] ~
        S: * OK [UIDVALIDITY ~
        S: * OK [UIDNEXT 3] ~
        S: i OK [READ-WRITE] SELECT completed
        2C: j SELECT INBOX
        2S: * FLAGS ~
        2S: * OK [PERM~
        2S: * 2 EXISTS
        2S: * 0 RECENT
        2S: * OK [UNSEEN 1] ~
        2S: * OK [UIDVALIDITY ~
        2S: * OK [UIDNEXT 3] ~
        2S: j OK [READ-WRITE] SELECT completed
        # RFC 3501 §6.3.1: a failed SELECT leaves none selected
        C: k SELECT nosuch
        S: k NO [NONEXISTENT] ~
        C: l CHECK
        S: l BAD Select a mailbox first
        C: m SELECT INBOX (CONDSTORE)
        S: m BAD ~
        2C: n UNSELECT
        2S: n OK UNSELECT completed";
    site.play(script).await;
}

#[tokio::test]
async fn namespace_and_enable() {
    let script = r#"
        # RFC 2342 §5, RFC 5161 §3.1
        C: a NAMESPACE
        S: * NAMESPACE (("" "/")) NIL NIL
        S: a OK NAMESPACE completed
        C: b ENABLE CONDSTORE X
        S: * ENABLED
        S: b OK ENABLE completed
        C: c ENABLE
        S: c BAD ~"#;
    Site::new().play(script).await;
}
