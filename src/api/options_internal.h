// src/api/options_internal.h -- what the files of options.h share: the getters. Private to src/api.
#ifndef API_OPTIONS_INTERNAL_H
#define API_OPTIONS_INTERNAL_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/api/options.h"
#include "src/format/json.h"

// The row of that name; that of the end if there is none.
size_t opt_row_index(const char *name);

// true, false, yes, no, ... as a boolean or a word. false: it is none of them.
bool opt_to_bool(const cJSON *v, bool *out);

// Is a valid value the row's default? Lists of one count as their item.
bool opt_is_default(const struct opt_row *row, const cJSON *v);

// loss_type and all that belongs to it, into `c` (src/api/options_loss.c). Errors: RT_E_USAGE.
RT_NODISCARD enum rt_err opt_resolve_loss(const struct options *o, struct tr_config *c);

// use_peft, lora_* and adapter_name_or_path (src/api/options_lora.c). Errors: RT_E_USAGE.
RT_NODISCARD enum rt_err opt_resolve_lora(const struct options *o, struct tr_config *c);

// dataset_name, dataset_train_split, columns and datasets (src/api/options_data.c). One of
// dataset_name and datasets is given. Errors: RT_E_USAGE.
RT_NODISCARD enum rt_err opt_resolve_data(const struct options *o, struct tr_config *c);

// Is a mixture's path the name of a format, whose files data_files or data_dir name?
bool opt_is_format(const char *path);

// The value of columns: text becomes a mapping. Errors: RT_E_USAGE, RT_E_NOMEM.
RT_NODISCARD enum rt_err opt_columns(cJSON **v, const char *from);

// eval_* and dataset_test_split (src/api/options_eval.c). After logging_steps. Errors: RT_E_USAGE.
RT_NODISCARD enum rt_err opt_resolve_eval(const struct options *o, struct tr_config *c);
// Checkpoints: save_*, resume_from_checkpoint and which model is the best, into `c`
// (src/api/options_save.c). After opt_resolve_eval. Errors: RT_E_USAGE.
RT_NODISCARD enum rt_err opt_resolve_saving(const struct options *o, struct tr_config *c);

// lr_scheduler_type, lr_scheduler_kwargs and warm-up; optim; logging_*; into `c`
// (src/api/options_steps.c). Errors: RT_E_USAGE.
RT_NODISCARD enum rt_err opt_resolve_schedule(const struct options *o, struct tr_config *c);
RT_NODISCARD enum rt_err opt_resolve_optim(const struct options *o, struct tr_config *c);
RT_NODISCARD enum rt_err opt_resolve_logging(const struct options *o, struct tr_config *c);
// sync_ref_model, precompute_ref_log_probs and what belongs to them (same file). RT_E_USAGE.
RT_NODISCARD enum rt_err opt_resolve_reference(const struct options *o, struct tr_config *c);

// Does a row's list of words, separated by |, hold `w`?
bool opt_has_word(const char *words, const char *w);

// dtype and revision, which model_init_kwargs may give too. env: sets the variables.
// (src/api/options_source.c). Errors: RT_E_USAGE.
RT_NODISCARD enum rt_err opt_resolve_init(const struct options *o, const char **dtype,
                                          const char **revision);
RT_NODISCARD enum rt_err opt_set_env(const cJSON *env);

// Values, checked when they were set; the row's default where none is given, else NULL, 0, false.
static inline const cJSON *given(const struct options *o, const char *name)
{
    const cJSON *v = o->values[opt_row_index(name)];
    return cJSON_IsNull(v) ? NULL : v;
}

static inline const char *text_of(const struct options *o, const char *name)
{
    const cJSON *v = given(o, name);
    return v ? v->valuestring : OPT_ROWS[opt_row_index(name)].def;
}

static inline double num_of(const struct options *o, const char *name)
{
    const cJSON *v = given(o, name);
    const char *def = OPT_ROWS[opt_row_index(name)].def;
    double x = def ? strtod(def, NULL) : 0.0;
    if (v && !fmt_json_to_num(v, &x))
        x = (double) NAN; // checked when it was set
    return x;
}

static inline bool bool_of(const struct options *o, const char *name)
{
    const cJSON *v = given(o, name);
    const char *def = OPT_ROWS[opt_row_index(name)].def;
    bool b = def && strcmp(def, "true") == 0;
    if (v)
        (void) opt_to_bool(v, &b);
    return b;
}

#endif // API_OPTIONS_INTERNAL_H
