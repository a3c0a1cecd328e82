# shellcheck shell=bash
# What changes while the server runs: an address of the host, a user; and half requests to the metrics.

# An address that the host gets after the start is its own as well, within a second.
check_own-address() {
    local service seen
    start_attacked || return 1
    ip -n "$SERVERS" address add 11.1.0.99/24 dev strangers || return 1
    ip netns exec "$SERVERS" python3 -B "$HERE/internal_service.py" 11.1.0.99 &
    service=$!
    sleep 1
    seen=$(stranger own_address.py 11.1.0.99)
    kill "$service"
    wait "$service" 2>/dev/null
    say "$seen" | tee "$FIGURES/own-address.json"
    survived || return 1
    holds "no permission for it" "$(field permitted "$seen") == 0" &&
        holds "and nothing reaches it" "$(field reached "$seen") == 0"
}

# Who is taken out of the configuration is out with the reload.
check_revoked-user() {
    local seen
    start_attacked || return 1
    seen=$(stranger revoked_user.py "$(process_pid "$DIR/server")" "$DIR/server/taciturn.toml")
    say "$seen" | tee "$FIGURES/revoked-user.json"
    survived || return 1
    holds "there was an allocation" "$(field allocated "$seen") == 1" &&
        holds "no new login" "$(field logs_in "$seen") == 0" &&
        holds "the allocation is not refreshed" "$(field refreshes "$seen") == 0" &&
        holds "and gets no new peer" "$(field gets_a_peer "$seen") == 0"
}

check_half-requests() {
    local seen
    start_attacked || return 1
    seen=$(ip netns exec "$SERVERS" python3 -B "$HERE/half_requests.py" 6)
    say "$seen" | tee "$FIGURES/half-requests.json"
    survived || return 1
    holds "/live was asked" "$(field asked "$seen") > 0" &&
        holds "and always answered within 2 s" "$(field unanswered "$seen") == 0"
}
