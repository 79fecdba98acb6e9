//! Addresses of repositories that are refused when a project is made, and once more where a remote is
//! contacted: forms that would make git start a program, carry a password, or reach into a network of
//! one's own. A listener on this machine sees none of them.

use std::{
    net::TcpListener,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::http::StatusCode;
use serde_json::json;
use tg_server::{
    git::{self, Hosts},
    testing::api::Api,
};

use super::places;
use crate::database::TestDatabase;

/// Hosts that lie on this machine or in a private network, in every form we know.
const HOSTS: &[&str] = &[
    // This machine.
    "127.0.0.1",
    "127.0.0.2",
    "127.1.2.3",
    "127.255.255.255",
    "0.0.0.0",
    "0.1.2.3",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "LocalHost",
    "x.localhost",
    "localhost.localdomain",
    "ip6-localhost",
    "ip6-loopback",
    // Numbers that some readers take for it.
    "127.1",
    "127.0.1",
    "127",
    "0",
    "1",
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0x7F000001",
    "0x7f.1",
    "0x7f.0.0.1",
    "0x7f.0x0.0x0.0x1",
    "127.0x0.0.1",
    "127.0.0x1",
    "0177.0.0.1",
    "0177.0.0.01",
    "00177.0.0.1",
    "127.0.0.01",
    "127.000.000.001",
    "127.0.0.1.",
    "127.0.0.256",
    "127.0.0.1.5",
    "3232235521",
    "0xa9fea9fe",
    "2852039166",
    "025177524776",
    "169.254.43518",
    "169.16689662",
    "0xA9.254.169.254",
    "1e3",
    "0x",
    "1.2.3.4.0x7f",
    // Private networks.
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "192.168.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "100.100.100.200",
    "[fc00::1]",
    "[fd00::1]",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "[febf::1]",
    "[fec0::1]",
    "[ff02::1]",
    "[100::1]",
    "[2001:db8::1]",
    "[2001::1]",
    "[2001:10::1]",
    "[3fff::1]",
    "[5f00::1]",
    // Addresses inside of addresses.
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:10.0.0.1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[::ffff:8.8.8.8]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2002:7f00:1::1]",
    "[2002:a00:1::1]",
    "[2002:a9fe:a9fe::1]",
    // Names that only a network of one's own answers.
    "metadata",
    "metadata.google.internal",
    "instance-data.ec2.internal",
    "kubernetes.default.svc.cluster.local",
    "printer.local",
    "forge.lan",
    "forge.intranet",
    "forge.corp",
    "forge.home",
    "router.home.arpa",
    "forge.internal",
    "forge.private",
    "forge",
    "gitlab",
    "hidden.onion",
    "1.0.0.127.in-addr.arpa",
    "forge.internal.",
    "FORGE.INTERNAL",
];

/// Whole addresses that are refused for what they are.
const ADDRESSES: &[&str] = &[
    "",
    " ",
    "ext::sh -c 'touch /tmp/x'",
    "ext::sh",
    "EXT::sh",
    "fd::17",
    "file::/etc",
    "https::https://forge.example/x",
    "transport::address://forge.example/x",
    "-x",
    "--upload-pack=touch x",
    "-oProxyCommand=id",
    "ssh://-oProxyCommand=id/x",
    "ssh://git@-oProxyCommand=id/x",
    "ssh://forge.example/-x",
    "git@-oProxyCommand=id:x",
    "git@forge.example:-x",
    "-x@forge.example:x",
    "http://forge.example/x",
    "HTTP://forge.example/x",
    "HTTPS://forge.example/x",
    "git://forge.example/x",
    "ftp://forge.example/x",
    "ftps://forge.example/x",
    "gopher://forge.example/x",
    "dict://forge.example/x",
    "ldap://forge.example/x",
    "rsync://forge.example/x",
    "svn+ssh://forge.example/x",
    "git+ssh://forge.example/x",
    "ssh+git://forge.example/x",
    "javascript:alert(1)",
    "data:text/plain,x",
    "https://user@forge.example/x",
    "https://user:hunter2@forge.example/x",
    "https://:hunter2@forge.example/x",
    "https://@forge.example/x",
    "https://hunter2@forge.example@127.0.0.1/x",
    "https://forge.example@127.0.0.1/x",
    "https://forge.example#@127.0.0.1/x",
    "https://forge.example\\@127.0.0.1/x",
    "https://forge.example:443@127.0.0.1/x",
    "https://forge.example%2f@127.0.0.1/x",
    "ssh://git:hunter2@forge.example/x",
    "git:hunter2@forge.example:x",
    "https://forge.example/x?token=hunter2",
    "https://forge.example/x#hunter2",
    "https://127.0.0.1%2eforge.example/x",
    "https://%31%32%37.0.0.1/x",
    "https://127。0。0。1/x",
    "https://①②⑦.⓪.⓪.①/x",
    "https://１２７.0.0.1/x",
    "https://forge.example:99999/x",
    "https://forge.example:-1/x",
    "https://forge.example:80:80/x",
    "https://forge.example:/x",
    "https:///x",
    "https://forge.example",
    "https://forge.example/",
    "https://[::1/x",
    "https://[fe80::1%25eth0]/x",
    "https://[forge.example]/x",
    "https://forge.example/x y",
    "https://forge.example/x\ny",
    "https://forge.example/x\u{0}",
    "https://forge.example\t/x",
    "//forge.example/x\r\n",
    "forge.example/x",
    "forge.example:x",
    "./x",
    "../x",
    "x",
    "~/x",
    "file://forge.example/x",
    "file://x",
    "file:///a%2fb",
    "C:\\x",
    "\\\\forge.example\\x",
];

/// Counts who knocks at a port of this machine, on both families where there are both.
struct Canary {
    port: u16,
    knocks: Arc<AtomicUsize>,
}

impl Canary {
    fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let knocks = Arc::new(AtomicUsize::new(0));
        for listener in std::iter::once(listener).chain(TcpListener::bind(("::1", port)).ok()) {
            let knocks = knocks.clone();
            std::thread::spawn(move || {
                for _stream in listener.incoming() {
                    knocks.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        Self { port, knocks }
    }

    fn knocks(&self) -> usize {
        self.knocks.load(Ordering::SeqCst)
    }

    /// Every refused address, the hosts with this port.
    fn forms(&self) -> Vec<String> {
        let port = self.port;
        let of_host = |host: &&str| {
            let scp = (!host.starts_with('[')).then(|| format!("git@{host}:team/x.git"));
            [format!("https://{host}:{port}/x.git"), format!("ssh://git@{host}:{port}/x.git")]
                .into_iter()
                .chain(scp)
                .collect::<Vec<_>>()
        };
        let given = ADDRESSES.iter().map(|text| text.replace("127.0.0.1/", &format!("127.0.0.1:{port}/")));
        HOSTS.iter().flat_map(of_host).chain(given).collect()
    }
}

#[tokio::test]
async fn no_form_of_a_forbidden_address_makes_a_project() {
    let test = TestDatabase::sqlite().await;
    let app = test.app();
    let api = Api::new(&app);
    let canary = Canary::listen();
    let forms = canary.forms();
    assert!(forms.len() > 400, "{}", forms.len());
    for form in &forms {
        let got = api.post("/projects", &json!({ "name": "x", "git_url": form })).await;
        assert_eq!(got.refusal(), (422, "validation_failed".to_owned()), "{form:?}");
        assert_eq!(places(&got), [json!(["body", "git_url"])], "{form:?}: {}", got.json());
        assert!(!String::from_utf8_lossy(&got.body).contains("hunter2"), "{form:?}: {}", got.json());
    }
    assert_eq!(api.get("/projects").await.json(), json!([]));
    assert_eq!(canary.knocks(), 0);
    for form in [
        "https://forge.example/x.git",
        "https://8.8.8.8/x.git",
        "https://1.1.1.1:8443/x.git",
        "https://172.32.0.1/x",
        "https://172.15.0.1/x",
        "https://100.128.0.1/x",
        "https://[2606:4700::1111]/x",
        "https://[2002:808:808::1]/x",
        "ssh://git@forge.example:2222/team/x.git",
        "git@forge.example:team/x.git",
        "https://127.forge.example/x",
        "https://0x7f.forge.example/x",
        "https://localhost.forge.example/x",
        "/srv/git/x.git",
        "file:///srv/git/x.git",
    ] {
        let got = api.post("/projects", &json!({ "name": "x", "git_url": form })).await;
        assert_eq!(got.status, StatusCode::CREATED, "{form}: {}", got.json());
    }
}

#[tokio::test]
async fn git_contacts_no_forbidden_address() {
    let canary = Canary::listen();
    let environment = crate::git::fixture::environment();
    let folder = tempfile::tempdir().unwrap();
    let look = async |form: &str, hosts: Hosts| {
        git::inspect(Path::new("git"), &environment, form, folder.path(), hosts).await
    };
    for form in canary.forms() {
        let looked = look(&form, Hosts::Public).await;
        assert!(looked.is_err(), "{form:?}");
    }
    assert_eq!(canary.knocks(), 0);
    let form = format!("https://127.0.0.1:{}/x.git", canary.port);
    let told = look(&form, Hosts::Public).await.expect_err("refused").to_string();
    assert!(told.contains("TASKSGODZILLA_ALLOW_PRIVATE_HOSTS"), "{told}");
    let canary_hears = tokio::time::timeout(std::time::Duration::from_secs(20), async {
        let mut asked = Box::pin(look(&form, Hosts::Any));
        loop {
            tokio::select! {
                _ = &mut asked => break,
                () = tokio::time::sleep(std::time::Duration::from_millis(20)) => {}
            }
            if canary.knocks() > 0 {
                break;
            }
        }
    });
    canary_hears.await.expect("git ends or knocks");
    assert!(canary.knocks() > 0, "with the setting the canary hears git");
}
