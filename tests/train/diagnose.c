// Advice: a table of short runs, and what must be said of each, once.
#include "src/train/diagnose.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/arith.h"

enum { ENTRIES = 20 };
#define BIT(a) (1u << (a))

// A number of entry k: from + k * by, not beyond `to`.
struct line {
    double from, by, to;
};

static double at(struct line l, int k)
{
    const double x = l.from + k * l.by;
    return l.by > 0.0 ? fmin(x, l.to) : l.by < 0.0 ? fmax(x, l.to) : x;
}

static const struct {
    const char *what;
    struct line loss, fell, margin, accuracy, scale;
    double lr, truncated;
    uint32_t want;
} ROWS[] = {
    {"a good run",
     {0.69, -0.02, 0.4},
     {0, -0.2, -9},
     {0, 0.1, 3},
     {0.5, 0.02, 0.9},
     {0, 0, 0},
     1e-6,
     0.1,
     0},
    {"chosen falls, margin grows",
     {0.69, -0.02, 0.4},
     {0, 2, 99},
     {0, 0.1, 3},
     {0.5, 0.02, 0.9},
     {0, 0, 0},
     1e-6,
     0.1,
     BIT(TR_ADVICE_CHOSEN_FALLS)},
    {"chosen falls, margin shrinks",
     {0.69, 0.02, 2},
     {0, 2, 99},
     {1, -0.1, -3},
     {0.5, 0, 0},
     {0, 0, 0},
     1e-6,
     0.1,
     0},
    {"chosen falls by a little",
     {0.69, -0.02, 0.4},
     {0, 0.4, 4},
     {0, 0.1, 3},
     {0.5, 0.02, 0.9},
     {0, 0, 0},
     1e-6,
     0.1,
     0},
    {"all learned, margin grows",
     {0.3, -0.03, 0.01},
     {0, 0, 0},
     {1, 0.5, 99},
     {1, 0, 0},
     {0, 0, 0},
     1e-6,
     0.1,
     BIT(TR_ADVICE_LEARNED)},
    {"all learned, margin stays",
     {0.3, -0.03, 0.01},
     {0, 0, 0},
     {3, 0, 0},
     {1, 0, 0},
     {0, 0, 0},
     1e-6,
     0.1,
     0},
    {"most are cut",
     {0.69, -0.02, 0.4},
     {0, 0, 0},
     {0, 0, 0},
     {0.6, 0, 0},
     {0, 0, 0},
     1e-6,
     0.6,
     BIT(TR_ADVICE_TRUNCATED)},
    {"the scale halves",
     {0.69, -0.02, 0.4},
     {0, 0, 0},
     {0, 0, 0},
     {0.6, 0, 0},
     {65536, -6000, 32},
     1e-6,
     0.1,
     BIT(TR_ADVICE_SCALE)},
    {"the scale settles",
     {0.69, -0.02, 0.4},
     {0, 0, 0},
     {0, 0, 0},
     {0.6, 0, 0},
     {65536, -6000, 4096},
     1e-6,
     0.1,
     0},
    {"flat",
     {0.6931, -0.00005, 0.0},
     {0, 0, 0},
     {0, 0.001, 1},
     {0.5, 0, 0},
     {0, 0, 0},
     1e-9,
     0.1,
     BIT(TR_ADVICE_FLAT)},
    {"flat in the warm-up alone",
     {0.6931, 0, 0},
     {0, 0, 0},
     {0, 0, 0},
     {0, 0, 0},
     {0, 0, 0},
     0.0,
     0.1,
     0},
    {"no reference",
     {0.9, -0.02, 0.4},
     {(double) NAN, 0, 0},
     {0, 0.1, 3},
     {0.5, 0.02, 0.9},
     {0, 0, 0},
     1e-6,
     0.1,
     0},
    {"losses that are no numbers",
     {(double) NAN, 0, 0},
     {0, 2, 99},
     {0, 0.1, 3},
     {1, 0, 0},
     {0, 0, 0},
     1e-6,
     0.1,
     0},
};

static void table(void **state)
{
    (void) state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        struct tr_diagnosis d = {0};
        uint32_t all = 0;
        for (int k = 0; k < ENTRIES; k++) {
            const struct tr_signs s = {.loss = at(ROWS[i].loss, k),
                                       .learning_rate = ROWS[i].lr,
                                       .chosen_fell = at(ROWS[i].fell, k),
                                       .logps_chosen = -200.0,
                                       .margin = at(ROWS[i].margin, k),
                                       .accuracy = at(ROWS[i].accuracy, k),
                                       .loss_scale = at(ROWS[i].scale, k),
                                       .truncated = ROWS[i].truncated};
            const uint32_t found = tr_diagnose(&d, &s);
            if (found & all)
                fail_msg("%s: said twice", ROWS[i].what);
            all |= found;
        }
        if (all != ROWS[i].want)
            fail_msg("%s: found %x, want %x", ROWS[i].what, all, ROWS[i].want);
    }
}

// Each says what it means and names an option that there is.
static void texts(void **state)
{
    (void) state;
    for (int a = 0; a < TR_ADVICE_COUNT; a++) {
        const char *text = tr_advice_text((enum tr_advice) a);
        assert_true(strlen(text) > 80 && strstr(text, "ry ") != NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(table), cmocka_unit_test(texts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
