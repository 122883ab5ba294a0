// What the processor behind an OpenCL CPU device can do. Its driver does not say.
#include "runtime/opencl/internal.h"

void rtcl_cpu_caps(struct rt_caps *caps, bool inline_asm)
{
#ifdef __x86_64__
    __builtin_cpu_init(); // asks the processor, and whether the system saves the wide registers
    caps->fma_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    caps->avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    caps->bf16_dot = inline_asm && caps->avx512 && __builtin_cpu_supports("avx512bf16");
#else
    (void) caps;
    (void) inline_asm;
#endif
}
