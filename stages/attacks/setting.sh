# shellcheck shell=bash
# The network of calls, and what all cases need. Two namespaces: the server's, with the running calls on its loopback, and the strangers', in which
# all of 9.0.0.0/8 is local, so that a request can come from any address of it. The kernel relays nothing by the loopback:
# where it is to relay, calls are in a third namespace.

SERVERS=taciturn-attacks-$$
CALLERS=$SERVERS-callers
STRANGERS=taciturn-strangers-$$
ADDRESS=10.77.0.1
USERNAME=alice
PASSWORD=s3cret-of-the-tests
export NETNS=$SERVERS

# run_case NAME NETWORK: namespaces, the case, and nothing left of them; once more where a noisy machine may
# be why it failed (status 2)
run_case() {
    local status=0
    attempt "$@" || status=$?
    [ $status = 2 ] || return $status
    say "once more, as the machine may have been busy with something else:"
    attempt "$@"
}

attempt() {
    local status=0
    "make_$2_network" && "check_$1" || status=$?
    tear_down
    return $status
}

make_calls_network() {
    new_namespace "$SERVERS" && new_namespace "$STRANGERS" || return 1
    ip -n "$SERVERS" link add strangers type veth peer name server netns "$STRANGERS" || return 1
    ip -n "$SERVERS" address add "$ADDRESS/24" dev strangers
    ip -n "$STRANGERS" address add 10.77.0.2/24 dev server
    local namespace
    for namespace in "$SERVERS" "$STRANGERS"; do ip -n "$namespace" link set lo up; done
    ip -n "$SERVERS" link set strangers up
    ip -n "$STRANGERS" link set server up
    ip -n "$SERVERS" route add 9.0.0.0/8 dev strangers via 10.77.0.2
    ip -n "$STRANGERS" route add local 9.0.0.0/8 dev lo
    [ -z "$KERNEL_RELAY" ] || make_callers || return 1
    # What is answered is counted, and goes no further: an address that was forged does not answer.
    ip netns exec "$STRANGERS" nft -f - <<'NFT'
table ip count {
    counter asked {}
    counter answered {}
    chain out {
        type filter hook output priority 0
        udp dport 3478 counter name asked
    }
    chain in {
        type filter hook input priority 0
        udp sport 3478 counter name answered drop
    }
}
NFT
}

make_callers() {
    new_namespace "$CALLERS" && ip -n "$CALLERS" link set lo up || return 1
    ip -n "$SERVERS" link add callers type veth peer name server netns "$CALLERS" || return 1
    ip -n "$SERVERS" address add 10.78.0.1/24 dev callers && ip -n "$CALLERS" address add 10.78.0.2/24 dev server || return 1
    ip -n "$SERVERS" link set callers up && ip -n "$CALLERS" link set server up || return 1
    ip -n "$CALLERS" route add default via 10.78.0.1 && like_a_wire "$CALLERS" server
}

tear_down() {
    local namespace pid
    stop_process "$DIR/server"
    for namespace in "$SERVERS" "$STRANGERS" "$CALLERS"; do
        for pid in $(ip netns pids "$namespace" 2>/dev/null); do kill -KILL "$pid"; done
        ip netns delete "$namespace" 2>/dev/null
    done
    return 0
}

# counted asked|answered packets|bytes
counted() {
    ip netns exec "$STRANGERS" nft list counter ip count "$1" |
        awk -v unit="$2" '{ for (i = 1; i < NF; i++) if ($i == unit) print $(i + 1) }'
}

# start_server SETTING=VALUE...: one worker; UDP at 10.77.0.1 and on loopback
start_server() {
    [ -z "$KERNEL_RELAY" ] || set -- RELAY=10.78.0.1 ALLOW_PEERS=10.78.0.2 CONTROL="$DIR/control.sock" "$@"
    env LOGDIR="$DIR/server" LISTEN="127.0.0.1 $ADDRESS" RELAY=127.0.0.1 USER_PASS="$USERNAME:$PASSWORD" \
        ALLOW_LOOPBACK=yes WORKERS=1 "$@" "$ROOT/stages/lib/server-${SERVER:?}.sh" start
}

# built NAME: builds a program of tests and those it starts, and says where it is
built() {
    # As the stage unit does: another selection of packages has other features, and is compiled anew.
    (cd "$ROOT" && cargo build --locked --bins && cargo test --locked --no-run --message-format=json) 2>/dev/null |
        grep -o "\"executable\":\"[^\"]*/$1-[^\"]*\"" | cut -d '"' -f 4
}

# load SERVER ARGUMENT...: calls from the server's loopback, or from the callers; a line of JSON
load() {
    local at=$1 from=$SERVERS peer=127.0.0.1
    shift
    [ -z "$KERNEL_RELAY" ] || [ "$at" = 127.0.0.1 ] || from=$CALLERS peer=10.78.0.2
    ip netns exec "$from" env TURNCTL_PASSWORD="$PASSWORD" "$TURNCTL" bench "turn:$at:3478" \
        --user "$USERNAME" --peer-address "$peer" --json "$@"
}

# field NAME JSON
field() {
    grep -o "\"$1\": *[0-9.]*" <<<"$2" | sed 's/.*: *//'
}

# from_status NAME: a line of the server's /proc/PID/status, in kB
from_status() {
    awk -v name="$1:" '$1 == name { print $2 }' "/proc/$(process_pid "$DIR/server")/status"
}

descriptors() {
    find "/proc/$(process_pid "$DIR/server")/fd" -mindepth 1 | wc -l
}

# holds WHAT EXPRESSION: an expression of awk
holds() {
    if awk "BEGIN { exit !($2) }"; then
        say "met: $1 ($2)"
    else
        say "NOT MET: $1 ($2)"
        return 1
    fi
}

survived() {
    process_alive "$DIR/server" || { tail -n 25 "$DIR/server/output.log"; say "the server has died"; return 1; }
    ! grep -n "panicked at" "$DIR/server/output.log"
}
