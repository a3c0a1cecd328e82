#!/bin/bash
# Builds every fuzz target into $OUT, each with the inputs that are kept for it and the longest input that
# is tried. ClusterFuzzLite runs this in the image of the Dockerfile beside it, and sets SRC and OUT.
set -euo pipefail
cd "$SRC/taciturn"

# Optimized, with overflow checks and debug assertions.
cargo fuzz build

built=fuzz/target/x86_64-unknown-linux-gnu/release
for file in fuzz/fuzz_targets/*.rs; do
    target=$(basename "$file" .rs)
    cp "$built/$target" "$OUT/"
    zip -jq "$OUT/${target}_seed_corpus.zip" "fuzz/corpus/$target"/*
    printf '[libfuzzer]\nmax_len = 4096\n' >"$OUT/$target.options"
done
