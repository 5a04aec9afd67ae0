//! Random and mutated input: the session does not panic, and leaves no more input unread than its bounds allow.

use proptest::prelude::*;

use super::*;

const COMMANDS: &[&str] = &[
    "a CAPABILITY\r\n",
    "a LOGIN zoe secret\r\n",
    "a AUTHENTICATE PLAIN AHpvZQBzZWNyZXQ=\r\n",
    "a ID (\"name\" NIL)\r\n",
    "a SELECT INBOX\r\n",
    "a LIST (SUBSCRIBED) \"\" (a% *) RETURN (STATUS (MESSAGES))\r\n",
    "a LSUB \"\" %\r\n",
    "a CREATE x (USE (\\Sent))\r\n",
    "a RENAME x \"y z\"\r\n",
    "a APPEND INBOX (\\Seen k) \"17-Jul-1996 02:44:25 -0700\" {9+}\r\nA: b\r\n\r\nc\r\n",
    "a SEARCH RETURN (MIN) CHARSET UTF-8 OR (NOT 1:*) HEADER x {2+}\r\nxy SENTON 1-Feb-2026 BODY c\r\n",
    "a FETCH 1:* (UID BODY.PEEK[1.HEADER.FIELDS (A b)]<0.9> ENVELOPE BODYSTRUCTURE FLAGS BODY[TEXT])\r\n",
    "a UID STORE 1:* +FLAGS.SILENT (\\Deleted k)\r\n",
    "a UID COPY 1:* Trash\r\n",
    "a MOVE *:1 Trash\r\n",
    "a STATUS INBOX (UNSEEN SIZE)\r\n",
    "a EXPUNGE\r\n",
    "a IDLE\r\n",
    "DONE\r\n",
    "a CLOSE\r\n",
];

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), any::<u8>(), 0..4_u8);
    (prop::sample::select(COMMANDS), prop::collection::vec(edit, 0..4)).prop_map(|(command, edits)| {
        let mut bytes = command.as_bytes().to_vec();
        for (index, octet, kind) in edits {
            let at = index.index(bytes.len());
            match kind {
                0 => bytes[at] = octet,
                1 => bytes.insert(at, octet),
                2 if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b" (){}\"*%[]<>,.:0\r\n"[usize::from(octet) % 18]),
            }
        }
        bytes
    })
}

/// Feeds a session with a selected mailbox, and checks how much input it leaves unread.
async fn feed(pieces: &[Vec<u8>]) {
    let site = Site::new();
    site.deliver("INBOX", "From: a@b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nd\r\n--c--\r\n")
        .await;
    let mut client = site.logged_in().await;
    client.send("s SELECT INBOX\r\n").await;
    for piece in pieces {
        if client.step == Step::Close {
            return;
        }
        client.send(piece).await;
        assert!(client.input.len() <= 64 * 1024);
        client.take();
    }
}

fn run(pieces: &[Vec<u8>]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(feed(pieces));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn mutated_commands(pieces in prop::collection::vec(mutated(), 1..12)) {
        run(&pieces);
    }

    #[test]
    fn random_bytes(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..6)) {
        run(&pieces);
    }
}
