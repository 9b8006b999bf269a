//! The resources that a process uses, from `/proc`.

use std::fs;

/// The kernel counts processor time in hundredths of a second.
const MICROSECONDS_PER_TICK: f64 = 10_000.0;

/// User and system time of a process so far, in microseconds. 0 when the process has ended.
pub(crate) fn cpu_us(pid: u32) -> f64 {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return 0.0;
    };
    // The name in parentheses may hold any character, so that fields are counted after it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 = fields
        .split_ascii_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    ticks as f64 * MICROSECONDS_PER_TICK
}

/// Resident memory, in bytes.
pub(crate) fn memory(pid: u32) -> u64 {
    bytes(pid, "status", "VmRSS:")
}

/// Resident memory, in bytes. A page that several processes share counts proportionally (PSS).
pub(crate) fn proportional_memory(pid: u32) -> u64 {
    bytes(pid, "smaps_rollup", "Pss:")
}

/// Reads a line of a file in `/proc`, whose unit is KiB.
fn bytes(pid: u32, file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap_or_default();
    line.split_ascii_whitespace()
        .next()
        .and_then(|kib| kib.parse::<u64>().ok())
        .unwrap_or_default()
        * 1024
}

/// The child processes of a process.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_ascii_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// Raises the limit of open files, for this process and those that it starts.
pub(crate) fn allow_files(wanted: u64) -> Result<(), String> {
    let allowed = rlimit::increase_nofile_limit(wanted).unwrap_or_default();
    if allowed >= wanted {
        return Ok(());
    }
    Err(format!(
        "{wanted} open files are needed and {allowed} are allowed: \
         raise the hard limit (`ulimit -Hn`), or use fewer subscribers"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_may_not_open_everything() {
        assert!(memory(std::process::id()) > 100_000);
        assert!(
            (1..=memory(std::process::id())).contains(&proportional_memory(std::process::id()))
        );
        assert!(cpu_us(std::process::id()) >= 0.0);
        assert!(allow_files(u64::MAX).unwrap_err().contains("ulimit"));
    }
}
