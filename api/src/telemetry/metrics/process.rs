//! The process as the operating system sees it, under [standard
//! names](https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics).

use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

/// Asks the system at each scrape. Leaves out what the system does not report.
#[derive(Debug)]
pub(super) struct Process {
    started: f64,
}

impl Process {
    pub(super) fn new() -> Self {
        Self {
            started: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs_f64(),
        }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let system = System::read();
        if let Some(seconds) = system.cpu_seconds {
            let (counter, unit, help) = (
                ConstCounter::new(seconds),
                Unit::Seconds,
                "CPU time of the process.",
            );
            counter.encode(encoder.encode_descriptor(
                "process_cpu",
                help,
                Some(&unit),
                counter.metric_type(),
            )?)?;
        }
        let mut gauge = |name, help, unit: Option<Unit>, value: f64| {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(
                name,
                help,
                unit.as_ref(),
                gauge.metric_type(),
            )?)
        };
        gauge(
            "process_start_time",
            "Start time of the process since the Unix epoch.",
            Some(Unit::Seconds),
            self.started,
        )?;
        if let Some(bytes) = system.resident_bytes {
            gauge(
                "process_resident_memory",
                "Resident memory of the process.",
                Some(Unit::Bytes),
                bytes,
            )?;
        }
        if let Some(files) = system.open_files {
            gauge("process_open_fds", "Open file descriptors.", None, files)?;
        }
        if let Some(files) = system.max_files {
            gauge(
                "process_max_fds",
                "Limit of open file descriptors.",
                None,
                files,
            )?;
        }
        Ok(())
    }
}

/// What the system reports.
#[derive(Default)]
struct System {
    cpu_seconds: Option<f64>,
    resident_bytes: Option<f64>,
    open_files: Option<f64>,
    max_files: Option<f64>,
}

impl System {
    #[cfg(target_os = "linux")]
    #[allow(
        clippy::cast_precision_loss,
        reason = "no machine has 2⁵³ bytes or files"
    )]
    fn read() -> Self {
        use procfs::process::{LimitValue, Process};
        let Ok(process) = Process::myself() else {
            return Self::default();
        };
        let ticks = |stat: procfs::process::Stat| (stat.utime + stat.stime) as f64;
        Self {
            cpu_seconds: process
                .stat()
                .ok()
                .map(|stat| ticks(stat) / procfs::ticks_per_second() as f64),
            resident_bytes: process
                .status()
                .ok()
                .and_then(|status| status.vmrss)
                .map(|kib| (kib * 1024) as f64),
            open_files: process.fd_count().ok().map(|count| count as f64),
            max_files: process.limits().ok().and_then(|limits| {
                match limits.max_open_files.soft_limit {
                    LimitValue::Value(files) => Some(files as f64),
                    LimitValue::Unlimited => None,
                }
            }),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn read() -> Self {
        Self::default()
    }
}
