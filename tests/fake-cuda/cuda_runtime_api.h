/* SPDX-License-Identifier: Apache-2.0 */
/* As CUDA has it: the same for C alone. */
#include "cuda_runtime.h"
