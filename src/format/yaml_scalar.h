// src/format/yaml_scalar.h -- private to src/format: what a plain YAML 1.1 scalar means.
#ifndef FORMAT_YAML_SCALAR_H
#define FORMAT_YAML_SCALAR_H

enum fmt_yaml_kind { FMT_YAML_STR, FMT_YAML_NULL, FMT_YAML_BOOL, FMT_YAML_INT, FMT_YAML_FLOAT };

// Kind of the plain scalar `s` and, for BOOL (0 or 1), INT and FLOAT, its value in *v.
// Source: PyYAML 6.0, yaml/resolver.py (patterns) and yaml/constructor.py (values). An INT may be
// too large for *v to be exact.
enum fmt_yaml_kind fmt_yaml_resolve(const char *s, double *v);

#endif // FORMAT_YAML_SCALAR_H
