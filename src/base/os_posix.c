// The only file that knows the operating system: files, clock, memory, threads.
#define _GNU_SOURCE
#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/base/thread.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static enum rt_err fail_errno(const char *path, const char *what)
{
    const enum rt_err code = errno == ENOENT || errno == ENOTDIR ? RT_E_NOT_FOUND : RT_E_IO;
    return rt_fail(code, "%s: cannot %s: %s", path, what, strerror(errno));
}

enum rt_err file_map_open(const char *path, struct file_map *out)
{
    enum rt_err err = RT_OK;
    struct stat st;
    void *p;
    int fd = -1;

    *out = (struct file_map){0};
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        RT_TRY(fail_errno(path, "open"));
    if (!S_ISREG(st.st_mode))
        RT_TRY(rt_fail(RT_E_IO, "%s: expected a file, found a folder or device", path));
    if (st.st_size > 0) {
        p = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            RT_TRY(fail_errno(path, "map"));
        *out = (struct file_map){p, (size_t) st.st_size};
    }
done:
    if (fd >= 0)
        close(fd);
    return err;
}

void file_map_close(struct file_map *map)
{
    if (map->data)
        munmap((void *) (uintptr_t) map->data, map->size);
    *map = (struct file_map){0};
}

void file_map_done_with(const struct file_map *map, size_t off, size_t n)
{
    const size_t page = (size_t) sysconf(_SC_PAGESIZE), begin = (size_t) round_up(off, page);
    if (off <= map->size && n <= map->size - off && off + n > begin)
        (void) madvise((void *) (uintptr_t) (map->data + begin), (off + n - begin) / page * page,
                       MADV_DONTNEED);
}

enum rt_err file_read(const char *path, struct str *out)
{
    enum rt_err err = RT_OK;
    struct file_map map = {0};
    RT_TRY(file_map_open(path, &map));
    RT_TRY(str_append(out, map.data, map.size));
done:
    file_map_close(&map);
    return err;
}

enum rt_err file_out_open(const char *path, struct file_out *out)
{
    enum rt_err err = RT_OK;
    struct file_out f = {.fd = -1, .open = true};
    struct str tmp = {0};

    *out = (struct file_out){0};
    RT_TRY(str_dup(path, &f.path));
    RT_TRY(str_printf(&tmp, "%s.tmp-%ld", path, (long) getpid()));
    f.tmp = tmp.data;
    f.fd = open(f.tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (f.fd < 0)
        RT_TRY(fail_errno(path, "create"));
    *out = f;
    f = (struct file_out){0};
done:
    if (err != RT_OK)
        f.tmp = tmp.data;
    file_out_close(&f);
    return err;
}

static enum rt_err write_all(int fd, const char *path, const void *bytes, size_t n)
{
    const char *p = bytes;
    while (n) {
        const ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return fail_errno(path, "write");
        p += k;
        n -= (size_t) k;
    }
    return RT_OK;
}

enum rt_err file_out_write(struct file_out *f, const void *bytes, size_t n)
{
    return write_all(f->fd, f->path, bytes, n);
}

enum rt_err file_out_commit(struct file_out *f)
{
    enum rt_err err = RT_OK;
    int fd;

    if (fsync(f->fd) != 0)
        RT_TRY(fail_errno(f->path, "write"));
    fd = f->fd;
    f->fd = -1;
    if (close(fd) != 0 || rename(f->tmp, f->path) != 0)
        RT_TRY(fail_errno(f->path, "write"));
    free(f->tmp);
    f->tmp = NULL;
done:
    file_out_close(f);
    return err;
}

void file_out_close(struct file_out *f)
{
    if (f->open && f->fd >= 0)
        close(f->fd);
    if (f->open && f->tmp)
        unlink(f->tmp);
    free(f->tmp);
    free(f->path);
    *f = (struct file_out){0};
}

enum rt_err file_write(const char *path, const void *bytes, size_t n)
{
    enum rt_err err = RT_OK;
    struct file_out f = {0};
    RT_TRY(file_out_open(path, &f));
    RT_TRY(file_out_write(&f, bytes, n));
    RT_TRY(file_out_commit(&f));
done:
    file_out_close(&f);
    return err;
}

enum rt_err file_append(const char *path, const void *bytes, size_t n)
{
    enum rt_err err = RT_OK;
    const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0)
        RT_TRY(fail_errno(path, "append to"));
    RT_TRY(write_all(fd, path, bytes, n));
done:
    if (fd >= 0)
        close(fd);
    return err;
}

enum rt_err file_copy(const char *from, const char *to)
{
    enum rt_err err = RT_OK;
    struct file_map map = {0};
    RT_TRY(file_map_open(from, &map));
    RT_TRY(file_write(to, map.data, map.size));
done:
    file_map_close(&map);
    return err;
}

bool file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

bool file_info(const char *path, struct file_info *out)
{
    struct stat st;
    *out = (struct file_info){0};
    if (lstat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return false;
    out->size = (uint64_t) st.st_size;
    out->age_s =
        os_wall_seconds() - ((double) st.st_mtim.tv_sec + 1e-9 * (double) st.st_mtim.tv_nsec);
    return true;
}

void file_touch(const char *path)
{
    (void) utimensat(AT_FDCWD, path, NULL, 0);
}

enum rt_err file_remove(const char *path)
{
    return unlink(path) == 0 || errno == ENOENT ? RT_OK : fail_errno(path, "remove");
}

bool dir_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

enum rt_err dir_make(const char *path)
{
    enum rt_err err = RT_OK;
    char *p = NULL;

    RT_TRY(str_dup(path, &p));
    for (char *s = p + (p[0] == '/'); *s; s++) {
        if (*s != '/')
            continue;
        *s = 0;
        if (mkdir(p, 0777) != 0 && errno != EEXIST)
            RT_TRY(fail_errno(p, "create folder"));
        *s = '/';
    }
    if (mkdir(p, 0777) != 0 && (errno != EEXIST || !dir_exists(p)))
        RT_TRY(fail_errno(p, "create folder"));
done:
    free(p);
    return err;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

static enum rt_err add_name(struct dir_names *to, const char *name)
{
    enum rt_err err = RT_OK;
    char **grown = realloc(to->name, (to->n + 1) * sizeof(*grown));

    RT_REQUIRE(grown, RT_E_NOMEM);
    to->name = grown;
    RT_TRY(str_dup(name, &grown[to->n]));
    to->n++;
done:
    return err;
}

enum rt_err dir_list(const char *path, struct dir_names *out)
{
    enum rt_err err = RT_OK;
    struct dir_names names = {0};
    DIR *dir = opendir(path);

    *out = names;
    if (!dir)
        RT_TRY(fail_errno(path, "list"));
    errno = 0;
    for (const struct dirent *e; (e = readdir(dir)) != NULL; errno = 0)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            RT_TRY(add_name(&names, e->d_name));
    if (errno)
        RT_TRY(fail_errno(path, "list"));
    if (names.n)
        qsort(names.name, names.n, sizeof(*names.name), by_bytes);
    *out = names;
    names = (struct dir_names){0};
done:
    if (dir)
        closedir(dir);
    dir_names_free(&names);
    return err;
}

void dir_names_free(struct dir_names *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->name[i]);
    free(names->name);
    *names = (struct dir_names){0};
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void) st;
    (void) type;
    (void) at;
    return remove(path) != 0 && errno != ENOENT;
}

enum rt_err dir_remove(const char *path)
{
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
        return fail_errno(path, "remove");
    return RT_OK;
}

enum rt_err dir_sync(const char *path)
{
    enum rt_err err = RT_OK;
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL))
        err = fail_errno(path, "write");
    if (fd >= 0)
        close(fd);
    return err;
}

// The entry of `path` in its parent is on disk when this returns.
static enum rt_err sync_parent(const char *path)
{
    enum rt_err err = RT_OK;
    const char *slash = strrchr(path, '/');
    char *parent = NULL;

    RT_TRY(str_dup_n(path, slash ? (size_t) (slash - path) + (slash == path) : 0, &parent));
    RT_TRY(dir_sync(parent[0] ? parent : "."));
done:
    free(parent);
    return err;
}

enum rt_err dir_replace(const char *from, const char *to)
{
    enum rt_err err = RT_OK;
    bool swapped = false;

    if (!dir_exists(from))
        return rt_fail(RT_E_NOT_FOUND, "%s: no such folder to rename", from);
#ifdef RENAME_EXCHANGE
    swapped = renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE) == 0;
#endif
    if (!swapped && dir_exists(to))
        RT_TRY(dir_remove(to));
    if (!swapped && rename(from, to) != 0)
        RT_TRY(fail_errno(to, "rename a folder to"));
    RT_TRY(sync_parent(to));
    if (swapped)
        RT_TRY(dir_remove(from));
done:
    return err;
}

enum rt_err path_join(const char *a, const char *b, char **out)
{
    struct str s = {0};
    const enum rt_err err = str_printf(&s, "%s/%s", a, b);
    *out = s.data;
    return err;
}

enum rt_err dir_cache(const char *override, char **out)
{
    enum rt_err err = RT_OK;
    struct str s = {0};
    const char *env = override ? override : os_env("ANYDPO_CACHE_DIR");

    *out = NULL;
    if (env)
        RT_TRY(str_puts(&s, env));
    else if ((env = os_env("XDG_CACHE_HOME")) != NULL)
        RT_TRY(str_printf(&s, "%s/anydpo", env));
    else if ((env = os_env("HOME")) != NULL)
        RT_TRY(str_printf(&s, "%s/.cache/anydpo", env));
    else
        RT_TRY(
            rt_fail(RT_E_NOT_FOUND, "no cache folder: set cache_dir, or HOME in the environment"));
    RT_TRY(dir_make(s.data));
    *out = s.data;
    s = (struct str){0};
done:
    str_free(&s);
    return err;
}

const char *os_env(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

enum rt_err os_env_set(const char *name, const char *value)
{
    if (setenv(name, value, 1) == 0)
        return RT_OK;
    return rt_fail(errno == ENOMEM ? RT_E_NOMEM : RT_E_ARG, "environment: %.60s: %s", name,
                   strerror(errno));
}

void *os_pages(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
#ifdef MADV_HUGEPAGE
    (void) madvise(p, bytes, MADV_HUGEPAGE);
#endif
    return p;
}

void os_pages_free(void *pages, size_t bytes)
{
    if (pages)
        munmap(pages, bytes);
}

static double seconds(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}

bool os_is_terminal(void)
{
    return isatty(STDERR_FILENO) == 1;
}

long os_process(void)
{
    return (long) getpid();
}

enum rt_err file_line(FILE *f, struct str *line, bool *more)
{
    enum rt_err err = RT_OK;
    char *text = NULL;
    size_t cap = 0;
    ssize_t n;

    str_clear(line);
    errno = 0;
    n = getline(&text, &cap, f);
    *more = n > 0;
    if (n < 0 && !feof(f))
        RT_TRY(errno == ENOMEM ? rt_fail(RT_E_NOMEM, "out of memory: a line")
                               : rt_fail(RT_E_IO, "cannot read a line: %s", strerror(errno)));
    if (n > 0)
        RT_TRY(str_append(line, text, (size_t) n - (text[n - 1] == '\n')));
done:
    free(text);
    return err;
}

// Days from 1970-01-01 to a date of the Gregorian calendar.
static int64_t civil_days(int64_t year, int month, int day)
{
    const int64_t y = year - (month <= 2), m = month + (month <= 2 ? 9 : -3); // March is month 0
    return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719468;
}

enum rt_err os_clock(int64_t *out)
{
    const char *fixed = os_env("SOURCE_DATE_EPOCH");
    const time_t now = time(NULL);
    struct tm t;

    *out = (int64_t) now;
    if (fixed) {
        char *end;
        errno = 0;
        const long long v = strtoll(fixed, &end, 10);
        if (errno || end == fixed || *end || v < 0 || v > 253402300799)
            return rt_fail(
                RT_E_USAGE,
                "SOURCE_DATE_EPOCH: expected a number of seconds since 1970, found %.60s", fixed);
        *out = v;
    } else if (localtime_r(&now, &t)) {
        *out = civil_days(1900 + (int64_t) t.tm_year, t.tm_mon + 1, t.tm_mday) * 86400 +
               t.tm_hour * 3600 + t.tm_min * 60 + t.tm_sec;
    }
    return RT_OK;
}

double os_seconds(void)
{
    return seconds(CLOCK_MONOTONIC);
}
double os_wall_seconds(void)
{
    return seconds(CLOCK_REALTIME);
}

uint64_t os_peak_rss(void)
{
    struct rusage u;
    return getrusage(RUSAGE_SELF, &u) == 0 ? (uint64_t) u.ru_maxrss * 1024u : 0;
}

uint64_t os_memory(void)
{
    const long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (uint64_t) pages * (uint64_t) size : 0;
}

unsigned os_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
        return (unsigned) CPU_COUNT(&set);
    return 1;
}

struct span {
    pthread_t thread;
    thread_fn *fn;
    void *user;
    uint64_t begin, end;
    bool started;
};

static void *run_span(void *arg)
{
    struct span *s = arg;
    s->fn(s->user, s->begin, s->end);
    return NULL;
}

void thread_for(uint64_t n, uint64_t grain, thread_fn *fn, void *user)
{
    struct span spans[64];
    const uint64_t most = div_up(n, grain ? grain : 1);
    const uint64_t k = u64_min(u64_min(os_cores(), COUNT_OF(spans)), most ? most : 1);
    const uint64_t step = div_up(n, k);

    for (uint64_t i = 0; i < k; i++) {
        const uint64_t begin = u64_min(n, i * step), end = u64_min(n, begin + step);
        spans[i] = (struct span){.fn = fn, .user = user, .begin = begin, .end = end};
        if (i + 1 < k)
            spans[i].started = pthread_create(&spans[i].thread, NULL, run_span, &spans[i]) == 0;
        if (!spans[i].started && begin < end)
            run_span(&spans[i]);
    }
    for (uint64_t i = 0; i < k; i++)
        if (spans[i].started)
            pthread_join(spans[i].thread, NULL);
}
