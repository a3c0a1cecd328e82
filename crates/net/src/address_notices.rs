//! Address changes of this host, as the kernel reports them (rtnetlink(7)).

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep_until};

use super::readiness::watch_descriptor;

/// RTMGRP_IPV4_IFADDR and RTMGRP_IPV6_IFADDR: addresses, and nothing else of rtnetlink.
const ADDRESSES: u32 = 0x10 | 0x100;

/// Addresses come in groups, with an interface; they are read once for all of them.
const SETTLE: Duration = Duration::from_millis(100);

/// How often addresses are read if the kernel does not report changes.
const POLL: Duration = Duration::from_secs(1);

/// Messages that are taken off the socket at most before others get a turn.
const AT_ONCE: usize = 256;

/// A socket that the kernel sends word to. It has to be opened while the process may still do so.
#[derive(Debug)]
pub struct AddressNotices(Result<OwnedFd, io::Error>);

impl AddressNotices {
    /// From now on nothing is missed. Where the kernel refuses, addresses are looked at each second.
    #[must_use]
    pub fn open() -> Self {
        let open = || {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let family = AddressFamily::NETLINK;
            // The protocol of number 0, which is the default, is NETLINK_ROUTE.
            let socket = socket_with(family, SocketType::RAW, flags, None)?;
            bind(&socket, &SocketAddrNetlink::new(0, ADDRESSES))?;
            Ok(socket)
        };
        Self(open().map_err(|error: Errno| error.into()))
    }

    /// Begins to wait, within a runtime.
    #[must_use]
    pub fn watch(self) -> AddressWatch {
        let socket = self.0.and_then(watch_descriptor).inspect_err(|error| {
            tracing::info!(
                "the kernel does not report address changes ({error}): addresses are read every second"
            );
        });
        AddressWatch { socket: socket.ok(), due: None }
    }
}

/// Tells when the addresses of this host are to be read again.
#[derive(Debug)]
pub struct AddressWatch {
    socket: Option<AsyncFd<OwnedFd>>,
    /// When they are read for what was heard.
    due: Option<Instant>,
}

impl AddressWatch {
    /// Until an address may have come or gone. May be dropped at any time without missing one.
    pub async fn changed(&mut self) {
        loop {
            if let Some(due) = self.due {
                sleep_until(due).await;
                self.due = None;
                return;
            }
            let wait = match &self.socket {
                None => POLL,
                Some(socket) => match hear(socket).await {
                    Ok(()) => SETTLE,
                    // The socket is of no use any more.
                    Err(error) => {
                        tracing::info!(
                            "the kernel no longer reports address changes ({error}): addresses are read every second"
                        );
                        self.socket = None;
                        POLL
                    }
                },
            };
            self.due = Some(Instant::now() + wait);
        }
    }
}

/// Waits for a message, and takes off all that there are. What they say is read elsewhere.
async fn hear(socket: &AsyncFd<OwnedFd>) -> io::Result<()> {
    let mut buffer = [0; 4096];
    let mut ready = socket.readable().await?;
    for _ in 0..AT_ONCE {
        match recv(ready.get_inner(), &mut buffer, RecvFlags::empty()) {
            // Too many at a time: some are lost, which is word enough.
            Ok(_) | Err(Errno::NOBUFS | Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                ready.clear_ready();
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn without_word_of_the_kernel_addresses_are_looked_at_each_second() {
        let mut watch = AddressNotices(Err(io::ErrorKind::PermissionDenied.into())).watch();
        let start = Instant::now();
        watch.changed().await;
        watch.changed().await;
        assert_eq!(start.elapsed().as_secs(), 2);
    }

    /// Others may be served first, again and again, and the time does not start again.
    #[tokio::test(start_paused = true)]
    async fn who_is_interrupted_while_waiting_misses_nothing() {
        let mut watch = AddressNotices(Err(io::ErrorKind::PermissionDenied.into())).watch();
        for _ in 0..3 {
            assert!(timeout(Duration::from_millis(300), watch.changed()).await.is_err());
        }
        assert!(timeout(Duration::from_millis(300), watch.changed()).await.is_ok());
    }
}
