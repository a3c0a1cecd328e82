# shellcheck shell=bash
# A network of public addresses, as loopback and private ones are judged otherwise: the server at
# 11.1.0.1 and 2a0b:1::1; on the other side the call at 11.1.0.2, attackers in 11.2.0.0/16 and
# 2a0b:2::/32, newcomers in 11.3.0.0/16, and 9.0.0.0/8 for forged addresses, which hear nothing.

ATTACKED=11.1.0.1
ATTACKED_V6=2a0b:1::1
FIGURES=${FIGURES:-}

make_hostile_network() {
    new_namespace "$SERVERS" && new_namespace "$STRANGERS" || return 1
    ip -n "$SERVERS" link add strangers type veth peer name server netns "$STRANGERS" || return 1
    ip -n "$SERVERS" address add "$ATTACKED/24" dev strangers
    ip -n "$STRANGERS" address add 11.1.0.2/24 dev server
    ip -n "$SERVERS" address add "$ATTACKED_V6/64" dev strangers nodad
    ip -n "$STRANGERS" address add 2a0b:1::2/64 dev server nodad
    local namespace net
    for namespace in "$SERVERS" "$STRANGERS"; do ip -n "$namespace" link set lo up; done
    ip -n "$SERVERS" link set strangers up
    ip -n "$STRANGERS" link set server up
    for net in 9.0.0.0/8 11.2.0.0/16 11.3.0.0/16; do
        ip -n "$SERVERS" route add "$net" dev strangers via 11.1.0.2 || return 1
        ip -n "$STRANGERS" route add local "$net" dev lo || return 1
    done
    ip -n "$SERVERS" -6 route add 2a0b:2::/32 dev strangers via 2a0b:1::2 || return 1
    # A route is not enough to bind to an address of IPv6: one in each /64 of a /60.
    for net in {0..9} {a..f}; do
        ip -n "$STRANGERS" address add "2a0b:2:0:$net::2/128" dev lo nodad || return 1
    done
    [ -z "$KERNEL_RELAY" ] || like_a_wire "$STRANGERS" server || return 1
    ip netns exec "$STRANGERS" nft -f - <<'NFT'
table ip count {
    counter asked {}
    counter answered {}
    chain out {
        type filter hook output priority 0
        ip saddr 9.0.0.0/8 udp dport 3478 counter name asked
    }
    chain in {
        type filter hook input priority 0
        ip daddr 9.0.0.0/8 counter name answered drop
    }
}
NFT
}

# start_attacked SETTING=VALUE...: one worker, all transports, default limits
start_attacked() {
    export ATTACKED ATTACKED_V6 ATTACK_REALM=e2e.test ATTACK_PASSWORD=$PASSWORD SERVERS STRANGERS TURNCTL
    env LOGDIR="$DIR/server" LISTEN="$ATTACKED $ATTACKED_V6" RELAY="$ATTACKED" WORKERS=1 \
        CONTROL="${KERNEL_RELAY:+$DIR/control.sock}" \
        TRANSPORTS="udp tcp tls dtls" CERTS="$(certificates ecdsa)" \
        USER_PASS="alice:$PASSWORD bob:$PASSWORD mallory:$PASSWORD" \
        "$@" "$ROOT/stages/lib/server-${SERVER:?}.sh" start
}

# certificates rsa2048|rsa4096|ecdsa: a directory with server.crt and server.key of that kind
certificates() {
    local dir=$DIR/certificates-$1 kind=()
    case $1 in
    rsa*) kind=(-newkey "rsa:${1#rsa}") ;;
    ecdsa) kind=(-newkey ec -pkeyopt ec_paramgen_curve:P-256) ;;
    esac
    mkdir -p "$dir"
    [ -f "$dir/server.crt" ] || {
        openssl req -x509 "${kind[@]}" -nodes -days 30 -subj /CN=turn.e2e.test -keyout "$dir/server.key" \
            -addext subjectAltName=DNS:turn.e2e.test -out "$dir/server.crt" 2>/dev/null
        # coturn gives root away before it reads the key.
        chmod 644 "$dir/server.key"
    }
    printf '%s' "$dir"
}

# beside NAME ATTACK [ARGUMENT...]: see beside.py. Its options stand in BESIDE.
beside() {
    local options=("${BESIDE[@]}") status=0 sent
    [ "$SERVER" = taciturn ] || options+=(--measure)
    python3 -B "$HERE/beside.py" --pid "$(process_pid "$DIR/server")" --figures "$FIGURES" \
        "${options[@]}" "$@" || status=$?
    survived || return 1
    # What the call has sent beside the attack, there and back; alone it has sent less, which counts as well.
    wait_for 30 kernel_is_told_of || true
    sent=$(figure sent "$FIGURES/$1.json")
    kernel_has_relayed "$DIR/control.sock" $((2 * ${sent:-0})) || return 1
    return $status
}

# For a moment after the attack the server may have no descriptor to spare for who asks it.
kernel_is_told_of() {
    [ -z "$KERNEL_RELAY" ] || kernel_relay_status "$DIR/control.sock" >/dev/null 2>&1
}

# figure NAME FILE: a number of the figures of an attack
figure() {
    grep -o "\"$1\": *-\?[0-9.]*" "$2" | head -n 1 | sed 's/.*: *//'
}

# stranger SCRIPT [ARGUMENT...]: one script of this directory, among the strangers
stranger() {
    ip netns exec "$STRANGERS" python3 -B "$HERE/$1" "${@:2}"
}
