/* SPDX-License-Identifier: Apache-2.0 */
/* Xid tables from a file, and messages from the kernel's log: never a crash, never an action that is
 * only for the table. */
#include <stdlib.h>
#include <string.h>

#include "xid/xid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char table[] = "source s\n"
                      "xid 149 DECODE X M\n"
                      "nvlink 149 NETIR_LINK_EVT/NETIR_LINK_DOWN ------000100----------0111000110 "
                      "------000100-------------0010001 0x0 RESET_GPU A B\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_xids xids;
    struct dt_error err;
    char *text = strndup((const char *)data, size);
    char *copy = strdup(table);
    if (text && copy && dt_xids_parse(&xids, "table", copy, &err) == 0) {
        if (dt_xid_judge(&xids, 149, text) >= DT_XID_DECODE)
            abort();
        dt_xids_fini(&xids);
    }
    if (text && dt_xids_parse(&xids, "fuzz", text, &err) == 0) {
        if (xids.code_count == 0 || !*dt_xid_source(&xids, &xids.codes[0]))
            abort();
        dt_xids_fini(&xids);
    }
    if (text && dt_xid_recovery(text) < -1)
        abort();
    free(copy);
    free(text);
    return 0;
}
