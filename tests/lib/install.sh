#!/bin/bash
# install.sh [--check] STAGE...: what the stages of tests/run, `build` and `checks` need on a
# Debian 12, as root. Idempotent: installs only what is missing. --check installs nothing; it names what
# is missing and fails.
set -euo pipefail
. "$(cd "$(dirname "$0")" && pwd)/common.sh"

POLICY=/usr/sbin/policy-rc.d
MODULES=$ROOT/tests/e2e/.cache

# package:program pairs, or package:file; that tells whether the package is needed, wherever it came from.
programs_for() {
    case $1 in
    checks) echo shellcheck:shellcheck ;;
    build) echo pkg-config:pkg-config libssl-dev:/usr/include/openssl/ssl.h ;;
    check) echo coturn:turnserver iproute2:ip nftables:nft openssl:openssl procps:sysctl ;;
    interop) echo coturn:turnutils_uclient iproute2:ip nftables:nft openssl:openssl ;;
    streams)
        echo coturn:turnutils_uclient iproute2:ip openssl:openssl nginx:nginx \
            libnginx-mod-stream:/usr/lib/nginx/modules/ngx_stream_module.so
        ;;
    browser)
        echo chromium:chromium iproute2:ip nftables:nft openssl:openssl libnss3-tools:certutil \
            nodejs:node npm:npm procps:sysctl
        ;;
    packaging)
        echo docker.io:dockerd docker-compose:docker-compose mmdebstrap:mmdebstrap fail2ban:fail2ban-regex \
            dpkg-dev:dpkg-shlibdeps binutils:strip coturn:turnutils_uclient iproute2:ip openssl:openssl
        ;;
    compare) echo coturn:turnserver iproute2:ip ;;
    *) die "install.sh: no stage is called $1" ;;
    esac
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

modules_missing() {
    ! [ -d "$MODULES/node_modules/puppeteer-core" ] ||
        ! cmp -s "$ROOT/tests/e2e/package-lock.json" "$MODULES/package-lock.json"
}

# Pinned by the hashes of package-lock.json; no package's install script runs.
install_modules() {
    mkdir -p "$MODULES"
    cp "$ROOT/tests/e2e/package.json" "$ROOT/tests/e2e/package-lock.json" "$MODULES/"
    if ! npm ci --prefix "$MODULES" --ignore-scripts --no-audit --no-fund --loglevel=error </dev/null; then
        rm -f "$MODULES/package-lock.json" # so that the next run does not take it for done
        return 1
    fi
}

check_only() {
    local packages
    packages=$(missing_packages "$@" | tr '\n' ' ')
    [ -z "$packages" ] || die "missing Debian packages: $packages(run without --no-install as root to install them)"
    if has_word "$*" browser && modules_missing; then
        die "missing npm packages of tests/e2e/package-lock.json in $MODULES (run without --no-install)"
    fi
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
    if has_word "$*" browser && modules_missing; then
        say "installing: the npm packages of tests/e2e/package-lock.json"
        install_modules || die "npm could not install the packages of tests/e2e/package-lock.json"
    fi
}

main "$@"
