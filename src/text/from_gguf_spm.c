#include "src/text/from_gguf_spm.h"

#include <math.h>
#include <stdlib.h>

#define SPACE "\xe2\x96\x81" // U+2581, which stands for a space

static enum rt_err read_scores(const struct fmt_gguf *g, uint32_t n, float **out)
{
    enum rt_err err = RT_OK;
    const char *key = "tokenizer.ggml.scores";
    const struct fmt_gguf_kv *kv;
    float *x = NULL;
    double v;

    *out = NULL;
    RT_TRY(fmt_gguf_array(g, key, FMT_GGUF_F32, &kv));
    if (kv->count != n)
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: key %s: expected %u numbers, one a token, found %llu",
                       g->path, key, n, (unsigned long long) kv->count));
    x = malloc((size_t) n * sizeof(*x));
    RT_REQUIRE(x, RT_E_NOMEM);
    for (uint32_t i = 0; i < n; i++) {
        if (!fmt_gguf_num_at(kv, i, &v) || isnan(v))
            RT_TRY(rt_fail(RT_E_FORMAT, "%s: key %s: element %u is no number", g->path, key, i));
        x[i] = (float) v;
    }
    *out = x;
    x = NULL;
done:
    free(x);
    return err;
}

enum rt_err txt_gguf_spm_read(const struct fmt_gguf *g, const struct txt_vocab *vocab,
                              const bool *takes, int64_t unk, struct txt_gguf_spm *out)
{
    enum rt_err err = RT_OK;
    struct txt_gguf_spm s = {.vocab = vocab, .unk = unk};
    float *scores = NULL;
    uint32_t id;

    *out = (struct txt_gguf_spm){0};
    RT_TRY(fmt_gguf_bool_or(g, "tokenizer.ggml.add_space_prefix", true, &s.prefix));
    RT_TRY(read_scores(g, vocab->rows, &scores));
    RT_TRY(txt_spm_merges(&(struct txt_spm_args){vocab, scores, takes, g->path}, &s.merges, &s.n));
    s.bytes = txt_table_get(&vocab->ids, "<0x00>", 6, &id);
    *out = s;
done:
    free(scores);
    return err;
}

void txt_gguf_spm_free(struct txt_gguf_spm *s)
{
    free(s->merges);
    *s = (struct txt_gguf_spm){0};
}

// ---- writing ----

static void begin(struct fmt_jw *w, const char *type)
{
    fmt_jw_object(w);
    fmt_jw_put_str(w, "type", type);
}

static void begin_sequence(struct fmt_jw *w, const char *list)
{
    begin(w, "Sequence");
    fmt_jw_key(w, list);
    fmt_jw_array(w);
}

static void end_sequence(struct fmt_jw *w)
{
    fmt_jw_end(w);
    fmt_jw_end(w);
}

static void put_replace(struct fmt_jw *w, const char *from, const char *to)
{
    begin(w, "Replace");
    fmt_jw_key(w, "pattern");
    fmt_jw_object(w);
    fmt_jw_put_str(w, "String", from);
    fmt_jw_end(w);
    fmt_jw_put_str(w, "content", to);
    fmt_jw_end(w);
}

static void put_plain(struct fmt_jw *w, const char *type)
{
    begin(w, type);
    fmt_jw_end(w);
}

static void put_normalizer(struct fmt_jw *w, bool prefix)
{
    fmt_jw_key(w, "normalizer");
    begin_sequence(w, "normalizers");
    if (prefix) {
        begin(w, "Prepend");
        fmt_jw_put_str(w, "prepend", SPACE);
        fmt_jw_end(w);
    }
    put_replace(w, " ", SPACE);
    end_sequence(w);
}

static void put_decoder(struct fmt_jw *w, bool prefix)
{
    fmt_jw_key(w, "decoder");
    begin_sequence(w, "decoders");
    put_replace(w, SPACE, " ");
    put_plain(w, "ByteFallback");
    put_plain(w, "Fuse");
    if (prefix) {
        begin(w, "Strip");
        fmt_jw_put_str(w, "content", " ");
        fmt_jw_put_int(w, "start", 1);
        fmt_jw_put_int(w, "stop", 0);
        fmt_jw_end(w);
    }
    end_sequence(w);
}

static void put_model(struct fmt_jw *w, const struct txt_gguf_spm *s)
{
    static const char *const NONE[] = {"dropout", "continuing_subword_prefix",
                                       "end_of_word_suffix"};
    size_t len;

    fmt_jw_key(w, "model");
    begin(w, "BPE");
    for (size_t i = 0; i < sizeof(NONE) / sizeof(NONE[0]); i++)
        fmt_jw_put_str(w, NONE[i], NULL);
    fmt_jw_put_str(w, "unk_token",
                   s->unk >= 0 ? txt_vocab_name(s->vocab, (uint32_t) s->unk, &len) : NULL);
    fmt_jw_put_bool(w, "fuse_unk", true);
    fmt_jw_put_bool(w, "byte_fallback", s->bytes);
    fmt_jw_put_bool(w, "ignore_merges", false);
    fmt_jw_key(w, "vocab");
    fmt_jw_object(w);
    for (uint32_t id = 0; id < s->vocab->rows; id++) {
        fmt_jw_put_int(w, txt_vocab_name(s->vocab, id, &len), id);
    }
    fmt_jw_end(w);
    fmt_jw_key(w, "merges");
    fmt_jw_array(w);
    for (size_t i = 0; i < s->n; i++) {
        fmt_jw_array(w);
        fmt_jw_str(w, txt_vocab_name(s->vocab, s->merges[i].left, &len));
        fmt_jw_str(w, txt_vocab_name(s->vocab, s->merges[i].right, &len));
        fmt_jw_end(w);
    }
    fmt_jw_end(w);
    fmt_jw_end(w);
}

void txt_gguf_spm_put(struct fmt_jw *w, const struct txt_gguf_spm *s)
{
    put_normalizer(w, s->prefix);
    fmt_jw_key(w, "pre_tokenizer");
    fmt_jw_null(w);
    put_decoder(w, s->prefix);
    put_model(w, s);
}
