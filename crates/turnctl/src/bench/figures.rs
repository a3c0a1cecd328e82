//! The results of a run, for people and as JSON.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::args::Shape;
use super::traffic::Counts;

/// The result of a run.
pub(super) enum Figures {
    Traffic(TrafficFigures),
    Crowd(CrowdFigures),
}

/// Packets.
pub(super) struct TrafficFigures {
    pub(super) server: String,
    pub(super) shape: Shape,
    pub(super) elapsed: Duration,
    /// Packets that came out of the server in that time.
    pub(super) relayed: u64,
    /// Likewise from the first to the last.
    pub(super) relayed_in_all: u64,
    pub(super) counts: Counts,
    /// The server's, in that time.
    pub(super) cpu: Option<Duration>,
    pub(super) resident_kilobytes: Option<u64>,
}

/// Clients that send nothing.
pub(super) struct CrowdFigures {
    pub(super) server: String,
    /// What was opened: allocations or connections.
    pub(super) what: &'static str,
    pub(super) count: usize,
    pub(super) elapsed: Duration,
    pub(super) cpu: Option<Duration>,
    /// Before and after, in kilobytes.
    pub(super) memory: Option<(u64, u64)>,
}

impl Figures {
    /// One object, flat.
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Traffic(traffic) => traffic.to_json(),
            Self::Crowd(crowd) => crowd.to_json(),
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Traffic(traffic) => traffic.fmt(f),
            Self::Crowd(crowd) => crowd.fmt(f),
        }
    }
}

impl TrafficFigures {
    fn per_second(&self) -> f64 {
        self.relayed as f64 / self.elapsed.as_secs_f64()
    }

    /// Payload alone.
    fn bits_per_second(&self) -> f64 {
        self.per_second() * f64::from(self.shape.size) * 8.0
    }

    /// Lost on the way, the server's doing or the network's.
    fn lost(&self) -> u64 {
        let Counts { sent, arrived, unsent, .. } = self.counts;
        sent.saturating_sub(unsent).saturating_sub(arrived)
    }

    /// The configured packets per second of each source.
    fn asked(&self) -> Option<f64> {
        let Shape { flows, burst, rate, .. } = self.shape;
        rate.map(|rate| rate * f64::from(burst) * flows as f64)
    }

    fn sent_per_second(&self) -> f64 {
        let Counts { sent, unsent, .. } = self.counts;
        sent.saturating_sub(unsent) as f64 / self.elapsed.as_secs_f64()
    }

    /// Whether the load generator was too slow, so that the figures say little about the server.
    fn stayed_behind(&self) -> bool {
        self.asked().is_some_and(|asked| self.sent_per_second() < asked * 0.97)
    }

    fn cpu_per_packet(&self) -> Option<f64> {
        self.cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / self.relayed.max(1) as f64)
    }

    /// In microseconds; none where nothing has arrived.
    fn latency(&self, quantile: f64) -> Option<f64> {
        let latency = &self.counts.latency;
        (!latency.is_empty()).then(|| latency.value_at_quantile(quantile) as f64 / 1e3)
    }

    fn to_json(&self) -> Value {
        let shape = &self.shape;
        json!({
            "server": self.server,
            "flows": shape.flows,
            "size": shape.size,
            "burst": shape.burst,
            "rate": shape.rate,
            "spread": shape.spread,
            "spin": shape.spin,
            "direction": shape.direction.name(),
            "relayed_peers": shape.relayed_peers,
            "seconds": self.elapsed.as_secs_f64(),
            "relayed": self.relayed,
            "relayed_in_all": self.relayed_in_all,
            "relayed_per_second": self.per_second(),
            "payload_bits_per_second": self.bits_per_second(),
            "sent": self.counts.sent,
            "sent_per_second": self.sent_per_second(),
            "unsent": self.counts.unsent,
            "lost": self.lost(),
            "load_stayed_behind": self.stayed_behind(),
            "latency_p50_us": self.latency(0.5),
            "latency_p90_us": self.latency(0.9),
            "latency_p99_us": self.latency(0.99),
            "latency_max_us": self.latency(1.0),
            "server_cpu_ms": self.cpu.map(|cpu| cpu.as_secs_f64() * 1e3),
            "server_cpu_us_per_packet": self.cpu_per_packet(),
            "server_memory_kb": self.resident_kilobytes,
        })
    }
}

impl fmt::Display for TrafficFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = &self.shape;
        writeln!(f, "{}", self.server)?;
        let pace = match shape.rate {
            Some(rate) if shape.spread => format!("{rate} a second, spread"),
            Some(rate) => format!("{rate} a second"),
            None => "closed loop".to_owned(),
        };
        let peers = if shape.relayed_peers { ", relayed peers" } else { "" };
        writeln!(
            f,
            "  load     {} flows, {} bytes, bursts of {}, {pace}, direction {}{peers}, {:.1} s",
            shape.flows,
            shape.size,
            shape.burst,
            shape.direction.name(),
            self.elapsed.as_secs_f64(),
        )?;
        writeln!(
            f,
            "  relayed  {:.0} packets/s, {:.2} Mbit/s of payload",
            self.per_second(),
            self.bits_per_second() / 1e6
        )?;
        let sent = self.counts.sent.saturating_sub(self.counts.unsent);
        let share = self.lost() as f64 * 100.0 / sent.max(1) as f64;
        writeln!(f, "  lost     {} of {sent} ({share:.2} %)", self.lost())?;
        if let Some(max) = self.latency(1.0) {
            let at = |quantile| self.latency(quantile).unwrap_or_default() / 1e3;
            writeln!(
                f,
                "  latency  p50 {:.3} ms, p90 {:.3} ms, p99 {:.3} ms, max {:.3} ms",
                at(0.5),
                at(0.9),
                at(0.99),
                max / 1e3
            )?;
        }
        if let (Some(cpu), Some(per_packet)) = (self.cpu, self.cpu_per_packet()) {
            let share = cpu.as_secs_f64() * 100.0 / self.elapsed.as_secs_f64();
            write!(
                f,
                "  server   {per_packet:.2} us of CPU per relayed packet, {share:.1} % of a core"
            )?;
            match self.resident_kilobytes {
                Some(kilobytes) => writeln!(f, ", {kilobytes} kB of memory")?,
                None => writeln!(f)?,
            }
        }
        if self.stayed_behind() {
            writeln!(
                f,
                "  note     only {:.0} of {:.0} packets per second could be sent: this machine is the bottleneck",
                self.sent_per_second(),
                self.asked().unwrap_or_default()
            )?;
        }
        Ok(())
    }
}

impl CrowdFigures {
    fn per_second(&self) -> f64 {
        self.count as f64 / self.elapsed.as_secs_f64()
    }

    fn cpu_each(&self) -> Option<f64> {
        self.cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / self.count as f64)
    }

    fn kilobytes_each(&self) -> Option<f64> {
        self.memory.map(|(before, after)| after.saturating_sub(before) as f64 / self.count as f64)
    }

    fn to_json(&self) -> Value {
        json!({
            "server": self.server,
            "what": self.what,
            "count": self.count,
            "seconds": self.elapsed.as_secs_f64(),
            "made_per_second": self.per_second(),
            "server_cpu_us_each": self.cpu_each(),
            "memory_before_kb": self.memory.map(|(before, _)| before),
            "memory_after_kb": self.memory.map(|(_, after)| after),
            "memory_kb_each": self.kilobytes_each(),
        })
    }
}

impl fmt::Display for CrowdFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, count, .. } = self;
        writeln!(f, "{}", self.server)?;
        let seconds = self.elapsed.as_secs_f64();
        writeln!(
            f,
            "  made     {count} {what}s in {seconds:.2} s, {:.0} a second",
            self.per_second()
        )?;
        if let Some(cpu) = self.cpu_each() {
            writeln!(f, "  server   {cpu:.0} us of CPU each")?;
        }
        if let (Some(each), Some((_, after))) = (self.kilobytes_each(), self.memory) {
            writeln!(f, "  memory   {each:.1} kB each, {after} kB in all")?;
        }
        Ok(())
    }
}
