# rules.sh - the house rules that a machine can check.  Sourced by run.sh and self_test.sh.
#
# Each rule is a function rule_NAME with a tree as $1 (and a build folder as $2 where it says so); it prints one line for
# each breach, FILE:LINE: what, and fails when there was one.

FILE_LINES_MAX=600
FUNCTION_LINES_MAX=70
DOC_LINES_MAX=200
PURE="base wire archive xfer impair"

# Sources of a tree: files in its folders, without build folders.  $2..: what find looks for.
tree_files() {
    local tree=$1
    shift
    find "$tree" \( -name build -o -name .git \) -prune -o -type f \( "$@" \) -print | sort
}
tree_code() { tree_files "$1" -name '*.c' -o -name '*.h'; }
# Scripts: what has no ending, or .sh, and begins like one.
tree_scripts() {
    tree_files "$1" \( ! -name '*.*' -o -name '*.sh' \) -size -64k ! -path '*/corpus/*' |
        lines_of 'FNR == 1 && (/^#!.*sh/ || /^# [a-z_]+\.sh /) { print FILENAME }'
}
tree_build() { tree_files "$1" -name CMakeLists.txt -o -name '*.cmake'; }
tree_all() { tree_code "$1"; tree_scripts "$1"; tree_build "$1"; tree_files "$1" -name '*.yaml' -o -name '*.json' -o -name '*.md'; }

# lines_of PROGRAM [-v NAME=VALUE]...: runs awk once over all the files that standard input names.
lines_of() {
    local program=$1
    shift
    tr '\n' '\0' | xargs -0 -r awk "$@" "$program"
}

# code_lines: FILE:LINE:CODE for each line of the files that standard input names, comments and strings taken out.
code_lines() {
    lines_of '
        FNR == 1 { inside = 0 }
        {
            out = ""
            line = $0
            while (length(line)) {
                if (inside) {
                    at = index(line, "*/")
                    if (!at) break
                    line = substr(line, at + 2)
                    inside = 0
                } else if (match(line, /\/\*|\/\/|"([^"\\]|\\.)*"|\047([^\047\\]|\\.)*\047/)) {
                    what = substr(line, RSTART, 2)
                    out = out substr(line, 1, RSTART - 1)
                    line = substr(line, RSTART + RLENGTH)
                    if (what == "/*") inside = 1
                    else if (what == "//") break
                    else out = out "\"\""
                } else {
                    out = out line
                    break
                }
            }
            print FILENAME ":" FNR ":" out
        }'
}
# calls WORDS WHY: keeps the lines of code_lines that call one of the words.
calls() { grep -E "^[^:]*:[0-9]+:(.*[^A-Za-z0-9_>.])?($1) *\(" | sed "s|\$|   <- $2|"; }

# breaches: prints standard input without the tree's name in front, and without what tests/tidy/allowed lets pass for the rule
# that calls; fails when there is any.
breaches() {
    local rule=${FUNCNAME[1]#rule_} allowed=$1/tests/tidy/allowed
    [ -f "$allowed" ] || allowed=/dev/null
    awk -v tree="$1/" -v rule="$rule" -v allowed="$allowed" '
        BEGIN { while ((getline line < allowed) > 0) { split(line, word, " "); if (word[1] == rule) pass[word[2]] = 1 } }
        {
            if (index($0, tree) == 1) $0 = substr($0, length(tree) + 1)
            file = $0
            sub(/:.*/, "", file)
            if (file in pass) next
            print
            n++
        }
        END { exit n > 0 }'
}

rule_file_lines() {
    { tree_code "$1"; tree_scripts "$1"; } |
        lines_of 'FNR == max + 1 { print FILENAME ":" FNR ": a file has at most " max " lines" }' -v max="$FILE_LINES_MAX" | breaches "$1"
}

rule_function_lines() {
    { tree_code "$1"; tree_scripts "$1"; } | lines_of '
        FNR == 1 { start = 0 }
        /^\{/ || /^[a-z_]+\(\) \{$/ { start = FNR }
        /^\}/ && start {
            if (FNR - start - 1 > max) print FILENAME ":" start ": a function has at most " max " lines, not " FNR - start - 1
            start = 0
        }' -v max="$FUNCTION_LINES_MAX" | breaches "$1"
}

rule_doc_lines() {
    tree_files "$1" -name '*.md' |
        lines_of 'FNR == max { print FILENAME ":" FNR ": a document has under " max " lines" }' -v max="$DOC_LINES_MAX" | breaches "$1"
}

# Calls that a PURE folder may not make; and, in all of the data plane, what blocks a worker or takes a lock.
rule_pure_calls() {
    local words='malloc|calloc|realloc|free|strdup|fprintf|printf|puts|perror|syslog|time|clock_gettime|gettimeofday|pthread_[a-z_]+|usleep|sleep|nanosleep|exit|open|read|write|mmap'
    local d
    for d in $PURE; do
        [ ! -d "$1/dataplane/$d" ] || tree_code "$1/dataplane/$d"
    done | code_lines | calls "$words" "a PURE folder may not call that" | breaches "$1"
}
rule_hot_calls() {
    local words='pthread_mutex_[a-z]+|pthread_rwlock_[a-z]+|pthread_spin_[a-z]+|sem_wait|usleep|sleep|nanosleep|sched_yield|system|popen'
    [ -d "$1/dataplane" ] || return 0
    tree_code "$1/dataplane" | code_lines | calls "$words" "nothing in the data plane locks or sleeps" | breaches "$1"
}

# A function whose name ends in _st runs on a worker, between two packets: no heap, no text to a file, no system call.
rule_worker_calls() {
    local words='malloc|calloc|realloc|free|aligned_alloc|posix_memalign|strdup|printf|fprintf|dprintf|puts|fputs|syslog|perror|open|close|mmap|munmap|poll|epoll_wait|recv|send|recvmsg|sendmsg|connect|synchronize_rcu|rcu_barrier'
    [ -d "$1/dataplane" ] || return 0
    tree_code "$1/dataplane" | code_lines | awk -v words="($words)" '
        {
            where = $0
            match(where, /^[^:]*:[0-9]+:/)
            code = substr(where, RLENGTH + 1)
            where = substr(where, 1, RLENGTH)
        }
        code ~ /^[a-z].*\(/ { name = "" }
        code ~ /^[a-z].*_st\(/ { name = code; sub(/_st\(.*/, "_st", name); sub(/.*[ *]/, "", name) }
        code ~ /^\{/ || code ~ /^[a-z].*_st\(.*\{/ { inside = name != "" }
        inside && match(code, "(^|[^A-Za-z0-9_>.])" words " *\\(") { print where " " name " runs on a worker and may not call" substr(code, RSTART) }
        code ~ /^\}/ || (code ~ /^[a-z].*\}$/) { inside = 0; name = "" }' | breaches "$1"
}

rule_rte_only_net() {
    tree_code "$1" | grep -vE "^$1/(dataplane/net|tests/bench)/" | code_lines | grep -E '^[^:]*:[0-9]+:(.*[^A-Za-z0-9_])?(rte_|RTE_)' |
        sed 's|$|   <- only dataplane/net speaks DPDK|' | breaches "$1"
}

# Layers point downward only: a folder includes itself, the public headers, and what stands before it here.
LAYERS="base wire archive xfer lane impair net ipc client task sched worker"
rule_layers() {
    [ -d "$1/dataplane" ] || return 0
    find "$1/dataplane" "$1/chimods" "$1/include" -name '*.[ch]' 2>/dev/null | sort | lines_of '
        BEGIN {
            n = split(layers, l, " ")
            for (i = 1; i <= n; i++) rank[l[i]] = i
        }
        FNR == 1 {
            path = substr(FILENAME, length(tree) + 1)
            split(path, part, "/")
            own = part[1] == "include" ? 0 : part[1] == "chimods" ? 50 : (part[2] in rank) ? rank[part[2]] : 100
        }
        /^#include "/ {
            name = $2
            gsub(/"/, "", name)
            sub(/^dataplane\//, "", name)
            if (split(name, p, "/") < 2 || (p[1] == part[2] && part[1] == "dataplane")) next
            if (p[1] == "chimods" && own < 50) print FILENAME ":" FNR ": the data plane knows no module: " name
            else if (p[1] == "control" && own < 100) print FILENAME ":" FNR ": the data plane knows no control: " name
            else if ((p[1] in rank) && rank[p[1]] >= own) print FILENAME ":" FNR ": " name " stands above " part[2]
            else if (own == rank["client"] && (p[1] == "net" || p[1] == "ipc")) print FILENAME ":" FNR ": libchi knows no " p[1]
        }' -v tree="$1/" -v layers="$LAYERS" | breaches "$1"
}

rule_marks() {
    local words='TO''DO|FIX''ME|XX''X|HA''CK'
    { tree_code "$1"; tree_scripts "$1"; tree_build "$1"; } | tr '\n' '\0' | xargs -0 -r grep -nwEH "$words" |
        sed 's|$|   <- do it, or file an issue|' | breaches "$1"
}

rule_machine_paths() {
    tree_all "$1" | sort -u | tr '\n' '\0' | xargs -0 -r grep -nEH '(^|[^A-Za-z0-9_.$}-])/(home|root|Users|work)/' |
        sed 's|$|   <- a path of one machine|' | breaches "$1"
}

# Each header compiles alone: the public ones and the modules' as C11 and C++11, the others as gnu17.
rule_headers_alone() {
    local cc=${CC:-cc} cxx=${CXX:-c++} f one dpdk
    dpdk=$(pkg-config --cflags libdpdk 2>/dev/null)
    alone() { # FILE COMPILER...
        local f=$1
        shift
        printf '#include "%s"\n' "$f" | "$@" -fsyntax-only -Wall -Wextra -Werror -I "$tree/include" -I "$tree/dataplane" -I "$tree" - 2>&1 |
            grep -E 'error' | head -n 3 | sed "s|^|$f:1: not alone ($*): |" | cut -c 1-300
    }
    local tree=$1
    find "$1/include" "$1/chimods" -name '*.h' 2>/dev/null | sort | while read -r f; do
        alone "$f" $cc -std=c11 -pedantic -x c
        for one in "$cxx" clang; do # they differ in what they take
            ! command -v "$one" >/dev/null || alone "$f" "$one" -std=c++11 -x c++
        done
    done | breaches "$1"
    local bad=$?
    find "$1/dataplane" "$1/control" -name '*.h' 2>/dev/null | sort | while read -r f; do
        case $f in
        */dataplane/net/*) alone "$f" $cc $dpdk -std=gnu17 -D_GNU_SOURCE -x c ;;
        *) alone "$f" $cc -std=gnu17 -D_GNU_SOURCE -x c ;;
        esac
    done | breaches "$1" && [ "$bad" -eq 0 ]
}

# The built archives of the PURE folders need nothing but mem*, the panic hook and each other.  $2: build folder.
rule_pure_symbols() {
    local d a own allowed
    own=$(for d in $PURE; do
        a=$2/dataplane/$d/libchi_$d.a
        [ -f "$a" ] && nm -g --defined-only "$a" 2>/dev/null | awk 'NF == 3 { print $3 }'
    done)
    allowed='^(mem[a-z]+|bcmp|chi_panic|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_|__(asan|ubsan|tsan|sanitizer|sancov|msan)_.*|__tls_get_addr|__llvm_.*|__gcov_.*|__mem[a-z]+_chk)$'
    for d in $PURE; do
        a=$2/dataplane/$d/libchi_$d.a
        [ -d "$1/dataplane/$d" ] || continue
        if [ ! -f "$a" ]; then
            echo "dataplane/$d:1: $a is not built"
            continue
        fi
        nm -u -A "$a" 2>/dev/null | awk '{ print $1 " " $NF }' | sort -u | while read -r where symbol; do
            printf '%s\n' "$own" | grep -qxF "$symbol" && continue
            printf '%s\n' "$symbol" | grep -qE "$allowed" && continue
            case "$d:$where:$symbol" in
            wire:*print*:snprintf | wire:*print*:__snprintf_chk) continue ;;
            wire:*print*:vsnprintf | wire:*print*:__vsnprintf_chk) continue ;;
            esac
            echo "dataplane/$d:1: ${where##*/} needs $symbol; a PURE folder needs nothing but mem* and chi_panic"
        done
    done | breaches "$1"
}

# Each fuzz target of the tree was built, and ctest runs it.  $2: build folder.
rule_fuzz_built() {
    local f name
    find "$1/tests/fuzz" -name '*.c' 2>/dev/null | sort | while read -r f; do
        grep -q 'LLVMFuzzerTestOneInput *(const' "$f" || continue
        grep -q 'extern int LLVMFuzzerTestOneInput\|^int LLVMFuzzerTestOneInput(.*);' "$f" && continue
        name=$(basename "$f" .c)
        [ -n "$(find "$2" -type f -perm -u+x \( -name "$name" -o -name "fuzz_$name" \) | head -n 1)" ] || { echo "$f:1: is not built"; continue; }
        grep -rqs --include=CTestTestfile.cmake "$name" "$2/tests" || echo "$f:1: its corpus is not replayed as a test"
    done | breaches "$1"
}

# Files that a document names by a relative link are there.
rule_doc_links() {
    tree_files "$1" -name '*.md' | while read -r f; do
        awk '{ line = $0; while (match(line, /\]\([^)#:]+[)#]/)) { print NR " " substr(line, RSTART + 2, RLENGTH - 3); line = substr(line, RSTART + RLENGTH) } }' "$f" |
            while read -r at to; do
                [ -e "$(dirname "$f")/$to" ] || echo "$f:$at: links to $to, which is not there"
            done
    done | breaches "$1"
}

# tests/unit/protocol.map names each heading of docs/PROTOCOL.md, and tests that there are.
rule_protocol_map() {
    local map=$1/tests/unit/protocol.map
    [ -f "$map" ] || return 0
    {
        sed 's/^/doc /' "$1/docs/PROTOCOL.md"
        grep -hoE 'cmocka_unit_test(_setup_teardown)?\([A-Za-z0-9_]+' "$1"/tests/unit/*_test.c | sed 's/.*(/test /'
        sed 's/^/map /' "$map"
    } | awk -v map="$map" '
        /^doc ##/ { heading[substr($0, 5)] = 1 }
        /^test / { test[$2] = 1 }
        /^map / { line++ }
        /^map ##/ { at = substr($0, 5); if (!(at in heading)) print map ":" line ": no such heading: " at; seen[at] = 1 }
        /^map [^#]/ {
            if (!index($0, ": ")) { print map ":" line ": no test"; next }
            n = split(substr($0, index($0, ": ") + 2), name, " ")
            for (i = 1; i <= n; i++) if (!(name[i] in test)) print map ":" line ": no such test: " name[i]
        }
        END { for (h in heading) if (!(h in seen)) print map ":1: says nothing of " h }' | breaches "$1"
}

# Each line of tests/tidy/allowed is RULE FILE REASON, for a rule and a file that there are.
rule_allowed() {
    [ -f "$1/tests/tidy/allowed" ] || return 0
    while read -r rule file reason; do
        case " $RULES " in
        *" $rule "*) ;;
        *) echo "tests/tidy/allowed:1: no rule $rule" ;;
        esac
        [ -f "$1/$file" ] || echo "tests/tidy/allowed:1: $file is not there any more"
        [ -n "$reason" ] || echo "tests/tidy/allowed:1: $file has no reason"
    done <"$1/tests/tidy/allowed" | breaches "$1"
}

RULES="file_lines function_lines doc_lines pure_calls hot_calls worker_calls rte_only_net layers marks machine_paths headers_alone pure_symbols fuzz_built doc_links protocol_map allowed"
