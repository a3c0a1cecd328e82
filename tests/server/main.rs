//! The server as a process of its own on loopback.

mod advisories;
mod amplification;
mod certificates;
mod control;
mod denied_peers;
mod dtls_clients;
mod handshakes;
mod icmp_errors;
mod indications;
mod ip_fields;
mod logs;
mod metrics;
mod mobility;
mod networks;
mod own_addresses;
mod process_rights;
mod rates;
mod relay_turn_client_proto;
mod relay_webrtc_rs;
mod reload;
mod reload_listeners;
mod server_process;
mod strangers;
mod streams;
mod tcp_relay;
mod unproven;
