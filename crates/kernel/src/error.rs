//! What the kernel refuses, in its own words.

use std::error::Error as StdError;
use std::path::PathBuf;

/// Why there is no program in the kernel.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel does not load it.
    #[error("the kernel does not load the program: {0}")]
    Load(String),
    /// It cannot be attached anywhere.
    #[error("cannot attach to {interface}: {words}")]
    Attach {
        /// The name of the interface.
        interface: String,
        /// What the kernel says.
        words: String,
    },
    /// Its packets have other headers than the program reads.
    #[error("cannot attach to {0}: its packets have no Ethernet header")]
    NoEthernet(String),
    /// It is not there. It may come later.
    #[error("cannot attach to {0}: there is no such interface")]
    NoSuchInterface(String),
    /// An interface that was made while the server runs, on a kernel without links.
    #[error(
        "cannot attach to {0}, which is new: before Linux 6.6 that needs rights that a running server has given up. \
         Attach to it by a restart: systemctl restart taciturn-kernel-relay, if that is used, and then taciturn"
    )]
    New(String),
    /// The pins were taken away while a server has used them.
    #[error(
        "turnctl kernel-relay detach has taken the program away. To use it again: turnctl kernel-relay attach, and a restart of \
         the server"
    )]
    Detached,
    /// Nothing to attach to.
    #[error("no interface has the address of a listener or of the relay")]
    NoInterface,
    /// A file below the directory of pins.
    #[error("{}: {words}", path.display())]
    Pin {
        /// The file.
        path: PathBuf,
        /// What the kernel says.
        words: String,
    },
    /// A map cannot be used.
    #[error("the kernel refuses its map {name}: {words}")]
    Map {
        /// Its name.
        name: &'static str,
        /// What the kernel says.
        words: String,
    },
    /// The kernel does not tell routes.
    #[error("the kernel does not tell routes: {0}")]
    Routes(#[source] std::io::Error),
}

/// Why a flow stays with the sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotInstalled {
    /// Its ends are of two families, or not all of them are known.
    #[error("it needs more than new headers")]
    Unservable,
    /// There are as many as there is room for.
    #[error("the table is full")]
    Full,
    /// The kernel has refused it, or the program is not there any more.
    #[error("the kernel refuses it")]
    Refused,
}

/// Most of what a verifier says that fits into a line of a log.
const MOST: usize = 400;

/// What an error and its causes say, in one line.
pub(crate) fn words(error: &(dyn StdError + 'static)) -> String {
    let (mut text, mut next) = (String::new(), Some(error));
    while let Some(error) = next {
        let said = error.to_string();
        if !text.contains(&said) {
            let separator = if text.is_empty() { "" } else { ": " };
            text = format!("{text}{separator}{said}");
        }
        next = error.source();
    }
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.len() > MOST {
        // The end of what the verifier says is what it stumbled over.
        let from = (line.len() - MOST / 2..line.len()).find(|at| line.is_char_boundary(*at));
        let to = (0..=MOST / 2).rev().find(|at| line.is_char_boundary(*at));
        let (head, tail) = (&line[..to.unwrap_or(0)], &line[from.unwrap_or(line.len())..]);
        line = format!("{head} ... {tail}");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_kernel_in_one_line() {
        let denied = std::io::Error::from_raw_os_error(1);
        assert_eq!(
            words(&Error::Routes(denied)),
            "the kernel does not tell routes: Operation not permitted (os error 1)"
        );
        let long = Error::Load(format!("begin {} end", "x y\n".repeat(500)));
        let line = words(&long);
        assert!(line.len() < 500 && line.contains("begin") && line.ends_with("end"), "{line}");
    }
}
