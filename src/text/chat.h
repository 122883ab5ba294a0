// src/text/chat.h -- chat templates: a conversation in, the text that the model was trained on out.
#ifndef TEXT_CHAT_H
#define TEXT_CHAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "src/base/err.h"
#include "src/base/str.h"

// The templates and special tokens of one model folder. Immutable once open: any number of threads
// may render with one chat at the same time. Created by an open, destroyed by txt_chat_close.
struct txt_chat;

// The chat of one template, given as text (UTF-8, may hold U+0000). It has no special tokens: pass
// them in kwargs. `where` names the template in messages (a path).
// Errors: RT_E_FORMAT  syntax error, unknown filter, unknown test, not UTF-8, too deeply nested
//         RT_E_NOMEM
RT_NODISCARD enum rt_err txt_chat_open_text(const char *text, size_t len, const char *where,
                                            struct txt_chat **out);

// The chat of a Hugging Face model folder.
// Templates: chat_template.jinja ("default") and additional_chat_templates/NAME.jinja; without any
// of these files `chat_template` of tokenizer_config.json, a string or a list of {name, template}.
// Special tokens: tokenizer_config.json, overridden by special_tokens_map.json unless the config
// has added_tokens_decoder; a token is a string or an object with "content". A folder without
// template, or with a template that does not parse, opens: only rendering fails. Errors:
// RT_E_NOT_FOUND  no such folder
//         RT_E_FORMAT     a JSON file is damaged
//         RT_E_IO, RT_E_NOMEM
// Source: transformers 5.23, tokenization_utils_base.py (from_pretrained, get_chat_template).
RT_NODISCARD enum rt_err txt_chat_open(const char *folder, struct txt_chat **out);

// The chat of a template in a file, without special tokens. As with a folder, one that does not
// parse opens, and rendering fails. Errors: RT_E_NOT_FOUND, RT_E_IO, RT_E_NOMEM.
RT_NODISCARD enum rt_err txt_chat_open_file(const char *path, struct txt_chat **out);

void txt_chat_close(struct txt_chat **chat); // accepts NULL; leaves NULL

// Is there any template? False: rendering gives RT_E_NOT_FOUND, plain-text data needs none.
bool txt_chat_has_template(const struct txt_chat *chat);

// A special token's text ("bos_token", "eos_token", ...), owned by the chat, or NULL if the folder
// names none. *len, if wanted, is its length in bytes.
const char *txt_chat_token(const struct txt_chat *chat, const char *name, size_t *len);

// A number that changes with the templates and the special tokens. Errors: RT_E_NOMEM.
RT_NODISCARD enum rt_err txt_chat_digest(const struct txt_chat *chat, uint64_t *out);

// Does a template ask for the time (strftime_now)?
bool txt_chat_uses_clock(const struct txt_chat *chat);

// What one rendering gets. Borrowed during the call and not changed.
struct txt_chat_args {
    const json_t *messages;      // array of objects, at least one
    const json_t *tools;         // array of objects; NULL or JSON null: none
    const json_t *documents;     // array of objects; NULL or JSON null: none
    const json_t *kwargs;        // object: further variables (enable_thinking, ...); they win over
                                 // special tokens of the same name. NULL: none
    bool add_generation_prompt;  // end with the header of an assistant's turn
    bool continue_final_message; // end right behind the last message's content; not with the above
    int64_t now; // what strftime_now shows: seconds since 1970-01-01 00:00:00 on the
                 // wall clock to be shown (the caller adds its zone's offset)
};

// Render; the text is appended to *out, and on an error *out is as it was.
// Messages are first treated as transformers does: keys with null are dropped; the first of
// reasoning_content, thinking, reasoning is copied to reasoning_content, and to thinking if that is
// missing. With tools, a template named "tool_use" is taken if there is one.
// Errors: RT_E_NOT_FOUND  the folder has no template, or several but no default
//         RT_E_FORMAT     the template does not parse, or failed, or called raise_exception;
//                         messages, tools or documents are not what is said above; the final
//                         message cannot be continued
//         RT_E_ARG        continue_final_message together with add_generation_prompt
//         RT_E_UNSUPPORTED  the template went over a limit (steps, depth, memory), or uses a part
//         of
//                         the language that is not implemented
//         RT_E_NOMEM
// The message is logged as "chat template: MESSAGE"; MESSAGE alone is also appended to *error if
// that is not NULL. For raise_exception it is the template's own text.
// Source: transformers 5.23, utils/chat_template_utils.py; jinja2 3.1.6.
RT_NODISCARD enum rt_err txt_chat_render(const struct txt_chat *chat,
                                         const struct txt_chat_args *args, struct str *out,
                                         struct str *error);

#endif // TEXT_CHAT_H
