//! What the server keeps for the page while it runs.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use taciturn_control::{DoctorFinding, Traffic};

use super::data::DoctorReport;
use super::history::{History, Sample};
use super::tokens::Tokens;

/// Tokens, the last hour, and the last report of `turnctl doctor`.
#[derive(Debug, Default)]
pub struct PageState {
    /// The tokens that are valid.
    pub tokens: Tokens,
    address: OnceLock<String>,
    history: Mutex<History>,
    doctor: Mutex<Option<DoctorReport>>,
}

impl PageState {
    /// Notes where the page is: `http://127.0.0.1:9641/`.
    pub fn set_address(&self, address: String) {
        // It is served at one address, from the start on.
        let _ = self.address.set(address);
    }

    /// Returns where the page is; `None` if it is off.
    pub fn address(&self) -> Option<&str> {
        self.address.get().map(String::as_str)
    }

    /// Takes a sample of what was relayed since the start. `at` is in seconds since 1970.
    pub fn add_sample(&self, now: Instant, at: u64, total: Traffic) {
        self.history.lock().unwrap_or_else(PoisonError::into_inner).add(now, at, total);
    }

    /// Returns the samples of the last hour, the oldest first.
    pub fn samples(&self) -> Vec<Sample> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner).samples()
    }

    /// Replaces the report of `turnctl doctor`. `at` is in seconds since 1970.
    pub fn set_doctor(&self, at: u64, findings: Vec<DoctorFinding>) {
        let report = Some(DoctorReport { at, findings });
        *self.doctor.lock().unwrap_or_else(PoisonError::into_inner) = report;
    }

    /// Returns the last report of `turnctl doctor`.
    pub fn doctor(&self) -> Option<DoctorReport> {
        self.doctor.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
