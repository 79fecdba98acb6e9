//! Prompt templates with strict placeholders, and fingerprints of every text an engine is given.
