//! RFC 3501 §7.4.1: a client that only listens always knows what its numbers mean.

use proptest::prelude::*;

use super::*;

/// What a client knows: per message number its UID and whether it is `\Flagged`, as far as it was told.
#[derive(Default)]
struct Client {
    known: Vec<(Option<u32>, Option<bool>)>,
}

impl Client {
    fn listen(&mut self, told: &str) {
        for line in told.lines().filter_map(|line| line.strip_prefix("* ")) {
            let mut words = line.splitn(3, ' ');
            let (Some(Ok(number)), Some(word)) = (words.next().map(str::parse::<usize>), words.next()) else {
                continue;
            };
            match word {
                "EXISTS" => {
                    assert!(number >= self.known.len(), "EXISTS never takes messages away: {told}");
                    self.known.resize(number, (None, None));
                }
                "EXPUNGE" => drop(self.known.remove(number - 1)),
                "FETCH" => self.fetched(number - 1, words.next().unwrap_or_default()),
                _ => {}
            }
        }
    }

    fn fetched(&mut self, index: usize, items: &str) {
        let (uid, flagged) = &mut self.known[index];
        if let Some((_, rest)) = items.split_once("UID ") {
            let told = rest.split([' ', ')']).next().and_then(|digits| digits.parse().ok());
            assert!(uid.is_none() || *uid == told, "a number changed its meaning: {items}");
            *uid = told;
        }
        if let Some((_, rest)) = items.split_once("FLAGS (") {
            *flagged = Some(rest.split(')').next().unwrap_or_default().contains("\\Flagged"));
        }
    }
}

async fn run(acts: &[(u8, usize, usize)]) {
    let world = World::new();
    for _ in 0..3 {
        world.deliver("INBOX", "A: b\r\n\r\nc\r\n").await;
    }
    let mut talks = [world.logged_in().await, world.logged_in().await];
    let mut clients = [Client::default(), Client::default()];
    for (talk, client) in talks.iter_mut().zip(&mut clients) {
        talk.send("s SELECT INBOX\r\nt FETCH 1:* (UID FLAGS)\r\n").await;
        client.listen(&talk.take());
    }
    for (kind, who, number) in acts {
        let (talk, client) = (&mut talks[*who], &mut clients[*who]);
        let number = number % client.known.len().max(1) + 1;
        let command = match kind {
            0 => {
                world.deliver("INBOX", "A: b\r\n\r\nc\r\n").await;
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
        talk.send(format!("x {command}\r\n")).await;
        let told = talk.take();
        let is_numbered = ["STORE", "FETCH", "SEARCH"].iter().any(|word| command.starts_with(word));
        assert!(!is_numbered || !told.contains(" EXPUNGE\r\n"), "{command}: {told}");
        if command.contains("SILENT") {
            // The client did it itself: it knows.
            client.known.iter_mut().for_each(|known| known.1 = known.1.map(|_| false));
        }
        client.listen(&told);
    }
    for (talk, client) in talks.iter_mut().zip(&mut clients) {
        talk.send("y NOOP\r\n").await;
        client.listen(&talk.take());
        let (count, flags) = (client.known.len(), client.known.iter().map(|known| known.1).collect::<Vec<_>>());
        talk.send("z FETCH 1:* (UID FLAGS)\r\n").await;
        let told = talk.take();
        assert_eq!(told.matches(" FETCH (").count(), count, "{told}");
        client.listen(&told);
        for (index, (before, now)) in flags.iter().zip(&client.known).enumerate() {
            assert!(before.is_none() || *before == now.1, "flags of {} were not told", index + 1);
        }
    }
    let uids = |client: &Client| client.known.iter().map(|known| known.0).collect::<Vec<_>>();
    assert_eq!(uids(&clients[0]), uids(&clients[1]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn two_clients_agree(acts in prop::collection::vec((0..12_u8, 0..2_usize, 0..8_usize), 0..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(&acts));
    }
}
