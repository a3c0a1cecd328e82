//! `turnctl` as its users run it.

mod bench;
mod check_capacity;
mod check_homeserver;
mod check_server;
mod command_lines;
mod credentials;
mod doctor;
mod health;
mod homeserver_snippet;
mod import_coturn;
mod import_coturn_options;
mod import_coturn_reports;
mod init;
mod secrets_unseen;
mod snippet;
