/* SPDX-License-Identifier: Apache-2.0 */
/* SVG to PNG. librsvg is large and seldom needed, so it is opened when a PNG is asked for; the few
 * types needed are declared here as its manual and cairo's have them. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dt-topo.h"

#define SCALE 2 /* pixels a unit of the drawing: sharp on today's screens */

typedef struct cairo_surface cairo_surface_t;
typedef struct cairo cairo_t;
typedef struct rsvg_handle RsvgHandle;

struct rectangle { /* RsvgRectangle */
    double x, y, width, height;
};

struct libraries {
    void *rsvg, *cairo, *gobject;
    RsvgHandle *(*handle_new)(const uint8_t *data, size_t size, void **error);
    int (*size)(RsvgHandle *handle, double *width, double *height);
    int (*render)(RsvgHandle *handle, cairo_t *cr, const struct rectangle *viewport, void **error);
    void (*unref)(void *object);
    cairo_surface_t *(*surface)(int format, int width, int height);
    cairo_t *(*create)(cairo_surface_t *surface);
    int (*surface_status)(cairo_surface_t *surface);
    int (*write)(cairo_surface_t *surface, const char *path);
    const char *(*status_text)(int status);
    void (*destroy)(cairo_t *cr);
    void (*surface_destroy)(cairo_surface_t *surface);
};

/* `to` is a pointer to a function. The first name that is not there is kept in *missing. */
static void find(void *to, void *library, const char *name, const char **missing)
{
    void *symbol = dlsym(library, name);

    memcpy(to, &symbol, sizeof(symbol));
    if (!symbol && !*missing)
        *missing = name;
}

static int look_up(struct libraries *l, struct dt_error *err)
{
    const char *missing = NULL;

    find(&l->handle_new, l->rsvg, "rsvg_handle_new_from_data", &missing);
    find(&l->size, l->rsvg, "rsvg_handle_get_intrinsic_size_in_pixels", &missing);
    find(&l->render, l->rsvg, "rsvg_handle_render_document", &missing);
    find(&l->unref, l->gobject, "g_object_unref", &missing);
    find(&l->surface, l->cairo, "cairo_image_surface_create", &missing);
    find(&l->create, l->cairo, "cairo_create", &missing);
    find(&l->surface_status, l->cairo, "cairo_surface_status", &missing);
    find(&l->write, l->cairo, "cairo_surface_write_to_png", &missing);
    find(&l->status_text, l->cairo, "cairo_status_to_string", &missing);
    find(&l->destroy, l->cairo, "cairo_destroy", &missing);
    find(&l->surface_destroy, l->cairo, "cairo_surface_destroy", &missing);
    if (!missing)
        return 0;
    return dt_error_set(err,
                        "librsvg here has no %s: version 2.52 or later is needed for a PNG; -o "
                        "FILE.svg needs no library",
                        missing);
}

static int open_all(struct libraries *l, struct dt_error *err)
{
    l->rsvg = dlopen("librsvg-2.so.2", RTLD_NOW | RTLD_LOCAL);
    l->cairo = l->rsvg ? dlopen("libcairo.so.2", RTLD_NOW | RTLD_LOCAL) : NULL;
    l->gobject = l->cairo ? dlopen("libgobject-2.0.so.0", RTLD_NOW | RTLD_LOCAL) : NULL;
    if (l->gobject)
        return look_up(l, err);
    return dt_error_set(err,
                        "a PNG needs librsvg, which is not here (Debian: librsvg2-2); -o FILE.svg "
                        "needs no library");
}

/* The libraries stay open: GObject can not be unloaded, and the program ends soon. */
static int render(struct libraries *l, RsvgHandle *handle, const char *path, struct dt_error *err)
{
    struct rectangle viewport = {0};
    cairo_surface_t *surface;
    cairo_t *cr = NULL;
    int status, rc = -1;

    if (!l->size(handle, &viewport.width, &viewport.height))
        return dt_error_set(err, "librsvg can not tell the drawing's size");
    viewport.width *= SCALE;
    viewport.height *= SCALE;
    surface = l->surface(0 /* ARGB32 */, (int)viewport.width, (int)viewport.height);
    status = l->surface_status(surface);
    if (status == 0) {
        cr = l->create(surface);
        if (l->render(handle, cr, &viewport, NULL))
            status = l->write(surface, path);
        else
            status = -1;
    }
    if (status == 0)
        rc = 0;
    else
        dt_error_set(err, "%s can not be written: %s", path,
                     status < 0 ? "librsvg can not draw it" : l->status_text(status));
    if (cr)
        l->destroy(cr);
    l->surface_destroy(surface);
    return rc;
}

int png_write(const char *path, const struct dt_buf *svg, struct dt_error *err)
{
    struct libraries l = {0};
    RsvgHandle *handle;
    int rc;

    if (open_all(&l, err))
        return -1;
    /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): open_all() filled it in through void * */
    handle = l.handle_new((const uint8_t *)svg->data, svg->len, NULL);
    if (!handle)
        return dt_error_set(err, "librsvg can not read the drawing");
    rc = render(&l, handle, path, err);
    l.unref(handle);
    return rc;
}
