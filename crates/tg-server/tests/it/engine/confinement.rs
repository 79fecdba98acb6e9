//! What a confined engine can see and write.
