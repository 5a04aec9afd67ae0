//! Uses the pages of the help desk with an embedded directory of imported people and a store in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test fails by a panic.

mod faults;
#[path = "../../api/tests/support/site.rs"]
mod site;
#[path = "../../api/tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use faults::{FaultyState, UnreadableAudit};
use provost_provision::{Audit, Desk, ForwardingChange, Grant, Journals, LockRequest, Permission, ROLES, Role};
use provost_store::StateStore;
use provost_view::Person;
use provost_web::{WebState, router};
use site::{Site, give_role};
use support::{HttpResponse, send};

fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

fn web(site: &Site) -> Router {
    web_with_state(site, support::state())
}

fn web_with_state(site: &Site, state: Arc<dyn StateStore>) -> Router {
    router(WebState { desk: site.desk.clone(), store: support::store(), state, view: site.view.clone() })
}

/// A signed-in browser without script. It keeps the cookies of session and language, and follows no redirect by itself.
struct Browser {
    web: Router,
    cookie: String,
    csrf: String,
}

impl Browser {
    async fn sign_in(web: Router, name: &str, lang: &str) -> Self {
        Self::sign_in_with(web, name, "correct+horse", lang).await
    }

    async fn sign_in_with(web: Router, name: &str, password: &str, lang: &str) -> Self {
        let mut browser = Self { web, cookie: format!("lang={lang}"), csrf: String::new() };
        let reply = browser.post("/sign-in", &format!("name={name}&password={password}")).await;
        assert_eq!(reply.status, 303, "{}", reply.text);
        browser.cookie = format!("lang={lang}; {}", reply.header("set-cookie").split(';').next().unwrap());
        let page = browser.start_page().await;
        browser.csrf = page.text.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        browser
    }

    async fn get(&self, path: &str) -> HttpResponse {
        send(&self.web, Request::get(path).header("cookie", &self.cookie).body(Body::empty()).unwrap()).await
    }

    /// The search, or the own page of a person who may not search.
    async fn start_page(&self) -> HttpResponse {
        let page = self.get("/").await;
        if page.status == 303 { self.get(page.header("location")).await } else { page }
    }

    async fn head(&self, path: &str) -> HttpResponse {
        send(&self.web, Request::head(path).header("cookie", &self.cookie).body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, body: &str) -> HttpResponse {
        let request = Request::post(path)
            .header("cookie", &self.cookie)
            .header("host", "desk:8080")
            .header("origin", "http://desk:8080")
            .header("content-type", "application/x-www-form-urlencoded");
        send(&self.web, request.body(Body::from(format!("csrf={}&{body}", self.csrf))).unwrap()).await
    }

    /// Sends a form and follows its redirect to the page that confirms the change.
    async fn change(&self, path: &str, body: &str) -> HttpResponse {
        let reply = self.post(path, body).await;
        assert_eq!(reply.status, 303, "{path}: {}", reply.text);
        self.get(reply.header("location")).await
    }

    /// Searches for `q`, which one person must match; returns the path of that person's page.
    async fn find(&self, q: &str) -> String {
        let page = self.get(&format!("/people?q={q}")).await;
        assert_eq!(page.status, 200, "{}", page.text);
        let main = page.text.split("<main").nth(1).unwrap();
        let mut links = main.split("<a href=\"/people/").skip(1).map(|rest| rest.split('"').next().unwrap());
        let link = format!("/people/{}", links.next().unwrap_or_else(|| panic!("{}", page.text)));
        assert!(links.next().is_none(), "more than one person: {}", page.text);
        link
    }
}

/// Makes the simple checks of a page validator: one h1, the landmarks, unique ids, references that lead to an id, a
/// label for every visible field, as many end tags as start tags.
fn check_markup(page: &HttpResponse) {
    let text = &page.text;
    assert_eq!(text.matches("<h1").count(), 1, "{text}");
    for part in ["<main id=\"main\"", "class=\"skip\"", "<nav aria-label=", "<footer", "<html lang=\""] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let attributes = |name: &str| {
        text.split(&format!(" {name}=\"")).skip(1).map(|rest| rest.split('"').next().unwrap()).collect::<Vec<_>>()
    };
    let ids = attributes("id");
    let mut unique = ids.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), ids.len(), "an id occurs twice: {ids:?}");
    for name in ["for", "aria-describedby", "aria-labelledby"] {
        for target in attributes(name).iter().flat_map(|targets| targets.split(' ')) {
            assert!(ids.contains(&target), "{name}={target} leads nowhere");
        }
    }
    for tag in ["<input ", "<textarea ", "<select "] {
        for field in text.split(tag).skip(1).map(|rest| rest.split('>').next().unwrap()) {
            let id = field.split("id=\"").nth(1).and_then(|rest| rest.split('"').next());
            let labelled = id.is_some_and(|id| text.contains(&format!("<label for=\"{id}\">")));
            assert!(labelled || field.contains("type=\"hidden\""), "no label: {field}");
        }
    }
    for tag in
        ["p", "div", "section", "form", "fieldset", "details", "select", "dl", "table", "ul", "span", "main", "body"]
    {
        let open = text.matches(&format!("<{tag}>")).count() + text.matches(&format!("<{tag} ")).count();
        assert_eq!(open, text.matches(&format!("</{tag}>")).count(), "start and end tags of {tag}");
    }
}

#[tokio::test]
async fn a_vacation_reply_is_set_refused_and_cleared_in_french() {
    let site = Site::start().await;
    let browser = Browser::sign_in(web(&site), "helen.desk", "fr").await;
    let person = browser.find("tremblay").await;
    let page = browser.get(&person).await;
    check_markup(&page);
    for text in [
        "Zoé Tremblay",
        "zoe.tremblay@example.edu",
        "Principale",
        "Étudiant",
        "Biologie",
        "registrar:1001",
        "0 octets utilisés sur 1,0 Mo (0 %)",
        "Aucune connexion connue",
        "maxlength=\"10000\"",
    ] {
        assert!(page.text.contains(text), "{text}: {}", page.text);
    }
    let body = "start=2026-01-01&end=2036-12-31&subject_fr=Absence&text_fr=Je+suis+absente+jusqu%27au+5.%0D%0AZo%C3%A9&subject_en=&text_en=&interval_days=3";
    let page = browser.change(&format!("{person}/vacation"), body).await;
    check_markup(&page);
    for text in [
        "Fait.",
        "La réponse d’absence a été définie.",
        "Activée, jusqu’au 31 décembre 2036 inclus",
        "Au plus une réponse tous les 3 jours à chaque expéditeur.",
        "Je suis absente jusqu&#x27;au 5.\nZoé",
        "Réponse d’absence définie",
    ] {
        assert!(page.text.contains(text), "{text}: {}", page.text);
    }
    site.wait_for(|view| view.snapshot().by_login("zoe.tremblay").is_some_and(|zoe| zoe.vacation.is_some())).await;
    assert!(!browser.get(&person).await.text.contains("role=\"status\""), "the message is shown again");

    let wrong = browser
        .post(&format!("{person}/vacation"), "start=2026-12-24&end=2026-12-23&interval_days=400&text_fr=x")
        .await;
    assert_eq!(wrong.status, 422);
    check_markup(&wrong);
    for text in [
        "role=\"alert\"",
        "id=\"end-error\"",
        "id=\"interval_days-error\"",
        "aria-invalid=\"true\"",
        "<title>Erreur",
        "value=\"400\"",
    ] {
        assert!(wrong.text.contains(text), "{text}: {}", wrong.text);
    }
    let page = browser.change(&format!("{person}/vacation/clear"), "").await;
    assert!(page.text.contains("La réponse d’absence a été supprimée"), "{}", page.text);
}

#[tokio::test]
async fn an_alias_is_added_and_removed() {
    let site = Site::start().await;
    let browser = Browser::sign_in(web(&site), "helen.desk", "en").await;
    let person = browser.find("tremblay").await;
    let page = browser.change(&format!("{person}/addresses"), "address=zoe%2Bnews%40example.edu").await;
    assert!(
        page.text.contains("zoe+news@example.edu was added") || page.text.contains("zoe&#x2B;news"),
        "{}",
        page.text
    );
    check_markup(&page);
    let conflict = browser.post(&format!("{person}/addresses"), "address=helen.desk%40example.edu").await;
    assert_eq!(conflict.status, 409, "{}", conflict.text);
    assert!(
        conflict.text.contains("id=\"address-error\"") && conflict.text.contains("already belongs to a person"),
        "{}",
        conflict.text
    );
    check_markup(&conflict);
    let wrong = browser.post(&format!("{person}/addresses"), "address=nonsense").await;
    assert_eq!(wrong.status, 422, "{}", wrong.text);
    let link = page.text.split("/addresses/remove?address&#x3D;").nth(1).unwrap().split('"').next().unwrap();
    let confirm = browser.get(&format!("{person}/addresses/remove?address={link}")).await;
    assert_eq!(confirm.status, 200, "{}", confirm.text);
    check_markup(&confirm);
    let page = browser.change(&format!("{person}/addresses/remove"), "address=zoe%2Bnews%40example.edu").await;
    assert!(page.text.contains("was removed") && !page.text.contains("/addresses/remove?"), "{}", page.text);
    for address in ["nobody@example.edu", "zoe.tremblay@example.edu"] {
        assert_eq!(browser.get(&format!("{person}/addresses/remove?address={address}")).await.status, 404, "{address}");
    }
    let primary = browser.post(&format!("{person}/addresses/remove"), "address=zoe.tremblay%40example.edu").await;
    assert_eq!(primary.status, 422, "{}", primary.text);
}

#[tokio::test]
async fn a_person_is_suspended_by_locks_and_each_is_released_by_itself() {
    let site = Site::start().await;
    let browser = Browser::sign_in(web(&site), "helen.desk", "en").await;
    let person = browser.find("tremblay").await;
    assert!(browser.get(&person).await.text.contains("No lock."));
    let page = browser.change(&format!("{person}/locks"), "lock=abuse&lock_reason=spam+%3Cb%3E").await;
    assert!(page.text.contains("The lock abuse was set."), "{}", page.text);
    let form = "lock=fees&lock_reason=unpaid&lock_owner=bursar&lock_until=2100-01-31";
    let page = browser.change(&format!("{person}/locks"), form).await;
    check_markup(&page);
    for text in [
        "Locks in force",
        "abuse, fees",
        "<td>spam &lt;b&gt;</td><td>helen.desk</td>",
        "until it is released",
        "<td>unpaid</td><td>bursar</td>",
        "January 31, 2100 at ",
        "Release<span class=\"unseen\"> fees</span>",
        "Suspended by a lock",
    ] {
        assert!(page.text.contains(text), "{text}: {}", page.text);
    }
    site.wait_for(|view| view.snapshot().by_login("zoe.tremblay").is_some_and(|zoe| !zoe.may_log_in(now()))).await;
    let twice = browser.post(&format!("{person}/locks"), form).await;
    assert_eq!(twice.status, 422);
    check_markup(&twice);
    for text in ["id=\"lock-error\"", "has a lock “fees” already", "value=\"bursar\"", "<details class=\"apart\" open>"]
    {
        assert!(twice.text.contains(text), "{text}: {}", twice.text);
    }
    let page = browser.change(&format!("{person}/locks/release"), "lock=fees").await;
    assert!(page.text.contains("The lock fees was released.") && page.text.contains("spam &lt;b&gt;"), "{}", page.text);
    let page = browser.change(&format!("{person}/locks/release"), "lock=abuse").await;
    assert!(page.text.contains("No lock."), "{}", page.text);
    site.wait_for(|view| view.snapshot().by_login("zoe.tremblay").is_some_and(|zoe| zoe.may_log_in(now()))).await;
    assert_eq!(browser.post(&format!("{person}/locks/release"), "lock=abuse").await.status, 404);
    // Ada is an administrator: Helen's role ranks below hers.
    let ada = browser.find("ada").await;
    assert!(!browser.get(&ada).await.text.contains("/locks\""), "the page of a higher role has the form");
    assert_eq!(browser.post(&format!("{ada}/locks"), "lock=abuse&lock_reason=x").await.status, 403);
}

#[tokio::test]
async fn a_forwarding_is_set_shown_as_set_by_hand_and_cleared_after_a_question() {
    let site = Site::start().await;
    let browser = Browser::sign_in(web(&site), "helen.desk", "fr").await;
    let person = browser.find("tremblay").await;
    let page = browser.get(&person).await;
    assert!(page.text.contains("type=\"checkbox\" value=\"yes\" checked"), "no copy is kept: {}", page.text);
    assert!(!page.text.contains("Valeurs définies à la main"), "{}", page.text);
    let form = "forward_to=zoe%40example.net%0D%0Azoe%40example.org&forward_start=2026-01-01&forward_end=2100-01-31";
    let page = browser.change(&format!("{person}/forwarding"), form).await;
    check_markup(&page);
    for text in [
        "Le réacheminement a été défini.",
        "Activé, jusqu’au 31 janvier 2100 inclus",
        "La boîte aux lettres ne reçoit pas de copie.",
        "<li>zoe@example.net</li>",
        "zoe@example.net\nzoe@example.org</textarea>",
        "Valeurs définies à la main",
        "<th scope=\"row\">Réacheminement</th><td>helen.desk</td><td>aujourd’hui",
        "Suivre à nouveau la source<span class=\"unseen\"> Réacheminement</span>",
    ] {
        assert!(page.text.contains(text), "{text}: {}", page.text);
    }
    let page = browser.change(&format!("{person}/follow"), "attribute=mailForwardingAddress").await;
    for text in ["Réacheminement : les fichiers et les politiques décident à nouveau", "<li>zoe@example.net</li>"] {
        assert!(page.text.contains(text), "{text}: {}", page.text);
    }
    assert!(!page.text.contains("Valeurs définies à la main"), "{}", page.text);
    let question = browser.get(&format!("{person}/forwarding/clear")).await;
    check_markup(&question);
    assert!(question.text.contains("Zoé Tremblay ne sera plus réacheminé"), "{}", question.text);
    let page = browser.change(&format!("{person}/forwarding/clear"), "").await;
    assert!(page.text.contains("Le réacheminement a été supprimé."), "{}", page.text);
    assert!(!page.text.contains("<li>zoe@example.net</li>"), "{}", page.text);
    for attribute in ["provostState", "userPassword", ""] {
        let reply = browser.post(&format!("{person}/follow"), &format!("attribute={attribute}")).await;
        assert_eq!(reply.status, 404, "{attribute}");
    }
}

/// A registrar may set no forwarding but the own one, as each person may.
#[tokio::test]
async fn people_set_and_clear_their_own_forwarding() {
    let site = Site::start().await;
    let browser = Browser::sign_in(web(&site), "rita.registrar", "en").await;
    let own = own_path(&browser.get("/").await);
    let page = browser.get(&own).await;
    check_markup(&page);
    assert!(page.text.contains("<h1>Rita Registrar</h1>") && page.text.contains("My page"), "{}", page.text);
    let page = browser.change(&format!("{own}/forwarding"), "forward_to=rita%40example.net&keep_copy=yes").await;
    check_markup(&page);
    for text in ["The mailbox gets a copy.", "<td>rita.registrar</td>", "Follow the feed again"] {
        assert!(page.text.contains(text), "{text}: {}", page.text);
    }
    let circle = browser.post(&format!("{own}/forwarding"), "forward_to=rita.registrar%40example.edu").await;
    assert!(circle.status == 422 && circle.text.contains("id=\"forward_to-error\""), "{}", circle.text);
    assert_eq!(browser.get(&format!("{own}/forwarding/clear")).await.status, 200);
    let page = browser.change(&format!("{own}/forwarding/clear"), "").await;
    assert!(page.text.contains("The forwarding was cleared."), "{}", page.text);
    for (path, form) in [("locks", "lock=abuse&lock_reason=x"), ("quota", "quota_class=research")] {
        assert_eq!(browser.post(&format!("{own}/{path}"), form).await.status, 403, "{path}");
    }
    let zoe = browser.find("tremblay").await;
    assert_eq!(browser.post(&format!("{zoe}/forwarding"), "forward_to=z%40example.net").await.status, 403);
    assert_eq!(browser.get(&format!("{zoe}/forwarding/clear")).await.status, 403);
    let audit = site.audit.newest(20).await.unwrap();
    assert!(audit.iter().any(|record| record.action == "forwarding.set" && record.actor == "rita.registrar"));
}

/// The path of the signed-in person's own page.
fn own_path(page: &HttpResponse) -> String {
    format!("/people/{}", page.text.split("<a href=\"/people/").nth(1).unwrap().split(['"', '?']).next().unwrap())
}

#[tokio::test]
async fn a_student_sets_vacation_and_forwarding_on_their_own_page() {
    let site = Site::start().await;
    let away = ForwardingChange { to: vec!["zoe@example.net".into()], ..ForwardingChange::default() };
    site.desk.set_forwarding(&support::admin(), "zoe.tremblay", away, now()).await.unwrap();
    for (lang, texts) in [
        ("fr", ["Ma fiche – Compte de courriel Provost", "Changer votre mot de passe", "0 octets utilisés sur 1,0 Mo"]),
        ("en", ["My page – Provost mail account", "Change your password", "0 bytes of 1.0 MB used"]),
    ] {
        let zoe = Browser::sign_in_with(web(&site), "zoe.tremblay", "correct+horse+zoe", lang).await;
        let page = zoe.start_page().await;
        check_markup(&page);
        let shown = ["<h1>Zoé Tremblay</h1>", "zoe.tremblay@example.edu", "<li>zoe@example.net</li>"];
        for text in texts.into_iter().chain(shown).chain(["href=\"/password\""]) {
            assert!(page.text.contains(text), "{text}: {}", page.text);
        }
        let hidden = ["role=\"search\"", "Biologie", "registrar:", "2001", "2027", "id=\"locks\"", "id=\"by-hand\""];
        for text in hidden.into_iter().chain(["id=\"history", "cli:test", "logins-heading", "/activation"]) {
            assert!(!page.text.contains(text), "{text}: {}", page.text);
        }
        assert!(!page.text.contains(&format!("{}/password", own_path(&page))), "{}", page.text);
    }
    let zoe = Browser::sign_in_with(web(&site), "zoe.tremblay", "correct+horse+zoe", "en").await;
    let own = own_path(&zoe.start_page().await);
    for (path, form, text) in [
        ("vacation", "text_en=Away+until+Monday.", "The vacation reply was set."),
        ("vacation/clear", "", "The vacation reply was cleared."),
        ("forwarding/clear", "", "The forwarding was cleared."),
        ("forwarding", "forward_to=zoe%40example.org&keep_copy=yes", "The mailbox gets a copy."),
    ] {
        let page = zoe.change(&format!("{own}/{path}"), form).await;
        check_markup(&page);
        assert!(page.text.contains(text) && !page.text.contains("id=\"history"), "{text}: {}", page.text);
    }
    check_markup(&zoe.get(&format!("{own}/forwarding/clear")).await);
    let wrong = zoe.post(&format!("{own}/vacation"), "text_en=").await;
    assert!(wrong.status == 422 && wrong.text.contains("A text is needed"), "{}", wrong.text);
    check_markup(&wrong);
    let audit = site.audit.newest(20).await.unwrap();
    for action in ["vacation.set", "vacation.clear", "forwarding.clear", "forwarding.set"] {
        assert!(audit.iter().any(|record| record.action == action && record.actor == "zoe.tremblay"), "{action}");
    }
}

#[tokio::test]
async fn a_student_opens_no_other_page_and_is_cut_by_a_lock() {
    let site = Site::start().await;
    let helen = Browser::sign_in(web(&site), "helen.desk", "en").await;
    let bob = helen.find("neil").await;
    let mut zoe = Browser::sign_in_with(web(&site), "zoe.tremblay", "correct+horse+zoe", "en").await;
    let own = own_path(&zoe.start_page().await);
    let vacation = "text_en=Away";
    for path in [&*bob, "/people/no-such-id", "/people/helen.desk", "/people?q=bob", &format!("{own}/password")] {
        let refused = zoe.get(path).await;
        assert_eq!(refused.status, 403, "{path}: {}", refused.text);
        assert!(refused.text.contains("You can open and change only your own page."), "{path}: {}", refused.text);
        check_markup(&refused);
    }
    for (page, path, form) in [
        (&bob, "vacation", vacation),
        (&bob, "forwarding", "forward_to=z%40example.net"),
        (&own, "addresses", "address=z%40example.edu"),
        (&own, "locks", "lock=abuse&lock_reason=x"),
        (&own, "quota", "quota_class=research"),
        (&own, "activation", ""),
        (&own, "password", ""),
    ] {
        assert_eq!(zoe.post(&format!("{page}/{path}"), form).await.status, 403, "{path}");
    }
    let csrf = std::mem::replace(&mut zoe.csrf, "0".repeat(64));
    assert_eq!(zoe.post(&format!("{own}/vacation"), vacation).await.status, 403, "a form without the token is taken");
    zoe.csrf = csrf;
    let lock = LockRequest { name: "abuse".into(), reason: "spam".into(), ..LockRequest::default() };
    site.desk.suspend(&support::admin(), "zoe.tremblay", lock, now()).await.unwrap();
    site.wait_for(|view| view.snapshot().by_login("zoe.tremblay").is_some_and(|zoe| !zoe.may_log_in(now()))).await;
    let ended = zoe.post(&format!("{own}/vacation"), vacation).await;
    assert_eq!((ended.status.as_u16(), ended.header("location")), (303, "/sign-in"), "the session goes on");
    assert!(site.desk.person(&support::admin(), "zoe.tremblay").await.unwrap().vacation.is_none());
    let again = zoe.post("/sign-in", "name=zoe.tremblay&password=correct+horse+zoe").await;
    assert_eq!(again.status, 422, "{}", again.text);
}

#[tokio::test]
async fn a_quota_class_is_chosen_among_those_of_the_settings() {
    let site = Site::start().await;
    let browser = Browser::sign_in(web(&site), "ada.admin", "en").await;
    let person = browser.find("tremblay").await;
    let page = browser.get(&person).await;
    check_markup(&page);
    for text in ["By affiliation.", "The setting quota-classes has no class."] {
        assert!(page.text.contains(text), "{text}: {}", page.text);
    }
    let admin = support::admin();
    site.desk.set_setting(&admin, "quota-classes", &["research 5000000".to_owned()]).await.unwrap();
    site.wait_for(|view| view.snapshot().settings().quota_classes.contains_key("research")).await;
    let form = "quota_class=research&quota_until=2100-01-31";
    let page = browser.change(&format!("{person}/quota"), form).await;
    check_markup(&page);
    for text in [
        "The quota class was set.",
        "Class research (5.0 MB). Up to and including January 31, 2100.",
        "<option value=\"research\" selected>research (5.0 MB)</option>",
        "0 bytes of 5.0 MB used (0 %)",
        "<th scope=\"row\">Quota class</th><td>ada.admin</td>",
    ] {
        assert!(page.text.contains(text), "{text}: {}", page.text);
    }
    for (form, text) in [
        ("quota_class=", "Choose a class."),
        ("quota_class=research&quota_until=x", "Choose a date that exists."),
        ("quota_class=research&quota_until=2026-01-01", "The end must be in the future."),
    ] {
        let wrong = browser.post(&format!("{person}/quota"), form).await;
        assert_eq!(wrong.status, 422, "{form}");
        check_markup(&wrong);
        assert!(wrong.text.contains(text), "{form}: {}", wrong.text);
    }
    let page = browser.change(&format!("{person}/quota/clear"), "").await;
    for text in ["The person’s own quota was cleared.", "By affiliation.", "0 bytes of 1.0 MB used (0 %)"] {
        assert!(page.text.contains(text), "{text}: {}", page.text);
    }
    let helen = Browser::sign_in(web(&site), "helen.desk", "en").await;
    let page = helen.get(&person).await;
    assert!(page.text.contains("By affiliation.") && !page.text.contains(&format!("{person}/quota")), "{}", page.text);
}

/// A clerk reads about a mistake in the language of the pages, although the desk states its rules in English.
#[tokio::test]
async fn mistakes_are_explained_in_french() {
    let site = Site::start().await;
    let browser = Browser::sign_in(web(&site), "helen.desk", "fr").await;
    let person = browser.find("tremblay").await;
    let long = "x".repeat(201);
    for (path, form, text) in [
        ("addresses", "address=nonsense", "Une adresse s’écrit nom@domaine"),
        ("addresses", "address=", "Une adresse s’écrit nom@domaine"),
        ("addresses", "address=zo%C3%A9%40example.edu", "« é » n’est pas permis à cet endroit d’une adresse"),
        ("addresses", "address=zoe%40example.com", "Le domaine de cette adresse n’est pas servi ici"),
        ("addresses", "address=helen.desk%40example.edu", "appartient déjà à une personne"),
        ("addresses", &format!("address={long}%40example.edu"), "L’adresse est trop longue"),
        ("addresses/remove", "address=zoe.tremblay%40example.edu", "L’adresse principale ne peut pas être retirée"),
        ("vacation", "text_fr=", "Un texte est nécessaire"),
        ("vacation", "text_fr=x&start=demain", "Choisissez une date qui existe"),
        ("vacation", "text_fr=x&start=2026-12-24&end=2026-12-23", "Le dernier jour précède le premier"),
        ("vacation", "text_fr=x&end=9999-12-31", "Ce jour est trop ancien ou trop lointain"),
        ("vacation", "text_fr=x&interval_days=0", "Entrez un nombre de jours de 1 à 365"),
        ("vacation", &format!("text_fr=x&subject_fr={long}"), "200 caractères au plus"),
        ("vacation", "text_fr=a%00b", "caractères de commande"),
        ("vacation", "text_fr=a%E2%80%AEb", "caractères de commande"),
        ("vacation", "text_fr=x&subject_fr=a%E2%80%8Bb", "caractères de commande"),
        ("locks", "lock=Abuse&lock_reason=x", "Entrez un nom en lettres minuscules"),
        ("locks", "lock=abuse&lock_reason=+", "Entrez un motif de 1 à 200 caractères"),
        ("locks", "lock=abuse&lock_reason=x&lock_owner=deux+mots", "Entrez un seul mot"),
        ("locks", "lock=abuse&lock_reason=x&lock_until=demain", "Choisissez une date qui existe"),
        ("locks", "lock=abuse&lock_reason=x&lock_until=9999-12-31", "Ce jour est trop ancien ou trop lointain"),
        ("locks", "lock=abuse&lock_reason=x&lock_until=2026-01-01", "La fin doit être dans le futur"),
        ("forwarding", "forward_to=", "Entrez de 1 à 10 adresses"),
        ("forwarding", "forward_to=zoe", "Une adresse s’écrit nom@domaine"),
        ("forwarding", "forward_to=zoe%40localhost", "n’a pas de point"),
        ("forwarding", "forward_to=zoe.tremblay%40example.edu", "le courrier tournerait en rond"),
        ("forwarding", "forward_to=z%40example.net&forward_start=demain", "Choisissez une date qui existe"),
        (
            "forwarding",
            "forward_to=z%40example.net&forward_start=2026-12-24&forward_end=2026-12-23",
            "Le dernier jour précède le premier",
        ),
        ("follow", "attribute=mailForwardingAddress", "Personne n’a défini cette valeur à la main"),
    ] {
        let reply = browser.post(&format!("{person}/{path}"), form).await;
        assert!(reply.status == 422 || reply.status == 409, "{form}: {}", reply.status);
        assert!(reply.text.contains(text), "{form}: {}", reply.text);
        assert!(!reply.text.contains("Valeur refusée"), "{form}: {}", reply.text);
        check_markup(&reply);
    }
}

#[tokio::test]
async fn a_new_password_is_shown_once() {
    let site = Site::start().await;
    let browser = Browser::sign_in(web(&site), "helen.desk", "en").await;
    let person = browser.find("tremblay").await;
    check_markup(&browser.get(&format!("{person}/password")).await);
    let reply = browser.post(&format!("{person}/password"), "").await;
    assert_eq!(reply.status, 303, "{}", reply.text);
    let path = reply.header("location");
    let head = browser.head(path).await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
    let slip = browser.get(path).await;
    check_markup(&slip);
    let password = slip.text.split("id=\"new-password\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
    assert!(password.len() >= 10, "{password}");
    let again = browser.get(path).await;
    assert!(!again.text.contains(&password) && again.text.contains("shown already"), "{}", again.text);
    let page = browser.get(&person).await;
    assert!(
        page.text.contains("Password reset") && page.text.contains("helen.desk (web)"),
        "the history lacks the reset: {}",
        page.text
    );
}

#[tokio::test]
async fn a_link_is_sent_after_a_confirmation_and_shown_on_the_page() {
    let site = Site::start().await;
    let browser = Browser::sign_in(web(&site), "helen.desk", "en").await;
    let person = browser.find("neil").await;
    assert!(browser.get(&person).await.text.contains("None set: cannot log in"));
    check_markup(&browser.get(&format!("{person}/activation")).await);
    let page = browser.change(&format!("{person}/activation"), "").await;
    for part in ["A link was sent to bob@example.net.", "activation link until", "Activation link sent"] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    assert!(!page.text.contains("/activate/"), "the page shows the link: {}", page.text);
    // Zoé has no private address.
    let zoe = browser.find("tremblay").await;
    let refused = browser.post(&format!("{zoe}/activation"), "").await;
    assert!(refused.status == 422 && refused.text.contains("Print a letter instead"), "{}", refused.text);
}

#[tokio::test]
async fn pages_for_everyone_are_valid_and_say_what_is_wrong() {
    let site = Site::start().await;
    let browser = Browser { web: web(&site), cookie: "lang=fr".to_owned(), csrf: String::new() };
    for path in ["/password", "/password?due=initial&name=zoe", "/password?due=expired", "/activate"] {
        let page = browser.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        check_markup(&page);
    }
    let unknown = browser.get("/activate/unknown").await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.text.contains("Ce lien ne fonctionne pas"), "{}", unknown.text);
    check_markup(&unknown);
    let form = "name=helen.desk&password=correct+horse";
    for (more, status, text) in [
        ("&new=one&again=two", 422, "ne sont pas identiques"),
        ("&new=helen.desk1&again=helen.desk1", 422, "fait de vos noms"),
        ("&new=correct+horse&again=correct+horse", 422, "l’un des 5 derniers"),
        ("&new=azertyuiop1&again=azertyuiop1", 422, "essaie en premier"),
        ("&new=battery+staple&again=battery+staple", 200, "a été changé"),
    ] {
        let page = browser.post("/password", &format!("{form}{more}")).await;
        assert_eq!(page.status, status, "{more}: {}", page.text);
        assert!(page.text.contains(text), "{more}: {}", page.text);
        check_markup(&page);
    }
    let wrong = browser.post("/password", "name=nobody&password=x&new=battery+staple&again=battery+staple").await;
    assert!(wrong.status == 422 && wrong.text.contains("incorrect"), "{}", wrong.text);
}

/// The directory works, so no page may say that it is unavailable; a clerk must learn that the old password is gone.
#[tokio::test]
async fn a_page_says_what_fails_when_the_shared_state_is_away() {
    let site = Site::start().await;
    let state = Arc::new(FaultyState::default());
    let browser = Browser::sign_in(web_with_state(&site, state.clone()), "helen.desk", "en").await;
    let person = browser.find("tremblay").await;
    state.writes_fail.store(true, Ordering::Relaxed);
    let lost = browser.post(&format!("{person}/password"), "").await;
    assert_eq!(lost.status, 503, "{}", lost.text);
    assert!(lost.text.contains("the old one no longer works"), "{}", lost.text);
    state.writes_fail.store(false, Ordering::Relaxed);
    let reply = browser.post(&format!("{person}/password"), "").await;
    state.writes_fail.store(true, Ordering::Relaxed);
    let hidden = browser.get(reply.header("location")).await;
    assert_eq!(hidden.status, 503, "{}", hidden.text);
    assert!(hidden.text.contains("The new password cannot be shown now"), "{}", hidden.text);
    state.reads_fail.store(true, Ordering::Relaxed);
    let unknown = browser.get(&person).await;
    assert_eq!(unknown.status, 503, "{}", unknown.text);
    assert!(unknown.text.contains("cannot check now whether you are signed in"), "{}", unknown.text);
}

/// A reset ends all sessions of the person whose password it is: one may be stolen. When people reset their own
/// password, the session that they use goes on.
#[tokio::test]
async fn a_new_password_ends_the_sessions_of_its_user() {
    let site = Site::start().await;
    let web = web(&site);
    let helen = Browser::sign_in(web.clone(), "helen.desk", "en").await;
    let stolen = Browser::sign_in(web.clone(), "helen.desk", "en").await;
    let ada = Browser::sign_in(web, "ada.admin", "en").await;
    let page = helen.find("helen.desk").await;
    assert_eq!(stolen.get("/").await.status, 200);
    let before = site.view.snapshot().by_login("helen.desk").unwrap().passwords.clone();
    let slip = helen.change(&format!("{page}/password"), "").await;
    assert!(slip.text.contains("id=\"new-password\">"), "{}", slip.text);
    site.wait_for(|view| view.snapshot().by_login("helen.desk").is_some_and(|helen| helen.passwords != before)).await;
    assert_eq!(stolen.get("/").await.status, 303, "the stolen session goes on");
    assert_eq!(helen.get("/").await.status, 200, "the session of the reset has ended");
    let before = site.view.snapshot().by_login("helen.desk").unwrap().passwords.clone();
    ada.change(&format!("{page}/password"), "").await;
    site.wait_for(|view| view.snapshot().by_login("helen.desk").is_some_and(|helen| helen.passwords != before)).await;
    assert_eq!(helen.get("/").await.status, 303, "the session goes on after a reset by another person");
}

#[tokio::test]
async fn names_are_escaped_and_views_are_audited() {
    let site = Site::start().await;
    let browser = Browser::sign_in(web(&site), "helen.desk", "en").await;
    let person = browser.find("neil").await;
    let page = browser.get(&person).await;
    check_markup(&page);
    assert!(!page.text.contains("<b>") && page.text.contains("&lt;b&gt;Bob"), "{}", page.text);
    assert!(page.text.contains("None set: cannot log in") && page.text.contains("Arts &amp; Crafts"), "{}", page.text);
    let audit = site.audit.newest(100).await.unwrap();
    let view = audit.iter().find(|record| record.action == "person.view").unwrap();
    assert_eq!((view.actor.as_str(), view.via.as_str()), ("helen.desk", "web"));
    assert!(audit.iter().any(|record| record.action == "session.open"));
}

#[tokio::test]
async fn a_history_that_cannot_be_read_is_not_shown_as_empty() {
    let site = Site::start().await;
    let audit = Audit::new(Arc::new(UnreadableAudit));
    let journals = Journals::new("/nonexistent/journal".into());
    let desk = Desk::new(site.directory.clone(), support::settings(), audit, journals);
    let web = router(WebState { desk, store: support::store(), state: support::state(), view: site.view.clone() });
    let browser = Browser::sign_in(web, "helen.desk", "en").await;
    let page = browser.get(&browser.find("tremblay").await).await;
    check_markup(&page);
    assert!(page.text.contains("The history cannot be read now."), "{}", page.text);
}

#[tokio::test]
async fn the_page_shows_what_an_import_wrote() {
    let site = Site::start().await;
    for (language, text) in [
        ("en", ["Created by an import", "Family name: Tremblay", "Line 2 of registrar, batch "]),
        ("fr", ["Créée par une importation", "Nom de famille : Tremblay", "Ligne 2 de registrar, lot "]),
    ] {
        let browser = Browser::sign_in(web(&site), "helen.desk", language).await;
        let page = browser.get(&browser.find("tremblay").await).await;
        check_markup(&page);
        for text in text {
            assert!(page.text.contains(text), "{text}: {}", page.text);
        }
    }
}

#[tokio::test]
async fn a_registrar_sees_no_forms_and_after_the_loss_of_the_role_only_the_own_page() {
    let site = Site::start().await;
    let browser = Browser::sign_in(web(&site), "rita.registrar", "en").await;
    let person = browser.find("tremblay").await;
    let page = browser.get(&person).await;
    check_markup(&page);
    assert_eq!(page.text.matches("<form").count(), 2, "forms besides search and sign-out: {}", page.text);
    for path in ["vacation", "vacation/clear", "password", "addresses", "addresses/remove"] {
        let reply = browser.post(&format!("{person}/{path}"), "text_fr=x&address=a@example.edu").await;
        assert_eq!(reply.status, 403, "{path}: {}", reply.text);
    }
    give_role(&site.directory, "rita.registrar", "").await;
    site.wait_for(|view| view.snapshot().by_login("rita.registrar").is_some_and(|rita| rita.roles.is_empty())).await;
    assert_eq!(browser.get(&person).await.status, 403, "another person is shown without a role");
    let own = browser.start_page().await;
    assert!(own.text.contains("<h1>Rita Registrar</h1>") && !own.text.contains("role=\"search\""), "{}", own.text);
}

#[tokio::test]
async fn a_search_reports_that_it_found_no_person() {
    let site = Site::start().await;
    let browser = Browser::sign_in(web(&site), "helen.desk", "en").await;
    let none = browser.get("/people?q=zzzz").await;
    assert!(none.text.contains("No person found for “zzzz”"), "{}", none.text);
    check_markup(&none);
    check_markup(&browser.get("/").await);
    assert_eq!(browser.get("/people?q=").await.status, 303);
    assert_eq!(browser.get("/people/no-such-id").await.status, 404);
    let switched = browser.get("/people?q=zzzz&lang=fr").await;
    assert!(
        switched.text.contains("href=\"/people?q&#x3D;zzzz&amp;lang&#x3D;en\"")
            || switched.text.contains("href=\"/people?q=zzzz&amp;lang=en\""),
        "{}",
        switched.text
    );
}

#[tokio::test]
async fn a_help_desk_resets_no_administrator() {
    let site = Site::start().await;
    let browser = Browser::sign_in(web(&site), "helen.desk", "fr").await;
    let ada = browser.find("ada").await;
    let page = browser.get(&ada).await;
    check_markup(&page);
    assert!(!page.text.contains(&format!("{ada}/password")), "the page links to the reset: {}", page.text);
    let refused = browser.post(&format!("{ada}/password"), "").await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    assert!(refused.text.contains("Votre rôle ne permet pas"), "{}", refused.text);
    check_markup(&refused);
    let audit = site.audit.newest(1).await.unwrap().remove(0);
    assert_eq!((audit.action.as_str(), audit.actor.as_str()), ("operation.refused", "helen.desk"));
    Browser::sign_in(web(&site), "ada.admin", "fr").await;
}

/// A session begun on one node continues on another, with its message and its password slip.
#[tokio::test]
async fn a_session_goes_on_at_another_node() {
    let site = Site::start().await;
    let state = support::state();
    let node = || web_with_state(&site, state.clone());
    let mut browser = Browser::sign_in(node(), "helen.desk", "en").await;
    let person = browser.find("tremblay").await;
    let reply = browser.post(&format!("{person}/password"), "").await;
    assert_eq!(reply.status, 303, "{}", reply.text);
    browser.web = node();
    let slip = browser.get(reply.header("location")).await;
    assert!(slip.text.contains("id=\"new-password\">"), "{}", slip.text);
    let reply = browser.post(&format!("{person}/vacation"), "text_en=Away").await;
    assert_eq!(reply.status, 303, "{}", reply.text);
    browser.web = node();
    assert!(browser.get(&person).await.text.contains("role=\"status\""), "the message is not shown");
}

/// A role may use a page or form exactly when the permission table grants it the page's permission for any person, not
/// only for oneself.
#[tokio::test]
async fn each_page_and_form_is_open_to_the_roles_of_the_permission_table() {
    use Permission as Op;
    let site = Site::start().await;
    let pages = [
        ("get", "", "", Op::ViewPerson),
        ("post", "/vacation", "text_fr=Absente", Op::SetVacation),
        ("post", "/vacation/clear", "", Op::SetVacation),
        ("post", "/addresses", "address=z@example.edu", Op::ChangeAddresses),
        ("get", "/addresses/remove?address=z@example.edu", "", Op::ChangeAddresses),
        ("post", "/addresses/remove", "address=z@example.edu", Op::ChangeAddresses),
        ("post", "/locks", "lock=abuse&lock_reason=spam", Op::SuspendPerson),
        ("post", "/locks/release", "lock=abuse", Op::SuspendPerson),
        ("post", "/forwarding", "forward_to=z@example.net", Op::SetForwarding),
        ("get", "/forwarding/clear", "", Op::SetForwarding),
        ("post", "/forwarding/clear", "", Op::SetForwarding),
        ("post", "/follow", "attribute=mailForwardingAddress", Op::SetForwarding),
        ("post", "/quota", "quota_class=research", Op::SetQuota),
        ("post", "/follow", "attribute=provostQuotaClass", Op::SetQuota),
        ("post", "/quota/clear", "", Op::SetQuota),
        ("get", "/password", "", Op::ResetPassword),
        ("post", "/password", "", Op::ResetPassword),
        ("get", "/password/new", "", Op::ResetPassword),
    ];
    for role in ROLES.into_iter().filter(|role| *role != Role::Oneself) {
        give_role(&site.directory, "rita.registrar", role.name()).await;
        let has_it = |rita: &Person| rita.roles.iter().any(|held| &**held == role.name());
        site.wait_for(|view| view.snapshot().by_login("rita.registrar").is_some_and(|rita| has_it(&rita))).await;
        let browser = Browser::sign_in(web(&site), "rita.registrar", "fr").await;
        let person = browser.find("tremblay").await;
        for (method, path, body, operation) in pages {
            let path = format!("{person}{path}");
            let reply = if method == "get" { browser.get(&path).await } else { browser.post(&path, body).await };
            let may = role.grant(operation) == Grant::Any;
            assert_eq!(reply.status != 403, may, "{role} {method} {path}: {}", reply.status);
            assert!(!may || [200, 303].contains(&reply.status.as_u16()), "{role} {method} {path}: {}", reply.text);
        }
    }
}
