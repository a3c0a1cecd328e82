//! What the values of coturn's options do, a function an option. The table names them.

pub(super) mod credentials;
pub(super) mod limits;
pub(super) mod listeners;
pub(super) mod peers;
pub(super) mod protocol;
pub(super) mod relay;
pub(super) mod tls;

use super::grammar;

fn port(value: &str) -> Result<u16, String> {
    grammar::number(value)
        .and_then(|number| u16::try_from(number).ok())
        .ok_or_else(|| format!("\"{value}\" is no port, 0 to 65535"))
}

fn number(value: &str) -> Result<u64, String> {
    grammar::number(value).ok_or_else(|| format!("\"{value}\" is no number"))
}
