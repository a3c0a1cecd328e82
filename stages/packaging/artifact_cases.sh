# shellcheck shell=bash
# The files of a release, and what installs them.
# shellcheck disable=SC2153  # ROOT and more come from stages/lib/common.sh

RELEASE_VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml" | head -n 1)

# The same programs are packed into the same bytes, and nothing is missing.
case_release_packing() {
    "$ROOT/packaging/release" --programs "$PROGRAMS" --out "$WORK/dist" &&
        "$ROOT/packaging/release" --programs "$PROGRAMS" --out "$WORK/dist-again" &&
        diff -r "$WORK/dist" "$WORK/dist-again" && rm -r "$WORK/dist-again" &&
        is_a_release "$WORK/dist" "$(uname -m)"
}

debian_name() { case $1 in x86_64) echo amd64 ;; aarch64) echo arm64 ;; esac; }

# is_a_release DIR ARCHITECTURE: the files, and what users look for in them
is_a_release() {
    local name machine=$2 version=$RELEASE_VERSION list
    (cd "$1" && sha256sum --check --quiet SHA256SUMS) || return 1
    for name in "taciturn-$version-$machine.tar.gz" "taciturn_${version}_$(debian_name "$machine").deb" \
        "taciturn-$version-image.tar" "taciturn-chart-$version.tgz" install.sh; do
        grep -qF "  $name" "$1/SHA256SUMS" || { say "$name is not in SHA256SUMS"; return 1; }
    done
    list=$(tar -tzf "$1/taciturn-$version-$machine.tar.gz")
    for name in bin/taciturn bin/turnctl share/man/man8/taciturn.8.gz share/man/man1/turnctl-check.1.gz \
        share/bash-completion/completions/turnctl systemd/taciturn.service config/taciturn.toml LICENSE-MIT \
        licences/crates.txt; do
        grep -qxF "taciturn-$version-$machine/$name" <<<"$list" || { say "no $name in the archive"; return 1; }
    done
    expect_equal "$(dpkg-deb -f "$1/taciturn_${version}_$(debian_name "$machine").deb" Architecture)" "$(debian_name "$machine")" &&
        skopeo inspect --raw "oci-archive:$1/taciturn-$version-image.tar" | grep -qF "\"architecture\": \"$(debian_name "$machine")\""
}

# The image in the archive is that of the Dockerfile: Docker knows both by the same settings.
case_release_image() {
    docker load --input "$WORK/dist/taciturn-$RELEASE_VERSION-image.tar" &&
        expect_equal "$(image_settings "taciturn:$RELEASE_VERSION-$(dpkg --print-architecture)")" "$(image_settings taciturn)"
}

# The version is a label of releases alone.
image_settings() {
    docker image inspect --format '{{json .Config}}' "$1" | /usr/bin/python3 -c '
import json, sys
settings = json.load(sys.stdin)
settings["Labels"].pop("org.opencontainers.image.version", None)
# What is empty, and what names the build and not what was built.
settings = {key: value for key, value in settings.items() if value and key != "Image"}
print(json.dumps(settings, sort_keys=True))'
}

# --- install.sh, on a Debian that was booted --------------------------------------------------------

# installs OPTION...: install.sh in the Debian, from the files that lie in it
installs() {
    inside sh /var/tmp/dist/install.sh "$@"
}

lay_release() {
    rm -rf "$WORK/debian/var/tmp/dist"
    cp -r "$1" "$WORK/debian/var/tmp/dist"
}

# The way by package and the way by programs are the same to whoever installs.
case_install_by_package() { install_and_remove; }
case_install_by_programs() { install_and_remove --programs; }

install_and_remove() {
    local started output
    lay_release "$WORK/dist"
    files_of_debian >"$WORK/files-before"
    started=$(milliseconds_now)
    installs --domain turn.e2e.test --external-ip 203.0.113.7 "$@" >"$WORK/installed.log" || return 1
    say "install.sh: $(seconds_since "$started") s"
    first_allocation || return 1
    say "from install.sh to a relayed packet of a client, which waits some seconds of its own: $(seconds_since "$started") s"
    has_the_unit_of_the_kernel_relay || return 1
    [ $(($(milliseconds_now) - started)) -lt 60000 ] || { say "that is more than a minute"; return 1; }
    cat "$WORK/installed.log"
    output=$(cat "$WORK/installed.log")
    grep -q '^turn_uris:' <<<"$output" && grep -q 'turn:turn.e2e.test:3478' <<<"$output" &&
        grep -q '59000[:-]60100' <<<"$output" || return 1
    # What is not a terminal gets no secret.
    ! grep -qF "$(inside cat /etc/taciturn/turn_secret)" <<<"$output" || return 1
    expect_equal "$(inside stat -c '%U:%G %a' /etc/taciturn/turn_secret)" "root:taciturn 640" || return 1
    # Once more: nothing changes but the process.
    inside sh -c 'cat /etc/taciturn/*' >"$WORK/configuration"
    installs "$@" && first_allocation && inside sh -c 'cat /etc/taciturn/*' | cmp - "$WORK/configuration" || return 1
    a_release_that_does_not_start_is_taken_back "$@" || return 1
    installs --uninstall && ! inside systemctl is-active taciturn && inside test -s /etc/taciturn/turn_secret || return 1
    installs --uninstall --purge || return 1
    files_of_debian | diff "$WORK/files-before" - || return 1
    refusals_change_nothing "$@"
}

# A user of the shared secret is given a relayed address.
first_allocation() {
    local secret
    secret=$(inside cat /etc/taciturn/turn_secret) || return 1
    timeout 30 nsenter --target "$SYSTEMD" --net \
        turnutils_uclient -y -s -n 1 -m 1 -c -W "$secret" -u alice 203.0.113.7 >"$WORK/uclient.log" 2>&1
    grep -q 'Total lost packets 0 ' "$WORK/uclient.log" || { tail -n 20 "$WORK/uclient.log"; return 1; }
}

# The control of it all: programs that do not run, in a release of a higher version.
a_release_that_does_not_start_is_taken_back() {
    local tree=$WORK/debian/var/tmp/dist before
    broken_release "$tree" || return 1
    before=$(inside systemctl show -P ExecMainPID taciturn)
    ! installs "$@" || return 1
    if ! inside systemctl is-active taciturn || ! first_allocation; then
        journal | tail -n 30
        return 1
    fi
    say "process $before, then $(inside systemctl show -P ExecMainPID taciturn)"
    lay_release "$WORK/dist"
}

# broken_release DIR: the same files, with a server that ends at once but for --version
broken_release() {
    local version=9.9.9 work=$WORK/broken
    rm -rf "$work" && mkdir -p "$work/deb" "$work/tar" || return 1
    # shellcheck disable=SC2016  # the $1 is that script's
    printf '#!/bin/sh\n[ "$1" = --version ] || exit 1\n' >"$work/taciturn" && chmod 755 "$work/taciturn"
    dpkg-deb --raw-extract "$WORK/dist/taciturn_${RELEASE_VERSION}_$(dpkg --print-architecture).deb" "$work/deb" &&
        sed -i "s/^Version: .*/Version: $version/" "$work/deb/DEBIAN/control" &&
        cp "$work/taciturn" "$work/deb/usr/bin/taciturn" &&
        dpkg-deb --root-owner-group -Zgzip --build "$work/deb" "$1/taciturn_${version}_$(dpkg --print-architecture).deb" >/dev/null || return 1
    tar -C "$work/tar" -xzf "$WORK/dist/taciturn-$RELEASE_VERSION-$(uname -m).tar.gz" &&
        mv "$work/tar/taciturn-$RELEASE_VERSION-$(uname -m)" "$work/tar/taciturn-$version-$(uname -m)" &&
        cp "$work/taciturn" "$work/tar/taciturn-$version-$(uname -m)/bin/taciturn" &&
        tar -C "$work/tar" -czf "$1/taciturn-$version-$(uname -m).tar.gz" "taciturn-$version-$(uname -m)" || return 1
    (cd "$1" && rm -f ./*"$RELEASE_VERSION"* SHA256SUMS && sha256sum -- * >"$work/SHA256SUMS" && mv "$work/SHA256SUMS" .)
}

# A damaged file, a name that is none, a port in use: not a file is different afterwards.
refusals_change_nothing() {
    local damaged
    lay_release "$WORK/dist"
    for damaged in "taciturn_${RELEASE_VERSION}_$(dpkg --print-architecture).deb" "taciturn-$RELEASE_VERSION-$(uname -m).tar.gz"; do
        printf x >>"$WORK/debian/var/tmp/dist/$damaged"
    done
    ! installs --domain turn.e2e.test "$@" || return 1
    lay_release "$WORK/dist"
    ! installs --domain 'turn,e2e' "$@" || return 1
    inside systemd-run --unit=holder systemd-socket-activate --datagram --listen=127.0.0.1:3478 /bin/true &&
        wait_for 5 holds_3478
    ! installs --domain turn.e2e.test "$@"
    local status=$?
    inside systemctl stop holder
    files_of_debian | diff "$WORK/files-before" - && [ "$status" = 0 ]
}

holds_3478() { inside ss -Hlun 'sport = :3478' | grep -q .; }
