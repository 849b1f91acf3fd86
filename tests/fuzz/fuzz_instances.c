/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the instance table: any text is a valid table or one sentence, and a type that can be cut
 * out of a valid table is the one that was asked for. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "instances/instances.h"
#include "instances/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    struct dt_instances table;
    struct dt_error err = {0};
    size_t begin, end;
    if (dt_instances_parse(&table, "fuzz.conf", text, size, &err) == 0) {
        for (size_t i = 0; i < table.count; i++) {
            if (dt_instances_find(&table, table.items[i].name) != &table.items[i])
                abort();
        }
        dt_instances_fini(&table);
    } else if (!*err.text) {
        abort();
    }
    dt_conf_blank_comments(text);
    if (dt_instances_locate(text, "p5.48xlarge", &begin, &end) > 0 && (begin >= end || end > size))
        abort();
    free(text);
    return 0;
}
