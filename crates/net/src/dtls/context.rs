//! What all connections of a listener share: certificate, key, versions, ciphers.
//= 8489-16-bcp195, 8656-3.1-bcp195
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::{Arc, OnceLock};

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::pkey::PKey;
use openssl::ssl::{
    AlpnError, NameType, SniError, Ssl, SslContext, SslContextBuilder, SslMethod, SslMode,
    SslOptions, SslRef, SslSessionCacheMode, SslVerifyMode, SslVersion, select_next_proto,
};
use openssl::x509::X509;
use subtle::ConstantTimeEq as _;

use super::connection::MAX_PAYLOAD;
use super::cookie::Cookie;
use super::error::{DtlsError, library, reason};
use super::ffi;

/// Forward secrecy and AEAD only (RFC 9325 section 4.2); the client's order counts, because it
/// knows whether it has AES in hardware.
const CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
                       ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:\
                       ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

const GROUPS: &str = "X25519:P-256:P-384";

/// ALPN names of RFC 7443, each behind its length, the one we like best first.
const ALPN: &[u8] = b"\x09stun.turn\x12stun.nat-discovery";

/// Says which context serves a server name (SNI); `None` stays with the default one, and leaves the
/// name without acknowledgement.
pub type NameResolver = Arc<dyn Fn(&str) -> Option<DtlsContext> + Send + Sync>;

/// Certificate, key and rules for the DTLS connections of a listener.
///
/// A clone is a reference to the same. Contexts never change: a renewed certificate is a new
/// context for new connections ([`super::Listener::set_context`]), and connections that run keep
/// theirs. Shards may share one. `Debug` prints nothing of it.
#[derive(Clone)]
pub struct DtlsContext {
    inner: SslContext,
}

impl DtlsContext {
    /// Builds a context from a chain (leaf first, DER) and the leaf's private key (DER in PKCS#8,
    /// PKCS#1 or SEC1; RSA or ECDSA).
    ///
    /// # Errors
    /// [`DtlsError`] says which certificate cannot be used, or that the key cannot be, or that it
    /// belongs to another certificate.
    pub fn new<C: AsRef<[u8]>>(chain: &[C], key_der: &[u8]) -> Result<Self, DtlsError> {
        Self::build(chain, key_der, None)
    }

    /// As [`Self::new`], and asks `names` first when a client names the server it wants (SNI).
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_names<C: AsRef<[u8]>>(
        chain: &[C],
        key_der: &[u8],
        names: NameResolver,
    ) -> Result<Self, DtlsError> {
        Self::build(chain, key_der, Some(names))
    }

    fn build<C: AsRef<[u8]>>(
        chain: &[C],
        key_der: &[u8],
        names: Option<NameResolver>,
    ) -> Result<Self, DtlsError> {
        ffi::clear_errors();
        let built = Self::assemble(chain, key_der, names);
        ffi::clear_errors();
        built.map(|inner| Self { inner })
    }

    fn assemble<C: AsRef<[u8]>>(
        chain: &[C],
        key_der: &[u8],
        names: Option<NameResolver>,
    ) -> Result<SslContext, DtlsError> {
        let verified = cookie_index()?;
        let mut ctx = SslContextBuilder::new(SslMethod::dtls_server())
            .map_err(library("make a DTLS context"))?;
        rules(&mut ctx)?;
        certificate(&mut ctx, chain, key_der)?;
        ctx.set_alpn_select_callback(select_alpn);
        // The listener has checked the cookie already and leaves it with the connection; OpenSSL
        // must find the very same one in the ClientHello it goes on with.
        ctx.set_cookie_verify_cb(move |ssl, cookie| {
            ssl.ex_data(verified).is_some_and(|good| good[..].ct_eq(cookie).into())
        });
        // Never reached, as OpenSSL only sees ClientHellos with a good cookie.
        ctx.set_cookie_generate_cb(|_, _| Err(ErrorStack::get()));
        if let Some(names) = names {
            ctx.set_servername_callback(move |ssl, _| choose(ssl, &names));
        }
        Ok(ctx.build())
    }

    /// A new SSL object whose client has proved itself with `cookie`.
    pub(super) fn ssl(&self, cookie: Cookie, mtu: u16) -> Result<Ssl, DtlsError> {
        let verified = cookie_index()?;
        let mut ssl = Ssl::new(&self.inner).map_err(library("make a DTLS connection"))?;
        ssl.set_mtu(mtu.into()).map_err(library("set the MTU"))?;
        ssl.set_ex_data(verified, cookie);
        Ok(ssl)
    }
}

impl fmt::Debug for DtlsContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DtlsContext(..)")
    }
}

/// Where an SSL object keeps the cookie its client came with. One for the process: OpenSSL never
/// frees an index.
fn cookie_index() -> Result<Index<Ssl, Cookie>, DtlsError> {
    static INDEX: OnceLock<Index<Ssl, Cookie>> = OnceLock::new();
    if let Some(index) = INDEX.get() {
        return Ok(*index);
    }
    let fresh = Ssl::new_ex_index().map_err(library("reserve an index"))?;
    Ok(*INDEX.get_or_init(|| fresh))
}

fn rules(ctx: &mut SslContextBuilder) -> Result<(), DtlsError> {
    let only = Some(SslVersion::DTLS1_2);
    // RFC 9325 section 3.1.2: no DTLS 1.0. A later version has another cookie exchange.
    ctx.set_min_proto_version(only).map_err(library("require DTLS 1.2"))?;
    ctx.set_max_proto_version(only).map_err(library("require DTLS 1.2"))?;
    ctx.set_cipher_list(CIPHERS).map_err(library("choose the ciphers"))?;
    ctx.set_groups_list(GROUPS).map_err(library("choose the groups"))?;
    ctx.set_options(
        SslOptions::COOKIE_EXCHANGE
            | SslOptions::NO_QUERY_MTU
            | SslOptions::NO_RENEGOTIATION
            | SslOptions::NO_TICKET
            | SslOptions::NO_COMPRESSION,
    );
    ctx.set_mode(SslMode::RELEASE_BUFFERS);
    ctx.set_session_cache_mode(SslSessionCacheMode::OFF);
    ctx.set_verify(SslVerifyMode::NONE);
    if ffi::set_max_send_fragment(ctx, MAX_PAYLOAD) {
        Ok(())
    } else {
        Err(library("bound the record size")(ErrorStack::get()))
    }
}

fn certificate<C: AsRef<[u8]>>(
    ctx: &mut SslContextBuilder,
    chain: &[C],
    key_der: &[u8],
) -> Result<(), DtlsError> {
    if chain.is_empty() {
        return Err(DtlsError::EmptyChain);
    }
    for (index, der) in chain.iter().enumerate() {
        let refused = |e: ErrorStack| DtlsError::Certificate { index, reason: reason(&e) };
        let cert = X509::from_der(der.as_ref()).map_err(refused)?;
        if index == 0 {
            ctx.set_certificate(&cert).map_err(refused)?;
        } else {
            ctx.add_extra_chain_cert(cert).map_err(refused)?;
        }
    }
    let key = PKey::private_key_from_der(key_der).map_err(|e| DtlsError::PrivateKey(reason(&e)))?;
    // OpenSSL compares key and certificate here, so a mismatch shows as this call's failure.
    let leaf = chain.first().and_then(|der| X509::from_der(der.as_ref()).ok());
    let public = leaf.and_then(|leaf| leaf.public_key().ok());
    if !public.is_some_and(|public| public.public_eq(&key)) {
        return Err(DtlsError::KeyMismatch);
    }
    ctx.set_private_key(&key).map_err(|e| DtlsError::PrivateKey(reason(&e)))?;
    ctx.check_private_key().map_err(|_| DtlsError::KeyMismatch)
}

/// RFC 7443 section 3; RFC 7301 section 3.2: a client that offers names and none of ours is
/// refused. One that offers none is served.
fn select_alpn<'a>(_: &mut SslRef, offered: &'a [u8]) -> Result<&'a [u8], AlpnError> {
    select_next_proto(ALPN, offered).ok_or(AlpnError::ALERT_FATAL)
}

/// RFC 6066 section 3: the ServerHello acknowledges a name that has chosen the certificate. Others it
/// need not, and pion (dtls 2.2) takes no acknowledgement: it waits until its time is over.
fn choose(ssl: &mut SslRef, names: &NameResolver) -> Result<(), SniError> {
    let context = ssl.servername(NameType::HOST_NAME).and_then(|name| names(name));
    let Some(context) = context else { return Err(SniError::NOACK) };
    // Without memory for the switch the default certificate would be the wrong one.
    ssl.set_ssl_context(&context.inner).map_err(|_| SniError::ALERT_FATAL)
}
