# shellcheck shell=bash
# The cases of a node that is killed under a call of two browsers. Sourced by run.
# shellcheck disable=SC2154  # here and more come from run

# killed_under_a_call URIS-OF-A URIS-OF-B OPTION...
killed_under_a_call() {
    local of_a=$1 of_b=$2
    shift 2
    timeout 150 node "$here/killed-node.mjs" --namespaces "$PREFIX-caller,$PREFIX-callee" --user alice \
        --password "$PASSWORD" --servers "$of_a/$of_b" --nodes "$(processes)" "$@"
}

processes() {
    local node all=
    for node in $NODES; do all+=${all:+,}$(ip_of "$node")=$(process_pid "$DIR/$node"); done
    say "$all"
}

# uris NODE...
uris() {
    local node all=
    for node; do all+=${all:+,}turn:$(ip_of "$node"); done
    say "$all"
}

# through NODE NODE
through() {
    say "$(ip_of "$1"),$(ip_of "$2")"
}

# Each end has two nodes. The first of the caller is killed, which the callee does not use.
a-killed-node-of-one-end() {
    begin || return 1
    killed_under_a_call "$(uris a c)" "$(uris b c)" --through "$(through a b)"
}

# Both ends have the same two names, and use the first, which is killed: the call goes on through the other. The first comes
# back, but nothing of the call is on it any more when the other is killed: only an ICE restart helps then.
a-killed-node-of-both-ends() {
    local uris=turn:a.fleet.test,turn:b.fleet.test driver
    begin || return 1
    rm -f "$DIR/back"
    killed_under_a_call $uris $uris --through "$(through a a)/$(through b b)" \
        --between "$DIR/back" --restarted &
    driver=$!
    if wait_for 120 back_or_ended $driver && [ -e "$DIR/back" ]; then start_node a && rm "$DIR/back"; fi
    wait $driver
}

# back_or_ended PID
back_or_ended() {
    [ -e "$DIR/back" ] || ! kill -0 "$1" 2>/dev/null
}

# It takes any two of its relayed addresses, keeps to them, and finds the other server when ICE is restarted.
a-killed-node-with-firefox() {
    begin || return 1
    killed_under_a_call "$(uris a b)" "$(uris a b)" --browsers firefox,firefox --restarted
}

# The ends of a call reach the nodes and nothing else, and know them by name.
make_ends() {
    local end node directory
    for end in caller callee; do
        on "$end" nft -f - <<'NFT' || return 1
table inet nodes_alone {
    set nodes { type ipv4_addr; elements = { 10.9.0.11, 10.9.0.12, 10.9.0.13 }; }
    chain out {
        type filter hook output priority 0; policy drop
        oifname "lo" accept
        ip daddr @nodes accept
    }
    chain in {
        type filter hook input priority 0; policy drop
        iifname "lo" accept
        ip saddr @nodes accept
    }
}
NFT
        # `ip netns exec` shows these in place of those of /etc. Chromium asks with a dot at the end.
        directory=/etc/netns/$PREFIX-$end
        mkdir -p "$directory" && : >"$directory/resolv.conf"
        for node in $NODES; do echo "$(ip_of "$node") $node.fleet.test $node.fleet.test."; done >"$directory/hosts"
        echo "127.0.0.1 localhost" >>"$directory/hosts"
    done
}
