#!/usr/bin/env bats
# Completion in bash: what is offered is what the programs take.

setup() {
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    PATH=$(realpath "${BUILD:-build}/bin"):$PATH
    # shellcheck source=/dev/null
    source contrib/completion/dt
}

offered() { # WORD...: the command line so far; the last word is being completed
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    _dt "$1"
    printf '%s\n' "${COMPREPLY[@]}"
}

@test "every option of --help is offered, and no other" {
    for command in dt-launch dt-topo dt-validate dt-train; do
        wanted=$("$command" --help | grep -oE '^ +(-[A-Za-z?], )?--[a-z-]+' | grep -oE -- '--[a-z-]+' | grep -vE -- '^--(help|usage|version)$' | sort)
        [ -n "$wanted" ]
        given=$(offered "$command" -- | sed 's/=$//' | grep -vE -- '^--(help|usage|version)$' | sort)
        [ "$wanted" = "$given" ] || { diff <(echo "$wanted") <(echo "$given"); false; }
    done
}

@test "every option of --help is in the man page" {
    for command in dt-launch dt-topo dt-validate dt-train; do
        page=$(ls docs/man/"$command".*.scd)
        for option in $("$command" --help | grep -oE '^ +(-[A-Za-z?], )?--[a-z-]+' | grep -oE -- '--[a-z-]+' | grep -vE -- '^--(help|usage|version)$' | sort -u); do
            grep -qF -- "$option" "$page" || { echo "$option is not in $page"; false; }
        done
    done
}

@test "words of an option, files where a file is wanted" {
    [ "$(offered dt-launch --store = '' | sort | paste -sd' ')" = 'launcher rank0' ]
    [ "$(offered dt-launch --store = r)" = rank0 ]
    [ "$(offered dt-launch --fold = | sort | paste -sd' ')" = 'lines numbers' ]
    [ "$(offered dt-launch --log-dir = contrib/completion/d)" = contrib/completion/dt ]
}

@test "behind -- it is the program that is completed" {
    offered dt-launch --nproc-per-node = 2 -- contrib/completion/d | grep -qx contrib/completion/dt
    [ -z "$(offered dt-launch -- contrib/completion/dt --nothing-of-ours)" ]
}

@test "subcommands" {
    [ "$(offered dt-env ch)" = check ]
    [ "$(offered dt-env check --js)" = --json ]
}
