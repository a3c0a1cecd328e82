# shellcheck shell=bash
# The checks of the cases. Each says what it ran and what came of it; its status is the verdict.

# openssl_client ARGUMENT...: one handshake with 127.0.0.1:5349; its words are in OUTPUT.
openssl_client() {
    local command=(openssl s_client -connect 127.0.0.1:5349 -showcerts "$@")
    say "\$ ${command[*]}"
    OUTPUT=$(timeout 20 ip netns exec "$NETNS" "${command[@]}" 2>&1 </dev/null)
    local status=$?
    say "$OUTPUT"
    say "exit status $status"
    return $status
}

expect() {
    grep -qE "$1" <<<"$OUTPUT" && return
    say "NOT MET: the output has \"$1\""
    return 1
}

# check_trusted HOST: the chain is whole for a client that knows the root alone
check_trusted() {
    openssl_client -CAfile "$DIR/certs/root.crt" -verify_return_error \
        -servername "$1" -verify_hostname "$1" || return 1
    expect '^Verify return code: 0 \(ok\)$|^ *Verify return code: 0 \(ok\)$' && expect "^Verified peername: $1$"
}

# check_untrusted HOST: the same client, but with a root that signed nothing
check_untrusted() {
    if openssl_client -CAfile "$DIR/certs/stranger.crt" -verify_return_error -servername "$1"; then
        return 1
    fi
    expect 'unable to get (local )?issuer certificate|self-signed certificate in certificate chain'
}

# check_shows HOST ARGUMENT...: which of the certificates is shown
check_shows() {
    local host=$1
    shift
    openssl_client "$@" || return 1
    expect "^subject=CN = $host$"
}

# check_agrees-on PROTOCOL|none ARGUMENT...
check_agrees-on() {
    local protocol=$1
    shift
    # A client that offers only what the server does not speak is served without an application
    # protocol, not refused as RFC 7301 section 3.2 has it: libwebrtc can be made to offer http/1.1
    # to pass firewalls, and coturn serves it.
    openssl_client -servername turn.e2e.test "$@" || return 1
    if [ "$protocol" = none ]; then
        expect '^No ALPN negotiated$'
    else
        expect "^ALPN protocol: $protocol$"
    fi
}

# check_speaks VERSION ARGUMENT...
check_speaks() {
    local version=$1
    shift
    openssl_client -servername turn.e2e.test "$@" || return 1
    expect "^New, $version, Cipher is|^ +Protocol *: $version$"
}

# check_refused ARGUMENT...: by an alert of the server (handshake_failure or protocol_version), not
# already by OpenSSL, which has to be asked to try such old versions.
check_refused() {
    if openssl_client -servername turn.e2e.test "$@" -cipher 'DEFAULT:@SECLEVEL=0'; then
        return 1
    fi
    expect 'SSL alert number (40|70)$'
}

# check_mapped CLIENT ADDRESS PORT: a Binding request over TLS from CLIENT is answered with the
# address of CLIENT, whoever stands in between.
check_mapped() {
    local mapped
    mapped=$(timeout 20 ip netns exec "$NETNS" "$ROOT/stages/streams/binding.sh" tls "$1" "$2" "$3" \
        -servername turn.e2e.test -CAfile "$DIR/certs/root.crt" -verify_return_error \
        -verify_hostname turn.e2e.test) || return 1
    say "mapped address: $mapped, expected: that of $1"
    [[ $mapped == "$(bracketed "$1")":* ]]
}

# check_called CLIENT ADDRESS PORT: coturn's client makes a call, and the log tells its address
check_called() {
    local output line user=$CASE
    output=$(timeout 60 ip netns exec "$NETNS" turnutils_uclient -t -S -E "$DIR/certs/root.crt" \
        -L "$1" -u "$user" -w "$PASSWORD" -p "$3" -n 5 -c -e 127.0.0.1 "$2" 2>&1)
    say "$output"
    grep -qF "Total lost packets 0 " <<<"$output" && grep -q "tot_recv_msgs=5\b" <<<"$output" || return 1
    wait_for 5 session_of "$user" || { say "no session of $user is in the log"; return 1; }
    line=$(session_of "$user")
    say "$line"
    [[ $line == *"client=$(bracketed "$1"):"* ]]
}

session_of() {
    grep "session ended .*user=\"$1\"" "$DIR/server/output.log"
}

# check_turned-away ADDRESS PORT: a PROXY header from who is no trusted proxy
check_turned-away() {
    local answer status
    answer=$(timeout 20 ip netns exec "$NETNS" "$ROOT/stages/streams/binding.sh" tcp "$1" "$2" \
        'PROXY TCP4 192.0.2.7 203.0.113.9 4711 443')
    status=$?
    say "answer: ${answer:-none}, exit status $status"
    [ -z "$answer" ] && [ "$status" = 3 ] || return 1
    grep "is not in trusted_proxies" "$DIR/server/output.log"
}
