# Makes dt.conf(5) in scdoc form out of configs/dt.conf: the comment above an option is its text.
function escaped(text) { gsub(/[_*\\#<>[]/, "\\\\&", text); return text }
BEGIN {
    print "dt.conf(5)\n\n# NAME\n\ndt.conf - settings of dt for the admin of a cluster\n\n# DESCRIPTION\n"
}
/^#[a-z-]+ = / {
    name = $1; sub(/^#/, "", name)
    value = $0; sub(/^#[a-z-]+ = /, "", value)
    if (!options++) print "# OPTIONS\n"
    print "*" name "*\n\t" text " Default: " escaped(value) "\n"
    text = ""
    next
}
/^#/ { sub(/^# ?/, ""); text = text (text ? " " : "") escaped($0); next }
/^$/ { if (!options && text) { print text "\n"; text = "" } }
END { print "# SEE ALSO\n\n*dt*(7), *dt-node*(8), *spank_dt*(8)" }
