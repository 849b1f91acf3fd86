/* SPDX-License-Identifier: Apache-2.0 */
/* A 64-bit checksum of memory, at memory speed, against accidents (not against forgers). */
#ifndef DT_TRAIN_HASH_H
#define DT_TRAIN_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t dt_hash(const void *data, size_t bytes, uint64_t seed);

#endif
