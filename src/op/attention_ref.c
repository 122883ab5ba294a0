// Oracles of attention: the formulas in float64, a query or a key at a time.
#include "src/op/attention.h"

#include <math.h>

#include "src/base/arith.h"
#include "src/base/thread.h"

enum { MOST_DIM = 256, WORDS = ATTENTION_WORDS };

struct job {
    const struct rt_host_call *call;
    const struct attention_params *p;
};

static uint32_t word(const struct rt_host_buf *index, uint64_t i)
{
    return ((const uint32_t *) index->data)[i];
}

// Elements [at, at + n) of b, or nothing but their sum of products with x.
static void load(const struct rt_host_buf *b, uint64_t at, uint32_t n, double *x)
{
    for (uint32_t d = 0; d < n; d++)
        x[d] = rt_host_load(b, at + d);
}

static double dot(const struct rt_host_buf *b, uint64_t at, uint32_t n, const double *x)
{
    double s = 0.0;
    if (b->type == RT_F64) // the common case of the tests, without a switch in the loop
        for (uint32_t d = 0; d < n; d++)
            s += ((const double *) b->data)[at + d] * x[d];
    else
        for (uint32_t d = 0; d < n; d++)
            s += rt_host_load(b, at + d) * x[d];
    return s;
}

// y += a * b[at ..]
static void add(double *y, double a, const struct rt_host_buf *b, uint64_t at, uint32_t n)
{
    if (b->type == RT_F64)
        for (uint32_t d = 0; d < n; d++)
            y[d] += a * ((const double *) b->data)[at + d];
    else
        for (uint32_t d = 0; d < n; d++)
            y[d] += a * rt_host_load(b, at + d);
}

// Row t, head h of a matrix; the last head also writes the padding columns.
static void store(const struct rt_host_buf *b, uint64_t t, uint32_t ld, uint32_t h, uint32_t heads,
                  uint32_t n, const double *x, double factor)
{
    for (uint32_t d = 0; d < n; d++)
        rt_host_store(b, t * ld + (uint64_t) h * n + d, factor * x[d]);
    for (uint32_t c = heads * n; h == heads - 1 && c < op_stride(heads * n); c++)
        rt_host_store(b, t * ld + c, 0.0);
}

// The i-th key that a query of the block sees, for i in [0, visible()).
struct query {
    uint32_t t, own, row_begin, n_prompt, seg_begin;
};

static struct query query_of(const struct rt_host_buf *index, uint64_t block, uint32_t i)
{
    return (struct query){word(index, block) + i, word(index, block + 2) + i,
                          word(index, block + 3), word(index, block + 4) - word(index, block + 3),
                          word(index, block + 5)};
}

static uint32_t visible(const struct query *x)
{
    return x->n_prompt + x->own + 1 - x->seg_begin;
}

static uint64_t key(const struct query *x, uint32_t i)
{
    return i < x->n_prompt ? x->row_begin + i : x->seg_begin + (i - x->n_prompt);
}

// The first of them that a window leaves: the i-th key has position i.
static uint32_t first_visible(const struct attention_params *p, const struct query *x)
{
    const uint32_t n = visible(x);
    return p->window > 0 && n > p->window ? n - p->window : 0;
}

// A score of the product of a query and a key.
static double score(const struct attention_params *p, double product)
{
    const double s = (double) p->scale * product, cap = (double) p->softcap;
    return cap > 0.0 ? cap * tanh(s / cap) : s;
}

// d score / d (scale * product), from the score.
static double slope(const struct attention_params *p, double s)
{
    const double t = p->softcap > 0.0f ? s / (double) p->softcap : 0.0;
    return 1.0 - t * t;
}

// Each item of a loop is a (head, block) pair.
static uint64_t block_of(const struct attention_params *p, uint64_t item)
{
    return p->blocks_at + WORDS * (item % p->n_blocks);
}

static void forward_query(const struct job *j, const struct query *x, uint32_t h)
{
    const struct attention_params *p = j->p;
    const struct rt_host_buf *b = j->call->bufs;
    const uint32_t n = p->head_dim, g = h / (p->n_heads / p->n_kv_heads);
    double q[MOST_DIM], o[MOST_DIM] = {0}, most = -HUGE_VAL, sum = 0.0;

    load(&b[0], (uint64_t) x->t * p->ldq + (uint64_t) h * n, n, q);
    for (uint32_t i = first_visible(p, x); i < visible(x); i++)
        most = fmax(most, score(p, dot(&b[1], key(x, i) * p->ldk + (uint64_t) g * n, n, q)));
    for (uint32_t i = first_visible(p, x); i < visible(x); i++) {
        const double s = score(p, dot(&b[1], key(x, i) * p->ldk + (uint64_t) g * n, n, q));
        const double e = exp(s - most);
        sum += e;
        add(o, e, &b[2], key(x, i) * p->ldv + (uint64_t) g * n, n);
    }
    store(&b[4], x->t, p->ldo, h, p->n_heads, n, o, 1.0 / sum);
    rt_host_store(&b[5], (uint64_t) h * p->n_tokens + x->t, most + log(sum));
}

static void forward_items(void *user, uint64_t begin, uint64_t end)
{
    const struct job *j = user;
    const struct rt_host_buf *index = &j->call->bufs[3];
    for (uint64_t item = begin; item < end; item++)
        for (uint32_t i = 0; i < word(index, block_of(j->p, item) + 1); i++) {
            const struct query x = query_of(index, block_of(j->p, item), i);
            forward_query(j, &x, (uint32_t) (item / j->p->n_blocks));
        }
}

void op_attention_ref(const struct rt_host_call *call)
{
    struct job j = {call, call->params};
    thread_for((uint64_t) j.p->n_blocks * j.p->n_heads, 1, forward_items, &j);
}

void op_attention_delta_ref(const struct rt_host_call *call)
{
    const struct attention_params *p = call->params;
    const struct rt_host_buf *o = &call->bufs[0], *d_o = &call->bufs[1];
    double x[MOST_DIM];
    for (uint64_t t = 0; t < p->n_tokens; t++)
        for (uint64_t h = 0; h < p->n_heads; h++) {
            load(o, t * p->ldo + h * p->head_dim, p->head_dim, x);
            rt_host_store(&call->bufs[2], h * p->n_tokens + t,
                          dot(d_o, t * p->lddo + h * p->head_dim, p->head_dim, x));
        }
}

static void dq_query(const struct job *j, const struct query *x, uint32_t h)
{
    const struct attention_params *p = j->p;
    const struct rt_host_buf *b = j->call->bufs;
    const uint32_t n = p->head_dim, g = h / (p->n_heads / p->n_kv_heads);
    const uint64_t at = (uint64_t) h * p->n_tokens + x->t;
    const double lse = rt_host_load(&b[5], at), delta = rt_host_load(&b[6], at);
    double q[MOST_DIM], d_o[MOST_DIM], dq[MOST_DIM] = {0};

    load(&b[0], (uint64_t) x->t * p->ldq + (uint64_t) h * n, n, q);
    load(&b[4], (uint64_t) x->t * p->lddo + (uint64_t) h * n, n, d_o);
    for (uint32_t i = first_visible(p, x); i < visible(x); i++) {
        const uint64_t k = key(x, i);
        const double s = score(p, dot(&b[1], k * p->ldk + (uint64_t) g * n, n, q));
        const double dp = dot(&b[2], k * p->ldv + (uint64_t) g * n, n, d_o);
        add(dq, exp(s - lse) * (dp - delta) * slope(p, s), &b[1], k * p->ldk + (uint64_t) g * n, n);
    }
    store(&b[7], x->t, p->lddq, h, p->n_heads, n, dq, (double) p->scale);
}

static void dq_items(void *user, uint64_t begin, uint64_t end)
{
    const struct job *j = user;
    const struct rt_host_buf *index = &j->call->bufs[3];
    for (uint64_t item = begin; item < end; item++)
        for (uint32_t i = 0; i < word(index, block_of(j->p, item) + 1); i++) {
            const struct query x = query_of(index, block_of(j->p, item), i);
            dq_query(j, &x, (uint32_t) (item / j->p->n_blocks));
        }
}

void op_attention_dq_ref(const struct rt_host_call *call)
{
    struct job j = {call, call->params};
    thread_for((uint64_t) j.p->n_blocks * j.p->n_heads, 1, dq_items, &j);
}

// Query t sees a key at position `pos`, if it comes at it or behind it in a sequence.
static bool near(const struct job *j, uint64_t t, uint32_t pos)
{
    return j->p->window == 0 ||
           word(&j->call->bufs[3], j->p->positions_at + t) - pos < j->p->window;
}

// Key k of key head g, seen by queries [q_begin, q_end), the first of which is its own.
static void dkv_key(const struct job *j, uint64_t k, uint32_t q_begin, uint32_t q_end, uint32_t g)
{
    const struct attention_params *p = j->p;
    const struct rt_host_buf *b = j->call->bufs;
    const uint32_t n = p->head_dim, group = p->n_heads / p->n_kv_heads;
    const uint32_t pos = p->window ? word(&b[3], (uint64_t) p->positions_at + q_begin) : 0;
    double key_row[MOST_DIM], value[MOST_DIM], dk[MOST_DIM] = {0}, dv[MOST_DIM] = {0};

    load(&b[1], k * p->ldk + (uint64_t) g * n, n, key_row);
    load(&b[2], k * p->ldv + (uint64_t) g * n, n, value);
    for (uint32_t h = g * group; h < (g + 1) * group; h++)
        for (uint64_t t = q_begin; t < q_end; t++) {
            const uint64_t at = (uint64_t) h * p->n_tokens + t, q = t * p->ldq + (uint64_t) h * n;
            const uint64_t d_o = t * p->lddo + (uint64_t) h * n;
            if (!near(j, t, pos))
                continue;
            const double s = score(p, dot(&b[0], q, n, key_row));
            const double w = exp(s - rt_host_load(&b[5], at));
            const double dp = dot(&b[4], d_o, n, value);
            add(dv, w, &b[4], d_o, n);
            add(dk, w * (dp - rt_host_load(&b[6], at)) * slope(p, s), &b[0], q, n);
        }
    store(&b[7], k, p->lddk, g, p->n_kv_heads, n, dk, (double) p->scale);
    store(&b[8], k, p->lddv, g, p->n_kv_heads, n, dv, 1.0);
}

static void dkv_items(void *user, uint64_t begin, uint64_t end)
{
    const struct job *j = user;
    const struct rt_host_buf *index = &j->call->bufs[3];
    for (uint64_t item = begin; item < end; item++) {
        const uint64_t block = block_of(j->p, item);
        for (uint32_t i = 0; i < word(index, block + 1);
             i++) // key i of the block is first seen by its own query
            dkv_key(j, (uint64_t) word(index, block) + i, word(index, block + 2) + i,
                    word(index, block + 3), (uint32_t) (item / j->p->n_blocks));
    }
}

void op_attention_dkv_ref(const struct rt_host_call *call)
{
    struct job j = {call, call->params};
    thread_for((uint64_t) j.p->n_blocks * j.p->n_kv_heads, 1, dkv_items, &j);
}
