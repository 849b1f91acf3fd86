/* SPDX-License-Identifier: Apache-2.0 */
/* Adapters for AWS Batch multi-node parallel jobs and for SageMaker training jobs.
 *
 * Batch: AWS_BATCH_JOB_NUM_NODES, AWS_BATCH_JOB_NODE_INDEX, AWS_BATCH_JOB_MAIN_NODE_INDEX, and, on all
 * nodes but the main one, AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS
 * (docs.aws.amazon.com/batch/latest/userguide/multi-node-parallel-jobs.html).
 * SageMaker: SM_HOSTS, SM_CURRENT_HOST, set by its training toolkit. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "place.h"

/* ---- Batch --------------------------------------------------------------------------------- */

static bool batch_present(void)
{
    return getenv("AWS_BATCH_JOB_NUM_NODES") && getenv("AWS_BATCH_JOB_NODE_INDEX");
}

/* The main node is rank 0's; the nodes before it in Batch's order move up by one. */
static int batch_find(struct dt_place *place, const struct dt_options *options,
                      struct dt_error *err)
{
    const char *main_address = getenv("AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS");
    int count, index, main_index = 0;
    if (dt_place_number("AWS Batch", "AWS_BATCH_JOB_NUM_NODES", 1, 1 << 20, &count, err) ||
        dt_place_number("AWS Batch", "AWS_BATCH_JOB_NODE_INDEX", 0, count - 1, &index, err) ||
        (getenv("AWS_BATCH_JOB_MAIN_NODE_INDEX") &&
         dt_place_number("AWS Batch", "AWS_BATCH_JOB_MAIN_NODE_INDEX", 0, count - 1, &main_index,
                         err)))
        return -1;
    place->node_count = count;
    place->node_rank = index == main_index ? 0 : index < main_index ? index + 1 : index;
    if (place->node_rank == 0 || options->master_addr)
        return 0;
    if (!main_address || !*main_address)
        return dt_error_set(err,
                            "AWS Batch has not told node %d of %d the main node's address "
                            "(AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS): give --master-addr",
                            index, count);
    return dt_place_first(place, main_address, err);
}

const struct dt_place_adapter dt_place_batch = {batch_present, batch_find};

/* ---- SageMaker ----------------------------------------------------------------------------- */

static bool sagemaker_present(void)
{
    return getenv("SM_HOSTS") && getenv("SM_CURRENT_HOST");
}

/* The next name of ["algo-1","algo-2"]; host names hold no escapes. Returns its length; 0: the end;
 * -1: this is no such list. */
static int next_host(const char **at, const char **name)
{
    while (**at == '[' || **at == ',' || isspace((unsigned char)**at))
        ++*at;
    if (**at == ']')
        return 0;
    if (**at != '"')
        return -1;
    *name = ++*at;
    size_t length = strcspn(*at, "\"\\,]");
    if (length == 0 || length > 255 || (*at)[length] != '"')
        return -1;
    *at += length + 1;
    return (int)length;
}

static int sagemaker_find(struct dt_place *place, const struct dt_options *options,
                          struct dt_error *err)
{
    const char *hosts = getenv("SM_HOSTS"), *own = getenv("SM_CURRENT_HOST"), *name = NULL;
    const char *at = hosts;
    int length = 0;
    if (!hosts || !own) /* `present` has seen them */
        return dt_error_set(err, "SM_HOSTS and SM_CURRENT_HOST are not set");
    (void)options;
    place->node_count = 0;
    place->node_rank = -1;
    while (*hosts == '[' && (length = next_host(&at, &name)) > 0) {
        if ((size_t)length == strlen(own) && strncmp(name, own, (size_t)length) == 0)
            place->node_rank = place->node_count;
        if (place->node_count++ > 0)
            continue;
        char *first = strndup(name, (size_t)length);
        int result = first ? dt_place_first(place, first, err) : dt_error_set(err, "out of memory");
        free(first);
        if (result)
            return -1;
    }
    if (*hosts != '[' || length < 0 || place->node_count == 0)
        return dt_error_set(
            err, "SM_HOSTS is \"%.80s\", not a list such as [\"algo-1\",\"algo-2\"]", hosts);
    if (place->node_rank < 0)
        return dt_error_set(
            err, "SM_CURRENT_HOST is \"%.60s\", which SM_HOSTS (%.80s) does not name", own, hosts);
    return 0;
}

const struct dt_place_adapter dt_place_sagemaker = {sagemaker_present, sagemaker_find};
