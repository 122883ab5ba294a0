// shaders/loss_unfold.comp -- dx[2s] = dy[s] + plain, dx[2s + 1] = tail * dy[s] + plain, one lane a sequence;
// plain of the first half alone. Oracle: op_loss_unfold_ref().
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
    const float more = s < n_seqs / 2u ? plain : 0.0f;
    dx[2u * s] = d + more;
    dx[2u * s + 1u] = tail * d + more;
KERNEL_END
