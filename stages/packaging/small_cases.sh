# shellcheck shell=bash
# A build on a machine with one core and 1 GB of memory. --all only: it takes minutes.
# shellcheck disable=SC2153  # WORK and more come from stages/packaging/run

# limited_group: makes a control group with 1 GB of memory and no swap, and prints its directory
limited_group() {
    local group
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        group=/sys/fs/cgroup/taciturn-small-$$
        mkdir "$group" || return 1
        echo 1G >"$group/memory.max" && echo 0 >"$group/memory.swap.max" && printf '%s' "$group" && return
    else
        group=/sys/fs/cgroup/memory/taciturn-small-$$
        mkdir "$group" || return 1
        # A kernel that counts no swap has no memsw.
        echo 1G >"$group/memory.limit_in_bytes" &&
            { [ ! -e "$group/memory.memsw.limit_in_bytes" ] || echo 1G >"$group/memory.memsw.limit_in_bytes"; } &&
            printf '%s' "$group" && return
    fi
    rmdir "$group"
    return 1
}

# within GROUP COMMAND...: with all that it starts
within() {
    local group=$1
    shift
    (echo "$BASHPID" >"$group/cgroup.procs" && exec "$@")
}

can_limit_memory() {
    local group status
    group=$(limited_group 2>/dev/null)
    status=$?
    rmdir "$group" 2>/dev/null
    return $status
}

case_build_small() {
    local group started status
    group=$(limited_group) || return 1
    started=$(milliseconds_now)
    # The control: who takes more is ended.
    ! within "$group" /usr/bin/python3 -c 'bytes = bytearray(1200 << 20); bytes[::4096] = b"x" * len(bytes[::4096])' &&
        cd "$ROOT" && within "$group" env CARGO_TARGET_DIR="$WORK/small" cargo build --profile small --locked --bins --jobs 1
    status=$?
    say "$(seconds_since "$started") s"
    rmdir "$group"
    [ $status = 0 ] && expect_equal "$("$WORK/small/small/turnctl" --version)" "turnctl $RELEASE_VERSION" &&
        expect_equal "$("$WORK/small/small/taciturn" --version)" "taciturn $RELEASE_VERSION" || return 1
    rm -rf "$WORK/small"
}
