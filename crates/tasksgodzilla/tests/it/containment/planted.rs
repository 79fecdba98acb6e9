//! What an agent plants: programs for our git to run, links for us to follow.

use super::hostile;
use crate::story::{BRANCH, Story};

/// Stands in files outside that a planted link leads to.
const SECRET: &str = "SENTINEL-BEHIND-A-LINK";

/// Plants a program for every way in which git runs one.
fn programs(story: &Story) -> String {
    let fired = story.env.path("fired");
    std::fs::create_dir_all(&fired).unwrap();
    let tree = story.worktree();
    let (fired, tree) = (fired.display(), tree.display());
    format!(
        r#"
cat >payload.sh <<'END'
#!/bin/sh
touch {fired}/"$1" {tree}/fired-"$1"
cat
END
chmod +x payload.sh
settings() {{
cat <<END
[core]
	fsmonitor = {tree}/payload.sh fsmonitor-$1
	hooksPath = {tree}/hooks
	sshCommand = {tree}/payload.sh ssh-$1
	pager = {tree}/payload.sh pager-$1
	editor = {tree}/payload.sh editor-$1
	attributesFile = {tree}/.gitattributes
	worktree = {tree}/..
[filter "evil"]
	clean = {tree}/payload.sh clean-$1
	smudge = {tree}/payload.sh smudge-$1
	process = {tree}/payload.sh process-$1
	required = true
[diff "evil"]
	command = {tree}/payload.sh diff-$1
	textconv = {tree}/payload.sh textconv-$1
[diff]
	external = {tree}/payload.sh external-$1
[merge "evil"]
	driver = {tree}/payload.sh merge-$1
[gpg]
	program = {tree}/payload.sh gpg-$1
[commit]
	gpgSign = true
[credential]
	helper = !{tree}/payload.sh credential-$1
[remote "origin"]
	url = ext::{tree}/payload.sh% ext-$1
	uploadpack = {tree}/payload.sh uploadpack-$1
	receivepack = {tree}/payload.sh receivepack-$1
[include]
	path = {tree}/included
END
}}
mkdir -p hooks nested/sub
for hook in pre-commit prepare-commit-msg commit-msg post-commit post-checkout pre-push reference-transaction post-index-change pre-auto-gc; do
    printf '#!/bin/sh\n{tree}/payload.sh hook-%s </dev/null\n' $hook >hooks/$hook
    chmod +x hooks/$hook
done
printf '* filter=evil diff=evil merge=evil text=auto ident\n' >.gitattributes
settings included >included
settings home >"$HOME/.gitconfig"
mkdir -p "$HOME/.config/git"; settings xdg >"$HOME/.config/git/config"; cp .gitattributes "$HOME/.config/git/attributes"
# A repository in the repository, and one that pretends to be a submodule.
for place in nested/sub/.git; do
    mkdir -p $place/objects $place/refs/heads $place/hooks
    echo 'ref: refs/heads/main' >$place/HEAD
    settings nested >$place/config
    cp hooks/* $place/hooks/
done
printf '[submodule "x"]\n\tpath = nested/sub\n\turl = ext::{tree}/payload.sh%% submodule\n\tupdate = !{tree}/payload.sh update\n' >.gitmodules
# Its own git folder, where it can.
settings own >>.git/config; cp hooks/* .git/hooks/ || {{ mkdir -p .git/hooks && cp hooks/* .git/hooks/; }}
rm -rf .git && mkdir -p .git/objects .git/refs/heads .git/hooks && echo 'ref: refs/heads/main' >.git/HEAD && settings swapped >.git/config && cp hooks/* .git/hooks/
echo planted >>"$HOME/planted"
"#
    )
}

/// A run whose agent plants programs early; everything that follows meets them.
fn nothing_planted_runs(sandbox: &str) {
    let mut story = Story::new();
    story.env.set("TASKSGODZILLA_SANDBOX", sandbox);
    let text = programs(&story);
    story.script(&hostile(&text));
    let ended = story.env.run(&story.begin());
    assert_eq!(story.noted("planted").len(), 1, "{ended:?}");
    story.ended_honestly(&ended);
    let names = |place: &std::path::Path| -> Vec<String> {
        std::fs::read_dir(place)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect()
    };
    assert_eq!(names(&story.env.path("fired")), Vec::<String>::new());
    let beside: Vec<_> =
        names(&story.worktree()).into_iter().filter(|name| name.starts_with("fired-")).collect();
    assert_eq!(beside, Vec::<String>::new());
    assert_eq!(story.run()["status"], "completed", "{ended:?}");
    assert_eq!(story.env.git(&story.repository, &["status", "--porcelain"]), "");
    // The files themselves are work like any other and are kept.
    assert!(story.left().files.iter().any(|name| name == "payload.sh"));
}

#[test]
fn programs_planted_for_git_never_run() {
    nothing_planted_runs("auto");
}

#[test]
fn programs_planted_for_git_never_run_even_when_the_agent_was_unconfined() {
    nothing_planted_runs("off");
}

/// An agent that plants links to a folder outside: nothing is written there, nothing is read from there.
fn no_link_is_followed(text: &str) {
    let mut story = Story::new();
    let outside = story.env.path("outside");
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::write(outside.join("victim"), SECRET).unwrap();
    let text = text
        .replace("OUTSIDE", outside.to_str().unwrap())
        .replace("PROTOCOL", &format!(".protocols/{BRANCH}"));
    story.script(&hostile(&format!("set -e\n{text}\necho planted >>\"$HOME/planted\"")));
    let ended = story.env.run(&story.begin());
    assert!(!story.noted("planted").is_empty(), "{ended:?}");
    story.ended_honestly(&ended);
    assert_eq!(std::fs::read_to_string(outside.join("victim")).unwrap(), SECRET);
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1, "something was written outside");
    let shown = format!("{ended:?}{:?}{:?}{:?}", story.run(), story.calls(), story.events());
    assert!(!shown.contains(SECRET), "{shown}");
    let control = story.env.home().join("control/1.git");
    let history = story.env.git(&control, &["log", "--all", "-p", "--no-ext-diff", "--no-textconv"]);
    assert!(history.contains("feat(protocol)") && !history.contains(SECRET));
    for call in std::fs::read_dir(story.env.home().join("runs")).unwrap() {
        let log = std::fs::read_to_string(call.unwrap().path().join("logs.txt")).unwrap();
        assert!(!log.contains(SECRET), "{log}");
    }
}

#[test]
fn a_planted_output_does_not_lead_outside() {
    no_link_is_followed("mkdir -p PROTOCOL/outputs; ln -sf OUTSIDE/victim PROTOCOL/outputs/01-implement.md");
}

#[test]
fn a_planted_folder_of_outputs_or_reports_does_not_lead_outside() {
    no_link_is_followed(
        "rm -rf PROTOCOL/outputs PROTOCOL/reports; ln -s OUTSIDE PROTOCOL/outputs; ln -s OUTSIDE PROTOCOL/reports",
    );
}

#[test]
fn a_planted_diary_context_and_report_do_not_lead_outside() {
    no_link_is_followed(
        "for name in log.md context.md plan.md quality-report.md 02-verify.md; do ln -sf OUTSIDE/victim PROTOCOL/$name; done",
    );
}

#[test]
fn a_planted_protocol_folder_does_not_lead_outside() {
    no_link_is_followed("rm -rf .protocols; mkdir .protocols; ln -s OUTSIDE PROTOCOL");
}

#[test]
fn a_planted_folder_of_protocols_does_not_lead_outside() {
    no_link_is_followed("rm -rf .protocols; ln -s OUTSIDE .protocols");
}
