// runtime/rt.h -- vendor-neutral compute: devices, buffers, commands, kernels. Knows no op and no
// model.
//
// One thread drives a device and everything made on it. All sizes of buffers are counts of elements
// unless a name says bytes. On any error the out parameter is NULL or untouched and one line was
// logged.
#ifndef RUNTIME_RT_H
#define RUNTIME_RT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/err.h"

// ---- Element types ----------------------------------------------------------------------------

// Storage type of a buffer. RT_F64 exists on the host device alone, where `host:f64` stores every
// RT_F32 buffer as double (finite differences, float64 goldens); users still say RT_F32.
enum rt_type { RT_F32, RT_F16, RT_BF16, RT_U32, RT_F64, RT_TYPE_COUNT };

size_t rt_type_size(enum rt_type type);      // bytes of one element: 4, 2, 2, 4, 8
const char *rt_type_name(enum rt_type type); // "f32", ...; never NULL

// ---- Devices ----------------------------------------------------------------------------------

struct rt_dev; // one open device; owned by the caller of rt_dev_open, outlives its buffers and
               // commands

// What a driver reports, before anything is enabled. Zero or false = not supported or unknown.
struct rt_caps {
    char name[128];   // as the driver gives it
    char driver[128]; // driver name and version, part of the kernel cache's key
    char api[16];     // "vulkan", "opencl", "host"
    char version[32]; // API version, "1.3.230"
    enum rt_dev_kind { RT_GPU_DISCRETE, RT_GPU_INTEGRATED, RT_CPU, RT_OTHER } kind;
    uint32_t group_invocations;  // most work-items of a group
    uint32_t group_size[3];      // most of them along x, y, z
    uint32_t group_count[3];     // most groups of one dispatch along x, y, z
    uint32_t shared_bytes;       // local memory of a group
    uint64_t range_bytes;        // most bytes of one storage binding
    uint64_t alloc_bytes;        // most bytes of one allocation
    uint64_t memory_bytes;       // heap that buffers come from
    uint32_t offset_align_bytes; // alignment of a binding's offset
    uint32_t params_bytes;       // push constants / kernel argument bytes
    uint32_t subgroup_size;
    bool subgroup_arithmetic, subgroup_size_control;
    bool storage_16bit, fp16, bf16_dot /* AVX512-BF16 behind an OpenCL CPU */, integer_dot;
    bool cooperative_matrix;
    bool avx512, fma_avx2; // of the CPU behind a CPU device (x86-64)
    bool unified_memory;   // buffers can be mapped without a staging copy
    bool timestamps;
    bool push_descriptors; // Vulkan: bindings go into the command itself
};

// Rungs of the ladder (design.md section 2) that --disable can take away.
enum rt_rung {
    RT_RUNG_STORAGE16 = 1 << 0,
    RT_RUNG_FP16 = 1 << 1,
    RT_RUNG_SUBGROUP = 1 << 2,
    RT_RUNG_SUBGROUP_SIZE = 1 << 3,
    RT_RUNG_INTEGER_DOT = 1 << 4,
    RT_RUNG_COOPMAT = 1 << 5,
    RT_RUNG_BF16_DOT = 1 << 6,
    RT_RUNG_WIDE = 1 << 7, // the CPU matmul and attention written with wide vectors
    RT_RUNG_UNIFIED =
        1 << 8, // the host writes and reads buffers in place; without it, through a staging copy
    RT_RUNG_PUSH_DESCRIPTORS = 1 << 9,
};

// Name of rung number i as --disable takes it, and its bit; NULL and 0 behind the last.
const char *rt_rung_name(uint32_t i, uint32_t *bit);

// What the user takes away. { 0 } changes nothing. A limit of 0 is not clamped.
struct rt_clamp {
    uint32_t disable; // enum rt_rung bits
    uint32_t shared_bytes, group_invocations;
    uint64_t range_bytes, alloc_bytes, memory_bytes;
    bool no_subgroups;
};

// Parse "fp16,subgroup" / "shared=16K,invocations=128,range=64M,alloc=256M,memory=2G,subgroups=0".
// NULL or "" is nothing. RT_E_USAGE names the unknown word and lists the known ones.
RT_NODISCARD enum rt_err rt_clamp_parse(const char *disable, const char *clamp,
                                        struct rt_clamp *out);

// What a device will be used as: a pure function of what it reports and what the user takes away.
struct rt_plan {
    struct rt_caps caps; // clamped
    uint32_t rungs;      // enum rt_rung bits that are on
    uint32_t
        group; // work-items of a one-dimensional group: 64, or less where the device allows less
    uint64_t arena_bytes; // size of one allocation that buffers are cut from: <= 1 GiB
    uint64_t range_bytes; // most bytes an op may bind at once, a multiple of 256
};

// Errors: RT_E_UNSUPPORTED below the floor (128 invocations, 16 KiB, 16 params words, ...), naming
// what.
RT_NODISCARD enum rt_err rt_plan_make(const struct rt_caps *caps, const struct rt_clamp *clamp,
                                      struct rt_plan *out);

struct rt_dev_info {
    char id[32]; // "vulkan:0", "opencl:1", "host": what rt_dev_open takes
    struct rt_caps caps;
};

// All devices in the order in which `auto` prefers them: Vulkan discrete, Vulkan integrated, OpenCL
// GPU, OpenCL CPU, Vulkan CPU, other, host (always last, always there). *out is a heap array;
// free() it. A driver that fails is logged as a warning and left out. Errors: RT_E_NOMEM.
RT_NODISCARD enum rt_err rt_dev_list(struct rt_dev_info **out, uint32_t *count);

struct rt_kernel;

// How to open a device. `kernels` is required; the rest may be zero.
struct rt_dev_desc {
    const char
        *name; // auto | host | host:f64 | vulkan:N | opencl:N | vulkan:TEXT | opencl:TEXT (part of
               // the device's or driver's name, case-insensitive; A|B tries A, then B). NULL: auto
    const struct rt_kernel *const *kernels; // table that ends with NULL; static
    const char *cache_dir; // where compiled kernels are kept; NULL: nothing is kept
    struct rt_clamp clamp;
    bool profile;  // run work piece by piece and keep its times: see rt_dev_profile()
    bool validate; // ask for the Khronos validation layer and fail commands that it complains about
};

// Errors: RT_E_NOT_FOUND no such device (lists those that are there); RT_E_UNSUPPORTED below the
// floor or switched off at build time; RT_E_DEVICE, RT_E_NOMEM. `auto` tries the next device when
// one fails to open, with a warning.
RT_NODISCARD enum rt_err rt_dev_open(const struct rt_dev_desc *desc, struct rt_dev **out);
void rt_dev_close(struct rt_dev **dev); // waits for what is running; accepts NULL

const struct rt_plan *rt_dev_plan(const struct rt_dev *dev);
const char *rt_dev_id(const struct rt_dev *dev); // "vulkan:0"
bool rt_dev_is_f64(const struct rt_dev *dev);    // host:f64

// Counters since open. `allocs` counts buffer allocations, `bytes` what they hold now, `peak_bytes`
// the most; `waits` how often the host waited for work that was not known to be done, `drains` how
// often for all of it, so that the device had nothing to do; `flops` sums what the dispatches said.
struct rt_stats {
    uint64_t allocs, bytes, peak_bytes, dispatches, submits, waits, drains, compiles, cache_hits;
    double flops;
};
struct rt_stats rt_dev_stats(const struct rt_dev *dev);

// ---- What was found fastest on a device ----

// Numbers by name (at most 31 characters), read from the disk cache when a device is opened. What
// reads one checks it: it may be from another version of the program.
int32_t rt_dev_tuned(const struct rt_dev *dev, const char *name, int32_t otherwise);
// Set one for this device. RT_E_ARG: the name is too long, or there are 32.
RT_NODISCARD enum rt_err rt_dev_tune(struct rt_dev *dev, const char *name, int32_t value);
void rt_dev_tuned_clear(struct rt_dev *dev);      // as if nothing had been tuned
void rt_dev_tuned_keep(const struct rt_dev *dev); // into the disk cache; best effort

// ---- Profile (rt_dev_desc.profile) ----

// A kernel's run, or "copy" or "zero". Strings are static, or the caller's.
struct rt_profile_event {
    const char *kernel, *phase;
    double begin_s; // on the host's clock, since the device was opened
    double seconds; // on the device; on the host's clock where a driver has no timestamps
    double flops;   // as the dispatch said
};

// Name what is recorded from now on ("forward"); kept as a pointer. Nothing without a profile.
void rt_dev_phase(struct rt_dev *dev, const char *phase);

// From now on let work run as it does without a profile, and keep no times; or go back. For times
// of the whole. Nothing without a profile.
void rt_dev_profile_pause(struct rt_dev *dev, bool pause);

// All runs so far, in order; *n = 0 without a profile. Of the first 4 million.
const struct rt_profile_event *rt_dev_profile(const struct rt_dev *dev, uint64_t *n);

// A device like another that only counts: its buffers have no memory, commands do nothing, reads
// give zeros. For planning: what is opened on it allocates the same buffers. Errors: RT_E_NOMEM.
RT_NODISCARD enum rt_err rt_dev_open_dry(const struct rt_dev *like, struct rt_dev **out);
bool rt_dev_is_dry(const struct rt_dev *dev);

// ---- Buffers ----------------------------------------------------------------------------------

struct rt_buf; // typed, one-dimensional; owned by the caller, destroyed before its device

// Zero-filled. `name` appears in messages and is copied. count >= 1.
// Errors: RT_E_DEVMEM (says how many bytes, how many are in use), RT_E_NOMEM, RT_E_DEVICE.
RT_NODISCARD enum rt_err rt_buf_create(struct rt_dev *dev, enum rt_type type, uint64_t count,
                                       const char *name, struct rt_buf **out);
void rt_buf_destroy(struct rt_buf **buf); // accepts NULL. No command that uses it may be pending.

enum rt_type rt_buf_type(const struct rt_buf *buf); // as asked for: RT_F32 also on host:f64
uint64_t rt_buf_count(const struct rt_buf *buf);
const char *rt_buf_name(const struct rt_buf *buf);
struct rt_dev *rt_buf_dev(const struct rt_buf *buf);

// The buffers of a device, in the order in which they were made: NULL gives the first; NULL = end.
const struct rt_buf *rt_dev_next_buf(const struct rt_dev *dev, const struct rt_buf *after);
uint64_t rt_buf_bytes(const struct rt_buf *buf); // as stored

// buf is not NULL, has this type, and holds at least n elements. For RT_REQUIRE.
bool rt_buf_holds(const struct rt_buf *buf, enum rt_type type, uint64_t n);

// Copy elements [first, first + n) between host memory of type `type` and the buffer, converting
// between float types with rounding to nearest even (u32 only to u32). Waits for every pending
// command first. Errors: RT_E_ARG range or types; RT_E_DEVICE; RT_E_NOMEM.
RT_NODISCARD enum rt_err rt_buf_write(struct rt_buf *buf, uint64_t first, uint64_t n,
                                      enum rt_type type, const void *src);
RT_NODISCARD enum rt_err rt_buf_read(const struct rt_buf *buf, uint64_t first, uint64_t n,
                                     enum rt_type type, void *dst);

// ---- Kernels ----------------------------------------------------------------------------------

enum { RT_MAX_BUFS = 10, RT_MAX_TUNES = 10, RT_PARAMS_BYTES = 112 };

enum rt_access { RT_ACCESS_NONE, RT_ACCESS_IN, RT_ACCESS_OUT, RT_ACCESS_INOUT };

// What a kernel's list says of a buffer: float and uint are those types; elem is f32, f16 or bf16,
// and the kernel is compiled for the type that is bound (macro TYPE_<name> = F32 | F16 | BF16).
enum rt_elem { RT_ELEM_float, RT_ELEM_uint, RT_ELEM_elem };

struct rt_kernel_buf {
    const char *name;
    enum rt_access access;
    enum rt_elem elem;
};

// What a host kernel gets: typed memory of exactly the bound slices.
struct rt_host_buf {
    void *data;
    enum rt_type type; // RT_F64 for float and f32 elem buffers of host:f64
    uint64_t count;
};

struct rt_host_call {
    struct rt_host_buf bufs[RT_MAX_BUFS];
    const void *params; // the kernel's params struct
};

static inline double rt_host_load(const struct rt_host_buf *b, uint64_t i);
static inline void rt_host_store(const struct rt_host_buf *b, uint64_t i, double v);

// A row of the kernel table. The op layer owns the table; it is static and immutable.
struct rt_kernel {
    const char *name;                      // of the kernel function
    const char *source;                    // file in shaders/ for both APIs: "loss.comp"
    const char *vulkan_only, *opencl_only; // instead of source, for a kernel of one API
    uint32_t n_bufs;
    struct rt_kernel_buf bufs[RT_MAX_BUFS];
    uint32_t params_bytes;
    void (*host)(
        const struct rt_host_call *call); // the oracle; does the whole grid. NULL: not on the host
};

// A value that the kernel is compiled with: -DNAME=VALUE. Part of the pipeline's key.
struct rt_tune {
    const char *name; // static string
    int32_t value;
};

// ---- Commands ---------------------------------------------------------------------------------

struct rt_cmd; // a list of work in order; owned by the caller until rt_cmd_wait or rt_cmd_destroy

// A slice of a buffer bound to a kernel: count 0 = from first to the end. first * element size must
// be a multiple of 256 bytes (16-bit, u32 and f32 alike), so that every device can bind it.
struct rt_bind {
    const struct rt_buf *buf;
    enum rt_access access;
    uint64_t first, count;
};

// clang-format off
#define RT_IN(b) { .buf = (b), .access = RT_ACCESS_IN }
#define RT_OUT(b) { .buf = (b), .access = RT_ACCESS_OUT }
#define RT_INOUT(b) { .buf = (b), .access = RT_ACCESS_INOUT }
#define RT_IN_AT(b, f, n) { .buf = (b), .access = RT_ACCESS_IN, .first = (f), .count = (n) }
#define RT_OUT_AT(b, f, n) { .buf = (b), .access = RT_ACCESS_OUT, .first = (f), .count = (n) }
#define RT_INOUT_AT(b, f, n) { .buf = (b), .access = RT_ACCESS_INOUT, .first = (f), .count = (n) }
// clang-format on

// One kernel run. Give `groups`, or `items` (then groups[0] = ceil(items / group.x)).
// The kernel reads its group's place as GROUP_X, GROUP_Y, GROUP_Z: any grid, the runtime cuts it
// where the device or the watchdog wants it. Group size: group[] (0 = { plan.group, 1, 1 }),
// compiled in as GROUP, GROUP_Y_SIZE.
struct rt_dispatch_desc {
    const char *kernel;
    uint64_t items;
    uint32_t groups[3];               // 0 counts as 1 along y and z
    uint32_t group[2];                // work-items of a group along x and y
    struct rt_bind bufs[RT_MAX_BUFS]; // in the order of the kernel's list
    const void *params;
    size_t params_size;
    struct rt_tune tune[RT_MAX_TUNES]; // ends at a NULL name
    double flops;                      // estimate of the work, to cut submissions by; 0 = small
};

RT_NODISCARD enum rt_err rt_cmd_create(struct rt_dev *dev, struct rt_cmd **out);

// Append one run. Work that writes what earlier work of the device reads or writes (or reads what
// it writes) waits for it; other work may overlap. The buffers must stay alive until rt_cmd_wait.
// Recorded work may be submitted at any time from here on.
// Errors: RT_E_ARG unknown kernel, wrong buffers, access, types, params_size or empty grid (the
// text
//         says which; nothing is appended); RT_E_UNSUPPORTED not on this device or a slice beyond
//         range_bytes; RT_E_COMPILE; RT_E_DEVICE; RT_E_NOMEM.
RT_NODISCARD enum rt_err rt_cmd_dispatch(struct rt_cmd *cmd, const struct rt_dispatch_desc *desc);

// Copy n elements between buffers of one type; ranges must not overlap within one buffer.
RT_NODISCARD enum rt_err rt_cmd_copy(struct rt_cmd *cmd, const struct rt_buf *src,
                                     uint64_t src_first, struct rt_buf *dst, uint64_t dst_first,
                                     uint64_t n);

// Set n elements to zero bits. first and n * element size are multiples of 4 bytes.
RT_NODISCARD enum rt_err rt_cmd_zero(struct rt_cmd *cmd, struct rt_buf *buf, uint64_t first,
                                     uint64_t n);

// Transfers in the order of the commands, without a wait; elements and types as for rt_buf_write.
// A write takes what src holds now. A read fills dst by the end of rt_cmd_wait; dst must live until
// then, or until rt_cmd_destroy. Errors: RT_E_ARG range or types, or in 16-bit storage an odd first
// or an odd n that does not end the buffer; RT_E_DEVICE, RT_E_NOMEM.
RT_NODISCARD enum rt_err rt_cmd_write(struct rt_cmd *cmd, struct rt_buf *buf, uint64_t first,
                                      uint64_t n, enum rt_type type, const void *src);
RT_NODISCARD enum rt_err rt_cmd_read(struct rt_cmd *cmd, const struct rt_buf *buf, uint64_t first,
                                     uint64_t n, enum rt_type type, void *dst);

// Hand over what is recorded without waiting.
RT_NODISCARD enum rt_err rt_cmd_submit(struct rt_cmd *cmd);

// Submit the rest, wait until all of this command has run, destroy it; work that was recorded later
// may go on. *cmd is NULL afterwards, also on error.
RT_NODISCARD enum rt_err rt_cmd_wait(struct rt_cmd **cmd);

// Drop what was not submitted, wait for what was, destroy. Accepts NULL.
void rt_cmd_destroy(struct rt_cmd **cmd);

// The text of a file of shaders/ with its #includes put in place, appended to *out.
// Errors: RT_E_NOT_FOUND names the file; RT_E_NOMEM.
struct str;
RT_NODISCARD enum rt_err rt_source(const char *file, struct str *out);

// ---- Inline parts -----------------------------------------------------------------------------

#include "src/base/half.h"

static inline double rt_host_load(const struct rt_host_buf *b, uint64_t i)
{
    switch (b->type) {
    case RT_F32:
        return (double) ((const float *) b->data)[i];
    case RT_F16:
        return (double) f16_to_f32(((const uint16_t *) b->data)[i]);
    case RT_BF16:
        return (double) bf16_to_f32(((const uint16_t *) b->data)[i]);
    case RT_F64:
        return ((const double *) b->data)[i];
    default:
        return (double) ((const uint32_t *) b->data)[i];
    }
}

static inline void rt_host_store(const struct rt_host_buf *b, uint64_t i, double v)
{
    switch (b->type) {
    case RT_F32:
        ((float *) b->data)[i] = (float) v;
        break;
    case RT_F16:
        ((uint16_t *) b->data)[i] = f16_from_f32((float) v);
        break;
    case RT_BF16:
        ((uint16_t *) b->data)[i] = bf16_from_f32((float) v);
        break;
    case RT_F64:
        ((double *) b->data)[i] = v;
        break;
    default:
        ((uint32_t *) b->data)[i] = (uint32_t) v;
    }
}

#endif // RUNTIME_RT_H
