//! Templates, and the parts of every page: language, visitor, message.

use std::sync::LazyLock;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use handlebars::{Context, Handlebars, Helper, HelperDef, RenderContext, RenderError, RenderErrorReason, ScopedJson};
use provost_provision::{DeskError, Permission};
use serde::Serialize;
use serde_json::Value;

use crate::calendar;
use crate::language::{Language, fill};
use crate::person_link::person_url;
use crate::rule;
use crate::session::Flash;
use crate::user::User;
use crate::visitor::{Visitor, in_language};

/// Value of `Retry-After` of every 503 page, in seconds.
const RETRY_AFTER_SECONDS: u32 = 5;
/// `Cache-Control` of the style sheet and the icon, which hold no personal data: an hour.
const ASSET_CACHE: &str = "public, max-age=3600";

/// Name and text of every template.
const TEMPLATES: [(&str, &str); 27] = [
    ("head", include_str!("../templates/head.hbs")),
    ("foot", include_str!("../templates/foot.hbs")),
    ("sign_in", include_str!("../templates/sign_in.hbs")),
    ("search", include_str!("../templates/search.hbs")),
    ("person", include_str!("../templates/person.hbs")),
    ("own", include_str!("../templates/own.hbs")),
    ("errors", include_str!("../templates/errors.hbs")),
    ("person_glance", include_str!("../templates/person_glance.hbs")),
    ("person_addresses", include_str!("../templates/person_addresses.hbs")),
    ("person_vacation", include_str!("../templates/person_vacation.hbs")),
    ("person_usage", include_str!("../templates/person_usage.hbs")),
    ("field", include_str!("../templates/field.hbs")),
    ("person_locks", include_str!("../templates/person_locks.hbs")),
    ("person_forwarding", include_str!("../templates/person_forwarding.hbs")),
    ("person_quota", include_str!("../templates/person_quota.hbs")),
    ("person_by_hand", include_str!("../templates/person_by_hand.hbs")),
    ("forwarding_clear", include_str!("../templates/forwarding_clear.hbs")),
    ("password_confirm", include_str!("../templates/password_confirm.hbs")),
    ("password_slip", include_str!("../templates/password_slip.hbs")),
    ("address_remove", include_str!("../templates/address_remove.hbs")),
    ("own_password", include_str!("../templates/own_password.hbs")),
    ("password_changed", include_str!("../templates/password_changed.hbs")),
    ("activate_code", include_str!("../templates/activate_code.hbs")),
    ("activate", include_str!("../templates/activate.hbs")),
    ("activation_confirm", include_str!("../templates/activation_confirm.hbs")),
    ("notice", include_str!("../templates/notice.hbs")),
    ("message", include_str!("../templates/message.hbs")),
];

/// A template with a syntax error is left out, and its pages answer 500; a test reads all templates.
static PAGES: LazyLock<Handlebars<'static>> = LazyLock::new(|| {
    let mut pages = Handlebars::new();
    pages.set_strict_mode(true);
    pages.register_helper("text_of", Box::new(TextHelper));
    for (name, text) in TEMPLATES {
        if let Err(error) = pages.register_template_string(name, text) {
            tracing::error!(%error, name, "a template cannot be read");
        }
    }
    pages
});

/// `{{text_of "key" name=value}}`: a text in the page's language, escaped like any other value.
struct TextHelper;

impl HelperDef for TextHelper {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        context: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let key = helper.param(0).and_then(|param| param.value().as_str()).unwrap_or_default();
        let tag = context.data().get("lang").and_then(Value::as_str).unwrap_or_default();
        let text = Language::parse(tag).and_then(|language| language.find(key));
        let text = text.ok_or_else(|| RenderErrorReason::Other(format!("no text for '{key}' in '{tag}'")))?;
        // Strict mode covers the template but not the values of a helper, so check them here.
        if let Some((name, _)) = helper.hash().iter().find(|(_, value)| value.is_value_missing()) {
            return Err(RenderErrorReason::Other(format!("no value for '{name}' of '{key}'")).into());
        }
        let values: Vec<(&str, String)> =
            helper.hash().iter().map(|(name, value)| (*name, plain_text(value.value()))).collect();
        let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Ok(ScopedJson::Derived(Value::String(fill(text, &values))))
    }
}

/// A string without its quotation marks; any other value as JSON.
fn plain_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The values that every page needs, and the body of this page.
#[derive(Serialize)]
struct PageFrame<'a, T> {
    lang: &'static str,
    other_lang: &'static str,
    switch_url: String,
    visitor: Option<VisitorData<'a>>,
    /// Whether the head has the search form.
    can_search: bool,
    /// Keys of the name of the site and of the start page, which is the own page of a visitor who may not search.
    site_key: &'static str,
    home_key: &'static str,
    flash: Option<Flash>,
    failed: bool,
    #[serde(flatten)]
    body: &'a T,
}

#[derive(Serialize)]
struct VisitorData<'a> {
    uid: &'a str,
    /// Path of the visitor's own page.
    own_url: String,
    csrf: &'a str,
}

/// Renders a page. If the status is not a success, the title begins with the text `error.title_prefix`; a 503 page
/// carries `Retry-After`.
pub(crate) fn page<T: Serialize>(visitor: &Visitor, status: StatusCode, template: &str, body: &T) -> Response {
    let user = visitor.user.as_ref();
    let can_search = user.is_some_and(|user| user.principal.may(Permission::SearchPeople));
    let (site_key, home_key) = match user {
        Some(_) if !can_search => ("site.own_name", "site.own_page"),
        _ => ("site.name", "site.home"),
    };
    let page = PageFrame {
        lang: visitor.language.tag(),
        other_lang: visitor.language.other().tag(),
        switch_url: in_language(&visitor.here, visitor.language.other()),
        visitor: user.map(|user| VisitorData { uid: &user.uid, own_url: person_url(user.id()), csrf: &user.csrf }),
        can_search,
        site_key,
        home_key,
        flash: visitor.flash.clone(),
        failed: !status.is_success(),
        body,
    };
    let mut reply = match PAGES.render(template, &page) {
        Ok(text) => (status, [(header::CONTENT_LANGUAGE, page.lang)], Html(text)).into_response(),
        Err(error) => {
            tracing::error!(%error, template, "a page cannot be rendered");
            return (StatusCode::INTERNAL_SERVER_ERROR, "500").into_response();
        }
    };
    if status == StatusCode::SERVICE_UNAVAILABLE {
        reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
    }
    reply
}

/// The page of an error whose text has the key `text_key`.
pub(crate) fn failure(
    visitor: &Visitor,
    status: StatusCode,
    title_key: &'static str,
    text_key: &str,
    values: &[(&str, &str)],
) -> Response {
    message_page(visitor, status, title_key, visitor.language.text(text_key, values))
}

/// The page of something that is unavailable and may work later; `text_key` is the key of its text.
pub(crate) fn unavailable(visitor: &Visitor, text_key: &str) -> Response {
    failure(visitor, StatusCode::SERVICE_UNAVAILABLE, "title.busy", text_key, &[])
}

/// The page of a change that may have been made; `text_key` is the key of its text.
pub(crate) fn outcome_unknown(visitor: &Visitor, text_key: &str) -> Response {
    failure(visitor, StatusCode::SERVICE_UNAVAILABLE, "title.outcome_unknown", text_key, &[])
}

/// The page of an error, with `text`.
fn message_page(visitor: &Visitor, status: StatusCode, title_key: &'static str, text: String) -> Response {
    #[derive(Serialize)]
    struct MessagePage {
        title_key: &'static str,
        text: String,
    }
    page(visitor, status, "message", &MessagePage { title_key, text })
}

/// The page of an operation that was refused or failed.
pub(crate) fn desk_failure(visitor: &Visitor, error: &DeskError) -> Response {
    let (status, title, text, value) = match error {
        DeskError::NotFound(_) | DeskError::UnknownSetting(_) | DeskError::NotStated(_) => {
            (StatusCode::NOT_FOUND, "title.not_found", "error.not_found", "")
        }
        DeskError::Ambiguous { .. } => (StatusCode::CONFLICT, "title.refused", "error.ambiguous", ""),
        DeskError::Invalid { rule, .. } => {
            let text = rule::in_words(rule, visitor.language);
            return message_page(visitor, StatusCode::UNPROCESSABLE_ENTITY, "title.refused", text);
        }
        DeskError::InUse(what) => (StatusCode::CONFLICT, "title.refused", "error.in_use", what.as_str()),
        DeskError::Quarantined { address, until } => {
            let text = in_quarantine(visitor, address, until.as_deref());
            return message_page(visitor, StatusCode::CONFLICT, "title.refused", text);
        }
        DeskError::NotAllowed(_) | DeskError::OwnPlan(_) => {
            let is_only_own = visitor.user.as_ref().is_some_and(User::sees_only_own_page);
            let text = if is_only_own { "error.only_own_page" } else { "error.not_allowed" };
            (StatusCode::FORBIDDEN, "title.forbidden", text, "")
        }
        DeskError::Stale | DeskError::VersionMismatch(_) => (StatusCode::CONFLICT, "title.refused", "error.stale", ""),
        DeskError::Refused(why) => (StatusCode::UNPROCESSABLE_ENTITY, "title.refused", "error.refused", why.as_str()),
        DeskError::Unavailable(why) => return desk_unavailable(visitor, why, "error.unavailable"),
        DeskError::AuditUnavailable(why) => return desk_unavailable(visitor, why, "error.audit_unavailable"),
        DeskError::OutcomeUnknown(why) => {
            tracing::warn!(why, "the outcome of a change by the help desk is unknown");
            return outcome_unknown(visitor, "error.outcome_unknown");
        }
    };
    failure(visitor, status, title, text, &[("rule", value), ("value", value)])
}

fn desk_unavailable(visitor: &Visitor, why: &str, text_key: &str) -> Response {
    tracing::warn!(why, "an operation of the help desk is not possible now");
    unavailable(visitor, text_key)
}

/// The reason why an address cannot be given yet, with the day on which the quarantine ends in the site's time zone.
pub(crate) fn in_quarantine(visitor: &Visitor, address: &str, until: Option<&str>) -> String {
    let language = visitor.language;
    let end = until.and_then(|until| until.parse::<jiff::Timestamp>().ok());
    match end {
        Some(end) => {
            let day = calendar::day(end.to_zoned_datetime(visitor.time_zone.clone()).date(), language);
            language.text("error.in_quarantine", &[("value", address), ("day", &day)])
        }
        None => language.text("error.in_quarantine_open", &[("value", address)]),
    }
}

/// Logs an internal error, and returns the page that reports it.
pub(crate) fn bug(visitor: &Visitor, what: &str, error: &dyn std::fmt::Display) -> Response {
    tracing::error!(%error, "{what}");
    failure(visitor, StatusCode::INTERNAL_SERVER_ERROR, "title.bug", "error.bug", &[])
}

/// The page of an unknown path.
pub(crate) async fn no_such_page(visitor: Visitor) -> Response {
    failure(&visitor, StatusCode::NOT_FOUND, "title.not_found", "error.not_found", &[])
}

/// The page of a method that a path does not support, such as a reload of a path that only takes forms. The router adds
/// `Allow` (RFC 9110 §15.5.6).
pub(crate) async fn method_not_allowed(visitor: Visitor) -> Response {
    failure(&visitor, StatusCode::METHOD_NOT_ALLOWED, "title.refused", "error.method", &[])
}

pub(crate) async fn style() -> impl IntoResponse {
    let headers = [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, ASSET_CACHE)];
    (headers, include_str!("../assets/style.css"))
}

pub(crate) async fn icon() -> impl IntoResponse {
    let headers = [(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, ASSET_CACHE)];
    (headers, include_str!("../assets/icon.svg"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visitor() -> Visitor {
        Visitor {
            language: Language::English,
            time_zone: jiff::tz::TimeZone::get("America/Toronto").unwrap(),
            address: None,
            here: "/".to_owned(),
            user: None,
            flash: None,
            is_unknown: false,
        }
    }

    #[test]
    fn every_template_is_read_and_every_key_has_a_text() {
        for (name, text) in TEMPLATES {
            assert!(PAGES.has_template(name), "{name}");
            for key in text.split("text_of \"").skip(1).filter_map(|part| part.split('"').next()) {
                assert!(Language::French.find(key).is_some(), "{name}: {key}");
            }
            assert!(!text.contains("{{{") && !text.contains("{{&"), "{name}: a value is inserted unescaped");
            assert!(
                !text.contains("<script") && !text.contains("style=") && !text.contains(" on"),
                "{name}: a script or an inline style"
            );
        }
    }

    #[test]
    fn a_quarantine_ends_on_a_day_of_the_site() {
        // 21:00 on the 4th in Toronto.
        let text = in_quarantine(&visitor(), "z@example.edu", Some("2027-01-05T02:00:00Z"));
        assert!(text.contains("Until January 4, 2027"), "{text}");
    }

    #[test]
    fn texts_and_their_values_are_escaped() {
        let mut pages = PAGES.clone();
        pages.register_template_string("t", "{{text_of \"addresses.added\" value=v}}").unwrap();
        let text = pages.render("t", &serde_json::json!({"lang": "en", "v": "<b>\"&"})).unwrap();
        assert_eq!(text, "&lt;b&gt;&quot;&amp; was added.");
        assert!(pages.render("t", &serde_json::json!({"lang": "de", "v": ""})).is_err());
        assert!(
            pages.render("t", &serde_json::json!({"lang": "en"})).is_err(),
            "a text was rendered without its value"
        );
    }

    #[tokio::test]
    async fn a_503_page_names_what_is_unavailable() {
        use http_body_util::BodyExt;

        for (error, text) in [
            (DeskError::Unavailable("no route".into()), "The directory cannot be reached now."),
            (DeskError::AuditUnavailable("disk full".into()), "could not be recorded in the audit, so it was not done"),
            (DeskError::OutcomeUnknown("timed out".into()), "it is not known whether the change was made"),
        ] {
            let reply = desk_failure(&visitor(), &error);
            assert_eq!(reply.status(), StatusCode::SERVICE_UNAVAILABLE, "{error}");
            let page = reply.into_body().collect().await.unwrap().to_bytes();
            let page = String::from_utf8(page.to_vec()).unwrap();
            assert!(page.contains(text), "{error}: {page}");
        }
    }

    #[test]
    fn every_503_page_carries_retry_after() {
        let visitor = visitor();
        let body = serde_json::json!({"next": "/", "name": "zoe", "error": "later"});
        for (status, expect) in [(StatusCode::SERVICE_UNAVAILABLE, true), (StatusCode::UNPROCESSABLE_ENTITY, false)] {
            let reply = page(&visitor, status, "sign_in", &body);
            assert_eq!((reply.status(), reply.headers().contains_key(header::RETRY_AFTER)), (status, expect));
        }
    }
}
