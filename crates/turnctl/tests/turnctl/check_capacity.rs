//! `turnctl check` against servers that take the login and have no allocation to give: each says why
//! in its own words, and what the check makes of them is held here.
#![allow(clippy::unwrap_used)]

use testkit::datagrams;

use std::process::Command;

use datagrams::Datagrams;
use testkit::check::{Checked, check};
use testkit::server::Server;
use testkit::stream_client::{PASSWORD, REALM, StreamClient, USER};

/// A server for two users, with these keys and limits.
fn configuration(keys: &str, limits: &str) -> String {
    format!(
        "realm = \"{REALM}\"\nexternal_ip = \"127.0.0.1\"\n{keys}\n[admin]\nmetrics = \"off\"\n\
         [auth]\nusers = [\"{USER}:{PASSWORD}\", \"bob:another long password\"]\n[limits]\n{limits}\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\ntransport = \"udp\"\nname = \"first\"\n"
    )
}

/// What the check finds for a user of the server.
fn checked(server: &Server, user: &str, password: &str) -> Checked {
    let uri = format!("turn:{}", server.address);
    check(&[&uri, "--user", user], &[("TURNCTL_PASSWORD", password)])
}

/// An allocation of the first user, held by who gets it.
async fn call(server: &Server) -> StreamClient<Datagrams> {
    let mut client = StreamClient::new(datagrams::udp(server.address).await);
    client.allocate().await;
    client
}

#[tokio::test]
async fn a_server_that_drains_is_named_and_not_taken_for_a_full_one() {
    let server = Server::configured(&configuration("", ""));
    let _call = call(&server).await;
    let mut turnctl = Command::new(testkit::program::turnctl());
    let socket = server.state.path().join("control.sock");
    assert!(turnctl.arg("drain").arg("--socket").arg(socket).output().unwrap().status.success());
    let checked = checked(&server, USER, PASSWORD);
    checked.fails_with("server-draining");
    assert!(checked.words("server-draining").contains("turnctl drain --cancel"));
}

#[tokio::test]
async fn a_listener_that_was_removed_is_named() {
    let server = Server::configured(&configuration("", ""));
    let _call = call(&server).await;
    let other = configuration("", "").replace("\"udp\"\nname = \"first\"", "\"tcp\"");
    server.reload(&other);
    checked(&server, USER, PASSWORD).fails_with("listener-removed");
}

#[tokio::test]
async fn the_limits_of_one_user_and_of_all_are_told_apart() {
    let one = Server::configured(&configuration("", "allocations_per_user = 1"));
    let _call = call(&one).await;
    checked(&one, USER, PASSWORD).fails_with("quota-reached");
    checked(&one, "bob", "another long password").warns_of("quota-low");
    let all = Server::configured(&configuration("", "allocations = 1"));
    checked(&all, USER, PASSWORD).warns_of("server-full");
    let _call = call(&all).await;
    checked(&all, "bob", "another long password").fails_with("server-full");
}

#[tokio::test]
async fn ports_that_are_kept_and_ports_that_are_gone_are_told_apart() {
    // Outside of the range from which the system gives ports.
    let ports = "relay_ports = \"21420-21429\"";
    let kept = Server::configured(&configuration(ports, "ports_reserved_percent = 90"));
    checked(&kept, USER, PASSWORD).warns_of("relay-ports-kept");
    let _call = call(&kept).await;
    checked(&kept, USER, PASSWORD).fails_with("relay-ports-kept");
    drop(kept);
    let ports = "relay_ports = \"21430-21439\"";
    let gone = Server::configured(&configuration(ports, "ports_reserved_percent = 0"));
    let mut calls = Vec::new();
    loop {
        let mut client = StreamClient::new(datagrams::udp(gone.address).await);
        if client.try_allocate().await.is_err() {
            break;
        }
        calls.push(client);
        assert!(calls.len() <= 10, "more allocations than ports");
    }
    checked(&gone, "bob", "another long password").fails_with("relay-ports-exhausted");
}
