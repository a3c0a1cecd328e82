# shellcheck shell=bash
# One server takes over from another (taciturn --take-over) while coturn's clients have calls through it. Each case has a
# server of its own.
# shellcheck disable=SC2153  # DIR and more come from stages/interop/run

TAKE_OVER_USER=taken

# NAME NEEDS CHECK PORT FIRST-LAST
take_overs() {
    select_cases "${PATTERNS[@]}" <<'CASES'
take-over             tcp  check_take_over           4178 58000-58099
take-over-tls         tls  check_take_over_tls       4278 58100-58199
take-over-failed      udp  check_take_over_failed    4378 58200-58299
take-over-stranger    udp  check_take_over_stranger  4478 58300-58399
CASES
}

run_take_overs() {
    local name check port range
    while read -r name _ check port range; do
        run_test "interop/$name$SUFFIX" take_over_case "$name" "$check" "$port" "$range" &
    done < <(take_overs)
    wait
}

# take_over_case NAME CHECK PORT FIRST-LAST
take_over_case() {
    local status one
    # Where others can go as well; a path of a socket has at most 107 bytes.
    TAKEN=$(mktemp -d /tmp/taciturn-take-over.XXXXXX) && chmod 755 "$TAKEN" || return 1
    TAKEN_PORT=$3 SERVERS=("$TAKEN/server-1") FLOWS=()
    env LOGDIR="${SERVERS[0]}" CONTROL="$TAKEN/control.sock" RFC5766_CHANNELS=yes LISTEN="$SERVER4" PORT="$3" \
        TLSPORT="$(tls_port "$3")" MINPORT="${4%-*}" MAXPORT="${4#*-}" TRANSPORTS="udp tcp tls" CERTS="$TAKEN/certs" \
        USER_PASS="$TAKE_OVER_USER:$PASSWORD" "${OPEN[@]}" WORKERS=2 \
        "$ROOT/stages/lib/server-taciturn.sh" start && "$2"
    status=$?
    for one in "${FLOWS[@]}"; do stop_process "$TAKEN/$one"; done
    for one in "${SERVERS[@]}"; do
        stop_process "$one" || status=1
        ! grep -n "panicked at" "$one/output.log" || status=1
        [ $status = 0 ] || { say "the log of ${one##*/}:"; tail -n 12 "$one/output.log"; }
    done
    rm -rf "$TAKEN"
    return $status
}

# begin_flow NAME MESSAGES ARGUMENT...: two ends, or with -e one and an echo; one message in 20 ms from each
begin_flow() {
    local name=$1 messages=$2
    shift 2
    FLOWS+=("$name")
    NETNS=$CLIENTS start_process "$TAKEN/$name" timeout 120 turnutils_uclient -p "$TAKEN_PORT" -u "$TAKE_OVER_USER" -w "$PASSWORD" \
        -n "$messages" -z 20 "$@" "$SERVER4"
}

flow_runs() {
    grep -q 'tot_recv_msgs=[1-9]' "$TAKEN/$1/output.log"
}

flows_run() {
    local name
    for name in "${FLOWS[@]}"; do flow_runs "$name" || return 1; done
}

# all_flows alive|gone
all_flows() {
    local name
    for name in "${FLOWS[@]}"; do "process_$1" "$TAKEN/$name" || return 1; done
}

# flow_lost_nothing NAME: waits for its end, and says how long its packets have taken
flow_lost_nothing() {
    local log=$TAKEN/$1/output.log
    wait_for 60 process_gone "$TAKEN/$1" || { say "$1 does not end"; return 1; }
    say "$1: $(grep -o 'Total lost packets.*' "$log")"
    say "    $(grep -o 'Average round trip delay.*' "$log")"
    grep -q 'Total lost packets 0 (0.000000%), total send dropped 0 ' "$log" || { tail -n 12 "$log"; return 1; }
}

current() { printf '%s' "${SERVERS[-1]}"; }

# take_over [CONFIGURATION] [PREFIX...]: starts the next server; its directory is the last of SERVERS
take_over() {
    local configuration=${1:-${SERVERS[0]}/taciturn.toml}
    [ $# = 0 ] || shift
    SERVERS+=("$TAKEN/server-$((${#SERVERS[@]} + 1))")
    start_process "$(current)" "$@" env -u TACITURN_BIN "${PROGRAM:-$TAKE_OVER_PROGRAM}" --config "$configuration" --take-over
}

TAKE_OVER_PROGRAM=${TACITURN_BIN:-$TARGET_DIR/release/taciturn}

# The server before the last one: it is the one from which the last one takes over.
previous() { printf '%s' "${SERVERS[-2]}"; }

logged() {
    grep -q "$2" "$1/output.log"
}

# An attempt that failed: the last server is none.
failed_attempt() {
    local dir
    dir=$(current)
    unset 'SERVERS[-1]'
    wait_for 10 process_gone "$dir" || { say "a server that cannot take over does not end"; stop_process "$dir"; return 1; }
    cat "$dir/output.log"
    rm -rf "$dir"
    process_alive "$(current)" || { say "the server from which it was to take over has ended"; return 1; }
}

check_take_over() {
    local count=0
    begin_flow udp 1000 -y
    begin_flow tcp 1000 -y -t
    wait_for 15 flows_run || return 1
    while [ $count -lt 20 ]; do
        take_over
        wait_for 10 process_gone "$(previous)" || { say "the old server does not end"; return 1; }
        process_alive "$(current)" && logged "$(current)" 'running calls were carried over .* stayed=0 ended=0' || return 1
        count=$((count + 1))
        sleep 0.2
    done
    all_flows alive || { say "the flows were over before the last of $count take-overs"; return 1; }
    flow_lost_nothing udp && flow_lost_nothing tcp && kernel_has_relayed "$TAKEN/control.sock"
}

# What TLS has stays in the old process, and what is new comes to the new one.
check_take_over_tls() {
    begin_flow udp 400 -y
    begin_flow tls 400 -t -S -E "$TAKEN/certs/ca.crt" -p "$(tls_port "$TAKEN_PORT")" -e "$PEER4"
    wait_for 15 flows_run || return 1
    take_over
    wait_for 10 logged "$(current)" 'running calls were carried over .* stayed=[1-9]' || return 1
    if ! all_flows alive || ! process_alive "$(previous)"; then
        say "the old server has ended, and its clients on TLS with it"
        return 1
    fi
    begin_flow newcomer 20 -t -S -E "$TAKEN/certs/ca.crt" -p "$(tls_port "$TAKEN_PORT")" -e "$PEER4"
    tls_flow_lost_nothing newcomer 20 "$(current)" && flow_lost_nothing udp &&
        tls_flow_lost_nothing tls 400 "$(previous)" || return 1
    wait_for 10 process_gone "$(previous)" || { say "the old server does not end with its last client"; return 1; }
}

# tls_flow_lost_nothing NAME MESSAGES SERVER: by the server's count, for RTP and RTCP. turnutils_uclient itself loses some of
# what comes to it in one go over TLS.
tls_flow_lost_nothing() {
    wait_for 60 process_gone "$TAKEN/$1" || { say "$1 does not end"; return 1; }
    say "$1: $(grep -o 'Average round trip delay.*' "$TAKEN/$1/output.log")"
    wait_for 10 relayed_both "$2" "$3" || { say "the server has not relayed $2 messages each way, twice"; return 1; }
}

relayed_both() {
    [ "$(grep -c "session ended .*transport=\"tls\" .*packets_to_peers=$1 packets_to_client=$1 " "$2/output.log")" = 2 ]
}

check_take_over_failed() {
    local configuration=$TAKEN/server-1/taciturn.toml
    begin_flow udp 900 -y
    wait_for 15 flows_run || return 1
    { cat "$configuration"; echo 'no_such_key = 1'; } >"$TAKEN/wrong.toml"
    take_over "$TAKEN/wrong.toml"
    failed_attempt || return 1
    # It may not have as many descriptors as come.
    take_over "$configuration" prlimit --nofile=16:16
    failed_attempt || return 1
    mkfifo "$TAKEN/nothing"
    printf '#!/bin/bash\nkill -STOP $$\nexec "$@"\n' >"$TAKEN/when-told" && chmod +x "$TAKEN/when-told"
    # It hangs at one moment or another, and is killed. Where it serves by then, it is the server. The first has not begun;
    # from there the moments come closer to the one from which on it serves.
    local killed=0 served=100000 pause=0 stopped=0
    while [ $((served - killed)) -gt 1000 ]; do
        take_over "$configuration" "$TAKEN/when-told"
        hang_after "$pause"
        if process_alive "$(previous)" && ! logged "$(previous)" 'another process has taken over'; then
            kill -KILL "$(process_pid "$(current)")"
            failed_attempt || return 1
            killed=$pause stopped=$((stopped + 1))
        else
            kill -CONT "$(process_pid "$(current)")"
            wait_for 10 process_gone "$(previous)" || return 1
            served=$pause
        fi
        pause=$(((killed + served) / 2))
    done
    say "$stopped were killed before they served, the last of them $killed us from the start"
    [ $stopped -gt 0 ] && all_flows alive && flow_lost_nothing udp || return 1
    # And one that can does.
    take_over "$configuration"
    wait_for 10 process_gone "$(previous)" && process_alive "$(current)"
}

# hang_after MICROSECONDS: the current server, which waits to be told, begins and stops again. Nothing is forked in between.
hang_after() {
    local pid seconds
    pid=$(process_pid "$(current)")
    printf -v seconds '0.%06d' "$1"
    wait_for 10 process_is_stopped "$pid" || { say "the next server does not wait"; return 1; }
    kill -CONT "$pid"
    [ "$1" = 0 ] || read -rt "$seconds" <>"$TAKEN/nothing" || true
    kill -STOP "$pid"
    sleep 0.5
}

process_is_stopped() {
    grep -q '^State:[[:space:]]*T' "/proc/$1/status"
}

# Another user of the machine, whom the file of the socket would let in.
check_take_over_stranger() {
    local PROGRAM=$TAKEN/taciturn
    install -m 755 "$TAKE_OVER_PROGRAM" "$PROGRAM" &&
        install -m 644 "${SERVERS[0]}/taciturn.toml" "$TAKEN/stranger.toml" && chmod -R a+rX "$TAKEN/certs" || return 1
    take_over "$TAKEN/stranger.toml" setpriv --reuid=nobody --regid=nogroup --clear-groups
    failed_attempt || return 1
    chmod 666 "$TAKEN/control.sock"
    take_over "$TAKEN/stranger.toml" setpriv --reuid=nobody --regid=nogroup --clear-groups
    failed_attempt >"$TAKEN/refused.log" || return 1
    cat "$TAKEN/refused.log"
    grep -q 'it runs as uid 65534, and only root may' "$TAKEN/refused.log" && process_alive "$(current)" || return 1
    begin_flow afterwards 20 -y
    flow_lost_nothing afterwards
}
