//! Which sockets are bound, and by whom: /proc/net and /proc/*/fd.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::ports::Protocol;

/// A socket that waits for clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) protocol: Protocol,
    pub(super) address: SocketAddr,
    inode: u64,
    /// Who has it; `None` where this user may not know.
    pub(super) owner: Option<Process>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) name: String,
}

/// All of them, as far as this user may see. `root` is `/`, but for tests.
pub(super) fn bound(root: &Path) -> std::io::Result<Vec<Bound>> {
    let mut sockets = Vec::new();
    for (name, protocol) in [
        ("udp", Protocol::Udp),
        ("udp6", Protocol::Udp),
        ("tcp", Protocol::Tcp),
        ("tcp6", Protocol::Tcp),
    ] {
        match fs::read_to_string(root.join("proc/net").join(name)) {
            Ok(text) => sockets.extend(table(&text, protocol)),
            // A machine without IPv6 has no table for it.
            Err(_) if name.ends_with('6') => {}
            Err(error) => return Err(error),
        }
    }
    let owners = owners(root);
    for socket in &mut sockets {
        socket.owner = owners.get(&socket.inode).cloned();
    }
    Ok(sockets)
}

/// The sockets of one table that listen, or for UDP, are not connected.
fn table(text: &str, protocol: Protocol) -> Vec<Bound> {
    let row = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let address = address(fields.nth(1)?)?;
        let (remote, state) = (fields.next()?, fields.next()?);
        let waits = match protocol {
            Protocol::Tcp => state == "0A",
            Protocol::Udp => remote.split_once(':')?.1 == "0000",
        };
        // tx_queue:rx_queue, tr:when, retrnsmt, uid, timeout, inode
        let inode = fields.nth(5)?.parse().ok()?;
        waits.then_some(Bound { protocol, address, inode, owner: None })
    };
    text.lines().skip(1).filter_map(row).collect()
}

/// `0100007F:0D96`: words of 4 bytes, each in the machine's own order.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let word = |at: usize| {
        let word = u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    let ip: IpAddr = match ip.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Ipv6Addr::from(bytes).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// Processes by the inodes of their sockets.
fn owners(root: &Path) -> HashMap<u64, Process> {
    let mut owners = HashMap::new();
    for (pid, dir) in processes(root) {
        let Ok(files) = fs::read_dir(dir.join("fd")) else { continue };
        let name = name(&dir);
        for file in files.flatten() {
            let Ok(target) = fs::read_link(file.path()) else { continue };
            let inode = target.to_str().and_then(|target| {
                target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
            });
            if let Some(inode) = inode {
                owners.entry(inode).or_insert_with(|| Process { pid, name: name.clone() });
            }
        }
    }
    owners
}

/// The processes of this machine, each with its directory.
pub(super) fn processes(root: &Path) -> Vec<(u32, std::path::PathBuf)> {
    let dirs = fs::read_dir(root.join("proc")).into_iter().flatten().flatten();
    dirs.filter_map(|dir| Some((dir.file_name().to_str()?.parse().ok()?, dir.path()))).collect()
}

/// What a process is called.
pub(super) fn name(dir: &Path) -> String {
    fs::read_to_string(dir.join("comm")).unwrap_or_default().trim().to_owned()
}

/// A socket as tests need it: of pid 42, if anybody is known to have it.
#[cfg(test)]
pub(super) fn of_test(protocol: Protocol, address: &str, name: Option<&str>) -> Bound {
    let owner = name.map(|name| Process { pid: 42, name: name.to_owned() });
    Bound { protocol, address: address.parse().unwrap(), inode: 0, owner }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UDP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
 1234: 00000000:0D96 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 11111 2 0000000000000000 0
 1235: 0100007F:E678 0100007F:0035 01 00000000:00000000 00:00000000 00000000     0        0 22222 2 0000000000000000 0
";

    #[test]
    fn waiting_sockets_are_found_and_connected_ones_left_out() {
        let found = table(UDP, Protocol::Udp);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].address.port(), found[0].inode), (3478, 11111));
        assert!(table("garbage\n1 2 3\n", Protocol::Tcp).is_empty());
    }

    #[test]
    fn addresses_are_in_the_machines_order() {
        let port = "0D96";
        let v4 = u32::from_ne_bytes([127, 0, 0, 1]);
        assert_eq!(address(&format!("{v4:08X}:{port}")), "127.0.0.1:3478".parse().ok());
        let last = u32::from_ne_bytes([0, 0, 0, 1]);
        let v6 = format!("{:024X}{last:08X}:{port}", 0);
        assert_eq!(address(&v6), "[::1]:3478".parse().ok());
        assert_eq!(address("xyz:1"), None);
    }

    #[test]
    fn own_sockets_are_found_with_their_process() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let all = bound(Path::new("/")).unwrap();
        for (protocol, address) in [
            (Protocol::Udp, socket.local_addr().unwrap()),
            (Protocol::Tcp, listener.local_addr().unwrap()),
        ] {
            let found =
                all.iter().find(|b| b.protocol == protocol && b.address == address).unwrap();
            assert_eq!(found.owner.as_ref().unwrap().pid, std::process::id());
        }
    }
}
