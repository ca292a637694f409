#!/bin/bash
# self_test.sh - each rule passes a good sample and fails a bad one: a rule that cannot fail guards nothing.
set -u
. "$(dirname "$0")/rules.sh"
temp=$(mktemp -d "${TMPDIR:-/tmp}/chimaera.XXXXXX") || exit 1
trap 'rm -rf "$temp"' EXIT
failed=0
tried=" "

# sample FILE: standard input becomes that file of the sample tree.
sample() {
    mkdir -p "$tree/$(dirname "$1")"
    cat >"$tree/$1"
}
# fresh: a new, empty sample tree, with an empty build folder.
fresh() {
    tree=$temp/sample
    rm -rf "$tree"
    mkdir -p "$tree/include/chi" "$tree/dataplane" "$temp/built"
}
passes() {
    local said
    said=$("rule_$1" "$tree" "$tree/build" 2>&1) && return
    echo "$1: failed a good sample ($2): $said"
    failed=1
}
# fails RULE WHAT TEXT: the rule must fail, and say TEXT.
fails() {
    local said
    tried="$tried$1 "
    if said=$("rule_$1" "$tree" "$tree/build" 2>&1); then
        echo "$1: passed a bad sample ($2)"
        failed=1
    elif [[ $said != *"$3"* ]]; then
        echo "$1: failed a bad sample ($2) without '$3': $said"
        failed=1
    fi
}
lines() { awk -v n="$1" -v text="$2" 'BEGIN { while (n-- > 0) print text }'; }

fresh
lines 600 "int x;" | sample dataplane/base/a.c
passes file_lines "600 lines"
lines 601 "int x;" | sample dataplane/base/a.c
fails file_lines "601 lines" "dataplane/base/a.c:601"

fresh
{ echo "void f(void)"; echo "{"; lines 70 "    x++;"; echo "}"; } | sample control/a.c
passes function_lines "70 lines"
{ echo "void f(void)"; echo "{"; lines 71 "    x++;"; echo "}"; } | sample control/a.c
fails function_lines "71 lines" "control/a.c:2"
fresh
{ echo "#!/bin/bash"; echo "long_one() {"; lines 71 "    true"; echo "}"; } | sample tools/a
fails function_lines "a shell function" "tools/a:2"

fresh
lines 199 text | sample docs/A.md
passes doc_lines "199 lines"
lines 200 text | sample docs/A.md
fails doc_lines "200 lines" "docs/A.md:200"

fresh
echo '/* malloc( */ void f(void) { wheel_free(x->free(y)); log("printf(%d)"); }' | sample dataplane/base/a.c
echo 'void f(void) { p = malloc(3); }' | sample dataplane/net/a.c
passes pure_calls "comments, strings, longer names, other folders"
for call in "p = malloc(3);" "printf(x);" "t = time(0);" "pthread_mutex_lock(&m);"; do
    echo "void f(void) { $call }" | sample dataplane/xfer/a.c
    fails pure_calls "$call" "dataplane/xfer/a.c:1"
done

fresh
echo 'void f(void) { epoll_wait(a, b, c, d); }' | sample dataplane/worker/a.c
passes hot_calls "epoll"
for call in "pthread_mutex_lock(&m);" "usleep(1);" "pthread_rwlock_wrlock(&m);"; do
    echo "void f(void) { $call }" | sample dataplane/worker/a.c
    fails hot_calls "$call" "dataplane/worker/a.c:1"
done
echo "hot_calls dataplane/worker/a.c a reason" | sample tests/tidy/allowed
passes hot_calls "an allowed file"
echo "other_rule dataplane/worker/a.c a reason" | sample tests/tidy/allowed
fails hot_calls "a file that another rule allows" "dataplane/worker/a.c:1"

fresh
printf 'void *ipc_create(int n)\n{\n    return malloc(n);\n}\nint ipc_take_st(int n)\n{\n    return n;\n}\n' | sample dataplane/ipc/a.c
passes worker_calls "heap on the control thread"
printf 'static int ipc_take_st(int n)\n{\n    free(p);\n}\n' | sample dataplane/ipc/a.c
fails worker_calls "heap on a worker" "dataplane/ipc/a.c:3: ipc_take_st"

fresh
echo 'int x = rte_lcore_id();' | sample dataplane/net/a.c
echo 'int x = write_one(); /* rte_ is theirs */' | sample dataplane/worker/a.c
passes rte_only_net "in dataplane/net"
echo 'int x = rte_lcore_id();' | sample dataplane/worker/a.c
fails rte_only_net "in the worker" "dataplane/worker/a.c:1"

fresh
printf '#include "chi/base.h"\n#include "base/pool.h"\n#include "wire/wire.h"\n#include "xfer.h"\n' | sample dataplane/xfer/a.c
passes layers "downward"
echo '#include "xfer/xfer.h"' | sample dataplane/wire/a.c
fails layers "upward" "dataplane/wire/a.c:1"
fresh
echo '#include "base/pool.h"' | sample include/chi/a.h
fails layers "a public header that needs a private one" "include/chi/a.h:1"
fresh
echo '#include "control/config.h"' | sample dataplane/worker/a.c
fails layers "control from the data plane" "dataplane/worker/a.c:1"
fresh
echo '#include "net/net.h"' | sample dataplane/client/a.c
fails layers "the port layer from libchi" "dataplane/client/a.c:1"

fresh
echo 'int todo_list; /* the TODOS */' | sample control/a.c
passes marks "longer words"
echo '/* TO''DO: later */' | sample control/a.c
fails marks "a mark" "control/a.c:1"

fresh
echo 'see build/home/a, $HOME/home/x and network/home/' | sample README.md
passes machine_paths "relative paths"
echo 'cd /ho''me/somebody/chimaera' | sample README.md
fails machine_paths "a home folder" "README.md:1"

fresh
printf '#include <stdint.h>\nstruct a { uint8_t x; };\n' | sample include/chi/a.h
passes headers_alone "complete"
echo 'struct a { uint8_t x; };' | sample include/chi/a.h
fails headers_alone "no include" "include/chi/a.h:1"
echo 'struct a { int class; };' | sample include/chi/a.h
fails headers_alone "not C++" "c++11"
if command -v clang >/dev/null; then
    printf '#ifdef __cplusplus\n__attribute__((unused)) [[noreturn]] void f(void);\n#endif\n' | sample include/chi/a.h
    fails headers_alone "not C++ to clang" "clang -std=c++11"
fi
fresh
echo 'struct a { uint8_t x; };' | sample dataplane/base/a.h
fails headers_alone "a private header" "dataplane/base/a.h:1"

# archive FOLDER SOURCE: a built archive of the sample tree.
archive() {
    mkdir -p "$tree/dataplane/$1" "$tree/build/dataplane/$1"
    echo "$2" >"$tree/dataplane/$1/a.c"
    ${CC:-cc} -O1 -c -fno-builtin -o "$tree/build/$1.o" "$tree/dataplane/$1/a.c" && ar rcs "$tree/build/dataplane/$1/libchi_$1.a" "$tree/build/$1.o"
}
fresh
archive base 'void chi_panic(void); void *memcpy(void *, const void *, unsigned long); void base_f(void *p) { if (!p) chi_panic(); memcpy(p, p, 9); }'
archive wire 'void base_f(void *p); void wire_f(void *p) { base_f(p); }'
passes pure_symbols "mem*, panic, a lower layer"
archive wire 'void *malloc(unsigned long); void *wire_f(void) { return malloc(3); }'
fails pure_symbols "the heap" "needs malloc"
archive wire 'int clock_gettime(int, void *); int wire_f(void) { return clock_gettime(0, 0); }'
fails pure_symbols "the clock" "needs clock_gettime"
rm "$tree/build/dataplane/wire/libchi_wire.a"
fails pure_symbols "an archive that is not built" "is not built"

fresh
echo 'int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) { return 0; }' | sample tests/fuzz/wire_fuzz.c
mkdir -p "$tree/build/tests/fuzz"
fails fuzz_built "no program" "tests/fuzz/wire_fuzz.c:1: is not built"
printf '#!/bin/sh\n' >"$tree/build/tests/wire_fuzz"
chmod +x "$tree/build/tests/wire_fuzz"
fails fuzz_built "no test" "not replayed"
echo 'add_test(wire_fuzz "wire_fuzz")' >"$tree/build/tests/fuzz/CTestTestfile.cmake"
passes fuzz_built "built and run"

fresh
echo 'see [a](docs/A.md) and [the web](https://example.org/x) and [b](docs/A.md#part)' | sample README.md
echo text | sample docs/A.md
passes doc_links "a file that is there"
rm "$tree/docs/A.md"
fails doc_links "a file that is not there" "README.md:1"

fresh
printf '# The protocol\n## Packet\ntext\n### 1 TASK\n' | sample docs/PROTOCOL.md
echo 'cmocka_unit_test(packet__is_long),' | sample tests/unit/a_test.c
map='# what\n## Packet\nlength: packet__is_long\n'
printf "$map"'### 1 TASK\n' | sample tests/unit/protocol.map
passes protocol_map "headings and a test"
printf "$map" | sample tests/unit/protocol.map
fails protocol_map "a heading that is left out" "says nothing of ### 1 TASK"
printf "$map"'### 2 TASK\n' | sample tests/unit/protocol.map
fails protocol_map "a heading that is none" "no such heading: ### 2 TASK"
printf "$map"'### 1 TASK\nlost: packet__is_long packet__is_lost\n' | sample tests/unit/protocol.map
fails protocol_map "a test that is none" "protocol.map:5: no such test: packet__is_lost"
printf "$map"'### 1 TASK\nlost\n' | sample tests/unit/protocol.map
fails protocol_map "a sentence without a test" "no test"

fresh
echo text | sample dataplane/net/a.c
echo "hot_calls dataplane/net/a.c a reason" | sample tests/tidy/allowed
passes allowed "a rule, a file, a reason"
echo "hot_calls dataplane/net/b.c a reason" | sample tests/tidy/allowed
fails allowed "a file that is gone" "b.c is not there"
echo "no_rule dataplane/net/a.c a reason" | sample tests/tidy/allowed
fails allowed "a rule that is none" "no rule no_rule"
echo "hot_calls dataplane/net/a.c" | sample tests/tidy/allowed
fails allowed "no reason" "has no reason"

for rule in $RULES; do
    [[ $tried == *" $rule "* ]] || { echo "$rule: has no bad sample here"; failed=1; }
done
[ "$failed" -eq 0 ] && echo "all rules pass their good samples and fail their bad ones"
exit $failed
