// src/text/chat_internal.h -- what chat.c (rendering) and chat_open.c (opening) share.
#ifndef TEXT_CHAT_INTERNAL_H
#define TEXT_CHAT_INTERNAL_H

#include <cjson/cJSON.h>

#include "src/text/chat.h"
#include "src/text/jinja.h"

struct chat_template {
    char *name; // "default", "tool_use", ...
    struct str text;
    struct txt_jinja *parsed; // NULL: it does not parse
    enum rt_err err;          // then why,
    struct str reason;        // in words
};

struct txt_chat {
    struct chat_template *t;
    size_t n;
    bool several;   // a set of named templates, from which the use of tools chooses
    json_t *tokens; // object: name -> string
};

// The chat that a tokenizer_config.json alone describes; `where` names it in messages.
// Errors: RT_E_FORMAT chat_template is neither a text nor a list of them; RT_E_NOMEM.
RT_NODISCARD enum rt_err txt_chat_open_config(const cJSON *config, const char *where,
                                              struct txt_chat **out);

#endif // TEXT_CHAT_INTERNAL_H
