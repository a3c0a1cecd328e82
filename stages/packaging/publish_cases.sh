# shellcheck shell=bash
# What .github/workflows/release.yml calls to publish a release, against a registry here.
# shellcheck disable=SC2153  # WORK and more come from stages/packaging/run

REGISTRY=127.0.0.1:5000

# make_published_tree DIR: the scripts, with the version 0.1.0 and its section in the changelog
make_published_tree() {
    mkdir -p "$1" && cp -r "$ROOT/packaging" "$ROOT/Cargo.toml" "$1/" &&
        sed -i '0,/^version = .*/s//version = "0.1.0"/' "$1/Cargo.toml" &&
        sed -i -E 's/^(version|appVersion): .*/\1: "0.1.0"/' "$1/packaging/helm/taciturn/Chart.yaml" || return 1
    cat >"$1/CHANGELOG.md" <<'CHANGELOG'
# Changelog

## [Unreleased]

- later

## [0.1.0] - 2027-01-01

- the first

## [0.0.9] - 2026-01-01

- earlier
CHANGELOG
}

case_check_tag() {
    local tree=$WORK/tagged
    make_published_tree "$tree" || return 1
    "$tree/packaging/check-tag" v0.1.0 && ! "$tree/packaging/check-tag" v0.1.1 &&
        ! "$tree/packaging/check-tag" 0.1.0 || return 1
    # The chart is of the same version.
    sed -i 's/^appVersion: .*/appVersion: "0.0.9"/' "$tree/packaging/helm/taciturn/Chart.yaml"
    ! "$tree/packaging/check-tag" v0.1.0 || return 1
    sed -i 's/^appVersion: .*/appVersion: "0.1.0"/' "$tree/packaging/helm/taciturn/Chart.yaml"
    # Without a section there is nothing to tell users.
    sed -i 's/^## \[0.1.0\]/## [0.1.1]/' "$tree/CHANGELOG.md"
    ! "$tree/packaging/check-tag" v0.1.0
}

# Programs in the place of cosign and gh: they write down how they are called, and cosign makes its file.
stand_ins() {
    mkdir -p "$1"
    cat >"$1/cosign" <<COSIGN
#!/bin/sh
echo "cosign \$*" >>"$1/calls"
[ "\$1" != sign-blob ] || echo signed >"\$4"
COSIGN
    cat >"$1/gh" <<GH
#!/bin/sh
echo "gh \$*" >>"$1/calls"
while [ \$# -gt 1 ]; do [ "\$1" != --notes-file ] || cp "\$2" "$1/notes"; shift; done
GH
    chmod 755 "$1/cosign" "$1/gh"
}

# published ARGUMENT...: packaging/publish with the stand-ins, in the network of the registry
published() {
    ip netns exec "$NETNS-registry" env PATH="$WORK/published/bin:$PATH" HOME="$WORK/published" \
        REGISTRY_USER=robot REGISTRY_TOKEN=s3cret "$WORK/published/packaging/publish" "$@"
}

case_publish_files() {
    local tree=$WORK/published
    make_published_tree "$tree" && stand_ins "$tree/bin" && mkdir -p "$tree/files" || return 1
    new_namespace "$NETNS-registry" || return 1
    echo a >"$tree/files/a.tar.gz" && (cd "$tree/files" && sha256sum a.tar.gz >SHA256SUMS) || return 1
    published files v0.1.0 "$tree/files" && cat "$tree/bin/calls" || return 1
    expect_equal "$(cat "$tree/bin/notes")" "- the first" &&
        grep -q '^gh release create v0.1.0 --verify-tag .*SHA256SUMS.sigstore.json .*/a.tar.gz$' "$tree/bin/calls" || return 1
    # A preview says so, and a damaged file goes nowhere.
    published files v0.2.0-rc.1 "$tree/files" && grep -q '^gh release create v0.2.0-rc.1 .*--prerelease' "$tree/bin/calls" || return 1
    rm "$tree/bin/calls" && echo b >>"$tree/files/a.tar.gz" && ! published files v0.1.0 "$tree/files" && ! [ -e "$tree/bin/calls" ]
    local status=$?
    ip netns delete "$NETNS-registry"
    return $status
}

case_publish_image() {
    local tree=$WORK/published
    make_published_tree "$tree" && stand_ins "$tree/bin" && start_registry "$tree" && pushes_images
    local status=$?
    cat "$tree/registry/output.log"
    stop_process "$tree/registry"
    ip netns delete "$NETNS-registry"
    return $status
}

# With a user, whose password only `login` has.
start_registry() {
    mkdir -p "$1/storage" "$1/.config/containers"
    # shellcheck disable=SC2016  # a salt
    perl -e 'print "robot:" . crypt("s3cret", q($2b$05$abcdefghijklmnopqrstuu)) . "\n"' >"$1/htpasswd"
    cat >"$1/registry.yml" <<YAML
version: 0.1
storage: {filesystem: {rootdirectory: $1/storage}}
http: {addr: "$REGISTRY"}
auth: {htpasswd: {realm: test, path: $1/htpasswd}}
YAML
    printf '[[registry]]\nlocation = "%s"\ninsecure = true\n' "$REGISTRY" >"$1/.config/containers/registries.conf"
    new_namespace "$NETNS-registry" && ip -n "$NETNS-registry" link set lo up || return 1
    NETNS=$NETNS-registry start_process "$1/registry" docker-registry serve "$1/registry.yml"
    wait_for 10 registry_listens
}

registry_listens() { ip netns exec "$NETNS-registry" ss -Hltn 'sport = :5000' | grep -q .; }

# an_image VERSION: a file with it for both architectures
an_image() {
    local architecture directory=$WORK/published/programs
    for architecture in amd64 arm64; do
        mkdir -p "$directory/$architecture" &&
            echo "$1 for $architecture" | tee "$directory/$architecture/taciturn" >"$directory/$architecture/turnctl" || return 1
    done
    SOURCE_DATE_EPOCH=1 "$ROOT/packaging/build-image" --version "$1" --licences "$ROOT" "$directory/$1.tar" \
        amd64="$directory/amd64" arm64="$directory/arm64" && printf '%s' "$directory/$1.tar"
}

pushes() {
    published image "$1" "$(an_image "$1")" "$REGISTRY/people/taciturn"
}

# tagged TAG: the digest
tagged() {
    ip netns exec "$NETNS-registry" env HOME="$WORK/published" \
        skopeo inspect --raw "docker://$REGISTRY/people/taciturn:$1" | sha256sum
}

pushes_images() {
    local first second architecture
    ! pushes 0.1.0 || { say "nobody has logged in"; return 1; }
    published login "$REGISTRY" && pushes 0.1.0 || return 1
    first=$(tagged 0.1.0)
    expect_equal "$(tagged 0.1)" "$first" && expect_equal "$(tagged latest)" "$first" || return 1
    for architecture in amd64 arm64; do
        expect_equal "$(program_in_registry "$architecture")" "0.1.0 for $architecture" || return 1
    done
    # Signed by what it is, not by a name that may come to mean another.
    grep -qxF "cosign sign --yes --recursive $REGISTRY/people/taciturn@sha256:${first%% *}" "$WORK/published/bin/calls" || return 1
    pushes 0.2.0 && second=$(tagged 0.2.0) || return 1
    [ "$first" != "$second" ] && expect_equal "$(tagged latest)" "$second" && expect_equal "$(tagged 0.1)" "$first" || return 1
    # A fix of the older series, and a preview, are not the latest.
    pushes 0.1.1 && pushes 0.3.0-rc.1 && expect_equal "$(tagged latest)" "$second" &&
        expect_equal "$(tagged 0.1)" "$(tagged 0.1.1)" || return 1
    ! pushes one
}

program_in_registry() {
    local directory=$WORK/published/pulled-$1
    ip netns exec "$NETNS-registry" env HOME="$WORK/published" \
        skopeo copy --quiet --override-arch "$1" "docker://$REGISTRY/people/taciturn:latest" "dir:$directory" || return 1
    tar -xOzf "$(find "$directory" -size +0 -regex '.*/[0-9a-f]*' -exec sh -c 'gzip -t "$1" 2>/dev/null' _ {} \; -print)" usr/bin/turnctl
}

# The image of the last release is made anew if OpenSSL has had fixes, and otherwise not. --all only: asks crates.io.
case_refresh_image() {
    local tree=$WORK/refreshed
    mkdir -p "$tree" && (cd "$ROOT" && git ls-files -z | tar --null -T - -c) | tar -C "$tree" -x || return 1
    # What it is made by is none of this.
    # shellcheck disable=SC2016  # the variables are that script's
    printf '#!/bin/sh\n[ "$1" = --out ] && mkdir -p "$2" && echo image >"$2/taciturn-0.1.0-image.tar"\n' >"$tree/packaging/release"
    git -C "$tree" init --quiet && expect_equal "$("$tree/packaging/refresh-image" "$WORK/refreshed-0" | xargs)" "version= fresh=false" &&
        (cd "$tree" && cargo update --quiet --package openssl-src) && commit_as "$tree" v0.0.9 &&
        expect_equal "$("$tree/packaging/refresh-image" "$WORK/refreshed-1" | xargs)" "version=0.0.9 fresh=false" || return 1
    (cd "$tree" && cargo update --quiet --package openssl-src --precise 300.5.0+3.5.0) && commit_as "$tree" v0.1.0 &&
        expect_equal "$("$tree/packaging/refresh-image" "$WORK/refreshed-2" | xargs)" "version=0.1.0 fresh=true" &&
        expect_equal "$(cat "$WORK/refreshed-2/taciturn-0.1.0-image.tar")" image || return 1
    ! git -C "$tree" worktree list | grep -v "^$tree "
}

# commit_as DIR TAG
commit_as() {
    git -C "$1" add . && git -C "$1" -c user.name=tests -c user.email=tests@e2e.test commit --quiet --message "$2" &&
        git -C "$1" tag "$2"
}
