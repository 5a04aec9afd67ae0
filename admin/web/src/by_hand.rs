//! Values that a hand has set: who set them on the person's page, and the button that gives them back to the sources.

use axum::extract::{Path, State};
use axum::response::Response;
use jiff::{Timestamp, ZonedDateTime};
use provost_provision::{DatedValue, DeskError, ManualOrigin, Permission};
use serde::{Deserialize, Serialize};

use crate::calendar::moment;
use crate::change::change_and_return;
use crate::form::SessionForm;
use crate::language::Language;
use crate::page::desk_failure;
use crate::web::Web;

#[derive(Deserialize)]
pub(crate) struct FollowForm {
    /// The attribute that provostOrigin names.
    #[serde(default)]
    attribute: String,
}

/// Lets files and policies decide again about a value.
pub(crate) async fn follow(
    State(web): State<Web>,
    Path(id): Path<String>,
    form: SessionForm<FollowForm>,
) -> Result<Response, Response> {
    let SessionForm { signed_in, fields } = form;
    let Some(value) = DatedValue::of_attribute(&fields.attribute) else {
        return Err(desk_failure(&signed_in.visitor, &DeskError::NotFound(fields.attribute)));
    };
    let (desk, principal, key) = (web.services.desk.clone(), signed_in.principal(), id.clone());
    let change = async move { desk.follow_sources(&principal, &key, value, Timestamp::now()).await };
    let name = signed_in.visitor.language.name("attribute", &fields.attribute);
    change_and_return(&web, &signed_in, &id, change, ("by_hand.followed", |_| name)).await
}

/// One value on the person's page.
#[derive(Serialize)]
pub(crate) struct ByHandRow {
    attribute: String,
    name: String,
    actor: String,
    since: String,
    until: String,
    /// Whether the button that gives the value back is shown.
    can_follow: bool,
    /// What ends a value that has no such button for anybody.
    note: Option<String>,
}

impl ByHandRow {
    /// `may` tells whether the visitor has a permission on the person.
    pub(crate) fn new(
        origin: &ManualOrigin,
        may: impl Fn(Permission) -> bool,
        now: &ZonedDateTime,
        language: Language,
    ) -> Self {
        let time = |time: Option<Timestamp>, key| {
            time.map_or_else(|| language.text(key, &[]), |time| moment(&time.to_string(), now, language))
        };
        let value = DatedValue::of_attribute(&origin.attribute);
        Self {
            name: language.name("attribute", &origin.attribute),
            actor: origin.actor.clone(),
            since: time(origin.since, "person.none"),
            until: time(origin.until, "by_hand.no_end"),
            can_follow: value.is_some_and(|value| may(value.permission())),
            note: value.is_none().then(|| language.text("by_hand.restore", &[])),
            attribute: origin.attribute.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_value_that_the_visitor_may_set_has_a_button() {
        let now = "2027-01-05T12:00:00Z".parse::<Timestamp>().unwrap().to_zoned_datetime(jiff::tz::TimeZone::UTC);
        let origin = |attribute: &str| ManualOrigin {
            attribute: attribute.to_owned(),
            since: "2027-01-04T08:30:00Z".parse().ok(),
            until: None,
            actor: "cli:root".to_owned(),
        };
        let may = |permission| permission == Permission::SetForwarding;
        for (attribute, name, can_follow) in [
            ("mailForwardingAddress", "Forwarding", true),
            ("provostQuotaClass", "Quota class", false),
            ("provostState", "State", false),
            ("unheard-of", "unheard-of", false),
        ] {
            let row = ByHandRow::new(&origin(attribute), may, &now, Language::English);
            assert_eq!((row.name.as_str(), row.can_follow), (name, can_follow));
            assert_eq!(row.note.is_some(), DatedValue::of_attribute(attribute).is_none());
            assert_eq!((row.since.as_str(), row.until.as_str()), ("yesterday at 8:30", "until it is given back"));
        }
    }
}
