/* SPDX-License-Identifier: Apache-2.0 */
/* What an Xid in the kernel's log asks for: configs/xid.conf in memory. The codes 144 to 150 (NVLink
 * 5) are decoded from the status words of their message. */
#ifndef DT_XID_XID_H
#define DT_XID_XID_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum dt_xid_action {
    DT_XID_INFO,     /* nothing */
    DT_XID_APP,      /* the program's own error */
    DT_XID_MONITOR,  /* look; also a code that no row has */
    DT_XID_RESET,    /* the node is unfit until the GPU was reset, ... */
    DT_XID_REBOOT,   /* ... the node was rebooted, ... */
    DT_XID_REPLACE,  /* ... the instance was replaced */
    DT_XID_RECOVERY, /* the driver's own recovery action decides */
    DT_XID_DECODE    /* only in the table: an nvlink row decides */
};

struct dt_xid {
    int code;
    enum dt_xid_action action;
    char *mnemonic, *meaning;
    size_t source; /* index into dt_xids.sources: where the row is from */
};

struct dt_xid_rule { /* an nvlink row */
    int code;
    char *units; /* "A/B" */
    uint32_t mask[2], bits[2];
    uint32_t status;
    enum dt_xid_action action;
};

struct dt_xids {
    struct dt_xid *codes; /* by code, ascending */
    size_t code_count;
    struct dt_xid_rule *rules;
    size_t rule_count;
    char **sources; /* as the file names them; each row stands below one */
    size_t source_count;
};

/* Every mistake is one sentence "FILE:LINE: what". Trust rules as for dt.conf. */
int dt_xids_load(struct dt_xids *xids, const char *path, struct dt_error *err);
/* The same on text in memory, called `name` in errors. text[len] must be NUL; it is changed. */
int dt_xids_parse(struct dt_xids *xids, const char *name, char *text, struct dt_error *err);
void dt_xids_fini(struct dt_xids *xids);

const struct dt_xid *dt_xid_find(const struct dt_xids *xids, int code); /* NULL: no such row */
const char *dt_xid_source(const struct dt_xids *xids, const struct dt_xid *row);

/* What a message asks for. text: from "NVRM: Xid" on. Never DT_XID_DECODE. */
enum dt_xid_action dt_xid_judge(const struct dt_xids *xids, int code, const char *text);

/* The recovery action that a message of Xid 154 changes to, as NVML's field 230 numbers it: 0 none,
 * 1 reset, 2 reboot, 3 drain of peer-to-peer traffic, 4 drain and reset. -1: the text has none. */
int dt_xid_recovery(const char *text);

#endif
