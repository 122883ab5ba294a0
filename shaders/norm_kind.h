// shaders/norm_kind.h -- what is compiled into the norm kernels: CENTER 1 = LayerNorm, 0 = RMSNorm;
// BIAS 1 = b is added; ADD 1 = the result is added to what is there.
#ifndef NORM_KIND_H
#define NORM_KIND_H

#ifndef CENTER
#define CENTER 0
#endif
#ifndef BIAS
#define BIAS 0
#endif
#ifndef ADD
#define ADD 0
#endif
#if CENTER
#define NORM_STATS 2u // numbers a row
#else
#define NORM_STATS 1u
#endif

#endif // NORM_KIND_H
