/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of /proc, of Python's faulthandler and of a program's output, as anybody may make them: a process
 * chooses its own name, paths and lines. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hang/hang.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    struct dt_buf one = DT_BUF_INIT, two = DT_BUF_INIT;
    struct dt_proc_stat stat;
    struct dt_proc_syscall call;
    unsigned long long in, out;
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    dt_proc_stat_parse(&stat, text);
    dt_proc_io_parse(&in, &out, text);
    if (dt_proc_syscall_parse(&call, text)) {
        struct dt_hang_process process = {
            .state = text[0], .where = text, .has_call = true, .call = call, .target = text};
        dt_hang_describe(&one, &process, dt_hang_kind_of(&process));
        dt_buf_clear(&one);
    }
    if (dt_mount_of(text, "/fsx/data", &one, &two) && (!one.data || !two.data))
        abort();
    dt_buf_clear(&one);
    if (dt_python_place(text, &one) && (!one.data || !strchr(one.data, ':')))
        abort();
    if (dt_step_of_line(text, size) < -1)
        abort();
    dt_buf_fini(&one);
    dt_buf_fini(&two);
    free(text);
    return 0;
}
