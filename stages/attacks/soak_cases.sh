# shellcheck shell=bash
# Attacks of every kind, one after another at random, beside calls, reloads and clients that come and go: what the
# server holds must come back.

# Scripts with their arguments; each goes on until it is told to end.
SOAK_ATTACKS=(
    guess.py tls_flood.py partial_hellos.py dtls_hog.py held_places.py unread_answers.py slow_reader.py
    "reflection.py hello-verify" "reflection.py binding" "reflection.py binding-allocated" "churn.py 5000" churn_log.py
    no_descriptors.py
)

# metric NAME: the sum over all its labels
metric() {
    ip netns exec "$SERVERS" curl -sS --max-time 10 http://127.0.0.1:9641/metrics |
        awk -v name="$1" '$1 ~ "^" name "({|$)" { sum += $2 } END { print sum + 0 }'
}

soak_quiet() {
    [ "$(metric taciturn_allocations)" = 0 ] && [ "$(metric taciturn_connections)" = 0 ] &&
        [ "$(metric taciturn_relay_ports_used)" = 0 ] && [ "$(metric taciturn_users)" = 0 ]
}

soak_call() {
    ip netns exec "$STRANGERS" env TURNCTL_PASSWORD="$PASSWORD" nice -n -5 "$TURNCTL" bench "turn:$ATTACKED:3478" \
        --user alice --flows 3 --rate 50 --seconds "$1" --json
}

check_soak-attacked() {
    local seconds=40 end open before after peak=0 rounds=0 sent=0 lost=0 attack call seen resident pid status=0 words
    [ -z "$ALL" ] || seconds=3600
    start_attacked || return 1
    pid=$(process_pid "$DIR/server")
    # What is made once is made by the first client of each transport.
    stranger newcomers.py udp tcp tls dtls >/dev/null || return 1
    wait_for 90 soak_quiet || { say "the first clients do not go"; return 1; }
    open=$(descriptors) before=$(from_status VmRSS)
    end=$((SECONDS + seconds))
    while [ $SECONDS -lt $end ]; do
        read -ra words <<<"${SOAK_ATTACKS[RANDOM % ${#SOAK_ATTACKS[@]}]}"
        ip netns exec "$STRANGERS" nice -n 10 python3 -B "$HERE/${words[0]}" "${words[@]:1}" >"$DIR/soak-attack.log" 2>&1 &
        attack=$!
        soak_call $((3 + RANDOM % 4)) >"$DIR/soak-call.json" &
        call=$!
        sleep 1
        # SIGHUP: the configuration is read again while the attack goes on.
        [ $((RANDOM % 2)) = 0 ] || kill -HUP "$pid"
        wait "$call" || { say "no call beside ${words[*]}"; status=1; }
        seen=$(cat "$DIR/soak-call.json")
        sent=$((sent + $(field sent "$seen"))) lost=$((lost + $(field lost "$seen")))
        kill "$attack" 2>/dev/null
        wait "$attack" 2>/dev/null
        resident=$(from_status VmRSS)
        [ "$resident" -le "$peak" ] || peak=$resident
        rounds=$((rounds + 1))
    done
    # An attack that was stopped half-way may leave an allocation, which would go on for its ten minutes: it ends with
    # the removal of its user.
    sed -i 's/^users = .*/users = ["nobody:a-password-that-nobody-has"]/' "$DIR/server/taciturn.toml"
    kill -HUP "$pid"
    wait_for 90 soak_quiet || status=1
    say "allocations $(metric taciturn_allocations), connections $(metric taciturn_connections)," \
        "ports $(metric taciturn_relay_ports_used), users $(metric taciturn_users)"
    wait_for 30 back_to "$open" || status=1
    wait_for 60 resident_at_most $((before + 6 * 1024)) || status=1
    after=$(from_status VmRSS)
    say "$rounds attacks in $seconds s; calls sent $sent and lost $lost; resident $before kB before, $peak at most, $after after;" \
        "descriptors $open before, $(descriptors) after; $(wc -l <"$DIR/server/output.log") lines of log"
    survived && kernel_has_relayed "$DIR/control.sock" || return 1
    holds "there were attacks" "$rounds > 3" || status=1
    holds "calls lose at most one packet in a thousand" "$lost * 1000 <= $sent" || status=1
    holds "memory grows by at most 24 MiB" "$peak - $before <= 24 * 1024" || status=1
    holds "and is back within 6 MiB" "$after - $before <= 6 * 1024" || status=1
    holds "descriptors are back" "$(descriptors) <= $open" || status=1
    return $status
}

# A hundred processes, one after the other, beside clients that come and go: what the last one holds is what the first held.
check_soak-take-over() {
    local hand_overs=0 open before after call churn seen sent=0 lost=0 status=0
    start_attacked CONTROL="$DIR/control.sock" || return 1
    stranger newcomers.py udp tcp tls dtls >/dev/null || return 1
    wait_for 90 soak_quiet || { say "the first clients do not go"; return 1; }
    open=$(descriptors) before=$(from_status VmRSS)
    ip netns exec "$STRANGERS" nice -n 10 python3 -B "$HERE/churn.py" 100 >"$DIR/soak-churn.log" 2>&1 &
    churn=$!
    while [ $hand_overs -lt 100 ]; do
        soak_call 6 >"$DIR/soak-call.json" &
        call=$!
        sleep 1
        for _ in 1 2 3 4 5; do
            LOGDIR=$DIR/server "$ROOT/stages/lib/server-taciturn.sh" take-over || status=1
            hand_overs=$((hand_overs + 1))
            sleep 0.3
        done
        stranger newcomers.py udp tcp || status=1
        wait "$call" || { say "the call has ended"; status=1; }
        seen=$(cat "$DIR/soak-call.json")
        sent=$((sent + $(field sent "$seen"))) lost=$((lost + $(field lost "$seen")))
        [ $status = 0 ] || break
    done
    kill "$churn" 2>/dev/null
    wait "$churn" 2>/dev/null
    # As above: what was not ended ends with its user.
    sed -i 's/^users = .*/users = ["nobody:a-password-that-nobody-has"]/' "$DIR/server/taciturn.toml"
    kill -HUP "$(process_pid "$DIR/server")"
    wait_for 90 soak_quiet || status=1
    say "allocations $(metric taciturn_allocations), connections $(metric taciturn_connections)," \
        "ports $(metric taciturn_relay_ports_used), users $(metric taciturn_users)"
    wait_for 30 back_to "$open" || status=1
    wait_for 60 resident_at_most $((before + 6 * 1024)) || status=1
    after=$(from_status VmRSS)
    say "$hand_overs hand-overs; calls sent $sent and lost $lost; resident $before kB before, $after after;" \
        "descriptors $open before, $(descriptors) after"
    survived && kernel_has_relayed "$DIR/control.sock" || return 1
    ! grep -l "panicked at" "$DIR"/server/before-*/output.log || status=1
    holds "calls lose nothing" "$sent > 0 && $lost == 0" || status=1
    holds "memory is back within 6 MiB" "$after - $before <= 6 * 1024" || status=1
    holds "descriptors are back" "$(descriptors) <= $open" || status=1
    return $status
}

resident_at_most() {
    [ "$(from_status VmRSS)" -le "$1" ]
}
