#include "src/format/hub.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/base/str.h"

static const char LETTERS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";

static bool is_part(const char *s, size_t n)
{
    return n > 0 && n <= 96 && s[0] != '.' && strspn(s, LETTERS) >= n;
}

bool fmt_hub_is_name(const char *s)
{
    static const char *const FILES[] = {".json", ".jsonl", ".gguf", ".csv",        ".parquet",
                                        ".txt",  ".gz",    ".zst",  ".safetensors"};
    const char *slash = strchr(s, '/');

    for (size_t i = 0; i < COUNT_OF(FILES); i++)
        if (str_has_suffix(s, FILES[i]))
            return false;
    if (!slash)
        return is_part(s, strlen(s));
    return is_part(s, (size_t) (slash - s)) && is_part(slash + 1, strlen(slash + 1));
}

enum rt_err fmt_hub_cache(char **out)
{
    static const struct {
        const char *variable, *below;
    } PLACES[] = {{"HF_HUB_CACHE", NULL},
                  {"HUGGINGFACE_HUB_CACHE", NULL},
                  {"HF_HOME", "hub"},
                  {"XDG_CACHE_HOME", "huggingface/hub"},
                  {"HOME", ".cache/huggingface/hub"}};

    *out = NULL;
    for (size_t i = 0; i < COUNT_OF(PLACES); i++) {
        const char *at = os_env(PLACES[i].variable);
        if (at && at[0])
            return PLACES[i].below ? path_join(at, PLACES[i].below, out) : str_dup(at, out);
    }
    return rt_fail(RT_E_NOT_FOUND, "no Hugging Face cache: neither HF_HUB_CACHE nor HOME is set");
}

// refs/REVISION of a repository's folder: one commit. Empty text: there is no such file.
static enum rt_err read_ref(const char *folder, const char *revision, struct str *out)
{
    enum rt_err err = RT_OK;
    struct str path = {0};

    RT_TRY(str_printf(&path, "%s/refs/%s", folder, revision));
    if (!file_exists(path.data))
        goto done;
    RT_TRY(file_read(path.data, out));
    while (out->len && strchr(" \r\n", out->data[out->len - 1]))
        out->data[--out->len] = 0;
    if (out->len == 0 || out->len > 64 || strspn(out->data, "0123456789abcdefABCDEF") != out->len)
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: expected a commit, found %.60s", path.data,
                       out->data ? out->data : "nothing"));
done:
    str_free(&path);
    return err;
}

enum rt_err fmt_hub_snapshot(const char *cache, enum fmt_hub_kind kind, const char *name,
                             const char *revision, char **out)
{
    enum rt_err err = RT_OK;
    struct str folder = {0}, commit = {0}, path = {0};

    *out = NULL;
    RT_TRY(str_printf(&folder, "%s/%s--", cache, kind == FMT_HUB_MODEL ? "models" : "datasets"));
    for (const char *c = name; *c; c++)
        RT_TRY(*c == '/' ? str_puts(&folder, "--") : str_putc(&folder, *c));
    if (!is_part(revision, strcspn(revision, "/")) || strstr(revision, ".."))
        goto done;
    RT_TRY(read_ref(folder.data, revision, &commit));
    if (commit.len == 0 && strchr(revision, '/'))
        goto done;
    RT_TRY(str_printf(&path, "%s/snapshots/%s", folder.data, commit.len ? commit.data : revision));
    if (dir_exists(path.data))
        RT_TRY(str_dup(path.data, out));
done:
    str_free(&folder);
    str_free(&commit);
    str_free(&path);
    return err;
}

enum rt_err fmt_hub_find(enum fmt_hub_kind kind, const char *name, const char *revision, char **out)
{
    enum rt_err err = RT_OK;
    const bool model = kind == FMT_HUB_MODEL, plain = strcmp(revision, "main") == 0;
    char *cache = NULL;

    *out = NULL;
    if (file_exists(name) || dir_exists(name) || !fmt_hub_is_name(name))
        goto done;
    RT_TRY(fmt_hub_cache(&cache));
    RT_TRY(fmt_hub_snapshot(cache, kind, name, revision, out));
    if (!*out && strchr(name, '/'))
        RT_TRY(rt_fail(RT_E_NOT_FOUND,
                       "%s: no such file or folder, and no %s of that name%s%s in the Hugging Face "
                       "cache %s; fetch it with: huggingface-cli download %s%s%s%s",
                       name, model ? "model" : "dataset", plain ? "" : " at revision ",
                       plain ? "" : revision, cache, model ? "" : "--repo-type dataset ", name,
                       plain ? "" : " --revision ", plain ? "" : revision));
done:
    free(cache);
    return err;
}
