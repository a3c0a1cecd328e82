# shellcheck shell=bash
# Shared by the scripts under tests/, benches/ and .ci/: places, messages, waiting, and the
# accounting of tests. Source it; it defines variables and functions and runs nothing.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
TARGET_DIR=${CARGO_TARGET_DIR:-$ROOT/target}
LOGS=${LOGS:-$TARGET_DIR/e2e-logs}
# DTLS is built on the system's OpenSSL, which install.sh puts there: one compiled along costs minutes.
export OPENSSL_NO_VENDOR=1

say() { printf '%s\n' "$*"; }
warn() { printf '%s\n' "$*" >&2; }
die() {
    warn "error: $*"
    exit 1
}

need_root() {
    [ "$(id -u)" = 0 ] || die "must run as root: it makes network namespaces (and installs packages)"
}

# new_namespace NAME: a network namespace, in which no socket gets one of the relay's ports (57900 and above in all
# stages) by chance: cases tell a relay's packets from others by them.
new_namespace() {
    ip netns add "$1" && ip netns exec "$1" sh -c 'echo 32768 50000 >/proc/sys/net/ipv4/ip_local_port_range'
}

# wait_for SECONDS COMMAND...: polls until COMMAND succeeds; fails when the time is over.
wait_for() {
    local tenths=$(($1 * 10))
    shift
    while ! "$@"; do
        ((tenths-- > 0)) || return 1
        sleep 0.1
    done
}

# has_word "a b c" b
has_word() {
    [[ " $1 " == *" $2 "* ]]
}

# matches_any NAME GLOB...: true as well where no glob is given
matches_any() {
    local name=$1 glob
    shift
    [ $# != 0 ] || return 0
    for glob in "$@"; do
        # shellcheck disable=SC2053  # a glob on purpose
        if [[ $name == $glob ]]; then return 0; fi
    done
    return 1
}

# select_cases GLOB...: passes the lines of standard input on whose first word a glob matches
select_cases() {
    local line
    while read -r line; do
        if matches_any "${line%% *}" "$@"; then printf '%s\n' "$line"; fi
    done
}

milliseconds_now() { date +%s%3N; }

# --- Accounting ---------------------------------------------------------------------------
#
# A result is one line "STATUS<tab>COUNT<tab>NAME" in the file $RESULTS. The outermost script
# makes the file and prints the summary; scripts that it calls find RESULTS in the environment
# and only add to it. So `.ci/run`, `tests/run` and each stage can all be started by hand.

results_begin() {
    if [ -n "${RESULTS:-}" ]; then
        RESULTS_OWNER=
        return
    fi
    mkdir -p "$LOGS"
    RESULTS=$(mktemp "$LOGS/results.XXXXXX")
    RESULTS_OWNER=yes
    export RESULTS LOGS
}

# record STATUS NAME [COUNT]
record() {
    printf '%s\t%s\t%s\n' "$1" "${3:-1}" "$2" >>"$RESULTS"
}

# total STATUS: how many results have it
total() {
    awk -F '\t' -v status="$1" '$1 == status { n += $2 } END { print n + 0 }' "$RESULTS"
}

# The summary: what failed, by name, and the totals alone on the last line. Its status is the
# verdict: failure where a test failed or none ran.
results_end() {
    local passed failed skipped
    passed=$(total PASS) failed=$(total FAIL) skipped=$(total SKIP)
    if [ -n "$RESULTS_OWNER" ]; then
        if [ "$failed" != 0 ]; then
            say ""
            say "failed:"
            awk -F '\t' '$1 == "FAIL" { print "  " $3 }' "$RESULTS"
        fi
        rm -f "$RESULTS"
        say ""
        if [ "$skipped" = 0 ]; then
            say "$passed passed, $failed failed"
        else
            say "$passed passed, $failed failed, $skipped skipped"
        fi
    fi
    [ "$failed" = 0 ] && [ "$passed" != 0 ]
}

# run_test NAME COMMAND...: runs COMMAND with its output in $LOGS/NAME.log and prints one line.
# Where it fails, the end of that log follows. The text goes out in one piece, so that tests
# running side by side do not mix theirs.
run_test() {
    local name=$1 log=$LOGS/$1.log started seconds text
    shift
    mkdir -p "$(dirname "$log")"
    started=$(milliseconds_now)
    if "$@" >"$log" 2>&1; then
        seconds=$(seconds_since "$started")
        record PASS "$name"
        printf 'PASS %s %ss\n' "$name" "$seconds"
        return 0
    fi
    seconds=$(seconds_since "$started")
    record FAIL "$name"
    text=$(tail -n 25 "$log" | sed 's/^/     | /')
    printf 'FAIL %s %ss\n%s\n     full log: %s\n' "$name" "$seconds" "$text" "$log"
    return 1
}

# skip_test NAME REASON
skip_test() {
    record SKIP "$1"
    printf 'SKIP %s 0.0s (%s)\n' "$1" "$2"
}

seconds_since() {
    awk -v ms="$(($(milliseconds_now) - $1))" 'BEGIN { printf "%.1f", ms / 1000 }'
}
