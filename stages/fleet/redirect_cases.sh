# shellcheck shell=bash
# The cases of clients that are sent to another server. Sourced by run.
# shellcheck disable=SC2154  # here and more come from run

# gather BROWSER URI...: where it gets relayed addresses from
gather() {
    local browser=$1
    shift
    timeout 100 node "$here/gather.mjs" "$browser" "$PREFIX-client" alice "$PASSWORD" "$@"
}

# gather_with_both URI: over UDP and TCP, with two browsers at the same time
gather_with_both() {
    local browser
    for browser in chromium firefox; do gather "$browser" "$1" "$1?transport=tcp" >"$DIR/gathered-$browser" & done
    wait
}

# other_configuration NODE TEXT: with this at its end; without TEXT as before
other_configuration() {
    { configuration "$1" && printf '\n%s\n' "${2:-}"; } >"$DIR/$1.toml"
    ctl "$1" reload
}

# expect TEXT LINE...: whether each line is in the text
expect() {
    local text=$1 line
    shift
    say "$text"
    for line; do
        grep -qxF -- "$line" <<<"$text" || { say "NOT MET: $line"; return 1; }
    done
}

# What browsers do with 300. Both go there, over UDP and TCP. Chromium is served there if the answer has a nonce that is good
# there, as among the servers of a fleet.
browsers-and-300() {
    begin || return 1
    local a b status=0 in_fleet
    a=$(ip_of a) b=$(ip_of b)
    other_configuration a "[redirect]
servers = [\"$b:3478\"]" || return 1
    gather_with_both "turn:$a" || return 1
    expect "$(cat "$DIR/gathered-chromium")" \
        "turn:$a: relayed $b errors none" "turn:$a?transport=tcp: relayed $b errors none" || status=1
    expect "$(cat "$DIR/gathered-firefox")" \
        "turn:$a: relayed $b errors none" "turn:$a?transport=tcp: relayed $b errors none" || status=1
    # To a server that is not of the fleet: it has other keys.
    in_fleet=$(configuration b)
    sed '/^\[fleet\]/,/^node/d' <<<"$in_fleet" >"$DIR/b.toml"
    kill -KILL "$(process_pid "$DIR/b")"
    wait_for 5 process_gone "$DIR/b" && start_node b || return 1
    gather_with_both "turn:$a" || return 1
    expect "$(cat "$DIR/gathered-chromium")" "turn:$a: relayed none errors 438" || status=1
    expect "$(cat "$DIR/gathered-firefox")" \
        "turn:$a: relayed $b errors none" "turn:$a?transport=tcp: relayed $b errors none" || status=1
    kill -KILL "$(process_pid "$DIR/b")"
    wait_for 5 process_gone "$DIR/b"
    configuration b >"$DIR/b.toml"
    other_configuration a
    return $status
}

# A node drains: its call ends by itself with nothing lost, and new ones are on other nodes. When its last session has ended, it
# ends.
a-node-that-drains-sends-clients-away() {
    begin || return 1
    local a b flow told
    a=$(ip_of a) b=$(ip_of b)
    wait_for 12 nodes_listed a 3 || return 1
    call a bob --flows 2 --rate 100 --seconds 12 --json >"$DIR/flow.json" 2>"$DIR/flow.log" &
    flow=$!
    # So that it does not end before the browsers have come.
    hold a alice 120
    wait_for 10 has_sessions a bob && wait_for 10 has_sessions a alice || return 1
    ctl a drain || return 1
    within 1500 "the others know" fleet_says b "^a .* draining" || return 1
    node "$here/../e2e/call.mjs" --server "$a" --namespaces "$PREFIX-client,$PREFIX-client" --data-only \
        --user alice --password "$PASSWORD" --relayed-at "$b,$(ip_of c)" || return 1
    told=$(gather firefox "turn:$a")
    say "$told"
    grep -qE "^turn:$a: relayed ($b|$(ip_of c)) errors none" <<<"$told" || return 1
    [ "$(metric a taciturn_fleet_redirected_total)" -gt 0 ] || return 1
    wait $flow || { cat "$DIR/flow.log"; return 1; }
    cat "$DIR/flow.json"
    lost_nothing "$DIR/flow.json" || return 1
    process_alive "$DIR/a" || { say "it has ended before its last session"; return 1; }
    end_held && wait_for 5 process_gone "$DIR/a"
}

# sends NODE WHERE: whether a new client is sent there; `nowhere` with 508
sends() {
    local told
    told=$(allocate --requests 1 --hold 0 "$(ip_of "$1")")
    case $2 in
    nowhere) grep -qF "0 made, refused: [508], sent to: []" <<<"$told" ;;
    *) grep -qF "0 made, refused: [300], sent to: ['$(ip_of "$2")']" <<<"$told" ;;
    esac
}

# A node without room sends clients to the emptiest, and not to one that has no room either.
a-full-node-sends-clients-to-the-emptiest() {
    begin || return 1
    local holder status
    other_configuration a "" && sed -i 's/^\[limits\]/&\nallocations = 1/' "$DIR/a.toml" && ctl a reload || return 1
    # One that was killed a moment ago is listed again when its last record has ended.
    wait_for 25 nodes_listed a 3 || { ctl a fleet; return 1; }
    # b has less room than c.
    allocate --requests 40 --hold 60 "$(ip_of b)" >"$DIR/hold.log" 2>&1 &
    holder=$!
    LIMIT=40 wait_for 15 holds_all || { cat "$DIR/hold.log"; return 1; }
    WHO=bob allocate --requests 1 --hold 50 "$(ip_of a)" >/dev/null 2>&1 &
    holder="$holder $!"
    wait_for 10 has_sessions a bob && from_one_to_another
    status=$?
    # shellcheck disable=SC2086  # a word each
    kill $holder
    ctl a kick --user bob >/dev/null
    ctl b kick --user alice >/dev/null
    for node in a c; do other_configuration "$node" ""; done
    return $status
}

from_one_to_another() {
    within 12000 "a sends to c" sends a c || return 1
    # Now c is almost full: 8 of 10 are there.
    sed -i 's/^\[limits\]/&\nallocations = 10/' "$DIR/c.toml" && ctl c reload || return 1
    WHO=bob allocate --requests 10 --hold 30 "$(ip_of c)" >/dev/null 2>&1 &
    holder="$holder $!"
    within 12000 "a sends to b" sends a b || return 1
    # c has none, and does not send them back to a.
    within 5000 "c sends to b" sends c b || return 1
    ctl b drain >/dev/null || return 1
    within 3000 "nobody is left" sends a nowhere || return 1
    within 3000 "nor for c" sends c nowhere && ctl b drain --cancel
}
