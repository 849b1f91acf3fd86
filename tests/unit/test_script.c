/* SPDX-License-Identifier: Apache-2.0 */
/* What dt reads out of job scripts, line by line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "script/script.h"

/* "NAME=VALUE" a line; "?" for what is not known, "-" for what is removed, "~" in front of what is
 * only possible. */
static char *settings(const char *text)
{
    struct dt_script script;
    struct dt_error err;
    struct dt_buf out = DT_BUF_INIT;
    if (dt_script_read(&script, text, strlen(text), &err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < script.setting_count; i++) {
        const struct dt_script_setting *one = &script.settings[i];
        const char *value = one->removed ? "-" : one->value ? one->value : "?";
        dt_buf_printf(&out, "%s%s=%s\n", one->partial ? "~" : "", one->name, value);
        if (!one->removed && !one->value)
            assert_true(*one->doubt != '\0');
    }
    dt_script_fini(&script);
    return dt_buf_take(&out);
}

#define assert_script(text, expected)                                                              \
    do {                                                                                           \
        char *got_ = settings(text);                                                               \
        assert_string_equal(got_, expected);                                                       \
        free(got_);                                                                                \
    } while (0)

static void test_exports(void **state)
{
    (void)state;
    assert_script("export A=1\n", "A=1\n");
    assert_script("export A=1 B=2; export C=3 # not D=4\n", "A=1\nB=2\nC=3\n");
    assert_script("A=1\nexport A\n", "A=1\n");
    assert_script("export A=1\nA=2\n", "A=1\nA=2\n");
    assert_script("A=1\n", "");
    assert_script("declare -x A=1; typeset -x B=2; local C=3; readonly D=4", "A=1\nB=2\n");
    assert_script("set -a\nA=1\nset +a\nB=2\n", "A=1\n");
    assert_script("set -o allexport; A=1; set +o allexport; B=2", "A=1\n");
    assert_script("export A=1\nunset A\nexport -n A\n", "A=1\nA=-\n");
    assert_script("export A=1; export -n A; A=3", "A=1\nA=-\n");
    assert_script("export A\n", "");
    assert_script("export PATHS=(a b)\n", "PATHS=?\n");
    assert_script("export A=\n", "A=\n");
    assert_script("export A=1\r\nexport B=2\r\n", "A=1\nB=2\n");
}

static void test_quotes(void **state)
{
    (void)state;
    assert_script("export A='a b' B=\"c d\" C=e\\ f D=x'y'\"z\"\n", "A=a b\nB=c d\nC=e f\nD=xyz\n");
    assert_script("export A=\"a \\\"q\\\" \\x\" B='$HOME'\n", "A=a \"q\" \\x\nB=$HOME\n");
    assert_script("export A=1 \\\n  B=2\n", "A=1\nB=2\n");
    assert_script("export A=on\\\ne\n", "A=one\n");
    assert_script("export A=a#b # c\n", "A=a#b\n");
    assert_script("export A=$'plain'\n", "A=plain\n");
    assert_script("export A=^docker,lo,veth\n", "A=^docker,lo,veth\n");
    assert_script("echo \"export A=1\"\necho 'x\nexport B=2\n'\n", "");
}

static void test_variables(void **state)
{
    (void)state;
    assert_script("B=2\nexport A=$B C=${B}x\n", "A=2\nC=2x\n");
    assert_script("export A=$NOBODY_SETS_IT\n", "A=?\n");
    assert_script("export A=${B:-x}\n", "A=x\n");
    assert_script("B=\nexport A=${B:-x} C=${B-x}\n", "A=x\nC=\n");
    assert_script("B=y\nexport A=${B:-x} C=${B:+z} D=${B+z}\n", "A=y\nC=z\nD=z\n");
    assert_script("unset B\nexport A=${B:-x} C=${B+z}$B\n", "B=-\nA=x\nC=\n");
    assert_script("export A=${B:-${C:-deep}}\n", "A=deep\n");
    assert_script("export A=\"${B:-\"x y\"}\"\n", "A=x y\n");
    assert_script(": ${A:=1}\nexport A\n", "A=1\n");
    assert_script(": \"${A:=x y}\" ${B=2}\nexport A B\n", "A=x y\nB=2\n");
    assert_script("A=5\n: ${A:=1}\nexport A\n", "A=5\n");
    assert_script("A=\n: ${A:=1}\nexport A\n", "A=1\n");
    assert_script("A=\n: ${A=1}\nexport A\n", "A=\n");
    assert_script("set -a\n: ${A:=1} ${A:-2} $B x {}\n", "A=1\n");
    assert_script("export A=${B%.*} C=${#B} D=${!B}\n", "A=?\nC=?\nD=?\n");
    assert_script("export A=$(nproc) B=`nproc` C=$((1+1)) D=$1 E=$? F=~/x\n",
                  "A=?\nB=?\nC=?\nD=?\nE=?\nF=?\n");
    assert_script("A=1; A+=2; export A; export A+=3\n", "A=12\nA=123\n");
    assert_script("export A=/x:$LD_LIBRARY_PATH\n", "A=?\n");
    assert_script("read A\nexport A\n", "A=?\n");
    assert_script("for A in 1 2; do :; done\nexport A\n", "A=?\n");
}

static void test_one_program(void **state)
{
    (void)state;
    assert_script("A=1 srun python\n", "~A=1\n");
    assert_script("A=1 B=2 python x=3\n", "~A=1\n~B=2\n");
    assert_script("env -u C A=1 python B=2\n", "~A=1\n");
    assert_script("/usr/bin/env A=1 srun --export=ALL,B=2 x\n", "~A=1\n~B=2\n");
    assert_script("srun --export ALL,A=1 x\n", "~A=1\n");
    assert_script("srun --export=\"ALL,A=1\" x\n", "~A=1\n");
    assert_script("mpirun -n 4 -x A=1 -x B x\n", "~A=1\n");
    assert_script("A=1 python\nexport B=$A\n", "~A=1\nB=?\n");
}

static void test_containers(void **state)
{
    (void)state;
    assert_script("docker run --rm -e A=1 --env B=2 --env=C=3 -eD=4 -e E image python -x A=9\n",
                  "~A=1\n~B=2\n~C=3\n~D=4\n");
    assert_script("X=5\npodman run -e \"A=$X\" -e 'B=$X' -e C=$(id) -e \"D=$(id)\" image\n",
                  "~A=5\n~B=$X\n~C=?\n~D=?\n");
    assert_script("singularity exec -e --env A=1,B=2 image x\n", "~A=1\n~B=2\n");
    assert_script("X=7; srun --export=ALL,A=$X,B=2 x\n", "~A=7\n~B=2\n");
    assert_script("X=7; env \"A=$X y\" B=$X C=\"$X\" x\n", "~A=7 y\n~B=7\n~C=7\n");
}

static void test_inner_shells(void **state)
{
    (void)state;
    assert_script("srun --mpi=pmix bash -c 'export A=1; B=2 python x'\n", "~A=1\n~B=2\n");
    assert_script("X=3; bash -lc \"export A=$X\"\nexport B=2\n", "~A=3\nB=2\n");
    assert_script("docker run -e A=1 image sh -c 'export B=2'\n", "~A=1\n~B=2\n");
    assert_script("timeout 60 env A=1 bash -c 'exit 1; export B=2'\nexport C=3\n",
                  "~A=1\n~B=2\nC=3\n");
    assert_script("srun bash <<'EOF'\nexport A=1\nEOF\nexport B=2\n", "~A=1\nB=2\n");
    assert_script("X=3\ncat <<EOF | bash -s\nexport A=$X\nEOF\nexport B=2\n", "~A=3\nB=2\n");
    assert_script("bash <<EOF\nexport A=\\$X\nEOF\nexport B=2\n", "B=2\n"); /* and a note */
    assert_script("bash -c 'export A=(('\nexport B=2\n", "B=2\n");          /* and a note */
    assert_script("bash -c 'bash -c \"bash -c \\\"export A=1\\\"\"'\n", "~A=1\n");
    assert_script("grep x <<EOF\nexport A=1\nEOF\nbash x.sh A=1\n", "");
}

static void test_control(void **state)
{
    (void)state;
    assert_script("if true; then export A=1; else export A=2; fi\nexport B=3\n",
                  "~A=1\n~A=2\nB=3\n");
    assert_script("[[ -f x && $y == z ]] && export A=1\nexport B=2\n", "~A=1\nB=2\n");
    assert_script("true && export A=1 || export B=2; export C=3\n", "~A=1\n~B=2\nC=3\n");
    assert_script("true &&\n export A=1\nexport C=3\n", "~A=1\nC=3\n");
    assert_script("case $x in\n a|b) export A=1 ;;\n (c) export A=2;;\n *) ;;\nesac\nexport B=1\n",
                  "~A=1\n~A=2\nB=1\n");
    assert_script("f() {\n export A=1\n}\nfunction g { export B=2; }\nfunction h() (export C=3)\n",
                  "~A=1\n~B=2\n~C=3\n");
    assert_script("{ export A=1; } 2>/dev/null\n(export B=2; x)\n", "A=1\n~B=2\n");
    assert_script("while read x; do export A=$x; done < file\nexport B=1\n", "~A=?\nB=1\n");
    assert_script("for ((i=0;i<3;i++)); do export A=1; done; ((x=1)); export B=2\n", "~A=1\nB=2\n");
    assert_script("export A=1\nexit 0\nexport B=2\n", "A=1\n");
    assert_script("if x; then exit 1; fi\nexport B=2\n", "B=2\n");
    assert_script("x || exit 1\nexport B=2\n", "B=2\n");
    assert_script("export A=1\nexec python x\nexport B=2\n", "A=1\n");
    assert_script("if x; then A=1; fi\nexport B=$A\n", "B=1\n"); /* with a doubt, tested below */
    assert_script("if x; then unset A; fi\nexport B=$A\n", "~A=-\nB=?\n");
}

static void test_bodies(void **state)
{
    (void)state;
    assert_script("cat <<EOF\nexport A=1\nEOF\nexport B=2\n", "B=2\n");
    assert_script("cat <<-'E F' > out\n\texport A=1\n\tE F\nexport B=2\n", "B=2\n");
    assert_script("cat <<A <<B\nexport X=1\nA\nexport Y=2\nB\nexport Z=3\n", "Z=3\n");
    assert_script("cat <<< 'export A=1'\nexport B=2\n", "B=2\n");
    assert_script("x=$(export A=1 # it's a comment\n)\nexport B=2\n", "B=2\n");
    assert_script("diff <(export A=1) >(x) 2>&1 &>log\nexport B=2\n", "B=2\n");
}

static void test_sbatch(void **state)
{
    (void)state;
    /* Slurm expands nothing there */
    assert_script("#SBATCH --export=ALL,A=$HOME,B=$(id)\n", "A=$HOME\nB=$(id)\n");
    assert_script("#SBATCH --export ALL,A=1 -N 2\n", "A=1\n");
    assert_script("#SBATCH --export=\"ALL,A=x y\" --export=C=1 # --export=D=1\n", "A=x y\n");
    assert_script("#SBATCH --export=NONE\n#SBATCH --exporter=A=1\n#SBATCH --export=\n", "");
    assert_script("#!/bin/bash\n#SBATCH -N 2 --export=ALL,A=1,B=2\n#SBATCH --job-name=x\nexport "
                  "C=$A\n#SBATCH --export=D=4\n",
                  "A=1\nB=2\nC=1\n");
    assert_script("#!/usr/bin/env bash\nexport A=1\n", "A=1\n");

    /* a last line that ends in a blank, and no byte behind it */
    static const char blank[] = "#SBATCH -N 1 ";
    char *exact = malloc(sizeof blank - 1);
    struct dt_script script;
    struct dt_error err;
    assert_non_null(exact);
    memcpy(exact, blank, sizeof blank - 1);
    assert_int_equal(dt_script_read(&script, exact, sizeof blank - 1, &err), 0);
    dt_script_fini(&script);
    free(exact);
}

static void test_doubts_and_notes(void **state)
{
    static const char text[] = "if x; then\n  export A=1\nfi\nexport B=$A\nexport C=${D:-1}\n"
                               "source /fsx/env.sh\nmodule load efa\neval \"$X\"\n"
                               "srun bash run.sh 2\nbash -c \"$X\"\n"
                               "docker run --env-file env.list image\n";
    struct dt_script script;
    struct dt_error err;
    (void)state;
    assert_int_equal(dt_script_read(&script, text, strlen(text), &err), 0);
    assert_int_equal(script.setting_count, 3);
    assert_int_equal(script.settings[0].line, 2);
    assert_string_equal(script.settings[0].doubt, "if line 2 is run");
    assert_string_equal(script.settings[1].doubt, "if line 2 is run");
    assert_string_equal(script.settings[2].doubt, "unless D is set when the job is submitted");
    assert_int_equal(script.note_count, 6);
    assert_string_equal(script.notes[3].text, "bash run.sh");
    assert_string_equal(script.notes[4].text, "bash -c \"$X\"");
    assert_string_equal(script.notes[5].text, "--env-file env.list");
    assert_string_equal(script.notes[0].text, "source /fsx/env.sh");
    assert_int_equal(script.notes[0].line, 6);
    assert_string_equal(script.notes[1].text, "module load efa");
    dt_script_fini(&script);
}

static void test_refused(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"#!/usr/bin/python3\nA=1\n", "line 1: '/usr/bin/python3' is no shell"},
        {"export A='1\n", "line 1: a quote"},
        {"x\ny \"$(z\n", "line 2: a quote"},
        {"if x; then\n", "ends in the middle"},
        {"done\n", "line 1: 'done' ends nothing"},
        {"case x\n", "'case' without 'in'"},
        {"((x\n", "line 1: '((' is not closed"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dt_script script;
        struct dt_error err;
        assert_int_equal(dt_script_read(&script, cases[i].text, strlen(cases[i].text), &err), -1);
        assert_non_null(strstr(err.text, cases[i].says));
    }
    struct dt_script script;
    struct dt_error err;
    assert_int_equal(dt_script_read(&script, "A=1\0", 4, &err), -1);
    assert_non_null(strstr(err.text, "NUL"));
}

/* A value that doubles in every line must not take all memory. */
static void test_growth(void **state)
{
    struct dt_buf text = DT_BUF_INIT;
    char *got;
    (void)state;
    dt_buf_puts(&text, "A=xxxxxxxx\n");
    for (int i = 0; i < 64; i++)
        dt_buf_puts(&text, "A=$A$A\n");
    dt_buf_puts(&text, "export A\n");
    got = settings(text.data);
    assert_string_equal(got, "A=?\n");
    free(got);
    dt_buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exports),    cmocka_unit_test(test_quotes),
        cmocka_unit_test(test_variables),  cmocka_unit_test(test_one_program),
        cmocka_unit_test(test_containers), cmocka_unit_test(test_inner_shells),
        cmocka_unit_test(test_control),    cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_sbatch),     cmocka_unit_test(test_doubts_and_notes),
        cmocka_unit_test(test_refused),    cmocka_unit_test(test_growth),
    };
    return cmocka_run_group_tests_name("script", tests, NULL, NULL);
}
