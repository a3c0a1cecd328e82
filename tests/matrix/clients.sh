# shellcheck shell=bash
# The cases with other clients than browsers; sourced by `run`.

clients_that_are_there() { :; }
