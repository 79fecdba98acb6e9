//! Which git this is and whether it is new enough. Looks at no repository.

use std::{path::Path, time::Duration};

use super::{
    GitError, Hosts,
    builder::{Call, Starter, Subcommand},
    explain,
};

/// Oldest git whose flags we rely on.
pub const MINIMUM_VERSION: (u32, u32) = (2, 38);

/// What the minimum brings, as it is said to a person.
const REASON: &str = "older versions ignore safe.bareRepository, which keeps git from taking settings from \
                      a repository that lies inside a worktree";

/// Version of git, checked against `MINIMUM_VERSION`; `environment` names the `PATH` to look on.
///
/// # Errors
/// `GitError::Unusable` when git is absent, unreadable or too old.
pub async fn version(program: &Path, environment: &[(String, String)]) -> Result<String, GitError> {
    let starter = Starter { program, environment, hosts: Hosts::Public, timeout: Duration::from_secs(20) };
    let output = Call::new(starter, Subcommand::Version).run().await?;
    if output.status != Some(0) {
        return Err(GitError::Unusable(format!(
            "git does not say its version: {}; reinstall git",
            explain::tail(&output.stderr)
        )));
    }
    check(&String::from_utf8_lossy(&output.stdout))
}

/// Reads `git version 2.47.3 (…)`.
fn check(text: &str) -> Result<String, GitError> {
    let (major, minor) = MINIMUM_VERSION;
    let word = text.trim().strip_prefix("git version ").and_then(|rest| rest.split_whitespace().next());
    let numbers = word.and_then(|word| {
        let mut parts = word.split('.');
        let major: u32 = parts.next()?.parse().ok()?;
        let minor: u32 = parts.next()?.parse().ok()?;
        Some((major, minor))
    });
    match (word, numbers) {
        (Some(word), Some(found)) if found >= MINIMUM_VERSION => Ok(word.to_owned()),
        (Some(word), Some(_)) => Err(GitError::Unusable(format!(
            "git {word} is too old; install git {major}.{minor} or newer: {REASON}"
        ))),
        _ => Err(GitError::Unusable(format!(
            "git does not say its version: {:?}; install git {major}.{minor} or newer",
            text.chars().take(80).collect::<String>()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn versions_are_read_and_old_ones_refused() {
        assert_eq!(check("git version 2.47.3\n").unwrap(), "2.47.3");
        assert_eq!(check("git version 2.39.5 (Apple Git-154)\n").unwrap(), "2.39.5");
        assert_eq!(check("git version 3.0.0-rc1\n").unwrap(), "3.0.0-rc1");
        let old = check("git version 2.37.9\n").unwrap_err().to_string();
        assert!(old.contains("2.37.9 is too old") && old.contains("2.38"), "{old}");
        assert!(check("gti 1\n").is_err());
        assert!(check("").is_err());
    }
}
