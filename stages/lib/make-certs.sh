#!/bin/bash
# make-certs.sh DIR NAME_OR_ADDRESS...: certificates for the tests, by the script that users have.
exec "$(dirname "$0")/../../certs.example/make-test-certificates" "$@"
