// The list of options: as help text, and as the README's section.
#include <stdio.h>
#include <string.h>

#include "src/api/options_internal.h"

enum { WIDTH = 110 };

// One word more, on a new line where the line would be too long.
static enum rt_err put_word(struct str *out, size_t *column, const char *word)
{
    enum rt_err err = RT_OK;
    const size_t n = strlen(word);

    if (*column > 0 && *column + 1 + n > WIDTH) {
        RT_TRY(str_putc(out, '\n'));
        *column = 0;
    }
    RT_TRY(str_printf(out, "%s%s", *column ? " " : "", word));
    *column += n + (*column > 0);
done:
    return err;
}

static enum rt_err put_words(struct str *out, size_t *column, const char *text)
{
    enum rt_err err = RT_OK;
    char word[128];

    while (*text) {
        const size_t n = strcspn(text, " ");
        if (n > 0) {
            snprintf(word, sizeof(word), "%.*s", (int) n, text);
            RT_TRY(put_word(out, column, word));
        }
        text += n + (text[n] == ' ');
    }
done:
    return err;
}

// All names of one rule and one reason (NULL: any), with commas. `last` closes them.
static enum rt_err put_names(struct str *out, size_t *column, enum opt_rule rule,
                             const char *reason, const char *last)
{
    enum rt_err err = RT_OK;
    char word[128];
    const struct opt_row *held = NULL;

    for (const struct opt_row *r = OPT_ROWS;; r++) {
        if (r->name && (r->rule != rule || (reason && strcmp(r->help, reason) != 0)))
            continue;
        if (held) {
            snprintf(word, sizeof(word), "`%s`%s", held->name, r->name ? "," : last);
            RT_TRY(put_word(out, column, word));
        }
        held = r;
        if (!r->name)
            break;
    }
done:
    return err;
}

// A list item for each reason, in the order in which they first appear.
static enum rt_err put_reasons(struct str *out, enum opt_rule rule)
{
    enum rt_err err = RT_OK;

    for (const struct opt_row *r = OPT_ROWS; r->name; r++) {
        const struct opt_row *first = OPT_ROWS;
        size_t column = 0;
        while (first->rule != rule || strcmp(first->help, r->help) != 0)
            if (!(++first)->name)
                break;
        if (r->rule != rule || first != r)
            continue;
        RT_TRY(put_word(out, &column, "-"));
        RT_TRY(put_names(out, &column, rule, r->help, ":"));
        RT_TRY(put_words(out, &column, r->help));
        RT_TRY(str_putc(out, '\n'));
    }
done:
    return err;
}

enum rt_err options_markdown(struct str *out)
{
    enum rt_err err = RT_OK;
    size_t column = 0;

    RT_TRY(put_words(out, &column, "**Used**, with TRL's meaning or, where TRL has none, ours:"));
    RT_TRY(put_names(out, &column, OPT_USED, NULL, "."));
    RT_TRY(str_puts(out, "\n\n**Refused unless they have their default**, because they would "
                         "change the result:\n\n"));
    RT_TRY(put_reasons(out, OPT_DEFAULT));
    RT_TRY(str_puts(out, "\n**Read, and without effect here.** A recipe that sets one runs all the "
                         "same, and the log lists it:\n\n"));
    RT_TRY(put_reasons(out, OPT_NOTHING));
    RT_TRY(str_puts(out, "\n**Refused names**, most of them of older versions:\n\n"));
    RT_TRY(put_reasons(out, OPT_GONE));
done:
    return err;
}

enum rt_err options_help(struct str *out)
{
    static const char *const RULE[] = {"", "no effect: ", "only the default: ", "refused: "};
    enum rt_err err = RT_OK;

    for (const struct opt_row *r = OPT_ROWS; r->name; r++)
        RT_TRY(str_printf(out, "  --%-30s %-18s %s%s\n", r->name, r->def ? r->def : "-",
                          RULE[r->rule], r->help));
done:
    return err;
}
