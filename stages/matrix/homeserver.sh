#!/bin/bash
# homeserver.sh start BLOCK | stop: a throw-away Synapse in the home network, reached through the
# tunnel, with the users alice and bob (their passwords are their names). BLOCK is a file with the
# lines that `turnctl homeserver-snippet` printed; it is pasted as it is. A second start keeps the
# users and rooms.
#
# SQLite: Synapse's TURN credentials come from its configuration and never from its database, so
# PostgreSQL would only make the test longer.
#
# The settings come from the environment: DIR and PREFIX as in vps.sh, VENV with Synapse in it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib/common.sh"
. "$here/../lib/process.sh"

PREFIX=${PREFIX:?set by run}
HOME_DIR=$DIR/homeserver
PYTHON=$VENV/bin/python
ADDRESS=10.8.0.2
PORT=8008
export NETNS=$PREFIX-home

configuration() {
    cat <<CONF
server_name: e2e.test
public_baseurl: https://matrix.e2e.test/
listeners:
  - port: $PORT
    bind_addresses: ["$ADDRESS"]
    type: http
    tls: false
    x_forwarded: true
    resources: [{names: [client], compress: false}]
database: {name: sqlite3, args: {database: $HOME_DIR/homeserver.db}}
media_store_path: $HOME_DIR/media
signing_key_path: $HOME_DIR/signing.key
log_config: $HOME_DIR/log.yaml
registration_shared_secret: for-the-two-users-of-this-test
macaroon_secret_key: of-this-test
form_secret: of-this-test
report_stats: false
trusted_key_servers: []
suppress_key_server_warning: true
federation_domain_whitelist: []
# The tests log in and call more often than people do.
rc_message: {per_second: 1000, burst_count: 1000}
rc_invites: {per_room: {per_second: 1000, burst_count: 1000}, per_user: {per_second: 1000, burst_count: 1000}, per_issuer: {per_second: 1000, burst_count: 1000}}
rc_joins: {local: {per_second: 1000, burst_count: 1000}}
rc_room_creation: {per_second: 1000, burst_count: 1000}
rc_login:
  address: {per_second: 1000, burst_count: 1000}
  account: {per_second: 1000, burst_count: 1000}
  failed_attempts: {per_second: 1000, burst_count: 1000}

CONF
    cat "$1"
}

log_configuration() {
    cat <<'CONF'
version: 1
formatters: {line: {format: '%(asctime)s %(name)s %(levelname)s %(message)s'}}
handlers: {console: {class: logging.StreamHandler, formatter: line}}
root: {level: WARNING, handlers: [console]}
disable_existing_loggers: false
CONF
}

answers() {
    process_gone "$HOME_DIR" ||
        ip netns exec "$NETNS" curl -sf --max-time 5 "http://$ADDRESS:$PORT/_matrix/client/versions" >/dev/null
}

register() {
    ip netns exec "$NETNS" "$VENV/bin/register_new_matrix_user" -k for-the-two-users-of-this-test \
        -u "$1" -p "$1" --no-admin "http://$ADDRESS:$PORT"
}

start() {
    local first=
    mkdir -p "$HOME_DIR"
    [ -f "$HOME_DIR/homeserver.db" ] || first=yes
    [ -f "$HOME_DIR/signing.key" ] ||
        "$VENV/bin/generate_signing_key" -o "$HOME_DIR/signing.key"
    configuration "$1" >"$HOME_DIR/homeserver.yaml"
    log_configuration >"$HOME_DIR/log.yaml"
    start_process "$HOME_DIR" "$PYTHON" -m synapse.app.homeserver -c "$HOME_DIR/homeserver.yaml"
    wait_for 60 answers || true
    if process_gone "$HOME_DIR"; then
        tail -n 25 "$HOME_DIR/output.log" >&2
        die "Synapse did not come up"
    fi
    if [ -n "$first" ]; then
        register alice
        register bob
    fi
}

case ${1:-} in
start) start "$2" ;;
stop) stop_process "$HOME_DIR" ;;
*) die "usage: $0 start BLOCK | stop" ;;
esac
