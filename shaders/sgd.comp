// shaders/sgd.comp -- one SGD step on f32 weights.
#include "sgd.h"
#define BUFFERS SGD_BUFFERS
#define PARAMS SGD_PARAMS
#define LOCALS
#include "kernel.h"
#define NAME sgd
#define P(i) w[i]
#define P_EACH(i, v) ST_EACH_F32(w, i, v);
#include "sgd_body.h"
