//! A small PKI, and OpenSSL as the client: an independent user of the wire format.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::ssl::{
    ErrorCode, SslContext, SslContextBuilder, SslMethod, SslOptions, SslStream, SslVerifyMode,
    SslVersion,
};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Name};
use taciturn_net::dtls::{Admission, Connection, DtlsContext, Listener};

pub const HOST: &str = "turn.example.org";

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    P256,
    P384,
    Rsa2048,
}

/// Root, intermediate and leaf; the server is given the last two.
pub struct Pki {
    pub root: X509,
    pub chain: Vec<Vec<u8>>,
    pub key: PKey<Private>,
}

impl Pki {
    pub fn new(kind: Kind) -> Self {
        Self::for_host(kind, HOST)
    }

    pub fn for_host(kind: Kind, host: &str) -> Self {
        let (root_key, middle_key, key) = (new_key(kind), new_key(kind), new_key(kind));
        let root = sign("root", &root_key, None, true);
        let middle = sign("middle", &middle_key, Some((&root, &root_key)), true);
        let leaf = sign(host, &key, Some((&middle, &middle_key)), false);
        Self::of(root, &leaf, &middle, key)
    }

    /// A chain whose leaf has a signature algorithm that OpenSSL no longer accepts.
    pub fn signed_with_sha1(host: &str) -> Self {
        let [root_key, middle_key, key] = [Kind::P256; 3].map(new_key);
        let root = sign("root", &root_key, None, true);
        let middle = sign("middle", &middle_key, Some((&root, &root_key)), true);
        let issuer = Some((&middle, &middle_key));
        let leaf = sign_with(MessageDigest::sha1(), host, &key, issuer, false);
        Self::of(root, &leaf, &middle, key)
    }

    fn of(root: X509, leaf: &X509, middle: &X509, key: PKey<Private>) -> Self {
        Self { root, chain: vec![leaf.to_der().unwrap(), middle.to_der().unwrap()], key }
    }

    /// Writes `cert.pem`, the chain, and `key.pem`; over those of another, as a renewal does.
    pub fn write(&self, dir: &Path) {
        let pem = |der: &Vec<u8>| X509::from_der(der).unwrap().to_pem().unwrap();
        let chain: Vec<u8> = self.chain.iter().flat_map(pem).collect();
        fs::write(dir.join("cert.pem"), chain).unwrap();
        fs::write(dir.join("key.pem"), self.key.private_key_to_pem_pkcs8().unwrap()).unwrap();
    }

    pub fn context(&self) -> DtlsContext {
        let pkcs8 = self.key.private_key_to_pkcs8().unwrap();
        DtlsContext::new(&self.chain, &pkcs8).unwrap()
    }

    pub fn listener(&self) -> Listener {
        Listener::new(self.context(), Instant::now()).unwrap()
    }
}

pub fn new_key(kind: Kind) -> PKey<Private> {
    let curve = |nid| {
        let group = EcGroup::from_curve_name(nid).unwrap();
        PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
    };
    match kind {
        Kind::P256 => curve(Nid::X9_62_PRIME256V1),
        Kind::P384 => curve(Nid::SECP384R1),
        Kind::Rsa2048 => PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap(),
    }
}

fn sign(
    name: &str,
    key: &PKey<Private>,
    issuer: Option<(&X509, &PKey<Private>)>,
    is_ca: bool,
) -> X509 {
    sign_with(MessageDigest::sha256(), name, key, issuer, is_ca)
}

fn sign_with(
    digest: MessageDigest,
    name: &str,
    key: &PKey<Private>,
    issuer: Option<(&X509, &PKey<Private>)>,
    is_ca: bool,
) -> X509 {
    let mut subject = X509Name::builder().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut serial = BigNum::new().unwrap();
    serial.rand(120, MsbOption::ONE, false).unwrap();
    let mut cert = X509::builder().unwrap();
    cert.set_version(2).unwrap();
    cert.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    cert.set_subject_name(&subject).unwrap();
    cert.set_issuer_name(issuer.map_or(&*subject, |(ca, _)| ca.subject_name())).unwrap();
    cert.set_pubkey(key).unwrap();
    cert.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    cert.set_not_after(&Asn1Time::days_from_now(30).unwrap()).unwrap();
    if is_ca {
        cert.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    } else {
        let context = cert.x509v3_context(issuer.map(|(ca, _)| &**ca), None);
        let names = SubjectAlternativeName::new().dns(name).build(&context).unwrap();
        cert.append_extension(names).unwrap();
    }
    cert.sign(issuer.map_or(key, |(_, key)| key), digest).unwrap();
    cert.build()
}

/// The client's end of the network: every write is a datagram.
#[derive(Debug, Default)]
pub struct Pipe {
    inbound: VecDeque<Vec<u8>>,
    outbound: VecDeque<Vec<u8>>,
}

impl Read for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let datagram = self.inbound.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        buf[..datagram.len()].copy_from_slice(&datagram);
        Ok(datagram.len())
    }
}

impl Write for Pipe {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.outbound.push_back(buf.to_vec());
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The `openssl` crate does not bind this.
#[allow(unsafe_code, reason = "one call that the openssl crate does not bind")]
fn set_max_fragment(ctx: &mut SslContextBuilder, mode: u8) {
    unsafe extern "C" {
        fn SSL_CTX_set_tlsext_max_fragment_length(
            ctx: *mut openssl_sys::SSL_CTX,
            mode: u8,
        ) -> std::ffi::c_int;
    }
    // SAFETY: the context is alive and exclusively borrowed; the call takes a number.
    assert_eq!(unsafe { SSL_CTX_set_tlsext_max_fragment_length(ctx.as_ptr(), mode) }, 1);
}

/// Settings of a client; verification is always on.
pub struct Wants<'a> {
    pub host: &'a str,
    pub alpn: Option<&'a [u8]>,
    pub ciphers: Option<&'a str>,
    pub version: SslVersion,
    /// `max_fragment_length` of RFC 6066 section 4: 1 for 512 bytes to 4 for 4096.
    pub fragment: Option<u8>,
}

impl Default for Wants<'_> {
    fn default() -> Self {
        Self { host: HOST, alpn: None, ciphers: None, version: SslVersion::DTLS1_2, fragment: None }
    }
}

/// A DTLS client on OpenSSL.
pub struct Client {
    pub stream: SslStream<Pipe>,
    pub established: bool,
    pub failed: Option<String>,
}

impl Client {
    pub fn new(root: &X509) -> Self {
        Self::that(root, &Wants::default())
    }

    pub fn that(root: &X509, wants: &Wants<'_>) -> Self {
        let mut ctx = SslContext::builder(SslMethod::dtls_client()).unwrap();
        ctx.set_min_proto_version(Some(wants.version)).unwrap();
        ctx.set_max_proto_version(Some(wants.version)).unwrap();
        ctx.cert_store_mut().add_cert(root.clone()).unwrap();
        ctx.set_verify(SslVerifyMode::PEER);
        ctx.set_options(SslOptions::NO_QUERY_MTU);
        if let Some(ciphers) = wants.ciphers {
            ctx.set_cipher_list(ciphers).unwrap();
        }
        if let Some(mode) = wants.fragment {
            set_max_fragment(&mut ctx, mode);
        }
        if let Some(names) = wants.alpn {
            ctx.set_alpn_protos(names).unwrap();
        }
        let mut ssl = openssl::ssl::Ssl::new(&ctx.build()).unwrap();
        ssl.set_mtu(1200).unwrap();
        ssl.set_hostname(wants.host).unwrap();
        ssl.param_mut().set_host(wants.host).unwrap();
        ssl.set_connect_state();
        let stream = SslStream::new(ssl, Pipe::default()).unwrap();
        Self { stream, established: false, failed: None }
    }

    /// Continues the handshake and returns the datagrams to send.
    pub fn step(&mut self) -> Vec<Vec<u8>> {
        if !self.established && self.failed.is_none() {
            match self.stream.do_handshake() {
                Ok(()) => self.established = true,
                Err(e) if e.code() == ErrorCode::WANT_READ => {}
                Err(e) => self.failed = Some(e.to_string()),
            }
        }
        self.sent()
    }

    pub fn sent(&mut self) -> Vec<Vec<u8>> {
        self.stream.get_mut().outbound.drain(..).collect()
    }

    pub fn deliver(&mut self, datagram: &[u8]) {
        self.stream.get_mut().inbound.push_back(datagram.to_vec());
    }

    pub fn send(&mut self, data: &[u8]) -> Vec<Vec<u8>> {
        assert_eq!(self.stream.ssl_write(data).unwrap(), data.len());
        self.sent()
    }

    /// The next record: `Ok(None)` when there is none, `Err(())` after a close_notify.
    pub fn recv(&mut self) -> Result<Option<Vec<u8>>, ()> {
        let mut buf = vec![0; 20_000];
        match self.stream.ssl_read(&mut buf) {
            Ok(n) => Ok(Some(buf[..n].to_vec())),
            Err(e) if e.code() == ErrorCode::WANT_READ => Ok(None),
            Err(e) if e.code() == ErrorCode::ZERO_RETURN => Err(()),
            Err(e) => panic!("{e}"),
        }
    }
}

pub fn addr() -> SocketAddr {
    "192.0.2.7:4242".parse().unwrap()
}

/// The first ClientHello (no cookie) and the second one (with the cookie).
pub fn hellos(listener: &mut Listener, client: &mut Client, from: SocketAddr) -> [Vec<u8>; 2] {
    let mut first = client.step();
    assert_eq!(first.len(), 1);
    let Admission::Reply(reply) = listener.datagram_from_unknown(from, &first[0], Instant::now())
    else {
        panic!("no HelloVerifyRequest")
    };
    client.deliver(reply);
    let mut second = client.step();
    assert_eq!(second.len(), 1);
    [first.remove(0), second.remove(0)]
}

/// Goes through the cookie exchange; the server's first flight has not been taken yet.
pub fn admit(listener: &mut Listener, client: &mut Client) -> Connection {
    let [_, second] = hellos(listener, client, addr());
    match listener.datagram_from_unknown(addr(), &second, Instant::now()) {
        Admission::Accept(connection) => connection,
        other => panic!("{other:?}"),
    }
}

/// All that the server has to send.
pub fn flush(server: &mut Connection) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let mut buf = [0; 4200];
    while let Some(n) = server.poll_transmit(&mut buf) {
        out.push(buf[..n].to_vec());
    }
    out
}

/// Whether the ServerHello that a flight begins with has an extension of this number (RFC 5246, section
/// 7.4.1.3).
pub fn server_hello_has(flight: &[Vec<u8>], extension: u16) -> bool {
    const SESSION_ID: usize = 13 + 12 + 2 + 32;
    let hello = &flight[0];
    assert_eq!((hello[0], hello[13]), (22, 2), "no ServerHello");
    let after = SESSION_ID + 1 + usize::from(hello[SESSION_ID]) + 2 + 1;
    let (len, mut rest) = hello[after..].split_at(2);
    rest = &rest[..usize::from(u16::from_be_bytes([len[0], len[1]]))];
    while let [high, low, len_high, len_low, ..] = *rest {
        if u16::from_be_bytes([high, low]) == extension {
            return true;
        }
        rest = &rest[4 + usize::from(u16::from_be_bytes([len_high, len_low]))..];
    }
    false
}

/// Passes datagrams both ways until neither side sends any.
pub fn settle(client: &mut Client, server: &mut Connection) {
    loop {
        let down = flush(server);
        down.iter().for_each(|d| client.deliver(d));
        let up = client.step();
        up.iter().for_each(|d| server.handle_datagram(d));
        if down.is_empty() && up.is_empty() {
            break;
        }
    }
}

/// A client and a server that have finished their handshake.
pub fn connected(pki: &Pki, wants: &Wants<'_>) -> (Client, Connection) {
    let mut listener = pki.listener();
    let mut client = Client::that(&pki.root, wants);
    let mut server = admit(&mut listener, &mut client);
    settle(&mut client, &mut server);
    assert_eq!(client.failed, None);
    assert!(client.established && server.is_established());
    (client, server)
}
