// shaders/sgd.comp -- one SGD step on f32 parameters.
#include "sgd.h"
#define NAME sgd
#define BUFFERS SGD_BUFFERS
#include "sgd_body.h"
