//! Tests of rules of the standards that this server once broke. Each test uses the inputs that revealed the fault, and
//! similar ones.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helper functions of tests are test code")]

mod common;
#[path = "common/wire.rs"]
mod wire;

use std::collections::{BTreeMap, BTreeSet};

use common::{MAILCORE, PASSWORD, PROVOST, SUFFIX, password_value, person_dn, run, start, url};
use futures_util::SinkExt as _;
use ldap3_proto::control::LdapControl;
use ldap3_proto::proto::*;
use provost_entry::{Dn, Entry};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;
use wire::{Client, result_code, subtree_search};

fn entry(dn: &str) -> Entry {
    Entry::new(Dn::parse(dn).unwrap())
}

fn person(dn: &str, cn: &str) -> Entry {
    entry(dn).with("objectClass", "person").with("cn", cn).with("sn", "x")
}

/// Returns the names of the entries that a filter selects.
async fn found(client: &mut Client, base: &str, filter: LdapFilter) -> Vec<String> {
    client.search(base, filter, vec![]).await;
    let mut names = Vec::new();
    loop {
        match client.receive().await.op {
            LdapOp::SearchResultEntry(entry) => names.push(entry.dn),
            LdapOp::SearchResultDone(done) => {
                assert_eq!(done.code, LdapResultCode::Success, "{}", done.message);
                return names;
            }
            other => panic!("{other:?}"),
        }
    }
}

fn equal(name: &str, value: &str) -> LdapFilter {
    LdapFilter::Equality(name.into(), value.into())
}

fn substring(initial: Option<&str>, any: &[&str], last: Option<&str>) -> LdapFilter {
    let any = any.iter().map(|part| (*part).to_owned()).collect();
    let parts = LdapSubstringFilter { initial: initial.map(Into::into), any, final_: last.map(Into::into) };
    LdapFilter::Substring("cn".into(), parts)
}

/// Sends an operation and returns its result code.
async fn code(client: &mut Client, op: LdapOp) -> LdapResultCode {
    client.send(op, vec![]).await;
    match client.receive().await.op {
        LdapOp::CompareResult(r) | LdapOp::ModifyDNResponse(r) => r.code,
        LdapOp::BindResponse(r) => r.res.code,
        op => result_code(&op),
    }
}

fn compare(dn: &str, name: &str, value: &str) -> LdapOp {
    LdapOp::CompareRequest(LdapCompareRequest { dn: dn.into(), atype: name.into(), val: value.into() })
}

fn rename(dn: &str, newrdn: &str, superior: Option<&str>) -> LdapOp {
    let new_superior = superior.map(Into::into);
    LdapOp::ModifyDNRequest(LdapModifyDNRequest {
        dn: dn.into(),
        newrdn: newrdn.into(),
        deleteoldrdn: true,
        new_superior,
    })
}

fn modify(dn: &str, operation: LdapModifyType, name: &str, value: &str) -> LdapOp {
    let modification = LdapPartialAttribute { atype: name.into(), vals: vec![value.into()] };
    LdapOp::ModifyRequest(LdapModifyRequest { dn: dn.into(), changes: vec![LdapModify { operation, modification }] })
}

// RFC 4511 §4.5.1.7: an unrecognised item is Undefined, and the rest of the filter decides.
#[tokio::test(flavor = "multi_thread")]
async fn an_undefined_item_leaves_the_decision_to_the_rest_of_the_filter() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let url = url(&server);
    for item in [
        "(cn:caseExactMatch:=x)",
        "(ou:dn:=people)",
        "(cn:2.5.13.5:=zoe)",
        "(:2.5.13.2:=zoe)",
        "(cn:nosuchrule:=zoe)",
        "(nosuch>=1)",
        "(cn;binary=zoe)",
        "(cn;x-odd=zoe)",
        "(objectClass=nosuch)",
        "(mail=é)",
    ] {
        for (filter, finds) in [
            (format!("(|(uid=zoe){item})"), true),
            (format!("(&(uid=zoe)(!{item}))"), false),
            (item.to_owned(), false),
            (format!("(&(uid=zoe){item})"), false),
        ] {
            let (code, text) = run("ldapsearch", &url, PROVOST, &["-LLL", "-b", SUFFIX, &filter, "uid"], "").await;
            assert_eq!((code, text.contains("uid: zoe")), (0, finds), "{filter}\n{text}");
        }
    }
    // Filters that ldapsearch does not send: an empty attribute description, a malformed one.
    let mut client = Client::bound(server.addresses[0], PROVOST).await;
    for item in [equal("", "x"), LdapFilter::Present(String::new()), equal("foo_bar", "1")] {
        let either = LdapFilter::Or(vec![equal("uid", "zoe"), item]);
        assert_eq!(found(&mut client, SUFFIX, either).await, [person_dn("1")]);
    }
    // objectClass has no values under options.
    assert!(found(&mut client, SUFFIX, equal("objectClass;lang-fr", "person")).await.is_empty());
    server.stop().await;
}

// RFC 4511 §4.5.1.7.2: a substring filter has at least one part, and no empty part.
#[tokio::test(flavor = "multi_thread")]
async fn empty_substrings_match_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let mut client = Client::bound(server.addresses[0], PROVOST).await;
    for filter in [
        substring(Some(""), &[], None),
        substring(None, &[""], None),
        substring(None, &[], Some("")),
        substring(Some("zo"), &[""], None),
        substring(Some("zo"), &[], Some("")),
    ] {
        assert!(found(&mut client, SUFFIX, filter.clone()).await.is_empty(), "{filter:?}");
        let either = LdapFilter::Or(vec![equal("uid", "zoe"), filter]);
        assert_eq!(found(&mut client, SUFFIX, either).await, [person_dn("1")]);
    }
    client.search(SUFFIX, substring(None, &[], None), vec![]).await;
    assert_eq!(result_code(&client.receive().await.op), LdapResultCode::ProtocolError);
    assert_eq!(found(&mut client, SUFFIX, substring(Some("zo"), &[], None)).await, [person_dn("1")]);
    server.stop().await;
}

// RFC 4518 §2: strings are prepared wherever they are compared.
#[tokio::test(flavor = "multi_thread")]
async fn prepared_strings_are_equal() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let mut client = Client::bound(server.addresses[0], PROVOST).await;
    let name = format!("cn=Zoé B,ou=groups,{SUFFIX}");
    assert_eq!(client.add(&person(&name, "Zoé B")).await, LdapResultCode::Success);
    let forms = ["Zoe\u{301} B", "zo\u{ad}é b", "ZO\u{200b}É  B", "Ｚｏé\u{a0}Ｂ", " zoe\u{301}\u{3000}b "];
    for form in forms {
        let dn = format!("cn={form},ou=groups,{SUFFIX}");
        assert_eq!(found(&mut client, &dn, equal("cn", form)).await.len(), 1, "{form}");
        assert_eq!(code(&mut client, compare(&dn, "cn", form)).await, LdapResultCode::CompareTrue, "{form}");
        let add = modify(&dn, LdapModifyType::Add, "cn", form);
        assert_eq!(code(&mut client, add).await, LdapResultCode::AttributeOrValueExists, "{form}");
        assert_eq!(client.add(&person(&dn, form)).await, LdapResultCode::EntryAlreadyExists, "{form}");
        let other = format!("cn=other,ou=groups,{SUFFIX}");
        assert_eq!(client.add(&person(&other, "other")).await, LdapResultCode::Success);
        let taken = rename(&other, &format!("cn={form}"), None);
        assert_eq!(code(&mut client, taken).await, LdapResultCode::EntryAlreadyExists, "{form}");
        assert_eq!(client.delete(&other).await, LdapResultCode::Success);
    }
    for (filter, count) in [
        (substring(Some("Zoe\u{301}"), &[], None), 1),
        (substring(None, &["o\u{200b}é"], None), 1),
        (substring(None, &[], Some("É\u{ad} Ｂ")), 1),
        (substring(Some("zoe"), &[], None), 1),
        (equal("cn", "Zoe B"), 0),
    ] {
        // Accents are significant: `zoe*` finds the person `zoe`, not `Zoé B`.
        assert_eq!(found(&mut client, SUFFIX, filter.clone()).await.len(), count, "{filter:?}");
    }
    // Attributes that are looked up in an index.
    let people = ["uid", "member"].map(|name| (name, format!("cn={name},ou=groups,{SUFFIX}")));
    let user =
        entry(&people[0].1).with("objectClass", "inetOrgPerson").with("cn", "u").with("sn", "x").with("uid", "Zoé");
    let group = entry(&people[1].1).with("objectClass", "groupOfNames").with("cn", "g").with("member", name.clone());
    assert_eq!((client.add(&user).await, client.add(&group).await), (LdapResultCode::Success, LdapResultCode::Success));
    for (name, value) in [
        ("uid", "zoe\u{301}"),
        ("uid", "Ｚo\u{ad}é"),
        ("member", "commonName=Zoe\u{301} b,2.5.4.11=groups,dc=example,dc=edu"),
    ] {
        let expect = format!("cn={name},ou=groups,{SUFFIX}");
        assert_eq!(found(&mut client, SUFFIX, equal(name, value)).await, [expect.as_str()], "{name} {value}");
    }
    let delete = modify(&people[0].1, LdapModifyType::Delete, "uid", "ZOE\u{301}");
    assert_eq!(code(&mut client, delete).await, LdapResultCode::Success);
    assert!(found(&mut client, SUFFIX, equal("uid", "zoé")).await.is_empty());
    assert_eq!(client.delete(&format!("cn=zoe\u{301} b,ou=groups,{SUFFIX}")).await, LdapResultCode::Success);
    server.stop().await;
}

// RFC 4514 §3: an attribute type in a DN may be given by any of its names, or its OID.
#[tokio::test(flavor = "multi_thread")]
async fn dns_may_use_any_name_of_an_attribute_type() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let mut client = Client::bound(server.addresses[0], PROVOST).await;
    let suffixes = [
        "dc=example,dc=edu",
        "domainComponent=example,DC=edu",
        "0.9.2342.19200300.100.1.25=example,oid.0.9.2342.19200300.100.1.25=edu",
        "dc=#16076578616d706c65,dc=edu",
    ];
    let groups = [
        "ou=groups",
        "organizationalUnitName=groups",
        "2.5.4.11=groups",
        "OID.2.5.4.11=groups",
        "ou=#0c0667726f757073",
    ];
    let name = format!("cn=a,ou=groups,{SUFFIX}");
    let member = person(&name, "a").with("seeAlso", name.clone()).with("userPassword", password_value());
    assert_eq!(client.add(&member).await, LdapResultCode::Success);
    for (rdn, group) in ["cn=a", "commonName=A", "2.5.4.3=a", "CN=#0c0161"].iter().zip(groups.iter().cycle().skip(1)) {
        for suffix in suffixes {
            let dn = format!("{rdn},{group},{suffix}");
            assert_eq!(found(&mut client, &dn, LdapFilter::Present("cn".into())).await, [name.as_str()], "{dn}");
            assert_eq!(found(&mut client, SUFFIX, equal("seeAlso", &dn)).await, [name.as_str()], "{dn}");
            assert_eq!(code(&mut client, compare(&dn, "seeAlso", &dn)).await, LdapResultCode::CompareTrue, "{dn}");
            assert_eq!(client.replace(&dn, "description", "x").await, LdapResultCode::Success, "{dn}");
            let again = modify(&dn, LdapModifyType::Add, "seeAlso", &dn);
            assert_eq!(code(&mut client, again).await, LdapResultCode::AttributeOrValueExists, "{dn}");
            let cred = LdapBindCred::Simple(PASSWORD.into());
            let bind = LdapOp::BindRequest(LdapBindRequest { version: 3, dn: dn.clone(), cred });
            let mut other = Client::connect(server.addresses[0]).await;
            assert_eq!(code(&mut other, bind).await, LdapResultCode::Success, "{dn}");
            // `Entry` would normalise the DN before it is sent.
            let attributes = vec![LdapAttribute { atype: "objectClass".into(), vals: vec!["person".into()] }];
            let add = LdapOp::AddRequest(LdapAddRequest { dn: dn.clone(), attributes });
            assert_eq!(code(&mut client, add).await, LdapResultCode::EntryAlreadyExists, "{dn}");
        }
    }
    let by_oid = rename("2.5.4.3=a,2.5.4.11=groups,dc=example,dc=edu", "commonName=b+surname=y", None);
    assert_eq!(code(&mut client, by_oid).await, LdapResultCode::Success);
    let dns = found(&mut client, &format!("sn=y+2.5.4.3=b,ou=groups,{SUFFIX}"), LdapFilter::Present("cn".into())).await;
    assert_eq!(dns, [format!("cn=b+sn=y,ou=groups,{SUFFIX}")]);
    server.stop().await;
}

// RFC 4511 §4.2.1: operations that are not abandoned are completed before a bind is processed.
#[tokio::test(flavor = "multi_thread")]
async fn a_bind_waits_for_the_writes_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let mut client = Client::bound(server.addresses[0], PROVOST).await;
    let anonymous = || LdapBindRequest { version: 3, dn: String::new(), cred: LdapBindCred::Simple(String::new()) };
    let write = modify(&person_dn("1"), LdapModifyType::Replace, "title", "Dr");
    client.framed.feed(LdapMsg { msgid: 70, op: write, ctrl: vec![] }).await.unwrap();
    client.send(LdapOp::BindRequest(anonymous()), vec![]).await;
    assert_eq!(result_code(&client.receive().await.op), LdapResultCode::Success);
    assert!(matches!(client.receive().await.op, LdapOp::BindResponse(_)));
    server.stop().await;
}

// RFC 4511 §4.7: the server adds RDN values that an add request leaves out.
#[tokio::test(flavor = "multi_thread")]
async fn an_add_gets_the_values_of_its_rdn() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let url = url(&server);
    let add = |dn: &str, rest: &str| format!("dn: {dn},ou=groups,{SUFFIX}\nobjectClass: inetOrgPerson\n{rest}\n");
    for (i, (dn, rest, code, shown)) in [
        ("cn=a", "sn: x", 0, &["cn: a"][..]),
        ("cn=b", "sn: x\ncn: other", 0, &["cn: other", "cn: b"]),
        ("cn=B", "sn: x\ncn: b", 68, &[]),
        ("cn=c+uid=u", "sn: x", 0, &["cn: c", "uid: u"]),
        ("cn=d+sn=e", "description: x", 0, &["cn: d", "sn: e"]),
        ("2.5.4.3=f", "sn: x", 0, &["cn: f"]),
        ("nosuch=1", "sn: x\ncn: x", 17, &[]),
        ("cn=g+commonName=h", "sn: x", 34, &[]),
        ("userCertificate=1", "sn: x\ncn: x", 64, &[]),
        ("preferredLanguage=fr", "sn: x\ncn: x\npreferredLanguage: en", 64, &[]),
    ]
    .into_iter()
    .enumerate()
    {
        let (found, text) = run("ldapadd", &url, PROVOST, &[], &add(dn, rest)).await;
        assert_eq!(found, code, "{i} {dn}: {text}");
        if code == 0 {
            let base = format!("{dn},ou=groups,{SUFFIX}");
            let (_, text) = run("ldapsearch", &url, PROVOST, &["-LLL", "-b", &base, "-s", "base"], "").await;
            assert!(shown.iter().all(|line| text.contains(line)), "{dn}: {text}");
        }
    }
    server.stop().await;
}

// RFC 4511 §4.1.11, RFC 4527 §3, RFC 4528 §3: a critical control is obeyed, or the operation is refused.
#[tokio::test(flavor = "multi_thread")]
async fn controls_are_obeyed_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let url = url(&server);
    let name = format!("cn=a,ou=groups,{SUFFIX}");
    let add = format!("dn: {name}\nobjectClass: person\nsn: Roy\n");
    // Program, arguments, input, exit code, whether the entry exists afterwards.
    let steps: &[(&str, &[&str], &str, i32, bool)] = &[
        ("ldapadd", &["-e", "!preread=cn"], &add, 12, false),
        ("ldapadd", &["-e", "!assert=(sn=Tremblay)"], &add, 122, false),
        ("ldapadd", &["-e", "!assert=(cn=*)", "-e", "postread=cn"], &add, 0, true),
        ("ldapdelete", &["-e", "!postread=cn", &name], "", 12, true),
        ("ldapdelete", &["-e", "!assert=(sn=Tremblay)", &name], "", 122, true),
        // The name is taken, but the server evaluates the assertion before it checks the name.
        ("ldapadd", &["-e", "!assert=(sn=Tremblay)"], &add, 122, true),
        ("ldapadd", &["-e", "!assert=(objectClass=person)"], &add, 68, true),
        ("ldapdelete", &["-e", "postread=cn", "-e", "!preread=cn", &name], "", 0, false),
        ("ldapadd", &["-e", "preread=cn"], &add, 0, true),
        ("ldapmodrdn", &["-e", "!preread=cn", "-e", "!postread=cn", &name, "cn=A"], "", 0, true),
    ];
    for (i, (program, arguments, input, code, exists)) in steps.iter().enumerate() {
        let (found, text) = run(program, &url, PROVOST, arguments, input).await;
        assert_eq!(found, *code, "{i} {program} {arguments:?}: {text}");
        let (found, _) = run("ldapsearch", &url, PROVOST, &["-b", &name, "-s", "base"], "").await;
        assert_eq!(found == 0, *exists, "{i} {program} {arguments:?}");
    }
    for base in ["", "cn=subschema"] {
        for (assertion, code) in [("!assert=(objectClass=*)", 0), ("!assert=(cn=other)", 122)] {
            let (found, text) =
                run("ldapsearch", &url, PROVOST, &["-b", base, "-s", "base", "-e", assertion], "").await;
            assert_eq!(found, code, "{base:?} {assertion}: {text}");
        }
    }
    server.stop().await;
}

// RFC 4511 §4.1.1.1: a client may use a message id again once it has received the result. The server may still have the
// search then, so it must not refuse a second search because of its id.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_under_a_message_id_in_use_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let mut client = Client::bound(server.addresses[0], PROVOST).await;
    let persist = LdapControl::SyncRequest {
        criticality: true,
        mode: SyncRequestMode::RefreshAndPersist,
        cookie: None,
        reload_hint: false,
    };
    for ctrl in [vec![persist], vec![]] {
        let op = LdapOp::SearchRequest(subtree_search(SUFFIX, equal("uid", "zoe")));
        client.framed.send(LdapMsg { msgid: 77, op, ctrl }).await.unwrap();
    }
    loop {
        if let LdapOp::SearchResultDone(done) = client.receive().await.op {
            assert_eq!(done.code, LdapResultCode::Success, "{}", done.message);
            break;
        }
    }
    server.stop().await;
}

// RFC 4512 §2.5.2: `userPassword;lang-en` is an attribute of its own. A new password does not replace its values, so
// they must not be accepted.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_under_an_option_is_not_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let url = url(&server);
    let luc = person_dn("2");
    let change = format!(
        "dn: {luc}\nchangetype: modify\nadd: userPassword;lang-en\nuserPassword;lang-en: {}\n",
        password_value()
    );
    let (code, text) = run("ldapmodify", &url, PROVOST, &[], &change).await;
    assert_eq!(code, 0, "{text}");
    let mut client = Client::connect(server.addresses[0]).await;
    let cred = LdapBindCred::Simple(PASSWORD.into());
    let bind = |dn: &str| LdapOp::BindRequest(LdapBindRequest { version: 3, dn: dn.into(), cred: cred.clone() });
    assert_eq!(self::code(&mut client, bind(&luc)).await, LdapResultCode::InvalidCredentials);
    assert_eq!(self::code(&mut client, bind(&person_dn("1"))).await, LdapResultCode::Success);
    server.stop().await;
}

/// The values of an attribute of an entry, as PROVOST reads them.
async fn held(url: &str, dn: &str, name: &str) -> Vec<String> {
    let arguments = ["-LLL", "-o", "ldif-wrap=no", "-b", dn, "-s", "base", name];
    let (code, text) = run("ldapsearch", url, PROVOST, &arguments, "").await;
    assert_eq!(code, 0, "{text}");
    let prefix = format!("{name}: ");
    let base64 = format!("{name}:: ");
    assert!(!text.contains(&base64) || name == "userPassword", "{text}");
    text.lines()
        .filter_map(|line| line.strip_prefix(&prefix).or(line.strip_prefix(&base64)))
        .map(str::to_owned)
        .collect()
}

// RFC 3062 sets every attribute of the password at once. A verifier that outlived a change of userPassword by other
// means does not belong to the new value.
#[tokio::test(flavor = "multi_thread")]
async fn password_modify_writes_verifier_history_and_state() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let (url, zoe) = (url(&server), person_dn("1"));
    let set = async |who: &str, new: &str| {
        let (code, text) = run("ldappasswd", &url, who, &["-s", new, &zoe], "").await;
        assert_eq!(code, 0, "{text}");
    };
    set(&zoe, "a first new password").await;
    assert_eq!(held(&url, &zoe, "provostPasswordHistory").await.len(), 1);
    assert_eq!(held(&url, &zoe, "provostPasswordSince").await.len(), 1);
    assert!(held(&url, &zoe, "provostCredentialState").await.is_empty(), "the person's own password must be changed");
    let scram = held(&url, &zoe, "provostScram").await;
    assert!(scram.len() == 1 && scram[0].starts_with("SCRAM-SHA-256$4096:"), "{scram:?}");

    set(PROVOST, "chosen by somebody").await;
    assert_eq!(held(&url, &zoe, "provostCredentialState").await, ["must-change"]);
    assert_eq!(held(&url, &zoe, "provostPasswordHistory").await.len(), 2);
    assert_ne!(held(&url, &zoe, "provostScram").await, scram);

    // A service has no such attributes: its class does not permit them.
    let (code, text) = run("ldappasswd", &url, MAILCORE, &["-s", "of a service"], "").await;
    assert_eq!(code, 0, "{text}");
    assert!(held(&url, MAILCORE, "provostScram").await.is_empty());

    server.follow_password_policy(|| provost_credential::PasswordPolicy {
        scram_iterations: None,
        history: 1,
        ..provost_credential::PasswordPolicy::default()
    });
    set(PROVOST, "by the site's rules").await;
    assert!(held(&url, &zoe, "provostScram").await.is_empty(), "a verifier of the old password stays");
    assert_eq!(held(&url, &zoe, "provostPasswordHistory").await.len(), 1);
    server.stop().await;
}

// RFC 4513 §6: hidden from reading, filters, compare, assertions and post-read alike.
#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_hidden_from_people_and_auditors() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let (url, zoe) = (url(&server), person_dn("1"));
    let secrets = [
        ("provostScram", "SCRAM-SHA-256$4096:c2FsdA==$a:b"),
        ("provostPasswordHistory", "20260101000000Z {SSHA}hash"),
        ("provostActivation", "digest 20260101000000Z"),
    ];
    let mut change = format!("dn: {zoe}\nchangetype: modify\n");
    for (name, value) in secrets {
        change.push_str(&format!("add: {name}\n{name}: {value}\n-\n"));
    }
    let (code, text) = run("ldapmodify", &url, PROVOST, &[], &change).await;
    assert_eq!(code, 0, "{text}");
    for who in [&zoe, common::AUDITOR] {
        for name in ["*", "+", "provostScram", "provostPasswordHistory", "provostActivation", "userPassword"] {
            let (code, text) = run("ldapsearch", &url, who, &["-LLL", "-b", SUFFIX, "(uid=zoe)", name], "").await;
            let shown = text.to_lowercase();
            assert!(code == 0 && shown.contains("dn:"), "{who} {name}: {text}");
            for hidden in ["scram", "passwordhistory", "activation", "userpassword"] {
                assert!(!shown.contains(hidden), "{who} reads {name}: {text}");
            }
        }
        for (name, value) in secrets {
            for filter in [format!("({name}=*)"), format!("({name}={value})")] {
                let (_, text) = run("ldapsearch", &url, who, &["-LLL", "-b", SUFFIX, &filter, "uid"], "").await;
                assert!(!text.contains("uid:"), "{who} finds people by {filter}: {text}");
            }
            let compared = run("ldapcompare", &url, who, &[&zoe, &format!("{name}:{value}")], "").await;
            assert_eq!(compared.0, 16, "{who} compares {name}: {}", compared.1);
        }
        let own = format!("dn: {zoe}\nchangetype: modify\nreplace: provostScram\nprovostScram: x\n");
        assert_eq!(run("ldapmodify", &url, who, &[], &own).await.0, 50, "{who} writes a verifier");
    }
    for who in [PROVOST, MAILCORE] {
        let (_, text) =
            run("ldapsearch", &url, who, &["-LLL", "-b", SUFFIX, "(provostActivation=*)", "provostScram"], "").await;
        assert!(text.contains("provostScram: SCRAM"), "{who}: {text}");
    }
    server.stop().await;
}

// RFC 4522: `;binary` is a transfer option. RFC 4523 §2: certificates are never transferred without it.
#[tokio::test(flavor = "multi_thread")]
async fn binary_is_a_transfer_option() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let url = url(&server);
    let zoe = person_dn("1");
    let modify = |change: &str| format!("dn: {zoe}\nchangetype: modify\n{change}\n");
    for (change, code) in [
        ("add: userCertificate;binary\nuserCertificate;binary: one", 0),
        ("add: userCertificate\nuserCertificate: one", 20),
        ("add: userCertificate\nuserCertificate: two", 0),
        ("delete: userCertificate;binary\nuserCertificate;binary: two", 0),
        ("add: userSMIMECertificate\nuserSMIMECertificate: x", 0),
        ("add: jpegPhoto;binary\njpegPhoto;binary: x", 17),
        ("add: title;binary\ntitle;binary: x", 17),
    ] {
        let (found, text) = run("ldapmodify", &url, PROVOST, &[], &modify(change)).await;
        assert_eq!(found, code, "{change}: {text}");
    }
    for (filter, requested, shown) in [
        ("(userCertificate=*)", "userCertificate", "userCertificate;binary:: b25l\n"),
        ("(userCertificate;binary=*)", "userCertificate;binary", "userCertificate;binary:: b25l\n"),
        ("(uid=zoe)", "*", "userCertificate;binary:: b25l\n"),
        ("(uid=zoe)", "userSMIMECertificate", "userSMIMECertificate: x"),
        ("(uid=zoe)", "userSMIMECertificate;binary", "userSMIMECertificate;binary:: eA==\n"),
        ("(userSMIMECertificate;binary=*)", "uid", "uid: zoe"),
    ] {
        let (code, text) = run("ldapsearch", &url, PROVOST, &["-LLL", "-b", SUFFIX, filter, requested], "").await;
        let lines = text.lines().filter(|line| line.starts_with("userCert") || line.starts_with("userSMIME")).count();
        assert!(code == 0 && text.contains(shown) && lines <= 2, "{filter} {requested}: {text}");
        assert!(!text.contains("userCertificate:"), "{filter} {requested}: {text}");
    }
    let remove = modify("delete: userCertificate");
    assert_eq!(run("ldapmodify", &url, PROVOST, &[], &remove).await.0, 0);
    assert_eq!(run("ldapcompare", &url, PROVOST, &[&zoe, "userCertificate;binary:one"], "").await.0, 16);
    server.stop().await;
}

/// Where the text is not UTF-8; the operation and controls; tag and code of the first response.
type NonUtf8Case<'a> = (&'static str, Vec<u8>, &'a [u8], u8, u8);

/// Encodes an element of less than 128 octets.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap();
    assert!(length < 128);
    [&[tag, length], content].concat()
}

/// Encodes an LDAPMessage with this id, operation and controls.
fn message(id: u8, operation: &[u8], controls: &[u8]) -> Vec<u8> {
    element(0x30, &[&element(2, &[id])[..], operation, controls].concat())
}

/// Reads the next response: message id, tag and result code (0 for a search result entry).
async fn answer(socket: &mut TcpStream) -> (u8, u8, u8) {
    let mut head = [0; 2];
    socket.read_exact(&mut head).await.unwrap();
    let mut rest = vec![0; usize::from(head[1])];
    socket.read_exact(&mut rest).await.unwrap();
    match rest.as_slice() {
        [2, 1, id, tag, _, 0x0a, 1, code, ..] => (*id, *tag, *code),
        [2, 1, id, tag, ..] => (*id, *tag, 0),
        other => panic!("{other:x?}"),
    }
}

// RFC 4511 §4.1.2 to §4.1.4, §4.1.11, §4.12: a text that is not UTF-8 affects only its own operation.
#[tokio::test(flavor = "multi_thread")]
async fn texts_that_are_not_utf8_affect_only_their_operation() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let mut socket = TcpStream::connect(server.addresses[0]).await.unwrap();
    let bind = [&element(2, &[3])[..], &element(4, PROVOST.as_bytes()), &element(0x80, PASSWORD.as_bytes())].concat();
    socket.write_all(&message(1, &element(0x60, &bind), &[])).await.unwrap();
    assert_eq!(answer(&mut socket).await, (1, 0x61, 0));

    let bad = element(4, b"\xff");
    let good = element(4, SUFFIX.as_bytes());
    let ava = |name: &[u8]| element(0x30, &[name, &element(4, b"x")].concat());
    let search = |base: &[u8], filter: &[u8], attributes: &[u8]| {
        let numbers = [0x0a, 1, 0, 0x0a, 1, 0, 2, 1, 0, 2, 1, 0, 1, 1, 0];
        element(0x63, &[base, &numbers, filter, &element(0x30, attributes)].concat())
    };
    let present = element(0x87, b"objectClass");
    let undefined = element(0xa3, &[&bad[..], &element(4, b"x")].concat());
    let either = element(0xa1, &[&present[..], &undefined].concat());
    let change = |name: &[u8]| {
        element(
            0x30,
            &element(0x30, &[&[0x0a, 1, 2][..], &element(0x30, &[name, &element(0x31, &[])].concat())].concat()),
        )
    };
    let control = |critical: &[u8]| element(0xa0, &element(0x30, &[&bad[..], critical].concat()));
    let plain = search(&good, &present, &[]);
    let critical = control(&[1, 1, 0xff]);
    let not_critical = control(&[]);
    let cases: Vec<NonUtf8Case<'_>> = vec![
        ("base", search(&bad, &present, &[]), &[], 0x65, 34),
        ("type in a filter", search(&good, &undefined, &[]), &[], 0x65, 0),
        ("type in one part of a filter", search(&good, &either, &element(4, b"1.1")), &[], 0x64, 0),
        ("selected attribute", search(&good, &present, &bad), &[], 0x64, 0),
        ("deleted name", element(0x4a, b"\xff"), &[], 0x6b, 34),
        ("compared name", element(0x6e, &[&bad[..], &ava(&element(4, b"cn"))].concat()), &[], 0x6f, 34),
        ("compared type", element(0x6e, &[&good[..], &ava(&bad)].concat()), &[], 0x6f, 17),
        ("modified name", element(0x66, &[&bad[..], &change(&element(4, b"o"))].concat()), &[], 0x67, 34),
        ("modified type", element(0x66, &[&good[..], &change(&bad)].concat()), &[], 0x67, 17),
        ("added name", element(0x68, &[&bad[..], &element(0x30, &[])].concat()), &[], 0x69, 34),
        ("renamed name", element(0x6c, &[&bad[..], &element(4, b"cn=a"), &[1, 1, 0]].concat()), &[], 0x6d, 34),
        ("new RDN", element(0x6c, &[&good[..], &bad, &[1, 1, 0]].concat()), &[], 0x6d, 34),
        (
            "new superior",
            element(0x6c, &[&good[..], &element(4, b"dc=x"), &[1, 1, 0], &element(0x80, b"\xff")].concat()),
            &[],
            0x6d,
            34,
        ),
        ("extended operation", element(0x77, &element(0x80, b"\xff")), &[], 0x78, 2),
        ("critical control", plain.clone(), &critical, 0x65, 12),
        ("other control", search(&good, &present, &element(4, b"1.1")), &not_critical, 0x64, 0),
    ];
    for (id, (name, operation, controls, tag, code)) in (2..).zip(cases) {
        // Send the operation between two others, all in one write. Responses may come in any order.
        let whoami = element(0x77, &element(0x80, b"1.3.6.1.4.1.4203.1.11.3"));
        let octets =
            [message(100, &whoami, &[]), message(id, &operation, controls), message(101, &whoami, &[])].concat();
        socket.write_all(&octets).await.unwrap();
        let mut expected = BTreeSet::from([(100, 0x78, 0), (101, 0x78, 0), (id, tag, code)]);
        if tag == 0x64 {
            expected.insert((id, 0x65, 0));
        }
        let mut received = BTreeSet::new();
        while received.len() < expected.len() {
            received.insert(answer(&mut socket).await);
        }
        assert_eq!(received, expected, "{name}");
    }
    let bind = [&element(2, &[3])[..], &bad, &element(0x80, b"x")].concat();
    socket.write_all(&message(99, &element(0x60, &bind), &[])).await.unwrap();
    assert_eq!(answer(&mut socket).await, (99, 0x61, 34));
    server.stop().await;
}

// RFC 4514 §3: a malformed name is refused with invalidDNSyntax, as an attribute value with invalidAttributeSyntax.
#[tokio::test(flavor = "multi_thread")]
async fn malformed_names_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let mut client = Client::bound(server.addresses[0], PROVOST).await;
    let zoe = person_dn("1");
    for rdn in [r"cn=CORP\user", "cn=a<b", "cn=a>b", "cn=a\"b", "cn=a\0b", r"cn=\xffz", "cn=#0401", "cn"] {
        let dn = format!("{rdn},ou=groups,{SUFFIX}");
        let refused = LdapResultCode::InvalidDNSyntax;
        client.search(&dn, LdapFilter::Present("cn".into()), vec![]).await;
        assert_eq!(result_code(&client.receive().await.op), refused, "{rdn:?}");
        let attributes = vec![LdapAttribute { atype: "objectClass".into(), vals: vec!["person".into()] }];
        let add = LdapOp::AddRequest(LdapAddRequest { dn: dn.clone(), attributes });
        for op in [
            add,
            compare(&dn, "cn", "x"),
            rename(&dn, "cn=x", None),
            rename(&zoe, rdn, None),
            rename(&zoe, "cn=x", Some(&dn)),
            modify(&dn, LdapModifyType::Replace, "sn", "x"),
            LdapOp::DelRequest(dn.clone()),
        ] {
            assert_eq!(code(&mut client, op.clone()).await, refused, "{op:?}");
        }
        let value = modify(&zoe, LdapModifyType::Replace, "seeAlso", &dn);
        assert_eq!(code(&mut client, value).await, LdapResultCode::InvalidAttributeSyntax, "{rdn:?}");
        let cred = LdapBindCred::Simple(PASSWORD.into());
        let bind = LdapOp::BindRequest(LdapBindRequest { version: 3, dn, cred });
        let mut other = Client::connect(server.addresses[0]).await;
        assert_eq!(code(&mut other, bind).await, refused, "{rdn:?}");
    }
    // Names with these characters escaped are valid.
    for rdn in [r"cn=CORP\\user", r"cn=a\<b\>", r"cn=a\22b", r"cn=a\00b"] {
        let dn = format!("{rdn},ou=groups,{SUFFIX}");
        let attributes = [("objectClass", "person"), ("sn", "x")];
        let attributes = attributes.map(|(name, value)| LdapAttribute { atype: name.into(), vals: vec![value.into()] });
        let add = LdapOp::AddRequest(LdapAddRequest { dn: dn.clone(), attributes: attributes.into() });
        assert_eq!(code(&mut client, add).await, LdapResultCode::Success, "{rdn}");
        assert_eq!(client.delete(&dn).await, LdapResultCode::Success, "{rdn}");
    }
    server.stop().await;
}

/// Returns state, entryUUID and name of an entry that a synchronising search has sent.
fn change(message: &LdapMsg) -> (SyncStateValue, Uuid, String) {
    match (&message.op, message.ctrl.as_slice()) {
        (LdapOp::SearchResultEntry(entry), [LdapControl::SyncState { state, entry_uuid, .. }]) => {
            (state.clone(), *entry_uuid, entry.dn.clone())
        }
        other => panic!("{other:?}"),
    }
}

fn sync(mode: SyncRequestMode, cookie: Option<Vec<u8>>) -> Vec<LdapControl> {
    vec![LdapControl::SyncRequest { criticality: true, mode, cookie, reload_hint: false }]
}

/// Runs a refresh; returns the entries by entryUUID, the deleted ones, and the cookie.
async fn refresh(
    client: &mut Client,
    base: &str,
    cookie: Option<Vec<u8>>,
) -> (BTreeMap<Uuid, String>, BTreeSet<Uuid>, Vec<u8>) {
    let all = LdapFilter::Present("objectClass".into());
    client.search(base, all, sync(SyncRequestMode::RefreshOnly, cookie)).await;
    let (mut entries, mut deleted) = (BTreeMap::new(), BTreeSet::new());
    loop {
        let message = client.receive().await;
        match &message.op {
            LdapOp::SearchResultEntry(_) => {
                let (_, uuid, dn) = change(&message);
                entries.insert(uuid, dn);
            }
            LdapOp::IntermediateResponse(LdapIntermediateResponse::SyncInfoIdSet {
                refresh_deletes: true,
                syncuuids,
                ..
            }) => deleted.extend(syncuuids),
            LdapOp::SearchResultDone(_) => match message.ctrl.as_slice() {
                [LdapControl::SyncDone { cookie: Some(cookie), .. }] => return (entries, deleted, cookie.clone()),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }
}

// RFC 4511 §4.9: a rename moves all subordinates. RFC 4533 §3: consumers receive each new name.
#[tokio::test(flavor = "multi_thread")]
async fn a_rename_moves_the_subtree() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let mut client = Client::bound(server.addresses[0], PROVOST).await;
    let (groups, services) = (format!("ou=groups,{SUFFIX}"), format!("ou=services,{SUFFIX}"));
    let lab = entry(&format!("ou=lab,{groups}")).with("objectClass", "organizationalUnit");
    assert_eq!(client.add(&lab).await, LdapResultCode::Success);
    for (name, cn) in [("cn=a,ou=lab", "a"), ("cn=b,cn=a,ou=lab", "b"), ("cn=c,ou=lab", "c")] {
        assert_eq!(client.add(&person(&format!("{name},{groups}"), cn)).await, LdapResultCode::Success);
    }
    let mut away = Client::bound(server.addresses[0], MAILCORE).await;
    let (before, _, cookie) = refresh(&mut away, &groups, None).await;
    assert_eq!(before.len(), 5);
    let mut watching = Client::bound(server.addresses[0], MAILCORE).await;
    let all = LdapFilter::Present("objectClass".into());
    watching.search(&groups, all.clone(), sync(SyncRequestMode::RefreshAndPersist, Some(cookie.clone()))).await;
    watching.receive().await;
    let mut elsewhere = Client::bound(server.addresses[0], MAILCORE).await;
    elsewhere.search(&services, all.clone(), sync(SyncRequestMode::RefreshAndPersist, Some(cookie.clone()))).await;
    elsewhere.receive().await;
    let moved = |from: &str, to: &str| -> BTreeMap<Uuid, String> {
        let below = before.iter().filter(|(_, dn)| dn.contains("ou=lab"));
        below.map(|(uuid, dn)| (*uuid, dn.replace(from, to))).collect()
    };

    // Another name under the same parent.
    assert_eq!(code(&mut client, rename(&format!("ou=lab,{groups}"), "ou=Lab2", None)).await, LdapResultCode::Success);
    let expect = moved("ou=lab", "ou=Lab2");
    let mut reported = BTreeMap::new();
    for _ in 0..4 {
        let (state, uuid, dn) = change(&watching.receive().await);
        assert_eq!(state, SyncStateValue::Modify);
        reported.insert(uuid, dn);
    }
    assert_eq!(reported, expect);
    let (there, gone, cookie) = refresh(&mut away, &groups, Some(cookie)).await;
    assert_eq!((there, gone), (expect, BTreeSet::new()));
    assert_eq!(found(&mut client, &format!("cn=b,cn=a,ou=lab2,{groups}"), all.clone()).await.len(), 1);
    assert_eq!(client.add(&lab).await, LdapResultCode::Success, "the old name is still taken");
    assert_eq!(client.delete(&format!("ou=lab,{groups}")).await, LdapResultCode::Success);
    for expect in [SyncStateValue::Add, SyncStateValue::Delete] {
        assert_eq!(change(&watching.receive().await).0, expect);
    }

    // A move out of the content of one consumer into that of another: both are sent every moved entry.
    let out = rename(&format!("ou=lab2,{groups}"), "ou=lab3", Some(&services));
    assert_eq!(code(&mut client, out).await, LdapResultCode::Success);
    let expect = moved(&format!("ou=lab,{groups}"), &format!("ou=lab3,{services}"));
    let (mut left, mut came) = (BTreeSet::new(), BTreeMap::new());
    for _ in 0..4 {
        let (state, uuid, _) = change(&watching.receive().await);
        assert_eq!(state, SyncStateValue::Delete);
        left.insert(uuid);
        let (state, uuid, dn) = change(&elsewhere.receive().await);
        assert_eq!(state, SyncStateValue::Add);
        came.insert(uuid, dn);
    }
    assert_eq!((left, &came), (expect.keys().copied().collect(), &expect));
    let (there, gone, _) = refresh(&mut away, &groups, Some(cookie)).await;
    assert!(there.is_empty() && expect.keys().all(|uuid| gone.contains(uuid)));
    // A delete is reported even when the entry's ancestors are gone before the report is sent.
    for name in ["cn=b,cn=a,ou=lab3", "cn=a,ou=lab3", "cn=c,ou=lab3", "ou=lab3"] {
        assert_eq!(client.delete(&format!("{name},{services}")).await, LdapResultCode::Success);
    }
    let mut deleted = BTreeSet::new();
    for _ in 0..4 {
        let (state, uuid, _) = change(&elsewhere.receive().await);
        assert_eq!(state, SyncStateValue::Delete);
        deleted.insert(uuid);
    }
    assert_eq!(deleted, expect.keys().copied().collect());

    // An entry cannot be moved below itself, nor to where a subordinate would be too deep.
    let people = format!("ou=people,{SUFFIX}");
    let own = rename(&people, "ou=people", Some(&person_dn("1")));
    assert_eq!(code(&mut client, own).await, LdapResultCode::UnwillingToPerform);
    let mut deep = groups.clone();
    for i in 0..28 {
        deep = format!("ou={i},{deep}");
        let unit = entry(&deep).with("objectClass", "organizationalUnit");
        assert_eq!(client.add(&unit).await, LdapResultCode::Success, "{i}");
    }
    let too_deep = rename(&people, "ou=people", Some(&deep));
    assert_eq!(code(&mut client, too_deep).await, LdapResultCode::UnwillingToPerform);
    server.stop().await;
    // A rename survives a restart.
    let server = start(folder.path()).await;
    let mut client = Client::bound(server.addresses[0], PROVOST).await;
    assert_eq!(code(&mut client, rename(&people, "ou=folk", None)).await, LdapResultCode::Success);
    let zoe = person_dn("1").replace("ou=people", "ou=folk");
    server.stop().await;
    let server = start(folder.path()).await;
    let mut client = Client::bound(server.addresses[0], &zoe).await;
    assert_eq!(found(&mut client, &zoe, equal("uid", "zoe")).await, [zoe.as_str()]);
    server.stop().await;
}

/// Requests one page of a search with a size limit; returns entries, code, cookie.
async fn page(
    client: &mut Client,
    base: &str,
    sizelimit: i32,
    size: i64,
    cookie: Vec<u8>,
) -> (usize, LdapResultCode, Vec<u8>) {
    let filter = LdapFilter::Present("objectClass".into());
    let request = LdapSearchRequest { sizelimit, ..subtree_search(base, filter) };
    client.send(LdapOp::SearchRequest(request), vec![LdapControl::SimplePagedResults { size, cookie }]).await;
    let mut entries = 0;
    loop {
        let message = client.receive().await;
        match (message.op, message.ctrl.as_slice()) {
            (LdapOp::SearchResultEntry(_), _) => entries += 1,
            (LdapOp::SearchResultDone(done), [LdapControl::SimplePagedResults { cookie, .. }]) => {
                return (entries, done.code, cookie.clone());
            }
            other => panic!("{other:?}"),
        }
    }
}

// RFC 2696: a cookie is valid only for its search. The size limit counts over all pages.
#[tokio::test(flavor = "multi_thread")]
async fn pages_share_the_size_limit_and_cookies_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let address = server.addresses[0];
    let mut client = Client::bound(address, PROVOST).await;
    for (limit, pages) in [(10, &[3, 3, 3, 1][..]), (9, &[3, 3, 3]), (2, &[2])] {
        let mut cookie = Vec::new();
        for (i, expect) in pages.iter().enumerate() {
            let (entries, code, next) = page(&mut client, SUFFIX, limit, 3, cookie).await;
            let last = i + 1 == pages.len();
            let expect_code = if last { LdapResultCode::SizeLimitExceeded } else { LdapResultCode::Success };
            assert_eq!((entries, code, next.is_empty()), (*expect, expect_code, last), "{limit}: page {i}");
            cookie = next;
        }
    }
    let (mut all, mut cookie) = (0, Vec::new());
    loop {
        let (entries, code, next) = page(&mut client, SUFFIX, 0, 3, cookie).await;
        assert_eq!(code, LdapResultCode::Success);
        all += entries;
        if next.is_empty() {
            break;
        }
        cookie = next;
    }
    assert_eq!(all, found(&mut client, SUFFIX, LdapFilter::Present("objectClass".into())).await.len());

    let (_, _, cookie) = page(&mut client, SUFFIX, 0, 3, vec![]).await;
    let refused = (0, LdapResultCode::UnwillingToPerform, Vec::new());
    let mut other = Client::bound(address, PROVOST).await;
    assert_eq!(page(&mut other, SUFFIX, 0, 3, cookie.clone()).await, refused, "accepted on another connection");
    let services = format!("ou=services,{SUFFIX}");
    assert_eq!(page(&mut client, &services, 0, 3, cookie.clone()).await, refused, "accepted for another search");
    for bad in [&b"x"[..], &[0, 0, 0, 0], &[0; 20], &cookie[1..]] {
        assert_eq!(page(&mut client, SUFFIX, 0, 3, bad.to_vec()).await, refused, "{bad:?}");
    }
    // A cookie can be used again; a page of size zero ends the search.
    assert_eq!(page(&mut client, SUFFIX, 0, 3, cookie.clone()).await.0, 3);
    assert_eq!(page(&mut client, SUFFIX, 0, 0, cookie).await, (0, LdapResultCode::Success, Vec::new()));
    server.stop().await;
}
