//! What the machine is and what a process cost, read from `/proc`.

use std::{fs, time::Duration};

/// Ticks of the kernel's process clock in a second.
const TICKS: u64 = 100;

/// Processor, memory, kernel and git in a line.
pub fn description() -> String {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let of = |key: &str| {
        let line = processors.lines().find(|line| line.starts_with(key));
        line.and_then(|line| line.split(": ").nth(1)).unwrap_or("?").trim().to_owned()
    };
    let count = processors.lines().filter(|line| line.starts_with("processor")).count();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total =
        memory.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok()).unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "machine: {count} x {}, {} MiB memory, Linux {}, {}",
        of("model name"),
        total / 1024,
        kernel.trim(),
        git_version()
    )
}

#[expect(clippy::disallowed_methods, reason = "a bench asks the machine itself")]
fn git_version() -> String {
    let output = std::process::Command::new("git").arg("--version").output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// Processor time of a process so far.
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    /// By the process itself.
    pub own: Duration,
    /// By its ended children and theirs.
    pub children: Duration,
}

impl Spent {
    /// Of this process.
    pub fn now() -> Self {
        Self::of(std::process::id())
    }

    /// Of a process of ours.
    pub fn of(process: u32) -> Self {
        let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // The name in parentheses may hold spaces; what follows it does not.
        let fields: Vec<u64> = text
            .rsplit(") ")
            .next()
            .unwrap_or_default()
            .split(' ')
            .map(|word| word.parse().unwrap_or_default())
            .collect();
        let ticks = |at: usize| fields.get(at).copied().unwrap_or_default();
        let time = |count: u64| Duration::from_millis(count * 1000 / TICKS);
        Self { own: time(ticks(11) + ticks(12)), children: time(ticks(13) + ticks(14)) }
    }

    /// What was spent since an earlier look.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            own: self.own.saturating_sub(earlier.own),
            children: self.children.saturating_sub(earlier.children),
        }
    }
}

/// Resident memory of a process, in KiB; `peak` is the highest it ever had.
pub fn resident(process: u32, peak: bool) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let key = if peak { "VmHWM:" } else { "VmRSS:" };
    let line = status.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or_default()
}
