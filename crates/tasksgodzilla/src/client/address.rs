//! Which server a command talks to and with which token. Pure: what was asked for and what the state
//! directory says come in, an address comes out.
//!
//! A token that lies in the state directory goes to the server of that directory and nowhere else, so
//! that no address of a flag, a variable or a dead server can collect it.

use reqwest::Url;
use tg_server::secret::Secret;

use crate::cli::{CliError, ErrorKind};

/// Where a server is looked for when nothing names one.
pub const DEFAULT_BASE: &str = "http://127.0.0.1:8010";

/// A token and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// Admin's or a named token.
    Bearer(Secret<String>),
    /// Token of one project.
    Project(Secret<String>),
}

/// Where a value was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// On the command line.
    Flag,
    /// In the environment.
    Environment,
    /// In the configuration file of the state directory.
    File,
}

/// What was asked for.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Address.
    pub base: Option<(String, Said)>,
    /// Token.
    pub token: Option<(Secret<String>, Said)>,
    /// Token of a project.
    pub project_token: Option<(Secret<String>, Said)>,
}

/// What the state directory says.
#[derive(Debug, Clone, Default)]
pub struct Local {
    /// Address of the server that serves it at this moment.
    pub url: Option<String>,
    /// Its admin token.
    pub token: Option<Secret<String>>,
}

/// A server and what to show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Address; paths are added below it.
    pub base: Url,
    /// Token to send.
    pub token: Option<Token>,
    /// It is the server of the state directory, or none was named.
    pub is_local: bool,
}

/// Picks server and token.
pub fn choose(asked: &Asked, local: &Local) -> Result<Target, CliError> {
    let own = local.url.as_deref().map(|url| parse(url, "the address file")).transpose()?;
    let base = match &asked.base {
        Some((text, said)) => parse(text, base_name(*said))?,
        None => own.clone().map_or_else(|| parse(DEFAULT_BASE, "the default"), Ok)?,
    };
    let is_own = own.as_ref().is_some_and(|own| same_place(own, &base)) && is_loopback(&base);
    let is_local = is_own || asked.base.is_none();
    // A file's token may go where the same file points, or to the server of its directory.
    let with_file = is_own || matches!(asked.base, Some((_, Said::File)));
    let may_go = |said: Said| match said {
        Said::Flag | Said::Environment => true,
        Said::File => with_file,
    };
    let token = asked.token.clone().filter(|(_, said)| may_go(*said));
    let project = asked.project_token.clone().filter(|(_, said)| may_go(*said));
    let token = match (token, project) {
        (Some((_, said)), Some((project, Said::Flag))) if said != Said::Flag => Some(Token::Project(project)),
        (Some((token, _)), _) => Some(Token::Bearer(token)),
        (None, Some((project, _))) => Some(Token::Project(project)),
        (None, None) => local.token.clone().filter(|_| is_own).map(Token::Bearer),
    };
    Ok(Target { base, token, is_local })
}

const fn base_name(said: Said) -> &'static str {
    match said {
        Said::Flag => "--api-base",
        Said::Environment | Said::File => "TASKSGODZILLA_API_BASE",
    }
}

/// The address refers to this machine without asking a name server.
pub fn is_loopback(base: &Url) -> bool {
    match base.host_str().map(|host| host.trim_start_matches('[').trim_end_matches(']')) {
        Some("localhost") => true,
        Some(host) => host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback()),
        None => false,
    }
}

fn same_place(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// An address as written; what could hold a password is not repeated.
fn parse(text: &str, name: &str) -> Result<Url, CliError> {
    let wrong = |problem: &str| {
        Err(CliError::new(ErrorKind::Config, format!("{name}: {problem}"))
            .hint("give the address of a server, such as https://host:8010"))
    };
    let Ok(url) = Url::parse(text.trim()) else { return wrong("is no address") };
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return wrong("must begin with http:// or https:// and name a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("must not hold a user or password; tokens go with --token");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return wrong("must not hold a query or fragment");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    fn local() -> Local {
        Local { url: Some("http://127.0.0.1:4711\n".to_owned()), token: Some(secret("home")) }
    }

    fn at(base: &str, said: Said) -> Asked {
        Asked { base: Some((base.to_owned(), said)), ..Asked::default() }
    }

    #[test]
    fn the_server_of_the_state_directory_is_found_with_its_token() {
        let target = choose(&Asked::default(), &local()).unwrap();
        assert_eq!(target.base.as_str(), "http://127.0.0.1:4711/");
        assert_eq!(target.token, Some(Token::Bearer(secret("home"))));
        let none = choose(&Asked::default(), &Local { url: None, ..local() }).unwrap();
        assert_eq!(none.base.as_str(), "http://127.0.0.1:8010/");
        assert_eq!(none.token, None, "nobody says that the server there is ours");
    }

    #[test]
    fn the_token_of_the_state_directory_goes_nowhere_else() {
        for base in [
            "http://127.0.0.1:4712",
            "https://127.0.0.1:4711",
            "http://example.org:4711",
            "http://127.0.0.1.example.org:4711",
            "http://localhost:4711",
        ] {
            for said in [Said::Flag, Said::Environment, Said::File] {
                let target = choose(&at(base, said), &local()).unwrap();
                assert_eq!(target.token, None, "{base}");
            }
        }
        let same = choose(&at("http://127.0.0.1:4711/", Said::Flag), &local()).unwrap();
        assert_eq!(same.token, Some(Token::Bearer(secret("home"))));
        let outside = Local { url: Some("http://192.0.2.1:4711".to_owned()), ..local() };
        assert_eq!(choose(&Asked::default(), &outside).unwrap().token, None, "loopback only");
    }

    #[test]
    fn a_token_of_the_file_goes_where_the_file_points() {
        let mut asked = at("https://example.org", Said::File);
        asked.token = Some((secret("file"), Said::File));
        assert_eq!(choose(&asked, &local()).unwrap().token, Some(Token::Bearer(secret("file"))));
        asked.base = Some(("https://example.org".to_owned(), Said::Flag));
        assert_eq!(choose(&asked, &local()).unwrap().token, None);
        asked.base = None;
        assert_eq!(choose(&asked, &local()).unwrap().token, Some(Token::Bearer(secret("file"))));
    }

    #[test]
    fn the_nearest_token_wins() {
        let token = |token: Option<Said>, project: Option<Said>| {
            let asked = Asked {
                token: token.map(|said| (secret("t"), said)),
                project_token: project.map(|said| (secret("p"), said)),
                ..at("https://example.org", Said::Flag)
            };
            choose(&asked, &local()).unwrap().token
        };
        let (flag, environment) = (Some(Said::Flag), Some(Said::Environment));
        assert_eq!(token(environment, None), Some(Token::Bearer(secret("t"))));
        assert_eq!(token(environment, environment), Some(Token::Bearer(secret("t"))));
        assert_eq!(token(environment, flag), Some(Token::Project(secret("p"))));
        assert_eq!(token(flag, environment), Some(Token::Bearer(secret("t"))));
        assert_eq!(token(None, environment), Some(Token::Project(secret("p"))));
        assert_eq!(token(None, None), None);
    }

    #[test]
    fn a_wrong_address_is_said_without_what_it_holds() {
        for base in
            ["", "localhost:8010", "ftp://h", "http://", "https://u:hunter2@h/", "http://h/?token=hunter2"]
        {
            let error = choose(&at(base, Said::Flag), &local()).unwrap_err();
            assert_eq!(error.kind.exit_code(), 2, "{base}");
            assert!(error.error.starts_with("--api-base: ") && !error.error.contains("hunter2"), "{error:?}");
        }
        for (base, is) in [("http://[::1]:1", true), ("http://127.9.9.9", true), ("http://10.0.0.1", false)] {
            assert_eq!(is_loopback(&Url::parse(base).unwrap()), is, "{base}");
        }
    }
}
