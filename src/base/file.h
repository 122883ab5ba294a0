// src/base/file.h -- files, folders and memory maps. Messages name the path and the system's
// reason.
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "src/base/err.h"
#include "src/base/str.h"

// A file mapped read-only. An empty file has data NULL and size 0. { 0 } is closed.
struct file_map {
    const unsigned char *data;
    size_t size;
};

// Errors: RT_E_NOT_FOUND no such file; RT_E_IO anything else (a folder, no permission, ...).
RT_NODISCARD enum rt_err file_map_open(const char *path, struct file_map *out);
void file_map_close(struct file_map *map); // accepts closed
void file_map_done_with(const struct file_map *map, size_t off,
                        size_t n); // give pages back (a hint)

// The whole file, appended to *out. Errors as above, and RT_E_NOMEM.
RT_NODISCARD enum rt_err file_read(const char *path, struct str *out);

// A file that appears under its name only when complete: written to PATH.tmp-PID beside it,
// fsynced, renamed by commit. close() without commit removes the temporary file. { 0 } is closed.
struct file_out {
    char *path, *tmp;
    int fd;
    bool open;
};
RT_NODISCARD enum rt_err file_out_open(const char *path, struct file_out *out);
RT_NODISCARD enum rt_err file_out_write(struct file_out *f, const void *bytes, size_t n);
RT_NODISCARD enum rt_err
file_out_commit(struct file_out *f);     // RT_E_IO: disk full, ...; nothing is left
void file_out_close(struct file_out *f); // accepts closed and committed

// open, write, commit in one.
RT_NODISCARD enum rt_err file_write(const char *path, const void *bytes, size_t n);

RT_NODISCARD enum rt_err file_append(const char *path, const void *bytes, size_t n);
RT_NODISCARD enum rt_err file_copy(const char *from, const char *to); // atomically; RT_E_NOT_FOUND

bool file_exists(const char *path); // a regular file

// Of a regular file, not of what a link leads to. False: there is none.
struct file_info {
    uint64_t size;
    double age_s; // since it was written, or touched; negative where clocks differ
};
bool file_info(const char *path, struct file_info *out);
void file_touch(const char *path); // now it is new; a hint
// A file or link alone. Fine if there is none. Errors: RT_E_IO.
RT_NODISCARD enum rt_err file_remove(const char *path);

bool dir_exists(const char *path);
RT_NODISCARD enum rt_err dir_make(const char *path); // with parents; fine if it exists

// Names of the files and folders in a folder, sorted by bytes, without "." and "..". { 0 } is
// empty. Errors: RT_E_NOT_FOUND, RT_E_IO, RT_E_NOMEM.
struct dir_names {
    char **name;
    size_t n;
};
RT_NODISCARD enum rt_err dir_list(const char *path, struct dir_names *out);
void dir_names_free(struct dir_names *names);

// Remove a file, or a folder with all that is in it; links are not followed. Fine if there is none.
RT_NODISCARD enum rt_err dir_remove(const char *path);

// Make folder `from` appear as `to`, on disk when it returns: a folder `to` that was there is
// replaced in one step where the system can (else there is a moment with neither), and removed.
// Both in one parent folder.
RT_NODISCARD enum rt_err dir_replace(const char *from, const char *to);

// Wait until the entries of a folder are on disk.
RT_NODISCARD enum rt_err dir_sync(const char *path);

// "a" + "/" + "b" into a heap string.
RT_NODISCARD enum rt_err path_join(const char *a, const char *b, char **out);

// The user's cache folder for this program, created: `override` if not NULL, else
// $ANYDPO_CACHE_DIR, else $XDG_CACHE_HOME/anydpo, else $HOME/.cache/anydpo.
RT_NODISCARD enum rt_err dir_cache(const char *override, char **out);

// Value of an environment variable or NULL. The only place that reads the environment.
const char *os_env(const char *name);

// Set it for this process. Before threads start. Errors: RT_E_ARG no name; RT_E_NOMEM.
RT_NODISCARD enum rt_err os_env_set(const char *name, const char *value);

// Zeroed memory at a page's start, in large pages where the system has them; it is taken when it is
// first touched. NULL if there is none. Free with the same size; accepts NULL.
void *os_pages(size_t bytes);
void os_pages_free(void *pages, size_t bytes);

// The next line of `f` without its newline into *line (cleared first). *more is false, and the line
// empty, when there is none. Lines come as they arrive: a pipe's writer may wait for an answer.
// Errors: RT_E_IO, RT_E_NOMEM.
RT_NODISCARD enum rt_err file_line(FILE *f, struct str *line, bool *more);

// What a wall clock shows, as seconds since 1970-01-01 00:00:00 on that clock: $SOURCE_DATE_EPOCH
// (then in UTC) or the time in the local zone. Errors: RT_E_USAGE the variable is no number of
// seconds in 0 .. 253402300799 (the year 9999).
RT_NODISCARD enum rt_err os_clock(int64_t *out);

double os_seconds(void);      // monotonic clock
double os_wall_seconds(void); // since 1970
uint64_t os_peak_rss(void);   // bytes; 0 if unknown
uint64_t os_memory(void);     // bytes of physical memory; 0 if unknown
unsigned os_cores(void);      // >= 1
bool os_is_terminal(void);    // stderr is one
long os_process(void);        // number of this process, part of temporary names

#endif // BASE_FILE_H
