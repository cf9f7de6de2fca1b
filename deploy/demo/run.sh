#!/bin/sh
# The main job, step by step, on this machine: each line after a `$` is a command that was run.
# Stops by itself and leaves nothing running; `make demo` builds what it needs first.
set -eu
cd "$(dirname "$0")/../.."
PATH=$PWD/target/debug:$PWD/target/debug/examples:$PATH
home=target/demo
rm -rf "$home"
mkdir -p "$home"
export GANDER_DATA=$home/data GANDER_LOG=warn
# Ports that are taken here can be replaced: GANDER_NATS_PORT=24222 make demo
export GANDER_HTTP_LISTEN="${GANDER_HTTP_LISTEN:-127.0.0.1:18080}"
export GANDER_GRPC_LISTEN="${GANDER_GRPC_LISTEN:-127.0.0.1:17700}"
export GANDER_OPS_LISTEN="${GANDER_OPS_LISTEN:-127.0.0.1:17701}" GANDER_NATS_PORT="${GANDER_NATS_PORT:-14222}"
export GANDER_SERVER=http://$GANDER_GRPC_LISTEN GANDER_GATEWAY=http://$GANDER_HTTP_LISTEN
export GANDER_CREDENTIAL_FILE=$home/credential

up=
subscriber=
finish() {
    [ -z "$subscriber" ] || kill "$subscriber" 2>/dev/null || true
    [ -z "$up" ] || kill -INT "$up" 2>/dev/null || true
    wait
}
trap finish EXIT
trap 'exit 130' INT TERM

step() { printf '\n%s\n' "$*"; }
show() { echo "\$ $*"; }
run() {
    show "$@"
    "$@"
}
# Sends a payload; the answer must be this one.
send() { # STATUS FILE
    set -- "$1" gander send --token-file "$home/token" --from Alertmanager "$2"
    wanted=$1
    shift
    show "$@"
    "$@" >"$home/answer"
    cat "$home/answer"
    grep -q "^$wanted" "$home/answer" || {
        echo "the demo stops: $wanted was expected" >&2
        exit 1
    }
}
# Waits at most 30 s until a file has so many lines that fit.
await() { # FILE PATTERN LINES
    tries=0
    until [ "$(grep -c -- "$2" "$1" 2>/dev/null)" -ge "$3" ] 2>/dev/null; do
        tries=$((tries + 1))
        if [ "$tries" -gt 300 ] || ! kill -0 "$up" 2>/dev/null; then
            echo "the demo stops: waited in vain for '$2' in $1:" >&2
            cat "$1" >&2
            exit 1
        fi
        sleep 0.1
    done
}

step "1. Everything on this machine: nats-server, admin, a gateway and a worker"
show "export PATH=\$PWD/target/debug:\$PWD/target/debug/examples:\$PATH $(env | grep ^GANDER | sort | xargs)"
show gander up
gander up >"$home/up.log" 2>&1 &
up=$!
await "$home/up.log" "Next, make" 1
sed -n 2,4p "$home/up.log"

step "2. A subscriber, a program of its own that speaks only NATS"
show subscriber nats://127.0.0.1:$GANDER_NATS_PORT "$GANDER_DATA/nats/keys/operator.nk"
subscriber nats://127.0.0.1:$GANDER_NATS_PORT "$GANDER_DATA/nats/keys/operator.nk" >"$home/events" 2>&1 &
subscriber=$!

step "3. Who administers: the first Global Admin, with the one-time credential of the first start"
run gander principal create ada --role global-admin --bootstrap-file "$GANDER_DATA/bootstrap-credential"

step "4. Who gets incidents: a team, its service, and the filter that opens and closes them"
run gander team create Payments
run gander service create Payments/Checkout
run gander filter add Payments/Checkout alertmanager --when status=firing \
    --title-from commonLabels.alertname --map-with groupKey \
    --resolve-when status=resolved --resolve-with groupKey

step "5. Who may send: a token for this service"
run gander token create alertmanager --service Payments/Checkout --secret-file "$home/token"

step "6. Prometheus Alertmanager fires: 201, an incident is created"
send 201 deploy/demo/alertmanager-firing.json
run gander incident list
echo "It fires again: 200, a duplicate; no second incident"
send 200 deploy/demo/alertmanager-firing.json
echo "The trouble is over: 200, the incident is resolved"
send 200 deploy/demo/alertmanager-resolved.json

step "7. What the subscriber has read from NATS: three events of one incident"
await "$home/events" "gander.incident" 3
cat "$home/events"
step "Done. Everything stops now. To try it yourself: gander up (see README.md)"
