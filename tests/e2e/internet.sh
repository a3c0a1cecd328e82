#!/bin/bash
# internet.sh up|down|nat KIND|block-udp HOME|unblock-udp HOME: a small internet in network
# namespaces, with no link to this machine's own network.
#
#                       inet (a bridge)
#          ┌──────────────────┼──────────────────┐
#   srv 203.0.113.10    nata .21           natb .22      home routers, IPv4 only
#   the TURN server           │                  │
#                       a 192.168.1.100    b 192.168.2.100
#
# The routers translate addresses and let nothing in that was not asked for. KIND is
#   symmetric  (as `up` makes them) a new outside port for each destination: two such homes have
#              no direct path to each other, whatever STUN tells them
#   cone       the same outside port for every destination: a direct path exists
#
# The namespaces are called $PREFIX-srv and so on; PREFIX keeps several copies apart.
set -euo pipefail

PREFIX=${PREFIX:?set PREFIX, for example taciturn-e2e}
HOSTS="inet srv nata natb a b"

# on HOST COMMAND...: runs a command in that host's namespace
on() {
    local host=$1
    shift
    ip netns exec "$PREFIX-$host" "$@"
}

make_host() {
    ip netns add "$PREFIX-$1"
    ip -n "$PREFIX-$1" link set lo up
    # With IPv6, ICE would find a direct path through the homes' stateful firewalls.
    on "$1" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
}

# cable HOST INTERFACE HOST INTERFACE
cable() {
    ip link add "$2" netns "$PREFIX-$1" type veth peer name "$4" netns "$PREFIX-$3"
    ip -n "$PREFIX-$1" link set "$2" up
    ip -n "$PREFIX-$3" link set "$4" up
}

# connect HOST ADDRESS: plugs a host into the bridge
connect() {
    cable "$1" eth0 inet "to-$1"
    ip -n "$PREFIX-inet" link set "to-$1" master bridge
    ip -n "$PREFIX-$1" address add "$2/24" dev eth0
    ip -n "$PREFIX-$1" route add default dev eth0
}

# home ROUTER CLIENT NETWORK
home() {
    cable "$1" lan0 "$2" eth0
    ip -n "$PREFIX-$1" address add "$3.1/24" dev lan0
    ip -n "$PREFIX-$2" address add "$3.100/24" dev eth0
    ip -n "$PREFIX-$2" route add default via "$3.1"
    on "$1" sysctl -qw net.ipv4.ip_forward=1
    firewall "$1"
}

firewall() {
    # `input` drops new UDP to the router itself: were it answered, its conntrack entry would hold
    # the port, and the home's own packet would get another one.
    on "$1" nft -f - <<'NFT'
table inet firewall {
    chain input {
        type filter hook input priority 0; policy accept;
        iifname "eth0" meta l4proto udp ct state new drop
    }
    chain forwarded {
        type filter hook forward priority 0; policy drop;
        ct state established,related accept
        iifname "lan0" accept
    }
}
NFT
}

# nat ROUTER KIND: (re)places the address translation
nat() {
    local how=fully-random
    [ "$2" = symmetric ] || how=
    on "$1" nft -f - <<NFT
table ip nat
delete table ip nat
table ip nat {
    chain outgoing {
        type nat hook postrouting priority srcnat;
        oifname "eth0" masquerade $how
    }
}
NFT
}

up() {
    local host
    trap down ERR # nothing half-made is left behind
    for host in $HOSTS; do make_host "$host"; done
    ip -n "$PREFIX-inet" link add bridge type bridge
    ip -n "$PREFIX-inet" link set bridge up
    connect srv 203.0.113.10
    connect nata 203.0.113.21
    connect natb 203.0.113.22
    home nata a 192.168.1
    home natb b 192.168.2
    nat nata symmetric
    nat natb symmetric
}

down() {
    local host pid
    for host in $HOSTS; do
        # Whatever still runs in there was started by the test that made the namespace.
        for pid in $(ip netns pids "$PREFIX-$host" 2>/dev/null || true); do
            kill -KILL "$pid" 2>/dev/null || true
        done
        ip netns delete "$PREFIX-$host" 2>/dev/null || true
    done
}

block_udp() {
    on "nat$1" nft -f - <<'NFT'
table inet blocked {
    chain forwarded {
        type filter hook forward priority -5;
        meta l4proto udp drop
    }
}
NFT
}

set -E # the ERR trap holds inside functions too
case ${1:-} in
up) up ;;
down) down ;;
nat)
    nat nata "$2"
    nat natb "$2"
    ;;
block-udp) block_udp "$2" ;;
unblock-udp) on "nat$2" nft delete table inet blocked ;;
*)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
