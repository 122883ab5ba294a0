// src/train/save.h -- the output folder that Hugging Face's tools load.
#ifndef TRAIN_SAVE_H
#define TRAIN_SAVE_H

#include "src/format/tensor.h"
#include "src/model/model.h"
#include "src/text/tokenizer.h"
#include "src/train/config.h"

// Write the model, or its adapter alone with tokenizer files (src/train/adapter.h), into `dir`
// (made if missing): model.safetensors or shards in `dtype`, config.json
// of the source folder with its dtype set, generation_config.json, both with the special tokens of
// `tok` (NULL: as they are), and the source's tokenizer files. Files appear whole or not at all,
// the weights last. Errors: RT_E_IO, RT_E_NOMEM, RT_E_DEVICE.
RT_NODISCARD enum rt_err tr_save_model(struct md_model *model, const struct txt_tokenizer *tok,
                                       const char *source, const char *dir, enum rt_type dtype);

// The parts of it; of a GGUF file, what its metadata say (save_gguf.h). Copy the tokenizer files
// that `source` has, with `generation` also generation_config.json.
RT_NODISCARD enum rt_err tr_save_files(const char *source, const char *dir, bool generation);

// Let dir/config.json and dir/generation_config.json name the tokenizer's end, beginning and
// padding; -1 is none, which changes nothing. In the latter an end is added to those there are.
// Errors: RT_E_FORMAT, RT_E_IO, RT_E_NOMEM. Source: transformers 5.23, align_special_tokens.
struct tr_token_ids {
    int64_t eos, bos, pad;
};
RT_NODISCARD enum rt_err tr_save_token_ids(const struct tr_token_ids *ids, const char *dir);

// Write config.json of `source` with the weights' type (FMT_DTYPE_COUNT = as it is); untied: the
// head is not the embedding any more.
RT_NODISCARD enum rt_err tr_save_config(const char *source, const char *dir, enum fmt_dtype dtype,
                                        bool untied);

#endif // TRAIN_SAVE_H
