/* SPDX-License-Identifier: Apache-2.0 */
/* What a test may ask of the emulation of kernels (emulate.h). */
#ifndef DT_EMULATED_H
#define DT_EMULATED_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Of the order of all threads and blocks from now on. */
void dt_emulate_seed(uint64_t seed);

/* Barriers that kernels have come to, by the line they stand in. A barrier that is left out is as if
 * it did not stand there; DT_EMULATE_WHOLE: none is. */
#define DT_EMULATE_WHOLE SIZE_MAX
size_t dt_emulate_barriers(void);
const char *dt_emulate_barrier(size_t barrier); /* "loss.cu:57" */
void dt_emulate_leave_out(size_t barrier);

#ifdef __cplusplus
}
#endif
#endif
