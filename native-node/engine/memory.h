// How much memory the process may still take, and how much it has taken.
#pragma once

#include <cstdint>

namespace switchyard {

int64_t available_memory();  // bytes: what the system has free or can reclaim, cut down by a cgroup limit
int64_t peak_rss();          // bytes of physical memory at the process's peak

}  // namespace switchyard
