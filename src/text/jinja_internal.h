// src/text/jinja_internal.h -- values, syntax tree and context of the template interpreter.
//
// Errors here are sticky, not returned: the first jc_fail() is kept in the context and every later
// call does nothing harmful, so that an expression evaluator can be written as nested calls. Loops
// test c->err. The public functions (jinja.h) turn it into an enum rt_err. Memory comes from the
// context's arena and is freed at once when the rendering (or the template) goes.
#ifndef TEXT_JINJA_INTERNAL_H
#define TEXT_JINJA_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "src/base/arith.h"
#include "src/base/err.h"
#include "src/base/str.h"
#include "src/text/jinja.h"

// ---- values -------------------------------------------------------------------------------------

enum jkind {
    JK_MISSING, // no value at all: an argument that was not given; never seen by a template
    JK_UNDEF,   // jinja2's Undefined
    JK_NONE,
    JK_BOOL,
    JK_INT,
    JK_FLOAT,
    JK_BIG, // an integer beyond 64 bits, as its decimal digits; can only be printed
    JK_STR,
    JK_LIST,
    JK_TUPLE,
    JK_VIEW, // dict.keys(), .values(), .items(): a length, no subscript
    JK_ITER, // what generators are in Python: can be walked once
    JK_DICT,
    JK_RANGE,
    JK_NS,     // namespace(): the only thing that a template can change
    JK_LOOP,   // `loop`
    JK_MACRO,  // a macro or a caller
    JK_FUNC,   // a global function
    JK_METHOD, // a method bound to its object
    JK_CYCLER,
    JK_JOINER,
    JK_COUNT
};

// Immutable. The bytes are UTF-8, may hold U+0000, and may be shared with other strings.
struct jstr {
    const char *p;
    size_t len; // bytes
    size_t cps; // code points; equal to len: all ASCII
    bool safe;  // a Markup: what is added to it gets escaped
};

struct jv {
    enum jkind kind;
    union {
        bool b;
        int64_t i;
        double f;
        const struct jstr *s;         // STR, BIG
        const struct jundef *undef;   // UNDEF; may be NULL
        struct jseq *seq;             // LIST, TUPLE, VIEW, ITER
        struct jdict *dict;           // DICT, NS
        const struct jrange *range;   // RANGE
        struct jloop *loop;           // LOOP
        const struct jmacro *macro;   // MACRO
        const struct jnative *native; // FUNC
        const struct jmethod *method; // METHOD
        struct jcycle *cycle;         // CYCLER, JOINER
    } u;
};

struct jseq {
    struct jv *v;
    size_t n, cap;
    size_t pos;       // ITER: items already taken
    const char *view; // VIEW: Python's name of it, "dict_keys"
    bool group;       // TUPLE: one of groupby's, with .grouper and .list
};

struct jentry {
    struct jv key, val;
    uint64_t hash;
};

// Keys in order of insertion. `index` (open addressing, entry number + 1) exists above 8 entries.
struct jdict {
    struct jentry *e;
    size_t n, cap;
    uint32_t *index;
    size_t index_cap; // a power of two
};

struct jrange {
    int64_t start, stop, step, n;
};

// Why something is undefined; the text is made only when it is asked for.
struct jundef {
    const char *hint;  // the whole message, or NULL
    const char *owner; // type of the object that lacks `name`; NULL: `name` is a variable
    struct jv name;
    bool unsafe; // the sandbox hides it
};

struct jcycle {
    struct jseq *items; // CYCLER
    struct jv sep;      // JOINER
    size_t pos;
};

struct jmethod {
    struct jv self;
    const struct jnative *def;
};

struct jmacro {
    const struct jn *node; // N_MACRO, or the N_CALLBLOCK whose body it is
    struct jscope *closure;
};

// State of a running for loop.
struct jloop {
    const struct jn *node;
    struct jscope *scope; // around the loop
    struct jv prev, cur, next, changed;
    int64_t index0, n;
    unsigned depth0;
};

// Arguments of a call as the template wrote them.
struct jkw {
    const struct jstr *name;
    struct jv val;
};
struct jargs {
    const struct jv *pos;
    const struct jkw *kw;
    size_t npos, nkw;
};

// A function, method, filter or test written in C. `self` is the filtered or tested value, or the
// method's object. With a signature (parameter names, comma separated; a leading '/' forbids
// keywords) `arg` has one value a parameter, JK_MISSING where none was given; without (NULL) `arg`
// is NULL and the function reads `raw`.
enum { JARG_MAX = 6 };
typedef struct jv jnative_fn(struct jc *c, struct jv self, const struct jv *arg,
                             const struct jargs *raw);
struct jnative {
    const char *name;
    jnative_fn *fn;
    const char *sig;
    unsigned required;
};

// ---- syntax tree --------------------------------------------------------------------------------

// What a, b, c, d, list, val mean for each kind of node.
enum jnode {
    // expressions
    N_CONST,   // val
    N_NAME,    // sym; val: the name
    N_LIST,    // list: items
    N_TUPLE,   // list: items
    N_DICT,    // list: key, value, key, value ...
    N_NEG,     // a
    N_POS,     // a
    N_NOT,     // a
    N_AND,     // a, b
    N_OR,      // a, b
    N_BINARY,  // a op b
    N_CONCAT,  // list: operands of ~
    N_COMPARE, // list: operands; ops: between them
    N_COND,    // b if a else c; c may be NULL
    N_ATTR,    // a.val
    N_ITEM,    // a[b]
    N_SLICE,   // a[b:c:d]; b, c, d may be NULL
    N_CALL,    // a(args)
    N_FILTER,  // a | native(args); a NULL: of a block; val: the name; native NULL: unknown
    N_TEST,    // a is native(args); likewise
    N_NSREF,   // sym.val, as the target of a set
    // statements
    N_BODY,        // list: statements
    N_TEXT,        // val
    N_PRINT,       // a
    N_IF,          // list: test, body, test, body ..., and the else body if n is odd
    N_FOR,         // a: target, b: iterable, c: test or NULL, list[0]: body, list[1]: else or NULL;
                   // flag: recursive
    N_SET,         // a: target, b: value
    N_SETBLOCK,    // a: target, b: filter or NULL, c: body
    N_MACRO,       // sym; val: name; params; b: body
    N_CALLBLOCK,   // a: the N_CALL; params; b: body
    N_FILTERBLOCK, // a: filter, b: body
    N_WITH,        // list: target, value, ...; b: body
    N_SCOPE,       // b: body in a scope of its own ({% generation %})
    N_BREAK,
    N_CONTINUE,
};

enum jop {
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_FLOORDIV,
    OP_MOD,
    OP_POW,
    OP_EQ,
    OP_NE,
    OP_LT,
    OP_LE,
    OP_GT,
    OP_GE,
    OP_IN,
    OP_NOTIN,
};

// Arguments of a call in the tree.
struct jcall {
    struct jn **pos;
    struct jn **kwval;
    const struct jstr **kwname;
    size_t npos, nkw;
    struct jn *star, *starstar; // *a and **b, or NULL
};

// Parameters of a macro. Those from n - ndefaults on have a default.
struct jparams {
    uint32_t *sym;
    const struct jstr **name;
    struct jn **defaults;
    size_t n, ndefaults;
    bool varargs, kwargs, caller; // the body reads these names
    bool has_caller;              // a parameter has that name
};

struct jn {
    enum jnode kind;
    enum jop op;
    bool flag;
    uint32_t line, height; // height: of the tree below, bounded by the parser
    uint32_t sym;
    struct jn *a, *b, *c, *d;
    struct jn **list;
    size_t n;
    enum jop *ops;
    struct jv val;
    const struct jnative *native;
    const struct jcall *args;
    const struct jparams *params;
    uint32_t *unset; // N_BODY: symbols that are undefined at its start
    size_t nunset;
};

// ---- tokens -------------------------------------------------------------------------------------

enum jtok {
    T_EOF,
    T_DATA,
    T_BLOCK_BEGIN,
    T_BLOCK_END,
    T_VAR_BEGIN,
    T_VAR_END,
    T_NAME,
    T_STRING,
    T_INT,
    T_FLOAT,
    T_ADD,
    T_SUB,
    T_DIV,
    T_FLOORDIV,
    T_MUL,
    T_MOD,
    T_POW,
    T_TILDE,
    T_LBRACKET,
    T_RBRACKET,
    T_LPAREN,
    T_RPAREN,
    T_LBRACE,
    T_RBRACE,
    T_EQ,
    T_NE,
    T_GT,
    T_GE,
    T_LT,
    T_LE,
    T_ASSIGN,
    T_DOT,
    T_COLON,
    T_PIPE,
    T_COMMA,
    T_SEMICOLON,
};

struct jtoken {
    enum jtok type;
    uint32_t line;
    struct jv val; // DATA, NAME, STRING: a string; INT, FLOAT: the number
};

// ---- context ------------------------------------------------------------------------------------

struct jchunk {
    struct jchunk *next;
    size_t size, used;
    _Alignas(16) char data[];
};

// Variables of one block. Symbols are few, so a list is searched.
struct jbind {
    uint32_t sym;
    struct jv val;
};
struct jscope {
    struct jscope *up; // NULL: the globals of the context
    struct jbind *b;
    unsigned n, cap;
    bool captured; // a macro holds it: it must not be reused
};

struct jc {
    const struct txt_jinja *t;     // NULL while parsing
    struct jchunk *values, *bytes; // two arenas: strings grow in place at the top of the second
    size_t mem, mem_limit;
    uint64_t steps, step_limit;
    unsigned depth, macro_depth;
    uint32_t line; // of what is being parsed or evaluated
    enum rt_err err;
    bool raised; // by raise_exception
    struct str *reason;
    struct str out;     // what was rendered; captures are cut off its end
    struct jv *globals; // by symbol; JK_MISSING: undefined
    struct jdict *vars;
    int64_t now;
    struct jseq dead_seq; // what constructors return after an error
    struct jdict dead_dict;
};

enum { JSYM_LOOP, JSYM_CALLER, JSYM_VARARGS, JSYM_KWARGS, JSYM_FIXED };

struct txt_jinja {
    struct jchunk *values, *bytes;
    struct jn *root;
    const struct jstr **sym; // the names that symbols stand for
    size_t nsym;
};

// jinja_mem.c: the context, its arena, strings, sequences, dicts
void jc_fail(struct jc *c, enum rt_err err, const char *fmt, ...) RT_PRINTF(3, 4);
void jc_fail_str(struct jc *c, const struct jstr *text); // raise_exception
bool jc_step(struct jc *c, size_t n);                    // false: over the limit
bool jc_enter(struct jc *c);                             // false: too deep; then no leave
void jc_leave(struct jc *c);
void *jc_alloc(struct jc *c, size_t n); // zeroed; NULL after an error
void *jc_alloc_array(struct jc *c, size_t n, size_t size);
void jc_free(struct jc *c);
void jchunk_free(struct jchunk *list);
void jc_set_var(struct jc *c, const char *name, struct jv v);

extern const struct jstr JSTR_EMPTY;
const struct jstr *jstr_share(struct jc *c, const char *p, size_t len); // points at p: p must last
const struct jstr *jstr_copy(struct jc *c, const char *p, size_t len);
const struct jstr *jstr_concat(struct jc *c, const struct jstr *a, const struct jstr *b);
const struct jstr *jstr_take(struct jc *c, struct str *s); // copies, then frees s
const struct jstr *jstr_safe(struct jc *c, const struct jstr *s, bool safe);
bool jstr_is(const struct jstr *s, const char *text);
struct jseq *jseq_new(struct jc *c, size_t cap);
void jseq_push(struct jc *c, struct jseq *s, struct jv v);
struct jdict *jdict_new(struct jc *c, size_t cap);
void jdict_set(struct jc *c, struct jdict *d, struct jv key, struct jv val);
const struct jv *jdict_get(struct jc *c, const struct jdict *d, struct jv key); // NULL: not there
const struct jv *jdict_get_text(struct jc *c, const struct jdict *d, const char *key);
bool jsb(struct jc *c, struct str *s, const char *p, size_t n); // append, counted as memory

// jinja_value.c
struct jv jv_undef(struct jc *c, const char *owner, struct jv name);
struct jv jv_undef_hint(struct jc *c, const char *hint);
struct jv jv_undef_unsafe(struct jc *c, const char *owner, struct jv name);
void jv_fail_undef(struct jc *c, struct jv v); // the error of using it
const char *jv_type(struct jv v);              // Python's name of the type
bool jv_truth(struct jv v);
int64_t jv_len(struct jv v); // -1: has none
uint64_t jv_hash(struct jc *c, struct jv v);
bool jv_eq(struct jc *c, struct jv a, struct jv b);
int jv_cmp(struct jc *c, struct jv a, struct jv b, const char *op); // <0, 0, >0; 2: unordered (NaN)
bool jv_contains(struct jc *c, struct jv seq, struct jv item);
struct jv jv_from_json(struct jc *c, const json_t *j);

// Walks any iterable; `n` is what is left.
struct jcursor {
    struct jv src;
    size_t i, byte, n;
};
bool jcursor_open(struct jc *c, struct jv v, struct jcursor *out); // false: failed, not iterable
struct jv jcursor_next(struct jc *c, struct jcursor *k);           // n must be > 0
struct jseq *jv_to_seq(struct jc *c, struct jv v);                 // a fresh copy of its items

static inline struct jv jv_none(void)
{
    return (struct jv){.kind = JK_NONE};
}
static inline struct jv jv_bool(bool b)
{
    return (struct jv){.kind = JK_BOOL, .u.b = b};
}
static inline struct jv jv_int(int64_t i)
{
    return (struct jv){.kind = JK_INT, .u.i = i};
}
static inline struct jv jv_float(double f)
{
    return (struct jv){.kind = JK_FLOAT, .u.f = f};
}
static inline struct jv jv_str(const struct jstr *s)
{
    return (struct jv){.kind = JK_STR, .u.s = s};
}
static inline struct jv jv_seq(enum jkind k, struct jseq *s)
{
    return (struct jv){.kind = k, .u.seq = s};
}
static inline struct jv jv_dict(struct jdict *d)
{
    return (struct jv){.kind = JK_DICT, .u.dict = d};
}
static inline struct jv jv_missing(void)
{
    return (struct jv){.kind = JK_MISSING};
}
static inline bool jv_given(struct jv v)
{
    return v.kind != JK_MISSING;
}
static inline bool jv_intlike(struct jv v)
{
    return v.kind == JK_INT || v.kind == JK_BOOL;
}
static inline int64_t jv_as_int(struct jv v)
{
    return v.kind == JK_BOOL ? v.u.b : v.u.i;
}
static inline bool jv_number(struct jv v)
{
    return jv_intlike(v) || v.kind == JK_FLOAT;
}
static inline double jv_as_float(struct jv v)
{
    return v.kind == JK_FLOAT ? v.u.f : (double) jv_as_int(v);
}
static inline bool jv_has_items(struct jv v)
{
    return v.kind >= JK_LIST && v.kind <= JK_ITER;
}

// jinja_print.c
void jv_print(struct jc *c, struct str *s, struct jv v); // str(v), appended
void jv_repr(struct jc *c, struct str *s, struct jv v);  // repr(v), appended
const struct jstr *jv_to_str(struct jc *c, struct jv v); // str(v), but a string as it is
void jfloat_repr(char buf[40], double f);
struct jv jf_tojson(struct jc *c, struct jv self, const struct jv *arg, const struct jargs *raw);

// jinja_unicode.c
uint32_t jcp_at(const char *p, size_t *len); // code point of valid UTF-8 and its length
size_t jcp_put(char buf[4], uint32_t cp);
bool jcp_valid(const char *p, size_t n); // is this UTF-8?
bool jcp_space(uint32_t cp);
bool jcp_printable(uint32_t cp);
bool jcp_alpha(uint32_t cp);
bool jcp_digit(uint32_t cp); // isdigit
bool jcp_decimal(uint32_t cp);
bool jcp_numeric(uint32_t cp);
bool jcp_lower(uint32_t cp);
bool jcp_upper(uint32_t cp);
bool jcp_word_start(uint32_t cp); // may begin an identifier
bool jcp_word(uint32_t cp);       // may continue one
enum jcase { JCASE_LOWER, JCASE_UPPER, JCASE_TITLE, JCASE_CAPITALIZE, JCASE_SWAP };
const struct jstr *jstr_case(struct jc *c, const struct jstr *s, enum jcase how);

// jinja_lex.c, jinja_parse.c, jinja_stmt.c
struct jparser {
    struct jc *c;
    struct jtoken *tok;
    size_t n, pos, cap;
    unsigned loops; // for loops that a break could leave
    struct jmacro_use {
        struct jmacro_use *up;
        bool varargs, kwargs, caller;
    } * macros;        // the macros being parsed
    struct jdict *sym; // name -> number of the symbol
    struct jn dead;    // what parsing returns after an error
};
struct jlist { // nodes being collected
    struct jn **v;
    size_t n, cap;
};
void jlex(struct jparser *p, const char *text, size_t len);
uint32_t jparse_sym(struct jparser *p, const struct jstr *name);
struct jn *jparse_node(struct jparser *p, enum jnode kind, uint32_t line);
struct jn *jparse_link(struct jparser *p, struct jn *n); // set the height; bounds it
struct jn *jparse_pair(struct jparser *p, enum jnode kind, uint32_t line, struct jn *a,
                       struct jn *b);
struct jn *jparse_listed(struct jparser *p, enum jnode kind, uint32_t line, const struct jlist *l);
struct jn *jparse_call(struct jparser *p, struct jn *f);
struct jn *jparse_test(struct jparser *p, struct jn *value);
struct jn *jparse_expr(struct jparser *p);
struct jn *jparse_tuple(struct jparser *p, bool cond, bool parens, const char *end);
struct jn *jparse_postfix(struct jparser *p, struct jn *n);
struct jn *jparse_flat_tuple(struct jparser *p, const char *end); // targets: names, (a, b), ns.x
bool jparse_enter(struct jparser *p);
struct jn *jparse_primary(struct jparser *p, bool nsref);
struct jn *jparse_filters(struct jparser *p, struct jn *value, bool inline_first);
void jparse_template(struct jparser *p, struct jn **root);
void jcheck_names(struct jc *c, const struct jn *n, bool soft); // jinja_check.c: unknown filters
void jscope_analyze(struct jc *c, struct jn *root);             // jinja_scope.c
uint32_t jtok_line(const struct jparser *p);
bool jtok_is(const struct jparser *p, enum jtok type);
bool jtok_name(const struct jparser *p, const char *name); // is the current token this name?
bool jtok_skip(struct jparser *p, enum jtok type);
bool jtok_skip_name(struct jparser *p, const char *name);
const struct jtoken *jtok_expect(struct jparser *p, enum jtok type);
const struct jtoken *jtok_next(struct jparser *p);
const char *jtok_describe(const struct jtoken *t, char buf[64]);
void jlist_push(struct jc *c, struct jlist *l, struct jn *n);

// jinja_ops.c
struct jv jop_binary(struct jc *c, enum jop op, struct jv a, struct jv b);
struct jv jop_negate(struct jc *c, struct jv v, bool minus);
bool jop_compare(struct jc *c, enum jop op, struct jv a, struct jv b);
struct jv jop_item(struct jc *c, struct jv obj, struct jv key);
struct jv jop_attr(struct jc *c, struct jv obj, const struct jstr *name);
struct jv jop_slice(struct jc *c, struct jv obj, struct jv start, struct jv stop, struct jv step);
const struct jstr *jstr_slice(struct jc *c, const struct jstr *s, size_t from,
                              size_t to); // code points
const struct jstr *jstr_repeat(struct jc *c, const struct jstr *s, int64_t n);

// jinja_eval.c, jinja_exec.c
enum jflow { FLOW_NEXT, FLOW_BREAK, FLOW_CONTINUE };
struct jv jeval(struct jc *c, struct jscope *s, const struct jn *n);
void jeval_args(struct jc *c, struct jscope *s, const struct jcall *call, struct jargs *out);
struct jv jcall_value(struct jc *c, struct jv f, const struct jargs *a);
struct jv jcall_native(struct jc *c, const struct jnative *def, struct jv self,
                       const struct jargs *a);
struct jv jcall_macro(struct jc *c, const struct jmacro *m, const struct jargs *a);
struct jv jcall_loop(struct jc *c, const struct jloop *l, const struct jargs *a);
struct jv jeval_filter(struct jc *c, struct jscope *s, const struct jn *n, struct jv value);
enum jflow jexec(struct jc *c, struct jscope *s, const struct jn *n);
void jscope_set(struct jc *c, struct jscope *s, uint32_t sym, struct jv v);
struct jv jscope_get(struct jc *c, struct jscope *s, const struct jn *name);
struct jscope *jscope_new(struct jc *c, struct jscope *up);

// jinja_methods.c, jinja_strings.c: methods by type; NULL: no such method
struct jv jobject_attr(struct jc *c, struct jv obj, const struct jstr *name); // JK_MISSING: none
const struct jnative *jmethod_find(struct jv self, const struct jstr *name);
bool jmethod_unsafe(struct jv self, const struct jstr *name); // it would change the object
extern const struct jnative JSTR_METHODS[], JCASE_METHODS[];  // jinja_strings.c, jinja_strcase.c
extern const size_t JSTR_NMETHODS, JCASE_NMETHODS;
size_t jstr_find(struct jc *c, const char *hay, size_t n,
                 const struct jstr *needle); // SIZE_MAX: no
const struct jstr *jstr_replace(struct jc *c, const struct jstr *s, const struct jstr *from,
                                const struct jstr *to, int64_t count);
const struct jstr *jstr_strip(struct jc *c, const struct jstr *s, const struct jstr *chars,
                              bool left,
                              bool right); // chars NULL: whitespace
struct jseq *jstr_lines(struct jc *c, const struct jstr *s, bool keep_ends);
struct jseq *jstr_split(struct jc *c, const struct jstr *s, const struct jstr *sep, int64_t max);
const struct jstr *jstr_pad(struct jc *c, const struct jstr *s, int64_t left, int64_t right,
                            const struct jstr *fill);
struct jseq *jstr_rsplit(struct jc *c, const struct jstr *s, const struct jstr *sep, int64_t max);
const struct jstr *jstr_center(struct jc *c, const struct jstr *s, int64_t width,
                               const struct jstr *fill);
bool jstr_all(const struct jstr *s, bool (*is)(uint32_t cp)); // and not empty
bool jstr_is_case(const struct jstr *s, bool upper);          // islower, isupper

// jinja_filters.c, jinja_tests.c, jinja_globals.c: by name; NULL: unknown
const struct jnative *jfilter_find(const struct jstr *name);
const struct jnative *jtest_find(const struct jstr *name);
const struct jnative *jglobal_find(const struct jstr *name);
extern const struct jnative JSEQ_FILTERS[]; // jinja_seq.c
extern const size_t JSEQ_NFILTERS;
extern const struct jnative JSTR_FILTERS[]; // jinja_text.c
extern const size_t JSTR_NFILTERS;
struct jv jload_attr_path(struct jc *c, struct jv v, struct jv path); // "a.b.0"
const struct jstr *jescape(struct jc *c, struct jv v);                // HTML escapes, a safe string
int64_t jarg_int(struct jc *c, struct jv v, int64_t def, const char *what);
bool jarg_bool(struct jv v, bool def);
const struct jstr *jarg_str(struct jc *c, struct jv v, const char *def, const char *what);

// jinja_format.c: "%d" % x and "{}".format(x)
struct jv jformat_percent(struct jc *c, const struct jstr *fmt, struct jv args);
struct jv jformat_braces(struct jc *c, const struct jstr *fmt, const struct jargs *a);

#endif // TEXT_JINJA_INTERNAL_H
