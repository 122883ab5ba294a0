// The one place where volk's functions live: Vulkan's loader is looked for at run time.
#define VOLK_IMPLEMENTATION
#include <volk.h>
