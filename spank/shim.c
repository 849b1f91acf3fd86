/* SPDX-License-Identifier: Apache-2.0 */
/* --dt-shim: the directory in which torchrun, accelerate, deepspeed and composer are dt-launch comes
 * first in the PATH of the step. What dt-launch makes of such a name is in launcher/dt-launch/shim.c.
 *
 * Done last before exec, in the task: behind pyxis, which brings the PATH of the image along, and
 * before slurmstepd looks for the program. */
#include <string.h>

#include "paths.h"
#include "plugin.h"

#define PATH_MAX_LENGTH 65536
#define PATH_USUAL      "/usr/bin:/bin:/usr/sbin:/sbin" /* --export=NONE leaves none */

void shim_apply(const struct plugin *plugin, spank_t spank)
{
    static char path[PATH_MAX_LENGTH];
    struct text text = {0};
    text_printf(&text, "%s/shim",
                plugin->options.helpers ? plugin->options.helpers : DT_LIBEXECDIR);
    size_t len = text.failed ? 0 : text.len;
    spank_err_t found = spank_getenv(spank, "PATH", path, sizeof path);
    if (found == ESPANK_NOSPACE) {
        slurm_error("dt: --dt-shim: PATH is longer than %d bytes and stays as it is",
                    PATH_MAX_LENGTH);
    } else if (found != ESPANK_SUCCESS || strncmp(path, text.data ? text.data : "", len) != 0 ||
               path[len] != ':') {
        text_printf(&text, ":%s", found == ESPANK_SUCCESS ? path : PATH_USUAL);
        if (text.failed || spank_setenv(spank, "PATH", text.data, 1) != ESPANK_SUCCESS)
            slurm_error("dt: --dt-shim: PATH could not be set; it stays as it is");
    }
    text_fini(&text);
}
