# shellcheck shell=bash
# The options of install.sh, and the systems beside Debian 12.
# shellcheck disable=SC2153  # WORK and more come from stages/packaging/run

# Both ways, with what is published where that has been built.
case_install_elsewhere() {
    if [ -d "$WORK/static-dist" ]; then rm -rf "$WORK/dist" && cp -r "$WORK/static-dist" "$WORK/dist" || return 1; fi
    inside cat /etc/os-release
    install_and_remove && install_and_remove --programs
}

# After each, nothing is left.
case_install_options() {
    local option
    lay_release "$WORK/dist"
    # The name of the web server below.
    echo '127.0.0.1 turn.e2e.test' >>"$WORK/debian/etc/hosts"
    files_of_debian >"$WORK/files-before"
    for option in does_not_start has_the_certificate_of_pangolin downloads manages_without_dpkg; do
        say "--- $option"
        "$option" && installs --uninstall --purge && files_of_debian | diff "$WORK/files-before" - || return 1
    done
}

does_not_start() {
    installs --no-start --domain turn.e2e.test --external-ip 203.0.113.7 >"$WORK/installed.log" || return 1
    cat "$WORK/installed.log"
    grep -q 'not started: systemctl enable --now taciturn' "$WORK/installed.log" || return 1
    ! inside systemctl is-active taciturn || return 1
    # What it says starts the server.
    inside systemctl enable --now taciturn && inside turnctl health --config /etc/taciturn/taciturn.toml
}

# Traefik's file is for root alone, and the server gets the right to read it.
has_the_certificate_of_pangolin() {
    local directory=$WORK/debian/root/pangolin status
    mkdir -p "$directory/config/letsencrypt" && make_acme_json "$directory/config/letsencrypt/acme.json" || return 1
    installs --domain turn.e2e.test --external-ip 203.0.113.7 --pangolin /root/pangolin >"$WORK/installed.log" &&
        inside turnctl health tls:127.0.0.1:5349 && grep -q 'turns:turn.e2e.test:5349' "$WORK/installed.log" &&
        expect_equal "$(inside systemctl show -P User taciturn)" root
    status=$?
    cat "$WORK/installed.log"
    rm -r "$directory"
    return $status
}

# From a web server, which has to show a certificate.
downloads() {
    local status
    "$ROOT/stages/lib/make-certs.sh" "$WORK/certs" turn.e2e.test && cp "$WORK/certs/ca.crt" "$WORK/debian/var/tmp/" &&
        "$ROOT/stages/lib/make-certs.sh" "$WORK/strangers" turn.e2e.test &&
        cp "$WORK/strangers/ca.crt" "$WORK/debian/var/tmp/stranger.crt" || return 1
    NETNS='' start_process "$WORK/web" nsenter --target "$SYSTEMD" --net /usr/bin/python3 -B "$ROOT/stages/packaging/web.py" \
        "$WORK/dist" "$WORK/certs/server.crt" "$WORK/certs/server.key" 8443
    wait_for 5 serves_files && downloads_what_is_right
    status=$?
    stop_process "$WORK/web"
    rm -f "$WORK/debian"/var/tmp/*.crt
    return $status
}

serves_files() { inside ss -Hltn 'sport = :8443' | grep -q .; }

# fetches AUTHORITY FROM: installs from there
fetches() {
    inside env CURL_CA_BUNDLE="/var/tmp/$1.crt" sh /var/tmp/dist/install.sh --from "$2" --domain turn.e2e.test --external-ip 203.0.113.7
}

# The controls: a stranger's certificate, a connection that anybody could change, a file that is not there.
downloads_what_is_right() {
    ! fetches stranger https://turn.e2e.test:8443 && ! fetches ca http://turn.e2e.test:8443 &&
        ! fetches ca https://turn.e2e.test:8443/nothing || return 1
    files_of_debian | diff "$WORK/files-before" - || return 1
    fetches ca https://turn.e2e.test:8443 && first_allocation
}

# A Linux that knows no packages of Debian's: every program is there but these.
manages_without_dpkg() {
    local status
    mkdir -p "$WORK/debian/var/tmp/programs"
    # shellcheck disable=SC2016  # that shell's
    inside sh -c 'for name in /usr/sbin/* /usr/bin/*; do
        case ${name##*/} in dpkg* | apt*) ;; *) ln -sf "$name" /var/tmp/programs/ ;; esac
    done'
    inside env PATH=/var/tmp/programs sh /var/tmp/dist/install.sh --domain turn.e2e.test --external-ip 203.0.113.7 &&
        first_allocation && inside test -x /usr/local/bin/taciturn && ! inside test -e /usr/bin/taciturn &&
        inside env PATH=/var/tmp/programs sh /var/tmp/dist/install.sh --uninstall --purge
    status=$?
    rm -r "$WORK/debian/var/tmp/programs"
    return $status
}
