#include "memory.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "cgroup.h"

namespace switchyard {

int64_t available_memory([[maybe_unused]] const std::string& root) {
  int64_t available = int64_t(sysconf(_SC_PHYS_PAGES)) * int64_t(sysconf(_SC_PAGESIZE));
#ifdef __linux__
  std::ifstream meminfo(root + "/proc/meminfo");
  for (std::string name, unit; meminfo >> name;) {
    int64_t kilobytes = 0;
    meminfo >> kilobytes;
    std::getline(meminfo, unit);
    if (name == "MemAvailable:") {
      available = kilobytes * 1024;
      break;
    }
  }
  available = std::min(available, cgroup_memory(root));
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
