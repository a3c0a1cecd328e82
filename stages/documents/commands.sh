# shellcheck shell=bash
# Every command of turnctl beside a server that was started in each of the ways that the documents show, without a
# word about where it is. The sandbox sources this.
# shellcheck disable=SC2154  # ADDRESS and more come from the sandbox

USER_PASS='alice:correct horse battery'

# as USER DIRECTORY COMMAND...: for root and for an ordinary user
as() {
    local user=$1 directory=$2
    shift 2
    (cd "$directory" && if [ "$user" = root ]; then exec "$@"; else exec setpriv --reuid "$user" --regid "$user" \
        --clear-groups env HOME="/home/$user" PATH="$PATH" "$@"; fi)
}

# start_way USER COMMAND...
start_way() {
    WAY_USER=$1
    shift
    say "--- as $WAY_USER: $*"
    as "$WAY_USER" "$WAY_DIRECTORY" "$@" >"$DIR/way.log" 2>&1 </dev/null &
    SERVER=$!
    wait_for 10 serving_or_dead
    serving || { cat "$DIR/way.log"; return 1; }
    sleep 0.5
}

# turnctl_says STATUS TEXT ARGUMENT...: it ends so, and prints TEXT. It runs where nothing is.
turnctl_says() {
    local wanted=$1 text=$2 output status
    shift 2
    output=$(as "$WAY_USER" / timeout 60 turnctl "$@" 2>&1 </dev/null)
    status=$?
    if [ "$status" = "$wanted" ] && grep -qF -- "$text" <<<"$output"; then return; fi
    say "\$ turnctl $*" "$output" "exit status $status, not $wanted; or it does not say: $text"
    return 1
}

# What holds for every server. doctor may have warnings, and no failure.
common_commands() {
    local doctor
    turnctl_says 0 ", ready" status && turnctl_says 0 "no sessions" sessions && turnctl_says 0 "0 sessions" top --once &&
        turnctl_says 0 "info" log-level && turnctl_says 0 "debug (for" log-level debug --for 1m &&
        turnctl_says 0 "no certificates" certs && turnctl_says 0 "no change" reload &&
        turnctl_says 0 "0 allocations ended" kick --user alice && turnctl_says 0 "answers" health &&
        turnctl_says 0 "ufw allow 3478/udp" snippet ufw && turnctl_says 0 "[Service]" snippet systemd &&
        turnctl_says 0 "services:" snippet compose || return 1
    doctor=$(as "$WAY_USER" / turnctl doctor --offline 2>&1 </dev/null)
    if ! grep -q 'the server that runs here' <<<"$doctor" || grep -q '^  FAIL' <<<"$doctor"; then
        say "$doctor"
        return 1
    fi
}

with_secret() {
    turnctl_says 0 'turn_shared_secret: "' homeserver-snippet && turnctl_says 0 "Password: " credentials &&
        turnctl_says 0 '"credential":' credentials --json && turnctl_says 0 "turn_shared_secret" snippet synapse --inline
}

with_users() {
    turnctl_says 2 "--static alice" homeserver-snippet &&
        turnctl_says 0 'turn_username: "alice"' homeserver-snippet --static alice &&
        turnctl_says 2 "only static users" credentials && turnctl_says 0 "alice" snippet go2rtc
}

end_way() {
    turnctl_says 0 "draining" drain && wait "$SERVER"
    local status=$?
    SERVER=
    [ $status = 0 ] || cat "$DIR/way.log"
    return $status
}

run_ways() {
    rm -rf /etc/taciturn /var/lib/taciturn
    WAY_DIRECTORY=$SCRATCH/way
    mkdir -p "$WAY_DIRECTORY"
    useradd --home-dir /home/someone --no-create-home someone || return 1
    mount -t tmpfs home /home && mkdir /home/someone && chown someone /home/someone && chmod 755 "$SCRATCH" || return 1
    start_way root taciturn && common_commands && with_secret && end_way || return 1
    start_way root taciturn --user "$USER_PASS" && common_commands && with_users && end_way || return 1
    start_way root taciturn --state-dir state --external-ip "$ADDRESS" && common_commands && with_secret && end_way || return 1
    # Paths in it begin where the server was started.
    (umask 077 && echo a-secret-of-the-sandbox-0123456789 >"$WAY_DIRECTORY/my_secret" &&
        printf '[auth]\nsecret_files = ["my_secret"]\n[admin]\nsocket = "my.sock"\n' >"$WAY_DIRECTORY/my.toml")
    start_way root taciturn --config my.toml && common_commands && with_secret && end_way || return 1
    start_way root env "TACITURN_AUTH_USERS=$USER_PASS" taciturn && common_commands && with_users && end_way || return 1
    start_way someone taciturn --user "$USER_PASS" && common_commands && with_users && end_way || return 1
    start_way someone taciturn --state-dir /home/someone/state && common_commands && with_secret && end_way
}
