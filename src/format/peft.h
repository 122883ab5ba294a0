// src/format/peft.h -- PEFT's adapter_config.json, and its rules of which modules are meant.
//
// Source: peft 0.18 .. 0.21, tuners/lora/config.py, tuners/tuners_utils.py
// (check_target_module_exists), utils/other.py (_set_trainable); trl.md section 5.
#ifndef FORMAT_PEFT_H
#define FORMAT_PEFT_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "src/base/err.h"
#include "src/base/str.h"

// A LoRA adapter's settings. Owned by whoever declares it; { 0 } is empty.
struct fmt_peft {
    uint32_t r;          // rank, >= 1
    double alpha;        // finite; the adapter's share is alpha / r, of rsLoRA alpha / sqrt(r)
    double dropout;      // 0 .. 1, on the adapter's input while it is trained
    bool use_rslora;     // see alpha
    bool use_dora;       // a trained magnitude for each output
    bool fan_in_fan_out; // the base keeps (in, out): said of gpt2; changes no number here
    cJSON *targets;      // a string: "all-linear" or a regular expression; an array of names;
                         // NULL = what PEFT takes for the model's type
    cJSON *save;         // modules_to_save: an array of names; NULL = none
    cJSON *exclude;      // exclude_modules: as targets, never "all-linear"; NULL = none
    cJSON *layers;       // layers_to_transform: an array of numbers; NULL = all
    cJSON *pattern;   // layers_pattern: an array of the names before a layer's number; NULL = any
    char *base_model; // base_model_name_or_path; NULL = not said
};

// Whether `folder` holds an adapter_config.json.
bool fmt_peft_is(const char *folder);

// Read folder/adapter_config.json. Keys that only describe are passed over; one that would change
// the numbers and is not supported, or that nothing here knows, is refused unless it is empty.
// Errors: RT_E_NOT_FOUND, RT_E_FORMAT damaged or out of range; RT_E_UNSUPPORTED; each names file
// and key.
RT_NODISCARD enum rt_err fmt_peft_read(const char *folder, struct fmt_peft *out);
// The same of a text; `where` is its name in messages.
RT_NODISCARD enum rt_err fmt_peft_parse(const char *text, size_t len, const char *where,
                                        struct fmt_peft *out);
void fmt_peft_free(struct fmt_peft *p); // leaves { 0 }

// A copy of its own. RT_E_NOMEM.
RT_NODISCARD enum rt_err fmt_peft_copy(const struct fmt_peft *p, struct fmt_peft *out);

// Write dir/adapter_config.json with the keys of peft 0.18, which later versions read too.
// inference_mode is true, as in every file that PEFT saves. Errors: RT_E_IO, RT_E_NOMEM.
RT_NODISCARD enum rt_err fmt_peft_write(const struct fmt_peft *p, const char *dir);

// Append its text. RT_E_NOMEM.
RT_NODISCARD enum rt_err fmt_peft_text(const struct fmt_peft *p, struct str *out);

// Check the form of targets, or of modules_to_save (`names` = the option's name in messages): an
// array of strings that are not empty, or where `pattern` a string. RT_E_FORMAT.
RT_NODISCARD enum rt_err fmt_peft_check_names(const cJSON *v, bool pattern, const char *names);

// Whether `targets` means the module `path` ("model.layers.0.self_attn.q_proj"): a string is a
// regular expression for the whole path, as Python's re.fullmatch; a name in an array equals the
// path or is its end behind a dot. "all-linear" is for the caller. Errors: RT_E_FORMAT not a
// regular expression; RT_E_UNSUPPORTED it needs too many steps; RT_E_NOMEM.
RT_NODISCARD enum rt_err fmt_peft_targets(const cJSON *targets, const char *path, bool *out);
bool fmt_peft_all_linear(const cJSON *targets);

// Whether the adapter `p` may have the module `path` at all: it is not excluded, and lies in one of
// the layers to transform, whose number is the first that has a word before it (of
// layers_pattern). As in PEFT, a target that is a whole path is meant in any layer. Errors: those
// of fmt_peft_targets.
RT_NODISCARD enum rt_err fmt_peft_admits(const struct fmt_peft *p, const char *path, bool *out);

// Whether an array of modules_to_save means `path` or a module that holds it: by the end of its
// path, whole words or not.
bool fmt_peft_saves(const cJSON *names, const char *path);

#endif // FORMAT_PEFT_H
