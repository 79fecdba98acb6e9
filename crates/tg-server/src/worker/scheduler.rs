//! Repairs missed hand-overs: expired leases, stuck steps, steps that wait without a job.
