// shaders/dropout.comp -- y = kept ? scale * x : 0, or that added to y. Oracle: op_dropout_ref().
#include "dropout.h"
#define BUFFERS DROPOUT_BUFFERS
#define PARAMS DROPOUT_PARAMS
#define LOCALS
#include "kernel.h"

uint mix_bits(uint a)
{
    uint b = (a ^ (a >> 16)) * 0x21f0aaadu;
    b = (b ^ (b >> 15)) * 0x735a2d97u;
    return b ^ (b >> 15);
}

KERNEL_BEGIN(dropout)
    const uint i = GLOBAL_ID * uint(PER);
    if (BEYOND(i, n))
        return; // no barrier follows
    float v[PER];
    for (uint k = 0u; k < uint(PER); k++) {
        const uint h = mix_bits(mix_bits((first + i + k) ^ key_lo) ^ key_hi);
        v[k] = h >= limit ? scale * LD(x, i + k) : 0.0f;
    }
    if (add != 0u)
        for (uint k = 0u; k < uint(PER); k++)
            v[k] += LD(y, i + k);
    ST_EACH(y, i, v);
KERNEL_END
