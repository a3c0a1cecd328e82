# shellcheck shell=bash
# A Redis of our own, in the namespace, over TCP, TLS and a socket, and the cases with it: coturn's keys, and the rows of
# tenants. Read by run.
# shellcheck disable=SC2034,SC2154  # BASE is read in cases.sh; here and more come from run

# start_redis: with the keys that it had, if it was stopped by a kill
start_redis() {
    mkdir -p "$DIR/redis"
    cat >"$DIR/redis.conf" <<CONF
bind $HOST
port 6379
tls-port 6380
tls-cert-file $DIR/database.crt
tls-key-file $DIR/database.key
tls-ca-cert-file $DIR/database.crt
tls-auth-clients no
unixsocket $DIR/redis/socket
protected-mode no
save ""
dir $DIR/redis
user taciturn on >$ROLE_PASSWORD ~turn/realm/* +scan +getrange +sscan
CONF
    NETNS=$PREFIX start_process "$DIR/redis-server" redis-server "$DIR/redis.conf"
    wait_for 10 redis PING
}

kill_redis() {
    kill -KILL "$(process_pid "$DIR/redis-server")"
    wait_for 5 process_gone "$DIR/redis-server"
}

# fresh_redis: an empty one
fresh_redis() {
    process_gone "$DIR/redis-server" || kill_redis || return 1
    rm -rf "$DIR/redis"
    start_redis
}

# redis COMMAND...: as its administrator
redis() { on redis-cli -h "$HOST" "$@"; }

# The lines of [auth.database].
over_redis() {
    printf 'url = "redis://taciturn@%s"\npassword_file = "%s"\nevery = "1s"\n' "$HOST" "$DIR/role-password"
}

coturns-redis() {
    begin
    fresh_redis || return 1
    admin -a -N "$REDIS_OF_COTURN" -u alice -p wonderland -r "$REALM" &&
        admin -s "$SHARED" -N "$REDIS_OF_COTURN" -r "$REALM" &&
        admin -a -N "$REDIS_OF_COTURN" -u mallory -p elsewhere -r another.realm || return 1
    redis --scan
    start_server "$(over_redis)" || return 1
    # Before the first request.
    serves alice wonderland && serves static "$PASSWORD" && serves_secret "$SHARED" || return 1
    refuses mallory elsewhere && refuses alice wrong || return 1
    on turnutils_uclient -s -y -m 1 -n 5 -u alice -w wonderland "$HOST" >"$DIR/uclient.log" 2>&1 || return 1
    grep -q "Total lost packets 0 " "$DIR/uclient.log" || { cat "$DIR/uclient.log"; return 1; }
    has_metric 'taciturn_database_rows{kind="user"}' 1 && has_metric 'taciturn_database_rows{kind="secret"}' 1 || return 1
    admin -a -N "$REDIS_OF_COTURN" -u bob -p the-builder -r "$REALM" || return 1
    within 3000 "a user that turnadmin adds is served" serves bob the-builder || return 1
    admin -d -N "$REDIS_OF_COTURN" -u bob -r "$REALM" || return 1
    within 3000 "one that it deletes is refused" refuses bob the-builder || return 1
    redis SREM "turn/realm/$REALM/secret" "$SHARED" || return 1
    within 3000 "a secret that is deleted is refused" refuses_secret "$SHARED" || return 1
    # It may read coturn's keys and nothing else.
    redis --user taciturn --pass "$ROLE_PASSWORD" SET "turn/realm/$REALM/user/eve/key" x 2>/dev/null | grep NOPERM || return 1
    log_is_clean || return 1
    # Read at the start and when it is told to; over TLS.
    begin
    start_server "$(over_redis | sed "s,redis://taciturn@$HOST,rediss://taciturn@$HOST:6380/0,; s/1s/1h/")" \
        "ca_file = \"$DIR/database.crt\"" || return 1
    serves alice wonderland || return 1
    admin -a -N "$REDIS_OF_COTURN" -u carol -p singing-now -r "$REALM" || return 1
    refuses carol singing-now || { say "read before its time"; return 1; }
    ctl reload || return 1
    within 2000 "after a reload one is served" serves carol singing-now || return 1
    # By the socket of this machine.
    begin
    start_server "url = \"unix://$DIR/redis/socket\"" || return 1
    serves carol singing-now || return 1
    # TLS is checked: another authority is not believed.
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 60 -subj /CN=other \
        -keyout "$DIR/other.key" -out "$DIR/other.crt" 2>/dev/null
    begin
    start_server "$(over_redis | sed "s,redis://taciturn@$HOST,rediss://taciturn@$HOST:6380/0,")" \
        "ca_file = \"$DIR/other.crt\"" || return 1
    refuses carol singing-now && serves static "$PASSWORD" && logged 1 "certificate" && log_is_clean
}

redis-away-and-back() {
    begin
    fresh_redis || return 1
    admin -a -N "$REDIS_OF_COTURN" -u alice -p wonderland -r "$REALM" || return 1
    start_server "$(over_redis)" || return 1
    local figures status
    figures=$(latency 3) || { say "$figures"; return 1; }
    BASE=$(jq .p99_us <<<"$figures")
    say "without trouble: $figures"
    kill -STOP "$(process_pid "$DIR/redis-server")"
    undelayed "frozen" 8 && wait_for 10 has_metric taciturn_database_connected 0
    status=$?
    kill -CONT "$(process_pid "$DIR/redis-server")"
    [ $status = 0 ] && logged 1 "cannot read" && wait_for 14 has_metric taciturn_database_connected 1 || return 1
    logged 1 "can be read again" || return 1
    # With what turnadmin has had it save.
    kill_redis && undelayed "killed" || return 1
    has_metric taciturn_database_connected 0 && logged 2 "cannot read" || return 1
    start_redis && wait_for 14 has_metric taciturn_database_connected 1 && serves alice wonderland || return 1
    redis ACL SETUSER taciturn -getrange || return 1
    wait_for 5 has_metric taciturn_database_connected 0 && serves alice wonderland && logged 3 "cannot read" || return 1
    # A start without it goes on with what was read last.
    redis ACL SETUSER taciturn +getrange && wait_for 14 has_metric taciturn_database_connected 1 || return 1
    wait_for 5 test -s "$DIR/state/database.json" || return 1
    kill_redis && stop_server || return 1
    start_server "$(over_redis)" || return 1
    serves alice wonderland && serves static "$PASSWORD" && logged 1 "as they were before the restart" || return 1
    # One that is back empty says that there is nobody.
    rm -f "$DIR/redis/dump.rdb"
    start_redis && within 14000 "emptied, its users are refused" refuses alice wonderland || return 1
    logged 1 "there is no key turn/realm" && log_is_clean
}

hostile-keys() {
    local ours=turn/realm/$REALM huge
    begin
    fresh_redis || return 1
    admin -a -N "$REDIS_OF_COTURN" -u alice -p wonderland -r "$REALM" &&
        admin -s "$SHARED" -N "$REDIS_OF_COTURN" -r "$REALM" || return 1
    huge=$DIR/huge
    head -c 10000000 /dev/zero | tr '\0' f >"$huge"
    {
        redis SADD "$ours/user/set/key" a && redis RPUSH "$ours/user/list/key" a && redis HSET "$ours/user/hash/key" a b &&
            redis -x SET "$ours/user/huge/key" <"$huge" && redis SET "$ours/user/short/key" abc &&
            redis SET "$ours/user/weak/key" "$(key_of weak weak)" && redis SET "$ours/user//key" "$(key_of '' x)" &&
            redis SET "$ours/user/$(printf '\377\376')/key" "$(key_of x x)" &&
            redis SET "$ours/user/$(printf 'a\033[2Jb')/key" "$(key_of x x)" &&
            redis SET "$ours/user/bytes/key" "$(printf '\377\376')" &&
            redis SADD "$ours/secret" north "$(printf '\377\376\375\374')" && redis SET "$ours/user/eve/password" wonderland
    } >"$DIR/redis-cli.log" || return 1
    start_server "$(over_redis)" || return 1
    serves alice wonderland && serves_secret "$SHARED" && refuses weak weak && refuses_secret north || return 1
    refuses eve wonderland || return 1
    if ! has_metric 'taciturn_database_rows{kind="user"}' 1 || ! has_metric taciturn_database_left_out_rows 12; then
        on curl --silent http://127.0.0.1:9641/metrics | grep database
        return 1
    fi
    logged 1 "12 rows of the database are left out" || return 1
    # A set in place of a string, a string in place of the set: what is none is left out, and the rest is served.
    redis DEL "$ours/secret" && redis SET "$ours/secret" "$SHARED" || return 1
    within 3000 "a string is no set of secrets" refuses_secret "$SHARED" && serves alice wonderland || return 1
    # 300,000 keys of others, and then more than there may be of our own.
    redis EVAL 'for n = 1, 300000 do redis.call("SET", "other:" .. n, n) end' 0 >/dev/null || return 1
    admin -a -N "$REDIS_OF_COTURN" -u bob -p the-builder -r "$REALM" || return 1
    within 15000 "served among many keys of others" serves bob the-builder || return 1
    redis EVAL "for n = 1, 100001 do redis.call('SET', '$ours/user/' .. n .. '/key', 'x') end" 0 >/dev/null || return 1
    wait_for 20 has_metric taciturn_database_connected 0 && logged 1 "more than 100000 users" || return 1
    serves alice wonderland && serves bob the-builder && log_is_clean || return 1
    ! grep -E "fffff|north|$(printf '\033')" "$DIR/server/output.log"
}

# The users of a tenant with a realm of its own, at a listener of its own.
tenant_beta() {
    printf '[[tenant]]\nname = "beta"\nrealm = "beta.test"\n%s\n' "$1"
    printf '[[listen]]\ntransport = "udp"\naddress = "%s:3480"\nrealm = "beta.test"\n' "$HOST"
}

serves_beta() { on "$here/clients.py" latency "$HOST:3480" 0.001 "$1" "$2" >/dev/null; }
refuses_beta() { ! serves_beta "$@"; }

# rows_of_tenants OPTION VALUE LINES: turnadmin's option for the database, and the lines of [auth.database]
rows_of_tenants() {
    local held status
    begin
    admin -a "$1" "$2" -u alice -p wonderland -r "$REALM" && admin -a "$1" "$2" -u alice -p of-beta -r beta.test &&
        admin -a "$1" "$2" -u dora -p exploring -r beta.test && admin -a "$1" "$2" -u eve -p elsewhere -r other.test || return 1
    start_server "$3" "$(tenant_beta 'users = ["dora:configured-word"]')" || return 1
    serves alice wonderland && refuses alice of-beta && refuses dora exploring || return 1
    serves_beta alice of-beta && refuses_beta alice wonderland && refuses_beta eve elsewhere || return 1
    # The configuration of the tenant comes first.
    serves_beta dora configured-word && refuses_beta dora exploring || return 1
    # She has the limits of her tenant: what is hers counts there.
    on turnutils_uclient -s -y -m 1 -n 1000 -z 50 -p 3480 -u alice -w of-beta "$HOST" >"$DIR/uclient.log" 2>&1 &
    held=$!
    wait_for 10 beta_has_allocations
    status=$?
    kill $held && wait $held
    [ $status = 0 ] || { cat "$DIR/uclient.log"; return 1; }
    has_metric 'taciturn_database_rows{kind="user"}' 2 && has_metric taciturn_database_left_out_rows 1 || return 1
    # A user that the configuration has not any more is the database's.
    configuration "$3" "$(tenant_beta 'limits.allocations = 50')" >"$DIR/taciturn.toml"
    ctl reload && within 3000 "without her in the configuration" serves_beta dora exploring || return 1
    # A tenant that is removed takes its users along.
    configuration "$3" >"$DIR/taciturn.toml"
    ctl reload || return 1
    refuses_beta alice of-beta && serves alice wonderland && log_is_clean
}

beta_has_allocations() { [ "$(metric 'taciturn_tenant_allocations{tenant="beta"}')" -gt 0 ]; }

tenants-in-sqlite() {
    local file=$DIR/turn/tenants.db
    mkdir -p "$DIR/turn" && rm -f "$file" && sqlite3 "$file" <"$SCHEMA" || return 1
    rows_of_tenants -b "$file" "url = \"sqlite:$file\""
}

tenants-in-postgres() {
    fresh_database tenants "$SCHEMA" || return 1
    rows_of_tenants -e "host=$HOST dbname=tenants user=postgres" "$(over_tls tenants)"
}

tenants-in-redis() {
    fresh_redis || return 1
    rows_of_tenants -N "$REDIS_OF_COTURN" "$(over_redis)"
}
