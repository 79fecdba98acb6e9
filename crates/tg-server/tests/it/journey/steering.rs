//! A person steers while an agent is at work: pause, resume, cancel.
