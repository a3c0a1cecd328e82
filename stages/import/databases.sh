# shellcheck shell=bash
# Cases: coturn's databases, filled by coturn's own turnadmin, and what the commands print that turnctl
# import-coturn names for them. Read by run.

DATABASES=(sqlite redis postgresql mysql)
NAME=alice
REALM=example.org
SHARED=a-secret-of-the-database
DENIED=10.1.0.0-10.1.255.255

# user_line: as the server takes it.
user_line() {
    printf '%s:0x%s\n' "$NAME" "$(printf '%s' "$NAME:$REALM:wonder" | md5sum | cut -d ' ' -f 1)"
}

# fill OPTION VALUE: a user and a secret, by turnadmin.
fill() {
    turnadmin -a "$1" "$2" -u "$NAME" -p wonder -r "$REALM" && turnadmin -s "$SHARED" "$1" "$2" -r "$REALM"
}

# report KEY VALUE: what the import says of a configuration with that database.
report() {
    printf 'lt-cred-mech\nrealm=%s\n%s=%s\n' "$REALM" "$1" "$2" >"$DIR/turnserver.conf"
    "$TURNCTL" import-coturn "$DIR/turnserver.conf" -o "$DIR/taciturn.toml" 2>&1
}

# prints REPORT HEAD EXPECTED [SED]: the command below that head prints just that; SED fills in who one is.
prints() {
    local command
    command=$(grep -A 1 "for $2" <<<"$1" | tail -n 1 | sed "${4:-}")
    say "$command"
    [ "$(bash -c "$command")" = "$3" ]
}

# all_three REPORT [SED]
all_three() {
    prints "$1" 'users in' "$(user_line)" "${2:-}" && prints "$1" 'secrets in' "$SHARED" "${2:-}" &&
        prints "$1" 'deny in' "$DENIED" "${2:-}"
}

check_database-sqlite() {
    local file=$DIR/turndb
    sqlite3 "$file" <"$SCHEMA" && fill -b "$file" || return 1
    sqlite3 "$file" "INSERT INTO denied_peer_ip VALUES ('', '$DENIED')" || return 1
    all_three "$(report userdb "$file")"
}

check_database-redis() {
    local port=16379 pid status
    redis-server --port $port --bind 127.0.0.1 --save '' --dir "$DIR" >"$DIR/redis.log" 2>&1 &
    pid=$!
    wait_for redis-cli -p $port ping && fill -N "ip=127.0.0.1 port=$port dbname=0" &&
        redis-cli -p $port sadd "turn/realm/$REALM/denied-peer-ip" "$DENIED" &&
        all_three "$(report redis-userdb "\"ip=127.0.0.1 port=$port dbname=0\"")" "s/redis-cli/redis-cli -p $port/g"
    status=$?
    kill $pid && wait $pid
    return $status
}

# as_postgres COMMAND...: PostgreSQL does not run as root.
as_postgres() { setpriv --reuid postgres --regid postgres --clear-groups -- "$@"; }

check_database-postgresql() {
    local bin connection status
    bin=$(echo /usr/lib/postgresql/*/bin)
    connection="host=127.0.0.1 port=15432 dbname=postgres user=postgres password=none"
    install -d -o postgres "$DIR/data" && chmod a+rx "$WORK" "$DIR" || return 1
    as_postgres "$bin/initdb" -A trust "$DIR/data" >"$DIR/initdb.log" &&
        as_postgres "$bin/pg_ctl" -D "$DIR/data" -w -l "$DIR/data/log" \
            -o "-p 15432 -c listen_addresses=127.0.0.1 -c unix_socket_directories=" start || return 1
    psql -q "$connection" -f "$SCHEMA" && fill -e "$connection" &&
        psql -q "$connection" -c "INSERT INTO denied_peer_ip VALUES ('', '$DENIED')" &&
        CONNECTION=$connection all_three "$(report psql-userdb "\"$connection\"")"
    status=$?
    as_postgres "$bin/pg_ctl" -D "$DIR/data" -m fast -w stop
    return $status
}

check_database-mysql() {
    local pid status connection="host=127.0.0.1 port=13306 dbname=turn user=turn password=none"
    local client="mysql -h 127.0.0.1 -P 13306 -u turn -pnone"
    install -d -o mysql "$DIR/data" && chmod a+rx "$WORK" "$DIR" || return 1
    mariadb-install-db --user=mysql --datadir="$DIR/data" >"$DIR/install.log" 2>&1 || return 1
    # A statement a line.
    printf '%s;\n' 'CREATE DATABASE turn' "CREATE USER turn@'%' IDENTIFIED BY 'none'" "GRANT ALL ON turn.* TO turn@'%'" >"$DIR/init.sql"
    mariadbd --no-defaults --user=mysql --datadir="$DIR/data" --port=13306 --bind-address=127.0.0.1 \
        --socket="$DIR/data/socket" --skip-name-resolve --init-file="$DIR/init.sql" >"$DIR/mariadb.log" 2>&1 &
    pid=$!
    export CONNECTION=$connection
    wait_for bash -c "$client turn -e 'SELECT 1'" && bash -c "$client turn" <"$SCHEMA" && fill -M "$connection" &&
        bash -c "$client turn -e \"INSERT INTO denied_peer_ip VALUES ('', '$DENIED')\"" &&
        all_three "$(report mysql-userdb "\"$connection\"")" "s/mysql -h HOST -u USER -p/$client/; s/DATABASE/turn/"
    status=$?
    kill $pid && wait $pid
    return $status
}

# wait_for COMMAND...: until it succeeds, for 20 seconds at most.
wait_for() {
    local _
    for _ in $(seq 100); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.2
    done
    return 1
}

run_databases() {
    local name
    SCHEMA=/usr/share/coturn/schema.sql
    for name in "${DATABASES[@]}"; do
        DIR=$WORK/$name
        mkdir -p "$DIR"
        run_test "import/database-$name" "check_database-$name"
    done
}
