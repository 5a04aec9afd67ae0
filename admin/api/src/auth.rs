//! Bearer tokens (RFC 6750), known by their blake3 digests alone.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use provost_provision::Actor;

use crate::Token;
use crate::problem::{Kind, Problem};

/// Longest token that is hashed, in octets; ours have 64.
const TOKEN_OCTETS_MAX: usize = 512;

/// Who calls, for the audit. Put into each request by [`require_token`].
#[derive(Clone)]
pub(crate) struct Caller(pub(crate) Actor);

/// The tokens in the form in which they are compared.
#[derive(Clone)]
pub(crate) struct Keyring(Arc<Vec<(String, blake3::Hash)>>);

impl Keyring {
    /// A digest that is no blake3 hex opens nothing and is told in the log.
    pub(crate) fn new(tokens: &[Token]) -> Self {
        let keys = tokens.iter().filter_map(|token| match blake3::Hash::from_hex(token.digest.trim()) {
            Ok(digest) => Some((token.name.clone(), digest)),
            Err(error) => {
                tracing::warn!(token = token.name, %error, "the digest of this API token cannot be read: it opens nothing");
                None
            }
        });
        Self(Arc::new(keys.collect()))
    }

    /// Whose token this is. Takes as long for any wrong token as for another: blake3's `Hash` compares in constant time,
    /// and all are compared.
    fn name_of(&self, token: &str) -> Option<&str> {
        let digest = blake3::hash(token.as_bytes());
        self.0.iter().fold(None, |found, (name, key)| if *key == digest { Some(name.as_str()) } else { found })
    }
}

/// Lets a request with a known token through, with its [`Caller`]; answers 401 to all others.
pub(crate) async fn require_token(State(keyring): State<Keyring>, mut request: Request, next: Next) -> Response {
    let Some(token) = bearer(request.headers()) else {
        return Problem::new(Kind::Unauthorized, "no bearer token was sent").into_response();
    };
    let Some(name) = keyring.name_of(token) else {
        metrics::counter!("provost_api_refused_tokens_total").increment(1);
        return Problem::new(Kind::Unauthorized, "the token is not known").into_response();
    };
    let actor = Actor { name: format!("token:{name}"), via: "api" };
    request.extensions_mut().insert(Caller(actor));
    next.run(request).await
}

/// RFC 6750 §2.1; the scheme's name is compared without case (RFC 9110 §11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    let good = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= TOKEN_OCTETS_MAX;
    good.then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_header() {
        for (value, expect) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Basic abc", None),
            ("Bearer ", None),
            ("Bearer", None),
        ] {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            assert_eq!(bearer(&headers), expect, "{value}");
        }
        let long = format!("Bearer {}", "x".repeat(TOKEN_OCTETS_MAX + 1));
        assert_eq!(bearer(&HeaderMap::from_iter([(header::AUTHORIZATION, long.parse().unwrap())])), None);
    }

    #[test]
    fn knows_tokens_by_digest_only() {
        let keyring = Keyring::new(&[
            Token { name: "broken".into(), digest: "abc".into() },
            Token { name: "a".into(), digest: blake3::hash(b"secret-a").to_hex().to_string() },
            Token { name: "b".into(), digest: blake3::hash(b"secret-b").to_hex().to_string() },
        ]);
        assert_eq!(keyring.name_of("secret-a"), Some("a"));
        assert_eq!(keyring.name_of("secret-b"), Some("b"));
        assert_eq!(keyring.name_of("abc"), None);
        assert_eq!(keyring.name_of(""), None);
    }
}
