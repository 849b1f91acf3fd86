/* SPDX-License-Identifier: Apache-2.0 */
/* --wait-for: a service that must answer before the ranks start. */
#ifndef DT_LAUNCH_WAIT_FOR_H
#define DT_LAUNCH_WAIT_FOR_H

#include "base/error.h"
#include "options.h"

/* "tcp://HOST:PORT[,SECONDS]" or "http://HOST:PORT/PATH[,SECONDS]": is it one? */
int dt_wait_for_check(const char *url, struct dt_error *err);

/* Wait for all, one after the other, saying so every now and then. -1: one did not answer in its time. */
int dt_wait_for(const struct dt_options *options, struct dt_error *err);

#endif
