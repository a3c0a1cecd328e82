//! turnctl, the helper of taciturn. What it does is in [`taciturn::ctl`].
#![forbid(unsafe_code)]

use std::io;
use std::process::ExitCode;

use clap::Parser as _;
use taciturn::config::Environment;
use taciturn::ctl::Cli;

fn main() -> ExitCode {
    Cli::parse().run(&Environment::of_process(), &mut io::stdout().lock(), &mut io::stderr().lock())
}
