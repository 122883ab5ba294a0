// tests/cli/options.h -- options set by name: what they become, and what is refused.
#ifndef TESTS_CLI_OPTIONS_H
#define TESTS_CLI_OPTIONS_H

#include <string.h>

#include "src/api/options.h"
#include "src/base/arith.h"
#include "tests/t.h"

struct row {
    const char *set[5][2]; // name and text; ends at a NULL name
    const char *says;      // of the refusal
};

// Options with the names that a run cannot do without. The caller destroys them.
static inline struct options options_start(void)
{
    static const char *const NEEDED[] = {"model_name_or_path", "dataset_name", "output_dir"};
    struct options o = {0};
    T_OK(options_create(&o));
    for (size_t i = 0; i < COUNT_OF(NEEDED); i++)
        T_OK(options_set_text(&o, NEEDED[i], "x", "test"));
    return o;
}

// Set what a row says. What *c points to lives as long as *o.
static inline enum rt_err options_row(struct options *o, const struct row *r, struct tr_config *c)
{
    enum rt_err err = RT_OK;
    *c = (struct tr_config){0};
    for (size_t i = 0; i < COUNT_OF(r->set) && r->set[i][0]; i++)
        RT_TRY(options_set_text(o, r->set[i][0], r->set[i][1], "test"));
    RT_TRY(options_resolve(o, true, c));
done:
    return err;
}

// The same where nothing in *c that is read points into the options.
static inline enum rt_err options_become(const struct row *r, struct tr_config *c)
{
    struct options o = options_start();
    const enum rt_err err = options_row(&o, r, c);
    options_destroy(&o);
    return err;
}

// Every row is refused as a wrong use, with its words.
static inline void options_refuse(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct tr_config c;
        (void) t_logged();
        const enum rt_err err = options_become(&rows[i], &c);
        const char *said = t_logged();
        if (err != RT_E_USAGE || !strstr(said, rows[i].says))
            fail_msg("%s %s: expected a refusal with \"%s\", found %s: %s", rows[i].set[0][0],
                     rows[i].set[0][1], rows[i].says, rt_err_name(err), said);
    }
}

#endif // TESTS_CLI_OPTIONS_H
