# shellcheck shell=bash
# The cases. Each says what it saw; its status is the verdict.

# The limit that is set: answers a second to all strangers; with a tenth more for requests that are
# repeated; and so many seconds' worth at once.
UNVERIFIED=1000
ANSWERS=1100
BURST=3
# The longest of those answers, with its IPv4 and UDP headers: a 401 with the tests' realm.
ANSWER_BYTES=92

# 200,000 addresses ask while a hundred calls run. The calls lose what they lose without the flood,
# the memory stays, and who has not asked in good faith gets no more than the budget.
check_flood() {
    local requests=100000 rate=20000 addresses=200000 seconds open before after control beside flood elapsed
    [ -z "$ALL" ] || requests=1000000
    local program
    program=$DIR/flood
    # By itself: Cargo would build the whole library once more, as benches want it.
    rustc --edition 2024 -O "$ROOT/benches/flood.rs" -o "$program" || return 1
    start_server UNVERIFIED_ANSWERS=$UNVERIFIED || return 1
    open=$(descriptors)
    # Longer than the flood, should the machine be too busy for its rate.
    seconds=$((2 * requests / rate + 2))
    load "$ADDRESS" --flows 100 --rate 25 --seconds 2 >/dev/null || return 1
    control=$(load "$ADDRESS" --flows 100 --rate 25 --seconds "$seconds") || return 1
    say "undisturbed: $control"
    wait_for 10 back_to "$open" || { say "the calls before have left allocations"; return 1; }
    before=$(from_status VmRSS)
    load "$ADDRESS" --flows 100 --rate 25 --seconds "$seconds" >"$DIR/beside.json" &
    local calls=$!
    # One address opens them all, at the rate that a stranger is answered; in the flood it would be
    # one of the strangers.
    wait_for 30 at_least $((open + 100)) || { say "the calls do not begin"; return 1; }
    flood=$(ip netns exec "$STRANGERS" "$program" --server "$ADDRESS:3478" --requests "$requests" \
        --addresses "$addresses" --rate "$rate") || return 1
    after=$(from_status VmRSS)
    wait "$calls" || return 1
    beside=$(cat "$DIR/beside.json")
    say "beside the flood: $beside"
    say "the flood: $flood"
    elapsed=$(field seconds "$flood")
    say "asked: $(counted asked packets) packets, $(counted asked bytes) bytes"
    say "answered: $(counted answered packets) packets, $(counted answered bytes) bytes"
    say "resident: $before kB before, $after kB after"
    survived && kernel_has_relayed "$DIR/control.sock" || return 1
    local status=0
    holds "every request was sent" "$(counted asked packets) == $requests" || status=1
    # coturn is measured, not judged.
    [ "$SERVER" = taciturn ] || return $status
    holds "memory grows by less than 1 MiB" "$after - $before < 1024" || status=1
    holds "calls lose less than 0.1 % more than without" \
        "$(field lost "$beside") / $(field sent "$beside") < $(field lost "$control") / $(field sent "$control") + 0.001" ||
        status=1
    holds "strangers get the budget" \
        "$(counted answered packets) <= $ANSWERS * ($elapsed + $BURST + 1)" || status=1
    holds "in bytes as well" \
        "$(counted answered bytes) <= $ANSWERS * ($elapsed + $BURST + 1) * $ANSWER_BYTES" || status=1
    holds "and less than they sent" "$(counted answered bytes) < $(counted asked bytes)" || status=1
    return $status
}

# at_least NUMBER descriptors of the server
at_least() {
    [ "$(descriptors)" -ge "$1" ]
}

# The test of that name with the real server, where every denied range is an address of this
# namespace, and whoever sends there is counted.
check_denied-peers() {
    local program net counters
    program=$(built server)
    [ -x "$program" ] || { say "the test does not build"; return 1; }
    # All of them: a packet to one would arrive.
    for net in 10.0.0.0/8 100.64.0.0/10 169.254.0.0/16 172.16.0.0/12 192.168.0.0/16 198.18.0.0/15 \
        192.0.0.0/24 192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 168.63.129.16/32 192.88.99.0/24; do
        ip -n "$SERVERS" route add local "$net" dev lo || return 1
    done
    for net in fd00::/8 fe80::/10 2001:db8::/32 2002::/16 64:ff9b::/96 2001::/32 2a00:1:2:3::/64; do
        ip -n "$SERVERS" -6 route add local "$net" dev lo || return 1
    done
    # What leaves a relay port, for whomever; the test's own allowed peer has port 4001.
    ip netns exec "$SERVERS" nft -f - <<'NFT'
table inet watch {
    counter denied {}
    counter allowed {}
    chain out {
        type filter hook output priority 0
        udp sport 59000-60100 udp dport 4001 counter name allowed accept
        udp sport 59000-60100 counter name denied
        tcp sport 59000-60100 counter name denied
    }
}
NFT
    ip netns exec "$SERVERS" "$program" denied_peers:: --nocapture --test-threads 1 || return 1
    counters=$(ip netns exec "$SERVERS" nft list counters)
    say "$counters"
    packets() { awk -v name="$1" '$1 == "counter" { this = $2 } $1 == "packets" && this == name { print $2 }' <<<"$counters"; }
    holds "the counter sees what goes to an allowed peer" "$(packets allowed) > 0" || return 1
    holds "nothing goes to a denied one" "$(packets denied) == 0"
}

# The address of a listener goes away and comes back, as with a provider's failover.
check_vanishing-address() {
    local open
    start_server || return 1
    load "$ADDRESS" --flows 5 --seconds 1 || return 1
    open=$(descriptors)
    ip -n "$SERVERS" address del "$ADDRESS/24" dev strangers || return 1
    say "without $ADDRESS:"
    load 127.0.0.1 --flows 5 --seconds 2 || return 1
    ! load "$ADDRESS" --flows 1 --seconds 1 2>/dev/null || { say "the address is still there"; return 1; }
    ip -n "$SERVERS" address add "$ADDRESS/24" dev strangers || return 1
    say "with it again:"
    load "$ADDRESS" --flows 5 --seconds 1 || return 1
    survived && kernel_has_relayed "$DIR/control.sock" || return 1
    wait_for 10 back_to "$open" || { say "descriptors: $open before, $(descriptors) after"; return 1; }
    holds "the log does not run over" "$(wc -l <"$DIR/server/output.log") < 200"
}

back_to() {
    [ "$(descriptors)" -le "$1" ]
}

# The wall clock jumps a day ahead and two back while calls run. Timers go by the clock that never
# jumps, so nothing ends and nothing stays for good.
check_clock-jumps() {
    local library result open calls
    library=$(find /usr/lib -name libfaketimeMT.so.1 | head -n 1)
    echo "+0" >"$DIR/time"
    # The sandbox would keep the library from its file.
    start_server LD_PRELOAD="$library" FAKETIME_TIMESTAMP_FILE="$DIR/time" FAKETIME_NO_CACHE=1 \
        FAKETIME_DONT_FAKE_MONOTONIC=1 TACITURN_PROCESS_SANDBOX=false || return 1
    open=$(descriptors)
    load "$ADDRESS" --flows 5 --seconds 6 >"$DIR/calls.json" &
    calls=$!
    sleep 2
    echo "+1d" >"$DIR/time"
    sleep 2
    echo "-2d" >"$DIR/time"
    wait "$calls" || return 1
    result=$(cat "$DIR/calls.json")
    say "$result"
    # In the log is the time as the server has it.
    local two_days_ago
    two_days_ago=$(date -u -d '-2 days' +%F)
    grep -m 1 "^$two_days_ago.*session ended" "$DIR/server/output.log" || { say "the clock did not jump"; return 1; }
    holds "no call was lost" "$(field lost "$result") < $(field sent "$result") / 1000 + 1" || return 1
    say "a new call, two days ago:"
    load "$ADDRESS" --flows 5 --seconds 1 || return 1
    survived && kernel_has_relayed "$DIR/control.sock" || return 1
    wait_for 10 back_to "$open" || { say "descriptors: $open before, $(descriptors) after"; return 1; }
}

# Clients of all transports come and go at random, with reloads (tests/load/soak.rs).
check_soak() {
    local program seconds=60
    [ -z "$ALL" ] || seconds=1800
    program=$(built load)
    [ -x "$program" ] || { say "the test does not build"; return 1; }
    ip netns exec "$SERVERS" env SOAK_SECONDS=$seconds "$program" soak:: --nocapture
}
