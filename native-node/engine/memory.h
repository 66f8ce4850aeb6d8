// How much memory the process may still take, and how much it has taken.
#pragma once

#include <cstdint>
#include <string>

namespace switchyard {

// Bytes that the system has free or can reclaim, cut down by the limits of control groups. `root` is where / lies; tests have it
// elsewhere.
int64_t available_memory(const std::string& root = "");
int64_t peak_rss();  // bytes of physical memory at the process's peak

}  // namespace switchyard
