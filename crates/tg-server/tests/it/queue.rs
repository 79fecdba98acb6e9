//! Life of a job, on both databases.
