// runtime/hazard.h -- where a barrier is needed, for backends whose work may overlap.
//
// Work between two barriers is a stretch, numbered from 1. Work needs a barrier before it when it
// reads what this stretch wrote, or writes what this stretch read or wrote.
#ifndef RUNTIME_HAZARD_H
#define RUNTIME_HAZARD_H

#include "runtime/backend.h"

// Note one access in stretch *now; true when a barrier must come first. The caller then adds one to
// *now for the whole piece of work and notes its accesses again. Cannot fail.
static inline bool rt_hazard(const struct rt_buf *buf, enum rt_access access, uint64_t now)
{
    return buf->write_stretch == now || (access != RT_ACCESS_IN && buf->read_stretch == now);
}

static inline void rt_hazard_note(const struct rt_buf *buf, enum rt_access access, uint64_t now)
{
    struct rt_buf *b = (struct rt_buf *) (uintptr_t) buf; // the marks are not part of the contents
    if (access != RT_ACCESS_OUT)
        b->read_stretch = now;
    if (access != RT_ACCESS_IN)
        b->write_stretch = now;
}

#endif // RUNTIME_HAZARD_H
