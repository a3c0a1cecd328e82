#!/bin/bash
# One STUN Binding request (RFC 8489 section 2), and the XOR-MAPPED-ADDRESS of its answer.
#
#   binding.sh tls SOURCE ADDRESS PORT [ARGUMENT of openssl s_client...]
#   binding.sh tcp ADDRESS PORT [LINE]        with LINE before the request
#
# Prints ADDRESS:PORT. Exits with 3 where the connection ends without an answer.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib/process.sh"

COOKIE=2112a442

# A connection that the server has closed is an exit status of ours, not a signal.
trap '' PIPE

# The next bytes of the answer, as hexadecimal digits.
take() {
    { dd bs=1 count="$1" <&"$ANSWERS" 2>/dev/null || true; } | od -An -v -tx1 | tr -d ' \n'
}

# give HEX: the bytes, in one write
give() {
    local at format=
    for ((at = 0; at < ${#1}; at += 2)); do format+="\\x${1:at:2}"; done
    # shellcheck disable=SC2059  # the format is the bytes
    printf "$format"
}

connect_tls() {
    local source=$1 server=$2 port=$3
    shift 3
    coproc openssl s_client -quiet -bind "$(bracketed "$source"):0" \
        -connect "$(bracketed "$server"):$port" "$@"
    # shellcheck disable=SC2154  # coproc sets it
    trap 'kill "$COPROC_PID" 2>/dev/null' EXIT
    # Copies: the pipes of a coproc are closed in subshells.
    exec {ANSWERS}<&"${COPROC[0]}" {REQUESTS}>&"${COPROC[1]}"
}

connect_tcp() {
    exec {ANSWERS}<>"/dev/tcp/$1/$2"
    REQUESTS=$ANSWERS
}

# unmask HEX MASK: each digit of HEX xored with that of MASK
unmask() {
    local at out=
    for ((at = 0; at < ${#1}; at += 2)); do
        out+=$(printf '%02x' $((0x${1:at:2} ^ 0x${2:at:2})))
    done
    printf '%s' "$out"
}

# The value of XOR-MAPPED-ADDRESS (RFC 8489 section 14.2) as an address.
address_of() {
    local value=$1 port digits at text=
    port=$((0x$(unmask "${value:4:4}" "${COOKIE:0:4}")))
    digits=$(unmask "${value:8}" "$COOKIE$TRANSACTION")
    if [ "${value:2:2}" = 01 ]; then
        printf '%d.%d.%d.%d:%d\n' "0x${digits:0:2}" "0x${digits:2:2}" "0x${digits:4:2}" "0x${digits:6:2}" "$port"
        return
    fi
    for ((at = 0; at < 32; at += 4)); do text+=$(printf ':%x' "0x${digits:at:4}"); done
    # The addresses of the tests have one run of zeros.
    sed -E "s/^:(.*)\$/[\1]:$port/; s/(:0)+:/::/" <<<"$text"
}

case $1 in
tls) connect_tls "${@:2}" ;;
tcp)
    connect_tcp "$2" "$3"
    [ -z "${4:-}" ] || printf '%s\r\n' "$4" >&"$REQUESTS" || exit 3
    ;;
esac
TRANSACTION=$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')
give "00010000$COOKIE$TRANSACTION" >&"$REQUESTS" || exit 3

header=$(take 20)
[ ${#header} = 40 ] || exit 3
[ "${header:0:4}${header:8}" = "0101$COOKIE$TRANSACTION" ] || { echo "not the answer: $header" >&2; exit 1; }
attributes=$(take $((0x${header:4:4})))
while [ -n "$attributes" ]; do
    length=$((0x${attributes:4:4}))
    if [ "${attributes:0:4}" = 0020 ]; then
        address_of "${attributes:8:2*length}"
        exit 0
    fi
    attributes=${attributes:8 + 2 * ((length + 3) / 4 * 4)}
done
echo "no XOR-MAPPED-ADDRESS in the answer" >&2
exit 1
