# shellcheck shell=bash
# Channels that the kernel relays, for the server of the package, which has no rights: by the steps of docs/kernel-relay.md.
# shellcheck disable=SC2153  # WORK and more come from stages/packaging/run

# Where a package and where install.sh put the unit, and that it is not enabled. What it starts is there.
has_the_unit_of_the_kernel_relay() {
    local unit program
    unit=$(inside systemctl show -P FragmentPath taciturn-kernel-relay) &&
        program=$(inside systemctl show -P ExecStart taciturn-kernel-relay | sed -n 's/.*path=\([^ ]*\) .*/\1/p') || return 1
    say "unit: $unit, $(inside systemctl is-enabled taciturn-kernel-relay); it starts $program"
    case $unit in
    */lib/systemd/system/taciturn-kernel-relay.service) [ "$program" = /usr/bin/turnctl ] ;;
    /etc/systemd/system/taciturn-kernel-relay.service) [ "$program" = /usr/local/bin/turnctl ] ;;
    *) false ;;
    esac && inside test -x "$program" &&
        expect_equal "$(inside systemctl is-enabled taciturn-kernel-relay)" disabled &&
        ! inside systemctl is-active taciturn-kernel-relay
}

# The networks of stages/kernel/run, with the Debian as the server.
wire_up() {
    local host
    export KERNEL_PREFIX=$NETNS-kernel KERNEL_PASSWORD=s3cret-of-the-kernel KERNEL_DIR=$WORK TACITURN=- TURNCTL=-
    ip netns attach "$KERNEL_PREFIX-server" "$SYSTEMD" || return 1
    for host in client peer; do new_namespace "$KERNEL_PREFIX-$host" || return 1; done
    ip link add c0 netns "$KERNEL_PREFIX-client" type veth peer name s0 netns "$KERNEL_PREFIX-server" &&
        ip link add p0 netns "$KERNEL_PREFIX-peer" type veth peer name s1 netns "$KERNEL_PREFIX-server" &&
        wire client c0 203.0.113.2/24 && wire server s0 203.0.113.10/24 && wire server s1 198.51.100.10/24 &&
        wire peer p0 198.51.100.2/24 && ip -n "$KERNEL_PREFIX-peer" route add default via 198.51.100.10
}

# wire HOST DEVICE ADDRESS
wire() {
    ip -n "$KERNEL_PREFIX-$1" address add "$3" dev "$2" && ip -n "$KERNEL_PREFIX-$1" link set "$2" up &&
        in_python 'from host import like_a_wire; like_a_wire(sys.argv[2], sys.argv[3])' "$1" "$2"
}

# in_python CODE ARGUMENT...: with what stages/kernel has
in_python() {
    local code=$1
    shift
    python3 -B -c "import sys; sys.path.insert(0, sys.argv[1]); $code" "$ROOT/stages/kernel" "$@"
}

unwire() {
    local host
    ip -n "$KERNEL_PREFIX-server" link del s0
    ip -n "$KERNEL_PREFIX-server" link del s1
    for host in client peer server; do ip netns delete "$KERNEL_PREFIX-$host"; done
}

# What the kernel has relayed so far.
relayed_by_kernel() {
    inside turnctl status --json | sed -n 's/.*"relayed_packets":\([0-9]*\).*/\1/p'
}

case_kernel_relay() {
    local status
    has_the_unit_of_the_kernel_relay && wire_up && by_the_steps_of_the_document
    status=$?
    inside systemctl status taciturn-kernel-relay --no-pager
    journal -u taciturn-kernel-relay | tail -n 20
    inside systemctl disable --now taciturn-kernel-relay
    rm -rf "$WORK/debian/etc/systemd/system/taciturn.service.d"
    configure </dev/null
    inside systemctl daemon-reload
    inside systemctl restart taciturn
    inside umount /sys/fs/bpf
    unwire
    return $status
}

by_the_steps_of_the_document() {
    local before relay='from server import Call; Call().relay(50)'
    # As systemd does on a machine; to whoever makes a container it leaves that.
    inside mount -t bpf -o mode=700,nosuid,nodev,noexec bpf /sys/fs/bpf || return 1
    configure <<TOML
realm = "kernel.test"
external_ip = "203.0.113.10"

[auth]
users = ["alice:$KERNEL_PASSWORD"]

[peers]
allow = ["198.51.100.0/24"]

[kernel_relay]
mode = "tc"
TOML
    inside systemctl restart taciturn && inside turnctl status || return 1
    expect_equal "$(relayed_by_kernel)" 0 && in_python "$relay" && expect_equal "$(relayed_by_kernel)" 0 || return 1
    # systemctl edit taciturn
    mkdir -p "$WORK/debian/etc/systemd/system/taciturn.service.d"
    printf '[Service]\nSystemCallFilter=bpf\n' >"$WORK/debian/etc/systemd/system/taciturn.service.d/override.conf"
    inside systemctl daemon-reload && inside systemctl enable --now taciturn-kernel-relay &&
        inside systemctl restart taciturn && inside turnctl status || return 1
    before=$(relayed_by_kernel) && in_python "$relay" || return 1
    # One in 65,536 takes the sockets' way.
    say "$(($(relayed_by_kernel) - before)) of 100 packets by the kernel"
    [ $(($(relayed_by_kernel) - before)) -ge 98 ] || return 1
    # Without a right of its own.
    # shellcheck disable=SC2016  # that shell's
    expect_equal "$(inside sh -c 'grep -c "^Cap\(Prm\|Eff\|Bnd\|Amb\):.0*$" /proc/$(systemctl show -P MainPID taciturn)/status')" 4 || return 1
    inside systemctl stop taciturn-kernel-relay && wait_for 5 says_that_it_was_taken_away && in_python "$relay"
}

says_that_it_was_taken_away() {
    inside turnctl status | grep 'kernel relay .*has taken the program away' >/dev/null
}
