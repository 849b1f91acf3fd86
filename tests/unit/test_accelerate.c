/* SPDX-License-Identifier: Apache-2.0 */
/* accelerate's configuration files: the variables that `accelerate launch` would set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "accelerate/accelerate.h"

static void gives(const char *text, const char *const *wanted)
{
    struct dt_accelerate config;
    struct dt_error err = {""};
    size_t count = 0;
    if (dt_accelerate_parse(&config, text, "a.yaml", &err))
        fail_msg("%s", err.text);
    for (; wanted[count]; count++) {
        if (count >= config.count || strcmp(config.variables[count], wanted[count]) != 0)
            fail_msg("wanted %s, got %s", wanted[count],
                     count < config.count ? config.variables[count] : "no more");
    }
    assert_int_equal(config.count, count);
    dt_accelerate_fini(&config);
}

static void test_fsdp(void **state)
{
    (void)state;
    gives("compute_environment: LOCAL_MACHINE\n"
          "debug: false\n"
          "fsdp_config:\n"
          "  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP\n"
          "  fsdp_transformer_layer_cls_to_wrap: LlamaDecoderLayer,Embedding # both\n"
          "  fsdp_offload_params: False\n"
          "  fsdp_sharding_strategy: FULL_SHARD\n"
          "distributed_type: FSDP\n"
          "machine_rank: 0\n"
          "mixed_precision: 'bf16'\n",
          (const char *const[]){
              "ACCELERATE_DEBUG_MODE=false", "FSDP_AUTO_WRAP_POLICY=TRANSFORMER_BASED_WRAP",
              "FSDP_TRANSFORMER_CLS_TO_WRAP=LlamaDecoderLayer,Embedding",
              "FSDP_OFFLOAD_PARAMS=false", "FSDP_SHARDING_STRATEGY=FULL_SHARD",
              "ACCELERATE_USE_FSDP=true", "ACCELERATE_MIXED_PRECISION=bf16",
              /* what the file does not say */
              "FSDP_VERSION=1", "FSDP_RESHARD_AFTER_FORWARD=true", "FSDP_MIN_NUM_PARAMS=100000000",
              "FSDP_FORWARD_PREFETCH=false", "FSDP_USE_ORIG_PARAMS=true",
              "FSDP_CPU_RAM_EFFICIENT_LOADING=true", "FSDP_SYNC_MODULE_STATES=true",
              "FSDP_ACTIVATION_CHECKPOINTING=false", "FSDP_ACTIVATION_CHECKPOINTING_OFFLOAD=false",
              NULL});
}

static void test_deepspeed(void **state)
{
    (void)state;
    gives("distributed_type: DEEPSPEED\n"
          "deepspeed_config:\n"
          "  zero_stage: 3\n"
          "  zero3_init_flag: true\n"
          "  offload_optimizer_device: none\n"
          "  deepspeed_config_file: \"conf/ds #1.json\"\n"
          "  deepspeed_hostfile: null\n"
          "fsdp_config:\n"
          "  fsdp_version: 2\n"
          "dynamo_config:\n"
          "  dynamo_backend: inductor\n",
          (const char *const[]){"ACCELERATE_USE_DEEPSPEED=true",
                                "ACCELERATE_DEEPSPEED_ZERO_STAGE=3",
                                "ACCELERATE_DEEPSPEED_ZERO3_INIT=true",
                                "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE=none",
                                "ACCELERATE_DEEPSPEED_CONFIG_FILE=conf/ds #1.json",
                                "ACCELERATE_DYNAMO_BACKEND=INDUCTOR", NULL});
}

static void test_counts_and_lists(void **state)
{
    (void)state;
    struct dt_accelerate config;
    struct dt_error err = {""};
    assert_int_equal(dt_accelerate_parse(&config,
                                         "num_processes: 16\nnum_machines: 2\ngpu_ids: all\n"
                                         "tpu_env: []\ncommands:\n- a\n- b\n\n# comment\n",
                                         "a.yaml", &err),
                     0);
    assert_int_equal(config.processes, 16);
    assert_int_equal(config.machines, 2);
    assert_int_equal(config.count, 0);
    dt_accelerate_fini(&config);
}

static void refused(const char *text, const char *words)
{
    struct dt_accelerate config;
    struct dt_error err = {""};
    assert_int_equal(dt_accelerate_parse(&config, text, "a.yaml", &err), -1);
    if (!strstr(err.text, words))
        fail_msg("no \"%s\" in: %s", words, err.text);
}

static void test_mistakes(void **state)
{
    (void)state;
    refused("num_processes: many\n", "a.yaml:1: num_processes is \"many\"");
    refused("a: b\nnothing\n", "a.yaml:2: \"nothing\" is not \"key: value\"");
    refused("  a: b\n", "a.yaml:1: a is indented");
    refused("a: 'b\n", "is not \"key: value\"");
    refused("\ta: b\n", "is not \"key: value\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fsdp),
        cmocka_unit_test(test_deepspeed),
        cmocka_unit_test(test_counts_and_lists),
        cmocka_unit_test(test_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
