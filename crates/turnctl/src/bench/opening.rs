//! The server, and the flows on it: an allocation with one channel each.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::time::timeout;

use super::args::{BenchPlan, Shape};
use super::end::{End, Way, channel};
use super::{BenchError, Say};
use crate::check::credentials::{Credentials, LIFETIME};
use crate::client::{Allocation, Client, ClientError, Connection, Paused, Roots, Spoken};
use taciturn_stun::Family;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Time limit for the resolver.
const NAME_PATIENCE: Duration = Duration::from_secs(6);

/// How often an allocation is retried while an old one of the same port still exists (437).
const TRIES: usize = 16;

/// Where the server is, and how to speak to it.
pub(super) struct TestedServer {
    address: SocketAddr,
    spoken: Spoken,
    host: String,
    text: String,
    roots: Roots,
    any_certificate: bool,
    credentials: Credentials,
    /// Where peers are, in this machine.
    peer_ip: IpAddr,
    /// Whether the user says that the server reaches them there.
    peer_ip_given: bool,
}

/// A client that has given its connection away.
pub(super) type Held = Option<Paused>;

/// Both ends of a flow.
pub(super) struct Ends {
    pub(super) client: End,
    pub(super) peer: End,
}

impl TestedServer {
    /// Finds its address, and the one of this machine that leads there.
    pub(super) async fn find(plan: &BenchPlan) -> Result<Self, BenchError> {
        let uri = &plan.uri;
        let unknown = |what: String| BenchError::Name { host: uri.host.clone(), what };
        let found = timeout(NAME_PATIENCE, tokio::net::lookup_host((uri.host.as_str(), uri.port)));
        let found = found.await.map_err(|_| unknown("the resolver does not answer".into()))?;
        let mut found: Vec<_> = found.map_err(|error| unknown(error.to_string()))?.collect();
        found.sort_by_key(SocketAddr::is_ipv6);
        let address = *found.first().ok_or_else(|| unknown("it has no address".into()))?;
        let any: IpAddr = match address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let peer_ip = match plan.peer_address {
            Some(ip) => ip,
            None => {
                // Connecting sends nothing, but the system selects the source address.
                let socket = UdpSocket::bind((any, 0))?;
                socket.connect(address)?;
                socket.local_addr()?.ip()
            }
        };
        Ok(Self {
            address,
            spoken: uri.spoken(),
            host: uri.host.clone(),
            text: uri.text.clone(),
            roots: Roots::browsers_and(&plan.extra_roots),
            any_certificate: plan.any_certificate,
            credentials: plan.credentials.clone(),
            peer_ip,
            peer_ip_given: plan.peer_address.is_some(),
        })
    }

    /// `turn:HOST (UDP 192.0.2.1:3478)`.
    pub(super) fn shown(&self) -> String {
        format!("{} ({} {})", self.text, self.spoken.name(), self.address)
    }

    /// A client with a connection of its own.
    pub(super) async fn connect(&self) -> Result<Client, BenchError> {
        let Self { address, spoken, host, roots, .. } = self;
        let opened = Connection::open(*spoken, *address, host, roots, PATIENCE);
        let (connection, certificate) = opened.await.map_err(at("connecting"))?;
        match certificate.map(|certificate| certificate.verdict) {
            Some(Err(error)) if !self.any_certificate => Err(BenchError::Certificate(error)),
            _ => Ok(Client::new(connection, PATIENCE)),
        }
    }

    /// Challenge, login, Allocate: what each call begins with.
    pub(super) async fn allocate(
        &self,
        family: Option<Family>,
    ) -> Result<(Client, Allocation), BenchError> {
        let mut tries = 1;
        loop {
            match self.try_allocate(family).await {
                // Another socket gets another port.
                Err(BenchError::Client { error, .. })
                    if error.code() == Some(437) && tries < TRIES =>
                {
                    tries += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn try_allocate(
        &self,
        family: Option<Family>,
    ) -> Result<(Client, Allocation), BenchError> {
        let mut client = self.connect().await?;
        let login = self.credentials.login_for(LIFETIME);
        match client.enter(login.as_ref(), family).await {
            Ok(allocation) => Ok((client, allocation)),
            Err(error) if login.is_none() && error.code() == Some(401) => Err(BenchError::NoLogin),
            Err(error) => Err(at("Allocate")(error)),
        }
    }
}

fn at(step: &'static str) -> impl Fn(ClientError) -> BenchError + Copy {
    move |error| BenchError::Client { step, error, own_peer: false }
}

/// Opens the flows. Also returns the clients, which end the allocations afterwards.
pub(super) async fn flows(
    plan: &BenchPlan,
    server: &TestedServer,
    shape: Shape,
    say: Say<'_>,
) -> Result<(Vec<Ends>, Vec<[Held; 2]>), BenchError> {
    let (mut flows, mut held) = (Vec::new(), Vec::new());
    for n in 0..shape.flows {
        if n % 16 == 0 {
            say(&format!("opening flows: {n} of {}", plan.at_once));
        }
        let opened =
            if shape.relayed_peers { relayed(server).await } else { with_peer(server).await };
        match opened {
            Ok((ends, clients)) => {
                flows.push(ends);
                held.push(clients);
            }
            Err(error) => {
                release(flows, held).await;
                return Err(error);
            }
        }
    }
    Ok((flows, held))
}

/// A client and a socket of this machine.
async fn with_peer(server: &TestedServer) -> Result<(Ends, [Held; 2]), BenchError> {
    let family = server.peer_ip.is_ipv6().then_some(Family::V6);
    let (mut client, allocation) = server.allocate(family).await?;
    if let Some(mapped) = allocation.mapped
        && !server.peer_ip_given
        && mapped.ip() != server.peer_ip
    {
        let _ = client.refresh(0).await;
        return Err(BenchError::BehindNat(mapped.ip()));
    }
    let socket = UdpSocket::bind((server.peer_ip, 0))?;
    let bound = bind(&mut client, socket.local_addr()?).await;
    if let Err(error) = bound {
        let _ = client.refresh(0).await;
        return Err(BenchError::Client {
            step: "ChannelBind to a peer here",
            error,
            own_peer: true,
        });
    }
    let (connection, paused) = client.pause();
    let client = End::client(connection, server.address)?;
    let peer = End::peer(socket, allocation.relayed)?;
    Ok((Ends { client, peer }, [Some(paused), None]))
}

/// Two clients, each the other's peer.
async fn relayed(server: &TestedServer) -> Result<(Ends, [Held; 2]), BenchError> {
    let (mut a, of_a) = server.allocate(None).await?;
    let (mut b, of_b) = server.allocate(None).await?;
    let step = "ChannelBind to another relayed address";
    bind(&mut a, of_b.relayed).await.map_err(at(step))?;
    bind(&mut b, of_a.relayed).await.map_err(at(step))?;
    let ((a, paused_a), (b, paused_b)) = (a.pause(), b.pause());
    let ends =
        Ends { client: End::client(a, server.address)?, peer: End::client(b, server.address)? };
    Ok((ends, [Some(paused_a), Some(paused_b)]))
}

async fn bind(client: &mut Client, peer: SocketAddr) -> Result<(), ClientError> {
    match channel() {
        Some(channel) => client.bind(channel, peer).await,
        None => Ok(()),
    }
}

/// Ends the allocations of datagrams (RFC 8656 section 8), so that the next run finds their ports
/// free. Those of streams end with their connections. A server that does not answer is left alone.
pub(super) async fn release(flows: Vec<Ends>, held: Vec<[Held; 2]>) {
    for (ends, held) in flows.into_iter().zip(held) {
        for (end, paused) in [ends.client, ends.peer].into_iter().zip(held) {
            let (Way::Datagrams(socket, _), Some(paused)) = (end.way, paused) else { continue };
            let Ok(connection) = Connection::of_socket(socket.into_inner(), PATIENCE) else {
                continue;
            };
            if let Err(ClientError::Silent { .. }) = paused.resume(connection).refresh(0).await {
                return;
            }
        }
    }
}
