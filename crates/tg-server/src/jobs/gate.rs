//! May this job proceed? An error blocks.
