//! Which names are ours. A foreign page can point its own name at a loopback address and then ask as if
//! it were us; its requests still say the foreign name.

use std::net::SocketAddr;

use axum::http::{HeaderMap, HeaderValue, Uri, header, uri::Authority};

use crate::config::PublicUrl;

/// Names of this server.
#[derive(Debug, Clone)]
pub struct Hosts {
    /// On loopback: the only names that are answered; elsewhere any name leads here.
    known: Option<Vec<String>>,
    public: Option<PublicUrl>,
}

/// Port that an address without one means.
const HTTP: u16 = 80;

impl Hosts {
    /// Of a server at this address.
    pub fn new(address: SocketAddr, public: Option<PublicUrl>) -> Self {
        let known = address.ip().is_loopback().then(|| {
            let own = SocketAddr::new(address.ip(), 0).to_string();
            let own = own.trim_end_matches(":0").to_owned();
            let mut names: Vec<String> =
                ["localhost", "127.0.0.1", "[::1]"].into_iter().map(str::to_owned).chain([own]).collect();
            names.dedup();
            let with_port = names.iter().map(|name| format!("{name}:{}", address.port())).collect();
            let bare = if address.port() == HTTP { names } else { Vec::new() };
            let public = public.iter().map(|url| url.host.clone());
            [with_port, bare, public.collect()].concat()
        });
        Self { known, public }
    }

    /// Does the request name us, once and in every place where it names anybody?
    pub fn is_named(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        let Some(host) = only(headers, &header::HOST) else { return false };
        let named_in_target = uri.authority().map(Authority::as_str);
        match &self.known {
            None => true,
            Some(known) => {
                let is_known = |name: &str| known.iter().any(|own| own.eq_ignore_ascii_case(name));
                is_known(host) && named_in_target.is_none_or(is_known)
            }
        }
    }

    /// Was the request made by a page of ours?
    pub fn is_same_origin(&self, headers: &HeaderMap) -> bool {
        let (Some(origin), Some(host)) = (only(headers, &header::ORIGIN), only(headers, &header::HOST))
        else {
            return false;
        };
        if let Some(public) = &self.public {
            if origin.eq_ignore_ascii_case(&public.origin()) {
                return true;
            }
            // At the public name there is only the public scheme.
            if host.eq_ignore_ascii_case(&public.host) {
                return false;
            }
        }
        origin.eq_ignore_ascii_case(&format!("http://{host}"))
    }
}

/// The one value of a header; `None` when there is none, or more than one.
fn only<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value: Option<&HeaderValue> = values.next();
    value.filter(|_| values.next().is_none())?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn hosts(address: &str, public: Option<&str>) -> Hosts {
        Hosts::new(address.parse().unwrap(), public.map(|url| PublicUrl::parse(url).unwrap()))
    }

    #[test]
    fn only_our_names_lead_to_a_loopback_server() {
        let ours = hosts("127.0.0.1:8010", Some("https://tasks.example.org"));
        let named = |pairs: &[(&'static str, &'static str)], uri: &str| {
            ours.is_named(&headers(pairs), &uri.parse().unwrap())
        };
        for good in ["localhost:8010", "LOCALHOST:8010", "127.0.0.1:8010", "[::1]:8010", "tasks.example.org"]
        {
            assert!(named(&[("host", good)], "/x"), "{good}");
        }
        for bad in [
            "",
            "evil.example:8010",
            "localhost",
            "localhost:80",
            "localhost:8011",
            "localhost.:8010",
            "localhost:8010.evil.example",
            "127.0.0.1.evil.example:8010",
            "tasks.example.org:8010",
            "tasks.example.org@evil.example",
            "127.1:8010",
            "2130706433:8010",
            "0.0.0.0:8010",
            "[::ffff:127.0.0.1]:8010",
        ] {
            assert!(!named(&[("host", bad)], "/x"), "{bad}");
        }
        assert!(!named(&[], "/x"), "no name is not ours");
        assert!(!named(&[("host", "localhost:8010"), ("host", "localhost:8010")], "/x"), "two names");
        assert!(!named(&[("host", "localhost:8010")], "http://evil.example/x"), "another in the target");
        assert!(named(&[("host", "localhost:8010")], "http://localhost:8010/x"));
        assert!(hosts("0.0.0.0:8010", None).is_named(&headers(&[("host", "anything")]), &Uri::default()));
        assert!(hosts("127.0.0.2:80", None).is_named(&headers(&[("host", "127.0.0.2")]), &Uri::default()));
    }

    #[test]
    fn only_our_pages_may_use_a_session() {
        let ours = hosts("127.0.0.1:8010", Some("https://tasks.example.org"));
        let same = |pairs: &[(&'static str, &'static str)]| ours.is_same_origin(&headers(pairs));
        let local = ("host", "localhost:8010");
        let public = ("host", "tasks.example.org");
        assert!(same(&[local, ("origin", "http://localhost:8010")]));
        assert!(same(&[local, ("origin", "https://tasks.example.org")]), "a proxy may rename the host");
        assert!(same(&[public, ("origin", "https://tasks.example.org")]));
        for bad in [
            "null",
            "",
            "http://localhost",
            "http://localhost:8011",
            "https://localhost:8010",
            "http://127.0.0.1:8010",
            "http://evil.example",
            "http://localhost:8010.evil.example",
            "http://tasks.example.org",
        ] {
            assert!(!same(&[local, ("origin", bad)]), "{bad}");
        }
        assert!(!same(&[public, ("origin", "http://tasks.example.org")]), "not its scheme");
        assert!(!same(&[local]), "no origin is no proof");
        assert!(!same(&[local, ("origin", "http://localhost:8010"), ("origin", "http://evil.example")]));
    }
}
