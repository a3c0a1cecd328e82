# shellcheck shell=bash
# The cases of quotas that hold over the fleet. Sourced by run.
# shellcheck disable=SC2154  # here and more come from run

WHO=alice # the user

# allocate ARGUMENT...: allocations from the client; see allocate.py
allocate() {
    on client env ATTACK_REALM=fleet.test ATTACK_PASSWORD="$PASSWORD" python3 "$here/allocate.py" --user "$WHO" "$@"
}

all_nodes() {
    local node
    for node in $NODES; do ip_of "$node"; done
}

# value NAME JSON
value() {
    sed -E "s/.*\"$1\": ([0-9.]+).*/\1/" <<<"$2"
}

# at_most LIMIT NAME JSON
at_most() {
    local value
    value=$(value "$2" "$3")
    [ "$value" -le "$1" ] || { say "$2: $value, more than $1"; return 1; }
}

# tried NODE PATTERN: whether an attempt of the user's ends so
tried() {
    local told
    told=$(allocate --requests 1 --hold 0 "$(ip_of "$1")")
    grep -q "$2" <<<"$told"
}

has_room() {
    tried "$1" '^1 made'
}

is_full() {
    tried "$1" '^0 made.*486'
}

# with_limit CASE: with a limit of 30 on all nodes, while the user holds nothing
with_limit() {
    begin && limit_to 30 || return 1
    local status=0 node
    for node in $NODES; do
        ctl "$node" kick --user alice >/dev/null
        wait_for 40 has_room "$node" || { say "$node serves nobody"; status=1; }
    done
    [ $status != 0 ] || "$1" || status=1
    process_alive "$DIR/board" || start_board
    for node in $NODES; do process_alive "$DIR/$node" || start_node "$node"; done
    limit_to 200
    return $status
}

# limit_to NUMBER: allocations of a user
limit_to() {
    local node
    LIMIT=$1
    for node in $NODES; do configuration "$node" >"$DIR/$node.toml" && ctl "$node" reload >/dev/null || return 1; done
}

# hold_all_of NODE: the user holds there as many as it may, until let_go
hold_all_of() {
    rm -f "$DIR/hold.log"
    allocate --requests "$LIMIT" --hold 60 "$(ip_of "$1")" >"$DIR/hold.log" 2>&1 &
    HOLDER=$!
    wait_for 10 holds_all || { cat "$DIR/hold.log"; return 1; }
}

holds_all() {
    [ -e "$DIR/hold.log" ] && grep -q "^$LIMIT made" "$DIR/hold.log"
}

let_go() {
    kill "$HOLDER"
    ctl "$1" kick --user "$WHO" >/dev/null
}

# 90 requests in five seconds on three nodes: the limit, and what is made within the moment until all have heard.
a-quota-holds-on-all() {
    with_limit spread
}

spread() {
    local told
    # shellcheck disable=SC2046  # a word each
    told=$(allocate --requests 90 --over 5 --limit "$LIMIT" $(all_nodes)) || return 1
    say "$told"
    at_most $((LIMIT + 3)) first "$told" && at_most 0 "then" "$told" || return 1
    # When there is room for one, one gets it.
    [ "$(value after "$told")" = 1 ] && grep -q '"codes": \[486\]' <<<"$told" || return 1
    [ "$(metric a taciturn_fleet_refused_total)" -gt 0 ] &&
        grep -q 'limits.allocations_per_user, fleet.share_quotas' "$DIR/a/output.log"
}

# All at the same instant: each node admits its own, and nothing further.
a-quota-hit-at-once() {
    with_limit at_once
}

at_once() {
    local told
    # shellcheck disable=SC2046  # a word each
    told=$(allocate --requests 90 --limit "$LIMIT" $(all_nodes)) || return 1
    say "$told"
    at_most $((LIMIT * 3)) first "$told" && at_most 0 "then" "$told" && [ "$(value after "$told")" = 1 ]
}

# Each node counts its own. When the board is back, all know at once what each holds.
a-quota-without-the-board() {
    with_limit without_the_board
}

without_the_board() {
    local told status
    stop_board || return 1
    # shellcheck disable=SC2046  # a word each
    told=$(allocate --requests 120 --over 3 --limit "$LIMIT" $(all_nodes)) || return 1
    say "$told"
    at_most $((LIMIT * 3)) first "$told" && at_most 0 "then" "$told" || return 1
    # Another user, of whom nothing was told before.
    local WHO=bob
    hold_all_of a && has_room b && start_board && wait_for 15 connected || return 1
    within 3000 "b has heard what a holds" is_full b
    status=$?
    let_go a
    return $status
}

a-quota-of-a-dead-node() {
    with_limit of_a_dead_node
}

of_a_dead_node() {
    hold_all_of a || return 1
    local start took
    within 1000 "b has heard" is_full b || return 1
    kill -KILL "$(process_pid "$DIR/a")"
    start=$(milliseconds_now)
    # It is told anew every ten seconds, and holds for thirty.
    wait_for 35 has_room b || { say "the dead still hold"; return 1; }
    took=$(($(milliseconds_now) - start))
    kill "$HOLDER"
    say "b serves again after $took ms"
    [ $took -gt 15000 ] || { say "too early"; return 1; }
}

# 100,000 messages that are none. Nothing grows, nobody is refused, and counts are heard as before.
garbage-on-the-channels() {
    with_limit garbage
}

garbage() {
    local before after node status
    before=$(resident a)
    python3 "$here/garbage.py" | on board redis-cli -h 127.0.0.1 --pipe || return 1
    for node in $NODES; do
        process_alive "$DIR/$node" || { tail "$DIR/$node/output.log"; return 1; }
        has_room "$node" || return 1
    done
    after=$(resident a)
    say "resident memory: $before KiB before, $after KiB after"
    [ $((after - before)) -lt 16384 ] && wait_for 15 connected || return 1
    # What the flood has pushed aside is told again within ten seconds.
    hold_all_of a && within 11000 "b hears as before" is_full b
    status=$?
    let_go a
    return $status
}

# p99 of an Allocate beside a board that is killed, stopped and cut off, against p99 beside one in order.
allocate-takes-no-longer() {
    with_limit takes_no_longer
}

takes_no_longer() {
    local step told p99 usual=0
    for step in in-order killed started stopped continued cut-off; do
        case $step in
        killed) stop_board ;;
        started) start_board && wait_for 15 connected ;;
        stopped) kill -STOP "$(process_pid "$DIR/board")" ;;
        continued) kill -CONT "$(process_pid "$DIR/board")" && wait_for 15 connected ;;
        cut-off) cut_off a ;;
        esac || return 1
        told=$(allocate --latency 60 "$(ip_of a)")
        [ $step != cut-off ] || let_back a
        [ -n "$told" ] || return 1
        say "$step: $told"
        p99=$(value p99 "$told")
        case $step in
        in-order | started | continued) usual=$(awk -v a="$usual" -v b="$p99" 'BEGIN { print (a > b ? a : b) }') ;;
        esac
        # A question to the board has a limit of 2 s: whoever waited for it would be far beyond this.
        awk -v p99="$p99" -v usual="$usual" 'BEGIN { exit p99 > 3 * usual + 10 }' || { say "slower than usual: $usual"; return 1; }
    done
}
