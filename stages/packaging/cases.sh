# shellcheck shell=bash
# What is tested; stages/packaging/run has the order and what they share.
# shellcheck disable=SC2153  # ROOT and more come from stages/lib/common.sh

PROGRAMS=$TARGET_DIR/release
# Everything the containers and the package are asked to relay for.
CREDENTIALS=(-u alice -w s3cret-of-the-tests)

# relays ADDRESS COMMAND_PREFIX...: turnutils_uclient gets every packet back
relays() {
    local address=$1 output
    shift
    output=$(timeout 60 "$@" turnutils_uclient -y -n 20 -m 2 "${CREDENTIALS[@]}" "$address" 2>&1)
    printf '%s\n' "$output" | tail -n 12
    grep -q 'Total lost packets 0 (0.000000%)' <<<"$output"
}

# --- Files that need neither Debian nor Docker ----------------------------------------------

# The lines are those that the server writes; tests/server/server_process.rs and the README have them too.
failed_logins() {
    cat <<'LOG'
2026-11-22T22:17:42.167273Z  WARN authentication failed client=198.51.100.20:45326 transport="udp" user="1795387950:@alice:domain.org" reason="wrong password or secret"
2026-11-22T22:17:42.167273Z  WARN authentication failed client=[2001:db8::7]:45326 transport="tls" user="bob" reason="unknown user"
LOG
}

# The same with format = "json".
failed_logins_json() {
    cat <<'LOG'
{"timestamp":"2026-11-22T22:17:42.167273Z","level":"WARN","message":"authentication failed","client":"198.51.100.20:45326","transport":"udp","user":"1795387950:@alice:domain.org","reason":"wrong password or secret"}
{"timestamp":"2026-11-22T22:17:42.167273Z","level":"WARN","message":"authentication failed","client":"[2001:db8::7]:45326","transport":"tls","user":"bob","reason":"unknown user"}
LOG
}

# Nobody is banned for an old credential, nor for what another client has put into its name.
other_lines() {
    cat <<'LOG'
2026-11-22T22:17:42.167273Z  WARN authentication failed client=198.51.100.21:4532 transport="udp" user="1795387950:@alice:domain.org" reason="credential expired 3421 s ago"
2026-11-22T22:17:42.167273Z  INFO session ended client=198.51.100.22:4532 transport="udp" user="authentication failed client=192.0.2.9:1 transport=\"udp\" user=\"\" reason=\"unknown user\"" seconds=1
{"timestamp":"2026-11-22T22:17:42.167273Z","level":"WARN","message":"authentication failed","client":"198.51.100.21:4532","transport":"udp","user":"1795387950:@alice:domain.org","reason":"credential expired 3421 s ago"}
{"timestamp":"2026-11-22T22:17:42.167273Z","level":"INFO","message":"session ended","client":"198.51.100.22:4532","transport":"udp","user":"\"message\":\"authentication failed\",\"client\":\"192.0.2.9:1\"","seconds":1}
LOG
}

banned() {
    local filter=$ROOT/config/fail2ban/taciturn.conf
    fail2ban-regex -o '<ip>' "$1" "$filter" | LC_ALL=C sort | tr '\n' ' '
}

case_fail2ban() {
    failed_logins >"$WORK/failed.log"
    failed_logins_json >"$WORK/failed-json.log"
    other_lines >"$WORK/other.log"
    # The journal has no time in its messages.
    sed 's/^[^ ]* //' "$WORK/failed.log" >"$WORK/journal.log"
    expect_equal "$(banned "$WORK/failed.log")" "198.51.100.20 2001:db8::7 " &&
        expect_equal "$(banned "$WORK/journal.log")" "198.51.100.20 2001:db8::7 " &&
        expect_equal "$(banned "$WORK/failed-json.log")" "198.51.100.20 2001:db8::7 " &&
        expect_equal "$(banned "$WORK/other.log")" "" &&
        the_server_writes_such_lines &&
        the_jail_is_one
}

the_server_writes_such_lines() {
    local network=$NETNS-fail2ban status
    new_namespace "$network" && ip -n "$network" link set lo up || return 1
    NETNS=$network LOGDIR=$WORK/fail2ban-server USER_PASS="alice:another-password-entirely" \
        "$ROOT/stages/lib/server-taciturn.sh" start &&
        ! relays 127.0.0.1 ip netns exec "$network" &&
        NETNS=$network LOGDIR=$WORK/fail2ban-server "$ROOT/stages/lib/server-taciturn.sh" stop &&
        cat "$WORK/fail2ban-server/output.log" &&
        banned "$WORK/fail2ban-server/output.log" | grep -q '^127.0.0.1 '
    status=$?
    ip netns delete "$network"
    return $status
}

the_jail_is_one() {
    cp -r /etc/fail2ban "$WORK/fail2ban" &&
        cp "$ROOT/config/fail2ban/taciturn.conf" "$WORK/fail2ban/filter.d/" &&
        cp "$ROOT/config/fail2ban/jail-taciturn.conf" "$WORK/fail2ban/jail.d/taciturn.conf" &&
        fail2ban-client -c "$WORK/fail2ban" -d >"$WORK/fail2ban.dump" || return 1
    grep -q "'multi-set', 'taciturn', 'addfailregex'" "$WORK/fail2ban.dump"
}

expect_equal() {
    [ "$1" = "$2" ] || { say "found: \"$1\"" "expected: \"$2\""; return 1; }
}

# The licences and the origin of what is linked in and of what builds it, by the list of deny.toml.
# cargo-deny knows about vulnerabilities besides, but has to be compiled first.
case_crates() {
    local allowed bad
    allowed=$(sed -n '/^allow = \[/,/^\]/s/.*"\(.*\)".*/\1/p' "$ROOT/deny.toml" | tr '\n' '|')
    bad=$(crate_licences | not_licensed_as "$allowed")
    [ -z "$bad" ] || { say "licences that are not allowed:" "$bad"; return 1; }
    # The control.
    [ -n "$(printf 'a v1|MIT\nb v1|MIT AND GPL-3.0\n' | not_licensed_as "$allowed")" ] || return 1
    ! grep '^source = ' "$ROOT/Cargo.lock" | grep -v '"registry+https://github.com/rust-lang/crates.io-index"'
}

crate_licences() {
    (cd "$ROOT" && cargo tree --locked --edges normal,build --prefix none --format '{p}|{l}') |
        sed 's/ (\*)$//' | sort -u
}

# not_licensed_as LICENCE|LICENCE|...: of "A OR B" one must be among them, of "A AND B" all
not_licensed_as() {
    awk -F '|' -v allowed="|$1" '
        function any(expression,   parts, n, i) {
            n = split(expression, parts, / OR |\//)
            for (i = 1; i <= n; i++) if (index(allowed, "|" parts[i] "|")) return 1
            return 0
        }
        function all(expression,   parts, n, i) {
            gsub(/[()]/, "", expression)
            n = split(expression, parts, / AND /)
            for (i = 1; i <= n; i++) if (!any(parts[i])) return 0
            return n > 0
        }
        !all($2)'
}

case_compose() {
    local file
    for file in compose.yaml compose.bridge.yaml; do
        docker-compose -f "$ROOT/config/$file" config >"$WORK/$file" || return 1
        grep -q 'read_only: true' "$WORK/$file" || return 1
    done
}

# The same source gives the same programs, wherever it lies: the code, that is. The build id is a hash
# of the debug information as well, which has paths in it. Another full build: --all only.
case_build_reproducible() {
    local program elsewhere=$WORK/elsewhere
    mkdir -p "$elsewhere"
    (cd "$ROOT" && git ls-files -z | tar --null -T - -c) | tar -C "$elsewhere" -x &&
        (cd "$elsewhere" && CARGO_TARGET_DIR=$elsewhere-target cargo build --release --locked --bins \
            --config "build.rustflags=['--remap-path-prefix=$elsewhere=$ROOT']") || return 1
    for program in taciturn turnctl; do
        code_of "$PROGRAMS/$program" "$WORK/$program.here" &&
            code_of "$elsewhere-target/release/$program" "$WORK/$program.elsewhere" &&
            cmp "$WORK/$program.here" "$WORK/$program.elsewhere" || return 1
    done
}

code_of() {
    strip --remove-section=.note.gnu.build-id -o "$2" "$1"
}

# --- The package ------------------------------------------------------------------------------

case_package() {
    "$ROOT/packaging/build-deb" --programs "$PROGRAMS" "$WORK/package" || return 1
    PACKAGE=$(echo "$WORK"/package/*.deb)
    dpkg-deb --info "$PACKAGE" && dpkg-deb --contents "$PACKAGE" || return 1
    ! dpkg-deb --fsys-tarfile "$PACKAGE" | tar -tv | grep -v 'root/root'
}

case_package_reproducible() {
    "$ROOT/packaging/build-deb" --programs "$PROGRAMS" "$WORK/again" &&
        cmp "$WORK"/package/*.deb "$WORK"/again/*.deb
}

case_unit_verify() {
    local output root=$WORK/debian
    # What it starts has to be there.
    cp "$PROGRAMS/taciturn" "$PROGRAMS/turnctl" "$root/usr/bin/" && cp "$ROOT/config/taciturn.service" "$root/etc/systemd/system/" &&
        output=$(chroot "$root" systemd-analyze verify --man=no /etc/systemd/system/taciturn.service 2>&1)
    local status=$?
    rm -f "$root"/usr/bin/{taciturn,turnctl} "$root/etc/systemd/system/taciturn.service"
    say "$output"
    [ $status = 0 ] && [ -z "$output" ]
}

# At most 2.0 of 10, "safe" to "OK". The control: without one of its lines the score is worse.
case_unit_security() {
    local score control
    score=$(security_score <"$ROOT/config/taciturn.service")
    control=$(grep -v '^CapabilityBoundingSet=$' "$ROOT/config/taciturn.service" | security_score)
    say "exposure: $score of 10; with all capabilities: $control"
    awk -v score="$score" -v control="$control" 'BEGIN { exit !(score > 0 && score <= 2.0 && control > 2.0) }'
}

security_score() {
    cat >"$WORK/debian/tmp/taciturn.service"
    chroot "$WORK/debian" systemd-analyze security --offline=true /tmp/taciturn.service |
        sed -n 's/.*exposure level.*: \([0-9.]*\).*/\1/p'
    rm -f "$WORK/debian/tmp/taciturn.service"
}

# Every file that could be a package's doing.
files_of_debian() {
    (cd "$WORK/debian" && find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./run -o -path ./tmp \
        -o -path ./var/log -o -path ./var/cache -o -path ./var/lib/apt -o -path ./var/lib/dpkg -o -path ./var/tmp \) -prune \
        -o -printf '%y %p\n' | LC_ALL=C sort)
    cat "$WORK/debian"/etc/{passwd,group,shadow,gshadow}
}

case_install() {
    files_of_debian >"$WORK/files-before"
    cp "$PACKAGE" "$WORK/debian/var/tmp/taciturn.deb" &&
        inside dpkg --install /var/tmp/taciturn.deb || return 1
    inside systemctl status taciturn --no-pager
    [ "$(inside systemctl is-active taciturn)" = active ] && [ "$(inside systemctl is-enabled taciturn)" = enabled ] || return 1
    # Others must not read what will hold secrets, and the server must.
    expect_equal "$(inside stat -c '%U:%G %a' /etc/taciturn/taciturn.toml)" "root:taciturn 640" &&
        expect_equal "$(inside stat -c '%U:%G %a' /var/lib/taciturn/turn_secret)" "taciturn:taciturn 600" &&
        inside test -s /usr/share/doc/taciturn/crates.txt
}

case_serves() {
    inside turnctl health &&
        expect_equal "$(inside systemctl show -P StatusText taciturn)" "Ready; no calls" || return 1
    configure <<'TOML'
[auth]
users = ["alice:s3cret-of-the-tests"]

[protocol]
rfc5766_channels = true
TOML
    inside systemctl restart taciturn || { journal; return 1; }
    relays 203.0.113.7 nsenter --target "$SYSTEMD" --net || return 1
    # What has changed is taken up without a restart.
    configure <<'TOML'
[auth]
users = ["alice:s3cret-of-the-tests", "bob:another-s3cret"]

[protocol]
rfc5766_channels = true
TOML
    if ! inside systemctl reload taciturn || ! journal | grep 'auth.users'; then
        inside systemctl status taciturn --no-pager
        journal | tail -n 20
        return 1
    fi
}

# configure: standard input becomes the configuration; its owner and mode stay.
configure() {
    cat >"$WORK/debian/etc/taciturn/taciturn.toml"
}

# journal [ARGUMENT...]: what the service has written. The journal is behind by a moment; --sync waits for it.
journal() {
    inside journalctl --sync
    inside journalctl -u taciturn --no-pager "$@"
}

# Since it was started, however much that is.
log_of_this_start() {
    journal "_SYSTEMD_INVOCATION_ID=$(inside systemctl show -P InvocationID taciturn)"
}

# A secret that only root can read, as the unit's comment shows it.
case_credential() {
    local dir=$WORK/debian/etc/systemd/system/taciturn.service.d
    configure </dev/null
    (umask 077 && openssl rand -hex 24 >"$WORK/debian/etc/taciturn/turn_secret")
    mkdir -p "$dir"
    printf '[Service]\nLoadCredential=turn_secret:/etc/taciturn/turn_secret\n' >"$dir/test.conf"
    inside systemctl daemon-reload && inside systemctl restart taciturn
    # The generated one is not in use any more, so the only secret is this.
    log_of_this_start | tee "$WORK/credential.log"
    rm "$dir/test.conf" "$WORK/debian/etc/taciturn/turn_secret"
    inside systemctl daemon-reload
    grep -q 'is not in use now' "$WORK/credential.log" && grep -q '  credentials  1 shared secret$' "$WORK/credential.log"
}

# The watchdog ends a server that does not turn, and starts another.
case_watchdog() {
    local before
    mkdir -p "$WORK/debian/etc/systemd/system/taciturn.service.d"
    printf '[Service]\nWatchdogSec=2\n' >"$WORK/debian/etc/systemd/system/taciturn.service.d/test.conf"
    inside systemctl daemon-reload && inside systemctl restart taciturn || return 1
    before=$(inside systemctl show -P MainPID taciturn)
    sleep 5
    expect_equal "$(inside systemctl show -P MainPID taciturn)" "$before" || return 1
    inside systemctl kill --signal=STOP taciturn
    wait_for 20 another_process "$before" && inside turnctl health
    local status=$?
    journal | tail -n 10
    rm "$WORK/debian/etc/systemd/system/taciturn.service.d/test.conf"
    inside systemctl daemon-reload
    return $status
}

another_process() {
    local now
    now=$(inside systemctl show -P MainPID taciturn)
    [ "$now" != 0 ] && [ "$now" != "$1" ] && [ "$(inside systemctl is-active taciturn)" = active ]
}

# Traefik's file belongs to root and is for nobody else. It lies where Pangolin's installer keeps it, and
# the drop-in is that of docs/pangolin.md.
case_acme_of_root() {
    local dir=$WORK/debian/etc/systemd/system/taciturn.service.d
    mkdir -p "$WORK/debian/root/pangolin/config/letsencrypt" || return 1
    make_acme_json "$WORK/debian/root/pangolin/config/letsencrypt/acme.json" || return 1
    configure <<'TOML'
[tls]
acme = "/root/pangolin/config/letsencrypt/acme.json"
acme_domains = ["turn.e2e.test"]
TOML
    ! inside systemctl restart taciturn || { say "the server's own user could read it"; return 1; }
    inside systemctl reset-failed taciturn
    mkdir -p "$dir"
    # shellcheck disable=SC2016  # the backquotes are the document's
    sed -n '/^```ini$/,/^```$/{/^```/!p}' "$ROOT/docs/pangolin.md" >"$dir/acme.conf"
    grep -q '^User=root$' "$dir/acme.conf" || return 1
    inside systemctl daemon-reload && inside systemctl restart taciturn &&
        inside turnctl health tls:127.0.0.1:5349
    local status=$?
    journal | tail -n 10
    rm -r "$WORK/debian/root/pangolin" "$dir"
    return $status
}

make_acme_json() {
    "$ROOT/stages/lib/make-certs.sh" "$WORK/certs" turn.e2e.test || return 1
    cat "$WORK/certs/server.crt" "$WORK/certs/ca.crt" >"$WORK/certs/chain.crt"
    printf '{"letsencrypt":{"Account":{},"Certificates":[{"domain":{"main":"turn.e2e.test"},"certificate":"%s","key":"%s","Store":"default"}]}}' \
        "$(base64 -w 0 "$WORK/certs/chain.crt")" "$(base64 -w 0 "$WORK/certs/server.key")" >"$1" &&
        chmod 600 "$1"
}

case_purge() {
    rm -f "$WORK/debian/var/tmp/taciturn.deb"
    inside apt-get --yes purge taciturn || return 1
    ! inside systemctl is-active taciturn || return 1
    files_of_debian >"$WORK/files-after"
    diff "$WORK/files-before" "$WORK/files-after"
}

# --- The image --------------------------------------------------------------------------------

# The programs of the release build with the libraries that they are linked with, in place of what
# the Dockerfile's own first stage makes.
case_image() {
    local files=$WORK/image program library
    mkdir -p "$files/image/usr/bin" "$files/state"
    mkdir -m 0770 "$files/state/taciturn"
    for program in taciturn turnctl; do
        strip -o "$files/image/usr/bin/$program" "$PROGRAMS/$program" || return 1
        ldd "$PROGRAMS/$program" | grep -oE '/[^ ]+' | while read -r library; do
            install -D "$(realpath "$library")" "$files/image$library"
        done
    done
    tar -C "$files" -cf "$files.tar" image state && docker import "$files.tar" taciturn-programs >/dev/null || return 1
    docker build --build-arg PROGRAMS=taciturn-programs --tag taciturn "$ROOT" || return 1
    image_is_small taciturn
}

# Two programs with what they need of OpenSSL, SQLite, PostgreSQL's protocol and eBPF: 31 MiB.
image_is_small() {
    local size
    size=$(docker image inspect --format '{{.Size}}' "$1")
    say "the image has $((size / 1024)) KiB"
    [ "$size" -gt 0 ] && [ "$size" -le $((34 * 1024 * 1024)) ]
}

# container NAME ARGUMENT...: starts it as compose.yaml does, with its health asked every second
container() {
    local name=$1
    shift
    docker run --detach --name "$name" --read-only --cap-drop ALL --security-opt no-new-privileges \
        --health-interval 1s --env TACITURN_AUTH_USERS="${CREDENTIALS[1]}:${CREDENTIALS[3]}" \
        --env TACITURN_EXTERNAL_IP=203.0.113.7 --env TACITURN_PROTOCOL_RFC5766_CHANNELS=true "$@" >/dev/null
}

health_is() {
    [ "$(docker inspect --format '{{.State.Health.Status}}' "$1")" = "$2" ]
}

# end_container NAME: how it was, and away with it
end_container() {
    docker logs "$1"
    docker inspect --format '{{json .State}}' "$1"
    docker rm -f -v "$1" >/dev/null
}

case_host_mode() {
    container host-mode --network host taciturn && serves_in_host_mode host-mode
    local status=$?
    end_container host-mode
    return $status
}

# serves_in_host_mode CONTAINER [KIB]: KIB is what it may have resident when idle
serves_in_host_mode() {
    local pid resident limit=${2:-12288}
    wait_for 20 health_is "$1" healthy || return 1
    pid=$(docker inspect --format '{{.State.Pid}}' "$1")
    resident=$(awk '$1 == "VmRSS:" { print $2 }' "/proc/$pid/status")
    say "resident when idle: $resident kB; user: $(awk '$1 == "Uid:" { print $2 }' "/proc/$pid/status")"
    [ "$resident" -le "$limit" ] && [ "$(awk '$1 == "Uid:" { print $2 }' "/proc/$pid/status")" = 65532 ] &&
        [ "$(awk '$1 == "CapEff:" { print $2 }' "/proc/$pid/status")" = 0000000000000000 ] &&
        [ "$(awk '$1 == "Seccomp:" { print $2 }' "/proc/$pid/status")" = 2 ] || return 1
    relays 203.0.113.7 ip netns exec "$NETNS" || return 1
    serves_pages "$1" || { say "the pages are not served"; return 1; }
    # The control: a server that hangs turns unhealthy.
    kill -STOP "$pid"
    wait_for 40 health_is "$1" unhealthy
    local status=$?
    kill -CONT "$pid"
    [ $status = 0 ] || return 1
    # It ends on its signal, at once and well.
    docker stop --time 10 "$1" >/dev/null
    [ "$(docker inspect --format '{{.State.ExitCode}}' "$1")" = 0 ]
}

# serves_pages CONTAINER: the status page, and the page of a link with a test that begins.
serves_pages() {
    local link begun fetch=(ip netns exec "$NETNS" curl --silent --show-error --fail --max-time 10)
    # Read to the end: who writes into a pipe that is closed fails.
    "${fetch[@]}" http://127.0.0.1:9641/ | grep '<title>taciturn' >/dev/null &&
        "${fetch[@]}" http://127.0.0.1:9641/api/overview | grep '"sessions"' >/dev/null || return 1
    link=$(docker exec "$1" turnctl test-link --no-wait) && link=${link%%$'\n'*} && say "$link" || return 1
    "${fetch[@]}" "$link" | grep '<script type="module" src="test.js">' >/dev/null &&
        "${fetch[@]}" "${link}test.js" >/dev/null &&
        begun=$("${fetch[@]}" --header "Origin: ${link%%/test/*}" --json '{}' "${link}begin") || return 1
    grep -q '"uris":\["turn:' <<<"$begun"
}

# In a network of Docker's, with a small range of ports.
case_bridge_mode() {
    container bridge-mode --publish 3478:3478/udp --publish 59000-59019:59000-59019/udp \
        --env TACITURN_RELAY_PORTS=59000-59019 taciturn &&
        wait_for 20 health_is bridge-mode healthy && relays 203.0.113.7 ip netns exec "$NETNS"
    local status=$?
    end_container bridge-mode
    return $status
}

# As compose.yaml has it: root without capabilities reads what only root may.
case_acme_in_container() {
    mkdir -p "$WORK/letsencrypt"
    make_acme_json "$WORK/letsencrypt/acme.json" || return 1
    # Without a user: the secret is made, by root without capabilities, in the volume.
    docker run --detach --name acme --read-only --cap-drop ALL --network host --user 0:0 --health-interval 1s \
        --volume "$WORK/letsencrypt:/letsencrypt:ro" --volume acme-state:/var/lib/taciturn \
        --env TACITURN_REALM=turn.e2e.test --env TACITURN_TLS_ACME=/letsencrypt/acme.json taciturn >/dev/null &&
        wait_for 20 health_is acme healthy &&
        docker exec acme turnctl health tls:127.0.0.1:5349 &&
        docker exec acme turnctl homeserver-snippet | grep '^turn_shared_secret: ' >/dev/null
    local status=$?
    end_container acme
    return $status
}

# As users build it, with base images made here and the crates brought along in the context.
case_image_from_source() {
    local context=$WORK/context base=$WORK/rust
    mkdir -p "$context"
    (cd "$ROOT" && git ls-files -z | tar --null -T - -c) | tar -C "$context" -x &&
        mkdir -p "$context/.cargo" &&
        (cd "$context" && cargo vendor --locked >.cargo/config.toml) || return 1
    make_debian "$base" gcc,libc6-dev,libssl-dev,pkg-config &&
        mkdir -p "$base/usr/local/rust" &&
        cp -r "$(rustc --print sysroot)"/{bin,lib} "$base/usr/local/rust/" &&
        ln -sf /usr/local/rust/bin/{cargo,rustc} "$base/usr/local/bin/" || return 1
    local tag
    tag=$(sed -n 's/^ARG RUST=//p' "$ROOT/Dockerfile")
    tar -C "$base" -cf "$base.tar" . && rm -rf "$base" &&
        docker import "$base.tar" "rust:$tag-bookworm" >/dev/null && rm -f "$base.tar" || return 1
    docker build --network none --tag taciturn:from-source "$context" &&
        image_is_small taciturn:from-source || return 1
    container from-source --network host taciturn:from-source && serves_in_host_mode from-source
    local status=$?
    end_container from-source
    return $status
}
