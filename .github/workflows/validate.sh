#!/usr/bin/env bash
# Validate each submission of the checkout THEIRS that the checkout MAIN has not as it is; with
# /dev/null as MAIN, all of them. Nothing of a submission is run.
# usage: validate.sh MAIN THEIRS
set -euo pipefail
main=$1 theirs=$2
for folder in "$theirs" "$theirs/results" "$theirs/results/submissions"; do
    if [ -L "$folder" ]; then
        echo "$folder is a link, of which no results are made." >&2
        exit 2
    fi
done
checked=0
shopt -s nullglob dotglob
for path in "$theirs"/results/submissions/*; do
    name=${path##*/}
    if [ "$name" = README.md ] && [ -f "$path" ] && [ ! -L "$path" ]; then
        continue
    fi
    if diff -rq --no-dereference "$main/results/submissions/$name" "$path" > /dev/null 2>&1; then
        continue
    fi
    emsym-bench validate "$path"
    checked=$((checked + 1))
done
echo "$checked submissions were checked."
