# shellcheck shell=bash
# Calls that go on while the service restarts. Their clients are coturn's: two ends of turnutils_uclient, whose packets
# are counted.
# shellcheck disable=SC2153,SC2154  # WORK and more come from stages/packaging/run

CALLS=(udp tcp)

case_restart() {
    configure <<'TOML'
workers = 2

[auth]
users = ["alice:s3cret-of-the-tests"]

[protocol]
rfc5766_channels = true
TOML
    inside systemctl restart taciturn &&
        calls_survive_restarts &&
        calls_survive_kills_and_an_update &&
        a_stop_ends_calls
    local status=$?
    [ $status = 0 ] || journal | tail -n 40
    end_calls
    inside systemctl reset-failed taciturn
    inside systemctl start taciturn
    return $status
}

# Two Chromiums in a network beside the service's: media go on after each restart, on the same pair of candidates.
case_restart_browser() {
    configure <<'TOML'
workers = 2
external_ip = "203.0.113.7"

[auth]
users = ["alice:s3cret-of-the-tests"]
TOML
    inside systemctl restart taciturn || return 1
    local service=$NETNS-service browsers=$NETNS-browsers transport times=5 status=0
    [ -z "$ALL" ] || times=20
    ip netns attach "$service" "$SYSTEMD" && new_namespace "$browsers" || return 1
    ip -n "$service" link add browsers type veth peer name service netns "$browsers"
    ip -n "$service" address add 192.0.2.1/24 dev browsers
    ip -n "$service" link set browsers up
    ip -n "$browsers" link set lo up
    ip -n "$browsers" address add 192.0.2.9/24 dev service
    ip -n "$browsers" link set service up
    ip -n "$browsers" route add default via 192.0.2.1
    restart_script >"$WORK/restart-service" && chmod +x "$WORK/restart-service"
    for transport in udp tcp; do
        say "relay to relay, both ends on $transport:"
        node "$here/../e2e/call.mjs" --server 203.0.113.7 --namespaces "$browsers,$browsers" \
            --user "${CREDENTIALS[1]}" --password "${CREDENTIALS[3]}" --transport "$transport" \
            --during "$WORK/restart-service" --times "$times" || status=1
    done
    [ $status = 0 ] || journal | tail -n 40
    ip netns delete "$browsers"
    ip netns delete "$service"
    inside systemctl reset-failed taciturn
    return $status
}

# restart_now as a program
restart_script() {
    printf '#!/bin/bash\nSYSTEMD=%q\n' "$SYSTEMD"
    declare -f say inside restart_now
    printf 'restart_now\n'
}

# begin_calls NETWORK MESSAGES: each end sends one in 40 ms, so that the buffers of sockets hold those of seconds
begin_calls() {
    local transport flag
    for transport in "${CALLS[@]}"; do
        flag=()
        [ "$transport" = udp ] || flag=(-t)
        NETNS='' start_process "$WORK/call-$transport" nsenter --net="$1" timeout 120 \
            turnutils_uclient "${flag[@]}" -y -n "$2" -z 40 "${CREDENTIALS[@]}" 203.0.113.7
    done
    wait_for 15 all_calls_run || { say "the calls do not begin"; return 1; }
}

# Of the service's Debian: how many there are is ALLOCATIONS.
begin_calls_of_the_service() {
    begin_calls "/proc/$SYSTEMD/ns/net" "$1" || return 1
    # Four of each, two ends with RTP and RTCP, and those that uclient has asked for once more.
    ALLOCATIONS=$(inside turnctl status | awk '$1 == "allocations" { print $2 }')
    say "the calls have $ALLOCATIONS allocations"
    [ "$ALLOCATIONS" -ge $((4 * ${#CALLS[@]})) ]
}

all_calls_run() {
    local transport
    for transport in "${CALLS[@]}"; do grep -q 'tot_recv_msgs=[1-9]' "$WORK/call-$transport/output.log" || return 1; done
}

calls_run_still() {
    local transport
    for transport in "${CALLS[@]}"; do process_alive "$WORK/call-$transport" || return 1; done
}

calls_are_over() {
    local transport
    for transport in "${CALLS[@]}"; do process_gone "$WORK/call-$transport" || return 1; done
}

end_calls() {
    local transport
    for transport in "${CALLS[@]}"; do stop_process "$WORK/call-$transport"; done
}

# calls_lost_nothing WHAT: waits for their ends, and says how long their packets have taken
calls_lost_nothing() {
    local transport log status=0
    wait_for 60 calls_are_over || { say "the calls do not end"; status=1; }
    for transport in "${CALLS[@]}"; do
        log=$WORK/call-$transport/output.log
        say "$transport, $1: $(grep -o 'Total lost packets.*' "$log")"
        say "    $(grep -o 'Average round trip delay.*' "$log")"
        grep -q 'Total lost packets 0 (0.000000%), total send dropped 0 ' "$log" || { tail -n 12 "$log"; status=1; }
    done
    return $status
}

# How often the next process has gone on with the calls of the one before: lines of the log.
carried_over() {
    journal | grep 'running calls were carried over'
}

# all_carried_over LINES AFTER: so many more lines than at first, each with all calls, and none ended
all_carried_over() {
    local lines
    lines=$(carried_over | tail -n "+$(($2 + 1))" | head -n "$1")
    expect_equal "$(grep -c "allocations=$ALLOCATIONS stayed=0 ended=0" <<<"$lines")" "$1" || { say "$lines"; return 1; }
}

calls_survive_restarts() {
    local before restarts=0
    begin_calls_of_the_service 600 || return 1
    before=$(carried_over | wc -l)
    while [ $restarts -lt 20 ]; do
        restart_now || return 1
        restarts=$((restarts + 1))
        sleep 0.1
    done
    calls_run_still || { say "the calls were over before the last of $restarts restarts"; return 1; }
    calls_lost_nothing "$restarts restarts" && all_carried_over 20 "$before"
}

# systemd starts nothing more than five times in ten seconds, unless its count begins again.
restart_now() {
    inside systemctl reset-failed taciturn
    inside systemctl restart taciturn || { inside systemctl status taciturn --no-pager; return 1; }
}

calls_survive_kills_and_an_update() {
    local before kills=0 pid
    begin_calls_of_the_service 500 || return 1
    before=$(carried_over | wc -l)
    while [ $kills -lt 2 ]; do
        # What systemd keeps is a second old at most. After the third crash within half a minute the server begins anew.
        sleep 1
        inside systemctl reset-failed taciturn
        pid=$(inside systemctl show -P MainPID taciturn)
        inside systemctl kill --kill-whom=main --signal=KILL taciturn
        wait_for 10 another_process "$pid" || return 1
        kills=$((kills + 1))
    done
    inside systemctl reset-failed taciturn
    pid=$(inside systemctl show -P MainPID taciturn)
    inside dpkg --install /var/tmp/taciturn.deb && another_process "$pid" || return 1
    calls_run_still || { say "the calls were over before the update"; return 1; }
    calls_lost_nothing "$kills kills and an update" && all_carried_over 3 "$before"
}

a_stop_ends_calls() {
    begin_calls_of_the_service 600 || return 1
    inside systemctl stop taciturn || return 1
    expect_equal "$(inside systemctl show -P NFileDescriptorStore taciturn)" 0 || return 1
    end_calls
    expect_equal "$(ports_of_calls)" "" || return 1
    local before
    before=$(carried_over | wc -l)
    inside systemctl reset-failed taciturn
    inside systemctl start taciturn && expect_equal "$(carried_over | wc -l)" "$before"
}

# What is bound in the range of the relay.
ports_of_calls() {
    nsenter --target "$SYSTEMD" --net ss -Huna 'sport >= 49152' | awk '$4 ~ /^203/'
}
