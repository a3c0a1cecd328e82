# shellcheck shell=bash
# Starting and stopping one background process by its pid, never by its name.
#
# Each process has a directory of its own: DIR/pid and DIR/output.log. Where NETNS is set, the
# process runs in that network namespace.

# start_process DIR COMMAND...
start_process() {
    local dir=$1 prefix=()
    shift
    mkdir -p "$dir"
    # `ip netns exec` replaces itself with the command, so $! is the command's own pid.
    [ -z "${NETNS:-}" ] || prefix=(ip netns exec "$NETNS")
    # In a subshell: the process is then no job of the caller, whose `wait` would wait for it.
    (
        "${prefix[@]}" "$@" >"$dir/output.log" 2>&1 </dev/null &
        printf '%s %s\n' "$!" "$(process_birth "$!")" >"$dir/pid"
    )
}

# The kernel's start time of a pid. A pid can be given out again; pid and birth together cannot.
# Nothing for a process that has ended and is only waiting to be reaped (in a container whose
# first process does not reap, that can be for ever).
process_birth() {
    sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" && $1 != "X" { print $20 }'
}

process_pid() {
    cut -d ' ' -f 1 "$1/pid"
}

process_alive() {
    local pid birth
    [ -f "$1/pid" ] || return 1
    read -r pid birth <"$1/pid"
    [ -n "$birth" ] && [ "$(process_birth "$pid")" = "$birth" ]
}

process_gone() {
    ! process_alive "$1"
}

# stop_process DIR: SIGTERM, five seconds of patience, SIGKILL. Fails where SIGKILL was needed.
stop_process() {
    local dir=$1 status=0
    if process_alive "$dir"; then
        kill -TERM "$(process_pid "$dir")" || true
        if ! wait_for 5 process_gone "$dir"; then
            kill -KILL "$(process_pid "$dir")" || true
            warn "$dir: did not stop on SIGTERM within 5 s and was killed"
            status=1
        fi
    fi
    rm -f "$dir/pid"
    return $status
}

# listening udp|tcp ADDRESS PORT (in NETNS where it is set)
listening() {
    local prefix=() kind=-Hlun
    [ "$1" = tcp ] && kind=-Hltn
    [ -z "${NETNS:-}" ] || prefix=(ip netns exec "$NETNS")
    "${prefix[@]}" ss "$kind" "src = $(bracketed "$2"):$3" | grep -q .
}

# An IPv6 address as it stands before a port: ::1 -> [::1]
bracketed() {
    case $1 in
    *:*) printf '[%s]' "$1" ;;
    *) printf '%s' "$1" ;;
    esac
}
