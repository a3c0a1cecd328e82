# shellcheck shell=bash
# Records of usage under the package's own unit: none is lost or doubled by a restart or a stop. The clients are those of
# restart_cases.sh, which count what they send.
# shellcheck disable=SC2153,SC2154  # WORK and more come from stages/packaging/run

RECORDS=/var/lib/taciturn/records

case_records() {
    configure <<'TOML'
workers = 2

[auth]
users = ["alice:s3cret-of-the-tests"]

[protocol]
rfc5766_channels = true

[records]
file = "/var/lib/taciturn/records/usage.jsonl"
TOML
    inside systemctl reset-failed taciturn
    # Sessions of other cases go on, unless the service is stopped in between.
    inside systemctl stop taciturn
    inside rm -rf $RECORDS
    inside systemctl start taciturn &&
        the_unit_lets_records_be_kept &&
        restarts_lose_no_record &&
        a_stop_records_what_runs
    local status=$?
    [ $status = 0 ] || { journal | tail -n 40; recorded | tail -n 20; }
    end_calls
    inside systemctl reset-failed taciturn
    inside systemctl start taciturn
    return $status
}

the_unit_lets_records_be_kept() {
    expect_equal "$(inside stat -c '%U:%G %a' $RECORDS)" "taciturn:taciturn 700" &&
        expect_equal "$(inside stat -c '%U:%G %a' $RECORDS/usage.jsonl)" "taciturn:taciturn 600"
}

# Each call is counted at its ends, and by the records of its sessions over all processes that they have lived in.
restarts_lose_no_record() {
    local restarts=0
    begin_calls_of_the_service 300 || return 1
    while [ $restarts -lt 5 ]; do
        restart_now || return 1
        restarts=$((restarts + 1))
        sleep 0.5
    done
    calls_run_still || { say "the calls were over before the last of $restarts restarts"; return 1; }
    calls_lost_nothing "$restarts restarts" || return 1
    # What the client leaves behind has its last record by the stop.
    inside systemctl stop taciturn
    records_are_whole || return 1
    expect_equal "$(sum_of bytes_to_peers)" "$(counted tot_send_bytes)" &&
        expect_equal "$(sum_of bytes_to_client)" "$(counted tot_recv_bytes)" || return 1
    inside systemctl reset-failed taciturn
    inside systemctl start taciturn
}

a_stop_records_what_runs() {
    local stopped
    begin_calls_of_the_service 600 && wait_for 30 four_send_to_peers || return 1
    stopped=$(date -u +%FT%TZ)
    inside systemctl stop taciturn || return 1
    end_calls
    records_are_whole || return 1
    # Each has a last record that is of the stop, and what it has used until then.
    expect_equal "$(records_of ".[-1] | select(.end >= \"$stopped\") | .type" | sort | uniq -c | tr -s ' ')" " $ALLOCATIONS running" || return 1
    [ "$(records_of ".[-1] | select(.end >= \"$stopped\" and .total.packets_to_peers > 0) | .session" | wc -l)" -ge 4 ]
}

four_send_to_peers() {
    [ "$(inside turnctl sessions --json | jq -s '[.[] | select(.session.packets_to_peers > 0)] | length')" -ge 4 ]
}

recorded() {
    inside cat $RECORDS/usage.jsonl
}

# records_of FILTER: jq's, for the records of each session in their order
records_of() {
    recorded | jq -rs "group_by(.session)[] | sort_by(.seq) | $1"
}

# sum_of FIELD: over all records
sum_of() {
    recorded | jq -s "map(.$1) | add"
}

# counted NAME: what both ends of all calls say in the end, "NAME=123" or "NAME ~ 123"
counted() {
    local transport sum=0 number
    for transport in "${CALLS[@]}"; do
        number=$(grep -oE "$1( ~ |=)[0-9]+" "$WORK/call-$transport/output.log" | tail -n 1 | grep -oE '[0-9]+$')
        sum=$((sum + number))
    done
    echo $sum
}

# Whole lines, each record once, none missing in between, and the last one of a session has the sum of all.
records_are_whole() {
    local bad
    expect_equal "$(recorded | tail -c 1 | od -An -c | tr -d ' ')" '\n' || return 1
    expect_equal "$(recorded | jq -s 'map(.id) | length - (unique | length)')" 0 || return 1
    bad=$(records_of 'select(map(.seq) != [range(1; length + 1)]) | map(.id)')
    expect_equal "$bad" "" || return 1
    bad=$(records_of 'select((map(.bytes_to_peers) | add) != .[-1].total.bytes_to_peers
        or (map(.bytes_to_client) | add) != .[-1].total.bytes_to_client
        or (map(.packets_to_peers) | add) != .[-1].total.packets_to_peers
        or (map(.packets_to_client) | add) != .[-1].total.packets_to_client) | .[-1]')
    expect_equal "$bad" ""
}
