// shaders/sgd_copy.comp -- one SGD step on f32 parameters and their working copy in storage type.
#include "sgd.h"
#define NAME sgd_copy
#define COPY
#define BUFFERS SGD_COPY_BUFFERS
#include "sgd_body.h"
