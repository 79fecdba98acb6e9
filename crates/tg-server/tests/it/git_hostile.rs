//! Nothing that a repository or an agent configures is run by our git.
