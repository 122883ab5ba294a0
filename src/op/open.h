// src/op/open.h -- a device with all of the program's kernels, opened as the user named it.
#ifndef OP_OPEN_H
#define OP_OPEN_H

#include "src/op/op.h"

// As the options of train: texts, NULL = not given.
struct op_device {
    const char *device, *disable, *clamp, *cache_dir;
    bool profile; // see rt_dev_profile()
};

// Errors: RT_E_USAGE a wrong word in disable or clamp; those of dir_cache and rt_dev_open.
RT_NODISCARD enum rt_err op_dev_open(const struct op_device *d, struct rt_dev **out);

#endif // OP_OPEN_H
