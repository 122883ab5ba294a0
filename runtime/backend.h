// runtime/backend.h -- what a backend provides to runtime/rt.c. Private to runtime/.
//
// rt.c validates every call (rt.h's preconditions), resolves kernels to rows of the table, keeps
// the statistics, converts element types and tracks memory; a backend may assume valid input.
#ifndef RUNTIME_BACKEND_H
#define RUNTIME_BACKEND_H

#include "runtime/rt.h"

struct rt_profile; // profile.c

// Common head of a device. A backend embeds it first in its own struct and fills caps/plan in open.
struct rt_dev {
    const struct rt_backend *backend;
    char id[32];
    struct rt_plan plan;
    const struct rt_kernel *const *kernels;
    char *cache_dir; // heap copy or NULL
    struct rt_stats stats;
    struct rt_clamp clamp;
    struct rt_buf *first, *last; // buffers in order of creation
    bool f64;
    struct rt_tuned {
        char name[32];
        int32_t value;
    } tuned[32]; // runtime/tuned.c
    uint32_t n_tuned;
    struct rt_profile *profile; // NULL: none is wanted
    bool profiling;             // work runs piece by piece now
    uint64_t recorded, waited;  // pieces of work so far; of them, up to which the host has waited
    double busy_s; // with a profile: device seconds of what a backend waited for, added up by it
};

// Common head of a buffer; embedded first.
struct rt_buf {
    struct rt_dev *dev;
    char *name;
    enum rt_type type;             // as asked for
    enum rt_type storage;          // as stored: RT_F64 for RT_F32 on host:f64
    uint64_t count, bytes;         // bytes = count * size of storage, rounded up to 4
    struct rt_buf *before, *after; // of the device's list
    // Hazard tracking (runtime/hazard.h): number of the last barrier-free stretch that read / wrote
    // it.
    uint64_t read_stretch, write_stretch;
};

// Common head of a command; embedded first. All but dev is runtime/transfer.c's and rt.c's.
struct rt_cmd {
    struct rt_dev *dev;
    uint64_t last;           // number of its last piece of work, 0: none
    struct rt_block *blocks; // memory for what is on its way
    struct rt_back *backs;   // what comes back in another type than it is wanted in
};

// A dispatch, validated and resolved: what a backend runs.
struct rt_work {
    const struct rt_kernel *kernel;
    struct rt_bind bufs[RT_MAX_BUFS]; // count is filled in
    uint32_t groups[3];               // total grid
    uint32_t group[2];
    uint8_t params[RT_PARAMS_BYTES];
    struct rt_tune tune[RT_MAX_TUNES];
    double flops;
};

struct rt_backend {
    const char *name; // "vulkan"
    const char *off;  // why the backend is not in this program; NULL when it is
    // Devices of this API; appends nothing and returns RT_OK when the API is not installed.
    enum rt_err (*list)(struct rt_dev_info **out, uint32_t *count);
    // Open device number `index` of list(); dev->kernels, cache_dir, clamp are copied in by rt.c
    // afterwards through rt_dev_init, which the backend calls with its new object before anything
    // else.
    enum rt_err (*open)(uint32_t index, const struct rt_dev_desc *desc, struct rt_dev **out);
    void (*close)(struct rt_dev *dev);
    // type, storage, count, bytes and dev are given; returns an object with the head filled in and
    // memory zeroed.
    enum rt_err (*buf_create)(struct rt_dev *dev, const struct rt_buf *head, struct rt_buf **out);
    void (*buf_destroy)(struct rt_buf *buf);
    // Raw bytes of the stored form, after waiting for all pending work.
    enum rt_err (*buf_write)(struct rt_buf *buf, uint64_t off_bytes, uint64_t n_bytes,
                             const void *src);
    enum rt_err (*buf_read)(const struct rt_buf *buf, uint64_t off_bytes, uint64_t n_bytes,
                            void *dst);
    enum rt_err (*cmd_create)(struct rt_dev *dev, struct rt_cmd **out);
    enum rt_err (*cmd_dispatch)(struct rt_cmd *cmd, const struct rt_work *work);
    enum rt_err (*cmd_copy)(struct rt_cmd *cmd, const struct rt_buf *src, uint64_t src_off,
                            struct rt_buf *dst, uint64_t dst_off, uint64_t n_bytes);
    enum rt_err (*cmd_zero)(struct rt_cmd *cmd, struct rt_buf *buf, uint64_t off, uint64_t n_bytes);
    // Stored bytes in the order of commands, without a wait. `src` and `dst` live until
    // cmd_destroy; dst is filled when cmd_wait returns. off and n are multiples of 4.
    enum rt_err (*cmd_write)(struct rt_cmd *cmd, struct rt_buf *buf, uint64_t off, uint64_t n,
                             const void *src);
    enum rt_err (*cmd_read)(struct rt_cmd *cmd, const struct rt_buf *buf, uint64_t off, uint64_t n,
                            void *dst);
    enum rt_err (*cmd_submit)(struct rt_cmd *cmd);
    enum rt_err (*cmd_wait)(struct rt_cmd *cmd); // submit, wait for its work; the object stays
    void (*cmd_destroy)(struct rt_cmd *cmd);     // waits for what was submitted
};

extern const struct rt_backend RTHOST_BACKEND, RTVK_BACKEND, RTCL_BACKEND;

// Fill the head of a new device from desc and caps: plan, kernels, cache_dir copy, id.
enum rt_err rt_dev_init(struct rt_dev *dev, const struct rt_backend *backend, const char *id,
                        const struct rt_caps *caps, const struct rt_dev_desc *desc);
void rt_dev_fini(struct rt_dev *dev); // frees what init made

// Read what was tuned for this device, if anything; dev->plan and cache_dir are set.
enum rt_err rt_tuned_load(struct rt_dev *dev);

// Do elements [first, first + n) of the buffer exist, and have they a meaning as `type`?
bool rt_buf_converts(const struct rt_buf *buf, uint64_t first, uint64_t n, enum rt_type type);

// Note that a command got a piece of work, and that the host waits for all up to `last`.
void rt_note_work(struct rt_cmd *cmd);
void rt_note_wait(struct rt_dev *dev, uint64_t last);

// What is on its way with a command: to where it was wanted, after its wait; and its memory.
void rt_backs_take(struct rt_cmd *cmd);
void rt_blocks_free(struct rt_block *blocks);

// Run a piece of work of a command, alone where a profile is wanted.
enum rt_err rt_profiled(struct rt_cmd *cmd, const char *name, double flops,
                        enum rt_err (*run)(struct rt_cmd *cmd, const void *what), const void *what);

// Profiling around one piece of work: rt.c waits, notes the host's clock, runs it, waits.
enum rt_err rt_profile_open(struct rt_dev *dev);
void rt_profile_close(struct rt_dev *dev);
enum rt_err rt_profile_begin(struct rt_cmd *cmd);
enum rt_err rt_profile_end(struct rt_cmd *cmd, const char *name, double begin, double flops);

// The complete text of a kernel for one API: a #version line for Vulkan, then #defines (TYPE_<buf>
// for elem buffers, GROUP, GROUP_Y_SIZE, tunes), then the file with its includes in place. Appended
// to *out.
enum rt_err rt_kernel_text(const struct rt_work *work, bool vulkan, struct str *out);

// Key of a pipeline: kernel name, types of elem buffers, group, tunes. 64-bit FNV-1a; and of any
// bytes.
uint64_t rt_work_key(const struct rt_work *work);
uint64_t rt_hash(uint64_t seed, const void *bytes, size_t n);

// The disk cache (runtime/cache.c): one file per key, "KIND-KEY.bin": magic, key, length, hash,
// bytes. A damaged file is ignored and rewritten. load: *out empty and RT_OK when absent or damaged
// or dir is NULL.
enum rt_err rt_cache_load(const char *dir, const char *kind, uint64_t key, struct str *out);
void rt_cache_store(const char *dir, const char *kind, uint64_t key, const void *bytes,
                    size_t n); // best effort, atomic

#endif // RUNTIME_BACKEND_H
