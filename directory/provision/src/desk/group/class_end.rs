//! Plans the end of the groups of classes in a run of the lifecycle.

use jiff::Timestamp;
use provost_entry::{Entry, Filter};
use provost_schema::{attr, class};

use crate::desk::{Desk, DeskError, ReadPurpose};
use crate::lifecycle::{EndedClass, LifecyclePlanner};
use crate::plan::ENROLMENT;
use crate::tree;

impl Desk {
    /// Adds the ends of all groups of classes whose term is over. Groups that people made stay until somebody deletes
    /// them: their lists take no mail after their end, whatever the run does.
    pub(in crate::desk) async fn plan_class_ends(
        &self,
        planner: &mut LifecyclePlanner,
        now: Timestamp,
    ) -> Result<(), DeskError> {
        let settings = self.settings.get();
        for group in self.ended_classes(now).await? {
            let addresses = self.addresses_of(&group.dn, ReadPurpose::Change).await?;
            let quarantine_days = settings.address_quarantine.into();
            let ended = EndedClass { group: &group, addresses: &addresses, quarantine_days };
            planner.push_change(ended.change(now, &settings.time_zone));
        }
        Ok(())
    }

    /// The groups of classes whose provostUntil has passed, in the order of their names.
    async fn ended_classes(&self, now: Timestamp) -> Result<Vec<Entry>, DeskError> {
        let of_classes = vec![
            Filter::equal(attr::OBJECT_CLASS, class::PROVOST_GROUP),
            Filter::equal(attr::PROVOST_GROUP_KIND, ENROLMENT),
        ];
        self.ended(tree::groups(self.directory.suffix()), of_classes, attr::CN, now).await
    }
}
