#!/bin/bash
# server-taciturn.sh start|stop|take-over: taciturn as the server under test. take-over: the next process takes over from
# the one that runs, and is the server then; CONTROL was set at the start.
# The settings come from the environment; tests/README.md lists them. TACITURN_BIN names the
# program where it is not the release build of this tree.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"
. "$here/process.sh"
. "$here/server.sh"

program=${TACITURN_BIN:-$TARGET_DIR/release/taciturn}
# The server refuses variables of its prefix that are no keys.
unset TACITURN_BIN

# toml_list WORD...: ["a", "b"]
toml_list() {
    local item text=
    for item in "$@"; do text+="${text:+, }\"$item\""; done
    printf '[%s]' "$text"
}

listener() {
    printf '\n[[listen]]\ntransport = "%s"\naddress = "%s:%s"\n' "$1" "$(bracketed "$2")" "$3"
}

listeners() {
    local address
    for address in $LISTEN; do
        ! wants udp || listener udp "$address" "$PORT"
        ! wants udp+dtls || listener udp+dtls "$address" "$PORT"
        [ -z "$NAT_DISCOVERY" ] || listener udp "$address" "$((PORT + 1))"
        ! wants tcp || listener tcp "$address" "$PORT"
        ! wants tls || listener tls "$address" "$TLSPORT"
        ! wants dtls || listener dtls "$address" "$TLSPORT"
    done
}

# Only addresses that the test is about are allowed. Two relayed addresses of this server reach
# each other without any entry here.
allowed_peers() {
    [ -z "$ALLOW_LOOPBACK" ] || printf '%s\n' 127.0.0.0/8 ::1/128
    # shellcheck disable=SC2086  # a list of words
    [ -z "$ALLOW_PEERS" ] || printf '%s\n' $ALLOW_PEERS
}

# knows KEY: whether the program has such a key; an older one, to be compared with, refuses what it does not know
knows() {
    grep -aqF "$1" "$program"
}

configuration() {
    local relay users=() secrets=() allowed
    read -ra relay <<<"$RELAY"
    read -ra users <<<"$USER_PASS"
    [ -z "$SECRET" ] || secrets=("$SECRET")
    mapfile -t allowed < <(allowed_peers)
    cat <<CONF
realm = "$REALM"
external_ip = $(toml_list "${relay[@]}")
relay_ports = "$MINPORT-$MAXPORT"
workers = $WORKERS
$(listeners)

[auth]
users = $(toml_list "${users[@]}")
secrets = $(toml_list "${secrets[@]}")
allow_weak_credentials = false

[peers]
allow = $(toml_list "${allowed[@]}")
deny = []
CONF
    printf '\n[limits]\n'
    # Who wants many connections from one address wants their handshakes as well.
    if [ -n "$CONNECTIONS" ]; then
        printf 'connections_per_address = %s\n' "$CONNECTIONS"
        ! knows handshakes_per_address || printf 'handshakes_per_address = 0\n'
    fi
    if [ -n "$ALLOCATIONS" ]; then
        printf 'allocations_per_user = %s\n' "$ALLOCATIONS"
        ! knows allocations_per_second_per_user || printf 'allocations_per_second_per_user = 0\n'
    fi
    if [ -n "$UNVERIFIED_ANSWERS" ]; then printf 'unverified_answers = %s\n' "$UNVERIFIED_ANSWERS"; fi
    [ -z "$CONTROL" ] || printf '\n[admin]\nsocket = "%s"\n' "$CONTROL"
    printf '\n[protocol]\n'
    if [ -n "$RFC5766_CHANNELS" ]; then printf 'rfc5766_channels = true\n'; fi
    if [ -n "$TCP_RELAY" ]; then printf 'tcp_relay = true\n'; fi
    if [ -n "$MOBILITY" ]; then printf 'mobility = true\n'; fi
    # shellcheck disable=SC2086  # a list of words
    if [ -n "$NAT_DISCOVERY" ]; then printf 'nat_discovery = %s\n' "$(toml_list $NAT_DISCOVERY)"; fi
    if wants tls || wants dtls || wants udp+dtls; then
        printf '\n[tls]\ncert = "%s/server.crt"\nkey = "%s/server.key"\n' "$CERTS" "$CERTS"
    fi
    [ -z "$MORE" ] || cat "$MORE"
}

take_over() {
    local before
    before=$(mktemp -d "$LOGDIR/before-XXXXXX")
    mv "$LOGDIR/pid" "$LOGDIR/output.log" "$before"
    start_process "$LOGDIR" "$program" --config "$LOGDIR/taciturn.toml" --take-over
    if ! wait_for 10 process_gone "$before" || process_gone "$LOGDIR"; then
        tail -n 12 "$before/output.log" "$LOGDIR/output.log" >&2
        die "the next process has not taken over"
    fi
}

case ${1:-} in
start)
    [ -x "$program" ] || die "$program is missing: cargo build --release --locked"
    mkdir -p "$LOGDIR"
    rm -rf "$LOGDIR"/before-*
    make_certificates
    configuration >"$LOGDIR/taciturn.toml"
    launch "$program" --config "$LOGDIR/taciturn.toml"
    ;;
stop) stop_process "$LOGDIR" ;;
take-over) take_over ;;
*) die "usage: $0 start|stop|take-over" ;;
esac
