// shaders/probe.h -- shows where each lane ran, and in which order. For tests/runtime/contract.c.
#define PROBE_BUFFERS INOUT(0, uint, y) /* (lanes of the grid) */
#define PROBE_PARAMS U32(nx) U32(ny) U32(salt) // groups along x and y; any number
