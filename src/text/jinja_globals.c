// Global functions: range, dict, namespace, joiner, cycler, raise_exception, strftime_now.
#include "src/text/jinja_internal.h"

#include <stdio.h>
#include <string.h>

#define GLOBAL(name)                                                                               \
    static struct jv name(struct jc *c, struct jv self, const struct jv *arg,                      \
                          const struct jargs *raw)

enum { RANGE_MAX = 100000 }; // jinja2's sandbox

static int64_t range_arg(struct jc *c, struct jv v)
{
    if (jv_intlike(v))
        return jv_as_int(v);
    if (v.kind == JK_UNDEF)
        jv_fail_undef(c, v);
    jc_fail(c, RT_E_FORMAT, "'%s' object cannot be interpreted as an integer", jv_type(v));
    return 0;
}

GLOBAL(g_range)
{
    struct jrange *r = jc_alloc(c, sizeof(*r));
    uint64_t span = 0;

    (void) self, (void) raw;
    if (!r)
        return jv_none();
    r->start = jv_given(arg[1]) ? range_arg(c, arg[0]) : 0;
    r->stop = range_arg(c, jv_given(arg[1]) ? arg[1] : arg[0]);
    r->step = jv_given(arg[2]) ? range_arg(c, arg[2]) : 1;
    if (r->step == 0)
        jc_fail(c, RT_E_FORMAT, "range() arg 3 must not be zero");
    if (c->err != RT_OK)
        return jv_none();
    if (r->step > 0 && r->stop > r->start)
        span = ((uint64_t) r->stop - (uint64_t) r->start - 1) / (uint64_t) r->step + 1;
    else if (r->step < 0 && r->start > r->stop)
        span = ((uint64_t) r->start - (uint64_t) r->stop - 1) / (0 - (uint64_t) r->step) + 1;
    if (span > RANGE_MAX)
        jc_fail(c, RT_E_FORMAT, "Range too big. The sandbox blocks ranges larger than %d.",
                RANGE_MAX);
    r->n = (int64_t) span;
    return (struct jv){.kind = JK_RANGE, .u.range = r};
}

// dict(mapping or pairs, key=value, ...)
static struct jdict *make_dict(struct jc *c, const struct jargs *a)
{
    struct jdict *d = jdict_new(c, 0);
    struct jcursor k;

    if (a->npos > 1)
        jc_fail(c, RT_E_FORMAT, "dict expected at most 1 argument, got %zu", a->npos);
    if (a->npos && (a->pos[0].kind == JK_DICT || a->pos[0].kind == JK_NS)) {
        const struct jdict *from = a->pos[0].u.dict;
        for (size_t i = 0; i < from->n && jc_step(c, 1); i++)
            jdict_set(c, d, from->e[i].key, from->e[i].val);
    } else if (a->npos && jcursor_open(c, a->pos[0], &k)) {
        while (k.n > 0 && jc_step(c, 1)) {
            const struct jseq *pair = jv_to_seq(c, jcursor_next(c, &k));
            if (c->err == RT_OK && pair->n != 2)
                jc_fail(c, RT_E_FORMAT, "dict() needs pairs");
            if (c->err == RT_OK)
                jdict_set(c, d, pair->v[0], pair->v[1]);
        }
    }
    for (size_t i = 0; i < a->nkw; i++)
        jdict_set(c, d, jv_str(a->kw[i].name), a->kw[i].val);
    return d;
}

GLOBAL(g_dict)
{
    (void) self, (void) arg;
    return jv_dict(make_dict(c, raw));
}

GLOBAL(g_namespace)
{
    struct jdict *d = make_dict(c, raw);

    (void) self, (void) arg;
    for (size_t i = 0; i < d->n && c->err == RT_OK; i++)
        if (d->e[i].key.kind == JK_STR && d->e[i].key.u.s->len && d->e[i].key.u.s->p[0] == '_')
            jc_fail(c, RT_E_FORMAT, "cannot store underscore-prefixed attributes on a namespace");
    return (struct jv){.kind = JK_NS, .u.dict = d};
}

GLOBAL(g_joiner)
{
    struct jcycle *j = jc_alloc(c, sizeof(*j));
    (void) self, (void) raw;
    if (j)
        j->sep = jv_given(arg[0]) ? arg[0] : jv_str(jstr_share(c, ", ", 2));
    return j ? (struct jv){.kind = JK_JOINER, .u.cycle = j} : jv_none();
}

GLOBAL(g_cycler)
{
    struct jcycle *y = jc_alloc(c, sizeof(*y));
    (void) self, (void) arg;
    if (!y)
        return jv_none();
    if (raw->npos == 0 || raw->nkw)
        jc_fail(c, RT_E_FORMAT, "at least one item has to be provided");
    y->items = jseq_new(c, raw->npos);
    for (size_t i = 0; i < raw->npos; i++)
        jseq_push(c, y->items, raw->pos[i]);
    return (struct jv){.kind = JK_CYCLER, .u.cycle = y};
}

GLOBAL(g_raise_exception)
{
    const struct jstr *text = jv_to_str(c, arg[0]);
    (void) self, (void) raw;
    jc_fail_str(c, text);
    return jv_none();
}

// ---- the clock ----------------------------------------------------------------------------------

struct date {
    int64_t year;
    int month, day, hour, minute, second; // month and day from 1
    int wday, yday;                       // from Sunday = 0 and January 1 = 0
};

// Howard Hinnant's days-from-civil, backwards: eras of 400 years from March 1 on.
static struct date date_of(int64_t now)
{
    static const int BEFORE[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    const int64_t limit = 253402300799, t = now < 0 ? 0 : now > limit ? limit : now; // to 9999
    const int64_t z = t / 86400 + 719468, era = z / 146097;
    const int64_t doe = z % 146097;
    const int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    const int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    struct date d = {.hour = (int) (t % 86400 / 3600)};
    bool leap;

    d.minute = (int) (t % 3600 / 60);
    d.second = (int) (t % 60);
    d.day = (int) (doy - (153 * mp + 2) / 5 + 1);
    d.month = (int) (mp < 10 ? mp + 3 : mp - 9);
    d.year = yoe + era * 400 + (d.month <= 2);
    d.wday = (int) ((t / 86400 + 4) % 7);
    leap = (d.year % 4 == 0 && d.year % 100 != 0) || d.year % 400 == 0;
    d.yday = BEFORE[d.month - 1] + d.day - 1 + (leap && d.month > 2);
    return d;
}

static const char *const DAYS[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                   "Thursday", "Friday", "Saturday"};
static const char *const MONTHS[] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};

// ISO 8601 week and the year that it belongs to.
static int iso_week(const struct date *d, int64_t *year)
{
    const int wday = (d->wday + 6) % 7; // from Monday
    int week = (d->yday - wday + 10) / 7;
    const int64_t y = d->year, p = (y + y / 4 - y / 100 + y / 400) % 7;
    const int64_t q = (y - 1 + (y - 1) / 4 - (y - 1) / 100 + (y - 1) / 400) % 7;
    const int64_t r = (y - 2 + (y - 2) / 4 - (y - 2) / 100 + (y - 2) / 400) % 7;

    *year = y;
    if (week < 1) {
        *year = y - 1;
        week = q == 4 || r == 3 ? 53 : 52;
    } else if (week == 53 && p != 4 && q != 3) {
        *year = y + 1;
        week = 1;
    }
    return week;
}

static void number(struct jc *c, struct str *out, int64_t v, int width, char pad, char flag)
{
    char buf[32];
    if (flag == '-')
        snprintf(buf, sizeof(buf), "%lld", (long long) v);
    else if (flag == '_' || (pad == ' ' && flag != '0'))
        snprintf(buf, sizeof(buf), "%*lld", width, (long long) v);
    else
        snprintf(buf, sizeof(buf), "%0*lld", width, (long long) v);
    jsb(c, out, buf, strlen(buf));
}

static void word(struct jc *c, struct str *out, const char *text, size_t n, char flag)
{
    for (size_t i = 0; i < n && text[i]; i++) {
        const char ch = text[i];
        const bool up = flag == '^' && ch >= 'a' && ch <= 'z';
        jsb(c, out, &(char){(char) (up ? ch - 32 : ch)}, 1);
    }
}

static void format_date(struct jc *c, struct str *out, const struct date *d, const char *fmt,
                        size_t n);

// Directives that are numbers; false: not one of them.
static bool numeric_directive(struct jc *c, struct str *out, const struct date *d, char ch,
                              char flag)
{
    int64_t iso_year;
    const int week = iso_week(d, &iso_year), hour12 = d->hour % 12 ? d->hour % 12 : 12;
    const struct {
        char ch, pad;
        int width;
        int64_t v;
    } NUM[] = {
        {'d', '0', 2, d->day},
        {'e', ' ', 2, d->day},
        {'H', '0', 2, d->hour},
        {'k', ' ', 2, d->hour},
        {'I', '0', 2, hour12},
        {'l', ' ', 2, hour12},
        {'m', '0', 2, d->month},
        {'M', '0', 2, d->minute},
        {'S', '0', 2, d->second},
        {'j', '0', 3, d->yday + 1},
        {'Y', '0', 1, d->year},
        {'y', '0', 2, d->year % 100},
        {'C', '0', 2, d->year / 100},
        {'w', '0', 1, d->wday},
        {'u', '0', 1, d->wday ? d->wday : 7},
        {'U', '0', 2, (d->yday + 7 - d->wday) / 7},
        {'W', '0', 2, (d->yday + 7 - (d->wday + 6) % 7) / 7},
        {'V', '0', 2, week},
        {'G', '0', 1, iso_year},
        {'g', '0', 2, iso_year % 100},
        {'f', '0', 6, 0},
        {'s', '0', 1, c->now},
    };
    for (size_t i = 0; i < COUNT_OF(NUM); i++) {
        if (NUM[i].ch == ch) {
            number(c, out, NUM[i].v, NUM[i].width, NUM[i].pad, flag);
            return true;
        }
    }
    return false;
}

static bool directive(struct jc *c, struct str *out, const struct date *d, char ch, char flag)
{
    static const struct {
        char ch;
        const char *fmt;
    } LONG[] = {
        {'c', "%a %b %e %H:%M:%S %Y"},
        {'D', "%m/%d/%y"},
        {'x', "%m/%d/%y"},
        {'F', "%Y-%m-%d"},
        {'R', "%H:%M"},
        {'T', "%H:%M:%S"},
        {'X', "%H:%M:%S"},
        {'r', "%I:%M:%S %p"},
    };
    if (numeric_directive(c, out, d, ch, flag))
        return true;
    for (size_t i = 0; i < COUNT_OF(LONG); i++) {
        if (LONG[i].ch == ch) {
            format_date(c, out, d, LONG[i].fmt, strlen(LONG[i].fmt));
            return true;
        }
    }
    if (ch == 'A' || ch == 'a')
        word(c, out, DAYS[d->wday], ch == 'a' ? 3 : 9, flag);
    else if (ch == 'B' || ch == 'b' || ch == 'h')
        word(c, out, MONTHS[d->month - 1], ch == 'B' ? 9 : 3, flag);
    else if (ch == 'p' || ch == 'P')
        word(c, out,
             ch == 'p'      ? (d->hour < 12 ? "AM" : "PM")
             : d->hour < 12 ? "am"
                            : "pm",
             2, flag);
    else if (ch == 'n' || ch == 't' || ch == '%')
        jsb(c, out, ch == 'n' ? "\n" : ch == 't' ? "\t" : "%", 1);
    else // %z and %Z are empty: the clock has no zone
        return ch == 'z' || ch == 'Z';
    return true;
}

static void format_date(struct jc *c, struct str *out, const struct date *d, const char *fmt,
                        size_t n)
{
    for (size_t i = 0; i < n && c->err == RT_OK; i++) {
        size_t k = i + 1;
        char flag = 0;
        if (fmt[i] != '%') {
            jsb(c, out, &fmt[i], 1);
            continue;
        }
        if (k < n && fmt[k] && strchr("-_0^#", fmt[k]))
            flag = fmt[k++];
        if (k < n && directive(c, out, d, fmt[k], flag))
            i = k;
        else // unknown: printed as it is
            jsb(c, out, "%", 1);
    }
}

GLOBAL(g_strftime_now)
{
    const struct jstr *fmt = jarg_str(c, arg[0], "", "format");
    const struct date d = date_of(c->now);
    struct str out = {0};

    (void) self, (void) raw;
    format_date(c, &out, &d, fmt->p, fmt->len);
    return jv_str(jstr_take(c, &out));
}

GLOBAL(g_unsupported)
{
    (void) self, (void) arg, (void) raw;
    jc_fail(c, RT_E_UNSUPPORTED, "the function lipsum is not implemented");
    return jv_none();
}

const struct jnative *jglobal_find(const struct jstr *name)
{
    static const struct jnative GLOBALS[] = {
        {"range", g_range, "/start,stop,step", 1},
        {"dict", g_dict, NULL, 0},
        {"namespace", g_namespace, NULL, 0},
        {"joiner", g_joiner, "sep", 0},
        {"cycler", g_cycler, NULL, 0},
        {"raise_exception", g_raise_exception, "message", 1},
        {"strftime_now", g_strftime_now, "format", 1},
        {"lipsum", g_unsupported, NULL, 0},
    };
    for (size_t i = 0; i < COUNT_OF(GLOBALS); i++)
        if (jstr_is(name, GLOBALS[i].name))
            return &GLOBALS[i];
    return NULL;
}
