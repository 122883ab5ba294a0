#include "src/api/export.h"

#include <string.h>

#include "src/base/arith.h"
#include "src/format/peft.h"
#include "src/model/gguf_out.h"
#include "src/text/to_gguf.h"

static const struct {
    const char *name;
    uint32_t kind;
} TYPES[] = {
    {"f32", FMT_QUANT_F32},
    {"f16", FMT_QUANT_F16},
    {"bf16", FMT_QUANT_BF16},
    {"q8_0", FMT_QUANT_Q8_0},
};

static enum rt_err find_type(const char *name, const struct fmt_st *st, size_t *out)
{
    if (!name)
        name = st->n > 0 && st->tensors[0].dtype == FMT_BF16 ? "bf16" : "f16";
    for (*out = 0; *out < COUNT_OF(TYPES); ++*out)
        if (strcmp(name, TYPES[*out].name) == 0)
            return RT_OK;
    return rt_fail(RT_E_USAGE, "type: expected f32, f16, bf16 or q8_0, found %.60s", name);
}

enum rt_err api_export(const struct api_export_args *args, struct api_exported *out)
{
    enum rt_err err = RT_OK;
    struct md_arch arch;
    struct fmt_st st = {0};
    struct fmt_gguf_writer *w = NULL;
    struct api_exported did = {0};
    size_t type;

    *out = did;
    if (fmt_peft_is(args->from))
        RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                       "%s is an adapter: merge it into its base first (convert BASE OUT_DIR "
                       "--merge ADAPTER_DIR), then convert OUT_DIR",
                       args->from));
    RT_TRY(md_arch_read(args->from, &arch));
    RT_TRY(fmt_st_open(args->from, &st));
    RT_TRY(find_type(args->type, &st, &type));
    const struct md_gguf_out o = {args->from, &arch, TYPES[type].kind};
    RT_TRY(fmt_gguf_writer_create(args->to, &w));
    RT_TRY(md_gguf_put_keys(&o, w));
    RT_TRY(txt_gguf_put(&(struct txt_gguf_args){.folder = args->from,
                                                .rows = arch.vocab,
                                                .bos = arch.bos,
                                                .eos = arch.n_eos ? arch.eos[0] : -1,
                                                .pad = arch.pad},
                        w));
    RT_TRY(md_gguf_put_weights(&o, &st, w));
    RT_TRY(fmt_gguf_writer_commit(w));
    did.type = TYPES[type].name;
    fmt_gguf_writer_count(w, &did.tensors, &did.parameters);
    *out = did;
done:
    fmt_gguf_writer_destroy(&w);
    fmt_st_close(&st);
    return err;
}
