// shaders/sources.h -- the kernels' texts as they are built into the program (made by embed.cmake).
#ifndef SHADERS_SOURCES_H
#define SHADERS_SOURCES_H

struct shader_source {
    const char *name; // file name in shaders/, e.g. "loss.comp"
    const char *text; // NUL-terminated
};

extern const struct shader_source SHADER_SOURCES[]; // ends with a NULL name

#endif // SHADERS_SOURCES_H
