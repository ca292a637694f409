#!/bin/bash
# arguments_test.sh TREE BUILD - the tools answer a wrong command line with one line and status 2, and a daemon that is not there
# with one line and status 3.
set -u
tree=$1 bin=$2/bin
failed=0

# refuses STATUS TEXT COMMAND...: one line on standard error that holds TEXT, nothing on standard output.
refuses() {
    local status=$1 text=$2 said got
    shift 2
    said=$(env -u CHI_SOCKET "$@" 2>&1 >/dev/null </dev/null)
    got=$?
    if [ "$got" -ne "$status" ] || [[ $said != *"$text"* ]] || [ "$(printf '%s\n' "$said" | wc -l)" -ne 1 ]; then
        echo "$*: ended with $got and said '$said'; right is $status and one line with '$text'"
        failed=1
    fi
}

for script in demo check bench setup; do
    refuses 2 "usage: tools/$script" bash "$tree/tools/$script" --no-such-option
done
refuses 2 "--file needs" bash "$tree/tools/demo" --file
refuses 2 "no such file" bash "$tree/tools/demo" --file "$tree/no/such/file"
refuses 2 "is a folder" bash "$tree/tools/demo" --file "$tree"
refuses 2 "client-local-p50" bash "$tree/tools/bench" no-such-figure
refuses 2 "--rounds" bash "$tree/tools/bench" --rounds none

perf=$bin/chi-perf
refuses 2 "latency, rate or bulk" "$perf"
refuses 2 "latency, rate or bulk" "$perf" speed
refuses 2 "one measurement" "$perf" latency rate --socket x
refuses 2 "unknown option" "$perf" latency --socket x --bogus
refuses 2 "missing argument" "$perf" latency --socket
refuses 2 "from 1 to 1024" "$perf" rate --socket x --window 0
refuses 2 "from 1 to 1024" "$perf" rate --socket x --window 1025
refuses 2 "from 1 to 65535" "$perf" rate --socket x --node 65536
refuses 2 "--size" "$perf" bulk --socket x --size 0
refuses 2 "--size" "$perf" bulk --socket x --size 1T
refuses 2 "--size" "$perf" bulk --socket x --size 99999999999999999999
refuses 2 "--count" "$perf" rate --socket x --count -3
refuses 2 "write, expose or both" "$perf" bulk --socket x --direction up
refuses 2 "client or daemon" "$perf" rate --socket x --from me
refuses 2 "--node" "$perf" rate --socket x --from daemon
refuses 2 "100.0" "$perf" rate --socket x --pool 3
refuses 2 "core 1023" "$perf" rate --socket x --cpu 1023
refuses 3 "no daemon" "$perf" latency --socket "$tree/no/such/socket"
refuses 2 "usage" "$bin/chi-demo" --node
refuses 2 "usage" "$bin/chi-demo" --socket x --node two --file x
for node in 0 65536 4294967297 -1 ''; do
    refuses 2 "from 1 to 65535" "$bin/chi-demo" --socket x --node "$node" --file x
done
refuses 2 "No such file" "$bin/chi-demo" --socket x --node 2 --file "$tree/no/such/file"
refuses 3 "no daemon" "$bin/chi-demo" --socket "$tree/no/such/socket" --node 2 --file "$tree/README.md"

[ "$failed" -eq 0 ] && echo "all refusals are one line with the right status"
exit $failed
