#!/bin/bash
# tools_test.sh TREE BUILD - chi-perf and chi-demo against two real daemons over memif: what they print, and how they end.
set -u
TOOL=tools_test
. "$1/tools/lib.sh"
BUILD=$2
BIN=$BUILD/bin
temp_make
failed=0
fail() {
    echo "$*"
    failed=1
}
cores=$(nproc)
node_config alpha 1 0 adaptive server beta 2
node_config beta 2 $((1 % cores)) adaptive client alpha 1
# The README's ChiMod runs on node 1, the way that the README says.
awk '/^```c$/ { n++; inside = n == 2; next } /^```/ { inside = 0 } inside' "$1/README.md" >"$TEMP/clock.c"
"$3" -shared -fPIC -fvisibility=hidden -I "$1/include" "$TEMP/clock.c" ${4:+-fsanitize=$4} -o "$TEMP/clock.so" || exit 1
sed -i "s|path: \[|path: [$TEMP, |" "$TEMP/alpha.yaml"
echo "  - {mod: clock, pool: 200.0, name: clock}" >>"$TEMP/alpha.yaml"
daemon_start alpha && daemon_start beta || exit 1
export CHI_SOCKET=$TEMP/alpha.sock
perf=$BIN/chi-perf

# measures COUNT ARGS...: all tasks end well, the contents are right, and the percentiles are in order.
measures() {
    local count=$1 key
    shift
    "$perf" "$@" --count "$count" --json >"$TEMP/out" 2>"$TEMP/err" || fail "chi-perf $*: ended with $?: $(cat "$TEMP/out" "$TEMP/err")"
    for key in "done=$count" errors=0 wrong=0 stopped=false; do
        [ "$(json_get "${key%=*}" <"$TEMP/out")" = "${key#*=}" ] || fail "chi-perf $*: $key is wrong in $(cat "$TEMP/out")"
    done
    awk -v a="$(json_get min_ns <"$TEMP/out")" -v b="$(json_get p50_ns <"$TEMP/out")" -v c="$(json_get p99_ns <"$TEMP/out")" \
        -v d="$(json_get max_ns <"$TEMP/out")" 'BEGIN { exit !(0 < a && a <= b && b <= c && c <= d) }' ||
        fail "chi-perf $*: percentiles out of order: $(cat "$TEMP/out")"
}
# ends STATUS TEXT COMMAND...: with that status, and prints the text.
ends() {
    local status=$1 text=$2 got
    shift 2
    "$@" >"$TEMP/out" 2>&1
    got=$?
    [ "$got" -eq "$status" ] && grep -qF -- "$text" "$TEMP/out" || fail "$*: ended with $got and said: $(cat "$TEMP/out"); right is $status and '$text'"
}

reached() { "$perf" latency --node 2 --count 1 --timeout 500; }
wait_for 20 reached || fail "node 2 does not answer"

measures 2000 latency
measures 2000 latency --size 100
measures 2000 latency --node 2
measures 2000 latency --query broadcast
measures 2000 rate --from daemon --query range:0+2
measures 5000 rate --window 64 --spin
measures 5000 rate --node 2
measures 20 bulk
measures 20 bulk --node 2 --window 3
for direction in write expose both; do
    measures 50 bulk --node 2 --size 10001 --direction $direction
    measures 50 bulk --from daemon --node 2 --size 10001 --direction $direction
done
measures 3 bulk --size 1 --node 2
measures 2000 latency --from daemon --node 2
measures 5000 rate --from daemon --node 2 --window 256
[ "$("$perf" bulk --node 2 --size 1000 --count 7 --json | json_get bytes_per_second)" -gt 0 ] || fail "no bytes per second"

ends 0 "p99.9" "$perf" latency --node 2 --count 500
grep -q '|#' "$TEMP/out" || fail "no histogram: $(cat "$TEMP/out")"
ends 0 "contents verified: 0 wrong" "$perf" bulk --node 2 --count 5 --size 64K
ends 1 "NO_POOL" "$perf" rate --pool 99.0 --count 10
ends 1 "NO_NODE" "$perf" rate --node 9 --count 10
ends 1 "10 errors" "$perf" rate --pool 99.0 --from daemon --node 2 --count 10
ends 1 "a smaller --window or --size" "$perf" bulk --size 4G --window 1024

# A signal ends a run with what was measured so far.
for from in client daemon; do
    "$perf" rate --from $from --node 2 --count 1000G --json >"$TEMP/out" 2>&1 &
    running=$!
    tasks() { "$BIN/chictl" --json peer list | json_get tasks_out; }
    before=$(tasks)
    more() { [ "$(tasks)" -gt "$((before + 1000))" ]; }
    wait_for 20 more || fail "--from $from issues no tasks"
    kill -INT $running
    wait $running
    got=$?
    [ $got -eq 130 ] && [ "$(json_get stopped <"$TEMP/out")" = true ] && [ "$(json_get errors <"$TEMP/out")" = 0 ] ||
        fail "a signal, --from $from: ended with $got: $(cat "$TEMP/out")"
done

head -c 3000001 /dev/urandom >"$TEMP/file"
: >"$TEMP/empty"
for file in "$TEMP/file" "$TEMP/empty"; do
    ends 0 "bytes=$(wc -c <"$file")" "$BIN/chi-demo" --socket "$CHI_SOCKET" --node 2 --file "$file"
    for line in ok=true target_equal=true; do
        grep -qx $line "$TEMP/out" || fail "chi-demo $file: no $line: $(cat "$TEMP/out")"
    done
    sent=$(sed -n 's/^digest_sent=//p' "$TEMP/out")
    [ -n "$sent" ] && [ "$sent" = "$(sed -n 's/^digest_returned=//p' "$TEMP/out")" ] || fail "chi-demo: digests differ: $(cat "$TEMP/out")"
done
ends 1 "no such node" "$BIN/chi-demo" --socket "$CHI_SOCKET" --node 9 --file "$TEMP/file"

# The README's client, from node 1 to node 2.
awk '/^```c$/ { n++; inside = n == 1; next } /^```/ { inside = 0 } inside' "$1/README.md" >"$TEMP/client.c"
"$3" -I "$1/include" -I "$1" "$TEMP/client.c" ${4:+-fsanitize=$4} -o "$TEMP/client" -L "$BUILD/lib" -lchi -Wl,-rpath,"$BUILD/lib" &&
    ASAN_OPTIONS=detect_leaks=0 ends 0 "done: 42" "$TEMP/client" "$CHI_SOCKET"

ends 0 "clock" "$BIN/chictl" pool list

# A daemon that goes away ends the run.
"$perf" rate --count 1000G >"$TEMP/out" 2>&1 &
running=$!
attached() { [ "$("$BIN/chictl" --json status | json_get clients)" -ge 1 ]; }
wait_for 20 attached || fail "chi-perf did not connect"
daemons_stop || fail "a daemon did not end by itself: $(cat "$TEMP"/*.log)"
wait $running
got=$?
[ $got -eq 3 ] || [ $got -eq 1 ] && [ -s "$TEMP/out" ] || fail "a daemon that goes: ended with $got: $(cat "$TEMP/out")"

[ "$failed" -eq 0 ] && echo "chi-perf, chi-demo and the README's client do what they say"
exit $failed
