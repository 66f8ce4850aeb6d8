#include "memory.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

namespace switchyard {

int64_t available_memory() {
  int64_t available = int64_t(sysconf(_SC_PHYS_PAGES)) * int64_t(sysconf(_SC_PAGESIZE));
#ifdef __linux__
  std::ifstream meminfo("/proc/meminfo");
  for (std::string name, unit; meminfo >> name;) {
    int64_t kilobytes = 0;
    meminfo >> kilobytes;
    std::getline(meminfo, unit);
    if (name == "MemAvailable:") {
      available = kilobytes * 1024;
      break;
    }
  }
  // A container's limit as seen from inside it: v2, then v1.
  constexpr const char* kFiles[][2] = {
      {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"},
      {"/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"}};
  for (const auto& [limit_file, used_file] : kFiles) {
    int64_t limit = 0, used = 0;
    if (std::ifstream(limit_file) >> limit && std::ifstream(used_file) >> used)
      available = std::min(available, std::max<int64_t>(limit - used, 0));
  }
#endif
  return available;
}

int64_t peak_rss() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
#ifdef __APPLE__
  return int64_t(usage.ru_maxrss);
#else
  return int64_t(usage.ru_maxrss) * 1024;
#endif
}

}  // namespace switchyard
