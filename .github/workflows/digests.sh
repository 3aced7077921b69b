#!/usr/bin/env bash
# Print the SHA-256 of each file of a submission, as `sha256sum --check` in its folder takes them.
# usage: digests.sh NAME, where results/submissions lies
set -euo pipefail
name=$1
if ! [[ $name =~ ^[a-z0-9][a-z0-9-]{0,39}$ ]]; then
    echo "That is no name of a submission." >&2
    exit 2
fi
folder=results/submissions/$name
if [ ! -f "$folder/submission.toml" ]; then
    echo "There is no submission $folder." >&2
    exit 2
fi
if [ -n "$(find "$folder" ! -type f ! -type d -print -quit)" ]; then
    echo "$folder holds a link or a device, which nobody can sign." >&2
    exit 2
fi
cd "$folder"
find . -type f -printf '%P\0' | LC_ALL=C sort --zero-terminated | xargs --null sha256sum --
