#include "src/train/precompute.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/base/hash.h"
#include "src/train/fingerprint.h"
#include "src/train/ref_logps.h"

// What fixes the last bits, as a hash.
static enum rt_err kernels_of(const struct tr_session *s, char out[17])
{
    enum rt_err err = RT_OK;
    struct str text = {0};
    struct fmt_jw w = {.out = &text};
    struct hash h;

    tr_kernels_write(&w, s);
    RT_TRY(fmt_jw_done(&w));
    hash_begin(&h, 0);
    hash_add(&h, text.data, text.len);
    snprintf(out, 17, "%016" PRIx64, hash_end(&h));
done:
    str_free(&text);
    return err;
}

// The file of a key: as named, or CACHE/ref_logps/KEY.jsonl.
static enum rt_err file_of(const struct tr_config *c, const struct tr_ref_key *k,
                           const char *kernels, char **out)
{
    enum rt_err err = RT_OK;
    char *cache = NULL, *dir = NULL, name[17];
    struct str s = {0};

    *out = NULL;
    if (c->ref_log_probs_file) {
        RT_TRY(str_dup(c->ref_log_probs_file, out));
        goto done;
    }
    RT_TRY(dir_cache(c->cache_dir, &cache));
    RT_TRY(path_join(cache, "ref_logps", &dir));
    RT_TRY(dir_make(dir));
    tr_ref_key_name(k, kernels, name);
    RT_TRY(str_printf(&s, "%s/%s.jsonl", dir, name));
    *out = s.data;
    s = (struct str){0};
done:
    str_free(&s);
    free(dir);
    free(cache);
    return err;
}

static enum rt_err find(const struct tr_config *c, const char *kernels, struct tr_dataset *d)
{
    enum rt_err err = RT_OK;
    struct tr_ref_key k = {0};
    char *path = NULL, name[17];

    RT_TRY(tr_ref_key_make(c, d, &k));
    tr_ref_key_name(&k, "", name);
    d->ref_key = strtoull(name, NULL, 16);
    RT_TRY(file_of(c, &k, kernels, &path));
    if (!file_exists(path))
        goto done;
    err = tr_ref_logps_read(path, &k, kernels, d, &d->ref_logps);
    if (err != RT_OK && !c->ref_log_probs_file) { // never trusted, and no reason to stop
        log_warn("%s is computed again", path);
        err = file_write(path, "", 0);
    }
    if (err == RT_OK && d->ref_logps)
        log_info("%s: reference log-probs of %u pairs read from %s", d->name, d->set.n, path);
done:
    free(path);
    tr_ref_key_free(&k);
    return err;
}

enum rt_err tr_precompute_find(const struct tr_config *c, struct tr_session *s, uint32_t *missing)
{
    enum rt_err err = RT_OK;
    char kernels[17];

    *missing = 0;
    RT_TRY(kernels_of(s, kernels));
    for (uint32_t i = 0; i < tr_session_datasets(s); i++) {
        RT_TRY(find(c, kernels, tr_session_dataset(s, i)));
        *missing += !tr_session_dataset(s, i)->ref_logps;
    }
done:
    return err;
}

// The numbers of a batch that was begun, to their pairs; NULL: there is none.
static enum rt_err take(struct tr_session *s, struct tr_job **job, uint32_t n, float *to)
{
    enum rt_err err = RT_OK;
    struct tr_job *j = *job;

    *job = NULL;
    if (j) {
        const uint32_t first = tr_job_batch(j)->pairs[0];
        RT_TRY(tr_objective_end_reference(s->objective, j, to + first, to + n + first));
    }
done:
    return err;
}

static enum rt_err compute(const struct tr_config *c, struct tr_session *s, struct tr_dataset *d,
                           float *to)
{
    enum rt_err err = RT_OK;
    enum { BATCH = 64 }; // pairs; the device takes as many of them at once as fit (tr_limits)
    const uint32_t n = d->set.n;
    const uint32_t want = c->precompute_ref_batch_size ? c->precompute_ref_batch_size : BATCH;
    const uint32_t batch = u32_min(want, n);
    const double start = os_seconds();
    uint32_t *pairs = malloc(n * sizeof(*pairs));
    struct tr_job *before = NULL, *job = NULL;

    RT_REQUIRE(pairs, RT_E_NOMEM);
    for (uint32_t i = 0; i < n; i++)
        pairs[i] = i;
    for (uint32_t i = 0, k; i < n; i += k) {
        k = u32_min(batch, n - i);
        const struct tr_batch b = {.data = d, .pairs = pairs + i, .n = k};
        RT_TRY(tr_objective_begin_reference(s->objective, &b, &job));
        RT_TRY(take(s, &before, n, to)); // while the device is at this one
        before = job;
    }
    RT_TRY(take(s, &before, n, to));
    log_info("%s: reference log-probs of %u pairs computed in %.1f s", d->name, n,
             os_seconds() - start);
done:
    free(pairs);
    return err;
}

static enum rt_err compute_and_keep(const struct tr_config *c, struct tr_session *s,
                                    const char *kernels, struct tr_dataset *d)
{
    enum rt_err err = RT_OK;
    const struct rt_caps *caps = &rt_dev_plan(s->dev)->caps;
    struct tr_ref_key k = {0};
    char *path = NULL, device[256];
    float *values = malloc(2 * (size_t) d->set.n * sizeof(*values));

    RT_REQUIRE(values, RT_E_NOMEM);
    RT_TRY(compute(c, s, d, values));
    d->ref_logps = values;
    values = NULL;
    RT_TRY(tr_ref_key_make(c, d, &k));
    RT_TRY(file_of(c, &k, kernels, &path));
    snprintf(device, sizeof(device), "%.120s, %.120s", caps->name, caps->driver);
    RT_TRY(tr_ref_logps_append(path, &k, kernels, device, d));
    log_info("%s: reference log-probs written to %s", d->name, path);
done:
    free(values);
    free(path);
    tr_ref_key_free(&k);
    return err;
}

enum rt_err tr_precompute_run(const struct tr_config *c, struct tr_session *s)
{
    enum rt_err err = RT_OK;
    char kernels[17];

    RT_TRY(kernels_of(s, kernels));
    for (uint32_t i = 0; i < tr_session_datasets(s); i++)
        if (!tr_session_dataset(s, i)->ref_logps)
            RT_TRY(compute_and_keep(c, s, kernels, tr_session_dataset(s, i)));
done:
    return err;
}
