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

for script in demo check bench setup chi-mod; do
    refuses 2 "usage: tools/$script" bash "$tree/tools/$script" --no-such-option
done
refuses 2 "--file needs" bash "$tree/tools/demo" --file
refuses 2 "no such file" bash "$tree/tools/demo" --file "$tree/no/such/file"
refuses 2 "is a folder" bash "$tree/tools/demo" --file "$tree"
refuses 2 "client-local-p50" bash "$tree/tools/bench" no-such-figure
refuses 2 "--rounds" bash "$tree/tools/bench" --rounds none

mod=$tree/tools/chi-mod
refuses 2 "usage: tools/chi-mod new" bash "$mod"
refuses 2 "usage: tools/chi-mod new" bash "$mod" make it
refuses 2 "a name is missing" bash "$mod" new
refuses 2 "also 'b'" bash "$mod" new a b
refuses 2 "--dir needs" bash "$mod" new a --dir
refuses 2 "unknown argument '--prefix'" bash "$mod" new a --prefix x
refuses 2 "is there already" bash "$mod" new a --dir "$tree/docs"
for name in 1a A a-b 'a b' ä ../a _a; do
    refuses 2 "is no name of a module" bash "$mod" new "$name"
done
refuses 2 "at most 31" bash "$mod" new abcdefghijklmnopqrstuvwxyz_12345
for name in admin echo perf remote_queue chi chi_x; do
    refuses 2 "Chimaera's own" bash "$mod" new $name
done
refuses 2 "no such folder" bash "$mod" check "$tree/no/such/folder"
refuses 2 "no CMakeLists.txt" bash "$mod" check "$tree/docs"
refuses 2 "holds no installed Chimaera" bash "$mod" check "$tree" --prefix "$tree/docs"
refuses 1 "a module is NAME.so" "$bin/chimaerad" --check-module "$tree/README.md"
refuses 1 "no nosuch.so" "$bin/chimaerad" --check-module "$tree/nosuch.so"

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
refuses 2 "nothing beside --node" "$perf" rate --socket x --node 2 --query broadcast
refuses 2 "like direct:3" "$perf" rate --socket x --query everywhere
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

wire=$bin/chi-wire
a="--a net_memif0,role=server,socket=a.sock"
b="--b net_memif1,role=server,socket=b.sock"
refuses 2 "--a and --b are missing" "$wire"
refuses 2 "--b is missing" "$wire" $a
refuses 2 "--a is missing" "$wire" $b
refuses 2 "another name than that of --a" "$wire" $a --b net_memif0,role=client,socket=b.sock
refuses 2 "a NIC is not forwarded" "$wire" $a --b 0000:01:00.0
refuses 2 "leave out --a and --b" "$wire" $a $b --stats
refuses 2 "unknown option" "$wire" $a $b --bogus
refuses 2 "missing argument" "$wire" $a --b
refuses 2 "settings are one word" "$wire" $a $b --set both: loss=1%
refuses 2 "there is no setting 'los'; did you mean loss?" "$wire" $a $b --set "both: los=1%"
refuses 2 "from 0 to 18446744073709551615" "$wire" $a $b --seed x
refuses 2 "from 1280 to 9600" "$wire" $a $b --mtu 1279
refuses 2 "from 64 to 262144" "$wire" $a $b --packets 1K
refuses 2 "adaptive or busy" "$wire" $a $b --idle never
for cores in x 1, 1,2,3 -1 1024; do
    refuses 2 "like 2 or 2,3" "$wire" $a $b --cores=$cores
done
refuses 2 "--set or --stats is missing" "$wire" --control x
refuses 2 "--seed is for a chi-wire that starts" "$wire" --control x --stats --seed 1
refuses 3 "no chi-wire answers" "$wire" --control "$tree/no/such/socket" --stats
refuses 1 "socket=PATH" "$wire" --a net_memif0,role=server $b
refuses 1 "no interface nosuch0" "$wire" --a net_af_packet0,iface=nosuch0 --b net_null0
refuses 1 "name one that this process may use" "$wire" --a net_null0 --b net_null1 --cores 1023
refuses 1 "control" "$wire" --a net_null0 --b net_null1 --control "$tree/no/such/folder/x.sock"

[ "$failed" -eq 0 ] && echo "all refusals are one line with the right status"
exit $failed
