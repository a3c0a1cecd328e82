#!/bin/bash
# events.sh EVENT: what happens while a call runs; call.mjs runs it. The settings come from the
# environment that `run` exports: DIR, PREFIX, VENV, TURNCTL, SECRET, NEW_SECRET.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib/common.sh"
. "$here/../lib/process.sh"

PREFIX=${PREFIX:?set by run}

vps() { ip netns exec "$PREFIX-srv" "$@"; }

# --- The certificate ------------------------------------------------------------------------

serial_on_443() {
    vps openssl s_client -connect 203.0.113.10:443 -servername turn.e2e.test </dev/null 2>/dev/null |
        openssl x509 -noout -serial
}

serial_changed() {
    [ "$(serial_on_443)" != "$1" ]
}

renew_certificate() {
    local old
    old=$(serial_on_443)
    rm "$DIR/certs/server.crt"
    "$here/../lib/make-certs.sh" "$DIR/certs" turn.e2e.test matrix.e2e.test
    # The server looks at its files every few seconds.
    wait_for 30 serial_changed "$old" || die "new connections still get the old certificate"
    say "served: $old, then $(serial_on_443)"
}

# --- Secrets ----------------------------------------------------------------------------------

# The relay has both secrets by now.
homeserver_takes_new_secret() {
    "$here/homeserver.sh" stop
    "$here/homeserver.sh" start "$DIR/block-new-secret.yaml"
}

rotate_by_reload() {
    reload_with "$NEW_SECRET $SECRET"
    homeserver_takes_new_secret
    reload_with "$NEW_SECRET"
}

# --- The way --------------------------------------------------------------------------------

change_address() {
    "$here/../e2e/internet.sh" readdress a
}

# Long enough that losses are certain: 50 packets of sound a second and more, each way.
lose_packets() {
    "$here/../e2e/internet.sh" lose a 2
    sleep 5
}

# --- The server itself ------------------------------------------------------------------------

# reload_with SECRETS
reload_with() {
    SECRETS=$1 "$here/vps.sh" configuration >"$DIR/taciturn.toml.new"
    chmod 600 "$DIR/taciturn.toml.new"
    mv "$DIR/taciturn.toml.new" "$DIR/taciturn.toml"
    kill -HUP "$(process_pid "$DIR/relay")"
    sleep 1
}

drain() {
    vps "$TURNCTL" drain --config "$DIR/taciturn.toml"
}

case ${1:-} in
renew-certificate) renew_certificate ;;
new-secret) homeserver_takes_new_secret ;;
change-address) change_address ;;
lose-packets) lose_packets ;;
reload) reload_with "$SECRET" ;;
rotate-by-reload) rotate_by_reload ;;
drain) drain ;;
*) die "no event is called ${1:-}" ;;
esac
