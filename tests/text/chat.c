// The language of chat templates, row by row, and how it fails. What each row must give was
// rendered by jinja2 3.1.6 with transformers' settings.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/format/json.h"
#include "src/text/chat.h"

static const int64_t NOW = 1751620087; // 2025-07-04 09:08:07

// clang-format off
static const struct {
    const char *template, *want;
} ROWS[] = {
    { "{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }} {{ 7.5 % -"
      "2 }}",
      "3 -4 2 64 4 -0.5" },
    { "{{ 1e16 }} {{ 1e15 }} {{ 0.1 + 0.2 }} {{ 1e-5 }} {{ 100.0 }} {{ -0.0 }}",
      "1e+16 1000000000000000.0 0.30000000000000004 1e-05 100.0 -0.0" },
    { "{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ not 1 in [1] }} {{ 'a' not in 'b' }} {{ 1 == tr"
      "ue }} {{ [1, 2] < [1, 3] }}",
      "True False False True True True" },
    { "{{ 'a' if false }}|{{ x }}|{{ x | default('d') }}|{{ x is defined }}|{{ '' | defau"
      "lt('e', true) }}",
      "||d|False|e" },
    { "{{ 'a,b,,c'.split(',', 1) }} {{ ' a  b '.split() }} {{ ' x y '.split(none, 1) }} {"
      "{ 'a b c'.rsplit(' ', 1) }}",
      "['a', 'b,,c'] ['a', 'b'] ['x', 'y '] ['a b', 'c']" },
    { "{{ 'h\xc3\xa9llo'[1:3] }} {{ 'abc'[::-1] }} {{ 'abc'[-2:] }} {{ [1, 2, 3][5:] }} {"
      "{ 'abc'[10] is defined }}",
      "\xc3\xa9l cba bc [] False" },
    { "{{ '\xc3\x9f \xc5\x89'.upper() }} {{ '\xce\x91\xce\xa3 \xce\xa3\xce\x91'.lower() }"
      "} {{ \"they're\".title() }} {{ \"they're bill's\" | title }}",
      "SS \xca\xbcN \xce\xb1\xcf\x82 \xcf\x83\xce\xb1 They'Re They're Bill's" },
    { "{{ {'items': 1}.items() | list }} {{ {'items': 1}['items'] }} {{ {'a': {'b': 2}}.a"
      ".b }} {{ {'a': 1}.get('z', 9) }}",
      "[('items', 1)] 1 2 9" },
    { "{{ [1, 'a', none, true, 1.5, (1,), {'k': 'v'}] }} {{ [\"it's\", 'nl\\n', '\\x00\\u"
      "200b'] }}",
      "[1, 'a', None, True, 1.5, (1,), {'k': 'v'}] [\"it's\", 'nl\\n', '\\x00\\u200b']" },
    { "{{ {'a': 1, 'b': [1, 2.0, none, true], 'c': '\xc3\xa9\"<'} | tojson }} {{ {'b': {}"
      ", 'a': [1, []]} | tojson(indent=2) }}",
      "{\"a\": 1, \"b\": [1, 2.0, null, true], \"c\": \"\xc3\xa9\\\"<\"} {\n  \"b\": {},"
      "\n  \"a\": [\n    1,\n    []\n  ]\n}" },
    { "{{ [3, 1, 2] | sort(reverse=true) }} {{ ['b', 'A'] | sort | join(',') }} {{ {'b': "
      "1, 'A': 2} | dictsort }}",
      "[3, 2, 1] A,b [('A', 2), ('b', 1)]" },
    { "{{ [1, 2, 3, 4] | select('even') | list }} {{ ['a', 'b'] | map('upper') | join }} "
      "{{ messages | map(attribute='role') | list }}",
      "[2, 4] AB ['user']" },
    { "{{ [1, 1, 2] | unique | list }} {{ [1, 2, 3, 4, 5] | batch(2, 'x') | list }} {{ [1"
      ", 2, 3] | slice(2) | list }} {{ [{'n': 2}, {'n': 1}] | groupby('n') }}",
      "[1, 2] [[1, 2], [3, 4], [5, 'x']] [[1, 2], [3]] [(1, [{'n': 1}]), (2, [{'n': 2}])]" },
    { "{{ '<&>' | e }} {{ ('<' | safe) + '<' }} {{ ('<' | safe) ~ '<' }} {{ ['x' | safe] "
      "}}",
      "&lt;&amp;&gt; <&lt; << [Markup('x')]" },
    { "{{ 'x' | int(5) }} {{ ' 42 ' | int }} {{ '0x1f' | int(0, 16) }} {{ '3.9' | int }} "
      "{{ 2.5 | round }} {{ 2.675 | round(2) }} {{ 1234 | round(-2) }}",
      "5 42 31 3 2.0 2.67 1200" },
    { "{{ '%05.1f|%-4s|%x|%s' % (3.14159, 'a', 255, none) }} {{ '{0:>5}|{x[a]}|{:,}' | st"
      "ring }} {{ '{:>5}|{:.2f}'.format('a', 1.5) }}",
      "003.1|a   |ff|None {0:>5}|{x[a]}|{:,}     a|1.50" },
    { "{{ 'a\\nb\\n\\nc' | indent(2) }} {{ 'hello big world' | truncate(9) }} {{ 'a b' | "
      "wordcount }} {{ 'x' | center(5) }}|",
      "a\n  b\n\n  c hello... 2   x  |" },
    { "{% for i in range(5) if i is odd %}{{ loop.index }}/{{ loop.length }}:{{ i }} {% e"
      "ndfor %}",
      "1/2:1 2/2:3 " },
    { "{% for i in [1, 2] %}{% for j in 'ab' %}{{ i }}{{ j }}{{ loop.last }}{% endfor %}{"
      "% endfor %}",
      "1aFalse1bTrue2aFalse2bTrue" },
    { "{% for i in [1, 2, 3] %}{% if i == 2 %}{% continue %}{% endif %}{{ i }}{% else %}e"
      "{% endfor %}",
      "13" },
    { "{% for i in [1] %}{% break %}{% else %}else{% endfor %}{% for i in [] %}{% else %}"
      "empty{% endfor %}",
      "elseempty" },
    { "{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}",
      "231" },
    { "{% set ns = namespace(n=0) %}{% for i in [1, 2] %}{% set ns.n = ns.n + i %}{% endf"
      "or %}{{ ns.n }} {{ ns }}",
      "3 <Namespace {'n': 3}>" },
    { "{% macro m(a, b=2) %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1) "
      "}}{{ m(1, 3, 4, z=5) }}{{ m.name }}{{ m.arguments }}",
      "12(){}13(4,){'z': 5}m('a', 'b')" },
    { "{% macro w() %}<{{ caller('x') }}>{% endmacro %}{% call(y) w() %}{{ y }}!{% endcal"
      "l %}",
      "<x!>" },
    { "{% for x in [1, [2, [3]]] recursive %}{{ loop(x) if x is iterable else x }}{{ loop"
      ".depth }}{% endfor %}",
      "11223321" },
    { "{% set b %} a {{ 1 }} {% endset %}[{{ b }}]{% set c | trim | upper %} q {% endset "
      "%}[{{ c }}]{% filter upper %}f{% endfilter %}",
      "[ a 1 ][Q]F" },
    { "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}{% set a, (b, c) "
      "= 1, (2, 3) %}{{ a }}{{ b }}{{ c }}",
      "3False123" },
    { "{%- if true %} a{% endif %}  {#- c -#}  b {{- ' c' -}}  d",
      " ab cd" },
    { "{% raw %}{{ x }}{% endraw %} {{ \"}}\" }} {{ {'a': {}} }}",
      "{{ x }} }} {'a': {}}" },
    { "{{ messages[0].role }} {{ messages[0]['content'] }} {{ messages[7] is defined }} {"
      "{ messages | length }}",
      "user hi False 1" },
    { "{% for i in 'ab' %}{{ q }}{% endfor %}{% set q = 1 %}{{ q }}",
      "1" },
    { "{{ strftime_now('%Y-%m-%d %H:%M:%S %a %A %b %B %j %-d %y %p %I %%') }}",
      "2025-07-04 09:08:07 Fri Friday Jul July 185 4 25 AM 09 %" },
    { "{{ range(3) }} {{ range(5, 0, -2) | list }} {{ range(10)[2:4] }} {{ dict(a=1) }} {"
      "{ dict([('k', 2)], b=3) }}",
      "range(0, 3) [5, 3, 1] range(2, 4) {'a': 1} {'k': 2, 'b': 3}" },
    { "{% set j = joiner(', ') %}{{ j() }}a{{ j() }}b {% set c = cycler(1, 2) %}{{ c.next"
      "() }}{{ c.next() }}{{ c.next() }}",
      "a, b 121" },
    { "{{ 'a' 'b' ~ 1 ~ none }} {{ [1] + [2] }} {{ (1,) + (2,) }} {{ 'ab' * 2 }} {{ [0] *"
      " 3 }}",
      "ab1None [1, 2] (1, 2) abab [0, 0, 0]" },
    { "{{ x is undefined or x.y is defined }} {{ 1 if x else 2 }} {{ [] is sequence }} {{"
      " {} is mapping }} {{ 'a' is string }} {{ true is integer }}",
      "True 2 True True True False" },
    { "{% generation %}g{% set inside = 1 %}{% endgeneration %}{{ inside is defined }}",
      "gFalse" },
    { "{{ 5 is divisibleby 5 and 4 is even }} {{ 3 is in [1, 3] }} {{ none is none }} {{ "
      "'AB' is upper }} {{ 1 is sameas true }}",
      "True True True True False" },
    { "{{ messages[0].items() | list | length }} {{ messages[0] | items | map('first') | "
      "list }} {{ {} | first is defined }}",
      "2 ['role', 'content'] False" },
    { "{{ [1, 2] | max }} {{ ['b', 'A'] | min }} {{ [1, 2] | sum }} {{ messages | sum(att"
      "ribute='n', start=1) if false else 0 }} {{ [] | max is defined }}",
      "2 A 3 0 False" },
    { "{{ 'k=v=w'.partition('=') }} {{ 'ab'.zfill(4) }} {{ '-5'.zfill(4) }} {{ 'a\\tb'.ex"
      "pandtabs(4) }} {{ 'x'.center(4, '*') }} {{ 'aXbX'.replace('X', '-', 1) }}",
      "('k', '=', 'v=w') 00ab -005 a   b *x** a-bX" },
    { "{{ 'hello'.find('l') }} {{ 'hello'.rfind('l') }} {{ 'hello'.count('l') }} {{ 'abc'"
      ".startswith(('x', 'a')) }} {{ 'a.b'.isalpha() }} {{ '\xc2\xb2'.isdigit() }}",
      "2 3 2 True False True" },
    { "{% set a = [1, 2] %}{{ a | map('string') | join('+') }} {{ a | reverse | list }} {"
      "{ a | last }} {{ 'abc' | reverse }} {{ 'abc' | list }}",
      "1+2 [2, 1] 2 cba ['a', 'b', 'c']" },
    { "{{ '{}' | max }} {{ 'c' > 'a' }} {{ ['a', 'd', 'b'] | sort }}",
      "} True ['a', 'b', 'd']" },
};
// clang-format on

static void silent(void *user, enum log_level level, const char *line)
{
    (void) user, (void) level, (void) line;
}

// Render `text` with one user message; *out and *error are appended.
static enum rt_err render_text(const char *text, const char *kwargs, struct str *out,
                               struct str *error)
{
    static const char USER[] = "[{\"role\":\"user\",\"content\":\"hi\"}]";
    struct txt_chat *chat = NULL;
    json_t *messages = NULL, *variables = NULL;
    enum rt_err err;

    assert_int_equal(fmt_jansson_parse(USER, strlen(USER), "messages", 1, &messages), RT_OK);
    if (kwargs)
        assert_int_equal(fmt_jansson_parse(kwargs, strlen(kwargs), "kwargs", 1, &variables), RT_OK);
    err = txt_chat_open_text(text, strlen(text), "test", &chat);
    if (err == RT_OK)
        err = txt_chat_render(
            chat, &(struct txt_chat_args){.messages = messages, .kwargs = variables, .now = NOW},
            out, error);
    txt_chat_close(&chat);
    json_decref(messages);
    json_decref(variables);
    return err;
}

static void language(void **state)
{
    (void) state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        struct str out = {0}, error = {0};
        if (render_text(ROWS[i].template, NULL, &out, &error) != RT_OK)
            fail_msg("%s: %s", ROWS[i].template, error.data ? error.data : "does not parse");
        assert_string_equal(out.data ? out.data : "", ROWS[i].want);
        str_free(&out);
        str_free(&error);
    }
}

// ---- faults -------------------------------------------------------------------------------------

static const struct {
    const char *template;
    enum rt_err err;
    const char *message; // part of it; NULL: the template does not even open
} FAULTS[] = {
    {"{{ 1 ", RT_E_FORMAT, NULL},
    {"{% if %}{% endif %}", RT_E_FORMAT, NULL},
    {"{% if true %}", RT_E_FORMAT, NULL},
    {"{% for x in y %}{% endif %}", RT_E_FORMAT, NULL},
    {"{% endfor %}", RT_E_FORMAT, NULL},
    {"{% frobnicate %}", RT_E_FORMAT, NULL},
    {"{{ 'open }}", RT_E_FORMAT, NULL},
    {"{{ '\\x4' }}", RT_E_FORMAT, NULL},
    {"{{ '\\ud800' }}", RT_E_FORMAT, NULL},
    {"{{ (1] }}", RT_E_FORMAT, NULL},
    {"{# open", RT_E_FORMAT, NULL},
    {"{% raw %} open", RT_E_FORMAT, NULL},
    {"{{ a ? b }}", RT_E_FORMAT, NULL},
    {"{% break %}", RT_E_FORMAT, NULL},
    {"{% set 1 = 2 %}", RT_E_FORMAT, NULL},
    {"{% for loop in [] %}{% endfor %}", RT_E_FORMAT, NULL},
    {"{% macro m(a=1, b) %}{% endmacro %}", RT_E_FORMAT, NULL},
    {"{{ f(a=1, 2) }}", RT_E_FORMAT, NULL},
    {"{% for x in [] %}{{ 1 | no_such_filter }}{% endfor %}", RT_E_FORMAT, NULL},
    {"{{ 1 is no_such_test }}", RT_E_FORMAT, NULL},
    {"\xff", RT_E_FORMAT, NULL},
    {"{% include 'x' %}", RT_E_UNSUPPORTED, NULL},
    {"{% if true %}{{ 1 | no_such_filter }}{% endif %}", RT_E_FORMAT, "No filter named"},
    {"\n\n{{ 1 / 0 }}", RT_E_FORMAT, "line 3: division by zero"},
    {"{{ 'a' + 1 }}", RT_E_FORMAT, "can only concatenate str (not \"int\") to str"},
    {"{{ x.y }}", RT_E_FORMAT, "'x' is undefined"},
    {"{{ messages[0].x.y }}", RT_E_FORMAT, "'dict object' has no attribute 'x'"},
    {"{{ messages[3].x }}", RT_E_FORMAT, "list object has no element 3"},
    {"{{ messages.append(1) }}", RT_E_FORMAT, "unsafe"},
    {"{{ messages.__class__.x }}", RT_E_FORMAT, "__class__"},
    {"{{ f() }}", RT_E_FORMAT, "'f' is undefined"},
    {"{{ 1() }}", RT_E_FORMAT, "not callable"},
    {"{{ none | length }}", RT_E_FORMAT, "len()"},
    {"{{ [1, 'a'] | sort }}", RT_E_FORMAT, "not supported between"},
    {"{{ {[]: 1} }}", RT_E_FORMAT, "unhashable"},
    {"{{ x | tojson }}", RT_E_FORMAT, "not JSON serializable"},
    {"{% for a, b in [1] %}{% endfor %}", RT_E_FORMAT, "not iterable"},
    {"{% set a, b = [1, 2, 3] %}", RT_E_FORMAT, "unpack"},
    {"{% set x.y = 1 %}", RT_E_FORMAT, "namespace"},
    {"{{ range(10)[0:1:0] }}", RT_E_FORMAT, "zero"},
    {"{{ range(1000000) }}", RT_E_FORMAT, "Range too big"},
    {"{{ '%d' % 'x' }}", RT_E_FORMAT, "number is required"},
    {"{{ '%s' % (1, 2) }}", RT_E_FORMAT, "not all arguments"},
    {"{% macro m() %}{% endmacro %}{{ m(1) }}", RT_E_FORMAT, "argument"},
    {"{{ ''.join([1]) }}", RT_E_FORMAT, "expected str"},
    {"{{ raise_exception('no \"x\" \xc3\xa9') }}", RT_E_FORMAT, "no \"x\" \xc3\xa9"},
    {"{{ 9223372036854775807 + 1 }}", RT_E_UNSUPPORTED, "64 bits"},
    {"{{ 2 ** 64 }}", RT_E_UNSUPPORTED, "64 bits"},
    {"{{ [1] | map('string') }}", RT_E_UNSUPPORTED, "generator"},
    {"{{ 1 | random }}", RT_E_UNSUPPORTED, "not implemented"},
    // limits
    {"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", RT_E_UNSUPPORTED, "nested more than"},
    {"{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", RT_E_UNSUPPORTED,
     "nested more than"},
    {"{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}", RT_E_UNSUPPORTED, "nested more than"},
    {"{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
     RT_E_UNSUPPORTED, "steps"},
    {"{{ 'x' * 1000000000 }}", RT_E_UNSUPPORTED, "bytes"},
    {"{{ [0] * 1000000000 }}", RT_E_UNSUPPORTED, "more than"},
    {"{% set ns = namespace(s='xxxxxxxx') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}"
     "{% endfor %}",
     RT_E_UNSUPPORTED, "bytes of memory"},
    {"{% set s = 'x' * 1000000 %}{% for i in range(99) %}{{ s }}{% endfor %}", RT_E_UNSUPPORTED,
     "bytes of memory"},
    {"{{ ('a' * 30000000).replace('a', 'bbb') }}", RT_E_UNSUPPORTED, "more than"},
    {"{{ ('a' * 9000000).find('a' * 4000000 + 'b') }}", RT_E_UNSUPPORTED, "steps"},
    {"{{ '%999999999d' % 1 }}", RT_E_UNSUPPORTED, "bytes"},
    {"{{ 'x'.center(999999999) }}", RT_E_UNSUPPORTED, "bytes"},
};

static void faults(void **state)
{
    (void) state;
    for (size_t i = 0; i < COUNT_OF(FAULTS); i++) {
        struct str out = {0}, error = {0};
        const enum rt_err err = render_text(FAULTS[i].template, NULL, &out, &error);
        if (err != FAULTS[i].err)
            fail_msg("%s: got %s: %s%s", FAULTS[i].template, rt_err_name(err),
                     error.data ? error.data : "", out.data ? out.data : "");
        if (!FAULTS[i].message && error.data)
            fail_msg("%s: opens", FAULTS[i].template);
        if (FAULTS[i].message && (!error.data || !strstr(error.data, FAULTS[i].message)))
            fail_msg("%s: the message is: %s", FAULTS[i].template,
                     error.data ? error.data : "none");
        assert_int_equal(out.len, 0);
        str_free(&out);
        str_free(&error);
    }
}

// Brackets, blocks and chains of operators far deeper than any template: refused, no crash.
static void deep_nesting(void **state)
{
    static const struct {
        const char *open, *middle, *close;
    } SHAPES[] = {
        {"{{ ", "(", " }}"},
        {"{{ ", "[", " }}"},
        {"{{ ", "{1:", " }}"},
        {"{{ ", "-", "1 }}"},
        {"{{ ", "not ", "1 }}"},
        {"{{ 1", "+1", " }}"},
        {"{{ 1", "|abs", " }}"},
        {"{{ x", ".x", " }}"},
        {"{{ x", "[0]", " }}"},
        {"{{ f", "()", " }}"},
        {"", "{% if 1 %}", ""},
        {"", "{% for x in y %}", ""},
        {"{{ 1 ", "if 1 else 1 ", "}}"},
        {"{{ 1 ", "is defined is defined ", "}}"},
    };
    (void) state;
    for (size_t i = 0; i < COUNT_OF(SHAPES); i++) {
        struct str text = {0}, out = {0};
        assert_int_equal(str_puts(&text, SHAPES[i].open), RT_OK);
        for (size_t k = 0; k < 5000; k++)
            assert_int_equal(str_puts(&text, SHAPES[i].middle), RT_OK);
        assert_int_equal(str_puts(&text, SHAPES[i].close), RT_OK);
        assert_int_not_equal(render_text(text.data, NULL, &out, NULL), RT_OK);
        str_free(&text);
        str_free(&out);
    }
}

// ---- variables ----------------------------------------------------------------------------------

static void renders(const char *template, const char *kwargs, const char *want)
{
    struct str out = {0};
    assert_int_equal(render_text(template, kwargs, &out, NULL), RT_OK);
    assert_string_equal(out.data ? out.data : "", want);
    str_free(&out);
}

static void variables(void **state)
{
    (void) state;
    renders(
        "{{ a }} {{ b }} {{ c }} {{ d | length }} {{ add_generation_prompt }} {{ tools is none }}",
        "{\"a\":1,\"b\":1.0,\"c\":{\"k\":[true,null]},\"d\":\"x\\u0000y\","
        "\"add_generation_prompt\":7,\"tools\":7}",
        "1 1.0 {'k': [True, None]} 3 False True");
    // A name that its block sets later is undefined in blocks inside, but not where an if may set
    // it.
    renders("{% for i in 'ab' %}{{ q }}{% endfor %}{% set q = 1 %}{{ q }}", "{\"q\":5}", "1");
    renders("{% for i in 'ab' %}{{ q }}{% endfor %}{% if q %}{% set q = 1 %}{% endif %}{{ q }}",
            "{\"q\":5}", "551");
    renders("{% set q = q + 1 %}{{ q }}", "{\"q\":5}", "6");
}

// Keys that are null go away; reasoning is known under its old names.
static void message_keys(void **state)
{
    static const char MESSAGES[] = "[{\"role\":\"a\",\"content\":null,\"reasoning\":\"r\",\"x\":1},"
                                   "{\"thinking\":\"t\",\"reasoning_content\":null,\"y\":[null]}]";
    static const char TEXT[] = "{% for m in messages %}{{ m }}{% endfor %}";
    struct txt_chat *chat;
    struct str out = {0};
    json_t *m = NULL;

    (void) state;
    assert_int_equal(fmt_jansson_parse(MESSAGES, strlen(MESSAGES), "messages", 1, &m), RT_OK);
    assert_int_equal(txt_chat_open_text(TEXT, strlen(TEXT), "test", &chat), RT_OK);
    assert_int_equal(txt_chat_render(chat, &(struct txt_chat_args){.messages = m}, &out, NULL),
                     RT_OK);
    assert_string_equal(
        out.data,
        "{'thinking': 'r', 'role': 'a', 'reasoning': 'r', 'x': 1, 'reasoning_content': 'r'}"
        "{'thinking': 't', 'y': [None], 'reasoning_content': 't'}");
    str_free(&out);
    txt_chat_close(&chat);
    json_decref(m);
}

static void nul_bytes(void **state)
{
    static const char TEXT[] = "a\0b{{ '\\x00' }}{{ messages[0].content }}";
    struct txt_chat *chat;
    struct str out = {0};
    json_t *m = json_pack("[{s:s,s:o}]", "role", "user", "content", json_stringn("\0x", 2));

    (void) state;
    assert_int_equal(txt_chat_open_text(TEXT, sizeof(TEXT) - 1, "test", &chat), RT_OK);
    assert_int_equal(txt_chat_render(chat, &(struct txt_chat_args){.messages = m}, &out, NULL),
                     RT_OK);
    assert_int_equal(out.len, 6);
    assert_memory_equal(out.data, "a\0b\0\0x", 6);
    str_free(&out);
    txt_chat_close(&chat);
    json_decref(m);
}

static void bad_arguments(void **state)
{
    static const struct {
        const char *messages, *tools, *documents, *kwargs;
        bool prompt, go_on;
        enum rt_err err;
    } BAD[] = {
        {"[]", NULL, NULL, NULL, false, false, RT_E_FORMAT},
        {"[1]", NULL, NULL, NULL, false, false, RT_E_FORMAT},
        {"{}", NULL, NULL, NULL, false, false, RT_E_FORMAT},
        {"[{}]", "[1]", NULL, NULL, false, false, RT_E_FORMAT},
        {"[{}]", NULL, "{}", NULL, false, false, RT_E_FORMAT},
        {"[{}]", NULL, NULL, "[]", false, false, RT_E_FORMAT},
        {"[{\"content\":\"x\"}]", NULL, NULL, NULL, true, true, RT_E_ARG},
        {"[{}]", NULL, NULL, NULL, false, true, RT_E_FORMAT},
        {"[{\"content\":null}]", NULL, NULL, NULL, false, true, RT_E_FORMAT},
        {"[{\"content\":1}]", NULL, NULL, NULL, false, true, RT_E_FORMAT},
        {"[{\"content\":[{}]}]", NULL, NULL, NULL, false, true, RT_E_FORMAT},
        {"[{\"content\":\"gone\"},{\"content\":\"y\"}]", NULL, NULL, NULL, false, true,
         RT_E_FORMAT},
    };
    static const char TEXT[] = "{{ messages[0].content }}";
    struct txt_chat *chat;

    (void) state;
    assert_int_equal(txt_chat_open_text(TEXT, strlen(TEXT), "test", &chat), RT_OK);
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        const char *const texts[] = {BAD[i].messages, BAD[i].tools, BAD[i].documents,
                                     BAD[i].kwargs};
        json_t *j[4] = {NULL};
        struct str out = {0}, error = {0};
        for (size_t k = 0; k < 4; k++)
            if (texts[k])
                assert_int_equal(fmt_jansson_parse(texts[k], strlen(texts[k]), "x", 1, &j[k]),
                                 RT_OK);
        assert_int_equal(
            txt_chat_render(chat,
                            &(struct txt_chat_args){.messages = j[0],
                                                    .tools = j[1],
                                                    .documents = j[2],
                                                    .kwargs = j[3],
                                                    .add_generation_prompt = BAD[i].prompt,
                                                    .continue_final_message = BAD[i].go_on},
                            &out, &error),
            BAD[i].err);
        assert_true(error.len > 0 && out.len == 0);
        for (size_t k = 0; k < 4; k++)
            json_decref(j[k]);
        str_free(&out);
        str_free(&error);
    }
    txt_chat_close(&chat);
}

// ---- folders ------------------------------------------------------------------------------------

static char *put_file(const char *dir, const char *name, const char *text)
{
    char *path;
    assert_int_equal(path_join(dir, name, &path), RT_OK);
    assert_int_equal(file_write(path, text, strlen(text)), RT_OK);
    return path;
}

static enum rt_err open_with(const char *config, struct txt_chat **chat)
{
    char dir[] = "/tmp/anydpo-chat-XXXXXX", *path;
    enum rt_err err;

    assert_non_null(mkdtemp(dir));
    path = put_file(dir, "tokenizer_config.json", config);
    err = txt_chat_open(dir, chat);
    remove(path);
    remove(dir);
    free(path);
    return err;
}

static void folders(void **state)
{
    struct txt_chat *chat;
    struct str out = {0};
    json_t *m = json_pack("[{s:s}]", "content", "x");
    size_t len;

    (void) state;
    assert_int_equal(txt_chat_open("/no/such/folder", &chat), RT_E_NOT_FOUND);
    assert_null(chat);
    assert_int_equal(open_with("[1]", &chat), RT_E_FORMAT);
    assert_int_equal(open_with("{\"chat_template\": 1}", &chat), RT_E_FORMAT);
    assert_int_equal(open_with("{\"chat_template\": [{\"name\": \"x\"}]}", &chat), RT_E_FORMAT);

    // No template, or a bad one: an error only when it is used.
    assert_int_equal(open_with("{}", &chat), RT_OK);
    assert_false(txt_chat_has_template(chat));
    assert_int_equal(txt_chat_render(chat, &(struct txt_chat_args){.messages = m}, &out, NULL),
                     RT_E_NOT_FOUND);
    txt_chat_close(&chat);
    assert_int_equal(open_with("{\"chat_template\": \"{% if %}\"}", &chat), RT_OK);
    assert_int_equal(txt_chat_render(chat, &(struct txt_chat_args){.messages = m}, &out, NULL),
                     RT_E_FORMAT);
    txt_chat_close(&chat);

    // Tokens as text, as objects and under other names; a number beyond 64 bits beside them.
    assert_int_equal(
        open_with("{\"chat_template\": \"{{ bos_token }}{{ img_token }}{{ eos_token }}\", "
                  "\"bos_token\": {\"content\": \"<b>\"}, \"eos_token\": null, "
                  "\"img_token\": \"<i>\", "
                  "\"model_max_length\": 1000000000000000019884624838656}",
                  &chat),
        RT_OK);
    assert_string_equal(txt_chat_token(chat, "bos_token", &len), "<b>");
    assert_int_equal(len, 3);
    assert_null(txt_chat_token(chat, "eos_token", &len));
    assert_int_equal(txt_chat_render(chat, &(struct txt_chat_args){.messages = m}, &out, NULL),
                     RT_OK);
    assert_string_equal(out.data, "<b><i>");
    txt_chat_close(&chat);
    str_free(&out);
    json_decref(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(language),      cmocka_unit_test(faults),
        cmocka_unit_test(deep_nesting),  cmocka_unit_test(variables),
        cmocka_unit_test(message_keys),  cmocka_unit_test(nul_bytes),
        cmocka_unit_test(bad_arguments), cmocka_unit_test(folders),
    };
    log_set_sink(silent, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
