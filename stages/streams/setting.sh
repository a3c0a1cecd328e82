# shellcheck shell=bash
# What the cases run against: certificates, the server, a peer that echoes, and nginx in front.
#
#   5349       the server, TLS
#   5350       the server, TLS behind a PROXY header      3479  the same without TLS
#   443        nginx, passes TLS for turn.e2e.test through to 5350, told by the name
#   444        nginx, passes all through to 5350, for clients that send no name
#   8443       nginx, ends TLS and goes on to 3479
#
# Clients are at 127.0.0.5 and fd77::5, nginx goes to the server from 127.0.0.9.

PROXY_ADDRESS=127.0.0.9

set_up() {
    local address name
    mkdir -p "$DIR"
    new_namespace "$NETNS" || return 1
    ip -n "$NETNS" link set lo up || return 1
    for address in fd77::1 fd77::5; do
        ip -n "$NETNS" address add "$address/128" dev lo || return 1
    done
    make_chains "$DIR/certs" || return 1
    start_process "$DIR/echo-peer" turnutils_peer -L 127.0.0.1 -p 3480
    server_configuration >"$DIR/taciturn.toml"
    export -n TACITURN_BIN # it is no key of the server's
    start_process "$DIR/server" "${TACITURN_BIN:-$TARGET_DIR/release/taciturn}" --config "$DIR/taciturn.toml"
    nginx_configuration >"$DIR/nginx.conf"
    # -e: not the log file that was compiled in, not even before the configuration is read.
    start_process "$DIR/nginx" nginx -e stderr -p "$DIR" -c "$DIR/nginx.conf"
    for name in server nginx; do
        wait_for 10 all_open "$name" || { cat "$DIR/$name/output.log"; return 1; }
    done
    wait_for 5 listening udp 127.0.0.1 3480
}

tear_down() {
    local pid
    stop_process "$DIR/nginx"
    stop_process "$DIR/server"
    stop_process "$DIR/echo-peer"
    # Whatever is left in the namespace was started by the cases (an interrupted run).
    for pid in $(ip netns pids "$NETNS" 2>/dev/null); do kill -KILL "$pid"; done
    ip netns delete "$NETNS" 2>/dev/null
}

all_open() {
    local port ports="443 444 8443"
    [ "$1" = nginx ] || ports="5349 5350 3479"
    for port in $ports; do listening tcp 127.0.0.1 "$port" || return 1; done
}

# make_chains DIR: root.crt; first.pem (elliptic curve, with an intermediate) and its key; a
# certbot directory second/ (RSA, from the root itself); stranger.crt, a root that signed nothing.
make_chains() {
    local dir=$1
    rm -rf "$dir"
    mkdir -p "$dir/second"
    authority "$dir/root" "root of the stream tests"
    authority "$dir/stranger" "another root"
    request "$dir/intermediate" ec "intermediate of the stream tests"
    sign "$dir/intermediate" "$dir/root" "basicConstraints=critical,CA:TRUE,pathlen:0
keyUsage=critical,keyCertSign,cRLSign"
    request "$dir/first" ec turn.e2e.test
    sign "$dir/first" "$dir/intermediate" "subjectAltName=DNS:turn.e2e.test"
    cat "$dir/first.crt" "$dir/intermediate.crt" >"$dir/first.pem"
    request "$dir/second/privkey" rsa:2048 turn.second.test
    sign "$dir/second/privkey" "$dir/root" "subjectAltName=DNS:turn.second.test"
    mv "$dir/second/privkey.key" "$dir/second/privkey.pem"
    mv "$dir/second/privkey.crt" "$dir/second/fullchain.pem"
}

# authority NAME SUBJECT: a root
authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$2" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
        -keyout "$1.key" -out "$1.crt" 2>/dev/null
}

# request NAME KIND SUBJECT: a key, and a request for a certificate
request() {
    local options=()
    [ "$2" != ec ] || options=(-pkeyopt ec_paramgen_curve:P-256)
    openssl req -newkey "$2" "${options[@]}" -nodes -subj "/CN=$3" -keyout "$1.key" -out "$1.csr" 2>/dev/null
}

# sign NAME ISSUER EXTENSIONS
sign() {
    openssl x509 -req -in "$1.csr" -CA "$2.crt" -CAkey "$2.key" -CAcreateserial -days 30 \
        -extfile <(printf '%s\n' "$3") -out "$1.crt" 2>/dev/null
}

server_configuration() {
    cat <<TOML
realm = "e2e.test"
host = "turn.e2e.test"
external_ip = ["127.0.0.1"]

[auth]
users = [$(cases | awk -v password="$PASSWORD" '{ printf "\"%s:%s\", ", $1, password }')]

[peers]
allow = ["127.0.0.0/8"]

[protocol]
rfc5766_channels = true

[tls]
cert = "$DIR/certs/first.pem"
key = "$DIR/certs/first.key"
certbot = "$DIR/certs/second"

[[listen]]
transport = "tls"
address = "127.0.0.1:5349"

[[listen]]
transport = "tls"
address = "[fd77::1]:5349"

[[listen]]
transport = "tls"
address = "127.0.0.1:5350"
proxy_protocol = true
trusted_proxies = ["$PROXY_ADDRESS"]

[[listen]]
transport = "tcp"
address = "127.0.0.1:3479"
proxy_protocol = true
trusted_proxies = ["$PROXY_ADDRESS"]
TOML
}

nginx_configuration() {
    cat <<CONF
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
pid $DIR/nginx/nginx.pid;
error_log stderr;
worker_processes 1;
events {}
stream {
    proxy_bind $PROXY_ADDRESS;
    proxy_protocol on;
    map \$ssl_preread_server_name \$behind {
        turn.e2e.test 127.0.0.1:5350;
        default 127.0.0.1:9; # where a web server would be
    }
    server {
        listen 127.0.0.1:443;
        listen [fd77::1]:443;
        ssl_preread on;
        proxy_pass \$behind;
    }
    server {
        listen 127.0.0.1:444;
        listen [fd77::1]:444;
        proxy_pass 127.0.0.1:5350;
    }
    server {
        listen 127.0.0.1:8443 ssl;
        listen [fd77::1]:8443 ssl;
        ssl_certificate $DIR/certs/first.pem;
        ssl_certificate_key $DIR/certs/first.key;
        proxy_pass 127.0.0.1:3479;
    }
}
CONF
}
