// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// Relays the packets of bound TURN channels (RFC 8656 section 12) between UDP clients and peers, at TC ingress.
//
// A packet of a flow that the server has installed is rewritten and sent on. Anything else, and any packet of such
// a flow that this program cannot send on exactly as the server would, passes up to the server's sockets unchanged:
// nothing of a packet is changed before it is certain that it can be sent on.
//
// bpf/build makes relay.bpf.o of it. No variable offset is added to a packet pointer and every structure is
// initialised, so that CAP_BPF and CAP_NET_ADMIN are enough to load it, without CAP_PERFMON.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>

#define SEC(name) __attribute__((section(name), used))
#define INLINE static __attribute__((always_inline)) inline
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name
#define htons(x) ((__be16)__builtin_bswap16(x))
#define ntohs(x) ((__u16)__builtin_bswap16(x))
#define htonl(x) ((__be32)__builtin_bswap32(x))

// Helpers of the kernel, by their numbers (enum bpf_func_id).
static void *(*map_lookup)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static __u64 (*ktime_get_ns)(void) = (void *)BPF_FUNC_ktime_get_ns;
static __u32 (*smp_processor_id)(void) = (void *)BPF_FUNC_get_smp_processor_id;
static __u32 (*prandom_u32)(void) = (void *)BPF_FUNC_get_prandom_u32;
static long (*skb_load_bytes)(const void *skb, __u32 from, void *to, __u32 len) = (void *)BPF_FUNC_skb_load_bytes;
static long (*skb_store_bytes)(void *skb, __u32 at, const void *from, __u32 len, __u64 flags) = (void *)BPF_FUNC_skb_store_bytes;
static long (*skb_change_tail)(void *skb, __u32 len, __u64 flags) = (void *)BPF_FUNC_skb_change_tail;
static long (*skb_adjust_room)(void *skb, __s32 by, __u32 mode, __u64 flags) = (void *)BPF_FUNC_skb_adjust_room;
static long (*redirect_neigh)(__u32 ifindex, void *params, int len, __u64 flags) = (void *)BPF_FUNC_redirect_neigh;

// What the maps hold. src/layout.rs has the same, byte by byte.

struct chan4 { __be32 client, server; __be16 client_port, server_port, channel, zero; };
struct peer4 { __be32 peer, relay; __be16 peer_port, relay_port; };
// Of the packet that leaves, and where its lease and its counters are.
struct flow4 { __be32 saddr, daddr; __be16 sport, dport, channel; __u16 is_own; __u32 slot; };

struct chan6 { __be32 client[4], server[4]; __be16 client_port, server_port, channel, zero; };
struct peer6 { __be32 peer[4], relay[4]; __be16 peer_port, relay_port; };
struct flow6 { __be32 saddr[4], daddr[4]; __be16 sport, dport, channel; __u16 is_own; __u32 slot; };

enum { TO_PEER, TO_CLIENT };

// Written by the server: until when (CLOCK_MONOTONIC, ns), by which interface, and how long IP packets may be.
struct lease { __u64 until; __u32 ifindex[2]; __u16 mtu[2]; __u32 zero; };
// Written here: UDP payloads without ChannelData headers and padding. `last` is in units of 2^20 ns.
struct traffic { __u64 packets[2], bytes[2]; __u32 last, zero; };

// What became of the packets of installed flows. src/stats.rs has the same order.
enum stat { RELAYED, EXPIRED, DEAD, NO_ROUTE, TOO_LONG, TTL_OVER, UNFINISHED, JOINED, OTHER_HALF, NOT_READ, DROPPED };
enum { STATS_OF_CPU = 16 };

// The server sets the sizes.
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(map_flags, BPF_F_NO_PREALLOC); __uint(max_entries, 1); __type(key, struct chan4); __type(value, struct flow4); } channels4 SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(map_flags, BPF_F_NO_PREALLOC); __uint(max_entries, 1); __type(key, struct peer4); __type(value, struct flow4); } peers4 SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(map_flags, BPF_F_NO_PREALLOC); __uint(max_entries, 1); __type(key, struct chan6); __type(value, struct flow6); } channels6 SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(map_flags, BPF_F_NO_PREALLOC); __uint(max_entries, 1); __type(key, struct peer6); __type(value, struct flow6); } peers6 SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, struct lease); } leases SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, struct traffic); } traffic SEC(".maps");
// Until when the server is taken to be alive.
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, __u64); } alive SEC(".maps");
// STATS_OF_CPU counts for each processor: a per-CPU map would have the server read /sys, which its sandbox forbids.
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, __u64); } stats SEC(".maps");

struct udp { __be16 source, dest, len, check; };
struct channel_data { __be16 channel, len; };
struct ip4 { __u8 version_ihl, tos; __be16 tot_len, id, frag_off; __u8 ttl, protocol; __be16 check; __be32 saddr, daddr; };
struct ip6 { __be32 flow; __be16 payload_len; __u8 next, hop_limit; __be32 saddr[4], daddr[4]; };
struct headers4 { struct ip4 ip; struct udp udp; struct channel_data data; };
struct headers6 { struct ip6 ip; struct udp udp; struct channel_data data; };

enum { UDP = 17, DF = 0x4000 };

// A packet as far as it is judged.
struct verdict {
  __u32 payload;     // bytes of application data
  __u32 padding;     // bytes behind them that do not go on
  __s32 room;        // bytes that the headers get more: 4 to the client, -4 to a peer, 0 between two clients
  __be16 channel;    // what is put in front
  __u16 mtu;         // of the way out
  __u32 ifindex;
  struct traffic *sent, *received;
};

INLINE int up(enum stat why) {
  __u32 key = smp_processor_id() * STATS_OF_CPU + why;
  __u64 *count = map_lookup(&stats, &key);
  if (count) (*count)++;
  return TC_ACT_UNSPEC;
}

INLINE __u32 fold(__u32 sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  return (sum & 0xffff) + (sum >> 16);
}
INLINE __u32 sum32(__be32 value) { return (value & 0xffff) + (value >> 16); }
INLINE __u32 sum128(const __be32 *v) { return sum32(v[0]) + sum32(v[1]) + sum32(v[2]) + sum32(v[3]); }

// Whether what UDP carries looks like ChannelData: a number, of RFC 5766 as well, and at most three bytes of padding.
INLINE int is_channel_data(struct channel_data data, __u32 carried) {
  __u32 channel = ntohs(data.channel), len = ntohs(data.len);
  return carried >= 4 && channel >= 0x4000 && channel <= 0x7fff && len <= carried - 4 && carried - 4 - len <= 3;
}

// Keeps branches apart whose only difference is the place that they write to: CAP_PERFMON would be needed to choose the
// place first.
#define APART(n) asm volatile("" ::"i"(n))

// Whether the lease of a flow is in force: RELAYED, or what to count. Its way out in that direction is noted.
INLINE enum stat in_force(__u32 slot, int to_client, __u64 now, struct verdict *v) {
  __u32 zero = 0;
  __u64 *until = map_lookup(&alive, &zero);
  if (!until || *until <= now) return DEAD;
  struct lease *lease = map_lookup(&leases, &slot);
  if (!lease || lease->until <= now) return EXPIRED;
  if (to_client) {
    v->ifindex = lease->ifindex[TO_CLIENT]; v->mtu = lease->mtu[TO_CLIENT];
    APART(1);
  } else {
    v->ifindex = lease->ifindex[TO_PEER]; v->mtu = lease->mtu[TO_PEER];
    APART(2);
  }
  return RELAYED;
}

// The sum of the padding behind `len` bytes of data that begin at `at`, as it stands in the checksum of the whole.
INLINE int sum_of_padding(struct __sk_buff *skb, __u32 at, __u32 len, __u32 padding, __u32 *sum) {
  __u8 bytes[4] = {};
  long failed = 0;
  if (padding == 1) failed = skb_load_bytes(skb, at + len, bytes, 1);
  else if (padding == 2) failed = skb_load_bytes(skb, at + len, bytes, 2);
  else if (padding == 3) failed = skb_load_bytes(skb, at + len, bytes, 3);
  __u16 even = len & 1 ? bytes[1] : bytes[0], odd = len & 1 ? bytes[0] : bytes[1];
  // Bytes at even places of the datagram are the upper halves of its words.
  *sum = htons((__u16)(even << 8 | odd)) + (len & 1 ? htons((__u16)bytes[2]) : htons((__u16)(bytes[2] << 8)));
  return failed != 0;
}

// The new checksum of UDP: without what the old headers and the padding were in the sum, and with the new ones.
INLINE __be16 new_check(__be16 check, __u32 old, __u32 new) {
  __be16 sum = ~fold((__u16)~check + (__u16)~fold(old) + fold(new));
  return sum ? sum : 0xffff;
}

INLINE void count_one(struct traffic *t, int to_client, __u32 bytes, __u64 now) {
  t->last = now >> 20;
  if (to_client) {
    __sync_fetch_and_add(&t->packets[TO_CLIENT], 1);
    __sync_fetch_and_add(&t->bytes[TO_CLIENT], bytes);
    APART(1);
  } else {
    __sync_fetch_and_add(&t->packets[TO_PEER], 1);
    __sync_fetch_and_add(&t->bytes[TO_PEER], bytes);
    APART(2);
  }
}

INLINE void count(const struct verdict *v, __u64 now) {
  count_one(v->sent, v->room > 0, v->payload, now);
  if (v->room == 0) count_one(v->received, 1, v->payload, now);
}

// Cuts off padding, and what Ethernet has put behind a short packet; makes room for the new headers, and writes
// them. Nothing but this changes a packet: where it fails halfway, the packet is lost.
INLINE int send(struct __sk_buff *skb, const struct verdict *v, __u32 ip_and_udp, const void *new, __u64 now) {
  __u32 len = ETH_HLEN + ip_and_udp + v->payload + (v->room <= 0 ? 4 : 0);
  if (skb->len > len && skb_change_tail(skb, len, 0)) goto drop;
  if (v->room && skb_adjust_room(skb, v->room, BPF_ADJ_ROOM_NET, 0)) goto drop;
  // Where the device has summed the packet up, its sum has to follow.
  if (v->room < 0 ? skb_store_bytes(skb, ETH_HLEN, new, ip_and_udp, BPF_F_RECOMPUTE_CSUM)
                  : skb_store_bytes(skb, ETH_HLEN, new, ip_and_udp + 4, BPF_F_RECOMPUTE_CSUM)) goto drop;
  count(v, now);
  up(RELAYED);
  return redirect_neigh(v->ifindex, 0, 0, 0);
drop:
  up(DROPPED);
  return TC_ACT_SHOT;
}

// Why a packet whose flow is installed cannot be sent on, or RELAYED.
INLINE enum stat obstacle(const struct __sk_buff *skb, const struct verdict *v, __u32 hops, __u32 len, int unfinished) {
  if (skb->gso_segs > 1 || skb->gso_size) return JOINED;
  if (hops <= 1) return TTL_OVER;
  if (unfinished) return UNFINISHED;
  if (!v->ifindex) return NO_ROUTE;
  if (len > v->mtu) return TOO_LONG;
  return RELAYED;
}

// Copies the headers behind that of Ethernet; of a packet that carries less than 4 bytes, without those of ChannelData.
#define READ_HEADERS(skb, type, h)                                                                            \
  ({                                                                                                          \
    void *at = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;                                   \
    __u32 all = ETH_HLEN + sizeof(type);                                                                      \
    int ok = 1;                                                                                               \
    if (at + ETH_HLEN + sizeof(type) <= end) h = *(type *)(at + ETH_HLEN);                                    \
    else if (skb->len >= all) ok = !skb_load_bytes(skb, ETH_HLEN, &h, sizeof(type));                          \
    else ok = skb->len >= all - 4 && !skb_load_bytes(skb, ETH_HLEN, &h, sizeof(type) - 4);                    \
    ok;                                                                                                       \
  })

INLINE int relay4(struct __sk_buff *skb) {
  struct headers4 h = {};
  if (!READ_HEADERS(skb, struct headers4, h)) return TC_ACT_UNSPEC;
  __u32 tot = ntohs(h.ip.tot_len), udp = ntohs(h.udp.len);
  // No options, no fragment, and no flag but DF.
  if (h.ip.version_ihl != 0x45 || h.ip.protocol != UDP || h.ip.frag_off & htons(0xffff & ~DF)) return TC_ACT_UNSPEC;
  if (udp < 8 || tot != udp + 20 || ETH_HLEN + tot > skb->len) return TC_ACT_UNSPEC;

  struct verdict v = {};
  struct flow4 *flow = 0;
  __u64 now;
  enum stat why;
  if (is_channel_data(h.data, udp - 8)) {
    struct chan4 key = { .client = h.ip.saddr, .server = h.ip.daddr, .client_port = h.udp.source, .server_port = h.udp.dest, .channel = h.data.channel };
    flow = map_lookup(&channels4, &key);
  }
  if (flow) {
    v.payload = ntohs(h.data.len); v.padding = udp - 12 - v.payload; v.room = -4;
  } else {
    struct peer4 key = { .peer = h.ip.saddr, .relay = h.ip.daddr, .peer_port = h.udp.source, .relay_port = h.udp.dest };
    flow = map_lookup(&peers4, &key);
    // What comes by the wire from an address of this server is for the stack to judge.
    if (!flow || flow->is_own) return TC_ACT_UNSPEC;
    v.payload = udp - 8; v.room = 4; v.channel = flow->channel;
  }
  now = ktime_get_ns();
  if ((why = in_force(flow->slot, v.room > 0, now, &v)) != RELAYED) return up(why);
  v.sent = map_lookup(&traffic, &flow->slot);
  if (!v.sent) return up(EXPIRED);
  if (v.room < 0 && flow->is_own) {
    // The peer is a relayed address of this server: straight on to the client behind it.
    struct peer4 key = { .peer = flow->saddr, .relay = flow->daddr, .peer_port = flow->sport, .relay_port = flow->dport };
    flow = map_lookup(&peers4, &key);
    if (!flow || !flow->is_own || in_force(flow->slot, 1, now, &v) != RELAYED) return up(OTHER_HALF);
    v.received = map_lookup(&traffic, &flow->slot);
    if (!v.received) return up(OTHER_HALF);
    v.room = 0; v.channel = flow->channel;
  } else {
    v.received = v.sent;
  }

  __u32 pseudo = sum32(h.ip.saddr) + sum32(h.ip.daddr), carried = v.payload + (v.room < 0 ? 0 : 4), gone = 0;
  // A checksum that the sender has left to its device is the sum of the pseudo header until then.
  why = obstacle(skb, &v, h.ip.ttl, 28 + carried, fold(pseudo + htons(UDP) + h.udp.len) == h.udp.check);
  if (why != RELAYED) return up(why);
  if (v.padding && sum_of_padding(skb, ETH_HLEN + sizeof h, v.payload, v.padding, &gone)) return up(NOT_READ);
  if (v.room <= 0) gone += h.data.channel + h.data.len;

  __be16 len = htons(8 + carried), id = h.ip.id;
  if (!(h.ip.frag_off & htons(DF))) id = (__be16)prandom_u32();
  __u32 to = sum32(flow->saddr) + sum32(flow->daddr);
  if (h.udp.check) {
    __u32 put = v.room < 0 ? 0 : v.channel + htons(v.payload);
    h.udp.check = new_check(h.udp.check, pseudo + h.udp.source + h.udp.dest + 2 * h.udp.len + gone, to + flow->sport + flow->dport + 2 * len + put);
  }
  __u32 ip = (__u16)~h.ip.check + (__u16)~fold(pseudo + h.ip.tot_len + h.ip.id + htons(0x0100)) + fold(to + htons(28 + carried) + id);
  h.ip.check = ~fold(ip);
  h.ip.tot_len = htons(28 + carried); h.ip.id = id; h.ip.ttl--; h.ip.saddr = flow->saddr; h.ip.daddr = flow->daddr;
  h.udp.source = flow->sport; h.udp.dest = flow->dport; h.udp.len = len;
  h.data.channel = v.channel; h.data.len = htons(v.payload);
  return send(skb, &v, sizeof h - 4, &h, now);
}

INLINE int relay6(struct __sk_buff *skb) {
  struct headers6 h = {};
  if (!READ_HEADERS(skb, struct headers6, h)) return TC_ACT_UNSPEC;
  __u32 udp = ntohs(h.udp.len);
  // No extension header, so no fragment. UDP over IPv6 has a checksum.
  if ((h.ip.flow & htonl(0xf0000000)) != htonl(0x60000000) || h.ip.next != UDP || !h.udp.check) return TC_ACT_UNSPEC;
  if (udp < 8 || ntohs(h.ip.payload_len) != udp || ETH_HLEN + sizeof(struct ip6) + udp > skb->len) return TC_ACT_UNSPEC;

  struct verdict v = {};
  struct flow6 *flow = 0;
  __u64 now;
  enum stat why;
  if (is_channel_data(h.data, udp - 8)) {
    struct chan6 key = { .client_port = h.udp.source, .server_port = h.udp.dest, .channel = h.data.channel };
    __builtin_memcpy(key.client, h.ip.saddr, 32);
    flow = map_lookup(&channels6, &key);
  }
  if (flow) {
    v.payload = ntohs(h.data.len); v.padding = udp - 12 - v.payload; v.room = -4;
  } else {
    struct peer6 key = { .peer_port = h.udp.source, .relay_port = h.udp.dest };
    __builtin_memcpy(key.peer, h.ip.saddr, 32);
    flow = map_lookup(&peers6, &key);
    // What comes by the wire from an address of this server is for the stack to judge.
    if (!flow || flow->is_own) return TC_ACT_UNSPEC;
    v.payload = udp - 8; v.room = 4; v.channel = flow->channel;
  }
  now = ktime_get_ns();
  if ((why = in_force(flow->slot, v.room > 0, now, &v)) != RELAYED) return up(why);
  v.sent = map_lookup(&traffic, &flow->slot);
  if (!v.sent) return up(EXPIRED);
  if (v.room < 0 && flow->is_own) {
    struct peer6 key = { .peer_port = flow->sport, .relay_port = flow->dport };
    __builtin_memcpy(key.peer, flow->saddr, 32);
    flow = map_lookup(&peers6, &key);
    if (!flow || !flow->is_own || in_force(flow->slot, 1, now, &v) != RELAYED) return up(OTHER_HALF);
    v.received = map_lookup(&traffic, &flow->slot);
    if (!v.received) return up(OTHER_HALF);
    v.room = 0; v.channel = flow->channel;
  } else {
    v.received = v.sent;
  }

  __u32 pseudo = sum128(h.ip.saddr) + sum128(h.ip.daddr), carried = v.payload + (v.room < 0 ? 0 : 4), gone = 0;
  why = obstacle(skb, &v, h.ip.hop_limit, 48 + carried, fold(pseudo + htons(UDP) + h.udp.len) == h.udp.check);
  if (why != RELAYED) return up(why);
  if (v.padding && sum_of_padding(skb, ETH_HLEN + sizeof h, v.payload, v.padding, &gone)) return up(NOT_READ);
  if (v.room <= 0) gone += h.data.channel + h.data.len;

  __be16 len = htons(8 + carried);
  __u32 to = sum128(flow->saddr) + sum128(flow->daddr), put = v.room < 0 ? 0 : v.channel + htons(v.payload);
  h.udp.check = new_check(h.udp.check, pseudo + h.udp.source + h.udp.dest + 2 * h.udp.len + gone, to + flow->sport + flow->dport + 2 * len + put);
  // RFC 8656 section 13.2: a flow label of the server's own (RFC 6437), one for each channel and direction.
  __u32 label = ((flow->slot * 2 + (v.room >= 0) + 1) * 0x9e3779b1) >> 12;
  h.ip.flow = (h.ip.flow & htonl(0xfff00000)) | htonl(label);
  h.ip.payload_len = len; h.ip.hop_limit--;
  __builtin_memcpy(h.ip.saddr, flow->saddr, 32);
  h.udp.source = flow->sport; h.udp.dest = flow->dport; h.udp.len = len;
  h.data.channel = v.channel; h.data.len = htons(v.payload);
  return send(skb, &v, sizeof h - 4, &h, now);
}

SEC("classifier") int taciturn_relay(struct __sk_buff *skb) {
  // For this host, without a VLAN tag.
  if (skb->pkt_type != 0 || skb->vlan_present) return TC_ACT_UNSPEC;
  if (skb->protocol == htons(ETH_P_IP)) return relay4(skb);
  if (skb->protocol == htons(ETH_P_IPV6)) return relay6(skb);
  return TC_ACT_UNSPEC;
}

char licence[] SEC("license") = "Dual MIT/GPL";
