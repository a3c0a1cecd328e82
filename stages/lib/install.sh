#!/bin/bash
# install.sh [--check] STAGE...: what the stages of tests/run, `build` and `checks` need on a
# Debian 12, as root; `matrix-clients`: the other clients of stages/matrix/run --all; `databases`: those of
# stages/import/run --all; `release`: the tools of packaging/release, and QEMU for its other programs. Idempotent: installs only what is missing. --check installs nothing; it names what
# is missing and fails.
set -euo pipefail
. "$(cd "$(dirname "$0")" && pwd)/common.sh"

POLICY=/usr/sbin/policy-rc.d

# package:program pairs, or package:file; that tells whether the package is needed, wherever it came from.
programs_for() {
    case $1 in
    checks) echo shellcheck:shellcheck ;;
    build) echo pkg-config:pkg-config libssl-dev:/usr/include/openssl/ssl.h ;;
    check)
        echo coturn:turnserver iproute2:ip nftables:nft openssl:openssl procps:sysctl curl:curl
        echo faketime:faketime prometheus:promtool
        ;;
    attacks)
        echo coturn:turnserver faketime:faketime iproute2:ip nftables:nft openssl:openssl python3:python3 \
            util-linux:prlimit
        ;;
    import) echo coturn:turnserver iproute2:ip openssl:openssl python3:python3 util-linux:unshare coreutils:timeout ;;
    interop)
        echo coturn:turnutils_uclient iproute2:ip nftables:nft openssl:openssl curl:curl jq:jq nodejs:node python3:python3
        ;;
    streams)
        echo coturn:turnutils_uclient iproute2:ip openssl:openssl nginx:nginx \
            libnginx-mod-stream:/usr/lib/nginx/modules/ngx_stream_module.so
        ;;
    browser)
        echo chromium:chromium iproute2:ip nftables:nft openssl:openssl libnss3-tools:certutil \
            nodejs:node npm:npm procps:sysctl python3:python3
        ;;
    page)
        programs_for browser
        echo curl:curl firefox-esr:firefox-esr
        ;;
    fleet)
        programs_for browser
        echo redis-server:redis-server curl:curl firefox-esr:firefox-esr python3:python3
        ;;
    records)
        echo coturn:turnutils_uclient iproute2:ip openssl:openssl curl:curl jq:jq python3:python3 nginx:nginx \
            redis-server:redis-server
        ;;
    database)
        echo coturn:turnadmin postgresql:pg_ctlcluster sqlite3:sqlite3 redis-server:redis-server iproute2:ip \
            openssl:openssl curl:curl jq:jq python3:python3 procps:pgrep util-linux:setpriv
        ;;
    kernel)
        echo clang-14:clang-14 llvm-14:llvm-objcopy-14 linux-libc-dev:/usr/include/linux/bpf.h iproute2:ip \
            python3:python3 curl:curl util-linux:setpriv
        ;;
    packaging)
        echo docker.io:dockerd docker-compose:docker-compose mmdebstrap:mmdebstrap fail2ban:fail2ban-regex \
            dpkg-dev:dpkg-shlibdeps binutils:strip coturn:turnutils_uclient iproute2:ip openssl:openssl \
            curl:curl nodejs:node npm:npm python3-venv:/usr/share/doc/python3-venv skopeo:skopeo perl:perl \
            docker-registry:docker-registry jq:jq
        ;;
    chart)
        echo coturn:turnutils_uclient iproute2:ip openssl:openssl curl:curl prometheus:promtool nodejs:node npm:npm \
            python3-venv:/usr/share/doc/python3-venv util-linux:nsenter
        ;;
    # Its other programs are installed by packaging/install-tools.
    release) echo qemu-user-static:qemu-aarch64-static ;;
    matrix)
        programs_for browser
        echo coturn:turnserver curl:curl firefox-esr:firefox-esr python3-venv:/usr/share/doc/python3-venv
        # The last of the stream module's files is the one nginx loads.
        echo nginx:nginx libnginx-mod-stream:/usr/lib/nginx/modules/ngx_stream_module.so
        ;;
    matrix-clients) clients_programs ;;
    databases)
        echo sqlite3:sqlite3 redis-server:redis-server postgresql:pg_ctlcluster mariadb-server:mariadbd
        ;;
    documents)
        echo coturn:turnutils_uclient iproute2:ip openssl:openssl procps:ps util-linux:unshare bsdutils:script \
            passwd:useradd sysvinit-utils:pidof
        ;;
    compare) echo coturn:turnserver iproute2:ip openssl:openssl procps:sysctl strace:strace ;;
    *) die "install.sh: no stage is called $1" ;;
    esac
}

clients_programs() {
    local types=/usr/lib/x86_64-linux-gnu/girepository-1.0 plugins=/usr/lib/x86_64-linux-gnu/gstreamer-1.0
    echo python3-gi:/usr/share/doc/python3-gi gir1.2-nice-0.1:$types/Nice-0.1.typelib
    echo gir1.2-gst-plugins-bad-1.0:$types/GstWebRTC-1.0.typelib gstreamer1.0-nice:$plugins/libgstnice.so
    echo gstreamer1.0-plugins-bad:$plugins/libgstwebrtc.so
    echo golang-go:go golang-github-pion-webrtc.v3-dev:/usr/share/gocode/src/github.com/pion/webrtc
}

missing_packages() {
    local stage pair
    for stage in "$@"; do
        for pair in $(programs_for "$stage"); do
            command -v "${pair#*:}" >/dev/null || [ -e "${pair#*:}" ] || printf '%s\n' "${pair%%:*}"
        done
    done | sort -u
}

# The packages of coturn and nginx start services that would hold ports. policy-rc.d is Debian's way to say
# no; where we made it, it goes again.
install_packages() {
    local made_policy=
    if [ ! -e "$POLICY" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$POLICY"
        chmod +x "$POLICY"
        made_policy=yes
    fi
    # shellcheck disable=SC2064  # decided now
    trap "[ -z '$made_policy' ] || rm -f '$POLICY'" EXIT
    export DEBIAN_FRONTEND=noninteractive
    apt-get -o DPkg::Lock::Timeout=300 -q update >/dev/null
    apt-get -o DPkg::Lock::Timeout=300 -q -y install --no-install-recommends "$@" >/dev/null </dev/null
}

# The directories whose package-lock.json names the npm packages that the stages need.
module_directories() {
    ! has_word "$*" browser && ! has_word "$*" page && ! has_word "$*" fleet && ! has_word "$*" matrix || echo stages/e2e
    ! has_word "$*" matrix || echo stages/matrix
    ! has_word "$*" matrix-clients || echo stages/e2e/peers
    ! has_word "$*" packaging || echo stages/packaging
    ! has_word "$*" chart || echo stages/chart
}

modules_missing() {
    ! [ -d "$ROOT/$1/.cache/node_modules" ] || ! cmp -s "$ROOT/$1/package-lock.json" "$ROOT/$1/.cache/package-lock.json"
}

# Pinned by the hashes of package-lock.json; no package's install script runs. What a package says it is for (its peers)
# is not needed: the packages with Helm name a whole framework.
install_modules() {
    local cache=$ROOT/$1/.cache
    mkdir -p "$cache"
    cp "$ROOT/$1/package.json" "$ROOT/$1/package-lock.json" "$cache/"
    if ! npm ci --prefix "$cache" --ignore-scripts --legacy-peer-deps --no-audit --no-fund --loglevel=error </dev/null; then
        rm -f "$cache/package-lock.json" # so that the next run does not take it for done
        return 1
    fi
}

# The Python environments that the stages need: the files with what is in them.
environments() {
    ! has_word "$*" matrix || echo stages/matrix/python/synapse.txt
    ! has_word "$*" matrix-clients || echo stages/matrix/python/aiortc.txt
    ! has_word "$*" packaging || echo stages/packaging/python/zizmor.txt
    ! has_word "$*" chart || echo stages/chart/python/kubernetes-validate.txt
}

# environment_directory FILE
environment_directory() {
    printf '%s/python-%s' "$TARGET_DIR" "$(basename "$1" .txt)"
}

environment_missing() {
    ! cmp -s "$ROOT/$1" "$(environment_directory "$1")/installed.txt"
}

# Pinned by the hashes in the file. Only wheels: nothing is compiled and no package's code runs.
install_environment() {
    local directory
    directory=$(environment_directory "$1")
    rm -rf "$directory"
    mkdir -p "$TARGET_DIR"
    /usr/bin/python3 -m venv "$directory" || return 1
    "$directory/bin/pip" install --quiet --disable-pip-version-check --no-deps --require-hashes \
        --only-binary :all: -r "$ROOT/$1" </dev/null || return 1
    cp "$ROOT/$1" "$directory/installed.txt"
}

check_only() {
    local packages
    packages=$(missing_packages "$@" | tr '\n' ' ')
    [ -z "$packages" ] || die "missing Debian packages: $packages(run without --no-install as root to install them)"
    local name
    for name in $(module_directories "$@"); do
        ! modules_missing "$name" ||
            die "missing npm packages of $name/package-lock.json in $name/.cache (run without --no-install)"
    done
    for name in $(environments "$@"); do
        ! environment_missing "$name" ||
            die "missing Python packages of $name (run without --no-install)"
    done
    ! has_word "$*" release || [ -x "$TARGET_DIR/release-tools/bin/cargo-cyclonedx" ] ||
        die "the tools of packaging/release are missing: packaging/install-tools"
}

main() {
    if [ "${1:-}" = --check ]; then
        shift
        check_only "$@"
        return
    fi
    local packages
    mapfile -t packages < <(missing_packages "$@")
    if [ ${#packages[@]} != 0 ]; then
        need_root
        command -v apt-get >/dev/null || die "no apt-get here; install these by hand: ${packages[*]}"
        say "installing: ${packages[*]}"
        install_packages "${packages[@]}" || die "apt-get could not install: ${packages[*]}"
        [ -z "$(missing_packages "$@")" ] || die "installed, and still missing: $(missing_packages "$@" | tr '\n' ' ')"
    fi
    local name
    for name in $(module_directories "$@"); do
        modules_missing "$name" || continue
        say "installing: the npm packages of $name/package-lock.json"
        install_modules "$name" || die "npm could not install the packages of $name/package-lock.json"
    done
    for name in $(environments "$@"); do
        environment_missing "$name" || continue
        say "installing: the Python packages of $name"
        install_environment "$name" || die "pip could not install the packages of $name"
    done
    if has_word "$*" release; then "$ROOT/packaging/install-tools" || die "the tools of packaging/release could not be installed"; fi
}

main "$@"
