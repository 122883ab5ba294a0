// runtime/vulkan/internal.h -- the parts of the Vulkan backend. Only this folder sees Vulkan.
//
// One queue, one thread. Recorded work waits as items in the device until it is submitted;
// submissions are numbered 1, 2, ... (serials) and number s lives in slot s % RTVK_SLOTS. Nothing
// is allocated after the first use of a pipeline, a slot or the staging buffer.
#ifndef RUNTIME_VULKAN_INTERNAL_H
#define RUNTIME_VULKAN_INTERNAL_H

#include <volk.h>

#include "runtime/backend.h"

enum {
    RTVK_SLOTS = 8,          // submissions in flight
    RTVK_ITEMS = 256,        // items of one submission
    RTVK_PUSH_BYTES = 128,   // every Vulkan device has these
    RTVK_STAGING = 16 << 20, // bytes, two halves
    RTVK_READBACK = 4 << 20, // bytes on their way back with commands
    RTVK_READS = 256,        // pieces of them
    RTVK_BUCKETS = 256,
};

// ---- instance.c: the loader, an instance, the validation layer ---------------------------------

struct rtvk_instance {
    VkInstance handle; // NULL: Vulkan is not installed
    VkDebugUtilsMessengerEXT messenger;
    bool validate;     // the validation layer is on and its messages count as errors
    bool strict;       // warnings count too, not errors alone
    uint32_t messages; // that arrived and count
};

// *out must stay where it is until it is closed. RT_OK with handle NULL when there is no Vulkan
// here.
RT_NODISCARD enum rt_err rtvk_instance_open(bool validate, struct rtvk_instance *out);
void rtvk_instance_close(struct rtvk_instance *in); // accepts what was never opened

// ---- caps.c: what a physical device reports ----------------------------------------------------

// Extensions that we look for; bit numbers.
enum rtvk_ext {
    RTVK_EXT_DRIVER_PROPERTIES,
    RTVK_EXT_FLOAT16_INT8,
    RTVK_EXT_SUBGROUP_SIZE,
    RTVK_EXT_INTEGER_DOT,
    RTVK_EXT_MAINTENANCE4,
    RTVK_EXT_MEMORY_BUDGET,
    RTVK_EXT_PUSH_DESCRIPTOR,
    RTVK_EXT_PORTABILITY,
    RTVK_EXT_COUNT
};
extern const char *const RTVK_EXT_NAMES[RTVK_EXT_COUNT];

struct rtvk_phys {
    VkPhysicalDevice handle;
    uint32_t exts;         // bits of enum rtvk_ext
    uint32_t family;       // queue family of our queue
    uint32_t stamp_bits;   // valid bits of its timestamps, 0: none
    double stamp_ns;       // nanoseconds a tick
    uint32_t storage_bufs; // most storage buffers of one kernel
    uint64_t cache_key;    // of what compiled pipelines depend on
    VkPhysicalDeviceMemoryProperties memory;
    struct rt_caps caps;
};

// All devices with Vulkan 1.1 and a compute queue, in the driver's order; *out is a heap array.
RT_NODISCARD enum rt_err rtvk_phys_list(VkInstance instance, struct rtvk_phys **out,
                                        uint32_t *count);

// The memory type for buffers among `allowed` bits: for `unified` devices one that the host can
// map, else one that it cannot, if there is a choice. The same for staging. UINT32_MAX when there
// is none.
uint32_t rtvk_buffer_memory(const VkPhysicalDeviceMemoryProperties *m, uint32_t allowed,
                            bool unified);
uint32_t rtvk_staging_memory(const VkPhysicalDeviceMemoryProperties *m, uint32_t allowed);

// Bytes of heap `heap` that this process may still use as the driver sees it; UINT64_MAX if it does
// not say.
uint64_t rtvk_budget(const struct rtvk_phys *p, uint32_t heap);

// ---- The device --------------------------------------------------------------------------------

struct rtvk_chunk; // a used or free piece of an arena
struct rtvk_arena;

struct rtvk_buf {
    struct rt_buf head;
    VkBuffer handle;
    uint64_t size; // bytes of handle: head.bytes rounded up to 16
    struct rtvk_arena *arena;
    struct rtvk_chunk *chunk;
    uint8_t *map;    // of its first byte, or NULL
    uint64_t serial; // last submission that uses it
};

// A compiled kernel. Lives until the device is closed.
struct rtvk_pipe {
    struct rtvk_pipe *next; // in its bucket
    uint64_t key;
    const struct rt_kernel *kernel;
    enum rt_type types[RT_MAX_BUFS]; // of elem buffers
    uint32_t group[2];
    struct rt_tune tune[RT_MAX_TUNES];
    VkPipeline handle;
    double rate;   // cost units a second, as measured
    uint64_t mark; // last submission whose time was counted for it
};

struct rtvk_bind {
    struct rtvk_buf *buf;
    enum rt_access access;
    uint64_t off, size; // bytes
};

// One piece of recorded work.
struct rtvk_item {
    enum rtvk_kind { RTVK_DISPATCH, RTVK_COPY, RTVK_FILL, RTVK_UPDATE } kind;
    uint32_t n_bufs, groups[3], push_bytes;
    struct rtvk_bind bufs[RT_MAX_BUFS]; // copy: source, destination; fill, update: destination
    const void *data;                   // update: what is written; taken when it is submitted
    struct rtvk_pipe *pipe;
    double cost, seconds; // estimates
    uint8_t push[RTVK_PUSH_BYTES];
};

// A submission in flight, and what it needs to be made again.
struct rtvk_slot {
    uint64_t serial; // 0: never used
    VkCommandPool pool;
    VkCommandBuffer cb;
    VkFence fence;
    VkQueryPool stamps; // NULL without timestamps
    VkDescriptorPool sets;
    double submitted, seconds; // host clock; estimate
    uint32_t n_pipes;
    struct rtvk_pipe *pipes[RTVK_ITEMS]; // of its dispatches
    double costs[RTVK_ITEMS];
};

struct rtvk_cmd {
    struct rt_cmd head;
    uint64_t serial; // last submission that holds some of its work
};

// A copy into the read-back buffer: n bytes at off, which submission `serial` fills, for dst.
struct rtvk_read {
    uint64_t serial, off, n;
    void *dst;
};

struct rtvk_compiler; // kernel.c

struct rtvk_dev {
    struct rt_dev head;
    struct rtvk_instance instance;
    struct rtvk_phys phys;
    VkDevice handle;
    struct VolkDeviceTable vk;
    VkQueue queue;
    bool lost, hung;     // nothing can run any more; hung: nothing may be destroyed either
    double hang_seconds; // a submission that runs longer is given up
    bool push_descriptors;

    // buf.c
    uint32_t memory_type;
    bool mapped;    // buffers of that type are mapped
    bool cached;    // and quick to read there
    uint64_t align; // of buffers in an arena
    uint64_t arena_total;
    struct rtvk_arena *arenas;
    struct rtvk_buf *staging;
    uint64_t staging_serial[2]; // last submission that uses each half

    // readback.c
    struct rtvk_buf *readback;
    struct rtvk_read reads[RTVK_READS]; // a ring in the order of submissions
    uint32_t first_read, n_reads;
    uint64_t read_end; // offset behind the last one

    // kernel.c
    struct rtvk_compiler *compiler;
    VkPipelineCache cache;
    size_t cache_loaded;                                // bytes that came from disk
    VkDescriptorSetLayout set_layouts[RT_MAX_BUFS + 1]; // by number of buffers; [0] unused
    VkPipelineLayout layouts[RT_MAX_BUFS + 1];
    struct rtvk_pipe *pipes[RTVK_BUCKETS];

    // cmd.c
    struct rtvk_cmd *open; // whose items wait; NULL: the device's own
    uint32_t n_items;
    struct rtvk_item items[RTVK_ITEMS];
    double item_seconds;      // estimate of their sum
    uint64_t stretch;         // runtime/hazard.h
    uint64_t submitted, done; // serials
    struct rtvk_slot slots[RTVK_SLOTS];
};

static inline struct rtvk_dev *rtvk_dev_of(const struct rt_buf *buf)
{
    return (struct rtvk_dev *) buf->dev;
}

// VkResult to our code, with a message that names the device and the call. Positive results are
// fine.
RT_NODISCARD enum rt_err rtvk_ok(struct rtvk_dev *d, VkResult r, const char *what);
const char *rtvk_result_name(VkResult r);

// A call of the device's table, checked: RT_TRY(RTVK(d, vkCreateFence, d->handle, &info, NULL,
// &f)).
#define RTVK(d, fn, ...) rtvk_ok((d), (d)->vk.fn(__VA_ARGS__), #fn)

// ---- buf.c -------------------------------------------------------------------------------------

RT_NODISCARD enum rt_err rtvk_memory_init(struct rtvk_dev *d); // picks the memory type
void rtvk_memory_fini(struct rtvk_dev *d);
enum rt_err rtvk_buf_create(struct rt_dev *dev, const struct rt_buf *head, struct rt_buf **out);
void rtvk_buf_destroy(struct rt_buf *buf);
enum rt_err rtvk_buf_write(struct rt_buf *buf, uint64_t off, uint64_t n, const void *src);
enum rt_err rtvk_buf_read(const struct rt_buf *buf, uint64_t off, uint64_t n, void *dst);

// Memory of its own that the host reads and writes; not counted as a buffer. For transfers.
RT_NODISCARD enum rt_err rtvk_staging_create(struct rtvk_dev *d, uint64_t size,
                                             struct rtvk_buf **out);
void rtvk_staging_destroy(struct rtvk_dev *d, struct rtvk_buf **buf);

// ---- readback.c: contents that come back with commands -----------------------------------------

enum rt_err rtvk_cmd_read(struct rt_cmd *cmd, const struct rt_buf *buf, uint64_t off, uint64_t n,
                          void *dst);
void rtvk_reads_take(struct rtvk_dev *d); // of submissions that are done, to where they are wanted
void rtvk_reads_drop(struct rtvk_dev *d); // of work that was recorded and never submitted

// ---- arena.c: pieces of large allocations ------------------------------------------------------

RT_NODISCARD enum rt_err rtvk_arena_alloc(struct rtvk_dev *d, uint64_t size, const char *name,
                                          struct rtvk_arena **arena, struct rtvk_chunk **chunk);
void rtvk_arena_free(struct rtvk_dev *d, struct rtvk_arena *arena, struct rtvk_chunk *chunk);
VkDeviceMemory rtvk_arena_memory(const struct rtvk_arena *arena);
uint8_t *rtvk_arena_map(const struct rtvk_arena *arena, const struct rtvk_chunk *chunk); // or NULL
uint64_t rtvk_chunk_offset(const struct rtvk_chunk *chunk);

// ---- kernel.c ----------------------------------------------------------------------------------

RT_NODISCARD enum rt_err rtvk_kernels_init(struct rtvk_dev *d);
void rtvk_kernels_fini(struct rtvk_dev *d);

// The pipeline of `work`, made if need be; owned by the device.
// Errors: RT_E_UNSUPPORTED, RT_E_COMPILE, RT_E_DEVICE, RT_E_NOMEM.
RT_NODISCARD enum rt_err rtvk_pipe_get(struct rtvk_dev *d, const struct rt_work *work,
                                       struct rtvk_pipe **out);

// ---- cmd.c: recording; submit.c: submissions ---------------------------------------------------

enum rt_err rtvk_cmd_create(struct rt_dev *dev, struct rt_cmd **out);
enum rt_err rtvk_cmd_dispatch(struct rt_cmd *cmd, const struct rt_work *work);
enum rt_err rtvk_cmd_copy(struct rt_cmd *cmd, const struct rt_buf *src, uint64_t src_off,
                          struct rt_buf *dst, uint64_t dst_off, uint64_t n);
enum rt_err rtvk_cmd_zero(struct rt_cmd *cmd, struct rt_buf *buf, uint64_t off, uint64_t n);
enum rt_err rtvk_cmd_write(struct rt_cmd *cmd, struct rt_buf *buf, uint64_t off, uint64_t n,
                           const void *src);
enum rt_err rtvk_cmd_submit(struct rt_cmd *cmd);
enum rt_err rtvk_cmd_wait(struct rt_cmd *cmd);
void rtvk_cmd_destroy(struct rt_cmd *cmd);

// The device's own copies and fills: behind everything that is recorded, submitted at once, not
// waited for.
RT_NODISCARD enum rt_err rtvk_copy_now(struct rtvk_dev *d, struct rtvk_bind src,
                                       struct rtvk_bind dst);
RT_NODISCARD enum rt_err rtvk_fill_now(struct rtvk_dev *d, struct rtvk_bind dst);

RT_NODISCARD enum rt_err rtvk_submit(struct rtvk_dev *d); // the items that wait, if any
RT_NODISCARD enum rt_err rtvk_wait(struct rtvk_dev *d,
                                   uint64_t serial);             // until that submission has run
RT_NODISCARD enum rt_err rtvk_finish(struct rtvk_dev *d);        // submit, wait for everything
RT_NODISCARD enum rt_err rtvk_complaints(struct rtvk_dev *d);    // of the validation layer
double rtvk_estimate(const struct rtvk_pipe *pipe, double cost); // seconds
void rtvk_slots_fini(struct rtvk_dev *d);

#define RTVK_TARGET_SECONDS 0.1 // of one submission

#endif // RUNTIME_VULKAN_INTERNAL_H
