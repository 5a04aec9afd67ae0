//! RFC 3501 §7.4.1: from the server's responses alone, a client always knows which message each sequence number names.

use proptest::prelude::*;

use super::*;

/// What a client knows: for each sequence number, the UID and whether the message is `\Flagged`, if it has received
/// them.
#[derive(Default)]
struct ClientState {
    messages: Vec<(Option<u32>, Option<bool>)>,
}

impl ClientState {
    fn listen(&mut self, received: &str) {
        for line in received.lines().filter_map(|line| line.strip_prefix("* ")) {
            let mut words = line.splitn(3, ' ');
            let (Some(Ok(number)), Some(word)) = (words.next().map(str::parse::<usize>), words.next()) else {
                continue;
            };
            match word {
                "EXISTS" => {
                    assert!(number >= self.messages.len(), "EXISTS must not decrease: {received}");
                    self.messages.resize(number, (None, None));
                }
                "EXPUNGE" => drop(self.messages.remove(number - 1)),
                "FETCH" => self.fetched(number - 1, words.next().unwrap_or_default()),
                _ => {}
            }
        }
    }

    fn fetched(&mut self, index: usize, items: &str) {
        let (uid, flagged) = &mut self.messages[index];
        if let Some((_, rest)) = items.split_once("UID ") {
            let received = rest.split([' ', ')']).next().and_then(|digits| digits.parse().ok());
            assert!(uid.is_none() || *uid == received, "a sequence number names another message: {items}");
            *uid = received;
        }
        if let Some((_, rest)) = items.split_once("FLAGS (") {
            *flagged = Some(rest.split(')').next().unwrap_or_default().contains("\\Flagged"));
        }
    }
}

async fn run(acts: &[(u8, usize, usize)]) {
    let site = Site::new();
    for _ in 0..3 {
        site.deliver("INBOX", "A: b\r\n\r\nc\r\n").await;
    }
    let mut clients = [site.logged_in().await, site.logged_in().await];
    let mut known_by = [ClientState::default(), ClientState::default()];
    for (client, known) in clients.iter_mut().zip(&mut known_by) {
        client.send("s SELECT INBOX\r\nt FETCH 1:* (UID FLAGS)\r\n").await;
        known.listen(&client.take());
    }
    for (kind, who, number) in acts {
        let (client, known) = (&mut clients[*who], &mut known_by[*who]);
        let number = number % known.messages.len().max(1) + 1;
        let command = match kind {
            0 => {
                site.deliver("INBOX", "A: b\r\n\r\nc\r\n").await;
                continue;
            }
            1 => format!("STORE {number} +FLAGS (\\Flagged)"),
            2 => "UID STORE 1:* -FLAGS.SILENT (\\Flagged)".to_owned(),
            3 => format!("STORE {number} +FLAGS (\\Deleted)"),
            4 => "EXPUNGE".to_owned(),
            5 => format!("UID EXPUNGE {number}"),
            6 => format!("MOVE {number} Trash"),
            7 => format!("COPY {number} INBOX"),
            8 => format!("FETCH {number} (UID FLAGS)"),
            9 => "SEARCH ALL".to_owned(),
            10 => "UID SEARCH FLAGGED".to_owned(),
            _ => "NOOP".to_owned(),
        };
        client.send(format!("x {command}\r\n")).await;
        let received = client.take();
        let is_numbered = ["STORE", "FETCH", "SEARCH"].iter().any(|word| command.starts_with(word));
        assert!(!is_numbered || !received.contains(" EXPUNGE\r\n"), "{command}: {received}");
        if command.contains("SILENT") {
            // The client assumes the change that it has made itself.
            known.messages.iter_mut().for_each(|message| message.1 = message.1.map(|_| false));
        }
        known.listen(&received);
    }
    for (client, known) in clients.iter_mut().zip(&mut known_by) {
        client.send("y NOOP\r\n").await;
        known.listen(&client.take());
        let (count, flags) = (known.messages.len(), known.messages.iter().map(|known| known.1).collect::<Vec<_>>());
        client.send("z FETCH 1:* (UID FLAGS)\r\n").await;
        let received = client.take();
        assert_eq!(received.matches(" FETCH (").count(), count, "{received}");
        known.listen(&received);
        for (index, (before, now)) in flags.iter().zip(&known.messages).enumerate() {
            assert!(before.is_none() || *before == now.1, "a flag change of message {} was not sent", index + 1);
        }
    }
    let uids = |known: &ClientState| known.messages.iter().map(|known| known.0).collect::<Vec<_>>();
    assert_eq!(uids(&known_by[0]), uids(&known_by[1]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn two_clients_agree(acts in prop::collection::vec((0..12_u8, 0..2_usize, 0..8_usize), 0..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(&acts));
    }
}
