#include "src/op/logprob.h"

#include "tests/op/ops.h"

enum { COLUMNS = OP_LOGPROB_COLUMNS };

struct shape {
    uint32_t rows, cols, vocab, chunk_rows, chunk_vocab;
    enum rt_type type;
    float scale, cap;
};

struct inputs {
    const double *h, *w;     // dense
    const double *coef;      // (rows)
    const uint32_t *targets; // (rows)
    bool frozen;             // no dw
    bool keep; // the forward's logits, for the backward, which does without h if frozen too
};

struct results {
    struct rt_buf *result;
    struct op_vec dh, dw; // start from 0.5 and 0.25
    struct op_vec sweep;  // dh once more, by the forward's sweep; starts from 0.5
};

static struct rt_buf *scratch(struct t *t, struct rt_dev *dev, enum rt_type type, uint64_t n)
{
    return n ? t_output(t, dev, type, n) : NULL;
}

static struct op_vec filled(struct t *t, struct rt_dev *dev, uint64_t n, double value)
{
    double *x = t_alloc(t, n * sizeof(*x));
    for (uint64_t i = 0; i < n; i++)
        x[i] = value;
    return t_vec(t, dev, RT_F32, x, n);
}

static struct rt_buf *mutable(struct op_vec v)
{
    return (struct rt_buf *) (uintptr_t) v.buf;
}

// NaN included.
static void same_bits(struct t *t, const char *what, struct rt_buf *got, struct rt_buf *want,
                      uint64_t n)
{
    double *x = t_alloc(t, 2 * n * sizeof(*x));
    T_OK(rt_buf_read(got, 0, n, RT_F64, x));
    T_OK(rt_buf_read(want, 0, n, RT_F64, x + n));
    if (memcmp(x, x + n, n * sizeof(*x)) != 0)
        fail_msg("%s on %s: other bits", what, t_name(t));
}

static struct results run(struct t *t, struct rt_dev *dev, struct shape s, struct inputs in)
{
    const uint32_t ldh = op_stride(s.cols) + 8, ldw = op_stride(s.cols),
                   lddh = op_stride(s.cols) + 16;
    const struct op_logprob_chunks chunks = {s.chunk_rows, s.chunk_vocab};
    const struct op_logprob_sizes n =
        op_logprob_sizes(dev, s.type, s.rows, s.cols, s.vocab, chunks, true);
    const uint64_t all = op_logprob_all_logits(dev, s.rows, s.vocab, chunks);
    const struct op_logprob_scratch sc = {
        scratch(t, dev, RT_F32, in.keep ? all : n.logits), scratch(t, dev, s.type, n.dlogits),
        scratch(t, dev, RT_F32, n.state), scratch(t, dev, RT_F32, n.matmul)};
    const struct op_vec h =
        t_vec(t, dev, s.type, t_pad(t, in.h, s.rows, s.cols, ldh, 777.0), (uint64_t) s.rows * ldh);
    const struct op_vec w = t_vec(t, dev, s.type, t_pad(t, in.w, s.vocab, s.cols, ldw, 777.0),
                                  (uint64_t) s.vocab * ldw);
    const struct rt_buf *targets = t_buf_u32(t, dev, in.targets, s.rows);
    const struct results r = {t_output(t, dev, RT_F32, (uint64_t) s.rows * COLUMNS),
                              filled(t, dev, (uint64_t) s.rows * lddh, 0.5),
                              filled(t, dev, (uint64_t) s.vocab * ldw, 0.25),
                              filled(t, dev, (uint64_t) s.rows * lddh, 0.5)};
    const struct rt_buf *coef = t_buf(t, dev, RT_F32, in.coef, s.rows);
    const struct op_mat_out sweep = {mutable(r.sweep), FIRST, lddh};
    struct op_logprob_args forward = {.h = {h.buf, h.first, ldh},
                                      .w = {w.buf, w.first, ldw},
                                      .targets = targets,
                                      .result =
                                          t_output(t, dev, RT_F32, (uint64_t) s.rows * COLUMNS),
                                      .n_rows = s.rows,
                                      .cols = s.cols,
                                      .n_vocab = s.vocab,
                                      .logit_scale = s.scale,
                                      .softcap = s.cap,
                                      .chunks = chunks,
                                      .scratch = sc,
                                      .squares = true,
                                      .dh = sweep};
    struct rt_buf *swept = forward.result;
    struct rt_cmd *cmd;

    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_logprob(cmd, &forward));
    T_OK(op_logprob_scale(cmd, sweep, coef, s.rows, s.cols));
    forward.result = r.result;
    forward.dh.buf = NULL;
    forward.keep = in.keep;
    T_OK(op_logprob(cmd, &forward));
    const struct op_vec x =
        in.keep && in.frozen ? t_vec(t, dev, s.type, NULL, (uint64_t) s.rows * ldh) : h;
    T_OK(op_logprob_backward(cmd, &(struct op_logprob_backward_args){
                                      .h = {x.buf, x.first, ldh},
                                      .w = {w.buf, w.first, ldw},
                                      .targets = targets,
                                      .result = r.result,
                                      .coef = coef,
                                      .dh = {mutable(r.dh), FIRST, lddh},
                                      .dw = {in.frozen ? NULL : mutable(r.dw), FIRST, ldw},
                                      .n_rows = s.rows,
                                      .cols = s.cols,
                                      .n_vocab = s.vocab,
                                      .logit_scale = s.scale,
                                      .softcap = s.cap,
                                      .chunks = chunks,
                                      .scratch = sc,
                                      .kept = in.keep}));
    T_OK(rt_cmd_wait(&cmd));
    same_bits(t, "result with a sweep", swept, r.result, s.rows * COLUMNS);
    return r;
}

static double *column(struct t *t, struct rt_buf *result, uint32_t rows, enum op_logprob_column c)
{
    double *all = t_alloc(t, (size_t) rows * COLUMNS * sizeof(*all));
    T_OK(rt_buf_read(result, 0, (uint64_t) rows * COLUMNS, RT_F64, all));
    for (uint32_t m = 0; m < rows; m++)
        all[m] = all[m * COLUMNS + c];
    return all;
}

static void close_column(struct t *t, const char *what, struct results got, struct results want,
                         uint32_t rows, enum op_logprob_column c, struct t_tol tol)
{
    const double *g = column(t, got.result, rows, c), *w = column(t, want.result, rows, c);
    for (uint32_t m = 0; m < rows; m++)
        if (!(fabs(g[m] - w[m]) <= tol.atol + tol.rtol * fabs(w[m])))
            fail_msg("%s on %s, row %u: got %.9g, want %.9g, bound %.3g", what, t_name(t), m, g[m],
                     w[m], tol.atol + tol.rtol * fabs(w[m]));
}

// ---- Random logits ----------------------------------------------------------------------------

static struct inputs random_inputs(struct t *t, struct shape s)
{
    uint32_t *targets = t_alloc(t, s.rows * sizeof(*targets));
    for (uint32_t m = 0; m < s.rows; m++)
        targets[m] = m % 3 == 0 ? s.vocab - 1 - m % 2 : m * 7919u % s.vocab;
    return (struct inputs){t_normal(t, (uint64_t) s.rows * s.cols, 1.0),
                           t_normal(t, (uint64_t) s.vocab * s.cols, 4.0 / sqrt(s.cols)),
                           t_uniform(t, s.rows, -64.0, 64.0),
                           targets,
                           false,
                           false};
}

// Logits are sums of C products in f32: roundings of 2^-24 of a running sum below 16, of either
// sign, so about 16 * 2^-24 * sqrt(C); Vulkan's exp and log add 2e-6. Log-probs and the rest
// inherit that. Gradients: dlogits are rounded to S (both sides round; they differ where a rounding
// flips), coef is up to 64, |w| up to 4.5 * 4 / sqrt(C), |h| up to 4.5; flips have random signs.
static void check_random(struct t *t, struct rt_dev *dev, struct shape s)
{
    const struct inputs in = random_inputs(t, s);
    const struct results got = run(t, dev, s, in), want = run(t, t_ref(t), s, in);
    const double err = 2e-6 + 16.0 * 0x1p-24 * sqrt(s.cols), eps = 2.0 * t_eps(s.type) + 4.0 * err;
    const struct t_tol tol = {.atol = err, .rtol = 1e-6},
                       dh = {.atol = eps * 64.0 * 18.0 / sqrt(s.cols), .rtol = 1e-6};
    const uint32_t ldh = op_stride(s.cols) + 16;
    const uint64_t n_dh = (uint64_t) s.rows * ldh;

    close_column(t, "logp", got, want, s.rows, OP_LOGPROB_LOGP, tol);
    close_column(t, "lse", got, want, s.rows, OP_LOGPROB_LSE, tol);
    close_column(t, "lse_other", got, want, s.rows, OP_LOGPROB_LSE_OTHER, tol);
    close_column(t, "mean", got, want, s.rows, OP_LOGPROB_MEAN, tol);
    close_column(t, "entropy", got, want, s.rows, OP_LOGPROB_ENTROPY,
                 (struct t_tol){20.0 * err, 1e-5});
    close_column(t, "target", got, want, s.rows, OP_LOGPROB_TARGET, tol);
    close_column(t, "weight", got, want, s.rows, OP_LOGPROB_WEIGHT,
                 (struct t_tol){4.0 * err, 1e-6});
    close_column(t, "hit", got, want, s.rows, OP_LOGPROB_HIT, (struct t_tol){0.0, 0.0});
    t_close_vec(t, "dh", got.dh, want.dh, n_dh, dh);
    t_close_vec(t, "dh of a sweep", got.sweep, want.sweep, n_dh, dh);
    const double *back = t_read(t, want.dh, n_dh), *sweep = t_read(t, want.sweep, n_dh);
    for (uint64_t i = 0; i < n_dh; i++)
        if (!(fabs(sweep[i] - (i % ldh < s.cols ? back[i] - 0.5 : 0.5)) <= dh.atol))
            fail_msg("the host's sweep of %u words: dh %llu: %.9g, the backward's %.9g", s.vocab,
                     (unsigned long long) i, sweep[i], back[i] - 0.5);
    t_close_vec(
        t, "dw", got.dw, want.dw, (uint64_t) s.vocab * op_stride(s.cols),
        (struct t_tol){.atol = eps * 64.0 * 4.5 * (1.0 + 0.2 * sqrt(s.rows)), .rtol = 1e-6});
    t_close(t, "result and its guard", got.result, want.result, (uint64_t) s.rows * COLUMNS,
            (struct t_tol){.atol = 20.0 * err, .rtol = 1e-5});
    t_reset(t);
}

// ---- Chosen logits ----------------------------------------------------------------------------

// Row m of h picks column m of w, so its logits are w[v][m] exactly: multiples of 1/64 below 128 in
// f32.
enum { CASES = 8, VOCAB = 257, CHUNK = 128 }; // the third chunk is one word

static void chosen_logits(double *w, uint32_t *targets)
{
    static const uint32_t TARGETS[CASES] = {3, 256, 127, 128, 200, 40, 40, 256};
    static const double TARGET[CASES] = {40.0, 120.0, -80.0, 0.0, 20.0, 30.0, 30.0, 12.5};

    for (uint32_t m = 0; m < CASES; m++)
        for (uint32_t v = 0; v < VOCAB; v++)
            w[v * CASES + m] =
                v == TARGETS[m] ? TARGET[m] : (double) (v * 37 % 101 % 64) / 64.0 - 6.0;
    for (uint32_t m = 0; m < CASES; m++)
        targets[m] = TARGETS[m];
    w[20 * CASES + 5] = 30.0;  // row 5: a tie with a lower index: no hit
    w[250 * CASES + 6] = 30.0; // row 6: a tie with a higher one: a hit
    w[0 * CASES + 7] = 100.0;  // row 7: the largest first, so later chunks must not forget it
    w[90 * CASES + 4] = 19.0;
}

// Row 1: the others are 126 below the target, where exp(-126) is nothing; their own log-sum-exp
// must not know. exp of a number d is off by 3 + 2|d| ULP: with |d| <= 85, 173 * 2^-23 = 2.1e-5,
// relative, in logp of a confident token and in the gradient, whose coefficient is chosen so that
// it is about 1.
static void check_chosen(struct t *t, struct rt_dev *dev)
{
    const struct shape s = {CASES, CASES, VOCAB, 64, CHUNK, RT_F32, 0.0f, 0.0f};
    double w[VOCAB * CASES], h[CASES * CASES] = {0}, coef[CASES];
    uint32_t targets[CASES];
    struct inputs in = {h, w, coef, targets, false, false};
    struct results got, want;
    double *other, *lse;

    chosen_logits(w, targets);
    for (uint32_t m = 0; m < CASES; m++)
        h[m * CASES + m] = coef[m] = 1.0;
    want = run(t, t_ref(t), s, in);
    lse = column(t, want.result, CASES, OP_LOGPROB_LSE);
    other = column(t, want.result, CASES, OP_LOGPROB_LSE_OTHER);
    for (uint32_t m = 0; m < CASES; m++)
        coef[m] = exp(fmin(lse[m] - other[m], 80.0));
    want = run(t, t_ref(t), s, in);
    got = run(t, dev, s, in);
    close_column(t, "chosen logp", got, want, CASES, OP_LOGPROB_LOGP, (struct t_tol){1e-37, 3e-5});
    close_column(t, "chosen lse_other", got, want, CASES, OP_LOGPROB_LSE_OTHER,
                 (struct t_tol){1e-6, 1e-6});
    close_column(t, "chosen lse", got, want, CASES, OP_LOGPROB_LSE, (struct t_tol){1e-6, 1e-6});
    close_column(t, "chosen hit", got, want, CASES, OP_LOGPROB_HIT, (struct t_tol){0.0, 0.0});
    close_column(t, "chosen mean", got, want, CASES, OP_LOGPROB_MEAN, (struct t_tol){1e-6, 2e-6});
    close_column(t, "chosen weight", got, want, CASES, OP_LOGPROB_WEIGHT,
                 (struct t_tol){4e-6, 1e-5});
    close_column(t, "chosen entropy", got, want, CASES, OP_LOGPROB_ENTROPY,
                 (struct t_tol){1e-30, 4e-5});
    t_close_vec(t, "chosen dh", got.dh, want.dh, CASES * 24, (struct t_tol){1e-4, 4e-5});
    t_close_vec(t, "chosen dh of a sweep", got.sweep, want.sweep, CASES * 24,
                (struct t_tol){1e-4, 4e-5});
    t_close_vec(t, "chosen dw", got.dw, want.dw, VOCAB * CASES, (struct t_tol){1e-5, 4e-5});
    assert_true(column(t, got.result, CASES, OP_LOGPROB_HIT)[5] == 0.0);
    assert_true(column(t, got.result, CASES, OP_LOGPROB_HIT)[6] == 1.0);
    t_reset(t);
}

// One word at logit 0, all others at -16.875, whose exp(l - max) is less than a unit of f16's
// smallest: what they pull is a share of 5e-8 each, and right to a rounding of S.
static void check_small(struct t *t, struct rt_dev *dev, enum rt_type type)
{
    enum { WORDS = 1000 };
    const struct shape s = {1, 2, WORDS, 64, CHUNK, type, 0.0f, 0.0f},
                       exact = {1, 2, WORDS, 64, CHUNK, RT_F32, 0.0f, 0.0f};
    const uint32_t target = 7;
    const double h[2] = {1.0, 0.0}, coef = 0x1p20;
    double w[2 * WORDS];

    for (uint32_t v = 0; v < WORDS; v++) {
        w[2 * v] = v == 0 ? 0.0 : -16.875;
        w[2 * v + 1] = v != 0 && v != target;
    }
    const struct inputs in = {h, w, &coef, &target, false, false};
    const struct results got = run(t, dev, s, in), want = run(t, t_ref(t), exact, in);
    const double *x = t_read(t, got.sweep, 2), *y = t_read(t, want.sweep, 2);
    assert_true(y[1] < -30.0);
    if (!(fabs(x[1] - y[1]) <= (2.0 * t_eps(type) + 1e-5) * fabs(y[1])))
        fail_msg("small p in %s on %s: %.9g, want %.9g", rt_type_name(type), t_name(t), x[1], y[1]);
    t_reset(t);
}

// ---- The oracle -------------------------------------------------------------------------------

enum { FD_ROWS = 3, FD_COLS = 4, FD_VOCAB = 131 };
// As it is; scaled; scaled and capped.
static const struct shape FDS[] = {{FD_ROWS, FD_COLS, FD_VOCAB, 64, 128, RT_F32, 0.0f, 0.0f},
                                   {FD_ROWS, FD_COLS, FD_VOCAB, 64, 128, RT_F32, 0.5f, 0.0f},
                                   {FD_ROWS, FD_COLS, FD_VOCAB, 64, 128, RT_F32, 1.5f, 3.0f}};

// Straight from the definitions, in one pass over whole rows.
static void definitions(struct t *t, struct shape fd)
{
    const struct inputs in = random_inputs(t, fd);
    struct rt_buf *result = run(t, t_ref(t), fd, in).result;
    double *got = t_alloc(t, FD_ROWS * COLUMNS * sizeof(*got));

    T_OK(rt_buf_read(result, 0, FD_ROWS * COLUMNS, RT_F64, got));
    for (uint32_t m = 0; m < FD_ROWS; m++) {
        double l[FD_VOCAB], sum = 0.0, squares = 0.0, mean = 0.0, entropy = 0.0, lse;
        uint32_t best = 0;
        for (uint32_t v = 0; v < FD_VOCAB; v++) {
            l[v] = 0.0;
            for (uint32_t c = 0; c < FD_COLS; c++)
                l[v] +=
                    (double) (float) in.h[m * FD_COLS + c] * (double) (float) in.w[v * FD_COLS + c];
            l[v] *= fd.scale > 0.0f ? (double) fd.scale : 1.0;
            if (fd.cap > 0.0f)
                l[v] = (double) fd.cap * tanh(l[v] / (double) fd.cap);
            sum += exp(l[v]);
            mean += l[v] / FD_VOCAB;
            best = l[v] > l[best] ? v : best;
        }
        lse = log(sum);
        for (uint32_t v = 0; v < FD_VOCAB; v++) {
            entropy -= exp(l[v] - lse) * (l[v] - lse);
            squares += exp(2.0 * (l[v] - lse));
        }
        const double want[COLUMNS] = {l[in.targets[m]] - lse,
                                      lse,
                                      log(sum - exp(l[in.targets[m]])),
                                      mean,
                                      best == in.targets[m],
                                      entropy,
                                      l[in.targets[m]],
                                      l[in.targets[m]] - lse - log(squares)};
        for (uint32_t c = 0; c < COLUMNS; c++)
            assert_true(fabs(got[m * COLUMNS + c] - want[c]) < 1e-9);
    }
    t_reset(t);
}

enum { NH = FD_ROWS * FD_COLS, NW = 16 }; // inputs of the differences: all of h, four words of w

struct fixed {
    struct shape s;
    struct inputs in;
};

static double loss(struct t *t, const double *x, void *ctx)
{
    const struct fixed *f = ctx;
    struct inputs in = f->in;
    double w[FD_VOCAB * FD_COLS], sum = 0.0;
    memcpy(w, in.w, sizeof(w));
    memcpy(w, x + NH, NW * sizeof(*w));
    in.h = x;
    in.w = w;
    const double *logp = column(t, run(t, t_ref(t), f->s, in).result, FD_ROWS, OP_LOGPROB_LOGP);
    for (uint32_t m = 0; m < FD_ROWS; m++)
        sum += logp[m] * (double) (float) in.coef[m];
    return sum;
}

static void differences(struct t *t, struct shape fd)
{
    struct inputs in = random_inputs(t, fd);
    double *x = t_alloc(t, (NH + FD_VOCAB * FD_COLS) * sizeof(*x)), grad[NH + NW];
    const double coef[FD_ROWS] = {1.0, -0.5, 2.0};
    const uint32_t targets[FD_ROWS] = {0, 3, 130};
    struct results r;

    memcpy(x, in.h, NH * sizeof(*x));
    memcpy(x + NH, in.w, FD_VOCAB * FD_COLS * sizeof(*x));
    t_grid(x, NH + FD_VOCAB * FD_COLS);
    struct fixed f = {fd, {x, x + NH, coef, targets, false, false}};
    r = run(t, t_ref(t), fd, f.in);
    double *dh = t_read(t, r.dh, FD_ROWS * 24), *dw = t_read(t, r.dw, FD_VOCAB * 8);
    for (uint32_t i = 0; i < NH + NW; i++)
        grad[i] = i < NH ? dh[i / FD_COLS * 24 + i % FD_COLS] - 0.5
                         : dw[(i - NH) / FD_COLS * 8 + (i - NH) % FD_COLS] - 0.25;
    t_differences(t, "logprob", loss, &f, x, NH + NW, grad, 1e-5);
    dh = t_read(t, r.sweep, FD_ROWS * 24);
    for (uint32_t i = 0; i < NH; i++)
        grad[i] = dh[i / FD_COLS * 24 + i % FD_COLS];
    t_differences(t, "logprob's sweep", loss, &f, x, NH + NW, grad, 1e-5);
    t_reset(t);
}

// The backward of a forward that kept its logits has the bits of one that makes them again; where
// no dw is asked for, it does not read h.
static void kept(struct t *t, enum rt_type type)
{
    const struct shape s = {131, 64, 1000, 64, 256, type, 0.5f, 8.0f};
    struct inputs in = random_inputs(t, s);

    assert_int_equal(
        op_logprob_all_logits(t_dev(t), s.rows, s.vocab, (struct op_logprob_chunks){64, 256}),
        131 * 1024);
    for (int frozen = 0; frozen < 2; frozen++) {
        in.frozen = frozen;
        in.keep = false;
        const struct results want = run(t, t_dev(t), s, in);
        in.keep = true;
        const struct results got = run(t, t_dev(t), s, in);
        same_bits(t, "result with logits kept", got.result, want.result, 131 * COLUMNS);
        same_bits(t, "dh of kept logits", mutable(got.dh), mutable(want.dh), FIRST + 131 * 80);
        same_bits(t, "dw of kept logits", mutable(got.dw), mutable(want.dw), FIRST + 1000 * 64);
    }
    t_reset(t);
}

// What DPO of two answers of 1024 tokens takes beside dw, h and dh with a vocabulary of 152k.
static void large_vocabulary(const struct rt_dev *dev)
{
    const struct op_logprob_chunks as_models = {1024, 8192};
    for (size_t k = 0; k < 3; k++) {
        const struct op_logprob_sizes n =
            op_logprob_sizes(dev, FLOATS[k], 2048, 2048, 151936, as_models, true);
        const uint64_t bytes =
            4 * (n.logits + n.state + n.matmul) + rt_type_size(FLOATS[k]) * n.dlogits;
        assert_true(n.logits && n.state && n.dlogits && bytes <= (uint64_t) 128 << 20);
    }
}

// ---- Properties and errors --------------------------------------------------------------------

// Row 70 of 131, alone and among the others: the same bits.
static void independent(struct t *t, enum rt_type type)
{
    const struct shape all = {131, 64, 1000, 64, 256, type, 0.0f, 8.0f},
                       one = {1, 64, 1000, 64, 256, type, 0.0f, 8.0f};
    struct inputs in = random_inputs(t, all);
    struct results a = run(t, t_dev(t), all, in), b;
    double x[COLUMNS], y[COLUMNS], *dh = t_read(t, a.dh, 131 * 80),
                                   *sweep = t_read(t, a.sweep, 131 * 80);

    T_OK(rt_buf_read(a.result, 70 * COLUMNS, COLUMNS, RT_F64, x));
    in.h += 70 * 64;
    in.targets += 70;
    in.coef += 70;
    b = run(t, t_dev(t), one, in);
    T_OK(rt_buf_read(b.result, 0, COLUMNS, RT_F64, y));
    assert_memory_equal(x, y, sizeof(x));
    assert_memory_equal(dh + 70 * 80, t_read(t, b.dh, 64), 64 * sizeof(*dh));
    assert_memory_equal(sweep + 70 * 80, t_read(t, b.sweep, 64), 64 * sizeof(*dh));
    t_reset(t);
}

// A frozen head gets no gradient; NaN in a row of h reaches its log-prob and no other's, NaN in w
// reaches all.
static void frozen_and_nan(struct t *t, enum rt_type type)
{
    const struct shape s = {5, 14, 300, 64, 128, type, 0.0f, 0.0f};
    struct inputs in = random_inputs(t, s);
    double *h = t_alloc(t, 70 * sizeof(*h)), *w, *logp;
    struct results r;

    memcpy(h, in.h, 70 * sizeof(*h));
    in.frozen = true;
    r = run(t, t_dev(t), s, in);
    const double *dw = t_read(t, r.dw, 300 * 16);
    for (uint32_t i = 0; i < 300 * 16; i++)
        assert_true(dw[i] == 0.25);
    h[2 * 14] = (double) NAN;
    in.h = h;
    logp = column(t, run(t, t_dev(t), s, in).result, 5, OP_LOGPROB_LOGP);
    for (uint32_t m = 0; m < 5; m++)
        assert_true(isnan(logp[m]) == (m == 2));
    h[2 * 14] = 0.0;
    w = t_alloc(t, 300 * 14 * sizeof(*w));
    memcpy(w, in.w, 300 * 14 * sizeof(*w));
    w[150 * 14] = (double) NAN;
    in.w = w;
    logp = column(t, run(t, t_dev(t), s, in).result, 5, OP_LOGPROB_LOGP);
    for (uint32_t m = 0; m < 5; m++)
        assert_true(isnan(logp[m]));
    t_reset(t);
}

static void errors(struct t *t)
{
    struct rt_dev *dev = t_dev(t);
    struct rt_buf *f = t_zeros(t, dev, RT_F32, 64 * 128),
                  *u = t_buf_u32(t, dev, (uint32_t[8]){0}, 8),
                  *more = t_buf_u32(t, dev, (uint32_t[16]){0}, 16);
    struct rt_buf *half = t_zeros(t, dev, RT_F16, 64 * 128);
    const struct op_logprob_args good = {.h = {f, 0, 8},
                                         .w = {f, 0, 8},
                                         .targets = u,
                                         .result = f,
                                         .n_rows = 8,
                                         .cols = 8,
                                         .n_vocab = 100,
                                         .chunks = {64, 128},
                                         .scratch = {f, f, f, NULL}};
    const struct op_logprob_backward_args back = {.h = {f, 0, 8},
                                                  .w = {f, 0, 8},
                                                  .targets = u,
                                                  .result = f,
                                                  .coef = f,
                                                  .dh = {f, 0, 8},
                                                  .dw = {f, 0, 8},
                                                  .n_rows = 8,
                                                  .cols = 8,
                                                  .n_vocab = 100,
                                                  .chunks = {64, 128},
                                                  .scratch = {f, f, NULL, NULL}};
    const struct op_mat_out out = {f, 0, 8};
    struct op_logprob_args a;
    struct op_logprob_backward_args b;
#define BAD(code, change) (a = good, change, T_ERR(code, op_logprob(NULL, &a)))
    BAD(RT_E_ARG, a.n_rows = 0);
    BAD(RT_E_ARG, a.n_vocab = 1);
    BAD(RT_E_ARG, a.cols = 7);
    BAD(RT_E_ARG, a.chunks.rows = 63);
    BAD(RT_E_ARG, a.chunks.vocab = 64);
    BAD(RT_E_ARG, a.softcap = -1.0f);
    BAD(RT_E_ARG, a.softcap = INFINITY);
    BAD(RT_E_ARG, a.logit_scale = NAN);
    BAD(RT_E_SHAPE, a.h.buf = NULL);
    BAD(RT_E_SHAPE, a.h.buf = half);
    BAD(RT_E_SHAPE, a.h.first = 8);
    BAD(RT_E_SHAPE, a.n_vocab = 2000);
    BAD(RT_E_SHAPE, a.n_rows = 9);
    BAD(RT_E_SHAPE, a.result = half);
    BAD(RT_E_SHAPE, a.scratch.state = NULL);
    BAD(RT_E_SHAPE, (a.chunks.vocab = 0, a.n_vocab = 130));
    BAD(RT_E_SHAPE, (a.keep = true, a.n_rows = 16, a.targets = more, a.n_vocab = 1000));
    BAD(RT_E_ARG, (a.keep = true, a.dh = out));
    BAD(RT_E_SHAPE, (a.dh = out, a.scratch.dlogits = NULL));
    BAD(RT_E_SHAPE, (a.dh = out, a.scratch.dlogits = half));
    BAD(RT_E_ARG, (a.dh = out, a.dh.ld = 4, a.scratch.dlogits = f));
    BAD(RT_E_SHAPE, (a.dh = out, a.dh.buf = half, a.scratch.dlogits = f));
    T_ERR(RT_E_SHAPE, op_logprob_scale(NULL, (struct op_mat_out){half, 0, 8}, f, 8, 8));
    T_ERR(RT_E_SHAPE, op_logprob_scale(NULL, out, u, 8, 8));
    T_ERR(RT_E_SHAPE, op_logprob_scale(NULL, out, f, 1025, 8));
    T_ERR(RT_E_ARG, op_logprob_scale(NULL, out, f, 8, 7));
    T_ERR(RT_E_ARG, op_logprob_scale(NULL, out, f, 0, 8));
#undef BAD
#define BAD(code, change) (b = back, change, T_ERR(code, op_logprob_backward(NULL, &b)))
    BAD(RT_E_ARG, b.dh.ld = 4);
    BAD(RT_E_ARG, b.dw.ld = 9);
    BAD(RT_E_SHAPE, b.coef = NULL);
    BAD(RT_E_SHAPE, b.dh.buf = NULL);
    BAD(RT_E_SHAPE, b.dw.first = 4);
    BAD(RT_E_SHAPE, b.scratch.dlogits = half);
    BAD(RT_E_SHAPE, b.scratch.logits = u);
#undef BAD
    t_reset(t);
}

// Around a chunk of words and of rows, the smallest vocabulary, one chunk that holds all, odd
// sizes.
static const struct shape SHAPES[] = {
    {1, 2, 2, 0, 0, 0, 0, 0},
    {63, 14, 3, 64, 128, 0, 0, 0},
    {64, 56, 127, 64, 128, 0, 0, 0},
    {65, 64, 128, 64, 128, 0, 0, 0},
    {130, 28, 129, 64, 128, 0, 0, 0},
    {67, 64, 1000, 128, 256, 0, 0, 0},
    {40, 576, 1999, 0, 1024, 0, 0, 0},
    {5, 14, 9001, 0, 0, 0, 0, 0},
    {63, 14, 3, 64, 128, 0, 0.5f, 0},
    {130, 28, 129, 64, 128, 0, 0, 8.0f},
    {67, 64, 1000, 128, 256, 0, 0.7f, 8.0f},
};

static void body(struct t *t)
{
    struct rt_dev *small = t_small_range(t);

    errors(t);
    for (size_t i = 0; i < COUNT_OF(FDS); i++) {
        definitions(t, FDS[i]);
        differences(t, FDS[i]);
    }
    check_chosen(t, t_dev(t));
    for (size_t k = 0; k < 3; k++) {
        if (!t_due(t, k, 3)) // a type a day: its products are compiled too
            continue;
        frozen_and_nan(t, FLOATS[k]);
        independent(t, FLOATS[k]);
        check_small(t, t_dev(t), FLOATS[k]);
        kept(t, FLOATS[k]);
        for (size_t i = 0; i < COUNT_OF(SHAPES); i++) {
            struct shape s = SHAPES[i];
            s.type = FLOATS[k];
            check_random(t, t_dev(t), s);
        }
    }
    // 1 MiB holds 128 rows of 2048 logits: fewer than asked for; the head's 4099 rows are beyond it
    // too.
    check_random(t, small, (struct shape){200, 64, 4099, 0, 2048, RT_F32, 0.0f, 0.0f});
    large_vocabulary(t_dev(t));
    rt_dev_close(&small);
}

int main(void)
{
    return t_each_device(body);
}
