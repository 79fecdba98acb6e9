//! Loop, trigger and auto-advance after a step ended.
