#!/bin/bash
# vps.sh start|stop: what runs on the VPS: the relay, and a reverse proxy on port 443.
#
# nginx stands for Traefik there, as Pangolin sets it up: it looks at the name that a TLS client asks
# for, passes the connections for the TURN server through as they are, with a PROXY header in front,
# and serves the homeserver's name itself, from the home behind the tunnel.
#
# The settings come from the environment:
#   DIR              logs, configurations, certificates
#   PREFIX           of the namespaces (stages/e2e/internet.sh)
#   SERVER           taciturn (default) or coturn
#   SECRETS          shared secrets, separated by blanks
#   ON_REMOVAL       what becomes of calls whose secret is removed: end, keep
#   STATIC_USER      NAME:PASSWORD; taciturn takes it beside the secrets, coturn instead of them
#   TRANSPORTS       ways in that are open, out of: udp tcp tls dtls 443 (default: udp tcp 443; tls and dtls
#                    are on port 5349)
#   ALLOW_PEERS      a range that the relay may send to besides (taciturn)
#   TURN_CERTS       directory of the relay's certificate (default: DIR/certs)
#   RELAY_BIN        the program, where it is not the release build of this tree
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib/common.sh"
. "$here/../lib/process.sh"

PREFIX=${PREFIX:?set by run}
SERVER=${SERVER:-taciturn}
SECRETS=${SECRETS:-}
STATIC_USER=${STATIC_USER:-}
TRANSPORTS=${TRANSPORTS:-udp tcp 443}
ALLOW_PEERS=${ALLOW_PEERS:-}
TURN_CERTS=${TURN_CERTS:-$DIR/certs}
ADDRESS=203.0.113.10
HOMESERVER=10.8.0.2:8008
PROXIED_PORT=5350
export NETNS=$PREFIX-srv

opens() {
    has_word "$TRANSPORTS" "$1"
}

# quoted WORD...: "one", "two"
quoted() {
    local word list=
    for word in "$@"; do list+="${list:+, }\"$word\""; done
    printf '%s' "$list"
}

# What a self-hoster writes: everything else is at its default, but for the socket, as several servers
# may run on this machine.
taciturn_configuration() {
    local secrets=()
    read -ra secrets <<<"$SECRETS"
    cat <<CONF
realm = "turn.e2e.test"
external_ip = "$ADDRESS"

[auth]
secrets = [$(quoted "${secrets[@]}")]
users = [$(quoted ${STATIC_USER:+"$STATIC_USER"})]
on_removal = "${ON_REMOVAL:-end}"

[peers]
allow = [$(quoted ${ALLOW_PEERS:+"$ALLOW_PEERS"})]

[admin]
socket = "$DIR/control.sock"

[tls]
cert = "$TURN_CERTS/server.crt"
key = "$TURN_CERTS/server.key"
CONF
    ! opens udp || printf '\n[[listen]]\ntransport = "udp"\naddress = "%s:3478"\n' "$ADDRESS"
    ! opens tcp || printf '\n[[listen]]\ntransport = "tcp"\naddress = "%s:3478"\n' "$ADDRESS"
    ! opens dtls || printf '\n[[listen]]\ntransport = "dtls"\naddress = "%s:5349"\n' "$ADDRESS"
    ! opens tls || printf '\n[[listen]]\ntransport = "tls"\naddress = "%s:5349"\n' "$ADDRESS"
    if opens 443; then
        cat <<CONF

[[listen]]
transport = "tls"
address = "127.0.0.1:$PROXIED_PORT"
proxy_protocol = true
trusted_proxies = ["127.0.0.1"]
CONF
    fi
}

# Debian's coturn takes no PROXY header in front of TLS: nginx sends it none, and coturn takes nginx
# for the client.
coturn_configuration() {
    local secret
    cat <<CONF
realm=turn.e2e.test
listening-ip=$ADDRESS
listening-ip=127.0.0.1
relay-ip=$ADDRESS
tls-listening-port=$PROXIED_PORT
min-port=59000
max-port=60100
cert=$TURN_CERTS/server.crt
pkey=$TURN_CERTS/server.key
fingerprint
no-multicast-peers
no-cli
userdb=$DIR/coturn.sqlite
pidfile=$DIR/turnserver.pid
log-file=stdout
simple-log
CONF
    if [ -n "$STATIC_USER" ]; then
        printf 'lt-cred-mech\nuser=%s\n' "$STATIC_USER"
    else
        echo use-auth-secret
        for secret in $SECRETS; do echo "static-auth-secret=$secret"; done
    fi
}

nginx_configuration() {
    local turn=$PROXIED_PORT proxy_protocol=on
    [ "$SERVER" = taciturn ] || proxy_protocol=off
    cat <<CONF
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
master_process off;
pid $DIR/nginx.pid;
error_log stderr notice;
events {}

stream {
    map \$ssl_preread_server_name \$behind {
        turn.e2e.test 127.0.0.1:$turn;
        default       127.0.0.1:8443;
    }
    server {
        listen $ADDRESS:443;
        ssl_preread on;
        proxy_pass \$behind;
        proxy_protocol $proxy_protocol;
    }
}

http {
    access_log off;
    client_body_temp_path $DIR/nginx-body;
    proxy_temp_path $DIR/nginx-proxy;
    fastcgi_temp_path $DIR/nginx-fastcgi;
    uwsgi_temp_path $DIR/nginx-uwsgi;
    scgi_temp_path $DIR/nginx-scgi;
    server {
        listen 127.0.0.1:8443 ssl$([ "$proxy_protocol" = off ] || printf ' proxy_protocol');
        server_name matrix.e2e.test;
        ssl_certificate $DIR/certs/server.crt;
        ssl_certificate_key $DIR/certs/server.key;
        location / {
            proxy_pass http://$HOMESERVER;
            proxy_http_version 1.1;
            proxy_set_header Host \$host;
            proxy_set_header X-Forwarded-For \$$([ "$proxy_protocol" = off ] && echo remote_addr || echo proxy_protocol_addr);
            proxy_set_header X-Forwarded-Proto https;
        }
    }
}
CONF
}

relay_ready() {
    process_gone "$DIR/relay" && return 0
    ! opens udp || listening udp "$ADDRESS" 3478 || return 1
    ! opens tcp || listening tcp "$ADDRESS" 3478 || return 1
    ! opens dtls || listening udp "$ADDRESS" 5349 || return 1
    ! opens tls || listening tcp "$ADDRESS" 5349 || return 1
    ! opens 443 || listening tcp 127.0.0.1 "$PROXIED_PORT" || return 1
}

nginx_ready() {
    process_gone "$DIR/nginx" || listening tcp "$ADDRESS" 443
}

# up NAME READY COMMAND...: fails, with the end of the log, where the process is not there in time
up() {
    local name=$1 ready=$2
    shift 2
    start_process "$DIR/$name" "$@"
    wait_for 15 "$ready" || true
    if process_gone "$DIR/$name" || ! "$ready"; then
        tail -n 25 "$DIR/$name/output.log" >&2
        die "$name did not come up"
    fi
}

start() {
    if [ "$SERVER" = taciturn ]; then
        (umask 077 && taciturn_configuration >"$DIR/taciturn.toml")
        up relay relay_ready "${RELAY_BIN:-$TARGET_DIR/release/taciturn}" --config "$DIR/taciturn.toml"
    else
        coturn_configuration >"$DIR/turnserver.conf"
        up relay relay_ready turnserver -c "$DIR/turnserver.conf"
    fi
    nginx_configuration >"$DIR/nginx.conf"
    up nginx nginx_ready nginx -c "$DIR/nginx.conf"
}

stop() {
    stop_process "$DIR/nginx" && stop_process "$DIR/relay"
}

case ${1:-} in
start) start ;;
stop) stop ;;
configuration) taciturn_configuration ;;
*) die "usage: $0 start|stop|configuration" ;;
esac
