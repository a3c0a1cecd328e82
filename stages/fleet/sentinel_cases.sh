# shellcheck shell=bash
# Cases of stages/fleet/run: two redis-servers of which Sentinel knows the master, and three sentinels. Sourced.
#
# board 10.9.0.1 and spare 10.9.0.2 have a redis-server on port 7001 and a sentinel on 26379 each, watch 10.9.0.3 has a
# sentinel alone.

WATCHER_PASSWORD=s3cret-of-the-watcher
SENTINELS="board spare watch"

# group_ports NAME: the port of a server, plain or over TLS alone
group_ports() {
    if [ -n "$GROUP_TLS" ]; then
        cat <<CONF
port 0
tls-port $1
tls-replication yes
tls-cert-file $DIR/group.crt
tls-key-file $DIR/group.key
tls-ca-cert-file $DIR/group.crt
tls-auth-clients no
CONF
    else
        echo "port $1"
    fi
}

# write_group: the configuration of both servers, all sentinels and the nodes
write_group() {
    local host node
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 60 -subj /CN=group \
        -addext subjectAltName=IP:10.9.0.1,IP:10.9.0.2,IP:10.9.0.3,IP:127.0.0.1 \
        -addext basicConstraints=critical,CA:FALSE -keyout "$DIR/group.key" -out "$DIR/group.crt" 2>/dev/null || return 1
    printf '%s\n' "$WATCHER_PASSWORD" >"$DIR/watcher-password"
    chmod 600 "$DIR/watcher-password"
    for host in $SENTINELS; do
        mkdir -p "$DIR/group-$host" "$DIR/sentinel-$host"
        # A replica leaves what it was sent by the case before.
        rm -f "$DIR/group-$host/dump.rdb"
        {
            group_ports 7001
            cat <<CONF
bind 127.0.0.1 $(ip_of "$host")
protected-mode no
save ""
dir $DIR/group-$host
repl-diskless-sync-delay 0
user taciturn on >$BOARD_PASSWORD ~turn:* &turn:* +@read +@write +@transaction +@connection +@pubsub +time
CONF
        } >"$DIR/group-$host.conf"
        # It writes what it learns into this file.
        {
            group_ports 26379
            cat <<CONF
bind 127.0.0.1 $(ip_of "$host")
dir $DIR/sentinel-$host
sentinel monitor mymaster 10.9.0.1 7001 2
sentinel down-after-milliseconds mymaster 1000
sentinel failover-timeout mymaster 5000
sentinel sentinel-pass s3cret-among-sentinels
requirepass s3cret-among-sentinels
user watcher on >$WATCHER_PASSWORD resetchannels -@all +auth +sentinel|get-master-addr-by-name
CONF
        } >"$DIR/sentinel-$host.conf"
    done
    echo "replicaof 10.9.0.1 7001" >>"$DIR/group-spare.conf"
    for node in $NODES; do
        FLEET_URL=redis${GROUP_TLS:+s}+sentinel://taciturn@10.9.0.3,10.9.0.1:26379,10.9.0.2/mymaster \
            FLEET_CA=$DIR/group.crt \
            FLEET_MORE="sentinel_user = \"watcher\"
sentinel_password_file = \"$DIR/watcher-password\"" \
            configuration "$node" >"$DIR/$node.toml"
    done
}

# start_of_group KIND HOST: a server or a sentinel
start_of_group() {
    local more=()
    [ "$1" = group ] || more=(--sentinel)
    NETNS=$PREFIX-$2 start_process "$DIR/$1-$2" redis-server "$DIR/$1-$2.conf" "${more[@]}"
}

# at_group HOST COMMAND...: a server of the group, asked as its administrator
at_group() {
    local host=$1
    shift
    on "$host" redis-cli -h 127.0.0.1 -p 7001 ${GROUP_TLS:+--tls --cacert "$DIR/group.crt"} "$@" 2>"$DIR/redis-cli.log"
}

at_sentinel() {
    local host=$1
    shift
    on "$host" redis-cli -h 127.0.0.1 -p 26379 ${GROUP_TLS:+--tls --cacert "$DIR/group.crt"} \
        --no-auth-warning -a s3cret-among-sentinels "$@" 2>"$DIR/redis-cli.log"
}

is_in_sync() {
    at_group "$1" INFO replication | grep 'master_link_status:up' >/dev/null
}

# The sentinels know the replica, and each other.
sentinels_agree() {
    local host told
    for host in $SENTINELS; do
        told=$(at_sentinel "$host" SENTINEL master mymaster | paste -sd ' ')
        case $told in
        *"num-slaves 1 num-other-sentinels 2 "*) ;;
        *) return 1 ;;
        esac
    done
}

begin_group() {
    local name
    for name in board $NODES; do
        process_gone "$DIR/$name" || kill -KILL "$(process_pid "$DIR/$name")"
        wait_for 5 process_gone "$DIR/$name" || return 1
    done
    write_group || return 1
    for name in board spare; do start_of_group group "$name" && wait_for 10 at_group "$name" PING || return 1; done
    for name in $SENTINELS; do start_of_group sentinel "$name" || return 1; done
    if ! wait_for 15 is_in_sync spare || ! wait_for 15 sentinels_agree; then
        say "no group"
        return 1
    fi
    for name in $NODES; do start_node "$name" || return 1; done
    if ! wait_for 15 connected || ! know_each_other; then
        say "not connected"
        tail -n 5 "$DIR"/?/output.log
        return 1
    fi
}

# Whatever has become of it, the cases that follow find their own board.
end_group() {
    local name
    for name in "$DIR"/group-*/ "$DIR"/sentinel-*/ "$DIR"/a/ "$DIR"/b/ "$DIR"/c/; do
        name=${name%/}
        process_gone "$name" || kill -KILL "$(process_pid "$name")"
        wait_for 5 process_gone "$name"
    done
    write_files
}

# meet_at IP: whether all nodes meet at that master, and know each other
meet_at() {
    local node
    for node in $NODES; do
        fleet_says "$node" "^they meet at the master, $1 port 7001$" && nodes_listed "$node" 3 || return 1
    done
    [ "$(at_group "$(host_of "$1")" PUBSUB NUMSUB turn:counts | tail -n 1)" = 3 ]
}

host_of() {
    case $1 in
    10.9.0.1) echo board ;;
    10.9.0.2) echo spare ;;
    esac
}

# has_bans NAME...: whether all nodes have these
have_bans() {
    local node name told
    for node in $NODES; do
        told=$(ctl "$node" bans)
        for name in "$@"; do [[ $told == *" $name "* ]] || return 1; done
    done
}

has_all_of_it() {
    [ "$(at_group spare ZCARD turn:bans)" = 1 ]
}

# Nothing of the master reaches the replica any more.
part_from_master() {
    on spare nft -f - <<'NFT'
table inet part {
    chain in { type filter hook input priority 0; ip saddr 10.9.0.1 tcp sport 7001 drop; }
}
NFT
}

fails_over() {
    local node flow
    begin_group && meet_at 10.9.0.1 || return 1
    ! grep -r "$WATCHER_PASSWORD\|$BOARD_PASSWORD" "$DIR"/[abc]/output.log || return 1
    ctl a ban user bob && within 1000 "all have the ban" have_bans bob || return 1
    wait_for 5 has_all_of_it || { say "the replica has: $(at_group spare ZCARD turn:bans)"; return 1; }
    call a alice --flows 2 --rate 100 --seconds 25 --json >"$DIR/flow.json" 2>"$DIR/flow.log" &
    flow=$!
    sleep 1
    # What the replica has not had is not lost either.
    part_from_master || return 1
    ctl c ban user dave && within 1000 "all have another ban" have_bans bob dave || return 1
    has_all_of_it || { say "the replica has the other ban as well"; return 1; }
    kill -KILL "$(process_pid "$DIR/group-board")"
    on spare nft delete table inet part
    within 20000 "all meet at the next master" meet_at 10.9.0.2 || { tail -n 5 "$DIR"/[abc]/output.log; return 1; }
    grep 'connected to the master mymaster at 10.9.0.2 port 7001' "$DIR/b/output.log" || return 1
    within 2000 "all have the bans" have_bans bob dave && refuses c bob && serves_at_once b alice || return 1
    ctl b ban user carol && within 1000 "a ban reaches all by the new master" have_bans bob carol dave || return 1
    # The old one comes back as a replica; then it is made the master again while both are there.
    start_of_group group board && wait_for 20 is_in_sync board || return 1
    meet_at 10.9.0.2 || { say "they did not stay"; return 1; }
    # One that has not looked at it since would make it a replica again in the middle of that.
    wait_for 30 all_know_the_replica || { say "not all sentinels know that it is a replica"; return 1; }
    wait_for 20 switches_over || return 1
    within 20000 "all meet at the old one again" meet_at 10.9.0.1 || { tail -n 5 "$DIR"/[abc]/output.log; return 1; }
    have_bans bob carol dave || return 1
    ctl c unban user bob && ctl c unban user carol && ctl c unban user dave || return 1
    for node in $NODES; do within 1000 "no ban is on $node" has_no_ban "$node" user || return 1; done
    wait "$flow" || { cat "$DIR/flow.log"; return 1; }
    cat "$DIR/flow.json"
    lost_nothing "$DIR/flow.json"
}

all_know_the_replica() {
    local host
    for host in $SENTINELS; do
        [[ $(at_sentinel "$host" SENTINEL replicas mymaster | paste -sd ' ') == *" role-reported slave "* ]] || return 1
    done
}

# A sentinel refuses it for a time after the failover before.
switches_over() {
    [ "$(at_sentinel watch SENTINEL FAILOVER mymaster)" = OK ]
}

with_group() {
    fails_over
    local status=$?
    end_group
    return $status
}

a-master-that-dies-has-a-successor() {
    GROUP_TLS='' with_group
}

a-master-that-dies-has-a-successor-over-tls() {
    GROUP_TLS=yes with_group
}
