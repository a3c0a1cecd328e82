# shellcheck shell=bash
# Attacks beside a call (see beside.py). Each begins with the network of hostile.sh and no server. A
# status of 2 is one that a noisy machine may cause: the case is tried once more.

check_guessing() {
    start_attacked || return 1
    BESIDE=(--most oracles=0 --most guesses=allowed)
    beside guessing guess.py
}

check_tls-flood-rsa4096() { tls_flood rsa4096; }
check_tls-flood-rsa2048() { tls_flood rsa2048; }
check_tls-flood-ecdsa() { tls_flood ecdsa; }

tls_flood() {
    start_attacked CERTS="$(certificates "$1")" || return 1
    BESIDE=(--least attempts=200)
    beside "tls-flood-$1" tls_flood.py
}

check_partial-hellos() {
    start_attacked || return 1
    BESIDE=(--least attempts=900)
    beside partial-hellos partial_hellos.py
}

check_dtls-hog() {
    start_attacked CERTS="$(certificates rsa2048)" || return 1
    BESIDE=(--least asked=500)
    beside dtls-hog dtls_hog.py
}

check_held-places() {
    start_attacked || return 1
    BESIDE=(--least attempts=4000)
    beside held-places held_places.py
}

check_unread-answers() {
    start_attacked || return 1
    BESIDE=(--least attempts=3900)
    local sampler most status=0
    received_unread >"$DIR/received-unread" &
    sampler=$!
    beside unread-answers unread_answers.py || status=$?
    kill "$sampler"
    most=$(sort -n "$DIR/received-unread" | tail -n 1)
    say "received by the kernel and not read: ${most:-?} bytes for each connection, at most"
    [ "$SERVER" = taciturn ] || return $status
    holds "the kernel holds little of strangers" "${most:-99999} <= 64 * 1024" || status=1
    return $status
}

# The mean over all connections to the server, as often as can be: the server gives them up within a second.
received_unread() {
    while sleep 0.02; do
        ip netns exec "$SERVERS" ss -tmnH state established "( sport = :3478 )" |
            awk -F 'skmem:[(]r' 'NF == 2 { sum += $2; count++ } END { if (count > 100) printf "%d\n", sum / count }'
    done
}

check_slow-reader() {
    start_attacked || return 1
    BESIDE=(--least sent=10000)
    beside slow-reader slow_reader.py
}

check_reflect-hello-verify() { reflection hello-verify; }
check_reflect-binding() { reflection binding; }
check_reflect-binding-allocated() { reflection binding-allocated; }

reflection() {
    start_attacked || return 1
    BESIDE=(--least asked=10000 --most answers=allowed --newcomers udp)
    beside "reflect-$1" reflection.py "$1"
}

# A test link is out, and whoever scans for one does not learn that.
check_link-guesses() {
    local control=$DIR/control.sock link before status=0
    start_attacked CONTROL="$control" || return 1
    link=$("$TURNCTL" test-link --no-wait --socket "$control") || return 1
    link=${link%%$'\n'*}
    [ "${link#*/test/}" != "$link" ] || { say "there is no link: $link"; return 1; }
    before=$(processor_time)
    BESIDE=(--least attempts=3000 --most answered=0 --least served=1)
    beside link-guesses link_guesses.py "/test/${link#*/test/}" || status=$?
    say "the server took $(($(processor_time) - before)) hundredths of a second of the processor, call and newcomers included"
    return $status
}

# Of the server, in hundredths of a second.
processor_time() {
    awk '{ print $14 + $15 }' "/proc/$(process_pid "$DIR/server")/stat"
}

# As many allocations as go; and with a range of ports that is searched for long, until each of them has
# been used and beyond.
check_churn() {
    start_attacked || return 1
    BESIDE=(--least asked=5000 --most reused=0)
    beside churn churn.py 50000
}

check_churn-wide() {
    start_attacked MINPORT=10000 MAXPORT=65535 || return 1
    BESIDE=(--seconds 10 --least asked=5000 --most reused=0)
    beside churn-wide churn.py 12000
}

check_spoofed-10000() { spoofed 10000; }
check_spoofed-40000() { spoofed 40000; }

# Forged addresses, a million of them, and fifty newcomers over UDP.
spoofed() {
    local program=$DIR/flood status=0
    rustc --edition 2024 -O "$ROOT/benches/flood.rs" -o "$program" || return 1
    start_attacked || return 1
    BESIDE=(--newcomers crowd)
    beside "spoofed-$1" "$program" --server "$ATTACKED:3478" --requests $(($1 * 30)) \
        --addresses 1000000 --rate "$1" || status=$?
    say "forged: $(counted asked packets) asked, $(counted answered packets) answered"
    [ "$SERVER" = taciturn ] || return $status
    holds "the flood was one" "$(counted asked packets) > 4 * $1" || status=1
    return $status
}

# Not one descriptor is left for another relay socket.
check_no-descriptors() {
    local open lines status=0
    start_attacked || return 1
    open=$(descriptors)
    # The call takes some as well.
    prlimit --pid "$(process_pid "$DIR/server")" --nofile=$((open + 20))
    BESIDE=(--newcomers none --least asked=1000)
    beside no-descriptors no_descriptors.py || status=$?
    lines=$(wc -l <"$DIR/server/output.log")
    say "$lines lines, $(wc -c <"$DIR/server/output.log") bytes of log"
    [ "$SERVER" = taciturn ] || return $status
    holds "the log is bounded" "$lines < 400" || status=1
    return $status
}

# Standard error is a pipe that is full, and nobody reads it.
check_unread-log() {
    local status=0
    rm -rf "$DIR/server"
    mkdir -p "$DIR/server"
    mkfifo "$DIR/server/output.log"
    # Holds the pipe open; nothing is read.
    exec 8<>"$DIR/server/output.log"
    start_attacked || { exec 8>&-; return 1; }
    # Fills what room it has; the server's own descriptor goes on waiting for room.
    timeout 2 dd if=/dev/zero of="$DIR/server/output.log" bs=4096 count=64 status=none
    BESIDE=(--least rounds=20)
    python3 -B "$HERE/beside.py" --pid "$(process_pid "$DIR/server")" --figures "$FIGURES" \
        "${BESIDE[@]}" unread-log churn_log.py || status=$?
    kernel_has_relayed "$DIR/control.sock" || status=1
    stop_process "$DIR/server" || status=1
    exec 8>&-
    rm -f "$DIR/server/output.log"
    return $status
}
