//! A test client that encodes and decodes LDAP with ldap3_proto, which shares no code with the server.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    reason = "helper functions of tests are test code"
)]

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use ldap3_proto::LdapCodec;
use ldap3_proto::control::LdapControl;
use ldap3_proto::proto::*;
use provost_entry::Entry;
use tokio::net::TcpStream;
use tokio_util::codec::Framed;

pub struct Client {
    pub framed: Framed<TcpStream, LdapCodec>,
    last_id: i32,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.expect("connects");
        Self { framed: Framed::new(socket, LdapCodec::new(Some(1 << 24), None)), last_id: 0 }
    }

    pub async fn bound(address: SocketAddr, dn: &str) -> Self {
        let mut client = Self::connect(address).await;
        let cred = LdapBindCred::Simple(crate::common::PASSWORD.into());
        client.send(LdapOp::BindRequest(LdapBindRequest { version: 3, dn: dn.into(), cred }), vec![]).await;
        match client.receive().await.op {
            LdapOp::BindResponse(response) => assert_eq!(response.res.code, LdapResultCode::Success),
            other => panic!("{other:?}"),
        }
        client
    }

    /// Sends a request; returns its message id.
    pub async fn send(&mut self, op: LdapOp, ctrl: Vec<LdapControl>) -> i32 {
        self.last_id += 1;
        self.framed.send(LdapMsg { msgid: self.last_id, op, ctrl }).await.expect("sends");
        self.last_id
    }

    /// Receives the next message; a long silence fails the test.
    pub async fn receive(&mut self) -> LdapMsg {
        let next = tokio::time::timeout(Duration::from_secs(20), self.framed.next()).await;
        next.expect("an answer in time").expect("an open connection").expect("a readable message")
    }

    pub async fn add(&mut self, entry: &Entry) -> LdapResultCode {
        self.send(add_request(entry), vec![]).await;
        result_code(&self.receive().await.op)
    }

    pub async fn delete(&mut self, dn: &str) -> LdapResultCode {
        self.send(LdapOp::DelRequest(dn.into()), vec![]).await;
        result_code(&self.receive().await.op)
    }

    pub async fn replace(&mut self, dn: &str, attribute: &str, value: &str) -> LdapResultCode {
        let modification = LdapPartialAttribute { atype: attribute.into(), vals: vec![value.into()] };
        let changes = vec![LdapModify { operation: LdapModifyType::Replace, modification }];
        self.send(LdapOp::ModifyRequest(LdapModifyRequest { dn: dn.into(), changes }), vec![]).await;
        result_code(&self.receive().await.op)
    }

    pub async fn search(&mut self, base: &str, filter: LdapFilter, ctrl: Vec<LdapControl>) -> i32 {
        let request = LdapSearchRequest { attrs: vec!["*".into(), "+".into()], ..subtree_search(base, filter) };
        self.send(LdapOp::SearchRequest(request), ctrl).await
    }
}

/// A search of `base` and all below it, without limits, for the names of the entries alone.
pub fn subtree_search(base: &str, filter: LdapFilter) -> LdapSearchRequest {
    LdapSearchRequest {
        base: base.into(),
        scope: LdapSearchScope::Subtree,
        aliases: LdapDerefAliases::Never,
        sizelimit: 0,
        timelimit: 0,
        typesonly: false,
        filter,
        attrs: vec!["1.1".into()],
    }
}

pub fn add_request(entry: &Entry) -> LdapOp {
    let attributes = entry
        .attributes()
        .map(|(name, values)| LdapAttribute { atype: name.as_str().into(), vals: values.to_vec() })
        .collect();
    LdapOp::AddRequest(LdapAddRequest { dn: entry.dn.as_str().into(), attributes })
}

pub fn result_code(op: &LdapOp) -> LdapResultCode {
    match op {
        LdapOp::AddResponse(r) | LdapOp::DelResponse(r) | LdapOp::ModifyResponse(r) | LdapOp::SearchResultDone(r) => {
            r.code.clone()
        }
        other => panic!("not a result: {other:?}"),
    }
}
