//! What is to go out: grouped by socket, destination and size, so that a run of datagrams costs
//! one send.

use std::io::{self, IoSlice};
use std::mem;
use std::net::{IpAddr, SocketAddr};

use std::net::UdpSocket;

use super::datagrams::{BATCH, Outgoing};
use super::ip_fields::IpFields;
use super::segmentation::Segmentation;
#[cfg(target_os = "linux")]
use super::system::SendBatch;
use super::system::send;
use crate::send_errors::{Loss, Losses};
use taciturn_turn::Prefix;
use taciturn_turn::clock::Tick;

/// Segments in one send; the kernel's own limit is 64 (older kernels) or 128.
const MAX_SEGMENTS: usize = 64;

/// Bytes in one send: the longest UDP payload over IPv4.
const MAX_BYTES: usize = 65_507;

static ZEROS: [u8; 4] = [0; 4];

/// Where a datagram goes, and by which socket. `socket` is a number of the owner's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) socket: u32,
    pub(crate) address: SocketAddr,
    pub(crate) source: Option<IpAddr>,
    pub(crate) dont_fragment: bool,
}

#[derive(Debug)]
struct Item {
    prefix: Option<Prefix>,
    payload: (u32, u32),
    padding: u8,
    next: Option<u32>,
}

#[derive(Debug)]
struct Group {
    to: Destination,
    ip_fields: IpFields,
    /// The size of its first datagram.
    size: usize,
    bytes: usize,
    count: usize,
    first: u32,
    last: u32,
    /// Whether it takes more. A shorter datagram ends it.
    open: bool,
}

impl Item {
    /// Returns the parts that it consists of.
    fn parts<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let payload = self.payload.0 as usize..self.payload.1 as usize;
        let parts = [
            self.prefix.as_ref().map(Prefix::as_bytes).unwrap_or_default(),
            bytes.get(payload).unwrap_or_default(),
            ZEROS.get(..usize::from(self.padding)).unwrap_or_default(),
        ];
        parts.into_iter().filter(|part| !part.is_empty())
    }
}

impl Group {
    /// Returns its datagrams.
    fn items<'a>(&self, items: &'a [Item]) -> impl Iterator<Item = &'a Item> + use<'a> {
        let item = |index: u32| items.get(index as usize);
        std::iter::successors(item(self.first), move |last| item(last.next?))
    }

    /// Returns it as what is sent in one go: as a run that the kernel cuts, or, without `segment`, one datagram of
    /// it.
    const fn outgoing<'a>(&self, parts: &'a [IoSlice<'a>], segment: u16) -> Outgoing<'a> {
        let Destination { address: destination, source, .. } = self.to;
        Outgoing { destination, source, parts, segment, ip_fields: self.ip_fields }
    }

    /// Returns the length of each datagram of a run; 0 for a single one.
    fn segment(&self) -> u16 {
        // A datagram is at most 65,507 bytes long.
        if self.count > 1 { u16::try_from(self.size).unwrap_or(0) } else { 0 }
    }
}

/// How much was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SendStatistics {
    /// Datagrams sent.
    pub(crate) datagrams: u64,
    /// System calls that sent them.
    pub(crate) sends: u64,
    /// Datagrams that could not be sent.
    pub(crate) failed: Losses,
}

/// The datagrams of one batch on their way out.
#[derive(Debug)]
pub(crate) struct Egress {
    items: Vec<Item>,
    groups: Vec<Group>,
    segmentation: Segmentation,
    #[cfg(target_os = "linux")]
    batch: SendBatch,
    pub(crate) statistics: SendStatistics,
}

impl Default for Egress {
    fn default() -> Self {
        Self {
            items: Vec::with_capacity(2 * BATCH),
            groups: Vec::with_capacity(BATCH),
            segmentation: Segmentation::default(),
            #[cfg(target_os = "linux")]
            batch: SendBatch::default(),
            statistics: SendStatistics::default(),
        }
    }
}

impl Egress {
    /// Adds a datagram: `prefix`, then `payload` of the batch, then `padding` zero bytes. One without a hop left is
    /// counted as lost.
    pub(crate) fn push(
        &mut self,
        to: Destination,
        ip_fields: IpFields,
        prefix: Option<Prefix>,
        payload: std::ops::Range<usize>,
        padding: u8,
    ) {
        //= 8656-14-ttl
        if ip_fields.hop_limit == Some(0) {
            self.statistics.failed.count(Loss::HopLimit);
            return;
        }
        let head = prefix.as_ref().map_or(0, |prefix| prefix.as_bytes().len());
        let size = head + payload.len() + usize::from(padding);
        // SAFE: payloads lie within a batch of 2 MiB, and there are fewer items than bytes.
        #[allow(clippy::cast_possible_truncation)]
        let (payload, index) =
            ((payload.start as u32, payload.end as u32), self.items.len() as u32);
        self.items.push(Item { prefix, payload, padding, next: None });

        let fits = |group: &Group| group.open && group.to == to;
        // The newest first: a run of one flow finds its group at once. One that is further back is
        // left alone: it leaves earlier, and a batch of many destinations stays cheap.
        if let Some(group) = self.groups.iter_mut().rev().take(BATCH).find(|group| fits(group)) {
            // A run has one IP header. One destination has one open group: what differs in its header ends the
            // run, so that the order stays.
            let joins = group.ip_fields == ip_fields
                && size <= group.size
                && size > 0
                && group.count < MAX_SEGMENTS
                && group.bytes + size <= MAX_BYTES
                && self.segmentation.may_run(to.address.ip());
            if joins {
                if let Some(last) = self.items.get_mut(group.last as usize) {
                    last.next = Some(index);
                }
                group.last = index;
                group.count += 1;
                group.bytes += size;
                group.open = size == group.size;
                return;
            }
            group.open = false;
        }
        self.groups.push(Group {
            to,
            ip_fields,
            size,
            bytes: size,
            count: 1,
            first: index,
            last: index,
            open: true,
        });
    }

    /// Sets the time.
    pub(crate) const fn set_now(&mut self, now: Tick) {
        self.segmentation.set_now(now);
    }

    /// Sends everything. `socket` finds the socket of a number, ready for datagrams with or
    /// without DF; a socket that is gone takes its datagrams with it.
    pub(crate) fn flush<'s>(
        &mut self,
        bytes: &[u8],
        mut socket: impl FnMut(u32, bool) -> Option<&'s UdpSocket>,
    ) {
        let (groups, mut items) = (mem::take(&mut self.groups), mem::take(&mut self.items));
        let mut rest = &groups[..];
        while let Some(Group { to, .. }) = rest.first() {
            let by_same = |group: &&Group| {
                group.to.socket == to.socket && group.to.dont_fragment == to.dont_fragment
            };
            let (now, later) = rest.split_at(rest.iter().take_while(by_same).count());
            rest = later;
            if let Some(socket) = socket(to.socket, to.dont_fragment) {
                self.send(socket, now, &items, bytes);
            }
        }
        // Their room is used again.
        self.groups = groups;
        self.groups.clear();
        items.clear();
        self.items = items;
    }

    /// Sends what leaves by one socket.
    fn send(&mut self, socket: &UdpSocket, groups: &[Group], items: &[Item], bytes: &[u8]) {
        let mut rest = groups;
        while let Some((first, others)) = rest.split_first() {
            let sent = self.send_together(socket, rest, items, bytes);
            for group in rest.get(..sent).unwrap_or_default() {
                self.statistics.datagrams += group.count as u64;
            }
            rest = rest.get(sent..).unwrap_or_default();
            if sent == 0 {
                self.send_group(socket, first, items, bytes);
                rest = others;
            }
        }
    }

    /// Sends several groups in one call. Returns how many have left; 0 where there is but one, or the
    /// first one cannot be sent so.
    #[cfg(target_os = "linux")]
    fn send_together(
        &mut self,
        socket: &UdpSocket,
        groups: &[Group],
        items: &[Item],
        bytes: &[u8],
    ) -> usize {
        if groups.len() < 2 {
            return 0;
        }
        let mut messages = self.batch.open();
        for group in groups {
            let parts = group.items(items).flat_map(|item| item.parts(bytes));
            if !messages.add(&group.outgoing(&[], group.segment()), parts) {
                break;
            }
        }
        let sent = messages.send(socket);
        self.statistics.sends += u64::from(sent > 0);
        sent
    }

    /// Other systems send one datagram a call.
    #[cfg(not(target_os = "linux"))]
    fn send_together(&mut self, _: &UdpSocket, _: &[Group], _: &[Item], _: &[u8]) -> usize {
        0
    }

    /// Sends one group, as one run or datagram by datagram.
    fn send_group(&mut self, socket: &UdpSocket, group: &Group, items: &[Item], bytes: &[u8]) {
        if group.count == 1 {
            send_one_by_one(socket, group, items, bytes, &mut self.statistics);
            return;
        }
        match send_run(socket, group, items, bytes) {
            Ok(()) => {
                self.statistics.datagrams += group.count as u64;
                self.statistics.sends += 1;
            }
            Err(error) => {
                self.segmentation.failed(group.to.address.ip(), &error);
                send_one_by_one(socket, group, items, bytes, &mut self.statistics);
            }
        }
    }
}

/// Sends a group as one run that the kernel cuts into datagrams.
fn send_run(socket: &UdpSocket, group: &Group, items: &[Item], bytes: &[u8]) -> io::Result<()> {
    let mut parts = [IoSlice::new(&[]); 3 * MAX_SEGMENTS];
    let used = gather(group.items(items).flat_map(|item| item.parts(bytes)), &mut parts);
    let parts = parts.get(..used).unwrap_or_default();
    send(socket, &group.outgoing(parts, group.segment()))
}

fn send_one_by_one(
    socket: &UdpSocket,
    group: &Group,
    items: &[Item],
    bytes: &[u8],
    statistics: &mut SendStatistics,
) {
    for item in group.items(items) {
        let mut parts = [IoSlice::new(&[]); 3];
        let used = gather(item.parts(bytes), &mut parts);
        let parts = parts.get(..used).unwrap_or_default();
        match send(socket, &group.outgoing(parts, 0)) {
            Ok(()) => {
                statistics.datagrams += 1;
                statistics.sends += 1;
            }
            Err(error) => statistics.failed.count(Loss::of(&error)),
        }
    }
}

/// Puts `pieces` into `parts`; returns how many they are.
fn gather<'a>(pieces: impl Iterator<Item = &'a [u8]>, parts: &mut [IoSlice<'a>]) -> usize {
    let mut used = 0;
    for (slot, piece) in parts.iter_mut().zip(pieces) {
        *slot = IoSlice::new(piece);
        used += 1;
    }
    used
}
