// Tests: `x is NAME`. Source: jinja2 3.1.6, tests.py.
#include "src/text/jinja_internal.h"

#define TEST(name)                                                                                 \
    static struct jv name(struct jc *c, struct jv self, const struct jv *arg,                      \
                          const struct jargs *raw)
// A test of the value alone.
#define IS(name, condition)                                                                        \
    TEST(name)                                                                                     \
    {                                                                                              \
        (void) c, (void) arg, (void) raw;                                                          \
        return jv_bool(condition);                                                                 \
    }
#define COMPARES(name, op)                                                                         \
    TEST(name)                                                                                     \
    {                                                                                              \
        (void) raw;                                                                                \
        return jv_bool(jop_compare(c, op, self, arg[0]));                                          \
    }

IS(t_defined, self.kind != JK_UNDEF)
IS(t_undefined, self.kind == JK_UNDEF)
IS(t_none, self.kind == JK_NONE)
IS(t_boolean, self.kind == JK_BOOL)
IS(t_true, self.kind == JK_BOOL && self.u.b)
IS(t_false, self.kind == JK_BOOL && !self.u.b)
IS(t_integer, self.kind == JK_INT || self.kind == JK_BIG)
IS(t_float, self.kind == JK_FLOAT)
IS(t_number, jv_number(self) || self.kind == JK_BIG)
IS(t_string, self.kind == JK_STR)
IS(t_mapping, self.kind == JK_DICT)
IS(t_escaped, self.kind == JK_STR && self.u.s->safe)
IS(t_iterable, (jv_len(self) >= 0) || self.kind == JK_ITER)
IS(t_callable, self.kind == JK_FUNC || self.kind == JK_METHOD || self.kind == JK_MACRO ||
                   self.kind == JK_LOOP || self.kind == JK_JOINER || self.kind == JK_UNDEF)
IS(t_sequence, self.kind == JK_STR || self.kind == JK_LIST || self.kind == JK_TUPLE ||
                   self.kind == JK_DICT || self.kind == JK_RANGE || self.kind == JK_UNDEF)
COMPARES(t_eq, OP_EQ)
COMPARES(t_ne, OP_NE)
COMPARES(t_lt, OP_LT)
COMPARES(t_le, OP_LE)
COMPARES(t_gt, OP_GT)
COMPARES(t_ge, OP_GE)
COMPARES(t_in, OP_IN)

static struct jv remainder_is(struct jc *c, struct jv v, struct jv by, int64_t want)
{
    if (v.kind == JK_STR) { // "%" would format it
        jc_fail(c, RT_E_FORMAT, "not all arguments converted during string formatting");
        return jv_none();
    }
    return jv_bool(jv_eq(c, jop_binary(c, OP_MOD, v, by), jv_int(want)));
}

TEST(t_odd)
{
    (void) arg, (void) raw;
    return remainder_is(c, self, jv_int(2), 1);
}

TEST(t_even)
{
    (void) arg, (void) raw;
    return remainder_is(c, self, jv_int(2), 0);
}

TEST(t_divisibleby)
{
    (void) raw;
    return remainder_is(c, self, arg[0], 0);
}

TEST(t_filter)
{
    (void) arg, (void) raw;
    jv_hash(c, self); // what cannot be a key is an error
    return jv_bool(self.kind == JK_STR && jfilter_find(self.u.s));
}

TEST(t_test)
{
    (void) arg, (void) raw;
    jv_hash(c, self);
    return jv_bool(self.kind == JK_STR && jtest_find(self.u.s));
}

TEST(t_lower)
{
    (void) arg, (void) raw;
    return jv_bool(jstr_is_case(jv_to_str(c, self), false));
}

TEST(t_upper)
{
    (void) arg, (void) raw;
    return jv_bool(jstr_is_case(jv_to_str(c, self), true));
}

// Identity: of constants and small values that is equality of kind and value.
TEST(t_sameas)
{
    (void) raw;
    if (self.kind != arg[0].kind)
        return jv_bool(false);
    if (self.kind >= JK_LIST)
        return jv_bool(self.u.seq == arg[0].u.seq);
    return jv_bool(jv_eq(c, self, arg[0]));
}

static const struct jnative TESTS[] = {
    {"defined", t_defined, "/", 0},     {"string", t_string, "/", 0},
    {"none", t_none, "/", 0},           {"mapping", t_mapping, "/", 0},
    {"iterable", t_iterable, "/", 0},   {"sequence", t_sequence, "/", 0},
    {"true", t_true, "/", 0},           {"false", t_false, "/", 0},
    {"boolean", t_boolean, "/", 0},     {"undefined", t_undefined, "/", 0},
    {"number", t_number, "/", 0},       {"integer", t_integer, "/", 0},
    {"float", t_float, "/", 0},         {"odd", t_odd, "/", 0},
    {"even", t_even, "/", 0},           {"divisibleby", t_divisibleby, "num", 1},
    {"lower", t_lower, "/", 0},         {"upper", t_upper, "/", 0},
    {"callable", t_callable, "/", 0},   {"escaped", t_escaped, "/", 0},
    {"sameas", t_sameas, "other", 1},   {"filter", t_filter, "/", 0},
    {"test", t_test, "/", 0},           {"in", t_in, "seq", 1},
    {"==", t_eq, "/other", 1},          {"eq", t_eq, "/other", 1},
    {"equalto", t_eq, "/other", 1},     {"!=", t_ne, "/other", 1},
    {"ne", t_ne, "/other", 1},          {"<", t_lt, "/other", 1},
    {"lt", t_lt, "/other", 1},          {"lessthan", t_lt, "/other", 1},
    {"<=", t_le, "/other", 1},          {"le", t_le, "/other", 1},
    {">", t_gt, "/other", 1},           {"gt", t_gt, "/other", 1},
    {"greaterthan", t_gt, "/other", 1}, {">=", t_ge, "/other", 1},
    {"ge", t_ge, "/other", 1},
};

const struct jnative *jtest_find(const struct jstr *name)
{
    for (size_t i = 0; i < COUNT_OF(TESTS); i++)
        if (jstr_is(name, TESTS[i].name))
            return &TESTS[i];
    return NULL;
}
