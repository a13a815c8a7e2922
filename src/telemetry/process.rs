//! What the system says of this process, under the names that every exporter has (`process_*`).
//!
//! Read from `/proc` at each scrape; where there is none, nothing is told. By hand, because the
//! registry's own collector counts processor time in whole seconds, and would bring a second
//! `rustix`. It must not know what the process does.

use std::fs;

use prometheus::Registry;

use super::pulled::{Kind, Pulled};

/// Ticks of a second in what Linux tells programs (`USER_HZ`), whatever the kernel's own are.
const TICKS: f64 = 100.0;

/// Reads one number; `None`: the system does not say.
type Read = fn() -> Option<f64>;

/// Has it all read at each scrape.
pub(super) fn register(registry: &Registry) {
    let metrics: [(Kind, (&str, &str), Read); 7] = [
        (
            Kind::Counter,
            (
                "process_cpu_seconds_total",
                "Processor time, of the program and of the system for it.",
            ),
            cpu_seconds,
        ),
        (Kind::Gauge, ("process_resident_memory_bytes", "Memory that is really there."), || {
            status_bytes("VmRSS:")
        }),
        (Kind::Gauge, ("process_virtual_memory_bytes", "Memory that is mapped."), || {
            status_bytes("VmSize:")
        }),
        (Kind::Gauge, ("process_open_fds", "Files and sockets that are open."), open_fds),
        (Kind::Gauge, ("process_max_fds", "Files and sockets that may be open."), max_fds),
        (Kind::Gauge, ("process_threads", "Threads of all kinds."), threads),
        (
            Kind::Gauge,
            ("process_start_time_seconds", "When the process began, in seconds since 1970."),
            start_time,
        ),
    ];
    for (kind, name, read) in metrics {
        // Nothing is told where the system says nothing.
        if read().is_none() {
            continue;
        }
        let pulled = Pulled::one(kind, name, move || read().unwrap_or(f64::NAN));
        if let Err(error) = pulled.and_then(|pulled| registry.register(Box::new(pulled))) {
            tracing::error!(metric = name.0, %error, "a metric cannot be watched");
        }
    }
}

/// A field of `/proc/self/stat` by its number in proc(5), from the third on: those before may
/// hold blanks.
fn stat(number: usize) -> Option<f64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

fn cpu_seconds() -> Option<f64> {
    Some((stat(14)? + stat(15)?) / TICKS)
}

fn threads() -> Option<f64> {
    stat(20)
}

fn start_time() -> Option<f64> {
    let system = fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.parse().ok()?;
    Some(boot + stat(22)? / TICKS)
}

/// A line of `/proc/self/status`, which is in KiB.
fn status_bytes(name: &str) -> Option<f64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: f64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0)
}

fn open_fds() -> Option<f64> {
    // The folder itself is open while it is read.
    let open = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    u32::try_from(open).ok().map(f64::from)
}

/// The limit in force; infinite where there is none.
fn max_fds() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/limits").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_ascii_whitespace().next()? {
        "unlimited" => Some(f64::INFINITY),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_told_of_as_it_is() {
        assert!(cpu_seconds().unwrap() >= 0.0);
        assert!(threads().unwrap() >= 1.0);
        assert!(open_fds().unwrap() >= 3.0 && open_fds() < max_fds());
        let (resident, mapped) =
            (status_bytes("VmRSS:").unwrap(), status_bytes("VmSize:").unwrap());
        assert!(resident > 1024.0 * 1024.0 && resident < mapped);
        let began = start_time().unwrap();
        let now = crate::clock::Clock::system().now().seconds();
        assert!(began > 1_600_000_000.0 && began < f64::from(u32::try_from(now).unwrap()) + 2.0);
    }
}
