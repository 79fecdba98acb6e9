//! Reads PASS or FAIL out of a QA report, nothing in between.
