// The table of all kernels. A new kernel adds its declaration and its line here.
#include <string.h>

#include "src/base/arith.h"
#include "src/op/op.h"

// clang-format off
#define KERNELS(X)                                                                                 \
    X(op_attention_kernel) X(op_attention_delta_kernel) X(op_attention_dq_kernel)                  \
    X(op_attention_dkv_kernel) X(op_attention_wide_kernel) X(op_attention_wide_dq_kernel)          \
    X(op_attention_wide_dkv_kernel) X(op_matmul_kernel) X(op_matmul_round_kernel)                  \
    X(op_matmul_wide_kernel) X(op_matmul_register_kernel) X(op_cast_kernel) X(op_loss_kernel)      \
    X(op_rows_gather_kernel) X(op_rows_scatter_kernel) X(op_norm_kernel) X(op_norm_dx_kernel)      \
    X(op_norm_dw_kernel) X(op_colsum_kernel) X(op_colsum_add_kernel) X(op_rope_kernel)             \
    X(op_act_kernel) X(op_act_gate_kernel) X(op_act_back_kernel) X(op_act_gate_back_kernel)        \
    X(op_logprob_stats_kernel) X(op_logprob_finish_kernel) X(op_logprob_grad_kernel)               \
    X(op_segment_sum_kernel) X(op_segment_spread_kernel) X(op_sumsq_kernel) X(op_adamw_kernel)     \
    X(op_clip_kernel) X(op_lerp_master_kernel)                                                     \
    X(op_adamw_master_kernel) X(op_add_kernel) X(op_loss_fold_kernel) X(op_loss_unfold_kernel)       \
    X(op_logprob_cap_kernel) X(op_logprob_squares_kernel) X(op_logprob_squares_finish_kernel)      \
    X(op_sgd_kernel) X(op_sgd_master_kernel) X(op_lerp_kernel) X(op_dropout_kernel)                  \
    X(op_dora_norm_kernel) X(op_dora_scale_kernel) X(op_dora_back_kernel)               \
    X(op_route_pick_kernel) X(op_route_count_kernel) X(op_route_scan_kernel)                       \
    X(op_route_order_kernel) X(op_route_weights_kernel) X(op_route_balance_kernel)                 \
    X(op_route_back_kernel) X(op_experts_matmul_kernel) X(op_experts_sum_kernel)                   \
    X(op_experts_wide_kernel)                                                                      \
    X(op_experts_act_kernel) X(op_experts_act_back_kernel) X(op_logprob_sweep_kernel)              \
    X(op_logprob_dh_kernel) X(op_logprob_scale_kernel)
// clang-format on

#define DECLARE(k) extern const struct rt_kernel k;
KERNELS(DECLARE)

const struct rt_kernel *const *op_kernels(void)
{
#define ENTRY(k) &k,
    static const struct rt_kernel *const TABLE[] = {KERNELS(ENTRY) NULL};
    return TABLE;
}

bool op_has_few_registers(const struct rt_dev *dev)
{
    static const char *const NAMES[] = {"Intel", "Mali", "Adreno", "PowerVR", "V3D"};
    const struct rt_caps *caps = &rt_dev_plan(dev)->caps;
    for (size_t i = 0; i < COUNT_OF(NAMES); i++)
        if (caps->kind != RT_CPU && strstr(caps->name, NAMES[i]))
            return true;
    return false;
}
