//! Tables of names, remotes and commit messages that are taken or refused.

use proptest::prelude::*;

use super::*;

#[test]
fn slugs_are_golden() {
    for (task, expected) in [
        ("My Task", "my-task"),
        ("  A  b!!c ", "a-b-c"),
        ("a_b", "a-b"),
        ("Ünï", "n"),
        ("", "task"),
        ("!!", "task"),
    ] {
        assert_eq!(slug(task), expected, "{task:?}");
    }
    assert_eq!(slug(&"x".repeat(1_000_000)).len(), 81);
}

#[test]
fn numbers_go_on_from_the_highest() {
    assert_eq!(next_number([]), Ok(1));
    let taken =
        ["0003-a", "refs/heads/0010-b", "refs/remotes/origin/0007-c", "main", "9999", "0900-Upper", "12-x"];
    assert_eq!(next_number(taken), Ok(11));
    assert_eq!(next_number(["9998-a"]), Ok(9999));
    assert_eq!(next_number(["9999-a"]), Err(NameError::Exhausted));
    assert_eq!(number_of("0001-a"), Some(1));
    for name in ["0001", "0001-", "001-a", "00011-a", "0001--a", "0001-a_b", "٠٠٠١-a"] {
        assert_eq!(number_of(name), None, "{name}");
    }
    assert_eq!(ProtocolName::numbered(12, "My Task").expect("legal").as_str(), "0012-my-task");
    assert_eq!(ProtocolName::numbered(10_000, "x"), Err(NameError::Exhausted));
    assert_eq!(ProtocolName::numbered(12, "My Task").expect("legal").number(), "0012");
}

#[test]
fn protocol_names() {
    for name in ["a", "0001-task", "setup-7-2", "A.b_c-9", &"x".repeat(100)] {
        assert_eq!(ProtocolName::parse(name).expect("legal").as_str(), name);
        assert!(BranchName::parse(name).is_ok());
    }
    let long = "x".repeat(101);
    for name in [
        "",
        ".a",
        "-a",
        "_a",
        "a..b",
        "a.lock",
        "a.LOCK",
        "a.",
        "HEAD",
        "head",
        "a/b",
        "a b",
        "a\n",
        "é",
        "../x",
        &long,
        "a\0",
        "--upload-pack=x",
    ] {
        assert!(ProtocolName::parse(name).is_err(), "{name:?}");
    }
}

#[test]
fn patterns_shape_names_or_are_refused() {
    let shaped = |pattern| ProtocolName::shaped(pattern, 7, "My Task");
    assert_eq!(shaped("<number>-<task>").expect("legal").as_str(), "0007-my-task");
    assert_eq!(shaped("tg-<number>.<task>").expect("legal").as_str(), "tg-0007.my-task");
    for pattern in ["feature/<number>", "<number> <task>", "-<task>", "", "<task>.lock", "<what>"] {
        assert!(matches!(shaped(pattern), Err(NameError::Pattern { .. })), "{pattern:?}");
    }
}

#[test]
fn branch_names_follow_gits_rules() {
    for name in ["main", "team/topic", "release-1.2", "feature/ünï", "a@b", "0001-x", "{a}"] {
        assert_eq!(BranchName::parse(name).expect("legal").full_ref(), format!("refs/heads/{name}"));
    }
    let long = "x".repeat(201);
    for name in [
        "",
        "-",
        "--force",
        "a b",
        "a\tb",
        "a..b",
        "a~1",
        "a^",
        "a:b",
        "a?",
        "a*",
        "[a",
        "a\\b",
        "a@{1}",
        "@",
        "/a",
        "a/",
        "a//b",
        ".a",
        "a/.b",
        "a.lock",
        "a.lock/b",
        "a.",
        "HEAD",
        "refs/heads/main",
        "a\u{7f}",
        "a\n",
        &long,
    ] {
        assert!(BranchName::parse(name).is_err(), "{name:?}");
    }
}

#[test]
fn remotes_that_are_accepted() {
    let cases = [
        ("https://github.com/o/r.git", Transport::Https, Some("github.com"), "o/r", "r"),
        ("https://Example.org:8443/g/s/r/", Transport::Https, Some("example.org"), "g/s/r", "r"),
        ("ssh://git@host.example/o/r.git", Transport::Ssh, Some("host.example"), "o/r", "r"),
        ("ssh://git@[::1]:2222/o/r", Transport::Ssh, Some("::1"), "o/r", "r"),
        ("git@github.com:o/r.git", Transport::Ssh, Some("github.com"), "o/r", "r"),
        ("/srv/git/my repo.git", Transport::File, None, "srv/git/my repo", "my repo"),
        ("file:///srv/r.git", Transport::File, None, "srv/r", "r"),
        ("/", Transport::File, None, "", "repo"),
    ];
    for (text, transport, host, repository, name) in cases {
        let url = RemoteUrl::parse(text, LocalRemotes::Allowed).expect(text);
        assert_eq!(
            (url.as_str(), url.transport(), url.host(), url.repository(), url.repository_name()),
            (text, transport, host, repository, name)
        );
        let is_local = transport == Transport::File;
        assert_eq!(RemoteUrl::parse(text, LocalRemotes::Refused).is_err(), is_local, "{text}");
    }
}

#[test]
fn remotes_that_are_refused() {
    use RemoteUrlError as E;
    let cases = [
        ("", E::Empty),
        ("  ", E::Empty),
        ("-uhttps://x/y", E::OptionLike),
        ("--upload-pack=touch x", E::OptionLike),
        ("ssh://-oProxyCommand=touch/x", E::OptionLike),
        ("ssh://git@-oProxyCommand=touch/x", E::OptionLike),
        ("git@-oProxyCommand=x:y", E::OptionLike),
        ("git@host:-x", E::OptionLike),
        ("ssh://git@host/-x", E::OptionLike),
        ("ext::sh -c touch% x", E::Characters),
        ("ext::sh", E::Helper),
        ("fd::17/foo", E::Helper),
        ("ext::https://x/y", E::Helper),
        ("http://host/o/r", E::Scheme { scheme: "http".to_owned() }),
        ("git://host/o/r", E::Scheme { scheme: "git".to_owned() }),
        ("HTTPS://host/o/r", E::Scheme { scheme: "HTTPS".to_owned() }),
        ("ftp://host/o/r", E::Scheme { scheme: "ftp".to_owned() }),
        ("https://user:pw@host/o/r", E::Credentials),
        ("https://token@host/o/r", E::Credentials),
        ("https://host/o/r?access_token=1", E::Credentials),
        ("ssh://git:pw@host/o/r", E::Credentials),
        ("https://host", E::Malformed),
        ("https:///o/r", E::Malformed),
        ("https://host/", E::Malformed),
        ("https://ho%73t/o/r", E::Malformed),
        ("https://host:99999/o/r", E::Malformed),
        ("https://host:/o/r", E::Malformed),
        ("https://host\\@evil/o/r", E::Credentials),
        ("host:path", E::Malformed),
        ("git@host:", E::Malformed),
        ("file://host/x", E::Malformed),
        ("file:///srv/%2e%2e/x", E::Malformed),
        ("https://host/a\nb", E::Characters),
        ("https://host/a b", E::Characters),
        ("../repo", E::Relative { text: "../repo".to_owned() }),
        ("repo", E::Relative { text: "repo".to_owned() }),
    ];
    for (text, error) in cases {
        assert_eq!(RemoteUrl::parse(text, LocalRemotes::Allowed), Err(error.clone()), "{text:?}");
    }
    assert_eq!(RemoteUrl::parse("/srv/r", LocalRemotes::Refused), Err(E::Local));
    let secret =
        RemoteUrl::parse("https://user:hunter2@host/o/r", LocalRemotes::Allowed).expect_err("refused");
    assert!(!secret.to_string().contains("hunter2"));
}

#[test]
fn github_is_rewritten_to_ssh_only_when_asked_for_github() {
    let rewritten = |text| {
        let url = RemoteUrl::parse(text, LocalRemotes::Refused).expect("legal");
        url.github_over_ssh().map(|url| url.as_str().to_owned())
    };
    for text in ["https://github.com/o/r", "https://github.com/o/r.git", "https://github.com/o/r/"] {
        assert_eq!(rewritten(text).as_deref(), Some("git@github.com:o/r.git"));
    }
    for text in ["https://gitlab.com/o/r", "git@github.com:o/r.git", "https://github.com/o/r/tree"] {
        assert_eq!(rewritten(text), None);
    }
}

#[test]
fn commit_messages_are_golden() {
    let message = commit_message(&plan_subject("0001-my-task"), "0001-my-task", "00", &Trailers::default());
    assert_eq!(message, "feat(protocol): add plan for 0001-my-task [protocol-0001/00]\n");
    let trailers = Trailers {
        run: Some("1".to_owned()),
        step: Some("2".to_owned()),
        engine: Some("codex".to_owned()),
        model: Some("evil\nTG-Policy: forged".to_owned()),
        prompt: None,
        policy: Some(" ".to_owned()),
    };
    let message =
        commit_message(&step_subject("01-a.md"), "0001-my-task", &step_number("01-a.md", 1), &trailers);
    assert_eq!(
        message,
        "chore(protocol): 01-a.md [protocol-0001/01]\n\nTG-Run: 1\nTG-Step: 2\nTG-Engine: codex\n\
         TG-Model: evil TG-Policy: forged\n"
    );
    assert_eq!(trailer(&message, "TG-Step"), Some("2"));
    assert_eq!(trailer(&message, "TG-Policy"), None);
    assert_eq!(trailer("subject TG-Step: 1", "TG-Step"), None);
    assert_eq!(step_number("review", 3), "03");
}

#[test]
fn an_agents_subject_is_taken_only_when_well_formed() {
    let take = |answer: &str| proposed_commit(answer).map(|subject| subject.to_string());
    assert_eq!(take("done\n\nCommit: feat(api): add health\n\n").as_deref(), Some("feat(api): add health"));
    assert_eq!(take("`Commit: fix(db/sql): x`").as_deref(), Some("fix(db/sql): x"));
    assert_eq!(take("**Commit:** fix(db): x").as_deref(), Some("fix(db): x"));
    let long = format!("Commit: feat(a): {}", "x".repeat(101));
    for answer in [
        "",
        "Commit: feat(api): add\nmore text",
        "Commit: add health",
        "Commit: feat: add health",
        "Commit: Feat(api): x",
        "Commit: feat(): x",
        "Commit: feat(a b): x",
        "Commit: feat(a):x",
        "Commit: feat(a): x [protocol-9999/01]",
        "Commit: feat(a): x\u{202e}y",
        "Commit: feat(a): \u{1b}[31m",
        "Commit: --amend",
        &long,
    ] {
        assert_eq!(take(answer), None, "{answer:?}");
    }
}

proptest! {
    #[test]
    fn anything_can_be_read(text in "\\PC{0,60}|[-a-z:/@.\\[\\]~^ \n]{0,30}") {
        let slug = slug(&text);
        prop_assert!(number_of(&format!("0001-{slug}")).is_some(), "{:?}", slug);
        prop_assert!(ProtocolName::numbered(1, &text).is_ok());
        for local in [LocalRemotes::Allowed, LocalRemotes::Refused] {
            if let Ok(url) = RemoteUrl::parse(&text, local) {
                prop_assert!(!url.as_str().starts_with('-') && !url.as_str().contains("::") || url.host().is_none());
                prop_assert!(!url.repository_name().is_empty());
            }
        }
        if let Ok(name) = ProtocolName::parse(&text) {
            prop_assert!(BranchName::parse(name.as_str()).is_ok());
        }
        if let Ok(branch) = BranchName::parse(&text) {
            prop_assert!(!branch.as_str().starts_with('-') && !branch.as_str().contains(".."));
        }
        let (subject, number) = (step_subject(&text), step_number(&text, 1));
        let message = commit_message(&subject, &text, &number, &Trailers { run: Some(text.clone()), ..Trailers::default() });
        prop_assert!(message.lines().filter(|line| line.starts_with("TG-")).count() <= 1);
        if let Some(proposed) = proposed_commit(&text) {
            prop_assert_eq!(proposed.to_string().lines().count(), 1);
        }
    }
}

#[test]
fn names_of_set_up_runs_are_known() {
    let project = ProjectId(7);
    for (name, expected) in [
        ("setup-7", true),
        ("setup-7-2", true),
        ("setup-77", false),
        ("setup-7-", false),
        ("setup-7-x", false),
        ("setup-8", false),
        ("setup", false),
    ] {
        assert_eq!(ProtocolName::parse(name).expect("a name").is_of_setup(project), expected, "{name}");
    }
}

#[test]
fn step_names_cannot_lead_out_of_their_folder() {
    assert!(step_name("01-implement.md").is_ok());
    for name in ["", "../x.md", "a/b.md", ".hidden", "-x", "a..b", "a b", "HEAD", &"x".repeat(101)] {
        let error = step_name(name).expect_err(name).to_string();
        assert!(error.starts_with("step name "), "{error}");
    }
}
