//! turnctl, the helper of taciturn. What it does is in [`turnctl`].
#![forbid(unsafe_code)]

use std::io;
use std::process::ExitCode;

use clap::Parser as _;
use taciturn_config::Environment;
use turnctl::Cli;

fn main() -> ExitCode {
    Cli::parse().run(&Environment::of_process(), &mut io::stdout().lock(), &mut io::stderr().lock())
}
