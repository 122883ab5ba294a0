// shaders/clip.h -- what gradients are multiplied by. Source: src/op/clip.h.
#define CLIP_BUFFERS IN(0, float, part) /* (n) sums of squares */ \
                     OUT(1, float, mult) /* (1)                 */
// max and add are pairs of floats, whose sum is meant.
#define CLIP_PARAMS U32(n) F32(max_hi) F32(max_lo) F32(add_hi) F32(add_lo) F32(most)
