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
    reload_with auth.secrets SECRETS="$NEW_SECRET $SECRET"
    homeserver_takes_new_secret
    # The call was made with the old one. An operator waits until there is none such, or wants them kept.
    reload_with auth.secrets SECRETS="$NEW_SECRET" ON_REMOVAL=keep
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

# reload_with KEY SETTING=VALUE...: another configuration, that differs in KEY. turnctl waits until the
# server has taken it up, and tells what has changed.
reload_with() {
    local key=$1 told
    shift
    (umask 077 && env "$@" "$here/vps.sh" configuration >"$DIR/taciturn.toml.new")
    mv "$DIR/taciturn.toml.new" "$DIR/taciturn.toml"
    told=$("$TURNCTL" reload --socket "$DIR/control.sock") || die "the reload was refused"
    say "reloaded: $told"
    grep -qF "$key" <<<"$told" || die "the reload has not changed $key"
}

ready() {
    vps curl -s --max-time 5 -o "$DIR/ready.txt" -w '%{http_code}' http://127.0.0.1:9641/ready || true
}

# new_call_gets WORD: what turnctl is told that wants an allocation, as a caller does
new_call_gets() {
    local report
    (umask 077 && printf '%s' "$SECRET" >"$DIR/secret.txt")
    report=$(ip netns exec "$PREFIX-a" timeout 60 "$TURNCTL" check turn:turn.e2e.test --skip-security \
        --secret-file "$DIR/secret.txt" 2>&1) || true
    grep -qF "$1" <<<"$report" || die "a new call does not get \"$1\": $report"
}

drain() {
    [ "$(ready)" = 200 ] || die "/ready is not 200 while the server takes calls"
    new_call_gets 'relayed address'
    "$TURNCTL" drain --socket "$DIR/control.sock"
    [ "$(ready)" = 503 ] || die "/ready is not 503 while the server drains"
    new_call_gets "[server-draining]"
    say "draining: /ready is 503, a new call is refused with 508"
}

# Its last call has been hung up.
relay_has_ended() {
    wait_for 30 process_gone "$DIR/relay" || die "the server has not ended with its last call"
    say "the server has ended"
}

case ${1:-} in
renew-certificate) renew_certificate ;;
new-secret) homeserver_takes_new_secret ;;
change-address) change_address ;;
lose-packets) lose_packets ;;
reload) reload_with peers.allow ALLOW_PEERS=198.51.100.0/24 SECRETS="$SECRET" ;;
rotate-by-reload) rotate_by_reload ;;
drain) drain ;;
relay-has-ended) relay_has_ended ;;
*) die "no event is called ${1:-}" ;;
esac
