// shaders/adamw.comp -- one AdamW step on f32 weights.
#include "adamw.h"
#define BUFFERS ADAMW_BUFFERS
#define PARAMS ADAMW_PARAMS
#define LOCALS
#include "kernel.h"
#define NAME adamw
#define P(i) w[i]
#define P_EACH(i, v) ST_EACH_F32(w, i, v);
#include "adamw_body.h"
