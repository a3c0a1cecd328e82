//! A set of ports that packets ask, without a lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One bit for each port.
#[derive(Debug)]
pub(super) struct Ports(Box<[AtomicU64]>);

impl Default for Ports {
    fn default() -> Self {
        Self((0..1024).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Ports {
    #[inline]
    pub(super) fn has(&self, port: u16) -> bool {
        let word = self.0.get(usize::from(port >> 6));
        word.is_some_and(|word| word.load(Relaxed) & bit(port) != 0)
    }

    pub(super) fn add(&self, port: u16) {
        if let Some(word) = self.0.get(usize::from(port >> 6)) {
            word.fetch_or(bit(port), Relaxed);
        }
    }

    pub(super) fn remove(&self, port: u16) {
        if let Some(word) = self.0.get(usize::from(port >> 6)) {
            word.fetch_and(!bit(port), Relaxed);
        }
    }
}

const fn bit(port: u16) -> u64 {
    1 << (port & 63)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_port_is_by_itself() {
        let ports = Ports::default();
        for port in [0, 63, 64, 50_000, u16::MAX] {
            assert!(!ports.has(port));
            ports.add(port);
            assert!(ports.has(port) && !ports.has(port ^ 1), "{port}");
            ports.remove(port);
            assert!(!ports.has(port), "{port}");
        }
    }
}
