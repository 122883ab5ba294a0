#include "src/train/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "src/base/arith.h"
#include "src/base/str.h"
#include "src/train/estimate.h"
#include "src/train/optimizer.h"

static const struct md_recompute NOTHING = {0}, LOGITS = {.logits = true},
                                 EVERYTHING = {.kinds = MD_AGAIN_COUNT};

static const char *group_of(const char *name)
{
    static const struct {
        const char *part, *group;
    } GROUPS[] = {
        {"log-prob", "other"},
        {"reference", "reference"},
        {"gradients", "gradients"},
        {"adam", "optimizer"},
        {"weights", "weights"},
        {"master", "weights"},
        {"activations", "activations"},
        {"logits", "head"},
        {"head state", "head"},
        {"scratch", "scratch"},
        {"adapter", "weights"},
        {"key cache", "key and values"},
        {"value cache", "key and values"},
    };
    for (size_t i = 0; i < COUNT_OF(GROUPS); i++)
        if (strstr(name, GROUPS[i].part))
            return GROUPS[i].group;
    return "other";
}

static void add(struct tr_plan *p, const struct rt_buf *b)
{
    uint32_t i = 0;
    while (i < p->n_rows && strcmp(p->rows[i].name, rt_buf_name(b)) != 0)
        i++;
    if (i == TR_PLAN_ROWS)
        i--; // the last row takes the rest
    struct tr_plan_row *row = &p->rows[i];
    if (i == p->n_rows) {
        p->n_rows++;
        snprintf(row->name, sizeof(row->name), "%s", rt_buf_name(b));
        row->group = group_of(row->name);
    }
    row->bytes += rt_buf_bytes(b);
    row->buffers++;
    p->bytes += rt_buf_bytes(b);
}

static uint64_t group_bytes(const struct tr_plan *p, const char *group)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < p->n_rows; i++)
        sum += strcmp(p->rows[i].group, group) == 0 ? p->rows[i].bytes : 0;
    return sum;
}

// Large groups first, within them large rows.
static void sort(struct tr_plan *p)
{
    for (uint32_t i = 1; i < p->n_rows; i++)
        for (uint32_t k = i; k > 0; k--) {
            struct tr_plan_row *a = &p->rows[k - 1], *b = &p->rows[k], swap = *b;
            const uint64_t x = group_bytes(p, a->group), y = group_bytes(p, b->group);
            const int order = x != y ? (x < y ? 1 : -1) : strcmp(a->group, b->group);
            if (order < 0 || (order == 0 && a->bytes >= b->bytes))
                break;
            *b = *a;
            *a = swap;
        }
}

double tr_plan_forwards(const struct tr_config *c)
{
    return c->precompute_ref_log_probs || c->reference_free ? 1.0 : 2.0;
}

// Open what the run would open, on a device that counts.
static enum rt_err measure(const struct tr_config *c, bool train, const struct tr_session *s,
                           struct md_recompute recompute, struct tr_plan *p)
{
    enum rt_err err = RT_OK;
    struct tr_session d = *s; // its data are borrowed
    struct tr_optimizer opt = {0};

    *p = (struct tr_plan){.recompute = recompute, .limit = p->limit};
    RT_TRY(rt_dev_open_dry(s->dev, &d.dev));
    RT_TRY(tr_session_open_model(c, train, recompute, &d));
    if (train)
        RT_TRY(tr_optimizer_create(d.model, c->optim, &opt));
    for (const struct rt_buf *b = NULL; (b = rt_dev_next_buf(d.dev, b)) != NULL;)
        add(p, b);
    p->max_tokens = d.model->max_tokens;
    p->max_rows = d.model->max_rows;
    p->experts = d.model->arch.experts > 0;
    p->head = md_head_way(d.model);
    p->layers = d.model->arch.layers;
    p->hidden = d.model->arch.hidden;
    p->ffn = d.model->arch.ffn ? d.model->arch.ffn : d.model->arch.expert_ffn;
    p->vocab = d.model->arch.vocab;
    tr_work_make(d.model, tr_plan_forwards(c), &p->work);
    md_recompute_text(recompute, p->layers, p->recomputed);
    sort(p);
done:
    tr_optimizer_destroy(&opt);
    tr_session_close_model(&d);
    rt_dev_close(&d.dev);
    return err;
}

static bool fits(const struct tr_plan *p)
{
    return p->limit == 0 || p->bytes <= p->limit;
}

static void help(struct tr_plan *p, const char *option, uint64_t bytes)
{
    uint32_t i = p->n_helps;
    if (bytes >= p->bytes || i == TR_PLAN_HELPS)
        return;
    const struct tr_plan_help h = {option, p->bytes - bytes};
    for (; i > 0 && p->helps[i - 1].saves < h.saves; i--)
        p->helps[i] = p->helps[i - 1];
    p->helps[i] = h;
    p->n_helps++;
}

// A change of the configuration; false where it makes no sense.
static bool recompute(struct tr_config *c)
{
    c->gradient_checkpointing = TR_RECOMPUTE_ALL;
    return true;
}

static bool one_pair(struct tr_config *c)
{
    c->pass_tokens = 1;
    return true;
}

static bool bf16(struct tr_config *c)
{
    const bool wide = c->storage == RT_F32;
    c->storage = RT_BF16;
    return wide;
}

static bool precompute(struct tr_config *c)
{
    c->precompute_ref_log_probs = true;
    return !c->lora.use && !c->sync_ref_model;
}

static bool sgd(struct tr_config *c)
{
    c->optim = TR_SGD;
    return true;
}

static bool lora(struct tr_config *c)
{
    static char name[] = "all-linear";
    static const cJSON ALL = {.type = cJSON_String, .valuestring = name};
    const bool full = !c->lora.use && !c->sync_ref_model;
    c->lora.use = true;
    c->lora.targets = c->lora.targets ? c->lora.targets : &ALL;
    return full;
}

static const struct {
    const char *option;
    bool (*change)(struct tr_config *c);
} CHANGES[] = {
    {"gradient_checkpointing: true", recompute},
    {"pass_tokens: 1 (one pair at once)", one_pair},
    {"bf16: true", bf16},
    {"precompute_ref_log_probs: true", precompute},
    {"optim: sgd", sgd},
    {"use_peft: true", lora},
};

// Each change alone.
static enum rt_err find_helps(const struct tr_config *c, const struct tr_session *s,
                              struct tr_plan *p)
{
    enum rt_err err = RT_OK;
    struct tr_plan other = {0};
    static const char *const ATTENTION[] = {"q_proj", "k_proj", "v_proj", "o_proj"};
    cJSON *targets = cJSON_CreateStringArray(ATTENTION, COUNT_OF(ATTENTION));

    RT_REQUIRE(targets, RT_E_NOMEM);
    for (size_t i = 0; i < COUNT_OF(CHANGES); i++) {
        struct tr_config changed = *c;
        if (p->experts && !c->lora.use && !c->lora.targets)
            changed.lora.targets = targets; // experts have no adapters
        if (!CHANGES[i].change(&changed))
            continue;
        const bool all = changed.gradient_checkpointing == TR_RECOMPUTE_ALL;
        RT_TRY(measure(&changed, true, s, all ? EVERYTHING : p->recompute, &other));
        help(p, CHANGES[i].option, other.bytes);
    }
done:
    cJSON_Delete(targets);
    return err;
}

// The first kinds that fit together, then as few layers of the last of them as fit. Nothing does
// not fit.
static enum rt_err choose(const struct tr_config *c, const struct tr_session *s, struct tr_plan *p)
{
    enum rt_err err = RT_OK;
    struct tr_plan other = *p;
    uint32_t kinds = 0, few = 0, many;

    while (!fits(p) && kinds < MD_AGAIN_COUNT)
        RT_TRY(measure(c, true, s, (struct md_recompute){.kinds = ++kinds}, p));
    for (many = p->layers; fits(p) && kinds - 1 != MD_AGAIN_LOGITS && many - few > 1;) {
        const uint32_t middle = few + (many - few) / 2;
        RT_TRY(measure(c, true, s, (struct md_recompute){.kinds = kinds - 1, .layers = middle},
                       &other));
        if (fits(&other)) {
            *p = other;
            many = middle;
        } else {
            few = middle;
        }
    }
done:
    return err;
}

enum rt_err tr_plan_make(const struct tr_config *c, bool train, bool helps,
                         const struct tr_session *s, struct tr_plan *out)
{
    enum rt_err err = RT_OK;
    const struct rt_caps *caps = &rt_dev_plan(s->dev)->caps;
    const bool all = c->gradient_checkpointing == TR_RECOMPUTE_ALL;

    *out = (struct tr_plan){.limit = caps->memory_bytes};
    RT_TRY(measure(c, train, s, all ? EVERYTHING : NOTHING, out));
    if (train && c->gradient_checkpointing == TR_RECOMPUTE_AUTO && !fits(out))
        RT_TRY(choose(c, s, out));
    else if (train && !all && !fits(out))
        RT_TRY(measure(c, train, s, LOGITS, out));
    if (train && (helps || !fits(out)))
        RT_TRY(find_helps(c, s, out));
done:
    return err;
}

enum rt_err tr_plan_check(const struct tr_plan *p)
{
    enum rt_err err = RT_OK;
    struct str s = {0};
    char a[32], b[32], c[32];

    if (fits(p))
        goto done;
    for (uint32_t i = 0; i < p->n_helps; i++)
        RT_TRY(str_printf(&s, "%s%s saves %s", i ? "; " : "", p->helps[i].option,
                          str_bytes(a, (double) p->helps[i].saves)));
    err = rt_fail(RT_E_DEVMEM, "the run needs %s of device memory, %s are there: %s too much. %s",
                  str_bytes(a, (double) p->bytes), str_bytes(b, (double) p->limit),
                  str_bytes(c, (double) (p->bytes - p->limit)), s.data ? s.data : "");
done:
    str_free(&s);
    return err;
}

void tr_plan_report(const struct tr_config *c, const struct tr_plan *p)
{
    char a[32];
    if (c->gradient_checkpointing != TR_RECOMPUTE_ALL && strcmp(p->recomputed, "none") != 0)
        log_info("to fit into %s the backward recomputes %s", str_bytes(a, (double) p->limit),
                 p->recomputed);
}

enum rt_err tr_plan_run(const struct tr_config *c, struct tr_plan *out, struct tr_estimate *time)
{
    enum rt_err err = RT_OK;
    struct tr_session s = {0};

    RT_TRY(tr_session_open_data(c, true, &s));
    RT_TRY(tr_session_open_device(c, &s));
    RT_TRY(tr_plan_make(c, true, true, &s, out));
    if (time)
        RT_TRY(tr_estimate_make(c, &s, out, time));
done:
    tr_session_close(&s);
    return err;
}
