// shaders/loss_unfold.comp -- dx[2s] = dy[s], dx[2s + 1] = tail * dy[s], one lane a sequence. Oracle: op_loss_unfold_ref().
#include "loss.h"
#define BUFFERS LOSS_UNFOLD_BUFFERS
#define PARAMS LOSS_FOLD_PARAMS
#define LOCALS
#include "kernel.h"

KERNEL_BEGIN(loss_unfold)
    const uint s = GLOBAL_ID;
    if (s >= n_seqs)
        return; // no barrier follows
    const float d = dy[s];
    dx[2u * s] = d;
    dx[2u * s + 1u] = tail * d;
KERNEL_END
