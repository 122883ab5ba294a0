#include "src/api/options_internal.h"

static void print_value(struct fmt_jw *w, const struct opt_row *row, const cJSON *v)
{
    const cJSON text = {.type = cJSON_String, .valuestring = (char *) (uintptr_t) row->def};
    bool b = false;
    double x;

    if (!v && row->def)
        v = &text;
    if (!v || cJSON_IsNull(v))
        fmt_jw_null(w);
    else if (row->kind == OPT_LIST && !cJSON_IsArray(v)) {
        fmt_jw_array(w);
        fmt_jw_cjson(w, v);
        fmt_jw_end(w);
    } else if (row->kind == OPT_BOOL && opt_to_bool(v, &b))
        fmt_jw_bool(w, b);
    else if ((row->kind == OPT_INT || row->kind == OPT_NUM) && fmt_json_to_num(v, &x))
        fmt_jw_num(w, x);
    else
        fmt_jw_cjson(w, v);
}

enum rt_err options_print(const struct options *o, struct str *out)
{
    struct fmt_jw w = {.out = out};

    fmt_jw_object(&w);
    for (size_t i = 0; OPT_ROWS[i].name; i++) {
        if (OPT_ROWS[i].rule != OPT_USED)
            continue;
        fmt_jw_key(&w, OPT_ROWS[i].name);
        print_value(&w, &OPT_ROWS[i], o->values[i]);
    }
    fmt_jw_end(&w);
    return fmt_jw_done(&w);
}
