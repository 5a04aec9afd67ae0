//! How far each followed directory has been read, in the state that all nodes share.

use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use provost_client::Cookie;
use provost_provision::SourceProfile;
use provost_store::{ChangeCondition, StateChange, StateSpace, StateStore, WhenFull};
use serde::{Deserialize, Serialize};

/// The key is the name of the source. A cookie may have 512 KiB.
static FOLLOWED: StateSpace =
    StateSpace { name: "followed-sources", records_max: 1000, octets_max: 1 << 20, when_full: WhenFull::RemoveOldest };

/// How far the directory of a source has been read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct FollowedState {
    /// Version of the profile. Another version may select other entries: everything else is then forgotten.
    pub(super) profile: Option<u32>,
    /// The RFC 4533 cookie up to which everything is imported.
    pub(super) cookie: Vec<u8>,
    /// When the last complete read was imported.
    pub(super) complete_at: Option<Timestamp>,
    /// Number of entries of the last complete read.
    pub(super) entries: Option<usize>,
    /// When the last change was imported, or found to change nothing.
    pub(super) changed_at: Option<Timestamp>,
    /// Why the directory is not followed at present, and since when it was last tried.
    pub(super) failure: Option<(Timestamp, String)>,
}

impl FollowedState {
    /// The cookie; `None` before the first complete read.
    pub(super) fn cookie(&self) -> Option<Cookie> {
        (!self.cookie.is_empty()).then(|| Cookie::from_octets(self.cookie.clone()))
    }

    pub(super) fn set_cookie(&mut self, cookie: Option<&Cookie>) {
        self.cookie = cookie.map(|cookie| cookie.as_octets().to_vec()).unwrap_or_default();
    }
}

/// The states of all sources.
#[derive(Clone)]
pub(super) struct FollowedStates(Arc<dyn StateStore>);

impl FollowedStates {
    pub(super) fn new(state: Arc<dyn StateStore>) -> Self {
        Self(state)
    }

    /// The state of a source by its present profile; the beginning when nothing is known.
    pub(super) async fn get(&self, profile: &SourceProfile, now: Timestamp) -> anyhow::Result<FollowedState> {
        let record = self.0.record(&FOLLOWED, &profile.name, now).await.context("shared state")?;
        // A record that another version wrote and this one cannot read: a complete read begins again.
        let known = record.and_then(|record| serde_json::from_slice::<FollowedState>(&record.value).ok());
        Ok(known.filter(|known| known.profile == profile.version).unwrap_or_default())
    }

    /// Keeps the state of a source. Only the holder of the source's lease and a command write it, and each state is one
    /// from which the source can be followed, so the last one wins.
    pub(super) async fn put(
        &self,
        profile: &SourceProfile,
        state: FollowedState,
        now: Timestamp,
    ) -> anyhow::Result<()> {
        let value = serde_json::to_vec(&FollowedState { profile: profile.version, ..state })?;
        let put = StateChange::put(&FOLLOWED, profile.name.clone(), ChangeCondition::Any, value, None);
        self.0.change(vec![put], now).await.map(drop).context("shared state")
    }
}
