/* SPDX-License-Identifier: Apache-2.0 */
/* The GPU's kernels as test_train_kernels has them, in double: to 1e-12 of the CPU's. */
#include "test_train_kernels.c"
