# shellcheck shell=bash
# Cargo's part of the tests.

cargo_build() {
    (cd "$ROOT" && timeout 1200 cargo build --release --locked </dev/null)
}

# Runs cargo test; prints a line for each program of tests, counts each test.
cargo_test() {
    local log=$LOGS/unit.log status
    mkdir -p "$LOGS"
    (cd "$ROOT" && timeout 1200 cargo test --locked --no-fail-fast </dev/null) >"$log" 2>&1
    status=$?
    report_cargo_test "$log"
    # Not built, ended by a signal, out of time: no single test says so.
    if [ $status != 0 ] && ! grep -q '^test .* FAILED$' "$log"; then
        record FAIL unit/cargo-test
        printf 'FAIL unit/cargo-test: cargo test ended with %s\n%s\n     full log: %s\n' \
            "$status" "$(tail -n 25 "$log" | sed 's/^/     | /')" "$log"
    elif [ $status != 0 ]; then
        sed -n '/^failures:$/,/^test result:/p' "$log" | tail -n 60 | sed 's/^/     | /'
        say "     full log: $log"
    fi
}

# report_cargo_test LOG: from "Running PROGRAM" and "test result: ..." lines
report_cargo_test() {
    local program=cargo line passed failed ignored seconds
    while read -r line; do
        case $line in
        "Running "*) program=$(sed -E 's/^Running (unittests )?([^ ]+).*/\2/' <<<"$line") ;;
        "Doc-tests "*) program=documentation ;;
        "test "*" ... FAILED")
            line=${line#test }
            record FAIL "unit/$program: ${line% ... FAILED}"
            say "FAIL unit/$program: ${line% ... FAILED}"
            ;;
        "test result: "*)
            passed=$(number_before passed "$line") failed=$(number_before failed "$line")
            ignored=$(number_before ignored "$line")
            seconds=$(sed -E 's/.*finished in //' <<<"$line")
            [ "$passed" = 0 ] || record PASS "unit/$program" "$passed"
            [ "$ignored" = 0 ] || record SKIP "unit/$program" "$ignored"
            [ "$passed$failed$ignored" = 000 ] ||
                say "$([ "$failed" = 0 ] && echo PASS || echo FAIL) unit/$program $seconds ($passed passed, $failed failed, $ignored ignored)"
            ;;
        esac
    done <"$1"
}

number_before() {
    sed -E "s/.* ([0-9]+) $1.*/\1/" <<<"$2"
}
