//! What the operator wants: the keys, their defaults, and the checks that turn a file, the
//! environment and the command line into one [`Config`] that the rest can rely on.
//!
//! The table in `keys` says what there is; `schema` finds a key in it by name, and `hints` what a wrong
//! name may have meant. The way of a value: `config_load` finds the file; `load` merges file, environment and
//! flags into `settings`; `read` takes values of the right type out of them; `check` and its helpers
//! (`external`, `listeners`, `tls`, `credentials`, `secrets`) turn them into a [`Config`]; `error` tells what
//! is wrong. `reload` compares two configurations.
#![forbid(unsafe_code)]

mod account;
mod address;
mod allowed_peer;
mod args;
mod as_tenant;
mod build;
mod change;
mod check;
mod colours;
mod config;
mod config_load;
pub mod coturn;
mod credentials;
mod database_check;
mod database_url;
mod environment;
mod error;
mod external;
mod fleet;
mod fleet_check;
mod hints;
pub mod homeserver;
mod ice;
mod kernel_relay;
mod key;
mod key_table;
mod keys;
mod listeners;
mod load;
mod log_format;
mod log_level;
mod nat_discovery;
mod nearest;
mod networks;
mod page_access;
mod peer_rules;
mod placeholder;
mod rates;
mod read;
mod record_addresses;
mod records_check;
mod records_url;
mod redirect;
mod reload;
mod removal;
pub mod rows;
mod schema;
mod secret;
mod secret_hashes;
mod secrets;
mod settings;
mod shown;
mod sql;
mod stop;
mod tenant;
mod tenant_checks;
mod tenants;
mod tls;
mod top_level;
mod transport;
mod unfilled;
pub mod uris;
mod value;
mod web;

pub use account::Account;
pub use address::{is_dns_name, parse_host};
pub use allowed_peer::{AllowedAddresses, AllowedPeer};
pub use args::ServerArgs;
pub use as_tenant::NoTenant;
pub use change::Change;
pub use colours::with_colours;
pub use config::{Config, ExternalIp, Listen, Loaded, Tls};
pub use coturn::Translation;
pub use database_url::{DatabaseUrl, RedisPlace, RedisUrl};
pub use environment::Environment;
pub use error::{ConfigErrors, Note, NoteLevel, Place, Problem, Topic};
pub use fleet::{FleetName, FleetPlace, FleetUrl};
pub use kernel_relay::{InterfaceName, KernelMode};
pub use key::{Key, Kind, OnReload, Section, Shows};
pub use keys::{
    Admin, Auth, Database, Fleet, Ice, KernelRelay, Limits, Log, MOST_WORKERS, Peers, Process,
    Protocol, Records, SECTIONS, Tuning,
};
pub use log_format::LogFormat;
pub use log_level::{BadFilter, LogFilter};
pub use networks::allow_line;
pub use page_access::PageAccess;
pub use placeholder::placeholder;
pub use read::{parse_duration, show_duration};
pub use record_addresses::RecordAddresses;
pub use records_url::RecordsUrl;
pub use removal::OnRemoval;
pub use secret::Secret;
pub use secrets::{control_sockets, secret_in, users_file};
pub use sql::{BadSqlUrl, SqlPlace, SqlSchema, SqlUrl};
pub use stop::Stop;
pub use taciturn_turn::{NatDiscovery, Redirect, RelayAddress};
pub use tenant::Tenant;
pub use tenants::MOST_TENANTS;
pub use transport::Transport;

use build::{Generate, build};
