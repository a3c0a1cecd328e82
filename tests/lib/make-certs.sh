#!/bin/bash
# make-certs.sh DIR NAME_OR_ADDRESS...: a throw-away CA and a server certificate for the tests.
# Leaves DIR/ca.crt, DIR/server.crt and DIR/server.key; does nothing where they are there already.
# Where only DIR/server.crt is missing, a new one of the same CA is made.
set -euo pipefail

dir=$1
shift
# Tests that run side by side share the directory: one makes the files, the others wait.
mkdir -p "$dir"
exec 9>"$dir/lock"
flock 9
[ ! -f "$dir/server.crt" ] || exit 0

curve=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
alternative_names=
for name in "$@"; do
    case $name in
    *:* | [0-9]*.[0-9]*.[0-9]*.[0-9]*) alternative_names+="${alternative_names:+,}IP:$name" ;;
    *) alternative_names+="${alternative_names:+,}DNS:$name" ;;
    esac
done

if [ ! -f "$dir/ca.crt" ]; then
    openssl req -x509 "${curve[@]}" -days 30 -subj "/CN=taciturn test CA" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
        -keyout "$dir/ca.key" -out "$dir/ca.crt" 2>/dev/null
fi
openssl req "${curve[@]}" -subj "/CN=turn.e2e.test" \
    -keyout "$dir/server.key" -out "$dir/server.csr" 2>/dev/null
cat >"$dir/server.ext" <<EXT
subjectAltName=$alternative_names
extendedKeyUsage=serverAuth
keyUsage=critical,digitalSignature
basicConstraints=critical,CA:FALSE
EXT
openssl x509 -req -in "$dir/server.csr" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -CAcreateserial \
    -days 30 -extfile "$dir/server.ext" -out "$dir/server.crt.new" 2>/dev/null
# Last, and whole: its presence is what the next caller looks for.
mv "$dir/server.crt.new" "$dir/server.crt"
# coturn gives root away before it reads the key.
chmod 644 "$dir/server.key"
