// shaders/adamw_copy.comp -- one AdamW step on f32 parameters and their working copy in storage
// type.
#include "adamw.h"
#define NAME adamw_copy
#define COPY
#define BUFFERS ADAMW_COPY_BUFFERS
#include "adamw_body.h"
