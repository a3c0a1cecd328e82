//! `turnctl init`: a first configuration, its secret, and what else has to be set up.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use taciturn_config::homeserver::{self, BlockOptions};
use taciturn_config::uris::Host;
use taciturn_config::{self, Config, Environment, is_dns_name};
use taciturn_net::external;
use taciturn_tls::{self as tls, CertSource};

use super::private_file::{self, WriteError};
use super::report::Look;
use super::snippet::{Facts, nft, preparation, toml, ufw};
use super::{CtlError, ServerFiles};

const EXAMPLES: &str = "\
Examples:
  sudo turnctl init --domain turn.domain.org
      Writes /etc/taciturn/taciturn.toml and /etc/taciturn/turn_secret, and prints what to do next.
  sudo turnctl init --domain turn.domain.org --pangolin /root/pangolin
      The same, with the certificate that Pangolin's Traefik has for the name.

Existing files are kept: run it again to see the steps again. The secret is never replaced.";

/// Arguments of `turnctl init`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct InitArgs {
    /// DNS name of this server: turn.domain.org
    #[arg(long, value_name = "NAME")]
    pub domain: String,

    /// Directory of a Pangolin installation, with its docker-compose.yml
    #[arg(long, value_name = "DIR")]
    pub pangolin: Option<PathBuf>,

    /// Directory to write to
    #[arg(long, value_name = "DIR", default_value = "/etc/taciturn")]
    pub dir: PathBuf,

    /// Address at which clients on the Internet reach this machine; PUBLIC/PRIVATE behind 1:1 NAT
    #[arg(long, value_name = "ADDRESS")]
    pub external_ip: Option<String>,

    /// Replace an existing configuration; the secret is kept
    #[arg(long)]
    pub force: bool,
}

/// Why nothing was set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// `--domain`.
    #[error("--domain \"{0}\": write the DNS name of this server, like turn.domain.org")]
    Domain(String),
    /// No acme.json.
    #[error(
        "--pangolin {}: there is no {} in it: name the directory that contains Pangolin's \
         docker-compose.yml",
        dir.display(), ACME_FILES.join(", no ")
    )]
    NoPangolin {
        /// As given.
        dir: PathBuf,
    },
    /// The secret.
    #[error("{0}\nwrite elsewhere with --dir DIR, or use sudo")]
    Secret(String),
    /// The configuration.
    #[error("{0}; write elsewhere with --dir DIR, or use sudo")]
    Write(#[from] WriteError),
}

impl From<InitError> for CtlError {
    fn from(error: InitError) -> Self {
        Self::mistake(error)
    }
}

/// Where Pangolin's Traefik keeps its certificates, from the directory of its Compose file.
const ACME_FILES: [&str; 3] =
    ["config/letsencrypt/acme.json", "letsencrypt/acme.json", "acme.json"];

/// The outcome of the search for a certificate.
enum Certificate {
    /// Nobody asked.
    None,
    /// There is one for the name.
    Found(PathBuf),
    /// There is a file, but no certificate that could be used: why.
    Missing(PathBuf, String),
}

fn certificate(pangolin: Option<&Path>, domain: &str) -> Result<Certificate, InitError> {
    let Some(dir) = pangolin else { return Ok(Certificate::None) };
    let files = ACME_FILES.iter().map(|file| dir.join(file));
    // One that may not be looked at is there all the same.
    let there = |file: &PathBuf| match file.symlink_metadata() {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
    };
    let Some(path) = files.into_iter().find(there) else {
        return Err(InitError::NoPangolin { dir: dir.into() });
    };
    let path = std::path::absolute(&path).unwrap_or(path);
    let source = CertSource::Acme { path: path.clone(), domain: domain.to_owned() };
    Ok(match tls::load(&source) {
        Ok(_) => Certificate::Found(path),
        Err(error) => Certificate::Missing(path, error.to_string()),
    })
}

/// The file, with a word on each setting.
fn configuration(
    args: &InitArgs,
    secret: &Path,
    certificate: &Certificate,
    found: Option<IpAddr>,
) -> String {
    let domain = &args.domain;
    let domain_text = toml(domain);
    let path_text = |path: &Path| toml(&path.display().to_string());
    let mut text = format!(
        "# Configuration of taciturn for {domain}, created by turnctl init. Every key with its default\n\
         # is in config/taciturn.toml of taciturn.\n\n\
         # The DNS name that clients use; it is the realm of their credentials as well.\n\
         realm = {domain_text}\n\n\
         # Where the other side of a call sends to.\n"
    );
    match (&args.external_ip, found) {
        (Some(given), _) => {
            let _ = writeln!(text, "external_ip = {}", toml(given));
        }
        (None, Some(ip)) => {
            let _ = write!(
                text,
                "# \"auto\" selects a public address of this machine at each start; now: {ip}.\n\
                 external_ip = \"auto\"\n"
            );
        }
        (None, None) => text.push_str(
            "# No public address was found on this machine. If its provider translates one to it (1:1\n\
             # NAT, most clouds), write both: \"203.0.113.7/10.0.0.5\".\n\
             external_ip = \"auto\"\n",
        ),
    }
    let _ = write!(
        text,
        "\n# UDP ports that relayed traffic uses. Open them in the firewall.\n\
         relay_ports = \"59000-60100\"\n\n\
         [auth]\n\
         # The secret that the homeserver makes passwords of. Only its owner can read the file.\n\
         secret_files = [{}]\n",
        path_text(secret)
    );
    let has_tls = match certificate {
        Certificate::Found(path) => {
            let _ = write!(
                text,
                "\n[tls]\n# Pangolin's Traefik renews the certificate in it; the server uses a new one without a restart.\n\
                 acme = {}\nacme_domains = [{domain_text}]\n",
                path_text(path)
            );
            true
        }
        Certificate::Missing(path, _) => {
            let _ = write!(
                text,
                "\n#[tls]\n# Once Traefik has a certificate for {domain}; and the listener below.\n\
                 #acme = {}\n#acme_domains = [{domain_text}]\n",
                path_text(path)
            );
            false
        }
        Certificate::None => {
            let _ = write!(
                text,
                "\n#[tls]\n# For turns: (TLS), one of these; and the listener below.\n\
                 #certbot = \"/etc/letsencrypt/live/{domain}\"\n\
                 #acme = \"/PATH/TO/acme.json\"\n"
            );
            false
        }
    };
    text.push_str(
        "\n[[listen]]\ntransport = \"udp\"\naddress = \"[::]:3478\"\n\n\
         [[listen]]\ntransport = \"tcp\"\naddress = \"[::]:3478\"\n\n",
    );
    text.push_str(if has_tls {
        "[[listen]]\ntransport = \"tls\"\naddress = \"[::]:5349\"\n"
    } else {
        "#[[listen]]\n#transport = \"tls\"\n#address = \"[::]:5349\"\n"
    });
    if args.pangolin.is_some() {
        text.push_str(
            "\n# TLS on port 443, shared with Pangolin: Traefik ends TLS and passes the connections on.\n\
             # `turnctl snippet traefik` prints the router. No certificate is needed here for that.\n\
             #[[listen]]\n#transport = \"tcp\"\n#address = \"172.17.0.1:5350\"\n#proxy_protocol = true\n\
             #trusted_proxies = [\"172.16.0.0/12\"]\n",
        );
    }
    text
}

pub(super) fn run(
    args: &InitArgs,
    env: &Environment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), CtlError> {
    if !is_dns_name(&args.domain) || taciturn_config::parse_host(&args.domain).is_none() {
        return Err(InitError::Domain(args.domain.clone()).into());
    }
    let certificate = certificate(args.pangolin.as_deref(), &args.domain)?;
    let dir = std::path::absolute(&args.dir).unwrap_or_else(|_| args.dir.clone());
    let file = dir.join("taciturn.toml");
    let found = external::public_source();
    let (secret, made) = taciturn_config::secret_in(&dir).map_err(InitError::Secret)?;
    report(out, &secret, made)?;
    let text = configuration(args, &secret, &certificate, found);
    let written = match private_file::write(&file, text.as_bytes(), args.force) {
        Ok(()) => true,
        Err(WriteError::Exists(_)) => false,
        Err(error) => return Err(InitError::from(error).into()),
    };
    report(out, &file, written)?;
    if !written {
        writeln!(err, "note: the existing configuration was kept; --force replaces it")?;
    }
    if let Certificate::Missing(path, why) = &certificate {
        writeln!(
            err,
            "warning: no certificate for {} in {} yet, so TLS is off: {why}",
            args.domain,
            path.display()
        )?;
    }
    // The existing file counts, not the text that would have been written.
    let server = ServerFiles { config: Some(file.clone()), ..ServerFiles::default() };
    let config = server.load(None, env, err)?;
    Ok(steps(&config, &file, found, Look::of_output(env), out)?)
}

fn report(out: &mut dyn Write, path: &Path, made: bool) -> io::Result<()> {
    let what = if made { "written" } else { "kept   " };
    writeln!(out, "{what}  {}", path.display())
}

fn steps(
    config: &Config,
    file: &Path,
    found: Option<IpAddr>,
    look: Look,
    out: &mut dyn Write,
) -> io::Result<()> {
    let host = Host::of(config, None, found);
    let facts = Facts::of(config, host.clone());
    let given = match &config.external_ip {
        taciturn_config::ExternalIp::Given(given) => {
            given.iter().map(|address| address.public).collect()
        }
        taciturn_config::ExternalIp::Auto => Vec::from_iter(found),
    };
    let heading = |out: &mut dyn Write, text: &str| writeln!(out, "\n{}\n", look.bold(text));
    heading(out, "1. DNS, at your domain's provider, with no proxy such as Cloudflare's cloud:")?;
    if given.is_empty() {
        writeln!(out, "{host}.  A  <the public address of this machine>")?;
    }
    for ip in given {
        let kind = if ip.is_ipv4() { "A" } else { "AAAA" };
        writeln!(out, "{host}.  {kind}  {ip}")?;
    }
    heading(out, "2. Firewall, here and in the panel of your provider. With ufw:")?;
    write!(out, "{}", ufw(&facts))?;
    writeln!(out, "\n   With nftables:\n")?;
    write!(out, "{}", nft(&facts))?;
    let file = file.display();
    heading(out, "3. Start the server:")?;
    writeln!(
        out,
        "{}turnctl snippet systemd --config {file} \\\n    \
         > /etc/systemd/system/taciturn.service\n\
         systemctl daemon-reload\n\
         systemctl enable --now taciturn",
        preparation(&facts)
    )?;
    heading(out, "4. At the end of Synapse's homeserver.yaml, in place of its turn_ lines:")?;
    let mut options = BlockOptions::default();
    // What does not go to a terminal ends in logs.
    if !io::stdout().is_terminal() {
        let path = config.auth.secrets.first().and_then(|secret| secret.path.as_ref());
        options.secret_path = path.map(|path| path.display().to_string());
    }
    match homeserver::block(config, &host, &options) {
        Ok(block) => write!(out, "{block}")?,
        Err(error) => writeln!(out, "   {error}")?,
    }
    writeln!(out, "\n   Other homeservers: turnctl snippet --help")?;
    heading(out, "5. Test it:")?;
    writeln!(out, "turnctl doctor --config {file}")
}
