//! turnctl, one file a subcommand.
#![forbid(unsafe_code)]
