# shellcheck shell=bash
# Cases: turnctl users, and the import of what is in a database. Read by run.

# users ARGUMENT...: of the server in the namespace
users() { on env -u TACITURN_BIN "${TURNCTL_BIN:-$TARGET_DIR/release/turnctl}" users "$@" --config "$DIR/taciturn.toml"; }

users-command() {
    local told
    begin
    # shellcheck disable=SC2034  # run reads it
    local SERVER_USER=daemon
    # Without a line for it in the configuration.
    start_server || return 1
    [ "$(users list)" = "no users; add one: turnctl users add NAME" ] || return 1
    told=$(echo wonderland | users add alice) || return 1
    say "$told"
    grep -q "within a second" <<<"$told" || return 1
    within 2000 "a first user is served without a restart" serves alice wonderland || return 1
    [ "$(stat -c '%U %a' "$DIR/state/users.db")" = "daemon 600" ] || return 1
    ! grep -q wonderland "$DIR/state/users.db" || return 1
    echo the-builder | users add bob || return 1
    within 3000 "and a second one" serves bob the-builder || return 1
    echo another-word | users add alice | grep "another password" || return 1
    within 3000 "another password takes the place of the first" serves alice another-word || return 1
    refuses alice wonderland || return 1
    [ "$(users list)" = $'alice\nbob' ] || return 1
    users remove bob || return 1
    within 3000 "a user that is removed is refused" refuses bob the-builder || return 1
    ! users remove bob || return 1
    # What everybody can guess, names that are none, and what stands in the configuration.
    ! echo changeme | users add carol || return 1
    ! echo good-enough | users add $'a\nb' || return 1
    echo good-enough | users add static | grep "in the configuration" || return 1
    serves static "$PASSWORD" || return 1
    # It is read again after a restart, and a mode that lets others read is put right.
    chmod 644 "$DIR/state/users.db" && users list && [ "$(stat -c %a "$DIR/state/users.db")" = 600 ] || return 1
    stop_server
    start_server && serves alice another-word && ! grep another-word "$DIR/log-of-all" "$DIR/server/output.log"
}

imported() { on "${TURNCTL_BIN:-$TARGET_DIR/release/turnctl}" import-coturn "$@"; }

import-of-a-database() {
    local file=$DIR/turn/import.db out=$DIR/imported.toml connection="host=$HOST dbname=import user=postgres"
    mkdir -p "$DIR/turn"
    printf 'lt-cred-mech\nrealm=%s\n' "$REALM" >"$DIR/turnserver.conf"
    rm -f "$file" && sqlite3 "$file" <"$SCHEMA" && fresh_database import "$SCHEMA" || return 1
    sql import "GRANT SELECT ON ALL TABLES IN SCHEMA public TO taciturn"
    local option value
    for option in "-b $file" "-e $connection"; do
        value=${option#* } option=${option%% *}
        admin -a "$option" "$value" -u alice -p wonderland -r "$REALM" &&
            admin -a "$option" "$value" -u mallory -p elsewhere -r another.realm &&
            admin -s "$SHARED" "$option" "$value" -r "$REALM" || return 1
    done
    sqlite3 "$file" "INSERT INTO denied_peer_ip VALUES ('', '8.8.4.0-8.8.4.255')"
    sql import "INSERT INTO denied_peer_ip VALUES ('', '8.8.4.0-8.8.4.255')"
    local from
    for from in "$file" "postgres://taciturn:$ROLE_PASSWORD@/import?host=$SOCKETS"; do
        rm -f "$out"
        # A password is no argument.
        imported "$DIR/turnserver.conf" --db - -o "$out" <<<"$from" || return 1
        # It has users in use, and no secrets.
        grep "\"alice:0x$(key_of alice wonderland)\"" "$out" && ! grep "$SHARED" "$out" || return 1
        # Those of the other realm are not its own.
        sed '/^\[\[tenant/,$d' "$out" | grep mallory && return 1
        printf 'use-auth-secret\nrealm=%s\n' "$REALM" | imported /dev/stdin --db "$file" -o "$out" --force || return 1
        grep "\"$SHARED\"" "$out" && ! grep -E "mallory|alice" "$out" || return 1
    done
    # Of a database alone, a realm has to be named, and all of it is taken: the server serves what coturn did.
    ! imported --db "$file" >/dev/null || return 1
    imported --db "$file" --realm another.realm >"$out.other" && sed '/^\[\[tenant/,$d' "$out.other" | grep '"mallory:0x' || return 1
    imported --db "$file" --realm "$REALM" -o "$out" --force || return 1
    grep '8.8.4.0/24' "$out" || return 1
    begin
    sed "s/^#external_ip.*/external_ip = \"$HOST\"/; 1i state_dir = \"$DIR/state\"" "$out" >"$DIR/taciturn.toml"
    NETNS=$PREFIX start_process "$DIR/server" env -u TACITURN_BIN \
        "${TACITURN_BIN:-$TARGET_DIR/release/taciturn}" --config "$DIR/taciturn.toml"
    NETNS=$PREFIX wait_for 10 listening udp 0.0.0.0 3478 || NETNS=$PREFIX wait_for 1 listening udp '::' 3478 || return 1
    serves alice wonderland && serves_secret "$SHARED" && refuses mallory elsewhere
}

# client SECONDS PORT PASSWORD: coturn's, as alice, on both sides of a call
client() {
    on timeout "$1" turnutils_uclient -y -c -n 5 -u alice -w "$3" -p "$2" "$HOST" >"$DIR/client.log" 2>&1
}

is_served() {
    if ! client 60 "$@" || ! grep -q 'Total lost packets 0 (0.000000%)' "$DIR/client.log"; then
        tail -n 8 "$DIR/client.log"
        return 1
    fi
}

# After some failures the server is silent, which the client waits out for longer.
is_refused() {
    local before
    before=$(grep -c 'authentication failed' "$DIR/server/output.log")
    ! client 5 "$@" && [ "$(grep -c 'authentication failed' "$DIR/server/output.log")" -gt "$before" ]
}

# The realms of a database that turnadmin has made, and each of its users by coturn's own client.
import-of-several-realms() {
    local file=$DIR/turn/realms.db out=$DIR/realms.toml
    begin
    mkdir -p "$DIR/turn" && rm -f "$file" "$out" && sqlite3 "$file" <"$SCHEMA" || return 1
    admin -a -b "$file" -u alice -p wonderland -r "$REALM" &&
        admin -a -b "$file" -u alice -p looking-glass -r second.test && admin -s "$SHARED" -b "$file" -r third || return 1
    sqlite3 "$file" "INSERT INTO turn_realm_option VALUES ('second.test', 'user-quota', '150');
        INSERT INTO denied_peer_ip VALUES ('second.test', '8.8.4.0-8.8.4.255');
        INSERT INTO turn_origin_to_realm VALUES ('https://second.test', 'second.test')" || return 1
    # Nothing says which is the server's own.
    ! imported --db "$file" 2>"$DIR/realms.txt" >/dev/null || return 1
    grep "realms: \"$REALM\", \"second.test\", \"third\"" "$DIR/realms.txt" && grep -- "--realm $REALM" "$DIR/realms.txt" || return 1
    printf '%s\n' lt-cred-mech "realm=$REALM" "external-ip=$HOST" rfc5766-channel-numbers "userdb=$file" >"$DIR/turnserver.conf"
    ! imported "$DIR/turnserver.conf" 2>"$DIR/realms.txt" >/dev/null || return 1
    grep -- "--db $file" "$DIR/realms.txt" || return 1
    imported "$DIR/turnserver.conf" --db "$file" -o "$out" 2>"$DIR/realms.txt" || { cat "$DIR/realms.txt"; return 1; }
    cat "$DIR/realms.txt"
    grep 'realm "second.test" is the tenant second.test: 1 users, 0 secrets' "$DIR/realms.txt" &&
        grep '1 rows of turn_origin_to_realm are left out' "$DIR/realms.txt" &&
        grep '1 secrets are left out' "$DIR/realms.txt" && ! grep -E "$SHARED|$(key_of alice wonderland)" "$DIR/realms.txt" &&
        [ "$(stat -c %a "$out")" = 600 ] || return 1
    grep 'limits.allocations_per_user = 150' "$out" && grep 'peers.deny = \["8.8.4.0/24"\]' "$out" && ! grep third "$out" || return 1
    # The listener of the tenant is the operator's decision.
    sed -E "s/^#(\\[\\[listen|transport|address|realm)/\\1/; 1i state_dir = \"$DIR/state\"" "$out" >"$DIR/taciturn.toml"
    NETNS=$PREFIX start_process "$DIR/server" env -u TACITURN_BIN \
        "${TACITURN_BIN:-$TARGET_DIR/release/taciturn}" --config "$DIR/taciturn.toml"
    NETNS=$PREFIX wait_for 10 listening udp '::' 3480 || { cat "$DIR/server/output.log"; return 1; }
    is_served 3478 wonderland && is_served 3480 looking-glass && is_refused 3480 wonderland && is_refused 3478 looking-glass
}
