# shellcheck shell=bash
# Running turnutils_uclient and judging what it did. Its exit status is of no use: it is 0 even
# where every packet was lost. So its counts are read, and for peers that must not be reached the
# packets are counted by the kernel.

# run_case USER SERVER VERDICT ADDRESS ARGUMENT...
run_case() {
    local user=$1 server=$2 verdict=$3 address status command
    address=$(at_server "$4")
    shift 4
    # shellcheck disable=SC2046  # words
    set -- $(with_peers_of "$server" "$@")
    # It takes the loopback for where it is otherwise.
    if [ -n "$KERNEL_RELAY" ] && has_word "$*" -P; then set -- -L "$PEER4" "$@"; fi
    command=(turnutils_uclient -p "$(port_for "$server" "$@")" -u "$user")
    if [ "$server" = discovery ]; then
        command=(turnutils_natdiscovery -p "$(port_for discovery)")
    elif [ "$server" = rest ]; then command+=(-W "$SECRET"); else command+=(-w "$PASSWORD"); fi
    if has_word "$*" -S; then command+=(-E "$DIR/certs/ca.crt"); fi
    # What the case says comes last and overrides.
    command+=("$@" "$address")

    local watched
    watched=$(peer_port "$@")
    [ -z "$watched" ] || watch_port "$watched" || return 1
    say "\$ ${command[*]}"
    OUTPUT=$(timeout 60 ip netns exec "$CLIENTS" "${command[@]}" 2>&1)
    status=$?
    say "$OUTPUT"
    say "exit status $status, expected: $verdict"
    judge "$verdict" "$status" "$watched"
}

# at_server ADDRESS: where the server is that cases.txt has at an address of the loopback
at_server() {
    case $1 in
    127.0.0.1) printf '%s' "$SERVER4" ;;
    127.0.0.2) printf '%s' "$SECOND4" ;;
    ::1) printf '%s' "$SERVER6" ;;
    esac
}

# with_peers_of SERVER ARGUMENT...: the arguments, with peers as they are called in this run. The cases of `closed` mean the
# server's own addresses.
with_peers_of() {
    local server=$1 word before=
    shift
    for word in "$@"; do
        case $before$word in
        -e127.0.0.1 | -e::1)
            if [ "$server" = closed ]; then word=$(at_server "$word")
            elif [ "$word" = ::1 ]; then word=$PEER6
            else word=$PEER4; fi
            ;;
        esac
        printf '%s\n' "$word"
        before=$word
    done
}

# The server's port, or its TLS port for -S; of `mixed` the one for both.
port_for() {
    local port
    case $1 in
    open) port=3478 ;;
    rest) port=3578 ;;
    closed) port=3678 ;;
    both) port=3778 ;;
    discovery) port=3878 ;;
    mobile) port=3978 ;;
    mixed)
        printf 4078
        return
        ;;
    esac
    shift
    if has_word "$*" -S; then port=$(tls_port "$port"); fi
    printf '%s' "$port"
}

# The value of -r among the arguments.
peer_port() {
    while [ $# -gt 1 ]; do
        [ "$1" != -r ] || printf '%s' "$2"
        shift
    done
}

# judge VERDICT STATUS WATCHED_PORT (reads OUTPUT)
judge() {
    local verdict=$1 status=$2 watched=$3
    case $verdict in
    refused)
        expect "rc 255" "$status" = 255
        expect_output "Cannot complete Allocation"
        ;;
    delivered)
        expect "packets left for the peer" "$(watched_packets "$watched")" -gt 0
        ;;
    forbidden)
        # uclient asks only after it has allocated: without this line nothing would be proven.
        expect_output "error 403"
        expect "no packet left for the peer" "$(watched_packets "$watched")" = 0
        ;;
    undelivered)
        # Refused with 403, or taken and then dropped.
        grep -qF "error 403" <<<"$OUTPUT" || expect "something was sent" "$(messages sent)" -gt 0
        expect "nothing came back" "$(messages received)" -le 0
        expect "no packet left for the peer" "$(watched_packets "$watched")" = 0
        ;;
    independent)
        # There is no NAT in the namespace, so each test of RFC 5780 must find its answer.
        expect "rc 0" "$status" = 0
        expect_output "NAT with Endpoint Independent Mapping!"
        expect_output "NAT with Endpoint Independent Filtering!"
        ;;
    silent)
        expect "rc 0" "$status" = 0
        expect "something was sent" "$(messages sent)" -gt 0
        expect "nothing came back" "$(messages received)" = 0
        ;;
    *-half)
        expect "rc 0" "$status" = 0
        expect "all messages sent" "$(messages sent)" = "${verdict%-half}"
        expect "half of them received" "$(messages received)" = "$((${verdict%-half} / 2))"
        ;;
    *)
        expect "rc 0" "$status" = 0
        expect "all messages sent" "$(messages sent)" = "$verdict"
        expect "all messages received" "$(messages received)" = "$verdict"
        expect_output "Total lost packets 0 "
        ;;
    esac
    [ -z "$DISAPPOINTED" ]
}

DISAPPOINTED=

# expect WHAT LEFT OPERATOR RIGHT
expect() {
    if test "$2" "$3" "$4" 2>/dev/null; then return; fi
    say "NOT MET: $1 ($2 $3 $4)"
    DISAPPOINTED=yes
}

expect_output() {
    if grep -qF "$1" <<<"$OUTPUT"; then return; fi
    say "NOT MET: the output has \"$1\""
    DISAPPOINTED=yes
}

# messages sent|received: from the last line of totals, -1 where there is none.
# 4.6.1 prints "tot_send_msgs=10, tot_recv_msgs=10"; newer ones print bytes as well.
messages() {
    local field=tot_send_msgs number
    [ "$1" = sent ] || field=tot_recv_msgs
    number=$(grep -o "$field=[0-9]*" <<<"$OUTPUT" | tail -n 1 | cut -d = -f 2)
    printf '%s' "${number:--1}"
}

# --- Counting packets to a peer port, whoever listens there ---

# Where the server's sockets send, and where the clients' host gets packets: the kernel's relay passes by the first.
watch_begin() {
    watch_hook "$NETNS" output || return 1
    [ "$CLIENTS" = "$NETNS" ] || watch_hook "$CLIENTS" prerouting
}

# watch_hook NAMESPACE HOOK
watch_hook() {
    ip netns exec "$1" nft -f - <<NFT
table inet watch {
    chain packets {
        type filter hook $2 priority 0
    }
}
NFT
}

watch_port() {
    local namespace
    for namespace in $(namespaces); do
        ip netns exec "$namespace" nft -f - <<NFT || return 1
add counter inet watch to_$1
add rule inet watch packets udp dport $1 counter name to_$1
NFT
    done
}

watched_packets() {
    local namespace
    for namespace in $(namespaces); do
        ip netns exec "$namespace" nft list counter inet watch "to_$1"
    done | awk '$1 == "packets" { sum += $2 } END { print sum + 0 }'
}

namespaces() {
    printf '%s\n' "$NETNS" "$CLIENTS" | sort -u
}
