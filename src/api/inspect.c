#include "src/api/inspect.h"

#include <string.h>

#include "src/api/job.h"
#include "src/base/arith.h"
#include "src/data/summary.h"
#include "src/format/json.h"
#include "src/text/open.h"
#include "src/train/dataset.h"

enum {
    FIRST_ROWS = 3,  // shown where no row is named
    LINE_WIDTH = 96, // of a list of tokens
    BAR_WIDTH = 50,
    NAMED_ROWS = 10, // rows that the summary names
};

struct view {
    const struct txt_tokenizer *tok;
    const struct ds_set *set;
    struct str *out;
};

// One part of a row: its tokens, of which `kept` from `skip` on are trained with; the rest is cut.
struct part {
    const char *name;
    const uint32_t *ids;
    uint32_t n, skip, kept;
    uint32_t predicted; // how many of the kept tokens have a log-prob, the last ones
};

// ---- a row --------------------------------------------------------------------------------------

// Truncation as ds_sequence_of has it, against the whole row.
static void parts_of(const struct ds_set *set, uint32_t pair, struct part out[3])
{
    const struct ds_pair *p = &set->pairs[pair];
    const uint32_t *ids = set->ids.data + p->first;
    const struct ds_sequence c = ds_sequence_of(set, pair, true),
                             r = ds_sequence_of(set, pair, false);
    // a completion that begins its sequence has no log-prob for its first token
    out[0] = (struct part){"prompt", ids, p->prompt, (uint32_t) (c.prompt - ids), c.n_prompt, 0};
    out[1] =
        (struct part){"chosen",       ids + p->prompt,
                      p->chosen,      (uint32_t) (c.completion - (ids + p->prompt)),
                      c.n_completion, c.n_completion - (c.n_prompt == 0 && c.n_completion > 0)};
    out[2] =
        (struct part){"rejected",     ids + p->prompt + p->chosen,
                      p->rejected,    (uint32_t) (r.completion - (ids + p->prompt + p->chosen)),
                      r.n_completion, r.n_completion - (r.n_prompt == 0 && r.n_completion > 0)};
}

static enum rt_err text_of_ids(const struct view *v, const uint32_t *ids, uint32_t n,
                               struct str *out)
{
    enum rt_err err = RT_OK;
    struct str text = {0};
    RT_TRY(txt_decode(v->tok, ids, n, false, &text));
    RT_TRY(fmt_json_escape(out, text.data ? text.data : "", text.len, false));
done:
    str_free(&text);
    return err;
}

// id "bytes", wrapped; tokens that are cut off stand in brackets.
static enum rt_err list_tokens(const struct view *v, const struct part *p)
{
    enum rt_err err = RT_OK;
    struct str item = {0};
    size_t column = 0;

    for (uint32_t i = 0; i < p->n; i++) {
        const bool kept = i >= p->skip && i - p->skip < p->kept;
        const char *bytes;
        size_t n;
        if (!txt_token_bytes(v->tok, p->ids[i], &bytes, &n)) {
            bytes = "";
            n = 0;
        }
        str_clear(&item);
        RT_TRY(str_printf(&item, kept ? "%u " : "[%u ", p->ids[i]));
        RT_TRY(fmt_json_escape(&item, bytes, n, false));
        RT_TRY(str_puts(&item, kept ? "" : "]"));
        const bool wrap = column == 0 || column + 2 + item.len > LINE_WIDTH;
        RT_TRY(str_puts(v->out, !wrap ? "  " : column ? "\n    " : "    "));
        RT_TRY(str_append(v->out, item.data, item.len));
        column = wrap ? 4 + item.len : column + 2 + item.len;
    }
    RT_TRY(str_puts(v->out, p->n ? "\n" : ""));
done:
    str_free(&item);
    return err;
}

static enum rt_err part_as_text(const struct view *v, const struct part *p, bool prompt)
{
    enum rt_err err = RT_OK;

    RT_TRY(str_printf(v->out, "  %s: %u tokens, ", p->name, p->n));
    if (prompt)
        RT_TRY(str_puts(v->out, "not trained on"));
    else
        RT_TRY(str_printf(v->out, "%u trained on", p->predicted));
    if (p->kept < p->n)
        RT_TRY(str_printf(v->out, ", %u cut off", p->n - p->kept));
    RT_TRY(str_puts(v->out, "\n    "));
    RT_TRY(text_of_ids(v, p->ids, p->n, v->out));
    RT_TRY(str_putc(v->out, '\n'));
    RT_TRY(list_tokens(v, p));
done:
    return err;
}

static enum rt_err row_as_text(const struct view *v, uint32_t pair)
{
    enum rt_err err = RT_OK;
    const struct ds_pair *p = &v->set->pairs[pair];
    struct part parts[3];

    parts_of(v->set, pair, parts);
    RT_TRY(str_printf(v->out, "row %u\n", p->row));
    if (p->cut)
        RT_TRY(str_printf(v->out,
                          "  boundary: the prompt alone ends with %u other tokens, so it is cut "
                          "there and the completions begin earlier\n",
                          p->cut));
    if (parts[0].kept == 0)
        RT_TRY(
            str_puts(v->out, "  no prompt is left: the first completion token has no log-prob\n"));
    for (int i = 0; i < 3; i++)
        RT_TRY(part_as_text(v, &parts[i], i == 0));
done:
    return err;
}

static enum rt_err part_as_json(const struct view *v, const struct part *p, struct fmt_jw *w)
{
    enum rt_err err = RT_OK;
    const struct {
        const char *key;
        uint32_t n;
    } numbers[] = {{"skip", p->skip}, {"kept", p->kept}, {"trained", p->predicted}};
    struct str text = {0};

    fmt_jw_key(w, p->name);
    fmt_jw_object(w);
    for (size_t k = 0; k < COUNT_OF(numbers); k++) {
        fmt_jw_put_int(w, numbers[k].key, numbers[k].n);
    }
    fmt_jw_key(w, "ids");
    fmt_jw_array(w);
    for (uint32_t k = 0; k < p->n; k++)
        fmt_jw_int(w, p->ids[k]);
    fmt_jw_end(w);
    RT_TRY(txt_decode(v->tok, p->ids, p->n, false, &text));
    fmt_jw_key(w, "text");
    fmt_jw_str_n(w, text.data ? text.data : "", text.len);
    fmt_jw_end(w);
done:
    str_free(&text);
    return err;
}

static enum rt_err row_as_json(const struct view *v, uint32_t pair)
{
    enum rt_err err = RT_OK;
    const struct ds_pair *p = &v->set->pairs[pair];
    struct part parts[3];
    struct fmt_jw w = {.out = v->out};

    parts_of(v->set, pair, parts);
    fmt_jw_object(&w);
    fmt_jw_put_int(&w, "row", p->row);
    fmt_jw_put_int(&w, "boundary_cut", p->cut);
    for (int i = 0; i < 3; i++)
        RT_TRY(part_as_json(v, &parts[i], &w));
    fmt_jw_end(&w);
    RT_TRY(fmt_jw_done(&w));
    RT_TRY(str_putc(v->out, '\n'));
done:
    return err;
}

static enum rt_err show_rows(const struct view *v, const struct api_inspect_args *a)
{
    enum rt_err err = RT_OK;
    const struct ds_set *s = v->set;
    uint32_t shown = 0;

    for (uint32_t i = 0; i < s->n && (a->row >= 0 || shown < FIRST_ROWS); i++) {
        if (a->row >= 0 && s->pairs[i].row != a->row)
            continue;
        RT_TRY(a->json ? row_as_json(v, i) : row_as_text(v, i));
        shown++;
    }
    for (uint32_t i = 0; i < s->n_dropped && a->row >= 0; i++)
        if (s->dropped[i] == a->row)
            RT_TRY(rt_fail(RT_E_NOT_FOUND,
                           "row %u is dropped: its prompt fills max_length = %u tokens",
                           s->dropped[i], s->max_length));
    if (a->row >= 0 && shown == 0)
        RT_TRY(rt_fail(RT_E_NOT_FOUND, "--row: expected 0 .. %u, found %lld", s->n_read - 1,
                       (long long) a->row));
done:
    return err;
}

// ---- the summary --------------------------------------------------------------------------------

// The first rows whose prompt is cut, or that were dropped.
static uint32_t cut_rows(const struct ds_set *s, uint32_t rows[NAMED_ROWS])
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n && n < NAMED_ROWS; i++)
        if (s->pairs[i].cut)
            rows[n++] = s->pairs[i].row;
    return n;
}

static enum rt_err name_rows(struct str *out, const uint32_t *rows, uint32_t n, uint32_t of)
{
    enum rt_err err = RT_OK;
    for (uint32_t i = 0; i < n; i++)
        RT_TRY(str_printf(out, i ? ", %u" : " (rows %u", rows[i]));
    if (n)
        RT_TRY(str_puts(out, n < of ? ", ...)" : ")"));
    RT_TRY(str_putc(out, '\n'));
done:
    return err;
}

static enum rt_err bars_as_text(struct str *out, const struct ds_histogram *h)
{
    enum rt_err err = RT_OK;
    uint32_t most = 1;
    int first = DS_BARS, last = -1;

    for (int i = 0; i < DS_BARS; i++)
        if (h->bars[i]) {
            most = u32_max(most, h->bars[i]);
            first = first < i ? first : i;
            last = i;
        }
    for (int i = first; i <= last; i++) {
        const uint64_t lo = i ? UINT64_C(1) << (i - 1) : 0, hi = (UINT64_C(1) << i) - 1;
        const int width = (int) div_up((uint64_t) h->bars[i] * BAR_WIDTH, most);
        RT_TRY(str_printf(out, "  %7llu .. %-7llu %8u %.*s\n", (unsigned long long) lo,
                          (unsigned long long) (i ? hi : 0), h->bars[i], width,
                          "##################################################"));
    }
done:
    return err;
}

static enum rt_err summary_as_text(const struct ds_set *s, const struct ds_histogram *h,
                                   struct str *out)
{
    enum rt_err err = RT_OK;
    uint32_t rows[NAMED_ROWS];

    RT_TRY(
        str_printf(out, "rows %u, pairs kept %u, truncated %u\n", s->n_read, s->n, s->n_truncated));
    RT_TRY(str_printf(out, "dropped, the prompt fills max_length: %u", s->n_dropped));
    RT_TRY(name_rows(out, s->dropped, u32_min(s->n_dropped, NAMED_ROWS), s->n_dropped));
    RT_TRY(str_printf(out, "boundary mismatches, the prompt is cut: %u", s->n_cut));
    RT_TRY(name_rows(out, rows, cut_rows(s, rows), s->n_cut));
    for (int i = 0; i < DS_LENGTHS; i++) {
        RT_TRY(str_printf(out, "%s tokens: min %u, median %u, mean %.1f, 95%% up to %u, max %u\n",
                          ds_length_name((enum ds_length) i), h[i].min, h[i].median, h[i].mean,
                          h[i].p95, h[i].max));
        RT_TRY(bars_as_text(out, &h[i]));
    }
done:
    return err;
}

static void histogram_as_json(struct fmt_jw *w, const struct ds_histogram *h)
{
    const struct {
        const char *key;
        uint32_t n;
    } numbers[] = {{"min", h->min}, {"median", h->median}, {"p95", h->p95}, {"max", h->max}};
    int last = DS_BARS - 1;

    fmt_jw_object(w);
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        fmt_jw_put_int(w, numbers[i].key, numbers[i].n);
    }
    fmt_jw_put_num(w, "mean", h->mean);
    while (last > 0 && !h->bars[last])
        last--;
    fmt_jw_key(w, "bars"); // of 0, 1, 2 .. 3, 4 .. 7, ... tokens
    fmt_jw_array(w);
    for (int i = 0; i <= last; i++)
        fmt_jw_int(w, h->bars[i]);
    fmt_jw_end(w);
    fmt_jw_end(w);
}

static enum rt_err summary_as_json(const struct ds_set *s, const struct ds_histogram *h,
                                   struct str *out)
{
    enum rt_err err = RT_OK;
    const struct {
        const char *key;
        uint32_t n;
    } counts[] = {{"rows", s->n_read},
                  {"kept", s->n},
                  {"dropped", s->n_dropped},
                  {"truncated", s->n_truncated},
                  {"boundary_cut", s->n_cut}};
    struct fmt_jw w = {.out = out};

    fmt_jw_object(&w);
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        fmt_jw_put_int(&w, counts[i].key, counts[i].n);
    }
    for (int i = 0; i < DS_LENGTHS; i++) {
        fmt_jw_key(&w, ds_length_name((enum ds_length) i));
        histogram_as_json(&w, &h[i]);
    }
    fmt_jw_end(&w);
    RT_TRY(fmt_jw_done(&w));
    RT_TRY(str_putc(out, '\n'));
done:
    return err;
}

enum rt_err api_inspect(struct anydpo_job *job, const struct api_inspect_args *args,
                        struct str *out)
{
    enum rt_err err = RT_OK;
    struct tr_config c;
    struct txt_tokenizer *tok = NULL;
    struct txt_chat *chat = NULL;
    struct tr_dataset data = {0};
    struct ds_histogram h[DS_LENGTHS];

    RT_TRY(options_find(api_job_options(job)));
    RT_TRY(options_resolve(api_job_options(job), false, &c));
    RT_TRY(txt_tokenizer_open_any(c.model_name_or_path, &tok));
    RT_TRY(txt_chat_open_any(c.model_name_or_path, &chat));
    RT_TRY(tr_dataset_open_train(&c, tok, chat, &data));
    const struct view v = {tok, &data.set, out};
    if (!args->summary)
        RT_TRY(show_rows(&v, args));
    else {
        RT_TRY(ds_summarize(&data.set, h));
        RT_TRY(args->json ? summary_as_json(&data.set, h, out)
                          : summary_as_text(&data.set, h, out));
    }
done:
    tr_dataset_close(&data);
    txt_chat_close(&chat);
    txt_tokenizer_close(&tok);
    return err;
}
