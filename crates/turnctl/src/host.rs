//! The option `--host` of several subcommands.

use super::CtlError;

/// Checks `--host`.
pub(super) fn host_argument(host: Option<&String>) -> Result<Option<String>, CtlError> {
    let parse = |host: &String| {
        taciturn_config::parse_host(host).ok_or_else(|| CtlError::Host(host.clone()))
    };
    host.map(parse).transpose()
}
