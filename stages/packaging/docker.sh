# shellcheck shell=bash
# A Docker engine of its own, in a network namespace of its own: `--network host` is that namespace.

# Debian's client; another one on the machine may want plugins.
docker() {
    env DOCKER_HOST="unix://$ENGINE/socket" DOCKER_CONFIG="$ENGINE/config" \
        DOCKER_BUILDKIT=1 BUILDKIT_PROGRESS=plain HOME="$ENGINE" /usr/bin/docker "$@" </dev/null
}

# start_docker: fails, with the engine's log, where it cannot be started here.
start_docker() {
    local network=/run/netns/$NETNS
    mkdir -p "$ENGINE/config"
    # Not the machine's own settings.
    echo '{}' >"$ENGINE/daemon.json"
    new_namespace "$NETNS" && ip -n "$NETNS" link set lo up &&
        ip -n "$NETNS" address add 203.0.113.7/32 dev lo || return 1
    # Not by `ip netns exec`: its own /sys would hide the cgroups.
    NETNS='' start_process "$ENGINE/process" nsenter --net="$network" \
        dockerd --data-root "$ENGINE/data" --exec-root "$ENGINE/exec" \
        -H "unix://$ENGINE/socket" -p "$ENGINE/docker.pid" --config-file "$ENGINE/daemon.json"
    wait_for 30 docker_answers_or_ended
    if ! docker_answers; then
        tail -n 25 "$ENGINE/process/output.log"
        return 1
    fi
}

docker_answers() {
    docker version >/dev/null 2>&1
}

docker_answers_or_ended() {
    docker_answers || process_gone "$ENGINE/process"
}

stop_docker() {
    if [ -f "$ENGINE/process/pid" ]; then
        docker ps -q 2>/dev/null | while read -r id; do docker rm -f -v "$id" >/dev/null; done
        kill -TERM "$(process_pid "$ENGINE/process")" 2>/dev/null
        wait_for 20 process_gone "$ENGINE/process" || stop_process "$ENGINE/process"
    fi
    local pid
    for pid in $(ip netns pids "$NETNS" 2>/dev/null); do kill -KILL "$pid" 2>/dev/null; done
    ip netns delete "$NETNS" 2>/dev/null
    umount "$ENGINE"/exec/netns/* 2>/dev/null
}
