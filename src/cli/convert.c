// src/cli/convert.c -- `anydpo convert`: a GGUF file, or a model and its adapter, to a Hugging Face
// folder; a folder to a GGUF file.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "src/api/convert.h"
#include "src/api/export.h"
#include "src/api/merge.h"
#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/cli/cmd.h"

enum { DTYPE, PRE, MERGE, TYPE };

static const struct cmd_opt OPTS[] = {
    [DTYPE] = {"dtype", CMD_STR, NULL, 0, 0,
               "float32 | float16 | bfloat16: the weights are rounded to it, to nearest even; "
               "default: float32 of a GGUF file, each tensor's own type with --merge"},
    [PRE] =
        {"pre", CMD_STR, NULL, 0, 0,
         "pre-tokenizer in place of the file's: gpt-2 | smollm | starcoder | llama-bpe | qwen2"},
    [MERGE] = {"merge", CMD_STR, NULL, 0, 0, "folder of a PEFT adapter of the model IN_DIR"},
    [TYPE] =
        {"type", CMD_STR, NULL, 0, 0,
         "f32 | f16 | bf16 | q8_0: of the matrices in OUT.gguf; default: bf16 of bf16 weights, "
         "else f16"},
    {0},
};

static enum rt_err read_dtype(const char *name, enum rt_type *out)
{
    static const struct {
        const char *name;
        enum rt_type type;
    } TYPES[] = {{"float32", RT_F32}, {"float16", RT_F16}, {"bfloat16", RT_BF16}};

    for (size_t i = 0; i < COUNT_OF(TYPES); i++)
        if (strcmp(name, TYPES[i].name) == 0) {
            *out = TYPES[i].type;
            return RT_OK;
        }
    return rt_fail(RT_E_USAGE,
                   "convert: --dtype: expected float32, float16 or bfloat16, found %.60s", name);
}

static enum rt_err merge(const union cmd_val *opt, char **words)
{
    static const enum fmt_dtype TO[] = {
        [RT_F32] = FMT_F32, [RT_F16] = FMT_F16, [RT_BF16] = FMT_BF16};
    enum rt_err err = RT_OK;
    struct api_merged r;
    enum rt_type type = RT_F32;
    const double start = os_seconds();

    if (opt[PRE].str)
        RT_TRY(rt_fail(RT_E_USAGE, "convert: --pre is for GGUF files, not for --merge"));
    if (opt[DTYPE].str)
        RT_TRY(read_dtype(opt[DTYPE].str, &type));
    RT_TRY(api_merge(&(struct api_merge_args){.base = words[0],
                                              .adapter = opt[MERGE].str,
                                              .to = words[1],
                                              .dtype = opt[DTYPE].str ? TO[type] : FMT_DTYPE_COUNT},
                     &r));
    printf("tensors=%u adapted=%u replaced=%u parameters=%" PRIu64 " dtype=%s seconds=%.2f\n",
           r.tensors, r.adapted, r.replaced, r.parameters, opt[DTYPE].str ? opt[DTYPE].str : "kept",
           os_seconds() - start);
done:
    return err;
}

static enum rt_err export_gguf(const union cmd_val *opt, char **words)
{
    enum rt_err err = RT_OK;
    struct api_exported r;
    const double start = os_seconds();

    if (opt[PRE].str || opt[DTYPE].str || opt[MERGE].str)
        RT_TRY(rt_fail(RT_E_USAGE, "convert: --pre, --dtype and --merge are not for GGUF files as "
                                   "results; the type is --type"));
    RT_TRY(api_export(
        &(struct api_export_args){.from = words[0], .to = words[1], .type = opt[TYPE].str}, &r));
    printf("tensors=%u parameters=%" PRIu64 " type=%s seconds=%.2f\n", r.tensors, r.parameters,
           r.type, os_seconds() - start);
done:
    return err;
}

static enum rt_err run(const union cmd_val *opt, int n, char **words)
{
    enum rt_err err = RT_OK;
    struct api_convert_args args = {.pre = opt[PRE].str};
    struct api_converted result;
    const double start = os_seconds();
    const char *const dtype = opt[DTYPE].str ? opt[DTYPE].str : "float32";

    if (n != 2)
        RT_TRY(rt_fail(RT_E_USAGE, "convert: expected %s, found %d words",
                       opt[MERGE].str ? "the base model's folder and OUT_DIR"
                                      : "IN.gguf and OUT_DIR, or IN_DIR and OUT.gguf",
                       n));
    if (str_has_suffix(words[1], ".gguf"))
        return export_gguf(opt, words);
    if (opt[TYPE].str)
        RT_TRY(rt_fail(RT_E_USAGE, "convert: --type is for a result OUT.gguf, found %s", words[1]));
    if (opt[MERGE].str)
        return merge(opt, words);
    RT_TRY(read_dtype(dtype, &args.dtype));
    args.from = words[0];
    args.to = words[1];
    RT_TRY(api_convert(&args, &result));
    printf("tensors=%u parameters=%" PRIu64 " dtype=%s seconds=%.2f\n", result.tensors,
           result.parameters, dtype, os_seconds() - start);
done:
    return err;
}

const struct cmd cmd_convert = {
    "convert",
    "GGUF file to Hugging Face folder and back; merge an adapter into a model",
    "IN.gguf OUT_DIR [OPTIONS], or IN_DIR OUT.gguf [--type TYPE], or\n"
    "IN_DIR OUT_DIR --merge ADAPTER_DIR\n"
    "A folder of a llama, mistral, qwen2, qwen3 or smollm3 with a BPE tokenizer becomes the "
    "file\n"
    "that llama.cpp runs; vectors are f32 whatever the type.\n"
    "With --merge the LoRA adapter of a model becomes part of its weights.\n"
    "A file of a llama, qwen2, qwen3 or smollm3 with a BPE tokenizer in F32, F16, BF16, F64,\n"
    "Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K or Q6_K becomes model.safetensors, "
    "config.json, generation_config.json,\n"
    "tokenizer.json and tokenizer_config.json. In an OUT_DIR that exists, files of these names "
    "are\n"
    "replaced one by one, chat_template.jinja, special_tokens_map.json and added_tokens.json are\n"
    "removed, and others stay. The pre-tokenizer smollm is taken for gpt-2, as in the reference "
    "runs\n"
    "of SmolLM2 that this program is checked against; llama.cpp takes it for starcoder (digits "
    "apart).\n",
    OPTS,
    run,
};
