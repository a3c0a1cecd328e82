# shellcheck shell=bash
# Cases of stages/fleet/run: all nodes are asked for their state and sessions. Sourced.

# asks MILLISECONDS STATUS NODE ARGUMENT...: what turnctl prints goes to $DIR/asked; it takes no longer, and ends so
asks() {
    local limit=$1 expected=$2 start took status
    shift 2
    start=$(milliseconds_now)
    ctl "$@" >"$DIR/asked" 2>&1
    status=$?
    took=$(($(milliseconds_now) - start))
    say "turnctl ${*:2}: exit status $status after $took ms"
    sed 's/^/    /' "$DIR/asked"
    [ "$status" = "$expected" ] && [ "$took" -le "$limit" ]
}

# told PATTERN [NUMBER]: whether so many lines say that, or one at least
told() {
    local lines
    lines=$(grep -c -- "$1" "$DIR/asked")
    if [ $# = 2 ]; then [ "$lines" = "$2" ]; else [ "$lines" -ge 1 ]; fi
}

# Sessions of alice on all nodes for so many seconds, and of bob on b.
hold_some() {
    local node
    for node in $NODES; do hold "$node" alice "$1"; done
    hold b bob "$1"
    for node in $NODES; do wait_for 8 has_sessions "$node" alice || return 1; done
    wait_for 8 has_sessions b bob
}

know_each_other() {
    local node
    for node in $NODES; do wait_for 12 nodes_listed "$node" 3 || return 1; done
}

all-nodes-answer() {
    begin && know_each_other && hold_some 20 || return 1
    local sum
    asks 1000 0 a status --fleet || return 1
    told '^a\* ' 1 && told '^b ' 1 && told '^c ' 1 && told '^all ' 1 || return 1
    sum=$(awk '$1 == "all" { print $2 }' "$DIR/asked")
    [ "$sum" = "$(awk '$3 == "ready" { sum += $4 } END { print sum }' "$DIR/asked")" ] || return 1
    asks 1000 0 a sessions --fleet || return 1
    told ' alice ' && told '^a .* alice ' && told '^b .* alice ' && told '^c .* alice ' || return 1
    told '^b .* bob ' && told '^[ac] .* bob ' 0 || return 1
    asks 1000 0 c sessions --fleet --user bob || return 1
    told '^b .* bob ' && told ' alice ' 0 || return 1
    asks 1000 0 c sessions --fleet --user alice --json || return 1
    told '"session":{"node":"a","client":"10.9.0.100:' && told '"node":"b","client"' && told ' bob ' 0 || return 1
    told '"fleet_status":{"node":"c","answered":\[{"node":"a",.*{"node":"c",.*"silent":\[\],' 1 || return 1
    asks 5000 0 b top --fleet --once --interval 2s || return 1
    told '^3 nodes: ' 1 && told '^NODE ' 1 && told '^a .*10.9.0.100' && told '^c .*10.9.0.100' || return 1
    ! ctl b top --fleet --once --interval 1s || return 1
    end_held || return 1
    asks 1000 0 a sessions --fleet && told '^no sessions$' 1
}

a-stopped-node-is-named() {
    begin && know_each_other || return 1
    kill -STOP "$(process_pid "$DIR/b")"
    two_of_three
    local status=$?
    kill -CONT "$(process_pid "$DIR/b")"
    [ $status = 0 ] || return 1
    wait_for 12 asks 1000 0 a status --fleet
}

two_of_three() {
    asks 1000 1 a status --fleet || return 1
    told '^2 of 3 nodes answered: nothing from b$' 1 && told '^a\* ' 1 && told '^c ' 1 || return 1
    asks 1000 1 a sessions --fleet && told '^2 of 3 nodes answered: nothing from b$' 1
}

without-the-board-there-is-one-node() {
    begin && know_each_other && hold_some 20 || return 1
    kill -STOP "$(process_pid "$DIR/board")"
    asks 1000 1 a sessions --fleet && told '^a cannot ask the others: ' 1 && told '^a .* alice '
    local status=$?
    kill -CONT "$(process_pid "$DIR/board")"
    [ $status = 0 ] || return 1
    stop_board
    wait_for 10 not_connected a || return 1
    asks 1000 1 a status --fleet && told '^a cannot ask the others: ' 1 && told '^a\* ' 1 || return 1
    told ' of 3 nodes' 0 && end_held
}

# What a process has used of the processors, in hundredths of a second.
used() {
    awk '{ print $14 + $15 }' "/proc/$(process_pid "$DIR/$1")/stat"
}

# Questions without end, by somebody who can write to the board: four a second are answered, nothing grows, and what
# else there is goes on. Then entries that are no questions, and answers that are none.
many-questions() {
    begin && know_each_other && hold_some 30 || return 1
    local before after processor answers node start flood
    before=$(resident a) processor=$(used a) start=$(milliseconds_now)
    awk 'BEGIN {
        for (n = 0; n < 100000; n++) {
            if (n % 4 == 0) printf "LPUSH turn:questions \"\\x00\\xff%d\"\n", n
            else printf "LPUSH turn:questions \"{\\\"id\\\":\\\"x%d\\\",\\\"from\\\":\\\"evil\\\",\\\"sessions\\\":4294967295}\"\n", n
            if (n % 100 == 0) printf "LTRIM turn:questions 0 1000\n"
        }
    }' >"$DIR/flood"
    while sleep 0.05; do shuf -n 2000 "$DIR/flood" | board >/dev/null; done &
    flood=$!
    sleep 4
    ctl a ban user carol >/dev/null && within 1000 "a ban is on b meanwhile" has_ban b carol
    local status=$?
    serves_at_once c bob || status=1
    kill "$flood"
    wait "$flood" 2>/dev/null
    [ $status = 0 ] || return 1
    answers=$(board --scan --pattern 'turn:answers:*' | wc -l)
    after=$(resident a) processor=$(($(used a) - processor))
    say "$answers questions with answers after $(($(milliseconds_now) - start)) ms; a: resident memory $before KiB before," \
        "$after KiB after; processor $processor/100 s"
    # Of all three; they rarely see the same ones. Four a second each, and some more around its ends.
    [ "$answers" -ge 1 ] && [ "$answers" -le $((3 * 4 * (($(milliseconds_now) - start) / 1000 + 2))) ] || return 1
    [ $((after - before)) -lt 16384 ] || return 1
    board DEL turn:questions >/dev/null
    # What another answers for them, and a node that nobody knows: it is said, or left out.
    lie &
    local liar=$!
    wait_for 10 lied_to
    status=$?
    kill "$liar"
    wait "$liar" 2>/dev/null
    [ $status = 0 ] || return 1
    # Another kind of key: it is said, and calls and bans go on.
    board DEL turn:questions >/dev/null
    board SET turn:questions text >/dev/null
    asks 1000 1 a status --fleet && told '^a cannot ask the others: ' 1 || return 1
    ctl a unban user carol >/dev/null && within 1000 "bans go on" has_no_ban b carol || return 1
    board DEL turn:questions >/dev/null
    wait_for 5 asks 1000 0 a status --fleet && end_held
}

# Answers each question of a, as if it were b, before b does.
lie() {
    local id
    while sleep 0.01; do
        id=$(board LRANGE turn:questions 0 0 | sed -n 's/.*"id":"\([0-9a-f.]*\)","from":"a".*/\1/p')
        [ -n "$id" ] || continue
        board RPUSH "turn:answers:$id" "b {{{{" "b  {}" "x" "e\\u001b {}" >/dev/null
        board PEXPIRE "turn:answers:$id" 10000 >/dev/null
    done
}

lied_to() {
    asks 1000 1 a status --fleet && told '^2 of 3 nodes answered: what b answers cannot be read' 1
}

# Of one tenant, wherever its users are.
one-tenant-of-all-nodes() {
    begin && know_each_other || return 1
    hold a dora 15
    hold c dora 15
    hold c alice 15
    wait_for 8 has_sessions a acme/dora && wait_for 8 has_sessions c acme/dora && wait_for 8 has_sessions c alice || return 1
    asks 1000 0 b sessions --fleet --tenant acme || return 1
    told '^a .* acme/dora ' && told '^c .* acme/dora ' && told ' alice ' 0 || return 1
    asks 1000 0 b sessions --fleet --tenant default || return 1
    told '^c .* alice ' && told dora 0 || return 1
    asks 1000 0 a status --fleet --tenant acme || return 1
    [ "$(awk '$3 == "ready" { print $4 }' "$DIR/asked" | paste -sd ' ')" = \
        "$(for node in $NODES; do ctl "$node" sessions --tenant acme | grep -c dora; done | paste -sd ' ')" ] || return 1
    [ "$(awk '$1 == "b" { print $4, $5, $6, $7 }' "$DIR/asked")" = "0 0 - -" ] || return 1
    asks 5000 0 b top --fleet --tenant acme --once --interval 2s || return 1
    told '^3 nodes: ' 1 && told '^a .*dora' && told alice 0 || return 1
    asks 1000 1 a status --fleet --tenant acmee && told 'this server has no tenant acmee' 1 || return 1
    ! ctl a status --tenant acme || return 1
    end_held
}
