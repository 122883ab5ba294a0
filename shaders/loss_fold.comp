// shaders/loss_fold.comp -- y[s] = x[2s] + tail * x[2s + 1], one lane a sequence. Oracle: op_loss_fold_ref().
#include "loss.h"
#define BUFFERS LOSS_FOLD_BUFFERS
#define PARAMS LOSS_FOLD_PARAMS
#define LOCALS
#include "kernel.h"

KERNEL_BEGIN(loss_fold)
    const uint s = GLOBAL_ID;
    if (s >= n_seqs)
        return; // no barrier follows
    y[s] = x[2u * s] + tail * x[2u * s + 1u];
KERNEL_END
