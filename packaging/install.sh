#!/bin/sh
# install.sh: puts taciturn on a Linux with systemd (Debian and Ubuntu by package, any other by its programs),
# starts it, and prints what Synapse and the firewall need.
#
#   install.sh [--domain NAME] [--pangolin DIR] [--external-ip ADDRESS]
#   install.sh --uninstall [--purge]
#
#   --domain NAME          DNS name of this server (turnctl init). Without it: asked for in a terminal, else the
#                          server is known by its address
#   --pangolin DIR         directory of a Pangolin installation, for its certificate
#   --external-ip ADDRESS  address at which clients reach this machine; PUBLIC/PRIVATE behind 1:1 NAT
#   --from DIR|URL         where the files of the release are (a directory: nothing is downloaded)
#   --programs             the programs in /usr/local, even where a package could be installed
#   --no-start             installs and configures, and does not start the server
#   --uninstall            takes the programs away; the configuration and the secret stay
#   --purge                takes these away as well
#
# Everything is downloaded and checked against SHA256SUMS before anything is changed. If a later step fails, or
# the server does not start, what was there before is put back. Run again, it installs the version of the release
# and keeps the configuration.
set -u
export LC_ALL=C

# Where the files of the release are; packaging/release writes it.
RELEASE_URL=

CONFIG=/etc/taciturn/taciturn.toml
SECRET=/etc/taciturn/turn_secret
STATE=/var/lib/taciturn
DROP_INS=/etc/systemd/system/taciturn.service.d
UNITS=/etc/systemd/system
PREFIX=/usr/local
# The files and the directories that were made for them, a line each.
MANIFEST=$PREFIX/lib/taciturn/installed-files
POLICY=/usr/sbin/policy-rc.d

say() { printf '%s\n' "$@"; }
warn() { printf '%s\n' "$*" >&2; }
die() {
    warn "error: $*"
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

# quietly COMMAND...: its output is shown if it fails
quietly() {
    if "$@" >"$work/output.log" 2>&1 </dev/null; then return 0; fi
    cat "$work/output.log" >&2
    return 1
}

usage() { sed -n '2,/^set -u$/{/^set -u$/d;s/^# \{0,1\}//;p;}' "$0" 2>/dev/null; }

read_arguments() {
    domain='' pangolin='' external_ip='' from='' only_programs='' start=yes uninstall='' purge=''
    while [ $# -gt 0 ]; do
        case $1 in
        --domain | --pangolin | --external-ip | --from)
            [ $# -gt 1 ] || die "$1 needs a value; install.sh --help"
            case $1 in
            --domain) domain=$2 ;;
            --pangolin) pangolin=$2 ;;
            --external-ip) external_ip=$2 ;;
            --from) from=$2 ;;
            esac
            shift
            ;;
        --programs) only_programs=yes ;;
        --no-start) start='' ;;
        --uninstall) uninstall=yes ;;
        --purge) purge=yes ;;
        --help | -h)
            usage
            exit 0
            ;;
        *) die "unknown option $1; install.sh --help" ;;
        esac
        shift
    done
    [ -z "$purge" ] || [ -n "$uninstall" ] || die "--purge goes with --uninstall"
    if [ -n "$domain" ]; then check_domain; fi
}

check_domain() {
    case $domain in
    *[!A-Za-z0-9.-]* | .* | *. | -* | *..*) die "--domain $domain: write a DNS name, like turn.domain.org" ;;
    *.*) ;;
    *) die "--domain $domain: write a DNS name, like turn.domain.org" ;;
    esac
}

# --- What machine this is --------------------------------------------------------------------

check_machine() {
    [ "$(uname -s)" = Linux ] || die "taciturn runs on Linux only; this is $(uname -s)"
    case $(uname -m) in
    x86_64 | amd64) architecture=x86_64 package_architecture=amd64 ;;
    aarch64 | arm64) architecture=aarch64 package_architecture=arm64 ;;
    *) die "there are programs for x86_64 and aarch64, and this machine is $(uname -m): build from the sources" ;;
    esac
    [ -d /run/systemd/system ] ||
        die "systemd does not run here: use the container image, or the programs of the .tar.gz by hand"
    for tool in sha256sum tar gzip systemctl; do
        has "$tool" || die "$tool is missing: install it first"
    done
}

# dpkg's word on the package: "install ok installed", "deinstall ok config-files" or nothing
package_state() { dpkg-query -W -f '${Status}' taciturn 2>/dev/null; }

package_is_installed() { has dpkg-query && [ "$(package_state)" = "install ok installed" ]; }

# Which way: the package where dpkg takes it, unless the programs are there already.
choose_way() {
    way=programs
    if has dpkg && has apt-get && [ "$(dpkg --print-architecture)" = "$package_architecture" ]; then way=package; fi
    if [ -n "$only_programs" ] || [ -e "$MANIFEST" ]; then
        ! package_is_installed || die "taciturn is installed as a package here: install.sh --uninstall first"
        way=programs
    fi
    if [ "$way" = programs ]; then
        { has useradd && has groupadd; } || die "useradd is missing: install it first"
    fi
}

# A server that cannot get its port would only be found out at the end.
check_ports() {
    if [ -z "$start" ] || ! has ss || systemctl is-active --quiet taciturn; then return 0; fi
    holder=$(ss -Hlnup 'sport = :3478' 2>/dev/null | sed -n 's/.*users:(("\([^"]*\)".*/\1/p' | head -n 1)
    case $holder in
    '') ;;
    turnserver)
        die "coturn uses port 3478: systemctl disable --now coturn, and run this again; or install with --no-start," \
            "and translate coturn's configuration first (turnctl import-coturn)"
        ;;
    *) die "$holder uses port 3478/udp: stop it first, or install with --no-start" ;;
    esac
}

# In a terminal there is somebody to ask, also where this script itself comes through a pipe.
ask_domain() {
    if [ -n "$domain" ] || has_settings "$CONFIG" || ! [ -t 1 ]; then return 0; fi
    if ! (: </dev/tty) 2>/dev/null; then return 0; fi
    printf 'DNS name of this server, like turn.domain.org (empty: use its address): ' >/dev/tty
    read -r domain </dev/tty || domain=
    if [ -n "$domain" ]; then check_domain; fi
}

# The package's own file has only comments and the names of sections.
has_settings() { grep -qE '^[[:space:]]*[^][#[:space:]]' "$1" 2>/dev/null; }

# --- Download ----------------------------------------------------------------------------------

# fetch NAME: into $work/download
fetch() {
    case $from in
    https://*)
        if has curl; then
            curl --proto '=https' --tlsv1.2 -fsSL --retry 3 -o "$work/download/$1" "$from/$1"
        elif has wget; then
            wget -q --https-only -O "$work/download/$1" "$from/$1"
        else
            die "curl is missing: install it first"
        fi
        ;;
    *://*) die "$from: only https:// and directories are fetched from" ;;
    *) cp "$from/$1" "$work/download/$1" ;;
    esac || die "$from/$1 could not be fetched"
}

# Where the files are: as told, as the release says, or beside this script.
find_release() {
    if [ -z "$from" ]; then from=$RELEASE_URL; fi
    if [ -z "$from" ] && [ -e "$(dirname "$0")/SHA256SUMS" ]; then from=$(dirname "$0"); fi
    [ -n "$from" ] || die "where are the files of the release? --from DIR or --from https://..."
    mkdir -p "$work/download"
    fetch SHA256SUMS
    version=$(sed -n "s/^[0-9a-f]*  taciturn-\(.*\)-$architecture\.tar\.gz\$/\1/p" "$work/download/SHA256SUMS")
    [ -n "$version" ] || die "$from/SHA256SUMS names no taciturn-VERSION-$architecture.tar.gz"
}

# fetch_checked NAME: fails unless SHA256SUMS has exactly this file
fetch_checked() {
    grep -E "^[0-9a-f]{64}  $(printf '%s' "$1" | sed 's/\./\\./g')\$" "$work/download/SHA256SUMS" >"$work/sum" ||
        die "$from/SHA256SUMS does not name $1"
    fetch "$1"
    (cd "$work/download" && sha256sum --check --status "$work/sum") ||
        die "$from/$1 is not the file that SHA256SUMS names: nothing was changed. Try again; it may be damaged"
}

# --- Back to what was there -----------------------------------------------------------------------

# What an earlier installation has, and what only its owner has: kept in a directory for root alone.
remember() {
    was_active='' was_enabled='' had_user='' had_group=''
    ! systemctl is-active --quiet taciturn || was_active=yes
    ! systemctl is-enabled --quiet taciturn 2>/dev/null || was_enabled=yes
    ! getent passwd taciturn >/dev/null || had_user=yes
    ! getent group taciturn >/dev/null || had_group=yes
    package_before=
    if has dpkg-query; then package_before=$(package_state); fi
    # Programs that somebody has put there by hand.
    if [ "$way" = package ] && [ -z "$package_before" ]; then
        mkdir -p "$work/before/usr/bin"
        for name in /usr/bin/taciturn /usr/bin/turnctl; do
            if [ -e "$name" ]; then cp -p "$name" "$work/before$name" || die "$name could not be saved"; fi
        done
    fi
    for directory in /etc/taciturn "$STATE" "$DROP_INS"; do
        if [ -d "$directory" ]; then
            mkdir -p "$work/before$(dirname "$directory")"
            cp -a "$directory" "$work/before$directory" || die "$directory could not be saved: nothing was changed"
        fi
    done
}

put_directories_back() {
    for directory in /etc/taciturn "$STATE" "$DROP_INS"; do
        rm -rf "$directory"
        if [ -d "$work/before$directory" ]; then cp -a "$work/before$directory" "$directory"; fi
    done
}

finish() {
    status=$?
    trap '' INT TERM HUP
    if [ -n "$changing" ]; then
        warn "putting back what was there before"
        undo || warn "error: not all of it could be put back; what remains to be done is above"
        [ "$status" != 0 ] || status=1
    fi
    if [ -n "$work" ]; then rm -rf "$work"; fi
    exit "$status"
}

undo() {
    undone=0
    systemctl stop taciturn >/dev/null 2>&1
    "undo_$way" || undone=1
    put_directories_back || undone=1
    systemctl daemon-reload
    systemctl reset-failed taciturn >/dev/null 2>&1
    if [ -n "$was_active" ]; then systemctl start taciturn || undone=1; fi
    return "$undone"
}

# --- The package ----------------------------------------------------------------------------------

# The server is started once it is configured, by this script: for as long as it runs, and for no other service.
hold_start() {
    made_policy=
    if [ ! -e "$POLICY" ]; then
        made_policy=yes
        # shellcheck disable=SC2016  # the $1 is that script's
        printf '#!/bin/sh\ncase $1 in taciturn*) ! kill -0 %s 2>/dev/null || exit 101 ;; esac\nexit 0\n' "$$" >"$POLICY"
        chmod 755 "$POLICY"
    fi
}

release_start() {
    if [ -n "$made_policy" ]; then rm -f "$POLICY"; fi
}

# apt_install FILE: waits where another apt runs, as it does on a machine that has just been started
apt_install() {
    DEBIAN_FRONTEND=noninteractive quietly apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold \
        -q -y --allow-downgrades --reinstall --no-install-recommends install "$1"
}

apt_remove() {
    DEBIAN_FRONTEND=noninteractive quietly apt-get -o DPkg::Lock::Timeout=300 -q -y "$1" taciturn
}

# The package that is there, made again of its files: the way back where the new one does not run.
repack() {
    tree=$work/old-package
    mkdir -p "$tree/DEBIAN"
    dpkg-query -L taciturn | sed '/^\/\.$/d' >"$work/old-files"
    while read -r name; do
        # A directory may be a link to another one here; and some systems leave documents out.
        if [ -d "$name" ]; then
            mkdir -p "$tree$name" && chown --reference="$name/." "$tree$name" && chmod --reference="$name/." "$tree$name"
        elif [ -e "$name" ]; then
            cp -a "$name" "$tree$name"
        fi || return 1
    done <"$work/old-files"
    for part in conffiles md5sums postinst postrm preinst prerm; do
        if [ -e "/var/lib/dpkg/info/taciturn.$part" ]; then
            cp -p "/var/lib/dpkg/info/taciturn.$part" "$tree/DEBIAN/$part"
        fi
    done
    dpkg-query -s taciturn | sed '/^Status: /d; /^Conffiles:/,/^[^ C]/{/^Conffiles:/d;/^ /d;}' >"$tree/DEBIAN/control"
    quietly dpkg-deb --build "$tree" "$work/old.deb"
}

install_package() {
    file=taciturn_${version}_$package_architecture.deb
    fetch_checked "$file"
    if package_is_installed; then repack || die "the installed package could not be saved: nothing was changed"; fi
    remember
    changing=yes
    hold_start
    apt_install "$work/download/$file"
    status=$?
    release_start
    [ "$status" = 0 ] || die "the package could not be installed; the output of apt-get is above"
    turnctl=/usr/bin/turnctl
}

undo_package() {
    release_start
    hold_start
    if [ -e "$work/old.deb" ]; then
        apt_install "$work/old.deb"
    elif [ -z "$(package_state)" ]; then
        :
    elif [ -n "$package_before$had_user" ]; then
        apt_remove remove
    else
        apt_remove purge
    fi
    status=$?
    release_start
    if [ -z "$package_before" ]; then
        for name in /usr/bin/taciturn /usr/bin/turnctl; do
            if [ -e "$work/before$name" ]; then cp -p "$work/before$name" "$name" || status=1; fi
        done
    fi
    return "$status"
}

# --- The programs ---------------------------------------------------------------------------------

list() { printf '%s\n' "$1" | tee -a "$MANIFEST" >>"$work/new-files"; }

# make_directory DIRECTORY: with those above it; the ones that are new are listed
make_directory() {
    if [ -d "$1" ]; then return 0; fi
    make_directory "$(dirname "$1")" && mkdir "$1" && list "$1/"
}

# put SOURCE DESTINATION MODE: whole or not at all
put() {
    make_directory "$(dirname "$2")" && mkdir -p "$work/before$(dirname "$2")" || return 1
    if [ -e "$2" ] && [ ! -e "$work/before$2" ]; then cp -p "$2" "$work/before$2" || return 1; fi
    list "$2" || return 1
    cp "$1" "$2.new" && chmod "$3" "$2.new" && mv -f "$2.new" "$2"
}

# put_all DIRECTORY DESTINATION: every file below DIRECTORY
put_all() {
    (cd "$1" && find . -type f) | sed 's|^\./||' | while read -r name; do
        put "$1/$name" "$2/$name" 644 || exit 1
    done
}

# Written before each file is, so that it names all of them whenever this script ends.
begin_manifest() {
    directory=$(dirname "$MANIFEST")
    if [ -d "$directory" ]; then return 0; fi
    mkdir -p "$directory" && printf '%s/\n' "$directory" | tee "$MANIFEST" >"$work/new-files"
}

# remove_listed FILE: what the list in FILE names, and the directories that are empty then
remove_listed() {
    sort -ru "$1" | while read -r name; do
        case $name in
        */) rmdir "$name" 2>/dev/null ;;
        *) rm -f "$name" ;;
        esac
    done
    return 0
}

put_programs() {
    put "$tree/bin/taciturn" "$PREFIX/bin/taciturn" 755 &&
        put "$tree/bin/turnctl" "$PREFIX/bin/turnctl" 755 &&
        put_all "$tree/share/man" "$PREFIX/share/man" &&
        put_all "$tree/share/bash-completion" "$PREFIX/share/bash-completion" &&
        put_all "$tree/share/zsh/vendor-completions" "$PREFIX/share/zsh/site-functions" &&
        put_all "$tree/share/fish" "$PREFIX/share/fish" &&
        put_all "$tree/share/doc/taciturn" "$PREFIX/share/doc/taciturn/docs" &&
        put_all "$tree/config" "$PREFIX/share/doc/taciturn/config" &&
        put_all "$tree/licences" "$PREFIX/share/doc/taciturn/licences" &&
        put "$tree/README.md" "$PREFIX/share/doc/taciturn/README.md" 644 || return 1
    # The second one is not enabled: docs/kernel-relay.md.
    for name in taciturn.service taciturn-kernel-relay.service; do
        sed "s|=/usr/bin/|=$PREFIX/bin/|; s|/usr/share/doc/|$PREFIX/share/doc/|" "$tree/systemd/$name" >"$work/$name" &&
            put "$work/$name" "$UNITS/$name" 644 || return 1
    done
}

make_user() {
    if [ -z "$had_group" ]; then groupadd --system taciturn || return 1; fi
    if [ -z "$had_user" ]; then
        useradd --system --gid taciturn --home-dir "$STATE" --no-create-home --shell /usr/sbin/nologin \
            --comment "TURN/STUN relay" taciturn || return 1
    fi
    mkdir -p /etc/taciturn && chgrp taciturn /etc/taciturn && chmod 750 /etc/taciturn || return 1
    if [ ! -e "$CONFIG" ]; then cp "$tree/config/taciturn.toml" "$CONFIG" && chgrp taciturn "$CONFIG" && chmod 640 "$CONFIG"; fi
}

install_programs() {
    file=taciturn-$version-$architecture.tar.gz
    fetch_checked "$file"
    tar -C "$work" -xzf "$work/download/$file" || die "$file cannot be unpacked: nothing was changed"
    tree=$work/taciturn-$version-$architecture
    remember
    changing=yes
    : >"$work/old-files"
    : >"$work/new-files"
    if [ -e "$MANIFEST" ]; then cp "$MANIFEST" "$work/old-files"; fi
    if ! begin_manifest || ! put_programs || ! make_user; then die "the programs could not be installed"; fi
    turnctl=$PREFIX/bin/turnctl
    quietly "$turnctl" --version || die "the programs of $file do not run here"
    if has restorecon; then xargs restorecon <"$work/new-files" 2>/dev/null; fi
    systemctl daemon-reload
    if [ -n "$start" ] || [ -n "$was_enabled" ]; then quietly systemctl enable taciturn || die "systemctl enable failed"; fi
}

# Once the server runs: away with what is of an earlier version.
settle_programs() {
    sort -u "$work/new-files" >"$work/files"
    sort -u "$work/old-files" | comm -23 - "$work/files" | grep -v '/$' >"$work/left"
    remove_listed "$work/left"
    sort -u "$work/new-files" "$work/old-files" | comm -23 - "$work/left" >"$MANIFEST"
}

undo_programs() {
    if [ -z "$was_enabled" ]; then systemctl disable taciturn >/dev/null 2>&1; fi
    while read -r name; do
        case $name in
        */) printf '%s\n' "$name" ;;
        *)
            printf '%s.new\n' "$name"
            if [ -e "$work/before$name" ]; then cp -p "$work/before$name" "$name"; else printf '%s\n' "$name"; fi
            ;;
        esac
    done <"$work/new-files" >"$work/made"
    if [ -s "$work/old-files" ]; then cp "$work/old-files" "$MANIFEST"; else rm -f "$MANIFEST"; fi
    remove_listed "$work/made"
    if [ -z "$had_user" ] && getent passwd taciturn >/dev/null; then userdel taciturn; fi
    if [ -z "$had_group" ] && getent group taciturn >/dev/null; then groupdel taciturn; fi
    return 0
}

# --- Configure, start, tell --------------------------------------------------------------------------

configure() {
    if [ -n "$domain" ] && ! has_settings "$CONFIG"; then
        set -- init --domain "$domain" --force
        [ -z "$pangolin" ] || set -- "$@" --pangolin "$pangolin"
        [ -z "$external_ip" ] || set -- "$@" --external-ip "$external_ip"
        # Its steps are those of this script; its warnings are not.
        "$turnctl" "$@" >"$work/steps" || die "turnctl init failed"
        for name in "$CONFIG" "$SECRET"; do
            if ! chgrp taciturn "$name" || ! chmod 640 "$name"; then die "the server could not be given $name"; fi
        done
    elif [ -n "$domain" ]; then
        warn "note: $CONFIG was kept as it is; turnctl init --domain $domain --force writes a new one"
    elif [ -n "$external_ip" ] && ! has_settings "$CONFIG"; then
        # In front of every section.
        sed -i "1i external_ip = \"$external_ip\"" "$CONFIG" || die "$CONFIG cannot be written"
    fi
    # Traefik's certificates are for root alone: root without any capability reads them.
    if grep -q '^acme = ' "$CONFIG" && ! grep -qs '^User=root' "$DROP_INS"/*.conf; then
        mkdir -p "$DROP_INS" || die "$DROP_INS could not be made"
        printf '[Service]\nUser=root\nGroup=root\nProtectHome=read-only\n' >"$DROP_INS/acme.conf" ||
            die "$DROP_INS/acme.conf could not be written"
        systemctl daemon-reload
    fi
}

start_server() {
    if [ -z "$start" ]; then return 0; fi
    if ! systemctl restart taciturn || ! quietly "$turnctl" health --config "$CONFIG"; then
        journalctl -u taciturn --no-pager -n 20 2>/dev/null | grep -v -- '-- No entries' >&2
        die "the server does not run; its log is above"
    fi
}

# The lines that open the ports, for the firewall that this machine has.
firewall() {
    if has firewall-cmd && ! has ufw; then
        "$turnctl" snippet ufw --config "$CONFIG" 2>/dev/null |
            sed -n 's/^ufw allow \(.*\)/firewall-cmd --permanent --add-port=\1/p' | tr : -
        say "firewall-cmd --reload"
    elif has nft && ! has ufw; then
        "$turnctl" snippet nft --config "$CONFIG" 2>/dev/null
    else
        "$turnctl" snippet ufw --config "$CONFIG" 2>/dev/null
    fi
}

# What does not go to a terminal ends in logs, and has the name of the secret's file in place of the secret.
block() {
    if [ -t 1 ]; then
        "$turnctl" homeserver-snippet --config "$CONFIG"
    elif [ -e "$SECRET" ]; then
        "$turnctl" homeserver-snippet --config "$CONFIG" --secret-path "$SECRET"
    else
        "$turnctl" homeserver-snippet --config "$CONFIG" --secret-path "$STATE/turn_secret"
    fi
}

tell() {
    if [ -n "$start" ]; then
        say "taciturn $version runs." ""
    else
        say "taciturn $version is installed, and not started: systemctl enable --now taciturn" ""
    fi
    if grep -sqE "^$domain\.  A" "$work/steps"; then
        say "DNS, at the provider of your domain (without a proxy such as Cloudflare's orange cloud):" ""
        grep -E "^$domain\.  A" "$work/steps"
        say ""
    fi
    say "1. Open these ports, here and in the panel of your provider:" ""
    firewall
    say "" "2. At the end of Synapse's homeserver.yaml, in place of its lines that begin with turn_:" ""
    if [ -n "$start" ]; then block; else say "$turnctl homeserver-snippet --config $CONFIG   (once it runs)"; fi
    say "" "3. Restart Synapse. Then test: $turnctl doctor --config $CONFIG"
}

# --- Away with it ------------------------------------------------------------------------------------

uninstall() {
    if [ -e "$MANIFEST" ]; then
        systemctl disable --now taciturn >/dev/null 2>&1
        # An earlier version has none.
        systemctl disable --now taciturn-kernel-relay >/dev/null 2>&1
        cp "$MANIFEST" "$work/files" && rm -f "$MANIFEST"
        remove_listed "$work/files"
    elif has dpkg-query && [ -n "$(package_state)" ]; then
        apt_remove "$(if [ -n "$purge" ]; then echo purge; else echo remove; fi)" || die "apt-get failed; its output is above"
    else
        say "taciturn is not installed."
    fi
    if [ -n "$purge" ]; then
        rm -rf /etc/taciturn "$STATE" "$DROP_INS"
        if getent passwd taciturn >/dev/null; then userdel taciturn 2>/dev/null; fi
        if getent group taciturn >/dev/null; then groupdel taciturn; fi
    fi
    systemctl daemon-reload
    systemctl reset-failed taciturn >/dev/null 2>&1
    if [ -z "$purge" ] && [ -d /etc/taciturn ]; then
        say "taciturn is gone. /etc/taciturn and $STATE are still there: install.sh --uninstall --purge"
    elif [ -n "$purge" ]; then
        say "taciturn is gone, with its configuration and its secret."
    fi
}

main() {
    read_arguments "$@"
    [ "$(id -u)" = 0 ] || die "run it as root: sudo sh install.sh"
    work='' changing='' made_policy=''
    check_machine
    trap finish EXIT
    trap 'exit 130' INT TERM HUP
    work=$(mktemp -d) || die "mktemp failed"
    if [ -n "$uninstall" ]; then
        uninstall
        exit 0
    fi
    choose_way
    check_ports
    find_release
    ask_domain
    "install_$way"
    configure
    start_server
    if [ "$way" = programs ]; then settle_programs; fi
    changing=
    tell
}

main "$@"
