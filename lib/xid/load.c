/* SPDX-License-Identifier: Apache-2.0 */
/* The table from its file. Apart from parse.c, for programs that hold no reader of dt.conf. */
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "xid/xid.h"

int dt_xids_load(struct dt_xids *xids, const char *path, struct dt_error *err)
{
    size_t len;
    int open_errno;
    *xids = (struct dt_xids){0};
    char *text = dt_conf_read_text(path, &len, &open_errno, err);
    if (!text)
        return -1;
    int rc = strlen(text) == len ? dt_xids_parse(xids, path, text, err)
                                 : dt_error_set(err, "%s: there is a NUL byte in it", path);
    free(text);
    return rc;
}
