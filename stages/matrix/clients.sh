# shellcheck shell=bash
# The cases with other clients than Matrix's, relay only and without the homeserver; sourced by `run`.

PEERS=$ROOT/stages/e2e/peers
PION=$TARGET_DIR/pion-peer

# peer NAME: its command, as call.mjs takes it
peer() {
    case $1 in
    chromium) echo chromium ;;
    aiortc) echo "$TARGET_DIR/python-aiortc/bin/python $PEERS/aiortc_peer.py" ;;
    pion) echo "$PION" ;;
    node-datachannel) echo "node $PEERS/node-datachannel-peer.mjs" ;;
    werift) echo "node $PEERS/werift-peer.mjs" ;;
    gstreamer) echo "/usr/bin/python3 $PEERS/gstreamer_peer.py" ;;
    nice) echo "/usr/bin/python3 $PEERS/nice_peer.py" ;;
    esac
}

# Words for `needs` in cases.txt.
clients_that_are_there() {
    local types=/usr/lib/x86_64-linux-gnu/girepository-1.0
    [ ! -x "$TARGET_DIR/python-aiortc/bin/python" ] || echo aiortc
    [ ! -d "$PEERS/.cache/node_modules" ] || echo modules
    [ ! -d /usr/share/gocode/src/github.com/pion/webrtc ] || ! command -v go >/dev/null || echo pion
    [ ! -f $types/Nice-0.1.typelib ] || echo nice
    [ ! -f $types/GstWebRTC-1.0.typelib ] || echo gst
}

# peers A B ARGUMENT...: a call between those two, judged by stages/e2e/call.mjs
peers() {
    local a=$1 b=$2
    shift 2
    if [[ "$a $b" == *pion* ]]; then build_pion || return 1; fi
    relay TRANSPORTS="udp tcp tls dtls" || return 1
    node "$ROOT/stages/e2e/call.mjs" --server "$SERVER_ADDRESS" --host turn.e2e.test --ca "$DIR/certs/ca.crt" \
        --namespaces "$PREFIX-a,$PREFIX-b" --peers "$(peer "$a"),$(peer "$b")" \
        --user @alice:e2e.test --secret "$SECRET" --json "$DIR/results/$CASE.json" "$@"
}

build_pion() {
    PION_VERSION=$(dpkg-query --show --showformat='${Version}' golang-github-pion-webrtc.v3-dev)
    export PION_VERSION
    GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE=$TARGET_DIR/go-cache timeout 300 \
        go build -o "$PION" "$PEERS/pion_peer.go"
}
