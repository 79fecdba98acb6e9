//! Whether a remote may be contacted: its host, and what the host's name resolves to, must lie in the
//! open internet unless the settings say otherwise. Resolves names; contacts no remote.

use std::{net::IpAddr, time::Duration};

use tg_core::naming::{RemoteUrl, Transport, is_private_address};

use super::GitError;
use crate::config::Config;

/// Which hosts a remote may lie on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hosts {
    /// Those of the internet.
    Public,
    /// Those of one's own network, too (`TASKSGODZILLA_ALLOW_PRIVATE_HOSTS`).
    Any,
}

impl Hosts {
    /// As the settings say.
    pub const fn of(config: &Config) -> Self {
        if config.allow_private_hosts { Self::Any } else { Self::Public }
    }
}

/// How long a name may take to resolve.
const LIMIT: Duration = Duration::from_secs(15);

/// Refuses a remote that may not be contacted; gives the settings git needs to go to the very
/// addresses that were looked at, and nowhere it is sent on to.
///
/// ssh is checked and not pinned: its own configuration, which is the admin's, may lead it elsewhere.
pub(super) async fn vet(
    url: &RemoteUrl,
    hosts: Hosts,
    environment: &[(String, String)],
) -> Result<Vec<String>, GitError> {
    let Some(host) = url.host() else { return Ok(Vec::new()) };
    if hosts == Hosts::Any {
        return Ok(Vec::new());
    }
    url.refuse_private_host().map_err(|error| GitError::Missing(error.to_string()))?;
    let by_default = match url.transport() {
        Transport::Https => 443,
        Transport::Ssh | Transport::File => 22,
    };
    let port = url.port().unwrap_or(by_default);
    let found = match tokio::time::timeout(LIMIT, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(found)) => found.map(|address| address.ip()).collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    };
    // Behind a proxy it is the proxy that resolves, and often nobody else can.
    let is_proxied = url.transport() == Transport::Https
        && environment.iter().any(|(name, _)| name.eq_ignore_ascii_case("https_proxy"));
    if found.is_empty() && !is_proxied {
        return Err(GitError::Remote(format!(
            "the host {host:?} of the remote cannot be resolved; check the network and the address, or, when only \
             ssh knows this name, set TASKSGODZILLA_ALLOW_PRIVATE_HOSTS=true"
        )));
    }
    only_public(host, &found)?;
    Ok(match url.transport() {
        Transport::Https => pinned(host, port, &found),
        Transport::Ssh | Transport::File => Vec::new(),
    })
}

fn only_public(host: &str, found: &[IpAddr]) -> Result<(), GitError> {
    match found.iter().find(|address| is_private_address(**address)) {
        None => Ok(()),
        Some(address) => Err(GitError::Missing(format!(
            "the host {host:?} of the remote leads to {address}, which lies in a private network; for a forge in \
             your own network the admin sets TASKSGODZILLA_ALLOW_PRIVATE_HOSTS=true"
        ))),
    }
}

/// A name that resolves anew could lead elsewhere, and so could a redirect.
fn pinned(host: &str, port: u16, found: &[IpAddr]) -> Vec<String> {
    let mut settings = vec!["http.followRedirects=false".to_owned()];
    if host.parse::<IpAddr>().is_err() && !found.is_empty() {
        let addresses: Vec<String> = found
            .iter()
            .map(|address| match address {
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(address) => format!("[{address}]"),
            })
            .collect();
        settings.push(format!("http.curloptResolve={host}:{port}:{}", addresses.join(",")));
    }
    settings
}

#[cfg(test)]
mod tests {
    use tg_core::naming::LocalRemotes;

    use super::*;

    #[test]
    fn a_public_name_that_leads_inside_is_refused() {
        let of = |texts: &[&str]| -> Vec<IpAddr> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        assert!(only_public("forge.example", &of(&["93.184.216.34", "2606:4700::1111"])).is_ok());
        for inside in [
            &["127.0.0.1"][..],
            &["93.184.216.34", "10.0.0.1"],
            &["2606:4700::1111", "::ffff:169.254.169.254"],
            &["fd00::1"],
        ] {
            let told = only_public("forge.example", &of(inside)).expect_err("refused").to_string();
            assert!(told.contains("forge.example") && told.contains("ALLOW_PRIVATE_HOSTS"), "{told}");
        }
    }

    #[test]
    fn git_goes_to_the_addresses_that_were_looked_at() {
        let found = ["93.184.216.34".parse().unwrap(), "2606:4700::1111".parse().unwrap()];
        assert_eq!(
            pinned("forge.example", 8443, &found),
            [
                "http.followRedirects=false",
                "http.curloptResolve=forge.example:8443:93.184.216.34,[2606:4700::1111]"
            ]
        );
        assert_eq!(pinned("93.184.216.34", 443, &found[..1]), ["http.followRedirects=false"]);
    }

    #[tokio::test]
    async fn a_name_nobody_knows_is_contacted_only_where_private_hosts_are_allowed() {
        let url = RemoteUrl::parse("https://name.invalid.example/x", LocalRemotes::Refused).unwrap();
        let refused = vet(&url, Hosts::Public, &[]).await;
        assert!(matches!(&refused, Err(GitError::Remote(_))), "{refused:?}");
        assert_eq!(vet(&url, Hosts::Any, &[]).await.unwrap(), Vec::<String>::new());
        let proxied = [("HTTPS_PROXY".to_owned(), "http://proxy.example".to_owned())];
        assert_eq!(vet(&url, Hosts::Public, &proxied).await.unwrap(), ["http.followRedirects=false"]);
    }
}
