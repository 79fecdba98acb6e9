//! The planner's answer: schema, checks, and the rules for simple steps and required headings.
