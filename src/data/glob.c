#include "src/data/glob.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"

bool ds_glob_is(const char *path)
{
    return strpbrk(path, "*?[") != NULL;
}

// ---- one part -----------------------------------------------------------------------------------

// Behind a set "[...]" whose first byte behind the bracket is *p; NULL: it is not closed.
static const char *match_set(const char *p, unsigned char c, bool *in)
{
    const bool not = *p == '!' || *p == '^';
    bool found = false;

    p += not ;
    for (bool first = true; *p && (first || *p != ']'); first = false) {
        const unsigned char low = (unsigned char) p[0];
        const bool range = p[1] == '-' && p[2] && p[2] != ']';
        const unsigned char high = range ? (unsigned char) p[2] : low;
        found = found || (c >= low && c <= high);
        p += range ? 3 : 1;
    }
    *in = found != not ;
    return *p ? p + 1 : NULL;
}

// One byte of a name against what stands at *p, which moves on.
static bool match_one(const char **p, char c)
{
    const char *at = *p, *behind;
    bool in = *at == '?' || *at == c;

    *p = at + 1;
    if (*at != '[')
        return in;
    behind = match_set(at + 1, (unsigned char) c, &in);
    if (!behind) // as it is
        return c == '[';
    *p = behind;
    return in;
}

bool ds_glob_match(const char *p, const char *name)
{
    const char *star = NULL, *from = NULL; // behind the last star, and what it has not taken yet

    if (name[0] == '.' && p[0] != '.')
        return false;
    while (*name) {
        if (*p == '*') {
            star = ++p;
            from = name;
            continue;
        }
        if (*p && match_one(&p, *name)) {
            name++;
            continue;
        }
        if (!star)
            return false;
        p = star;
        name = ++from;
    }
    while (*p == '*')
        p++;
    return *p == 0;
}

// ---- all ----------------------------------------------------------------------------------------

struct walk {
    const char *pattern; // for messages
    char *text;          // its parts, each ended by a zero
    const char *parts[DS_GLOB_DEPTH];
    size_t n_parts;
    size_t looked; // folders
    struct dir_names found;
};

static enum rt_err fail_many(const struct walk *w)
{
    return rt_fail(RT_E_UNSUPPORTED, "%s: more than %d files or folders, or %d parts", w->pattern,
                   DS_GLOB_MAX, DS_GLOB_DEPTH);
}

static enum rt_err add_file(struct walk *w, const char *path)
{
    enum rt_err err = RT_OK;
    char **grown;

    if (w->found.n >= DS_GLOB_MAX)
        RT_TRY(fail_many(w));
    if (w->found.n && strcmp(w->found.name[w->found.n - 1], path) == 0) // "**" twice
        goto done;
    grown = realloc(w->found.name, (w->found.n + 1) * sizeof(*grown));
    if (!grown)
        RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: list of files"));
    w->found.name = grown;
    RT_TRY(str_dup(path, &grown[w->found.n]));
    w->found.n++;
done:
    return err;
}

static bool is_beside(const char *name)
{
    static const char *const BESIDE[] = {"README.md", "config.json", "dataset_info.json",
                                         "dataset_infos.json", "dataset_dict.json"};
    for (size_t i = 0; i < COUNT_OF(BESIDE); i++)
        if (strcmp(BESIDE[i], name) == 0)
            return true;
    return false;
}

// A part of the path that is still to be matched: at, below the folder `folder` ("": the current
// one; "/").
struct step {
    const char *folder;
    size_t at, depth;
};

static enum rt_err visit(struct walk *w, struct step s);

// What one entry of the folder is to the parts from s.at on.
static enum rt_err enter(struct walk *w, struct step s, const char *name)
{
    enum rt_err err = RT_OK;
    const char *part = w->parts[s.at];
    const bool last = s.at + 1 == w->n_parts, deep = strcmp(part, "**") == 0;
    struct str path = {0};

    RT_TRY(str_printf(&path, "%s%s%s", s.folder,
                      s.folder[0] && strcmp(s.folder, "/") != 0 ? "/" : "", name));
    const bool folder = dir_exists(path.data);
    if (deep && folder && name[0] != '.')
        RT_TRY(visit(w, (struct step){path.data, s.at, s.depth + 1}));
    if (deep || !ds_glob_match(part, name))
        goto done;
    if (!last && folder)
        RT_TRY(visit(w, (struct step){path.data, s.at + 1, s.depth + 1}));
    if (last && !folder && file_exists(path.data) && (!is_beside(name) || strcmp(part, name) == 0))
        RT_TRY(add_file(w, path.data));
done:
    str_free(&path);
    return err;
}

static enum rt_err visit(struct walk *w, struct step s)
{
    enum rt_err err = RT_OK;
    struct dir_names names = {0};

    if (s.depth > 2 * DS_GLOB_DEPTH || ++w->looked > DS_GLOB_MAX)
        RT_TRY(fail_many(w));
    RT_TRY(dir_list(s.folder[0] ? s.folder : ".", &names));
    for (size_t i = 0; i < names.n; i++)
        RT_TRY(enter(w, s, names.name[i]));
    if (strcmp(w->parts[s.at], "**") == 0) // no folder
        RT_TRY(visit(w, (struct step){s.folder, s.at + 1, s.depth + 1}));
done:
    dir_names_free(&names);
    return err;
}

// "a/./b//c" into its parts; a "**" at the end means the files in it.
static enum rt_err split(struct walk *w)
{
    enum rt_err err = RT_OK;
    char *next = w->text;

    while (next) {
        char *slash = strchr(next, '/');
        if (slash)
            *slash = 0;
        const bool again =
            w->n_parts && strcmp(next, "**") == 0 && strcmp(w->parts[w->n_parts - 1], "**") == 0;
        if (w->n_parts + 1 >= DS_GLOB_DEPTH)
            RT_TRY(fail_many(w));
        if (next[0] && strcmp(next, ".") != 0 && !again)
            w->parts[w->n_parts++] = next;
        next = slash ? slash + 1 : NULL;
    }
    if (w->n_parts && strcmp(w->parts[w->n_parts - 1], "**") == 0)
        w->parts[w->n_parts++] = "*";
done:
    return err;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

// The folder in front of the first part that is a pattern, and how many parts it has.
static enum rt_err fixed_part(const struct walk *w, struct str *folder, size_t *n)
{
    enum rt_err err = RT_OK;

    RT_TRY(str_puts(folder, w->pattern[0] == '/' ? "/" : ""));
    for (*n = 0; *n < w->n_parts && !ds_glob_is(w->parts[*n]); ++*n)
        RT_TRY(str_printf(folder, "%s%s",
                          folder->len > 1 || (folder->len && *folder->data != '/') ? "/" : "",
                          w->parts[*n]));
done:
    return err;
}

enum rt_err ds_glob(const char *pattern, struct dir_names *out)
{
    enum rt_err err = RT_OK;
    struct walk w = {.pattern = pattern};
    struct str folder = {0};
    size_t fixed = 0, n = 0;

    *out = (struct dir_names){0};
    RT_TRY(str_dup(pattern, &w.text));
    RT_TRY(split(&w));
    RT_TRY(fixed_part(&w, &folder, &fixed));
    if (fixed < w.n_parts && (folder.len == 0 || dir_exists(folder.data)))
        RT_TRY(visit(&w, (struct step){folder.len ? folder.data : "", fixed, 0}));
    if (w.found.n == 0)
        RT_TRY(rt_fail(RT_E_NOT_FOUND, "%s: no file matches", pattern));
    qsort(w.found.name, w.found.n, sizeof(*w.found.name), by_bytes);
    for (size_t i = 1; i < w.found.n; i++) { // "**" may come by twice
        if (strcmp(w.found.name[n], w.found.name[i]) == 0) {
            free(w.found.name[i]);
            continue;
        }
        w.found.name[++n] = w.found.name[i];
    }
    w.found.n = n + 1;
    *out = w.found;
    w.found = (struct dir_names){0};
done:
    dir_names_free(&w.found);
    str_free(&folder);
    free(w.text);
    return err;
}
