#!/usr/bin/env bats
# The table of exit codes stands in three places; they say the same.

codes_of_header() { grep -oE '= [0-9]+,' lib/base/exitcode.h | tr -dc '0-9\n' | grep -vxE '0|128' | sort -n; }

@test "README.md lists exactly the codes of exitcode.h" {
    diff <(codes_of_header) <(sed -n '/^## Exit codes/,/^## /p' README.md | grep -oE '^\| [0-9, ]+ ' | grep -oE '[0-9]+' | sort -n | grep -vx 128)
}

@test "dt(7) lists exactly the codes of exitcode.h" {
    diff <(codes_of_header) <(sed -n '/^# EXIT STATUS/,/^# FILES/p' docs/man/dt.7.scd | grep -oE '\*[0-9]+\*' | tr -d '*' | sort -n | grep -vx 128)
}
