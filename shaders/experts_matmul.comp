// shaders/experts_matmul.comp -- products of rows grouped by expert, with the tiles of matmul.comp.
// Oracle: op_experts_matmul_ref().
#define EXPERTS
#ifndef BM
#define BM 64
#define BN 64
#define BK 16
#define TM 8
#define NV 1
#endif
#include "matmul.comp"
