#!/bin/sh
# Builds the program of the build before into target/previous, once.
set -eu
cd "$(dirname "$0")/.."
commit=$(grep -v '^#' tools/previous.txt)
source=target/previous/source
if [ "$(cat target/previous/commit 2>/dev/null)" = "$commit" ]; then
    exit 0
fi
git cat-file -e "$commit^{commit}" 2>/dev/null || {
    echo "commit $commit is not in this clone: git fetch --unshallow" >&2
    exit 1
}
rm -rf "$source"
mkdir -p "$source"
git archive "$commit" | tar -x -C "$source"
echo "building $commit (some minutes)"
cargo build --quiet --locked --manifest-path "$source/Cargo.toml" --target-dir target/previous/build --bin gander
echo "$commit" >target/previous/commit
