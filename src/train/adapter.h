// src/train/adapter.h -- the LoRA adapter of a run: from the options, or from the file that the run
// goes on from.
#ifndef TRAIN_ADAPTER_H
#define TRAIN_ADAPTER_H

#include "src/model/model.h"
#include "src/train/config.h"

// Settings of the adapter of `c` (c->lora.use). With adapter_name_or_path its file decides; an
// option that says otherwise is an error. Free with fmt_peft_free.
// Errors: RT_E_USAGE names the option, its value and the file's; those of fmt_peft_read;
// RT_E_NOMEM.
RT_NODISCARD enum rt_err tr_adapter_settings(const struct tr_config *c, struct fmt_peft *out);

// The same for the options that only the model can tell, when it is open: lora_target_modules.
RT_NODISCARD enum rt_err tr_adapter_check(const struct tr_config *c, const struct md_model *model);

// With disable_dropout false: a model whose config.json asks for dropout of its own is refused, as
// only the adapter's is there. Errors: RT_E_UNSUPPORTED names the key; those of fmt_json_read.
RT_NODISCARD enum rt_err tr_dropout_check(const struct tr_config *c);

// Write the adapter of `model` into `dir` (which is there) as PEFT does: adapter_config.json,
// adapter_model.safetensors; with a frozen starting adapter also dir/ref/. `source`: name of the
// base.
RT_NODISCARD enum rt_err tr_adapter_save(struct md_model *model, const char *source,
                                         const char *dir);

#endif // TRAIN_ADAPTER_H
