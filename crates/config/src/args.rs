//! The command line of `taciturn`.

use std::path::{Path, PathBuf};

use clap::Parser;

const EXAMPLES: &str = "\
Examples:
  taciturn
      Starts without a configuration: generates a secret, and prints where it is stored and the
      block for Synapse's homeserver.yaml.
  taciturn --config /etc/taciturn/taciturn.toml
      Starts with a file. Flags override the file.
  taciturn --realm turn.domain.org --external-ip 203.0.113.7 --secret-file /run/secrets/turn
      Starts without a file.
  taciturn --coturn-config /etc/turnserver.conf
      Starts with coturn's file, as a trial. turnctl import-coturn converts the file.

Every key of the file is also an environment variable: relay_ports is TACITURN_RELAY_PORTS, users in
[auth] is TACITURN_AUTH_USERS. The file overrides the defaults, the environment overrides the file,
and flags override the environment; a list is replaced as a whole.";

const ABOUT: &str = "A TURN/STUN relay server for WebRTC calls. Needs no configuration to start";

/// The command line of the server.
///
/// Values are kept as they were typed; [`Config::load`](super::Config::load) checks them together
/// with the file and the environment.
#[derive(Clone, Debug, Default, Parser)]
#[command(name = "taciturn", version, about = ABOUT, long_about = None, after_help = EXAMPLES)]
pub struct ServerArgs {
    /// Configuration file (TOML); also TACITURN_CONFIG
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Use coturn's turnserver.conf instead of a configuration file of taciturn; also
    /// TACITURN_COTURN_CONFIG. The log names what has no effect
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub coturn_config: Option<PathBuf>,

    /// Address at which peers reach the relay: an IP address, PUBLIC/PRIVATE behind 1:1 NAT, or
    /// "auto"; repeat for IPv6
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub external_ip: Vec<String>,

    /// Realm of the long-term credentials, usually the DNS name of this server
    #[arg(long, value_name = "NAME")]
    pub realm: Option<String>,

    /// Static user; may be repeated. For tests: everybody on this machine can read the command line in
    /// `ps`, and NAME:0xMD5KEY is as good as the password. Put users into the file or into
    /// TACITURN_AUTH_USERS, or use --secret-file
    #[arg(long, value_name = "NAME:PASS")]
    pub user: Vec<String>,

    /// File with one shared secret; may be repeated
    #[arg(long, value_name = "FILE")]
    pub secret_file: Vec<PathBuf>,

    /// Relay ports, inclusive [default: 59000-60100]
    #[arg(long, value_name = "FIRST-LAST")]
    pub relay_ports: Option<String>,

    /// Listener, such as udp:[::]:3478; may be repeated; transports are udp, tcp, tls, dtls, auto, udp+dtls
    #[arg(long, value_name = "TRANSPORT:ADDRESS:PORT")]
    pub listen: Vec<String>,

    /// Certificate for TLS: a PEM file with its chain
    #[arg(long, value_name = "FILE")]
    pub cert: Option<PathBuf>,

    /// Private key of --cert: a PEM file
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,

    /// Worker threads; 0 = one per core [default: 0]
    #[arg(long, value_name = "COUNT")]
    pub workers: Option<String>,

    /// Directory for the secret that the server generates
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// Allow peers in this network, or with :PORT or :FIRST-LAST these ports, although they are denied by default;
    /// "self" is this server's own address; may be repeated
    #[arg(long, value_name = "CIDR[:PORTS]")]
    pub allow_peer: Vec<String>,

    /// Deny peers in this network as well; may be repeated
    #[arg(long, value_name = "CIDR")]
    pub deny_peer: Vec<String>,

    /// Take over from the server that listens on the control socket (socket in [admin]): its calls go on here, and it
    /// ends. Where none does, start as usual
    #[arg(long)]
    pub take_over: bool,

    /// Accept example and short credentials such as test:test; for tests only
    #[arg(long)]
    pub allow_weak_credentials: bool,
}

impl ServerArgs {
    /// These arguments as they were meant by a process in `directory`: paths that are not absolute begin there.
    #[must_use]
    pub fn in_directory(mut self, directory: &Path) -> Self {
        self.each_path(|path| *path = directory.join(&*path));
        self
    }

    /// Whether a path among the arguments begins in the directory of the process.
    #[must_use]
    pub fn has_relative_path(&self) -> bool {
        let mut relative = false;
        self.clone().each_path(|path| relative |= path.is_relative());
        relative
    }

    fn each_path(&mut self, mut change: impl FnMut(&mut PathBuf)) {
        let paths = [
            &mut self.config,
            &mut self.coturn_config,
            &mut self.cert,
            &mut self.key,
            &mut self.state_dir,
        ];
        for path in paths.into_iter().flatten().chain(&mut self.secret_file) {
            change(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_of_the_command_line_begins_in_the_directory_of_its_process() {
        let flags = ["--config", "--cert", "--key", "--state-dir", "--secret-file"];
        let line = flags.iter().flat_map(|flag| [*flag, "a/b"]);
        let args = ServerArgs::try_parse_from(["taciturn"].into_iter().chain(line)).unwrap();
        assert!(args.has_relative_path());
        let args = args.in_directory(Path::new("/srv"));
        assert!(!args.has_relative_path());
        let there = Some(PathBuf::from("/srv/a/b"));
        assert_eq!([&args.config, &args.cert, &args.key, &args.state_dir], [&there; 4]);
        assert_eq!(args.secret_file, ["/srv/a/b"].map(PathBuf::from));
        let args = ServerArgs::try_parse_from(["taciturn", "--coturn-config", "/etc/c"]).unwrap();
        assert_eq!(args.in_directory(Path::new("/srv")).coturn_config, Some("/etc/c".into()));
    }
}
