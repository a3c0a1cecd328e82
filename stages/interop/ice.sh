# shellcheck shell=bash
# An application has credentials made by POST /ice, as `turnctl snippet ice` shows it, and coturn's client has a call with
# them. The case has a server of its own.
# shellcheck disable=SC2153  # DIR and more come from stages/interop/run

# NAME NEEDS
ices() {
    select_cases "${PATTERNS[@]}" <<'CASES'
ice                   udp
CASES
}

run_ices() {
    local name
    while read -r name _; do run_test "interop/$name$SUFFIX" ice_case; done < <(ices)
}

ice_case() {
    local dir=$DIR/server-ice status
    mkdir -p "$dir"
    openssl rand -hex 24 >"$dir/token"
    cat >"$dir/taciturn.toml" <<TOML
external_ip = "$SERVER4"
host = "$SERVER4"
relay_ports = "58400-58499"
state_dir = "$dir"

[auth]
secrets = ["$SECRET"]
secret_hashes = ["sha256", "sha1"]

[ice]
token_files = ["$dir/token"]

[peers]
allow = ["127.0.0.0/8", "$PEER4/32"]

[admin]
metrics = "127.0.0.1:9741"

[protocol]
rfc5766_channels = true

[[listen]]
transport = "udp"
address = "$SERVER4:4578"
TOML
    chmod 600 "$dir"/*
    # The server refuses variables of its prefix that are no keys.
    start_process "$dir" env -u TACITURN_BIN "${TACITURN_BIN:-$TARGET_DIR/release/taciturn}" \
        --config "$dir/taciturn.toml" || return 1
    wait_for 10 listening udp "$SERVER4" 4578 && ice_calls "$dir"
    status=$?
    stop_process "$dir" || status=1
    ! grep -n "panicked at" "$dir/output.log" || status=1
    # Neither a token nor a password is ever told.
    ! grep -F -f <(cat "$dir/token"; jq -r '.iceServers[].credential' "$dir"/*.json) "$dir/output.log" || status=1
    return $status
}

# ice_calls DIRECTORY
ice_calls() {
    local dir=$1 snippet curl token by user
    snippet=$(env -u TACITURN_BIN "${TURNCTL_BIN:-$TARGET_DIR/release/turnctl}" snippet ice --config "$dir/taciturn.toml") || return 1
    say "$snippet"
    token=$(cat "$dir/token")
    curl=$(sed -n '/^.. .*| curl /{ s#^//   ##; s#| curl #| curl --silent --max-time 10 #; p }' <<<"$snippet")
    ICE_TOKEN=$token ip netns exec "$NETNS" bash -c "$curl" >"$dir/curl.json" || return 1
    ICE_TOKEN=$token ip netns exec "$NETNS" node -e "$snippet
        iceServers('bob').then((answer) => console.log(JSON.stringify(answer)))" >"$dir/fetch.json" || return 1
    ! ICE_TOKEN=wrong ip netns exec "$NETNS" bash -c "$curl" || return 1
    for by in curl:alice fetch:bob; do
        user=${by#*:} by=$dir/${by%:*}.json
        [ "$(jq -r '.iceServers[0].urls[0]' "$by")" = "turn:$SERVER4:4578?transport=udp" ] || return 1
        OUTPUT=$(timeout 60 ip netns exec "$CLIENTS" turnutils_uclient -p 4578 \
            -u "$(jq -r '.iceServers[0].username' "$by")" -w "$(jq -r '.iceServers[0].credential' "$by")" \
            -e "$PEER4" "$SERVER4" 2>&1)
        judge 10 "$?" "" || { say "$OUTPUT"; return 1; }
        # As the operator sees it.
        grep -q "user=\"*[0-9]*:$user" "$dir/output.log" || { tail "$dir/output.log"; return 1; }
    done
    kernel_has_relayed "$dir/control.sock"
}
