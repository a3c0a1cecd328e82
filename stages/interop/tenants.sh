# shellcheck shell=bash
# Tenants: coturn's clients with credentials of several customers of one server at the same time.
# shellcheck disable=SC2153  # DIR and more come from stages/interop/run

ACME_SECRET=secret-of-acme-0123456789
BETA_SECRET=secret-of-beta-0123456789

# NAME NEEDS CHECK PORT FIRST-LAST
tenants() {
    select_cases "${PATTERNS[@]}" <<'CASES'
tenants               tls  check_tenants             4578 57900-57999
CASES
}

run_tenants() {
    local name check port range
    while read -r name _ check port range; do
        run_test "interop/$name$SUFFIX" tenants_case "$check" "$port" "$range"
    done < <(tenants)
}

# Three customers: the server's own users, one told by its secret or password, and one with a realm of its own, for those
# who ask for a name by TLS.
tenants_configuration() {
    cat <<CONF

[[tenant]]
name = "acme"
secrets = ["$ACME_SECRET"]
users = ["$TAKE_OVER_USER:password-of-acme"]
relay_ports = "57900-57919"
limits.allocations_per_user = 3
peers.allow = ["127.0.0.0/8", "$PEER4/32"]

[[tenant]]
name = "beta"
realm = "turn.beta.example"
secrets = ["$BETA_SECRET"]
peers.allow = ["127.0.0.0/8", "$PEER4/32"]

[[listen]]
transport = "udp"
address = "$SERVER4:$((TAKEN_PORT + 2))"
realm = "turn.beta.example"
CONF
}

# tenants_case CHECK PORT FIRST-LAST
tenants_case() {
    local status one
    # A path of a socket has at most 107 bytes.
    TAKEN=$(mktemp -d /tmp/taciturn-tenants.XXXXXX) && chmod 755 "$TAKEN" || return 1
    TAKEN_PORT=$2 SERVERS=("$TAKEN/server-1") FLOWS=()
    tenants_configuration >"$TAKEN/tenants.toml"
    env LOGDIR="${SERVERS[0]}" CONTROL="$TAKEN/control.sock" RFC5766_CHANNELS=yes LISTEN="$SERVER4" PORT="$2" \
        TLSPORT="$(tls_port "$2")" MINPORT="${3%-*}" MAXPORT="${3#*-}" TRANSPORTS="udp tcp tls" CERTS="$TAKEN/certs" \
        USER_PASS="$TAKE_OVER_USER:$PASSWORD" "${OPEN[@]}" MORE="$TAKEN/tenants.toml" \
        "$ROOT/stages/lib/server-taciturn.sh" start && "$1"
    status=$?
    for one in "${FLOWS[@]}" tunnel; do [ ! -d "$TAKEN/$one" ] || stop_process "$TAKEN/$one"; done
    for one in "${SERVERS[@]}"; do
        stop_process "$one" || status=1
        ! grep -n "panicked at" "$one/output.log" || status=1
        [ $status = 0 ] || { say "the log of ${one##*/}:"; tail -n 25 "$one/output.log"; }
    done
    rm -rf "$TAKEN"
    return $status
}

# begin_flow_of NAME MESSAGES SERVER ARGUMENT...: as begin_flow, with a password or a secret of one's own
begin_flow_of() {
    local name=$1 messages=$2 server=$3
    shift 3
    FLOWS+=("$name")
    NETNS=$CLIENTS start_process "$TAKEN/$name" timeout 120 turnutils_uclient -n "$messages" -z 20 -c -e "$PEER4" "$@" "$server"
}

ctl() {
    "$(dirname "$TAKE_OVER_PROGRAM")/turnctl" "$@" --socket "$TAKEN/control.sock"
}

# sessions_of TENANT USER-PATTERN VIA NUMBER: of those that have a peer. uclient makes another one first, which is idle.
sessions_of() {
    local found
    found=$(ctl sessions --tenant "$1" | awk -v user="$2" -v via="$3" 'NR > 1 && $2 == via && $3 ~ user && $5 > 0' | wc -l)
    [ "$found" = "$4" ] || { say "tenant $1 has $found sessions of $2 over $3, not $4"; ctl sessions; return 1; }
}

check_tenants() {
    local port=$TAKEN_PORT tunnel=$((TAKEN_PORT + 1)) output status
    NETNS=$CLIENTS start_process "$TAKEN/tunnel" "$ROOT/stages/interop/tls_name.py" "$tunnel" "$SERVER4" "$(tls_port "$port")" \
        turn.beta.example
    NETNS=$CLIENTS wait_for 5 listening tcp 127.0.0.1 "$tunnel" || return 1
    begin_flow_of own 700 "$SERVER4" -p "$port" -u "$TAKE_OVER_USER" -w "$PASSWORD"
    begin_flow_of acme-user 700 "$SERVER4" -p "$port" -u "$TAKE_OVER_USER" -w password-of-acme
    begin_flow_of acme-secret 700 "$SERVER4" -p "$port" -u carol -W "$ACME_SECRET"
    begin_flow_of beta 700 127.0.0.1 -t -p "$tunnel" -u carol -W "$BETA_SECRET"
    begin_flow_of beta-listener 700 "$SERVER4" -p $((port + 2)) -u carol -W "$BETA_SECRET"
    wait_for 20 flows_run || { tail -n 5 "$TAKEN"/*/output.log; return 1; }

    say "--- who is seen"
    sessions_of default "^$TAKE_OVER_USER\$" udp 1 && sessions_of acme "^acme/$TAKE_OVER_USER\$" udp 1 &&
        sessions_of acme '^acme/.*carol' udp 1 && sessions_of beta '^beta/.*carol' tls 1 &&
        sessions_of beta '^beta/.*carol' udp 1 || return 1
    output=$(ctl sessions --tenant acme | awk 'NR > 1 { sub(/.*:/, "", $4); print $4 }')
    for port in $output; do
        if [ "$port" -gt 57919 ]; then say "acme has relay port $port"; return 1; fi
    done
    output=$(ctl sessions | awk 'NR > 1 && $3 !~ /^acme/ { sub(/.*:/, "", $4); print $4 }')
    for port in $output; do [ "$port" -gt 57919 ] || { say "port $port is acme's, and another has it"; return 1; }; done
    output=$(ctl status)
    grep '  tenant .* acme: [1-9][0-9]* allocations, 2 users' <<<"$output" || { say "$output"; return 1; }

    say "--- a credential of a realm is none elsewhere, nor a secret of nobody"
    for output in "-W $BETA_SECRET" "-W secret-of-nobody-0123456789" "-w password-of-nobody"; do
        # shellcheck disable=SC2086  # two words
        ip netns exec "$CLIENTS" timeout 60 turnutils_uclient -n 1 -c -e "$PEER4" -p "$TAKEN_PORT" -u "$TAKE_OVER_USER" \
            $output "$SERVER4" >"$TAKEN/refused.log" 2>&1
        status=$?
        if [ $status != 255 ] || ! grep -qF "Cannot complete Allocation" "$TAKEN/refused.log"; then
            cat "$TAKEN/refused.log"
            say "$output was served"
            return 1
        fi
    done

    say "--- a kick ends sessions of one tenant, and the others lose nothing"
    output=$(ctl kick --user "$TAKE_OVER_USER" --tenant acme)
    [[ $output == [12]" allocations ended" ]] || { say "$output"; return 1; }
    sessions_of acme "^acme/$TAKE_OVER_USER\$" udp 0 && sessions_of default "^$TAKE_OVER_USER\$" udp 1 || return 1

    say "--- the next process goes on with each in its tenant"
    take_over
    wait_for 10 logged "$(current)" 'running calls were carried over .* stayed=[1-9]' || return 1
    sessions_of default "^$TAKE_OVER_USER\$" udp 1 && sessions_of acme '^acme/.*carol' udp 1 &&
        sessions_of beta '^beta/.*carol' udp 1 || return 1
    for output in own acme-secret beta beta-listener; do flow_lost_nothing "$output" || return 1; done
    kernel_has_relayed "$TAKEN/control.sock" || return 1
    wait_for 10 logged "$(current)" 'session ended.*tenant="acme"' && logged "${SERVERS[0]}" 'session ended.*tenant="beta"'
}
