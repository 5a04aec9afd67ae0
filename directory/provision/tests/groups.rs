//! Groups that several people change at once, on the embedded server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helper functions of tests are test code")]
#![allow(dead_code, reason = "other tests use the rest of the servers")]

#[path = "directories/servers.rs"]
mod servers;

use std::sync::atomic::{AtomicBool, Ordering};

use provost_provision::{DeskError, GroupRules, ensure_tree};

use self::servers::{Embedded, admin};

/// Deletions that meet a change of the group.
const ROUNDS: usize = 20;

/// A deletion takes the address of the list first. When somebody changes the group in between, it is completed.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_has_taken_the_address_also_removes_the_group() {
    let embedded = Embedded::start().await;
    let site = embedded.desk();
    ensure_tree(&site.directory, &site.settings).await.unwrap();
    for round in 0..ROUNDS {
        let (name, address) = (format!("g{round}"), format!("g{round}@example.edu"));
        site.create_group(&admin(), &name, Some(&address), &GroupRules::default()).await.unwrap();
        let is_over = AtomicBool::new(false);
        let change = async {
            let mut octets = 1000;
            while !is_over.load(Ordering::Acquire) {
                octets += 1;
                let rules = GroupRules { message_octets_max: Some(octets), ..GroupRules::default() };
                let _ = site.set_group(&admin(), &name, &rules).await;
            }
        };
        let delete = async {
            let deleted = site.delete_group(&admin(), &name).await;
            is_over.store(true, Ordering::Release);
            deleted
        };
        let ((), deleted) = tokio::join!(change, delete);
        deleted.unwrap();
        assert!(matches!(site.group(&admin(), &name).await, Err(DeskError::NotFound(_))), "{name} is left");
    }
    embedded.server.stop().await;
}
