# shellcheck shell=bash
# Cargo's part of the tests.

cargo_build() {
    (cd "$ROOT" && timeout 1200 cargo build --release --locked </dev/null)
}

# What does not build is reported by cargo_test.
cargo_test_build() {
    mkdir -p "$LOGS"
    (cd "$ROOT" && timeout 1200 cargo test --locked --no-run </dev/null) >"$LOGS/unit-build.log" 2>&1 || true
}

# cargo_test NAME [ARGUMENT...]: runs cargo test; prints a line for each program of tests, counts
# each test.
cargo_test() {
    local name=$1 log=$LOGS/$1.log status
    shift
    mkdir -p "$LOGS"
    (cd "$ROOT" && timeout 1200 cargo test --locked --no-fail-fast "$@" </dev/null) >"$log" 2>&1
    status=$?
    report_cargo_test "$name" "$log"
    # Not built, ended by a signal, out of time: no single test says so.
    if [ $status != 0 ] && ! grep -q '^test .* FAILED$' "$log"; then
        record FAIL "$name/cargo-test"
        printf 'FAIL %s/cargo-test: cargo test ended with %s\n%s\n     full log: %s\n' \
            "$name" "$status" "$(tail -n 25 "$log" | sed 's/^/     | /')" "$log"
    elif [ $status != 0 ]; then
        sed -n '/^failures:$/,/^test result:/p' "$log" | tail -n 60 | sed 's/^/     | /'
        say "     full log: $log"
    fi
}

# report_cargo_test NAME LOG: from "Running PROGRAM" and "test result: ..." lines
report_cargo_test() {
    local name=$1 program=cargo line passed failed ignored seconds
    while read -r line; do
        case $line in
        "Running "*) program=$(sed -E 's/^Running (unittests )?([^ ]+).*/\2/' <<<"$line") ;;
        "Doc-tests "*) program=documentation ;;
        "test "*" ... FAILED")
            line=${line#test }
            record FAIL "$name/$program: ${line% ... FAILED}"
            say "FAIL $name/$program: ${line% ... FAILED}"
            ;;
        "test result: "*)
            passed=$(number_before passed "$line") failed=$(number_before failed "$line")
            ignored=$(number_before ignored "$line")
            seconds=$(sed -E 's/.*finished in //' <<<"$line")
            [ "$passed" = 0 ] || record PASS "$name/$program" "$passed"
            [ "$ignored" = 0 ] || record SKIP "$name/$program" "$ignored"
            [ "$passed$failed$ignored" = 000 ] ||
                say "$([ "$failed" = 0 ] && echo PASS || echo FAIL) $name/$program $seconds ($passed passed, $failed failed, $ignored ignored)"
            ;;
        esac
    done <"$2"
}

number_before() {
    sed -E "s/.* ([0-9]+) $1.*/\1/" <<<"$2"
}
