#!/bin/bash
# internet.sh ACTION: a small internet in network namespaces, with no link to this machine's own
# network.
#
#                       inet (a bridge)
#          ┌──────────────────┼──────────────────┐
#   srv 203.0.113.10    nata .21           natb .22      home routers, IPv4 only
#   the TURN server           │                  │
#                       a 192.168.1.100    b 192.168.2.100
#
#   up, down               makes it, removes it and whatever runs in it
#   nat symmetric|cone     how the routers translate addresses (below)
#   block HOME udp         nothing of that home gets out by UDP
#   block HOME all-but-443 nothing but TCP to port 443 does
#   unblock HOME           as at first
#   lose HOME PERCENT      the home loses that share of its packets, both ways; 0: none
#   readdress HOME         the provider gives the home another address (203.0.113.21 -> .121, and back)
#
# The routers let nothing in that was not asked for, and translate addresses:
#   symmetric  (as `up` makes them) a new outside port for each destination: two such homes have
#              no direct path to each other, whatever STUN tells them
#   cone       the same outside port for every destination: a direct path exists
#
# The namespaces are called $PREFIX-srv and so on; PREFIX keeps several copies apart. HOMES names
# the homes, "a b" by default. NAMES are the names that all hosts know the server by.
set -euo pipefail
. "$(cd "$(dirname "$0")" && pwd)/../lib/common.sh"

PREFIX=${PREFIX:?set PREFIX, for example taciturn-e2e}
HOMES=${HOMES:-a b}
NAMES=${NAMES:-}
HOSTS="inet srv"
for home in $HOMES; do HOSTS+=" nat$home $home"; done

# on HOST COMMAND...: runs a command in that host's namespace
on() {
    local host=$1
    shift
    ip netns exec "$PREFIX-$host" "$@"
}

make_host() {
    new_namespace "$PREFIX-$1"
    ip -n "$PREFIX-$1" link set lo up
    # With IPv6, ICE would find a direct path through the homes' stateful firewalls.
    on "$1" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
    if [ -n "$NAMES" ]; then name_server "$1"; fi
}

# `ip netns exec` shows the files of /etc/netns/NAME in the place of those of /etc. Chromium asks
# for a TURN server's name with a dot at its end.
name_server() {
    local name directory=/etc/netns/$PREFIX-$1
    mkdir -p "$directory"
    : >"$directory/resolv.conf"
    echo "127.0.0.1 localhost" >"$directory/hosts"
    for name in $NAMES; do echo "203.0.113.10 $name $name." >>"$directory/hosts"; done
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
        iifname != "eth0" accept
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
    local host home number=0
    trap down ERR # nothing half-made is left behind
    for host in $HOSTS; do make_host "$host"; done
    ip -n "$PREFIX-inet" link add bridge type bridge
    ip -n "$PREFIX-inet" link set bridge up
    connect srv 203.0.113.10
    for home in $HOMES; do
        number=$((number + 1))
        connect "nat$home" "203.0.113.2$number"
        home "nat$home" "$home" "192.168.$number"
        nat "nat$home" symmetric
    done
}

down() {
    local host pid
    for host in $HOSTS; do
        # Whatever still runs in there was started by the test that made the namespace.
        for pid in $(ip netns pids "$PREFIX-$host" 2>/dev/null || true); do
            kill -KILL "$pid" 2>/dev/null || true
        done
        ip netns delete "$PREFIX-$host" 2>/dev/null || true
        rm -rf "/etc/netns/$PREFIX-$host"
    done
    rmdir /etc/netns 2>/dev/null || true
}

# block HOME udp|all-but-443
block() {
    local rule
    case $2 in
    udp) rule='meta l4proto udp drop' ;;
    all-but-443) rule='iifname != "eth0" tcp dport != 443 drop; iifname != "eth0" meta l4proto != tcp drop' ;;
    *) usage ;;
    esac
    # Connections that were made before end as well.
    on "nat$1" nft -f - <<NFT
table inet blocked
delete table inet blocked
table inet blocked {
    chain forwarded {
        type filter hook forward priority -5;
        ${rule//; /$'\n'}
    }
}
NFT
}

unblock() {
    on "nat$1" nft -f - <<'NFT'
table inet blocked
delete table inet blocked
NFT
}

# lose HOME PERCENT
lose() {
    local rule=
    [ "$2" = 0 ] || rule="numgen random mod 1000 < $(($2 * 10)) drop"
    on "nat$1" nft -f - <<NFT
table netdev loss
delete table netdev loss
table netdev loss {
    chain incoming { type filter hook ingress device "eth0" priority 0; $rule; }
    chain outgoing { type filter hook ingress device "lan0" priority 0; $rule; }
}
NFT
}

# The kernel forgets the translations of an address that is removed, so nothing comes back to
# what the home had open.
readdress() {
    local old last
    old=$(ip -n "$PREFIX-nat$1" -4 -brief address show dev eth0 | grep -o '203[0-9.]*')
    last=${old##*.}
    ip -n "$PREFIX-nat$1" address delete "$old/24" dev eth0
    ip -n "$PREFIX-nat$1" address add "203.0.113.$((last > 100 ? last - 100 : last + 100))/24" dev eth0
    ip -n "$PREFIX-nat$1" route replace default dev eth0
}

usage() {
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

set -E # the ERR trap holds inside functions too
case ${1:-} in
up) up ;;
down) down ;;
nat) for home in $HOMES; do nat "nat$home" "$2"; done ;;
block) block "$2" "$3" ;;
unblock) unblock "$2" ;;
lose) lose "$2" "$3" ;;
readdress) readdress "$2" ;;
*) usage ;;
esac
