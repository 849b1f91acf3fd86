/* SPDX-License-Identifier: Apache-2.0 */
/* What strangers may send where dt-launch of other nodes connect; a message that is taken must be the
 * same when it is written and read again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "link/link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(const struct dt_link_message *message)
{
    struct dt_buf wire = DT_BUF_INIT;
    struct dt_link_reader reader = {0};
    struct dt_link_message copy;
    struct dt_error err;
    dt_link_encode(&wire, message);
    if (wire.failed || dt_link_feed(&reader, wire.data, wire.len, &err) ||
        (wire.len <= DT_LINK_LINE_MAX && dt_link_next(&reader, &copy, &err) != 1))
        abort();
    if (wire.len <= DT_LINK_LINE_MAX) {
        if (copy.type != message->type ||
            memcmp(copy.numbers, message->numbers, sizeof copy.numbers) != 0 ||
            !copy.texts[0] != !message->texts[0] ||
            (copy.texts[0] && strcmp(copy.texts[0], message->texts[0]) != 0))
            abort();
        dt_link_message_fini(&copy);
    }
    dt_link_reader_fini(&reader);
    dt_buf_fini(&wire);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_link_reader reader = {0};
    struct dt_link_message message;
    struct dt_error err;
    size_t cut = size ? data[0] % size : 0;
    int rc = dt_link_feed(&reader, data, cut, &err);
    for (int half = 0; half < 2 && rc == 0; half++) {
        while ((rc = dt_link_next(&reader, &message, &err)) == 1) {
            again(&message);
            dt_link_message_fini(&message);
        }
        if (rc == 0 && half == 0)
            rc = dt_link_feed(&reader, data + cut, size - cut, &err);
    }
    dt_link_reader_fini(&reader);
    return 0;
}
