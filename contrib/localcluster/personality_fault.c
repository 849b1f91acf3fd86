/* SPDX-License-Identifier: Apache-2.0 */
#include "personality.h"
const struct fault faults[] = {{0}};
