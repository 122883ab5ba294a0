// shaders/sgd_master.comp -- one SGD step on masters: weights in 16 bits and those beside them.
#include "sgd.h"
#define BUFFERS SGD_MASTER_BUFFERS
#define PARAMS SGD_PARAMS
#define LOCALS
#include "kernel.h"
#include "master.h"
#define NAME sgd_master
#define P(i) MASTER(w, low, i)
#define P_EACH(i, v) MASTER_EACH(w, low, i, v)
#include "sgd_body.h"
