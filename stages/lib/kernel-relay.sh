# shellcheck shell=bash
# What the stages with --kernel-relay have in common: the kernel relays channels of their servers (mode = "tc" in
# [kernel_relay]), and has to have relayed some where it can. Source it after common.sh.

# Not empty: the kernel relays. SUFFIX is behind the names of the results then.
KERNEL_RELAY=
# shellcheck disable=SC2034  # for the stages
SUFFIX=

# Servers that start from now on attach the program themselves, whatever is pinned on this machine.
kernel_relay_on() {
    [ "${SERVER:-taciturn}" = taciturn ] || die "--kernel-relay is for taciturn"
    KERNEL_RELAY=yes
    # shellcheck disable=SC2034  # for the stages
    SUFFIX=+kernel-relay
    export TACITURN_KERNEL_RELAY_MODE=tc TACITURN_KERNEL_RELAY_PINS=off
}

# like_a_wire NAMESPACE DEVICE...: these veths give whole checksums and single packets to their other sides. What has no
# whole checksum is relayed by the sockets.
like_a_wire() {
    local namespace=$1
    shift
    KERNEL_PREFIX=${namespace%-*} python3 -B - "$ROOT/stages/kernel" "${namespace##*-}" "$@" <<'PYTHON'
import sys
directory, host, *devices = sys.argv[1:]
sys.path.insert(0, directory)
from host import like_a_wire
for device in devices:
    like_a_wire(host, device)
PYTHON
}

# kernel_relayed SOCKET: packets that the kernel has relayed for the server with that control socket; 0 where it does not
# relay
kernel_relayed() {
    local status
    status=$(kernel_relay_status "$1")
    status=${status##*'"relayed_packets":'}
    status=${status%%[!0-9]*}
    printf '%s' "${status:-0}"
}

# What the server says of its kernel relay, as JSON.
kernel_relay_status() {
    env -u TACITURN_BIN "${TURNCTL_BIN:-$TARGET_DIR/release/turnctl}" status --json --socket "$1" |
        grep -o '"kernel_relay":{.*'
}

# kernel_has_relayed SOCKET [PACKETS]: says what it has, and fails where that is no more than PACKETS (0). Does nothing
# without --kernel-relay.
kernel_has_relayed() {
    local relayed
    [ -n "$KERNEL_RELAY" ] || return 0
    relayed=$(kernel_relayed "$1")
    say "$(kernel_relay_status "$1")"
    say "the kernel has relayed $relayed packets; it has to be more than ${2:-0}"
    [ "$relayed" -gt "${2:-0}" ]
}
