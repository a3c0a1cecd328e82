# shellcheck shell=bash
# Shared by the scripts that make a release: places, the version, the time of the release, and what each
# architecture is called. Source it; it runs nothing.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034  # for the scripts that source this
TARGET_DIR=${CARGO_TARGET_DIR:-$ROOT/target}
# shellcheck disable=SC2034
VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml" | head -n 1)
# The architectures that a release is made for, as uname prints them.
# shellcheck disable=SC2034
ARCHITECTURES=(x86_64 aarch64)
# Where packaging/install-tools puts what Debian has not.
# shellcheck disable=SC2034
TOOLS=$TARGET_DIR/release-tools
# What is made carries the time of the last commit, so that a second run makes the same bytes.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$ROOT" log -1 --format=%ct 2>/dev/null || echo 1)}
export SOURCE_DATE_EPOCH
umask 022

warn() { printf '%s\n' "$*" >&2; }
die() {
    warn "error: $*"
    exit 1
}

# release_notes VERSION: its section of CHANGELOG.md, without the heading
release_notes() {
    awk -v heading="## [$1]" 'index($0, heading) == 1 { on = 1; next } /^## / { on = 0 } on' "$ROOT/CHANGELOG.md" |
        sed '/./,$!d'
}

# The names of an architecture: as uname prints it (x86_64), as Debian and container images have it (amd64).
debian_name() {
    case $1 in
    x86_64) echo amd64 ;;
    aarch64) echo arm64 ;;
    *) die "no release is made for the architecture \"$1\": x86_64 or aarch64" ;;
    esac
}

# What Rust calls it, for programs that are linked statically.
rust_target() { printf '%s-unknown-linux-musl' "$1"; }

# objcopy that knows every architecture comes with Rust; binutils' own knows that of the machine.
object_copy() {
    local sysroot own
    sysroot=$(rustc --print sysroot)
    own=$sysroot/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin/rust-objcopy
    if [ -x "$own" ]; then LD_LIBRARY_PATH=$sysroot/lib "$own" "$@"; else objcopy "$@"; fi
}

# strip_program SOURCE DEBUG_FILE DESTINATION: the program without its symbols, which go into a file that a
# debugger finds by its name
strip_program() {
    object_copy --only-keep-debug "$1" "$2"
    install -D -m 755 "$1" "$3"
    # The list of its crates stays.
    object_copy --strip-all --keep-section=.dep-v0 "$3"
    object_copy --add-gnu-debuglink="$2" "$3"
}

# manual_and_completions TURNCTL SHARE: man pages and completions, as a prefix's share/ has them
manual_and_completions() {
    local turnctl=$1 share=$2 program
    "$turnctl" man "$share/man" 2>/dev/null
    gzip -9n "$share"/man/man?/*
    mkdir -p "$share"/bash-completion/completions "$share"/zsh/vendor-completions "$share"/fish/vendor_completions.d
    for program in turnctl taciturn; do
        "$turnctl" completions bash --program "$program" >"$share/bash-completion/completions/$program"
        "$turnctl" completions zsh --program "$program" >"$share/zsh/vendor-completions/_$program"
        "$turnctl" completions fish --program "$program" >"$share/fish/vendor_completions.d/$program.fish"
    done
}

# linked_crates TARGET: a line for each crate that is linked into the programs: name, version, licence
linked_crates() {
    (cd "$ROOT" && cargo tree --locked --offline --package taciturn --package turnctl --target "$1" --edges normal \
        --prefix none --format '{p} {l}') |
        sed -E 's/ \(\*\)$//; s/ \([^)]*\/[^)]*\)//' | sed '/^$/d' | LC_ALL=C sort -u
}

# packed TAR DIRECTORY NAME: DIRECTORY/NAME as a tar file, the same bytes for the same files
packed() {
    tar --create --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=gnu \
        --directory "$2" "$3" | gzip -9n >"$1"
}
