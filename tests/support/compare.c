#include "tests/support/compare.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/format/json.h"
#include "src/format/safetensors.h"

enum { MOST = 64 };

// The worst deviation of each quantity, as a share of its bound.
struct report {
    struct {
        char what[48], where[96];
        double share, got, want, bound;
    } rows[MOST];
    int n;
    double scale;
};

static void note(struct report *r, const char *what, const char *where, double share, double got,
                 double want, double bound)
{
    int i = 0;
    while (i < r->n && strcmp(r->rows[i].what, what) != 0)
        i++;
    if (i == MOST)
        return;
    if (i == r->n) {
        snprintf(r->rows[r->n++].what, sizeof(r->rows[0].what), "%s", what);
        r->rows[i].share = -1.0;
    }
    if (!(share <= r->rows[i].share)) { // also NaN
        r->rows[i].share = isnan(share) ? (double) INFINITY : share;
        r->rows[i].got = got;
        r->rows[i].want = want;
        r->rows[i].bound = bound;
        snprintf(r->rows[i].where, sizeof(r->rows[0].where), "%s", where);
    }
}

static void same(struct report *r, const char *what, const char *where, bool ok)
{
    note(r, what, where, ok ? 0.0 : (double) INFINITY, ok, 1.0, 0.0);
}

static void close_to(struct report *r, const char *what, const char *where, double got, double want,
                     double atol, double rtol)
{
    const double bound = (atol + rtol * fabs(want)) * r->scale;
    note(r, what, where, fabs(got - want) / bound, got, want, bound);
}

// ---- JSON -------------------------------------------------------------------------------------

static cJSON *read_json(const char *dir, const char *name)
{
    char path[1200];
    cJSON *root = NULL;
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return fmt_json_read(path, &root) == RT_OK ? root : NULL;
}

static const cJSON *get(const cJSON *node, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(node, key);
}
static double num(const cJSON *node)
{
    return cJSON_IsNumber(node) ? node->valuedouble : (double) NAN;
}

static void close_list(struct report *r, const char *what, const char *where, const cJSON *got,
                       const cJSON *want, double atol)
{
    const cJSON *g = got ? got->child : NULL, *w;
    same(r, what, where, cJSON_GetArraySize(got) == cJSON_GetArraySize(want));
    for (w = want->child; w && g; w = w->next, g = g->next) {
        if (cJSON_IsArray(w))
            close_list(r, what, where, g, w, atol);
        else
            close_to(r, what, where, num(g), num(w), atol, 0.0);
    }
}

static void check_split(struct report *r, const cJSON *got, const cJSON *want, const char *split)
{
    static const char *const KEYS[] = {"row", "prompt_ids", "chosen_ids", "rejected_ids"};
    const cJSON *gs = get(got, "rows"), *ws = get(want, "rows"), *g, *w;
    same(r, "rows kept", split, gs && cJSON_GetArraySize(gs) == cJSON_GetArraySize(ws));
    for (g = gs ? gs->child : NULL, w = ws->child; g && w; g = g->next, w = w->next)
        for (size_t k = 0; k < COUNT_OF(KEYS); k++)
            same(r, "token ids", KEYS[k], cJSON_Compare(get(g, KEYS[k]), get(w, KEYS[k]), 1));
    same(r, "dropped rows", split,
         cJSON_Compare(get(got, "dropped_rows"), get(want, "dropped_rows"), 1));
}

static void check_tokens(struct report *r, const cJSON *got, const cJSON *want)
{
    const cJSON *w;
    cJSON_ArrayForEach(w, want) check_split(r, get(got, w->string), w, w->string);
}

static void check_micro(struct report *r, const cJSON *g, const cJSON *w, double logp, double loss,
                        const char *where)
{
    static const char *const KEYS[] = {"chosen_logps", "rejected_logps", "ref_chosen_logps",
                                       "ref_rejected_logps"};
    same(r, "batch order", where, cJSON_Compare(get(g, "rows"), get(w, "rows"), 1));
    close_to(r, "micro-batch loss", where, num(get(g, "loss")), num(get(w, "loss")), loss, 0.0);
    for (size_t k = 0; k < COUNT_OF(KEYS); k++)
        close_list(r, "sequence log-prob", where, get(g, KEYS[k]), get(w, KEYS[k]), logp);
}

static void check_batches(struct report *r, const cJSON *got, const cJSON *want, double logp,
                          double loss)
{
    const cJSON *g = get(got, "steps"), *w = get(want, "steps");
    char where[32];
    same(r, "steps", "", cJSON_GetArraySize(g) == cJSON_GetArraySize(w));
    for (g = g ? g->child : NULL, w = w->child; g && w; g = g->next, w = w->next) {
        const cJSON *x = get(g, "micro_batches"), *y = get(w, "micro_batches");
        snprintf(where, sizeof(where), "step %d", get(w, "step")->valueint);
        same(r, "window", where, cJSON_GetArraySize(x) == cJSON_GetArraySize(y));
        for (x = x ? x->child : NULL, y = y->child; x && y; x = x->next, y = y->next)
            check_micro(r, x, y, logp, loss, where);
    }
    g = get(got, "evals");
    w = get(want, "evals");
    same(r, "evaluation batches", "", cJSON_GetArraySize(g) == cJSON_GetArraySize(w));
    for (g = g ? g->child : NULL, w = w ? w->child : NULL; g && w; g = g->next, w = w->next) {
        snprintf(where, sizeof(where), "eval after step %d", get(w, "step")->valueint);
        same(r, "evaluation's step", where, num(get(g, "step")) == num(get(w, "step")));
        check_micro(r, g, w, logp, loss, where);
    }
}

static void check_step1(struct report *r, const cJSON *got, const cJSON *want, double seq,
                        double token, double loss)
{
    const cJSON *g = get(got, "micro_batches"), *w = get(want, "micro_batches");
    for (g = g ? g->child : NULL, w = w->child; w; w = w->next, g = g ? g->next : NULL) {
        same(r, "step-1 micro-batches", "", g != NULL);
        check_micro(r, g, w, seq, loss, "step 1");
        close_list(r, "token log-prob", "chosen", get(g, "chosen_token_logps"),
                   get(w, "chosen_token_logps"), token);
        close_list(r, "token log-prob", "rejected", get(g, "rejected_token_logps"),
                   get(w, "rejected_token_logps"), token);
    }
}

// ---- Tensors ----------------------------------------------------------------------------------

// gpt2's key bias cannot change a softmax: its gradient is 0, f32 gives noise, and Adam turns noise
// into steps. It counts as 0.
static double *floats(const struct fmt_tensor *t)
{
    const char *const bias = "attn.c_attn.bias";
    const size_t n = strlen(t->name), third = t->count / 3;
    double *x = malloc((t->count + 1) * sizeof(*x));
    if (x && fmt_tensor_to_f64(t, 0, t->count, x) != RT_OK) {
        free(x);
        return NULL;
    }
    if (x && n >= strlen(bias) && strcmp(t->name + n - strlen(bias), bias) == 0)
        memset(x + third, 0, third * sizeof(*x));
    return x;
}

// Sum of squares of a - b (b NULL: of a).
static double square(const double *a, const double *b, uint64_t n)
{
    double s = 0.0;
    for (uint64_t i = 0; i < n; i++) {
        const double d = a[i] - (b ? b[i] : 0.0);
        s += d * d;
    }
    return s;
}

// GPT-2's key bias, the middle third, cannot change a softmax: its gradient is rounding noise,
// which Adam turns into steps as long as any other.
static bool has_key_bias(const char *name)
{
    const char *bias = strstr(name, "attn.c_attn.bias");
    return bias && strcmp(bias, "attn.c_attn.bias") == 0;
}

static void check_tensor(struct report *r, const char *what, const struct fmt_tensor *g,
                         const struct fmt_tensor *w, double rel, double total, double norm)
{
    double *x = floats(g), *y = floats(w);
    if (x && y && g->count == w->count && g->rank == w->rank) {
        const uint64_t third = w->count / 3;
        if (has_key_bias(w->name))
            memcpy(x + third, y + third, third * sizeof(*x));
        const double diff = sqrt(square(x, y, w->count)), size = sqrt(square(y, NULL, w->count));
        same(r, what, w->name, isfinite(diff) && (size == 0.0 || square(x, NULL, w->count) > 0.0));
        if (!(total > 0.0 && diff <= total * norm * r->scale))
            note(r, what, w->name, diff / (size * rel * r->scale), diff / size, 0.0,
                 rel * r->scale);
    } else {
        same(r, what, w->name, false);
    }
    free(x);
    free(y);
}

// A golden's name of a tensor as files have it: PEFT's names in memory say more.
static const char *file_name(const char *name, char buf[256])
{
    static const struct {
        const char *memory, *file;
    } MARKS[] = {{".default.", "."},
                 {".modules_to_save.", "."},
                 {".lora_magnitude_vector.weight", ".lora_magnitude_vector"}};
    char copy[256];

    snprintf(buf, 256, "%s", name);
    for (size_t i = 0; i < COUNT_OF(MARKS); i++) {
        const char *at = strstr(buf, MARKS[i].memory);
        if (!at)
            continue;
        snprintf(copy, sizeof(copy), "%s", buf);
        snprintf(buf, 256, "%.*s%s%s", (int) (at - buf), copy, MARKS[i].file,
                 copy + (at - buf) + strlen(MARKS[i].memory));
    }
    return buf;
}

static void check_tensors(struct report *r, const char *what, const char *got_path,
                          const char *want_path, double rel, double total)
{
    struct fmt_st got = {0}, want = {0};
    double norm = 0.0;

    if (fmt_st_open(got_path, &got) != RT_OK || fmt_st_open(want_path, &want) != RT_OK) {
        same(r, what, "file missing", false);
    } else {
        same(r, what, "number of tensors", got.n == want.n);
        for (uint32_t i = 0; i < want.n; i++) {
            double *y = floats(&want.tensors[i]);
            norm += y ? square(y, NULL, want.tensors[i].count) : (double) NAN;
            free(y);
        }
        for (uint32_t i = 0; i < want.n; i++) {
            char name[256];
            const struct fmt_tensor *g = fmt_st_find(&got, file_name(want.tensors[i].name, name));
            if (g)
                check_tensor(r, what, g, &want.tensors[i], rel, total, sqrt(norm));
            else
                same(r, what, want.tensors[i].name, false);
        }
    }
    fmt_st_close(&got);
    fmt_st_close(&want);
}

// PATH of NAME.safetensors of the case, or of the file that NAME.same_as.json points at.
static void golden_file(const struct compare_args *a, const char *name, char *path, size_t size)
{
    char link[128];
    snprintf(path, size, "%s/%s.safetensors", a->case_dir, name);
    if (file_exists(path))
        return;
    snprintf(link, sizeof(link), "%s.same_as.json", name);
    cJSON *to = read_json(a->case_dir, link);
    if (to && cJSON_IsString(get(to, "file")))
        snprintf(path, size, "%s/%s", a->goldens, get(to, "file")->valuestring);
    cJSON_Delete(to);
}

static void check_stats(struct report *r, const char *what, const char *model, const cJSON *want,
                        double rel, double abs_bound)
{
    struct fmt_st st = {0};
    const cJSON *w, *s;
    if (fmt_st_open(model, &st) != RT_OK) {
        same(r, what, "file missing", false);
        return;
    }
    cJSON_ArrayForEach(w, want)
    {
        const struct fmt_tensor *t = fmt_st_find(&st, w->string);
        double *x = t ? floats(t) : NULL;
        same(r, what, w->string, x != NULL);
        if (x && has_key_bias(w->string)) {
            free(x);
            continue;
        }
        if (x)
            close_to(r, what, w->string, sqrt(square(x, NULL, t->count)), num(get(w, "l2")), 1e-12,
                     rel);
        cJSON_ArrayForEach(s, get(w, "samples")) if (x) close_to(
            r, what, w->string, x[s->child->valueint], num(s->child->next), abs_bound, 0.0);
        free(x);
    }
    fmt_st_close(&st);
}

// What the reference gave before training, and what it became by syncing.
static void check_reference(struct report *r, const struct compare_args *a, double logp, double rel,
                            double abs_bound)
{
    cJSON *want = read_json(a->case_dir, "ref_logps.json"), *got = NULL;
    const cJSON *w, *g, *rows;
    char path[1100];

    if (want) {
        got = read_json(a->dump_dir, "ref_logps.json");
        cJSON_ArrayForEach(rows, want)
        {
            g = get(got, rows->string);
            same(r, "precomputed reference", rows->string,
                 cJSON_GetArraySize(g) == cJSON_GetArraySize(rows));
            for (w = rows->child, g = g ? g->child : NULL; w && g; w = w->next, g = g->next) {
                close_to(r, "precomputed reference", "row", num(get(g, "row")), num(get(w, "row")),
                         1e-9, 0.0);
                close_to(r, "precomputed reference", "chosen", num(get(g, "ref_chosen_logps")),
                         num(get(w, "ref_chosen_logps")), logp, 0.0);
                close_to(r, "precomputed reference", "rejected", num(get(g, "ref_rejected_logps")),
                         num(get(w, "ref_rejected_logps")), logp, 0.0);
            }
        }
    }
    cJSON_Delete(want);
    cJSON_Delete(got);
    want = read_json(a->case_dir, "final_ref_stats.json");
    snprintf(path, sizeof(path), "%s/final_ref.safetensors", a->dump_dir);
    if (want)
        check_stats(r, "synced reference", path, want, rel, abs_bound);
    cJSON_Delete(want);
}

// ---- The log ----------------------------------------------------------------------------------

static const struct {
    const char *key, *tolerance; // NULL: exact
    bool count;
} LOG_KEYS[] = {
    {"loss", "loss", false},
    {"train_loss", "loss", false},
    {"learning_rate", NULL, false},
    {"epoch", NULL, false},
    {"num_tokens", NULL, false},
    {"aux_loss", "entropy", false}, // of its size
    {"entropy", "entropy", false},
    {"logits/chosen", "logits/rejected", false},
    {"logits/rejected", "logits/rejected", false},
    {"rewards/chosen", "rewards/margins", false},
    {"rewards/rejected", "rewards/margins", false},
    {"rewards/margins", "rewards/margins", false},
    {"rewards/accuracies", NULL, true},
    {"mean_token_accuracy", NULL, true},
    {"logps/chosen", "logps/chosen", false},
    {"logps/rejected", "logps/chosen", false},
};

static void check_entry(struct report *r, const cJSON *g, const cJSON *w, const cJSON *abs_tol,
                        double norm_rel)
{
    const bool eval = get(w, "eval_loss") != NULL;
    char where[32];
    snprintf(where, sizeof(where), "step %d", get(w, "step")->valueint);
    same(r, "log entries", where, g && get(g, "step")->valueint == get(w, "step")->valueint);
    if (get(w, "grad_norm"))
        close_to(r, "grad_norm", where, num(get(g, "grad_norm")), num(get(w, "grad_norm")), 1e-7,
                 norm_rel);
    for (size_t k = 0; k < COUNT_OF(LOG_KEYS); k++) {
        char key[64];
        snprintf(key, sizeof(key), "%s%s", eval ? "eval_" : "", LOG_KEYS[k].key);
        const cJSON *x = get(g, key), *y = get(w, key);
        if (!y || (LOG_KEYS[k].count && r->scale > 1.0))
            continue;
        if (LOG_KEYS[k].tolerance)
            close_to(r, key, where, num(x), num(y), num(get(abs_tol, LOG_KEYS[k].tolerance)), 0.0);
        else { // a share is a mean of f32 in TRL: 2/3 is 0.66666669
            const double bound = LOG_KEYS[k].count ? 1e-6 : 1e-9;
            note(r, key, where, fabs(num(x) - num(y)) / (bound + bound * fabs(num(y))), num(x),
                 num(y), bound);
        }
    }
}

static void check_log(struct report *r, const cJSON *state, const cJSON *want, const cJSON *abs_tol,
                      double norm_rel)
{
    const cJSON *g = get(state, "log_history"), *w;
    same(r, "log entries", "count", cJSON_GetArraySize(g) == cJSON_GetArraySize(want));
    for (g = g ? g->child : NULL, w = want->child; w; w = w->next, g = g ? g->next : NULL)
        check_entry(r, g, w, abs_tol, norm_rel);
}

// ---- The whole --------------------------------------------------------------------------------

static int print(const struct report *r, double *worst)
{
    int failed = 0;
    double most = 0.0;
    for (int i = 0; i < r->n; i++) {
        most = fmax(most, r->rows[i].share);
        if (r->rows[i].share <= 1.0)
            continue;
        failed++;
        printf("  %s: got %.9g, want %.9g, bound %.3g (%s)\n", r->rows[i].what, r->rows[i].got,
               r->rows[i].want, r->rows[i].bound, r->rows[i].where);
    }
    if (worst)
        *worst = most;
    return failed;
}

// The adapter's folder beside PEFT's: the same tensors, and the same settings.
static void check_adapter(struct report *r, const char *got_dir, const char *want_dir)
{
    static const char *const KEYS[] = {"peft_type",      "task_type",      "r",        "lora_alpha",
                                       "lora_dropout",   "bias",           "use_dora", "use_rslora",
                                       "fan_in_fan_out", "modules_to_save"};
    cJSON *got = read_json(got_dir, "adapter_config.json"),
          *want = read_json(want_dir, "adapter_config.json");
    char path[1200];
    struct fmt_st x = {0}, y = {0};

    for (size_t i = 0; i < COUNT_OF(KEYS); i++)
        same(r, "adapter_config.json", KEYS[i],
             cJSON_Compare(get(got, KEYS[i]), get(want, KEYS[i]), true));
    const cJSON *a = get(got, "target_modules"), *b = get(want, "target_modules");
    const cJSON *v, *w;
    same(r, "adapter_config.json", "target_modules",
         cJSON_GetArraySize(a) == cJSON_GetArraySize(b));
    cJSON_ArrayForEach(v, b)
    {
        bool has = false;
        cJSON_ArrayForEach(w, a) has = has || strcmp(v->valuestring, w->valuestring) == 0;
        same(r, "target_modules", v->valuestring, has);
    }
    snprintf(path, sizeof(path), "%s/adapter_model.safetensors", got_dir);
    const bool opened = fmt_st_open(path, &x) == RT_OK;
    snprintf(path, sizeof(path), "%s/adapter_model.safetensors", want_dir);
    if (!opened || fmt_st_open(path, &y) != RT_OK) {
        same(r, "adapter file", "missing", false);
    } else {
        same(r, "adapter file", "number of tensors", x.n == y.n);
        for (uint32_t i = 0; i < y.n; i++)
            same(r, "adapter file", y.tensors[i].name, fmt_st_find(&x, y.tensors[i].name) != NULL);
    }
    fmt_st_close(&x);
    fmt_st_close(&y);
    cJSON_Delete(got);
    cJSON_Delete(want);
}

static void compare_tensors(struct report *r, const struct compare_args *a, const cJSON *t)
{
    char got[1100], want[1100], saved[1100];
    snprintf(got, sizeof(got), "%s/grad1.safetensors", a->dump_dir);
    golden_file(a, "grad1", want, sizeof(want));
    check_tensors(r, "step-1 gradient", got, want, num(get(t, "grad1_rel_l2_max")),
                  num(get(t, "grad1_diff_over_total_norm_max")));
    snprintf(saved, sizeof(saved), "%s/adapter_saved", a->case_dir);
    const bool adapter = dir_exists(saved);
    if (adapter)
        check_adapter(r, a->output_dir, saved);
    snprintf(got, sizeof(got), "%s/%s.safetensors", a->output_dir,
             adapter ? "adapter_model" : "model");
    golden_file(a, "final", want, sizeof(want));
    cJSON *stats = read_json(a->case_dir, "final_stats.json");
    if (file_exists(want))
        check_tensors(r, "final weights", got, want, num(get(t, "final_rel_l2_max")), 0.0);
    else
        check_stats(r, "final weights", got, stats, num(get(t, "final_rel_l2_max")),
                    num(get(t, "final_max_abs")));
    cJSON_Delete(stats);
}

int golden_compare(const struct compare_args *a, double *worst)
{
    static const char *const FILES[] = {"tokens.json", "batches.json", "step1.json"};
    struct report r = {.scale = a->scale};
    cJSON *got[4] = {0}, *want[4] = {0}, *tol = NULL;
    const char *name = strrchr(a->case_dir, '/');
    bool all = true;

    for (size_t i = 0; i < COUNT_OF(FILES); i++) {
        got[i] = read_json(a->dump_dir, FILES[i]);
        want[i] = read_json(a->case_dir, FILES[i]);
    }
    got[3] = read_json(a->output_dir, "trainer_state.json");
    want[3] = read_json(a->case_dir, "log_history.json");
    if (fmt_json_read(a->tolerances, &tol) != RT_OK)
        tol = NULL;
    for (int i = 0; i < 4; i++)
        all = all && got[i] && want[i];
    same(&r, "output files", "dump_dir or output_dir", all && tol);
    if (all && tol) {
        const cJSON *t = get(get(tol, "cases"), name ? name + 1 : a->case_dir);
        t = t ? t : get(tol, "floor");
        const cJSON *abs_tol = get(t, "log_history_abs");
        const double loss = num(get(abs_tol, "loss")), seq = num(get(t, "step1_seq_logp_max_abs"));
        check_tokens(&r, got[0], want[0]);
        check_batches(&r, got[1], want[1], fmax(seq, 4.0 * num(get(abs_tol, "logps/chosen"))),
                      loss);
        check_step1(&r, got[2], want[2], seq, num(get(t, "step1_token_logp_max_abs")), loss);
        check_log(&r, got[3], want[3], abs_tol, num(get(t, "grad_norm_max_rel")));
        compare_tensors(&r, a, t);
        check_reference(&r, a, seq, num(get(t, "final_rel_l2_max")), num(get(t, "final_max_abs")));
    }
    for (int i = 0; i < 4; i++) {
        cJSON_Delete(got[i]);
        cJSON_Delete(want[i]);
    }
    cJSON_Delete(tol);
    return print(&r, worst);
}
