# shellcheck shell=bash
# shellcheck disable=SC2154  # here is the directory of the stage
# Test links in browsers. Each case breaks one thing between a person and the server, or on the server, and both browsers
# open a link of `turnctl test-link` there. The test has to come to exactly the case's verdict: on the page, as turnctl
# prints it (Chromium's link), and as JSON (Firefox's). Sourced by `run`.
#
# Each case has an internet of its own (e2e/internet.sh), so several run at a time.

LINK_NAME=turn.link.test
LINK_SERVER=203.0.113.10
READ_ON_80='[[listen]]
transport = "tcp"
address = "0.0.0.0:80"'

# name and function, the long ones first: a way without an answer takes ten seconds
link_cases() {
    cat <<'CASES'
test-only-443           link_only_443
test-unknown-authority  link_unknown_authority
test-udp-blocked        link_udp_blocked
test-two-phones         link_two_phones
test-relay-blocked      link_relay_blocked
test-draining           link_draining
test-well               link_well
test-secret-changed     link_secret_changed
test-quota              link_quota
test-ipv6-only          link_ipv6_only
test-wrong-name         link_wrong_name
CASES
    # Whoever names cases may name these as well.
    [ -n "$ALL" ] || [ ${#PATTERNS[@]} != 0 ] || return 0
    cat <<'CASES'
test-ended              link_ended
test-no-webrtc          link_no_webrtc
test-untold             link_untold
CASES
}

# --- The cases ---

link_well() {
    MORE='"again": true,'
    link_rig && open_links "good ok"
}

link_udp_blocked() {
    link_rig && internet block a udp && open_links "warn udp-blocked"
}

link_only_443() {
    link_rig && internet block a all-but-443 && open_links "warn only-443"
}

# Two people who are both relayed have a call all the same, as it never leaves the server.
link_relay_blocked() {
    link_rig && in_link srv nft -f - <<'NFT' && open_links "warn relay-blocked"
table inet closed {
    chain input {
        type filter hook input priority 0;
        udp dport 59000-59499 drop
    }
}
NFT
}

# The page is read on port 80, as browsers would warn of the certificate instead of showing it. Only the web gets out.
link_unknown_authority() {
    SETTINGS=$READ_ON_80 SCHEME=http
    link_rig && in_link nata nft -f - <<'NFT' && CA='' open_links "bad cert-untrusted"
table inet blocked {
    chain forwarded {
        type filter hook forward priority -5;
        iifname != "eth0" tcp dport != { 80, 443 } drop
        iifname != "eth0" meta l4proto != tcp drop
    }
}
NFT
}

# Where UDP works, calls do: it is only said.
link_wrong_name() {
    CERTIFIED=another.link.test SETTINGS=$READ_ON_80 SCHEME=http
    link_rig && open_links "warn cert-untrusted"
}

link_secret_changed() {
    link_rig || return 1
    sed -i "s/$SECRET/another-$SECRET/" "$LINK_DIR/taciturn.toml"
    link_turnctl reload --socket "$LINK_DIR/control.sock" && open_links "bad secret-changed"
}

# The second connection of the browser is one too many.
link_quota() {
    SETTINGS='[limits]
allocations_per_user = 1'
    link_rig && open_links "bad quota"
}

link_draining() {
    link_rig || return 1
    # Without a call the server would end at once.
    NETNS=$PREFIX-srv start_process "$LINK_DIR/call" "${TURNCTL_BIN:-$TARGET_DIR/release/turnctl}" bench \
        "turn:$LINK_SERVER" --secret-file "$LINK_DIR/secret" --relayed-peers --flows 1 --size 160 --rate 10 --seconds 120
    wait_for 10 link_has_session || { cat "$LINK_DIR/call/output.log"; return 1; }
    link_turnctl drain --socket "$LINK_DIR/control.sock" && open_links "bad draining"
}

link_has_session() {
    link_turnctl sessions --socket "$LINK_DIR/control.sock" | grep 203.0.113 >/dev/null
}

# The home has IPv6 and no IPv4; the server has both, and relays IPv4.
link_ipv6_only() {
    LISTEN_ON="[::]"
    link_rig plug_in_ipv6 && open_links "warn ipv6-only"
}

plug_in_ipv6() {
    local host
    for host in srv a; do
        ip link add six netns "$PREFIX-$host" type veth peer name "six-$host" netns "$PREFIX-inet" &&
            ip -n "$PREFIX-inet" link set "six-$host" up master bridge &&
            in_link "$host" sysctl -qw net.ipv6.conf.six.disable_ipv6=0 net.ipv6.conf.lo.disable_ipv6=0 &&
            ip -n "$PREFIX-$host" link set six up || return 1
    done
    ip -n "$PREFIX-srv" address add 2001:db8:1::10/64 dev six nodad
    ip -n "$PREFIX-a" address add 2001:db8:1::21/64 dev six nodad
    ip -n "$PREFIX-a" link set eth0 down
    printf '::1 localhost\n2001:db8:1::10 %s %s.\n' "$LINK_NAME" "$LINK_NAME" >"/etc/netns/$PREFIX-a/hosts"
}

# Each behind a router of its own, with no direct path between them.
link_two_phones() {
    local link status
    HOMES="a b" PEOPLE=2 MORE='"pair": true,'
    link_rig || return 1
    link=$(address_of json)
    visit a chromium "$link" "good ok" "$(link_settings json en)" &
    visit b firefox "$link" "good ok" "$(link_settings json ru)"
    status=$?
    wait $! && [ $status = 0 ] || return 1
    link_turnctl test-link --results --socket "$LINK_DIR/control.sock" | tee "$LINK_DIR/results" || return 1
    [ "$(grep -c ' reached the other person' "$LINK_DIR/results")" = 2 ]
}

# Each use of a link is a test, and a link for one person has five.
link_ended() {
    local link
    MORE='"reports": null,'
    link_rig || return 1
    for link in "$(address_of text)" "$(address_of json)"; do
        for _ in 1 2 3 4 5; do
            in_link a curl --silent --fail --cacert "$CA" --json '{}' --header "Origin: ${link%%/test/*}" "${link}begin" || return 1
        done
    done
    open_links "bad ended"
}

link_no_webrtc() {
    MORE='"before": "delete window.RTCPeerConnection",'
    link_rig && open_links "bad no-webrtc"
}

# The server is lost when the test is over.
link_untold() {
    MORE="\"reports\": null, \"before\": \"const ask = fetch; fetch = (path, how) => ask(path === 'report' ? '' : path, how)\","
    link_rig && open_links "warn untold"
}

# --- What they are made of ---

internet() {
    "$here/../e2e/internet.sh" "$@"
}

in_link() {
    local host=$1
    shift
    ip netns exec "$PREFIX-$host" "$@"
}

link_turnctl() {
    in_link srv "${TURNCTL_BIN:-$TARGET_DIR/release/turnctl}" "$@"
}

link_configuration() {
    local listener
    cat <<TOML
realm = "link.test"
host = "$LINK_NAME"
external_ip = "$LINK_SERVER"
relay_ports = "59000-59499"
workers = 1
state_dir = "$LINK_DIR"

[auth]
secrets = ["$SECRET"]

[admin]
socket = "$LINK_DIR/control.sock"

[tls]
cert = "$LINK_DIR/certs/server.crt"
key = "$LINK_DIR/certs/server.key"
TOML
    # The first of a transport is the one that the URIs name.
    for listener in udp:3478 tcp:3478 tls:443; do
        printf '\n[[listen]]\ntransport = "%s"\naddress = "%s:%s"\n' "${listener%:*}" "$LISTEN_ON" "${listener#*:}"
    done
    printf '\n%s\n' "$SETTINGS"
}

# link_rig [COMMAND]: an internet with a home, COMMAND to change it, a server, and links that are out
link_rig() {
    internet up && "${1:-:}" || return 1
    "$here/../lib/make-certs.sh" "$LINK_DIR/certs" "$CERTIFIED" || return 1
    CA=$LINK_DIR/certs/ca.crt
    printf '%s\n' "$SECRET" >"$LINK_DIR/secret"
    link_configuration >"$LINK_DIR/taciturn.toml"
    chmod 600 "$LINK_DIR/taciturn.toml" "$LINK_DIR/secret"
    NETNS=$PREFIX-srv start_process "$LINK_DIR/server" env -u TACITURN_BIN \
        "${TACITURN_BIN:-$TARGET_DIR/release/taciturn}" --config "$LINK_DIR/taciturn.toml"
    wait_for 10 link_server_listens || { cat "$LINK_DIR/server/output.log"; return 1; }
    make_link text && make_link json --json
}

link_server_listens() {
    local listening
    listening=$(in_link srv ss -Hltn "sport = :443") && [ -n "$listening" ]
}

# make_link NAME [ARGUMENT...]: what turnctl prints of it goes to link-NAME/output.log
make_link() {
    local name=$1
    shift
    NETNS=$PREFIX-srv start_process "$LINK_DIR/link-$name" "${TURNCTL_BIN:-$TARGET_DIR/release/turnctl}" test-link \
        --socket "$LINK_DIR/control.sock" --for 10m --people "$PEOPLE" "$@"
    wait_for 5 address_of "$name" >/dev/null || { cat "$LINK_DIR/link-$name/output.log"; return 1; }
}

address_of() {
    local path
    path=$(grep -m 1 -o "https://$LINK_NAME/test/[^\" ]*" "$LINK_DIR/link-$1/output.log") &&
        printf '%s%s\n' "$SCHEME" "${path#https}"
}

# open_links EXPECTED: both browsers at once, each with a link of its own
open_links() {
    local status
    visit a chromium "$(address_of text)" "$1" "$(link_settings text en)" &
    visit a firefox "$(address_of json)" "$1" "$(link_settings json ru)"
    status=$?
    wait $! && [ $status = 0 ]
}

# link_settings NAME LANGUAGE: as test-link.mjs has them
link_settings() {
    local json=false ca=
    [ "$1" != json ] || json=true
    [ -z "$CA" ] || ca="\"ca\": \"$CA\","
    cat <<JSON
{ $ca "language": "$2", "reports": "$LINK_DIR/link-$1/output.log", "json": $json, $MORE
  "pictures": "$LINK_DIR/pictures" }
JSON
}

# visit HOME BROWSER URL EXPECTED SETTINGS
visit() {
    in_link "$1" node "$here/test-link.mjs" "${@:2}" >"$LINK_DIR/$2.log" 2>&1
    local status=$?
    sed "s/^/$2: /" "$LINK_DIR/$2.log"
    return $status
}

# run_link_case NAME FUNCTION: in a subshell, as others run beside it
run_link_case() (
    LINK_DIR=$LOGS/page/$1
    export PREFIX=taciturn-page-$$-$1 HOMES=a NAMES=$LINK_NAME
    LISTEN_ON=0.0.0.0 CERTIFIED=$LINK_NAME SETTINGS='' PEOPLE=1 SCHEME=https CA='' MORE=''
    rm -rf "$LINK_DIR"
    mkdir -p "$LINK_DIR"
    trap 'internet down' EXIT
    trap 'exit 130' INT TERM HUP
    run_test "page/$1" "$2"
)
