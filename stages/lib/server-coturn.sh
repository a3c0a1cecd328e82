#!/bin/bash
# server-coturn.sh start|stop: coturn as the server under test. It proves the tests themselves.
# The settings come from the environment; tests/README.md lists them.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"
. "$here/process.sh"
. "$here/server.sh"

# coturn refuses loopback peers by itself. The other private ranges it would relay to, and
# taciturn does not: a well-kept coturn has these lines, so the tests of denied peers hold for both.
denied_ranges() {
    cat <<'CONF'
denied-peer-ip=10.0.0.0-10.255.255.255
denied-peer-ip=100.64.0.0-100.127.255.255
denied-peer-ip=169.254.0.0-169.254.255.255
denied-peer-ip=172.16.0.0-172.31.255.255
denied-peer-ip=192.168.0.0-192.168.255.255
denied-peer-ip=fc00::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
CONF
}

# use-auth-secret switches the static users off, so a coturn has one kind or the other.
credentials() {
    if [ -n "$SECRET" ] && [ -n "$USER_PASS" ]; then
        die "coturn cannot serve static users and a shared secret at once: set USER_PASS or SECRET"
    elif [ -n "$SECRET" ]; then
        printf 'use-auth-secret\nstatic-auth-secret=%s\n' "$SECRET"
    else
        echo lt-cred-mech
        # shellcheck disable=SC2086  # a list of words
        printf 'user=%s\n' $USER_PASS
    fi
}

transports() {
    wants udp || wants udp+dtls || echo no-udp
    wants tcp || echo no-tcp
    wants tls || echo no-tls
    # Each of coturn's UDP ports serves both.
    wants dtls || wants udp+dtls || echo no-dtls
    if wants tls || wants dtls || wants udp+dtls; then
        printf 'cert=%s/server.crt\npkey=%s/server.key\n' "$CERTS" "$CERTS"
    fi
}

configuration() {
    local address
    for address in $LISTEN; do echo "listening-ip=$address"; done
    for address in $RELAY; do echo "relay-ip=$address"; done
    cat <<CONF
listening-port=$PORT
tls-listening-port=$TLSPORT
min-port=$MINPORT
max-port=$MAXPORT
realm=$REALM
fingerprint
mobility
no-multicast-peers
userdb=$LOGDIR/turndb.sqlite
pidfile=$LOGDIR/turnserver.pid
log-file=stdout
simple-log
CONF
    # allow-loopback-peers is refused unless the command line interface is off.
    echo no-cli
    if [ -n "$ALLOW_LOOPBACK" ]; then echo allow-loopback-peers; fi
    if [ "$WORKERS" != 0 ]; then echo "relay-threads=$WORKERS"; fi
    denied_ranges
    credentials
    transports
}

case ${1:-} in
start)
    mkdir -p "$LOGDIR"
    make_certificates
    configuration >"$LOGDIR/turnserver.conf"
    launch "$TURNSERVER" -c "$LOGDIR/turnserver.conf"
    ;;
stop) stop_process "$LOGDIR" ;;
*) die "usage: $0 start|stop" ;;
esac
