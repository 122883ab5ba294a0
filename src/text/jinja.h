// src/text/jinja.h -- a parsed Jinja template and its rendering, as Hugging Face's chat templates
// need it: jinja2's language, trim_blocks, lstrip_blocks, no autoescape, an immutable sandbox.
#ifndef TEXT_JINJA_H
#define TEXT_JINJA_H

#include <stddef.h>
#include <stdint.h>

#include "src/base/err.h"
#include "src/base/str.h"

struct jc; // the state of one parse or one rendering; jinja_internal.h

// A parsed template. Immutable: several threads may render it at the same time.
struct txt_jinja;

// Parse `len` bytes of UTF-8 (U+0000 allowed). Nothing is logged: the reason is appended to *reason
// as "line N: TEXT".
// Errors: RT_E_FORMAT       not UTF-8, a syntax error, an unknown filter or test
//         RT_E_UNSUPPORTED  a tag that is not implemented, or a limit (nesting, 16 MiB of text)
//         RT_E_NOMEM
RT_NODISCARD enum rt_err txt_jinja_parse(const char *text, size_t len, struct txt_jinja **out,
                                         struct str *reason);
void txt_jinja_free(struct txt_jinja **t); // accepts NULL; leaves NULL

// One rendering.
struct txt_jinja_args {
    void (*fill)(struct jc *c, void *user); // sets the variables with jc_set_var; may fail `c`
    void *user;
    int64_t now; // strftime_now's clock, seconds since 1970-01-01 00:00:00, shown without zone
};

// Render into *out (appended; as it was on error). Nothing is logged: the reason is appended to
// *reason, a raise_exception's text as it is, anything else as "line N: TEXT".
// Limits: 10 million steps, macros 200 deep, 64 MiB of memory and output beyond 8 times the
// variables.
// Errors: RT_E_FORMAT       the template failed, or called raise_exception
//         RT_E_UNSUPPORTED  a limit, or a part of the language that is not implemented
//         RT_E_NOMEM
RT_NODISCARD enum rt_err txt_jinja_render(const struct txt_jinja *t,
                                          const struct txt_jinja_args *args, struct str *out,
                                          struct str *reason);

#endif // TEXT_JINJA_H
