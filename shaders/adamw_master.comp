// shaders/adamw_master.comp -- one AdamW step on masters: weights in 16 bits and those beside them.
#include "adamw.h"
#define BUFFERS ADAMW_MASTER_BUFFERS
#define PARAMS ADAMW_PARAMS
#define LOCALS
#include "kernel.h"
#include "master.h"
#define NAME adamw_master
#define P(i) MASTER(w, low, i)
#define P_EACH(i, v) MASTER_EACH(w, low, i, v)
#include "adamw_body.h"
