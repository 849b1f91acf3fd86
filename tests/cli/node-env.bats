#!/usr/bin/env bats
# What the environment rules give to single ranks of a node.
# shellcheck disable=SC2016 # ${rank.local} is for dt to expand

setup() {
    dir=$BATS_TEST_TMPDIR
    build=$(realpath "${BUILD:-build}")
    cp configs/*.conf "$dir/"
    printf 'data-directory = "%s"\ncache-directory = ""\nstate-directory = ""\nenv-rules-site = "%s/site.conf"\n' "$dir" "$dir" >"$dir/dt.conf"
    chmod 644 "$dir"/*.conf
    "$build/localcluster/dt-personality" tree --instances "$dir/instances.conf" --type hpc7a.96xlarge --out "$dir/tree" >/dev/null
}
# Lines of the plan that give a variable of the site's rule, as "RANK VALUE".
given() { # CONDITION VALUE CPUS RANKS
    printf "rule \"mine\" {\n when = '%s'\n action = set-if-unset\n variable = MINE\n value = '%s'\n reason = r\n source = s\n}\n" "$1" "$2" >"$dir/site.conf"
    chmod 644 "$dir/site.conf"
    run "$build/libexec/dt-node" --config "$dir/dt.conf" --plan --ranks "$4" --allowed "$3" --root "$dir/tree"
    [ "$status" -eq 0 ] || { echo "$output"; return 1; }
    output=$(sed -n 's/^\(all\|rank [0-9]*\) env-default MINE /\1 /p' <<<"$output" | sed 's/^rank //' | paste -sd,)
}

@test "a rule that counts ranks gives each its own" {
    given 'efa.count > 0' 'r${rank.local}' 0-3 4
    [ "$output" = "0 r0,1 r1,2 r2,3 r3" ] || { echo "$output"; false; }
    given 'rank.local < 2' yes 0-3 4
    [ "$output" = "0 yes,1 yes" ] || { echo "$output"; false; }
}
@test "a rule about a rank's cores follows ranks that differ" {
    given 'rank.cores > 0' '${rank.cores}' 0-6 3
    [ "$(tr ',' '\n' <<<"$output" | cut -d' ' -f2 | sort | paste -sd' ')" = "2 2 3" ] || { echo "$output"; false; }
    given 'rank.cores > 0' '${rank.cores}' 0-5 3
    [ "$output" = "0 2,1 2,2 2" ] || { echo "$output"; false; }
}
@test "a rule that is about no rank is given once, to all" {
    given 'efa.count > 0' '${efa.count}' 0-3 4
    [ "$output" = "all 2" ] || { echo "$output"; false; }
}
