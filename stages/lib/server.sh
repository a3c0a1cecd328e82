# shellcheck shell=bash
# What server-taciturn.sh and server-coturn.sh have in common: the settings, taken from the
# environment, and waiting until the server is there. See tests/README.md for the settings.
# shellcheck disable=SC2034  # the settings are read by the scripts that source this file

NETNS=${NETNS:-}
LISTEN=${LISTEN:-127.0.0.1}
RELAY=${RELAY:-$LISTEN}
PORT=${PORT:-3478}
TLSPORT=${TLSPORT:-5349}
MINPORT=${MINPORT:-59000}
MAXPORT=${MAXPORT:-60100}
REALM=${REALM:-e2e.test}
USER_PASS=${USER_PASS:-}
SECRET=${SECRET:-}
TRANSPORTS=${TRANSPORTS:-udp}
ALLOW_LOOPBACK=${ALLOW_LOOPBACK:-}
ALLOW_PEERS=${ALLOW_PEERS:-}
RFC5766_CHANNELS=${RFC5766_CHANNELS:-}
TCP_RELAY=${TCP_RELAY:-}
NAT_DISCOVERY=${NAT_DISCOVERY:-}
MOBILITY=${MOBILITY:-}
CERTS=${CERTS:-}
WORKERS=${WORKERS:-0}
CONNECTIONS=${CONNECTIONS:-}
ALLOCATIONS=${ALLOCATIONS:-}
UNVERIFIED_ANSWERS=${UNVERIFIED_ANSWERS:-}
CONTROL=${CONTROL:-}
MORE=${MORE:-}
TURNSERVER=${TURNSERVER:-turnserver}
LOGDIR=${LOGDIR:-$LOGS/server}

wants() {
    has_word "$TRANSPORTS" "$1"
}

# Every address and transport that was asked for is open.
all_listeners_open() {
    local address
    for address in $LISTEN; do
        ! wants udp || listening udp "$address" "$PORT" || return 1
        ! wants udp+dtls || listening udp "$address" "$PORT" || return 1
        ! wants tcp || listening tcp "$address" "$PORT" || return 1
        ! wants tls || listening tcp "$address" "$TLSPORT" || return 1
        ! wants dtls || listening udp "$address" "$TLSPORT" || return 1
    done
}

ready_or_dead() {
    all_listeners_open || process_gone "$LOGDIR"
}

# launch COMMAND...: starts the server and returns once it listens; shows its log where it fails.
launch() {
    start_process "$LOGDIR" "$@"
    wait_for 10 ready_or_dead || true
    if process_gone "$LOGDIR" || ! all_listeners_open; then
        warn "the server did not come up: $*"
        tail -n 25 "$LOGDIR/output.log" >&2
        stop_process "$LOGDIR" || true
        return 1
    fi
}

# The certificate files, for the transports that need them.
make_certificates() {
    if wants tls || wants dtls || wants udp+dtls; then
        [ -n "$CERTS" ] || die "TRANSPORTS has tls, dtls or udp+dtls: set CERTS to a directory for the certificates"
        "$(dirname "${BASH_SOURCE[0]}")/make-certs.sh" "$CERTS" turn.e2e.test localhost 127.0.0.1 ::1 203.0.113.10
    fi
}
