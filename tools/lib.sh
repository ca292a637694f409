# lib.sh - what the tools share.  Sourced by bash scripts; needs coreutils, sed, grep and awk (mawk will do).
# Sets ROOT (the tree) and TOOL (who speaks in messages).

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TOOL=${TOOL:-${0##*/}}

say() { printf '%s: %s\n' "$TOOL" "$*" >&2; }

# die STATUS MESSAGE...
die() {
    local status=$1
    shift
    say "$*"
    exit "$status"
}

# Makes the private folder TEMP.  When the script ends, its daemons end, the command in AT_EXIT runs, and the folder goes.
temp_make() {
    TEMP=$(mktemp -d "${TMPDIR:-/tmp}/chimaera.XXXXXX") || die 1 "cannot make a folder in ${TMPDIR:-/tmp}: set TMPDIR"
    trap temp_end EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
}
temp_end() {
    local status=$?
    trap '' INT TERM HUP
    daemons_stop
    [ -z "${AT_EXIT:-}" ] || $AT_EXIT
    rm -rf "$TEMP"
    exit "$status"
}

# json_get KEY: the first value of a key in the JSON on standard input, quotes taken off.
json_get() {
    awk -v key="\"$1\"" '
        { text = text $0 " " }
        END {
            at = index(text, key)
            if (!at)
                exit 1
            text = substr(text, at + length(key))
            sub(/^[ \t]*:[ \t]*/, "", text)
            if (substr(text, 1, 1) == "\"") {
                text = substr(text, 2)
                sub(/".*/, "", text)
            } else {
                sub(/[],} \t].*/, "", text)
            }
            print text
        }'
}

# json_sum KEY: the sum of a key's values, wherever they stand; 0 when there is none.
json_sum() {
    awk -v key="\"$1\"" '
        { text = text $0 " " }
        END {
            while ((at = index(text, key)) > 0) {
                text = substr(text, at + length(key))
                value = text
                sub(/^[ \t]*:[ \t]*/, "", value)
                sub(/[],} \t].*/, "", value)
                sum += value
            }
            printf "%.0f\n", sum
        }'
}

# json_text STRING: the string as JSON, with its quotes; control characters become '?'.
json_text() {
    local s
    s=$(printf '%s' "$1" | LC_ALL=C tr '\001-\037\177' '?')
    s=${s//\\/\\\\}
    printf '"%s"' "${s//\"/\\\"}"
}

# wait_for SECONDS COMMAND...: until the command succeeds; fails when the time is over, or when WAIT_PID has ended.
wait_for() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || return 1
        [ -z "${WAIT_PID:-}" ] || kill -0 "$WAIT_PID" 2>/dev/null || return 1
        sleep 0.02
    done
}

DAEMONS=()

# daemon_start NAME [PREFIX...]: starts chimaerad (as an argument of PREFIX) with $TEMP/NAME.yaml and waits until it answers on
# $TEMP/NAME.sock.
daemon_start() {
    local name=$1
    shift
    "$@" "$BIN/chimaerad" --config "$TEMP/$name.yaml" >"$TEMP/$name.log" 2>&1 &
    local pid=$!
    DAEMONS+=("$pid")
    if ! WAIT_PID=$pid wait_for 20 "$BIN/chictl" --socket "$TEMP/$name.sock" status; then
        say "node $name did not start:"
        tail -n 20 "$TEMP/$name.log" >&2
        return 1
    fi
}

# Ends the daemons that daemon_start started, the last one first.  Fails when one did not end well by itself.
daemons_stop() {
    local i pid bad=0
    for ((i = ${#DAEMONS[@]} - 1; i >= 0; i--)); do
        pid=${DAEMONS[i]}
        kill -TERM "$pid" 2>/dev/null
        daemon_ended() { ! kill -0 "$pid" 2>/dev/null; }
        wait_for 10 daemon_ended || kill -KILL "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null || bad=1
    done
    DAEMONS=()
    return $bad
}

# node_config NAME ID CORE IDLE [ROLE PEER PEER_ID]: writes $TEMP/NAME.yaml; with ROLE (server or client) the node has a
# memif port towards PEER.  DEVICE (instead of memif), PORT_MTU, HUGEPAGES, MEMORY and MORE_POOLS (one more of `compose`) may be set.
node_config() {
    local name=$1 id=$2 core=$3 idle=$4 role=${5:-} peer=${6:-} peer_id=${7:-}
    {
        echo "node: {id: $id, name: $name}"
        echo "workers: {cores: [$core], idle: $idle}"
        echo "memory: {hugepages: ${HUGEPAGES:-off}, size: ${MEMORY:-256M}}"
        if [ -n "$role" ]; then
            echo "ports:"
            local device=${DEVICE:-net_memif0,role=$role,socket=$TEMP/link.sock,socket-abstract=no}
            echo "  - {name: p0, device: \"$device\", ip: 10.40.0.$id/24, mtu: ${PORT_MTU:-9000}}"
            echo "cluster: {name: private, peers: [{id: $peer_id, name: $peer, ip: 10.40.0.$peer_id}]}"
        else
            echo "cluster: {name: private}"
        fi
        echo "control: {socket: $TEMP/$name.sock}"
        echo "modules: {path: [$BUILD/lib/chimods]}"
        echo "compose:"
        echo "  - {mod: echo, pool: 100.0, name: echo}"
        echo "  - {mod: perf, pool: 101.0, name: perf}"
        [ -z "${MORE_POOLS:-}" ] || echo "  - $MORE_POOLS"
    } >"$TEMP/$name.yaml"
}

# Builds the programs of a release into $BUILD, with progress; keeps the output in $TEMP/build.log.
release_build() {
    BUILD=$ROOT/build/release
    BIN=$BUILD/bin
    say "building a release into build/release"
    (cd "$ROOT" && cmake --preset release) >"$TEMP/build.log" 2>&1 || { tail -n 30 "$TEMP/build.log" >&2; die 1 "cmake failed"; }
    if [ -t 2 ]; then
        cmake --build "$BUILD" --target "$@" 2>&1 | tee -a "$TEMP/build.log" |
            awk '/^\[[0-9]+\/[0-9]+\]/ { printf "\r\033[K%.100s", $0 > "/dev/stderr"; fflush("/dev/stderr") }
                 END { printf "\r\033[K" > "/dev/stderr" }'
    else
        cmake --build "$BUILD" --target "$@" 2>&1 | tee -a "$TEMP/build.log" |
            awk '/^\[[0-9]+\/[0-9]+\]/ { split($1, n, /[][\/]/); p = int(10 * n[2] / n[3])
                   if (p != last) { print "  built " n[2] " of " n[3] > "/dev/stderr"; fflush("/dev/stderr"); last = p } }'
    fi
    [ "${PIPESTATUS[0]}" -eq 0 ] || { grep -A 15 -E 'FAILED|error:' "$TEMP/build.log" | head -n 40 >&2; die 1 "the build failed"; }
}
