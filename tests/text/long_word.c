// A text of 5 MB that is one word takes linear time (n log n): a merge loop that is quadratic would
// take hours, so the bound is generous.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/text/tokenizer.h"

enum { BYTES = 5000000, BOUND_S = 60 };

static void repeat(char *text, size_t i)
{
    (void) i;
    *text = 'a';
}

static void spaces(char *text, size_t i)
{
    (void) i;
    *text = ' ';
}

static void letters(char *text, size_t i)
{
    *text = (char) ('a' + (uint32_t) (i * 2654435761u) % 26u);
}

static void one_word(void **state)
{
    static const char *const TOKENIZERS[] = {"bl-llama3", "sp-legacy"};
    static void (*const WORDS[])(char *, size_t) = {repeat, spaces, letters};
    const char *source = os_env("ANYDPO_SOURCE");
    alarm(6 * BOUND_S); // what takes hours is ended
    char *text = malloc(BYTES), dir[1024];

    (void) state;
    assert_non_null(text);
    for (size_t t = 0; t < COUNT_OF(TOKENIZERS); t++) {
        struct txt_tokenizer *tok;
        snprintf(dir, sizeof(dir), "%s/tests/golden/tokenizers/%s", source ? source : ".",
                 TOKENIZERS[t]);
        assert_int_equal(txt_tokenizer_open(dir, &tok), RT_OK);
        for (size_t w = 0; w < COUNT_OF(WORDS); w++) {
            struct txt_ids ids = {0};
            const double begin = os_seconds();
            for (size_t i = 0; i < BYTES; i++)
                WORDS[w](text + i, i);
            assert_int_equal(txt_encode(tok, text, BYTES, false, &ids), RT_OK);
            const double took = os_seconds() - begin;
            print_message("%s, word %zu: %zu ids, %.2f s\n", TOKENIZERS[t], w, ids.len, took);
            assert_true(ids.len > 0);
            assert_true(took < BOUND_S);
            txt_ids_free(&ids);
        }
        txt_tokenizer_close(&tok);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_word)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
