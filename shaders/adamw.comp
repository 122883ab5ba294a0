// shaders/adamw.comp -- one AdamW step on f32 parameters.
#include "adamw.h"
#define NAME adamw
#define BUFFERS ADAMW_BUFFERS
#include "adamw_body.h"
