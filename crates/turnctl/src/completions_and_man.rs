//! `turnctl completions` and `turnctl man`: files generated from the definitions of the command lines.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Command, CommandFactory as _, ValueEnum};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use taciturn_config::ServerArgs;

use super::CtlError;

const COMPLETION_EXAMPLES: &str = "\
Examples:
  turnctl completions bash > /etc/bash_completion.d/turnctl
  turnctl completions zsh > ~/.zfunc/_turnctl
  turnctl completions fish --program taciturn > ~/.config/fish/completions/taciturn.fish";

const MAN_EXAMPLES: &str = "\
Example:
  turnctl man /usr/local/share/man
      Writes man1/turnctl.1, a page for each of its subcommands, and man8/taciturn.8.";

/// Which of the two programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Program {
    /// The helper
    Turnctl,
    /// The server
    Taciturn,
}

/// Arguments of `turnctl completions`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = COMPLETION_EXAMPLES)]
pub struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    pub shell: Shell,

    /// For which program
    #[arg(long, value_enum, default_value = "turnctl")]
    pub program: Program,
}

/// Arguments of `turnctl man`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = MAN_EXAMPLES)]
pub struct ManArgs {
    /// Directory for the man pages; created if it does not exist
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

pub(super) fn completions(
    args: &CompletionsArgs,
    turnctl: Command,
    out: &mut dyn Write,
) -> Result<(), CtlError> {
    let (mut command, name) = match args.program {
        Program::Turnctl => (turnctl, "turnctl"),
        Program::Taciturn => (ServerArgs::command(), "taciturn"),
    };
    // clap_complete panics if its output is closed.
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut text);
    Ok(out.write_all(&text)?)
}

pub(super) fn man(args: &ManArgs, turnctl: Command, err: &mut dyn Write) -> Result<(), CtlError> {
    let mut written = 0;
    for (file, page) in pages(turnctl)? {
        let path = args.dir.join(&file);
        let dir = path.parent().unwrap_or(&args.dir);
        let failed = |error| CtlError::Man { path: path.clone(), error };
        fs::create_dir_all(dir).map_err(failed)?;
        fs::write(&path, page).map_err(failed)?;
        written += 1;
    }
    Ok(writeln!(err, "{written} man pages written below {}", args.dir.display())?)
}

/// Every page, by its path below the directory of man pages.
///
/// # Errors
/// None in practice: the pages are written to memory.
pub fn pages(turnctl: Command) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut turnctl = turnctl.disable_help_subcommand(true);
    turnctl.build();
    let mut pages = vec![
        (PathBuf::from("man8/taciturn.8"), page(ServerArgs::command(), "8")?),
        (PathBuf::from("man1/turnctl.1"), page(turnctl.clone(), "1")?),
    ];
    add_pages(&turnctl, "turnctl", &mut pages)?;
    Ok(pages)
}

/// The pages of the commands below one that is typed so.
fn add_pages(
    command: &Command,
    typed: &str,
    pages: &mut Vec<(PathBuf, Vec<u8>)>,
) -> io::Result<()> {
    for subcommand in command.get_subcommands() {
        let name = format!("{typed}-{}", subcommand.get_name());
        let file = PathBuf::from(format!("man1/{name}.1"));
        let named = subcommand.clone().name(name.clone()).version(env!("CARGO_PKG_VERSION"));
        pages.push((file, page(named, "1")?));
        add_pages(subcommand, &name, pages)?;
    }
    Ok(())
}

/// A page. The text after the options in `--help` becomes a section of its own.
fn page(command: Command, section: &str) -> io::Result<Vec<u8>> {
    let after = command.get_after_help().map(ToString::to_string);
    let subcommands = command.has_subcommands();
    let man = Man::new(command.after_help("")).section(section);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if subcommands {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(after) = after {
        let mut examples = Roff::new();
        examples.control("SH", ["EXAMPLES"]);
        examples.control("nf", []);
        for line in after.lines().filter(|line| !line.starts_with("Example")) {
            examples.text([roman(line)]);
        }
        examples.control("fi", []);
        examples.to_writer(&mut page)?;
    }
    man.render_version_section(&mut page)?;
    Ok(page)
}
