#include "tests/t.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/base/rng.h"
#include "src/op/op.h"

enum { MOST_DEVICES = 8, MOST_THINGS = 4096 };

struct t {
    const char *name;
    struct rt_dev *dev, *ref;
    struct rng rng;
    struct rt_buf *bufs[MOST_THINGS];
    void *mem[MOST_THINGS];
    unsigned n_bufs, n_mem;
    unsigned asked, left; // cases of t_due(), and those of other days
    void (*body)(struct t *);
};

static char g_logged[8192]; // error lines since t_logged()

static void sink(void *user, enum log_level level, const char *line)
{
    const size_t n = strlen(g_logged);
    (void) user;
    if (level == LOG_ERROR)
        snprintf(g_logged + n, sizeof(g_logged) - n, "%s\n", line);
    else if (level <= LOG_WARN)
        fprintf(stderr, "%s\n", line);
}

const char *t_logged(void)
{
    static char copy[sizeof(g_logged)];
    memcpy(copy, g_logged, sizeof(copy));
    g_logged[0] = 0;
    return copy;
}

void t_ok(enum rt_err err, const char *call, const char *file, int line)
{
    if (err == RT_OK)
        return;
    print_error("%s: %s\n%s", call, rt_err_name(err), t_logged());
    _assert_true(0, call, file, line);
}

void t_err(enum rt_err want, enum rt_err got, const char *call, const char *file, int line)
{
    const char *log = t_logged();
    if (got == want)
        return;
    print_error("%s: expected %s, found %s\n%s", call, rt_err_name(want), rt_err_name(got), log);
    _assert_true(0, call, file, line);
}

struct rt_dev *t_dev(struct t *t)
{
    return t->dev;
}
const char *t_name(const struct t *t)
{
    return t->name;
}
bool t_on_host(const struct t *t)
{
    return str_has_prefix(rt_dev_id(t->dev), "host");
}

struct rt_dev *t_ref(struct t *t)
{
    if (!t->ref)
        T_OK(rt_dev_open(&(struct rt_dev_desc){.name = "host:f64", .kernels = op_kernels()},
                         &t->ref));
    return t->ref;
}

bool t_due(struct t *t, size_t at, size_t days)
{
    int64_t now;
    bool due;

    T_OK(os_clock(&now));
    due = t_on_host(t) || os_env("ANYDPO_TEST_FULL") || (at + (uint64_t) now / 86400) % days == 0;
    t->asked++;
    t->left += !due;
    return due;
}

void *t_alloc(struct t *t, size_t bytes)
{
    void *p = calloc(1, bytes ? bytes : 1);
    assert_non_null(p);
    assert_true(t->n_mem < MOST_THINGS);
    t->mem[t->n_mem++] = p;
    return p;
}

double *t_uniform(struct t *t, uint64_t n, double lo, double hi)
{
    double *x = t_alloc(t, n * sizeof(*x));
    for (uint64_t i = 0; i < n; i++)
        x[i] = lo + (hi - lo) * (double) rng_uniform(&t->rng);
    return x;
}

double *t_normal(struct t *t, uint64_t n, double sigma)
{
    double *x = t_alloc(t, n * sizeof(*x));
    for (uint64_t i = 0; i < n; i++) {
        const double u = 1.0 - (double) rng_uniform(&t->rng), v = (double) rng_uniform(&t->rng);
        x[i] = sigma * sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
    }
    return x;
}

void t_round(double *x, uint64_t n, enum rt_type type)
{
    for (uint64_t i = 0; i < n; i++) {
        const float f = (float) x[i];
        x[i] = type == RT_F16    ? (double) f16_to_f32(f16_from_f32(f))
               : type == RT_BF16 ? (double) bf16_to_f32(bf16_from_f32(f))
               : type == RT_F32  ? (double) f
                                 : x[i];
    }
}

static struct rt_buf *keep(struct t *t, struct rt_buf *b)
{
    assert_true(t->n_bufs < MOST_THINGS);
    t->bufs[t->n_bufs++] = b;
    return b;
}

static struct rt_buf *make(struct t *t, struct rt_dev *dev, enum rt_type type, uint64_t n)
{
    struct rt_buf *b;
    T_OK(rt_buf_create(dev, type, n, "test", &b));
    return keep(t, b);
}

struct rt_buf *t_buf(struct t *t, struct rt_dev *dev, enum rt_type type, const double *x,
                     uint64_t n)
{
    struct rt_buf *b = make(t, dev, type, n);
    double *y = t_alloc(t, n * sizeof(*y));
    memcpy(y, x, n * sizeof(*y));
    t_round(y, n, type); // host:f64 must get what the device gets
    T_OK(rt_buf_write(b, 0, n, RT_F64, y));
    return b;
}

struct rt_buf *t_buf_u32(struct t *t, struct rt_dev *dev, const uint32_t *x, uint64_t n)
{
    struct rt_buf *b = make(t, dev, RT_U32, n);
    T_OK(rt_buf_write(b, 0, n, RT_U32, x));
    return b;
}

struct rt_buf *t_output(struct t *t, struct rt_dev *dev, enum rt_type type, uint64_t n)
{
    struct rt_buf *b = make(t, dev, type, n + T_GUARD);
    double *x = t_alloc(t, (n + T_GUARD) * sizeof(*x));
    for (uint64_t i = 0; i < n + T_GUARD; i++)
        x[i] = (double) NAN;
    T_OK(rt_buf_write(b, 0, n + T_GUARD, RT_F64, x));
    return b;
}

struct rt_buf *t_zeros(struct t *t, struct rt_dev *dev, enum rt_type type, uint64_t n)
{
    return make(t, dev, type, n);
}

void t_close_to(struct t *t, const char *what, struct rt_buf *got, const double *want, uint64_t n,
                struct t_tol tol)
{
    const uint64_t all = rt_buf_count(got);
    double *g = t_alloc(t, all * sizeof(*g)), worst = 0.0;
    uint64_t at = 0;

    T_OK(rt_buf_read(got, 0, all, RT_F64, g));
    for (uint64_t i = 0; i < n; i++) {
        const double share = fabs(g[i] - want[i]) / (tol.atol + tol.rtol * fabs(want[i]));
        if (!(share <= worst)) { // also NaN
            worst = isnan(share) && g[i] == want[i] ? worst
                    : isnan(share)                  ? (double) INFINITY
                                                    : share;
            at = i;
        }
    }
    if (worst > 1.0)
        fail_msg("%s on %s: element %llu of %llu: got %.9g, want %.9g, bound %.3g (%.3g x)", what,
                 t->name, (unsigned long long) at, (unsigned long long) n, g[at], want[at],
                 tol.atol + tol.rtol * fabs(want[at]), worst);
    for (uint64_t i = n; all == n + T_GUARD && i < all; i++)
        if (!isnan(g[i]))
            fail_msg("%s on %s: guard element %llu behind %llu was written: %.9g", what, t->name,
                     (unsigned long long) (i - n), (unsigned long long) n, g[i]);
}

void t_close(struct t *t, const char *what, struct rt_buf *got, struct rt_buf *want, uint64_t n,
             struct t_tol tol)
{
    double *w = t_alloc(t, n * sizeof(*w));
    T_OK(rt_buf_read(want, 0, n, RT_F64, w));
    t_close_to(t, what, got, w, n, tol);
}

double t_eps(enum rt_type type)
{
    static const double EPS[RT_TYPE_COUNT] = {0x1p-24, 0x1p-11, 0x1p-8, 0.0, 0x1p-53};
    return EPS[type];
}

void t_reset(struct t *t)
{
    while (t->n_bufs)
        rt_buf_destroy(&t->bufs[--t->n_bufs]);
    while (t->n_mem)
        free(t->mem[--t->n_mem]);
}

static void run(void **state)
{
    struct t *t = *state;
    char *cache = NULL;
    rng_seed(&t->rng, 1234);
    T_OK(dir_cache(NULL, &cache));
    T_OK(rt_dev_open(
        &(struct rt_dev_desc){.name = t->name, .kernels = op_kernels(), .cache_dir = cache},
        &t->dev));
    free(cache);
    t->body(t);
    if (t->left)
        print_message("%s: %u of %u cases are left for other days\n", t->name, t->left, t->asked);
}

static int done(void **state)
{
    struct t *t = *state;
    t_reset(t);
    rt_dev_close(&t->dev);
    rt_dev_close(&t->ref);
    return 0;
}

int t_each_device(void (*body)(struct t *))
{
    static struct t each[MOST_DEVICES];
    struct CMUnitTest tests[MOST_DEVICES];
    static char names[512];
    size_t n = 0;
    const char *env = os_env("ANYDPO_TEST_DEVICES");

    log_set_sink(sink, NULL);
    snprintf(names, sizeof(names), "%s", env ? env : "host");
    for (char *save = NULL, *s = strtok_r(names, ",", &save); s && n < MOST_DEVICES;
         s = strtok_r(NULL, ",", &save)) {
        each[n] = (struct t){.name = s, .body = body};
        tests[n] = (struct CMUnitTest){
            .name = s, .test_func = run, .teardown_func = done, .initial_state = &each[n]};
        n++;
    }
    return _cmocka_run_group_tests("devices", tests, n, NULL, NULL);
}
