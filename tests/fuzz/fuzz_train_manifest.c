/* SPDX-License-Identifier: Apache-2.0 */
/* A checkpoint's manifest comes from a file that anyone may have written: any bytes must be refused
 * with a sentence, or give a manifest that holds together. Texts are also tried with their checksum
 * made right, so that what stands before it is judged alone. What is accepted is printed again, and must
 * be the same text. */
#include "../../bench/train/config.c"
#include "../../bench/train/extents.c"
#include "../../bench/train/hash.c"
#include "../../bench/train/manifest.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Tensors are not cut here. */
void dt_tensor_runs(const struct dt_tensor *tensor, size_t from, size_t count,
                    dt_run_function *function, void *context)
{
    (void)tensor, (void)from, (void)count, (void)function, (void)context;
}

static void hold_together(const struct dt_manifest *m)
{
    for (size_t f = 0; f < m->file_count; f++) {
        const struct dt_manifest_file *file = &m->files[f];
        uint64_t reals = 0;
        if (file->first + file->count > m->extents.count)
            abort();
        for (size_t i = file->first; i < file->first + file->count; i++) {
            const struct dt_extent *e = &m->extents.items[i];
            if (e->stride == 0 || e->length > e->stride ||
                e->offset + (e->times - 1) * e->stride + e->length > UINT64_C(1) << 52)
                abort();
            reals += dt_extent_reals(e);
        }
        if (reals != file->reals)
            abort();
    }
}

static void print_again(const struct dt_manifest *m, const char *text, size_t size)
{
    struct dt_buf again = DT_BUF_INIT;
    dt_manifest_put_head(&again, &m->info, m->ranks);
    for (size_t f = 0; f < m->file_count; f++) {
        dt_manifest_put_file(&again, m->files[f].reals, m->files[f].sum);
        for (size_t i = 0; i < m->files[f].count; i++)
            dt_manifest_put_extent(&again, &m->extents.items[m->files[f].first + i]);
    }
    dt_manifest_put_end(&again);
    if (again.failed || again.len != size || memcmp(again.data, text, size) != 0)
        abort();
    dt_buf_fini(&again);
}

static void judge(const char *text, size_t size)
{
    struct dt_manifest m;
    struct dt_error err = {""};
    if (dt_manifest_parse(&m, text, size, &err) < 0) {
        if (!err.text[0])
            abort();
        return;
    }
    hold_together(&m);
    print_again(&m, text, size);
    dt_manifest_fini(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    judge((const char *)data, size);
    struct dt_buf text = DT_BUF_INIT;
    dt_buf_append(&text, data, size);
    /* what stands behind the last line "end" is made the checksum of what is before it */
    size_t end = 0;
    for (size_t i = 0; i + 4 <= size; i++)
        if (memcmp(data + i, "end ", 4) == 0 && (i == 0 || data[i - 1] == '\n'))
            end = i;
    if (end > 0) {
        text.len = end;
        text.data[end] = '\0';
        dt_manifest_put_end(&text);
    }
    if (text.data)
        judge(text.data, text.len);
    dt_buf_fini(&text);
    return 0;
}
