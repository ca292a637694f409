# list.awk - reads the list of mutants: "file PATH" for those that follow; "mutant NAME: RULE", then lines "- TEXT" that stand there, then
# "+ TEXT" in their place.  -v root=FOLDER of the sources, and -v what=
#   names   a line NAME, FILE, RULE of each, with tabs between
#   check   whether the text of each stands once in its file
#   NAME    the file with that mutant's text replaced
# Ends with 2, and says why, when the list is wrong.

function wrong(text) { print FILENAME ":" text > "/dev/stderr"; bad = 1 }

function content(path,    line, text) {
    if (path in texts) return texts[path]
    while ((getline line < (root "/" path)) > 0) text = text line "\n"
    close(root "/" path)
    return texts[path] = text
}

function joined(text, line) { return (text == "" ? "" : text "\n") line }

# The place of a mutant's text in its file; 0 when it does not stand there once.
function place(i,    text, at) {
    text = content(files[i])
    at = index(text, olds[i])
    if (olds[i] == "" || olds[i] == news[i]) wrong(lines[i] ": " names[i] " changes nothing")
    else if (!at) wrong(lines[i] ": the text of " names[i] " is not in " files[i] " any more")
    else if (index(substr(text, at + 1), olds[i])) wrong(lines[i] ": the text of " names[i] " stands in " files[i] " more than once")
    else return at
    return 0
}

/^(#.*)?$/ { next }
/^file ./ { file = substr($0, 6); next }
/^mutant [a-z_]+: ./ {
    name = substr($2, 1, length($2) - 1)
    if (name in seen) wrong(FNR ": there is another " name)
    seen[name] = ++n
    names[n] = name
    files[n] = file
    lines[n] = FNR
    rules[n] = substr($0, length(name) + 10)
    next
}
/^-( |$)/ && n { olds[n] = joined(olds[n], substr($0, 3)); next }
/^\+( |$)/ && n { news[n] = joined(news[n], substr($0, 3)); next }
{ wrong(FNR ": cannot be read: " $0) }

END {
    if (!n) wrong("1: names no mutant")
    for (i = 1; i <= n && what == "names"; i++) print names[i] "\t" files[i] "\t" rules[i]
    for (i = 1; i <= n && what == "check"; i++) place(i)
    if (what in seen) {
        i = seen[what]
        if ((at = place(i))) printf "%s%s%s", substr(content(files[i]), 1, at - 1), news[i], substr(content(files[i]), at + length(olds[i]))
    }
    exit bad ? 2 : 0
}
