//! `turnctl homeserver-snippet`: the block for Synapse's homeserver.yaml.

use std::io::Write;

use taciturn_config::Environment;
use taciturn_config::homeserver::{BlockOptions, block};
use taciturn_config::uris::{self, Host};
use taciturn_net::external;

use super::tenant::TenantArg;
use super::{CtlError, ServerFiles, host_argument};

const EXAMPLES: &str = "\
Standard output is YAML and nothing else; warnings go to standard error.

Example, on the machine of the server:
  turnctl homeserver-snippet --config /etc/taciturn/taciturn.toml --host turn.domain.org
For a tenant of it:
  turnctl homeserver-snippet --config /etc/taciturn/taciturn.toml --tenant acme
Paste the block into homeserver.yaml in place of its turn_ lines, and restart Synapse.";

/// Arguments of `turnctl homeserver-snippet`.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct SnippetArgs {
    /// Which server.
    #[command(flatten)]
    pub server: ServerFiles,

    /// Which tenant.
    #[command(flatten)]
    pub tenant: TenantArg,

    /// Name or address at which clients reach the server [default: host, else the realm, else the
    /// external address]
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,

    /// Give all clients this static user, instead of credentials for each
    #[arg(long = "static", value_name = "USER")]
    pub static_user: Option<String>,

    /// Print the four URIs of the usual guide for coturn, in its order; with --static also its
    /// guest setting
    #[arg(long)]
    pub article: bool,

    /// Name the file that contains the secret, as Synapse sees it, instead of the secret itself
    /// (Synapse 1.116 and later)
    #[arg(
        long,
        visible_alias = "secret-file-path",
        value_name = "PATH",
        conflicts_with = "static_user"
    )]
    pub secret_path: Option<String>,
}

pub(super) fn run(
    args: &SnippetArgs,
    env: &Environment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), CtlError> {
    let asked = host_argument(args.host.as_ref())?;
    let config = args.tenant.see(args.server.load(None, env, err)?)?;
    let host = Host::of(&config, asked.as_deref(), external::public_source());
    let options = BlockOptions {
        static_user: args.static_user.clone(),
        secret_path: args.secret_path.clone(),
        article: args.article,
    };
    let block = block(&config, &host, &options)?;
    if host == Host::Placeholder {
        writeln!(err, "warning: the address of this server is not known: pass --host NAME")?;
    }
    if args.article {
        for missing in uris::of_article(&config, &host).1 {
            writeln!(err, "warning: {missing}")?;
        }
    }
    if let Some(warning) = uris::port_warning(&config) {
        writeln!(err, "warning: {warning}")?;
    }
    Ok(out.write_all(block.as_bytes())?)
}
