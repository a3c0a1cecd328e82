# shellcheck shell=bash
# The static programs of a release, for both architectures. --all only: each is a full build.
# shellcheck disable=SC2153  # ROOT and more come from stages/lib/common.sh

# Over UDP, TCP, TLS and DTLS, with passwords and shared secrets; and what must be refused.
STATIC_CASES=(channels indications rest-channels wrong-password deny-own-address deny-metadata tcp-channels tcp-rest
    tls-channels tls-rest dtls-channels dtls-between)

case_static_programs() {
    local architecture
    "$ROOT/packaging/install-tools" || return 1
    for architecture in x86_64 aarch64; do
        "$ROOT/packaging/build-programs" "$architecture" "$WORK/static/$architecture" &&
            is_static "$WORK/static/$architecture/taciturn" && is_static "$WORK/static/$architecture/turnctl" || return 1
    done
}

is_static() {
    say "$1: $(stat -c %s "$1") bytes"
    readelf --dynamic "$1" | grep -q 'no dynamic section' && ! readelf --program-headers "$1" | grep -q INTERP
}

# names_no_place PROGRAM: it says nothing of where it was built
names_no_place() {
    local place
    for place in "$ROOT" "$TARGET_DIR" "${CARGO_HOME:-$HOME/.cargo}" "$HOME/.cache"; do
        ! grep -aqF "$place" "$1" || { say "$1 names $place"; return 1; }
    done
}

# The files for both, with the crates of each program in it and beside it.
case_static_release() {
    local architecture file
    "$ROOT/packaging/release" --programs "$WORK/static" --out "$WORK/static-dist" &&
        "$ROOT/packaging/release" --programs "$WORK/static" --out "$WORK/static-again" &&
        diff -r "$WORK/static-dist" "$WORK/static-again" || return 1
    for architecture in x86_64 aarch64; do
        is_a_release "$WORK/static-dist" "$architecture" || return 1
        tar -C "$WORK" -xzf "$WORK/static-dist/taciturn-$RELEASE_VERSION-$architecture.tar.gz" || return 1
        for file in taciturn turnctl; do
            names_no_place "$WORK/taciturn-$RELEASE_VERSION-$architecture/bin/$file" &&
                names_its_crates "$WORK/taciturn-$RELEASE_VERSION-$architecture/bin/$file" \
                    "$WORK/static-dist/$file-$RELEASE_VERSION-$architecture.cdx.json" || return 1
        done
    done
    # The packages ask for no version of anything: they are for every Debian and Ubuntu.
    for file in "$WORK"/static-dist/*.deb; do
        expect_equal "$(dpkg-deb -f "$file" Depends)" "init-system-helpers, passwd" || return 1
    done
}

# names_its_crates PROGRAM BILL: the program itself lists what cargo-auditable has put into it, and the bill the same
# crates with their licences. OpenSSL is among them.
names_its_crates() {
    /usr/bin/python3 -B - "$1" "$2" <<'PYTHON'
import json, os, subprocess, sys, zlib

program, bill = sys.argv[1:]
headers = subprocess.run(["readelf", "--wide", "--sections", program], check=True, capture_output=True, text=True)
line = next(line for line in headers.stdout.splitlines() if " .dep-v0 " in line)
offset, size = (int(number, 16) for number in line.split(".dep-v0", 1)[1].split()[2:4])
with open(program, "rb") as file:
    file.seek(offset)
    inside = json.loads(zlib.decompress(file.read(size)))
inside = {(package["name"], package["version"]) for package in inside["packages"]}
with open(bill) as file:
    components = json.load(file)["components"]
beside = {(component["name"], component["version"]) for component in components}
missing = sorted(inside - beside - {(os.path.basename(program), version) for _, version in inside})
print(f"{program}: {len(inside)} crates inside, {len(beside)} beside; not beside: {missing}")
without = [component["name"] for component in components if not component.get("licenses")]
sys.exit(bool(missing) or "openssl-src" not in dict(beside) or bool(without))
PYTHON
}

# relays_all_ways ARCHITECTURE PROGRAM: coturn's client, by the stage that judges it. One call at a time: an emulated server
# that is late sends several messages at once, of which that client counts one over TLS. What has failed has another try.
relays_all_ways() {
    local tries cases=("${STATIC_CASES[@]}")
    for tries in 1 2 3; do
        say "try $tries: ${cases[*]}"
        interop_with "$2" "$LOGS/packaging/static-$1" "${cases[@]}" | tee "$WORK/relays-$1.log"
        if [ "${PIPESTATUS[0]}" = 0 ]; then return 0; fi
        mapfile -t cases < <(sed -nE 's|^FAIL interop/([a-z-]+) .*|\1|p' "$WORK/relays-$1.log")
        [ ${#cases[@]} != 0 ] || return 1
    done
    return 1
}

# interop_with PROGRAM LOGS CASE...
interop_with() {
    env -u RESULTS LOGS="$2" TACITURN_BIN="$1" "$ROOT/stages/interop/run" --jobs 1 "${@:3}"
}

case_static_x86_64() { relays_all_ways x86_64 "$WORK/static/x86_64/taciturn"; }

# On another processor, by QEMU.
case_static_aarch64() {
    local program
    for program in taciturn turnctl; do
        printf '#!/bin/sh\nexec qemu-aarch64-static %s "$@"\n' "$WORK/static/aarch64/$program" >"$WORK/$program-aarch64" &&
            chmod 755 "$WORK/$program-aarch64" || return 1
    done
    expect_equal "$("$WORK/turnctl-aarch64" --version)" "turnctl $RELEASE_VERSION" &&
        relays_all_ways aarch64 "$WORK/taciturn-aarch64"
}

case_static_image() {
    local name=taciturn:$RELEASE_VERSION
    docker load --input "$WORK/static-dist/taciturn-$RELEASE_VERSION-image.tar" && image_is_small "$name-amd64" &&
        image_is_small "$name-arm64" || return 1
    expect_equal "$(docker image inspect --format '{{.Architecture}}' "$name-arm64")" arm64 || return 1
    # Its program is that of the archive.
    docker create --name static-arm64 "$name-arm64" >/dev/null && docker cp static-arm64:/usr/bin/taciturn "$WORK/from-image" &&
        docker rm static-arm64 >/dev/null &&
        cmp "$WORK/from-image" "$WORK/taciturn-$RELEASE_VERSION-aarch64/bin/taciturn" || return 1
    # The allocator that is linked statically takes more.
    container static --network host "$name-amd64" && serves_in_host_mode static 16384
    local status=$?
    end_container static
    return $status
}
