# shellcheck shell=bash
# A Debian of its own, in a directory: made with mmdebstrap, and booted with its systemd in
# namespaces of its own. What a package does there, it does nowhere else.

# Where apt fetches packages here is where it fetches them for the new system.
apt_sources() {
    cat /etc/apt/sources.list.d/debian.sources 2>/dev/null || cat /etc/apt/sources.list
}

own_suite() { (. /etc/os-release && echo "$VERSION_CODENAME"); }

# apt_sources_of SUITE: of another Debian
apt_sources_of() {
    apt_sources | sed "s/\b$(own_suite)\b/$1/g"
}

# make_debian DIR PACKAGE,... [SUITE]: this Debian or another, or noble, which is Ubuntu 24.04. What was made less than a
# week ago is taken again.
make_debian() {
    local suite=${3:-$(own_suite)} cache=$TARGET_DIR/packaging tar options
    tar=$cache/$suite-$(cksum <<<"$2" | cut -d ' ' -f 1).tar
    mkdir -p "$1" "$cache"
    if [ -z "$(find "$tar" -mtime -7 2>/dev/null)" ]; then
        options=(--format=tar --variant=minbase --include="$2" --dpkgopt=force-unsafe-io)
        if [ "$suite" = noble ]; then
            ubuntu_keys "$cache/ubuntu" && mmdebstrap "${options[@]}" --components=main \
                --keyring="$cache/ubuntu/usr/share/keyrings/ubuntu-archive-keyring.gpg" noble "$tar.new" || return 1
        else
            apt_sources_of "$suite" | mmdebstrap "${options[@]}" "$suite" "$tar.new" - || return 1
        fi
        mv "$tar.new" "$tar"
    fi
    tar -C "$1" --exclude='./dev/*' -xf "$tar"
}

# ubuntu_keys DIR: what Ubuntu's archive is signed with. Debian 13 has it as a package.
ubuntu_keys() {
    local apt=$1/apt form=list options
    [ ! -e "$1/usr/share/keyrings/ubuntu-archive-keyring.gpg" ] || return 0
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/sources"
    ! apt_sources | grep -q '^Types:' || form=sources
    apt_sources_of trixie >"$apt/sources/debian.$form"
    options=(-o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$apt/sources" -o Dir::State::Lists="$apt/lists"
        -o Dir::Cache="$apt/cache" -o Dir::State::status=/dev/null -o APT::Sandbox::User=root)
    apt-get -q "${options[@]}" update && (cd "$apt" && apt-get -q "${options[@]}" download ubuntu-keyring) &&
        dpkg-deb --extract "$apt"/ubuntu-keyring_*.deb "$1" && rm -rf "$apt"
}

# The first process of a Debian in $1: mounts what a machine has, and becomes systemd.
first_process() {
    cat <<'INIT'
set -e
root=$1
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
    mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
    mkdir "$root/sys/fs/cgroup/systemd" "$root/sys/fs/cgroup/unified"
    mount -t cgroup -o none,name=systemd,xattr cgroup "$root/sys/fs/cgroup/systemd"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/unified"
fi
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for node in null zero full random urandom tty; do
    touch "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ip link set lo up
ip address add 203.0.113.7/32 dev lo
cd "$root"
pivot_root . mnt
cd /
umount -l /mnt
# As on a machine; systemd leaves it to whoever makes a container, and needs it for credentials.
mount --make-rshared /
exec env -i container=test PATH=/usr/sbin:/usr/bin /lib/systemd/systemd --log-target=console </dev/null
INIT
}

# boot_debian DIR: fails where systemd does not come up.
boot_debian() {
    local root=$1
    first_process >"$root.init"
    NETNS='' start_process "$root.process" unshare --pid --mount --uts --ipc --net --cgroup --fork \
        bash "$root.init" "$root"
    wait_for 5 first_process_of "$root" || { cat "$root.process/output.log"; return 1; }
    wait_for 60 has_booted || { cat "$root.process/output.log"; return 1; }
}

first_process_of() {
    SYSTEMD=$(cat "/proc/$(process_pid "$1.process")/task/$(process_pid "$1.process")/children" 2>/dev/null)
    SYSTEMD=${SYSTEMD%% *}
    [ -n "$SYSTEMD" ]
}

has_booted() {
    inside systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded'
}

# inside COMMAND...: runs it in the Debian that was booted
inside() {
    nsenter --target "$SYSTEMD" --mount --uts --ipc --net --pid --cgroup \
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive "$@" </dev/null
}

# The end of its first process ends every other one, and its mounts with them.
halt_debian() {
    [ -z "${SYSTEMD:-}" ] || kill -KILL "$SYSTEMD" 2>/dev/null
    SYSTEMD=
    [ ! -f "$1.process/pid" ] || wait_for 10 process_gone "$1.process"
}
