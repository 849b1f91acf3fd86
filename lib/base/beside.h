/* SPDX-License-Identifier: Apache-2.0 */
/* Finding a program that was installed with this one. */
#ifndef DT_BASE_BESIDE_H
#define DT_BASE_BESIDE_H

/* Path of a helper: beside this program, or in ../libexec/dt of it. Caller frees; NULL: there is
 * none. */
char *dt_beside(const char *name);

#endif
