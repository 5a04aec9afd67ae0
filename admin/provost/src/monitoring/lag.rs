//! Measures how far a directory server is behind the others.
//!
//! The CSNs of two servers differ for a moment after every write, and a CSN holds the time of its write: after a quiet
//! night, a provider that takes the first write is not a night ahead of a replica. The lag is therefore counted from
//! the last check at which no server had a change that this one lacks now.

use std::collections::{HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

/// Maximum number of rounds that are kept: an hour of checks every 15 seconds.
const ROUNDS_MAX: usize = 240;

/// Newest CSN by server id.
type CsnVector = HashMap<String, String>;

/// Results of the checks of all servers.
#[derive(Debug, Default)]
pub(super) struct LagChecks {
    /// CSNs of each server at its last answer.
    servers: HashMap<String, CsnVector>,
    /// Time and newest CSNs of each round, oldest first.
    rounds: VecDeque<(Timestamp, CsnVector)>,
}

impl LagChecks {
    /// Records the contextCSN values that a server has returned.
    pub(super) fn record(&mut self, server: &str, csns: &[String]) {
        let mut vector = CsnVector::new();
        for csn in csns {
            raise(&mut vector, server_id(csn), csn);
        }
        self.servers.insert(server.to_owned(), vector);
    }

    /// Ends a round in which all servers were checked.
    pub(super) fn end_of_round(&mut self, now: Timestamp) {
        let mut newest = CsnVector::new();
        for (id, csn) in self.servers.values().flatten() {
            raise(&mut newest, id, csn);
        }
        if self.rounds.len() == ROUNDS_MAX {
            self.rounds.pop_front();
        }
        self.rounds.push_back((now, newest));
    }

    /// For how long the server has lacked a change that another one has, at most since the oldest round kept; `None`
    /// when the server never answered or no round has ended.
    pub(super) fn lag(&self, server: &str, now: Timestamp) -> Option<SignedDuration> {
        let own = self.servers.get(server)?;
        let has = |round: &&(Timestamp, CsnVector)| {
            round.1.iter().all(|(id, csn)| own.get(id).is_some_and(|own| own.as_str() >= csn.as_str()))
        };
        let level = self.rounds.iter().rev().find(has).or(self.rounds.front());
        level.map(|(at, _)| now.duration_since(*at).max(SignedDuration::ZERO))
    }
}

/// The third field of a CSN: the id of the server that made the change. The CSNs of one server are ordered as text.
fn server_id(csn: &str) -> &str {
    csn.split('#').nth(2).unwrap_or_default()
}

fn raise(vector: &mut CsnVector, id: &str, csn: &str) {
    match vector.get_mut(id) {
        Some(known) if known.as_str() >= csn => {}
        Some(known) => csn.clone_into(known),
        None => _ = vector.insert(id.to_owned(), csn.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn csn(time: u32, server: u32) -> String {
        format!("2026010100{time:04}.000000Z#000000#{server:03}#000000")
    }

    #[test]
    fn lag_is_counted_from_the_last_round_in_which_both_were_level() {
        let mut checks = LagChecks::default();
        let mut round = |second: i64, provider: &[String], replica: Option<&[String]>| {
            checks.record("provider", provider);
            if let Some(replica) = replica {
                checks.record("replica", replica);
            }
            let now = at(second);
            checks.end_of_round(now);
            let lag = |server| checks.lag(server, now).map(|lag| lag.as_secs());
            (lag("provider"), lag("replica"))
        };
        assert_eq!(round(0, &[csn(1, 1)], None), (Some(0), None), "a server that never answered has a lag");
        assert_eq!(round(15, &[csn(1, 1)], Some(&[csn(1, 1)])), (Some(0), Some(0)));
        // A write after a long quiet time: the replica is behind by one check, whatever the times in the CSNs are.
        assert_eq!(round(30, &[csn(900, 1)], Some(&[csn(1, 1)])), (Some(0), Some(15)));
        assert_eq!(
            round(45, &[csn(905, 1)], Some(&[csn(900, 1)])),
            (Some(0), Some(15)),
            "the replica has the changes of the previous round"
        );
        assert_eq!(round(60, &[csn(905, 1)], None), (Some(0), Some(30)), "the lag of a server that is down");
        assert_eq!(round(75, &[csn(905, 1)], Some(&[csn(905, 1)])), (Some(0), Some(0)));
        // A write by another provider that only the replica has.
        assert_eq!(round(90, &[csn(905, 1)], Some(&[csn(905, 1), csn(1, 2)])), (Some(15), Some(0)));
    }

    #[test]
    fn rounds_are_bounded() {
        let mut checks = LagChecks::default();
        checks.record("old", &[csn(0, 1)]);
        for round in 0..1000 {
            checks.record("new", &[csn(round, 1)]);
            checks.end_of_round(at(i64::from(round)));
        }
        assert_eq!(checks.rounds.len(), ROUNDS_MAX);
        assert_eq!(checks.lag("old", at(999)), Some(SignedDuration::from_secs(ROUNDS_MAX as i64 - 1)));
    }
}
