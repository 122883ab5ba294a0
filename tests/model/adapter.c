// LoRA in the decoder: zero B changes no bit, gradients against differences in float64 and against
// the host's, what is frozen has no gradient and no memory, and which modules are meant.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/rng.h"
#include "src/model/model.h"
#include "tests/support/golden.h"
#include "tests/model/pass.h"
#include "tests/t.h"

enum { TOKENS = PASS_TOKENS, ROWS = PASS_ROWS, SEQS = PASS_SEQS };

static struct fmt_peft peft_of(const char *targets, const char *save)
{
    return (struct fmt_peft){.r = 3, // odd, and below a row's 8
                             .alpha = 5.0,
                             .targets = targets ? cJSON_Parse(targets) : NULL,
                             .save = save ? cJSON_Parse(save) : NULL};
}

static enum rt_err open_model(struct rt_dev *dev, const char *family, const struct fmt_peft *peft,
                              enum rt_type storage, struct md_model **out)
{
    char path[64];
    snprintf(path, sizeof(path), "models/%s", family);
    return md_model_open(dev,
                         &(struct md_model_desc){.folder = golden_path(path),
                                                 .storage = storage,
                                                 .max_tokens = TOKENS,
                                                 .max_segments = SEQS,
                                                 .max_rows = ROWS,
                                                 .max_seqs = SEQS,
                                                 .max_positions = TOKENS,
                                                 .train = true,
                                                 .drop = !peft->use_dora,
                                                 .peft = peft,
                                                 .seed = 7},
                         out);
}

// Values that no tensor of a new adapter has: B is not zero. The same on every device.
static void shake(struct md_model *m, double size)
{
    const struct md_trained to = md_trained_of(m);
    struct rng rng;

    rng_seed(&rng, 3);
    for (uint32_t i = 0; i < to.params->n; i++) {
        const struct md_param *p = &to.params->all[i];
        float *x = malloc((size_t) p->rows * p->cols * sizeof(*x));
        assert_non_null(x);
        T_OK(md_flat_read(to.work, p, 0, p->rows, x));
        for (size_t k = 0; k < (size_t) p->rows * p->cols; k++)
            x[k] += (float) size * (rng_uniform(&rng) - 0.5f);
        T_OK(md_flat_write(to.work, p, 0, p->rows, x));
        free(x);
    }
}

static void zero_b_is_exact(struct t *t, enum rt_type storage, bool use_dora)
{
    struct fmt_peft peft = peft_of("\"all-linear\"", NULL);
    struct md_model *m;
    double off[SEQS], on[SEQS], again[SEQS];

    peft.use_dora = use_dora;
    T_OK(open_model(t_dev(t), "llama", &peft, storage, &m));
    pass_load(m);
    const struct md_weights base = {&m->work, NULL};
    pass_forward(m, base, off);
    pass_forward(m, md_policy(m), on);
    // With DoRA on the host, whose products are summed in f64, a sum is rounded to f32 on the way.
    for (uint32_t i = 0; i < SEQS && use_dora && t_on_host(t); i++) {
        assert_true(fabs(on[i] - off[i]) <= (storage == RT_F32 ? 1e-4 : 1.0));
        on[i] = off[i];
    }
    assert_memory_equal(on, off, sizeof(on));
    shake(m, 0.1);
    pass_forward(m, md_policy(m), on);
    pass_forward(m, base, again);
    assert_memory_equal(again, off, sizeof(off));
    for (uint32_t i = 0; i < SEQS; i++)
        if (!(fabs(on[i] - off[i]) > 1e-2))
            fail_msg("%s on %s: an adapter that is not zero gives %.9g, without it %.9g",
                     rt_type_name(storage), t_name(t), on[i], off[i]);
    md_model_close(&m);
    fmt_peft_free(&peft);
}

static double loss_at(struct md_model *m, const struct md_param *p, uint64_t at, double x)
{
    struct rt_buf *b = md_trained_of(m).work->chunk[p->chunk];
    double logp[SEQS];
    T_OK(rt_buf_write(b, p->first + at, 1, RT_F64, &x));
    pass_forward(m, md_policy(m), logp);
    return logp[0] - 2.0 * logp[1];
}

// In float64 the error of a central difference with step h = 2^-10 is h^2 / 6 times the third
// derivative: of these losses below 100 times the gradient's size.
static void differences(struct t *t, const char *family, const char *targets, const char *save,
                        double drop, bool use_dora)
{
    struct fmt_peft peft = peft_of(targets, save);
    struct md_flat grads;
    struct md_model *m;
    const double h = 0x1p-10;

    peft.use_dora = use_dora;
    T_OK(open_model(t_ref(t), family, &peft, RT_F32, &m));
    m->drop = (struct md_drop){drop, 99};
    m->prepare = true;
    pass_load(m);
    shake(m, 0.1);
    pass_gradient(m, &grads);
    assert_int_equal(m->swept, !save || !strstr(save, "lm_head"));
    const struct md_params *list = md_trained_of(m).params;
    for (uint32_t i = 0; i < list->n; i++) {
        const struct md_param *p = &list->all[i];
        // DoRA's norm is held constant in the gradients of A and B: no difference shows that.
        for (uint32_t k = 0; k < 3 && (!use_dora || p->part == MD_PART_MAGNITUDE); k++) {
            const uint32_t row = (7 * i + 5 * k) % p->rows, col = (11 * i + 3 * k) % p->cols;
            const uint64_t at = (uint64_t) row * p->ld + col;
            double x, g;
            T_OK(rt_buf_read(md_trained_of(m).work->chunk[p->chunk], p->first + at, 1, RT_F64, &x));
            T_OK(rt_buf_read(grads.chunk[p->chunk], p->first + at, 1, RT_F64, &g));
            const double up = loss_at(m, p, at, x + h),
                         fd = (up - loss_at(m, p, at, x - h)) / 2 / h;
            (void) loss_at(m, p, at, x);
            if (!(fabs(fd - g) <= 1e-4 * (1.0 + fabs(g))))
                fail_msg("%s %s[%u][%u]: differences give %.9g, the gradient says %.9g", family,
                         p->name, row, col, fd, g);
        }
    }
    md_flat_destroy(&grads);
    md_model_close(&m);
    fmt_peft_free(&peft);
}

// Each tensor's gradient against the host's in float64, by the relative l2 distance.
static void close_gradients(struct t *t, enum rt_type storage, double drop, bool use_dora,
                            double tol)
{
    struct fmt_peft peft = peft_of("\".*\\\\.1\\\\.mlp\\\\.up_proj|.*[qo]_proj\"", "[\"lm_head\"]");
    struct md_flat got, want;
    struct md_model *a, *b;

    peft.use_dora = use_dora;
    T_OK(open_model(t_dev(t), "llama", &peft, storage, &a));
    T_OK(open_model(t_ref(t), "llama", &peft, RT_F32, &b));
    struct md_model *const both[2] = {a, b};
    for (size_t i = 0; i < 2; i++) {
        both[i]->drop = (struct md_drop){drop, 99};
        pass_load(both[i]);
        shake(both[i], 0.1);
        pass_gradient(both[i], i ? &want : &got);
    }
    for (uint32_t i = 0; i < a->adapter.params.n; i++) {
        const struct md_param *p = &a->adapter.params.all[i];
        const uint64_t n = (uint64_t) p->rows * p->ld;
        double *x = t_alloc(t, 2 * n * sizeof(*x)), *y = x + n, diff = 0.0, size = 0.0;
        T_OK(rt_buf_read(got.chunk[p->chunk], p->first, n, RT_F64, x));
        T_OK(rt_buf_read(want.chunk[p->chunk], p->first, n, RT_F64, y));
        for (uint64_t k = 0; k < n; k++) {
            diff += (x[k] - y[k]) * (x[k] - y[k]);
            size += y[k] * y[k];
        }
        if (!(sqrt(diff) <= tol * sqrt(size)) || !(size > 0.0))
            fail_msg("%s in %s on %s: gradient %.3g apart, size %.3g", p->name,
                     rt_type_name(storage), t_name(t), sqrt(diff), sqrt(size));
    }
    md_flat_destroy(&got);
    md_flat_destroy(&want);
    md_model_close(&a);
    md_model_close(&b);
    fmt_peft_free(&peft);
    t_reset(t);
}

static double *all_of(struct t *t, const struct md_flat *flat, uint64_t *n)
{
    double *x;
    *n = 0;
    for (uint32_t i = 0; i < flat->n; i++)
        *n += rt_buf_count(flat->chunk[i]);
    x = t_alloc(t, *n * sizeof(*x));
    for (uint64_t i = 0, at = 0; i < flat->n; at += rt_buf_count(flat->chunk[i++]))
        T_OK(rt_buf_read(flat->chunk[i], 0, rt_buf_count(flat->chunk[i]), RT_F64, x + at));
    return x;
}

// Of a frozen head the forward's own sweep gives the gradient that the backward would, and no other
// log-prob; of one that is trained there is no sweep.
static void sweeps(struct t *t, const char *family, const char *save, enum rt_type storage,
                   double tol)
{
    struct fmt_peft peft = peft_of("\"all-linear\"", save);
    struct md_flat grads[2];
    struct md_model *m;
    double logp[2][SEQS], far = 0.0, size = 0.0;
    uint64_t n;

    T_OK(open_model(t_dev(t), family, &peft, storage, &m));
    pass_load(m);
    shake(m, 0.1);
    for (uint32_t i = 0; i < 2; i++) {
        m->prepare = i;
        pass_gradient(m, &grads[i]);
        assert_int_equal(m->swept, i && !save);
        T_OK(rt_buf_read(m->seq_logp, 0, SEQS, RT_F64, logp[i]));
    }
    assert_memory_equal(logp[0], logp[1], sizeof(logp[0]));
    const double *x = all_of(t, &grads[0], &n), *y = all_of(t, &grads[1], &n);
    for (uint64_t i = 0; i < n; i++) {
        far += (x[i] - y[i]) * (x[i] - y[i]);
        size += x[i] * x[i];
    }
    if (!(sqrt(far) <= tol * sqrt(size)) || !(size > 0.0))
        fail_msg("%s in %s on %s: the sweep's gradient is %.3g of %.3g apart", family,
                 rt_type_name(storage), t_name(t), sqrt(far), sqrt(size));
    md_flat_destroy(&grads[0]);
    md_flat_destroy(&grads[1]);
    md_model_close(&m);
    fmt_peft_free(&peft);
    t_reset(t);
}

// The same key gives the same bits, another one others; none gives what no dropout gives.
static void drops(struct t *t)
{
    struct fmt_peft peft = peft_of("\"all-linear\"", NULL);
    struct md_model *m;
    double off[SEQS], one[SEQS], two[SEQS];

    T_OK(open_model(t_dev(t), "llama", &peft, RT_F16, &m));
    pass_load(m);
    shake(m, 0.1);
    pass_forward(m, md_policy(m), off);
    m->drop = (struct md_drop){0.25, 5};
    pass_forward(m, md_policy(m), one);
    pass_forward(m, md_policy(m), two);
    assert_memory_equal(one, two, sizeof(one));
    m->drop.key = 6;
    pass_forward(m, md_policy(m), two);
    assert_memory_not_equal(one, two, sizeof(one));
    assert_memory_not_equal(one, off, sizeof(one));
    m->drop.p = 0.0;
    pass_forward(m, md_policy(m), two);
    assert_memory_equal(off, two, sizeof(off));
    md_model_close(&m);
    fmt_peft_free(&peft);
}

// Only what the targets need is kept: with the last layer's o_proj alone, no node below it has a
// backward, and no frozen linear keeps its input.
static void frozen_is_free(struct t *t)
{
    struct fmt_peft peft = peft_of("[\"model.layers.1.self_attn.o_proj\"]", NULL);
    struct md_model *m;

    T_OK(open_model(t_dev(t), "llama", &peft, RT_F16, &m));
    assert_int_equal(m->adapter.params.n, 2);
    assert_null(m->work.low[0]);
    assert_string_equal(m->adapter.params.all[0].name,
                        "base_model.model.model.layers.1.self_attn.o_proj.lora_A.weight");
    for (int i = 0; i < m->graph.n_nodes; i++) {
        const struct md_node *n = &m->graph.nodes[i];
        if (n->back && (n->layer == 0 && n->op != MD_OP_ROWS && n->weight != MD_FINAL_NORM))
            fail_msg("node %d of layer 0 has a backward", i);
    }
    const int act = md_graph_find(&m->graph, "act", 1), attn = md_graph_find(&m->graph, "attn", 1);
    assert_false(m->graph.tensors[act].saved);
    assert_true(m->graph.tensors[attn].saved && !m->graph.tensors[attn].moves);
    md_model_close(&m);
    fmt_peft_free(&peft);
}

static void names(struct t *t)
{
    static const struct {
        const char *targets, *save, *says;
        enum rt_err err;
    } BAD[] = {
        {"[\"lm_head\"]", NULL, "lm_head", RT_E_UNSUPPORTED},
        {"[\"q_proj\", \"embed_tokens\"]", NULL, "embed_tokens", RT_E_UNSUPPORTED},
        {"[\"input_layernorm\"]", NULL, "norm", RT_E_UNSUPPORTED},
        {"[\"query\"]", NULL, "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj",
         RT_E_NOT_FOUND},
        {"[\"_proj\"]", NULL, "no linear layer", RT_E_NOT_FOUND},
        {"\"q_proj\"", NULL, "no linear layer", RT_E_NOT_FOUND}, // a pattern is for the whole path
        {"\"(q_proj\"", NULL, "target_modules", RT_E_FORMAT},
        {NULL, "[\"head\", \"self_attn\"]", "both", RT_E_UNSUPPORTED},
        {NULL, "[\"nothing\"]", "modules_to_save", RT_E_NOT_FOUND},
    };
    struct md_model *m;
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        struct fmt_peft peft = peft_of(BAD[i].targets, BAD[i].save);
        (void) t_logged();
        const enum rt_err err = open_model(t_dev(t), "llama", &peft, RT_F32, &m);
        const char *said = t_logged();
        if (err != BAD[i].err || !strstr(said, BAD[i].says))
            fail_msg("targets %s: expected %s and a message with %s, found %s: %s", BAD[i].targets,
                     rt_err_name(BAD[i].err), BAD[i].says, rt_err_name(err), said);
        fmt_peft_free(&peft);
    }
    // By default q_proj and v_proj; a tied head that is saved is a tensor of its own.
    struct fmt_peft peft = peft_of(NULL, "[\"lm_head\"]");
    T_OK(open_model(t_dev(t), "llama", &peft, RT_F32, &m));
    assert_int_equal(m->adapter.params.n, 2 * 2 * m->arch.layers + 1);
    assert_true(m->arch.tied && md_adapter_of(&m->adapter, MD_HEAD, 0).full >= 0);
    assert_true(md_adapter_of(&m->adapter, MD_EMBED, 0).full < 0);
    md_model_close(&m);
    fmt_peft_free(&peft);
}

static void body(struct t *t)
{
    static const enum rt_type STORAGE[] = {RT_F32, RT_F16, RT_BF16};
    static const struct {
        enum rt_type storage;
        double dropout;
        bool use_dora;
        double tol;
    } CLOSE[] = {{RT_F32, 0.0, false, 1e-5},    {RT_F16, 0.0, false, 2e-2},
                 {RT_BF16, 0.0, false, 1.6e-1}, {RT_F32, 0.25, false, 1e-5},
                 {RT_F16, 0.25, false, 2e-2},   {RT_F32, 0.0, true, 1e-5},
                 {RT_F16, 0.0, true, 2e-2}};
    for (size_t i = 0; i < COUNT_OF(STORAGE); i++)
        for (int use_dora = 0; use_dora < 2 && t_due(t, i, 3); use_dora++)
            zero_b_is_exact(t, STORAGE[i], use_dora);
    // f32: sums of up to 448 terms through two layers. Halves: a few dozen roundings of 2^-11 and
    // 2^-8 on the way, of which the gradients of small differences keep the size.
    for (size_t i = 0; i < COUNT_OF(CLOSE); i++)
        if (t_due(t, CLOSE[i].storage, 3)) // a driver compiles every kernel for each
            close_gradients(t, CLOSE[i].storage, CLOSE[i].dropout, CLOSE[i].use_dora, CLOSE[i].tol);
    sweeps(t, "llama", NULL, RT_F32, 1e-5);
    sweeps(t, "llama", NULL, RT_F16, 2e-2);
    sweeps(t, "llama", NULL, RT_BF16, 1.6e-1);
    sweeps(t, "llama", "[\"lm_head\"]", RT_F16, 0.0);
    drops(t);
    frozen_is_free(t);
    if (!t_on_host(t))
        return;
    names(t);
    differences(t, "llama", "\"all-linear\"", NULL, 0.0, false);
    differences(t, "llama", "\"all-linear\"", NULL, 0.5, false);
    differences(t, "llama", "\"all-linear\"", NULL, 0.0, true);
    differences(t, "llama", "[\"v_proj\", \"gate_proj\"]",
                "[\"lm_head\", \"embed_tokens\", \"k_proj\", \"post_attention_layernorm\"]", 0.0,
                false);
    differences(t, "llama3", "[\"model.layers.1.mlp.down_proj\"]", "[\"norm\"]", 0.0, false);
}

int main(void)
{
    return t_each_device(body);
}
