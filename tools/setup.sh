#!/bin/sh
# Fetches what demo and tests need into target/tools, without root. Safe to run twice.
# `sh tools/setup.sh demo` fetches only what the demo needs, `sh tools/setup.sh deploy` also what
# reads the files in deploy/, `hostile` also what attacks, `performance` what draws pictures,
# `instructions` what counts them.
set -eu
cd "$(dirname "$0")/.."
tools=target/tools
known="dd9b8a99f78955e35108355176d2fe61269efb909698eb9fce3d5d81a70e2bda"
mkdir -p "$tools"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "setup: $1" >&2
    exit 1
}

# A part is there when the file that says what it was made from has not changed since.
fresh() { # PART FILE
    [ -e "$tools/$1" ] && [ "$(cat "$tools/$1.from" 2>/dev/null)" = "$(cksum <"$2")" ]
}

nats_server() {
    fresh nats-server tools/nats.txt && return
    echo "setup: fetching nats-server 2.15.1 (19 MB) by hash"
    python3 -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps \
        --only-binary :all: -r tools/nats.txt -d "$work" ||
        fail "pip could not fetch it: is the network up?"
    python3 -c 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])' \
        "$work"/nats_server*.whl "$work/wheel"
    found=$(find "$work/wheel" -name nats-server -type f)
    if [ "$(uname -m)" = x86_64 ]; then
        echo "$known  $found" | sha256sum --check --quiet || fail "nats-server is not the known one"
    fi
    chmod +x "$found"
    mv "$found" "$tools/nats-server"
    cksum <tools/nats.txt >"$tools/nats-server.from"
}

# Packages of Python by hash, in a folder of our own.
packages() { # PART WHAT
    fresh "$1" "tools/$1.txt" && return
    echo "setup: fetching $2 by hash"
    rm -rf "${tools:?}/$1"
    python3 -m pip install --quiet --disable-pip-version-check --no-warn-conflicts \
        --require-hashes --only-binary :all: --target "$tools/$1" -r "tools/$1.txt" ||
        fail "pip could not fetch them: is the network up?"
    cksum <"tools/$1.txt" >"$tools/$1.from"
}

# Clients that nobody here wrote, for the tests.
python_packages() {
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "the tests need Python 3.11 or newer"
    packages python "Python packages for the tests (30 MB)"
}

# What counts instructions.
valgrind() {
    fresh valgrind tools/setup.sh && return
    debian valgrind "$work/valgrind"
    rm -rf "$tools/valgrind"
    mkdir "$tools/valgrind"
    mv "$work/valgrind/usr/bin/valgrind.bin" "$tools/valgrind/valgrind"
    mv "$work/valgrind/usr/libexec/valgrind" "$tools/valgrind/libexec"
    cksum <tools/setup.sh >"$tools/valgrind.from"
}

# Readers of the files in deploy/.
deploy_tools() {
    fresh deploy tools/deploy.txt && return
    echo "setup: fetching hadolint, docker compose and schemas of Kubernetes (46 MB)"
    rm -rf "$tools/deploy"
    python3 -m pip install --quiet --disable-pip-version-check --no-warn-conflicts --no-compile \
        --only-binary :all: --target "$tools/deploy" -r tools/deploy.txt ||
        fail "pip could not fetch them"
    cksum <tools/deploy.txt >"$tools/deploy.from"
}

# Debian's package, unpacked into a folder and not installed; the lists of packages in a folder of
# our own.
debian() { # PACKAGE FOLDER
    echo "setup: fetching Debian's $1 for the tests"
    command -v apt-get >/dev/null || fail "the tests need apt-get (Debian or Ubuntu) to fetch it"
    state=$work/apt
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
    apt() {
        apt-get -qq -o Dir::State="$state" -o Dir::State::lists="$state/lists" \
            -o Dir::Cache="$state/cache" -o Debug::NoLocking=1 -o APT::Sandbox::User="$(id -un)" "$@"
    }
    [ -e "$state/read" ] || apt update || fail "apt-get could not read the lists of packages"
    touch "$state/read"
    (cd "$work" && apt download "$1") || fail "apt-get could not fetch it"
    dpkg-deb --extract "$work/$1"_*.deb "$2"
    rm "$work/$1"_*.deb
}

alertmanager() {
    fresh alertmanager tools/setup.sh && return
    debian prometheus-alertmanager "$work/alertmanager"
    # It looks for its templates in the folder it would be installed to; not installed, it finds
    # them in the folder it runs in. The two paths have the same length.
    rm -rf "$tools/alertmanager"
    mkdir "$tools/alertmanager"
    here=$(printf './%.0s' 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17)
    LC_ALL=C sed "s#/usr/share/prometheus/alertmanager#$here#g" \
        "$work/alertmanager/usr/bin/prometheus-alertmanager" >"$tools/alertmanager/alertmanager"
    chmod +x "$tools/alertmanager/alertmanager"
    cp "$work"/alertmanager/usr/share/prometheus/alertmanager/*.tmpl "$tools/alertmanager/"
    cksum <tools/setup.sh >"$tools/alertmanager.from"
}

# What checks and tests the alert rules.
promtool() {
    fresh promtool tools/setup.sh && return
    debian prometheus "$work/prometheus"
    mv "$work/prometheus/usr/bin/promtool" "$tools/promtool"
    rm -rf "$work/prometheus"
    cksum <tools/setup.sh >"$tools/promtool.from"
}

# Another time for a process, for the tests.
faketime() {
    fresh faketime tools/setup.sh && return
    debian libfaketime "$work/faketime"
    rm -rf "$tools/faketime"
    mkdir "$tools/faketime"
    find "$work/faketime" -name 'libfaketimeMT.so.1' -exec mv {} "$tools/faketime/" \;
    [ -e "$tools/faketime/libfaketimeMT.so.1" ] || fail "libfaketime is not in its package"
    cksum <tools/setup.sh >"$tools/faketime.from"
}

# Clients that send much and that nobody here wrote, with the libraries that a small system has not.
senders() { # FOLDER PROGRAM PACKAGE...
    fresh "$1" tools/setup.sh && return
    folder=$1 program=$2
    shift 2
    for package in "$@"; do
        debian "$package" "$work/$folder"
    done
    rm -rf "${tools:?}/$folder"
    mkdir "$tools/$folder"
    for name in "$program" 'libnghttp2.so.*' 'libjemalloc.so.*' 'libev.so.*'; do
        find "$work/$folder" -name "$name" ! -type d -exec mv {} "$tools/$folder/" \;
    done
    [ -x "$tools/$folder/$program" ] || fail "$program is not in its package"
    cksum <tools/setup.sh >"$tools/$folder.from"
}

h2load() {
    senders h2load h2load nghttp2-client libnghttp2-14 libjemalloc2 libev4
}

python3 -m pip --version >/dev/null 2>&1 ||
    fail "python3 with pip is needed: apt-get install python3-pip"
nats_server
case "${1:-}" in
demo) ;;
deploy) deploy_tools ;;
instructions) valgrind ;;
performance) packages performance "matplotlib (70 MB)" ;;
hostile)
    h2load
    senders slowhttptest slowhttptest slowhttptest
    ;;
*)
    python_packages
    alertmanager
    promtool
    faketime
    h2load
    ;;
esac
"$tools/nats-server" --version
