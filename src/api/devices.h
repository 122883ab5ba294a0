// src/api/devices.h -- what devices there are, as text.
#ifndef API_DEVICES_H
#define API_DEVICES_H

#include <stdbool.h>

#include "src/base/err.h"

struct str;

// Every device in the order of `auto`, with its limits, appended to *out: a paragraph each, or with
// `json` one JSON array. Errors: RT_E_NOMEM.
RT_NODISCARD enum rt_err api_devices(bool json, struct str *out);

#endif // API_DEVICES_H
