# shellcheck shell=bash
# A PostgreSQL of our own, in the namespace, over TLS and a Unix socket. Read by run.

# PostgreSQL does not run as root.
as_postgres() { on setpriv --reuid postgres --regid postgres --clear-groups -- "$@"; }

make_postgres() {
    BIN=$(echo /usr/lib/postgresql/*/bin)
    DATA=$DIR/data SOCKETS=$DIR/sockets
    install -d -o postgres -m 0700 "$DATA" && install -d -o postgres -m 0755 "$SOCKETS" || return 1
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 60 -subj /CN=database \
        -addext "subjectAltName=IP:$HOST" -addext basicConstraints=critical,CA:FALSE \
        -keyout "$DIR/database.key" -out "$DIR/database.crt" 2>/dev/null || return 1
    as_postgres "$BIN/initdb" --no-sync -A trust "$DATA" >"$DIR/initdb.log" || return 1
    install -o postgres -m 0600 "$DIR/database.key" "$DATA/server.key"
    install -o postgres -m 0600 "$DIR/database.crt" "$DATA/server.crt"
    cat >"$DATA/pg_hba.conf" <<CONF
local   all postgres           trust
local   all all                scram-sha-256
hostssl all taciturn $HOST/32  scram-sha-256
hostnossl all taciturn $HOST/32 reject
host    all postgres $HOST/32  trust
CONF
    cat >>"$DATA/postgresql.conf" <<CONF
listen_addresses = '$HOST'
unix_socket_directories = '$SOCKETS'
ssl = on
fsync = off
max_connections = 30
shared_buffers = 16MB
CONF
    start_postgres || return 1
    sql postgres "CREATE ROLE taciturn LOGIN PASSWORD '$ROLE_PASSWORD'" &&
        printf '%s\n' "$ROLE_PASSWORD" >"$DIR/role-password" && chmod 600 "$DIR/role-password"
}

start_postgres() {
    as_postgres "$BIN/pg_ctl" -D "$DATA" -w -s -l "$DATA/log" start
}

# stop_postgres [MODE]
stop_postgres() {
    as_postgres "$BIN/pg_ctl" -D "$DATA" -m "${1:-fast}" -w -s stop
}

# sql DATABASE STATEMENT: as its owner
sql() {
    on psql -qAt -v ON_ERROR_STOP=1 -h "$SOCKETS" -U postgres "$1" -c "$2"
}

# fresh_database NAME [SQL FILE]: with coturn's tables if there is a file; this server's role may read them
fresh_database() {
    sql postgres "DROP DATABASE IF EXISTS $1 WITH (FORCE)" 2>/dev/null
    sql postgres "CREATE DATABASE $1" || return 1
    [ -z "${2:-}" ] || on psql -q -h "$SOCKETS" -U postgres "$1" -f "$2" >/dev/null || return 1
    sql "$1" "GRANT SELECT ON ALL TABLES IN SCHEMA public TO taciturn"
}

# postgres_freeze, postgres_thaw: all of its processes
# shellcheck disable=SC2046  # a word each
postgres_freeze() { kill -STOP $(postgres_processes); }
# shellcheck disable=SC2046  # a word each
postgres_thaw() { kill -CONT $(postgres_processes); }
postgres_processes() {
    local first
    first=$(head -n 1 "$DATA/postmaster.pid")
    echo "$first" $(pgrep -P "$first")
}

# The lines of [auth.database] for a database over TLS.
over_tls() {
    printf 'url = "postgres://taciturn@%s/%s"\npassword_file = "%s"\nca_file = "%s"\nevery = "1s"\n' \
        "$HOST" "$1" "$DIR/role-password" "$DIR/database.crt"
}
