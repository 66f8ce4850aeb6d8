#include "cgroup.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <limits>

namespace switchyard {
namespace {

// Calls visit(folder, is_v2) for every group that has a say about `controller`, the process's own first.
template <typename Visit>
void for_each_group(const std::string& root, const std::string& controller, Visit visit) {
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool is_v2 = controllers.empty();
    if (!is_v2 && ("," + controllers + ",").find("," + controller + ",") == std::string::npos) continue;
    const std::string base = root + (is_v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/" + controllers);
    std::string path = line.substr(second + 1);
    for (;;) {
      visit(base + path + "/", is_v2);
      const size_t slash = path.rfind('/');
      if (path == "/" || slash == std::string::npos) break;
      path.resize(slash);
    }
  }
}

// "MAX PERIOD" of v2 or the two values of v1; 0: no limit.
double quota_cores(const std::string& quota, const std::string& period) {
  if (quota.empty() || quota == "max" || quota[0] == '-') return 0;
  const double max = std::strtod(quota.c_str(), nullptr), length = std::strtod(period.c_str(), nullptr);
  return max > 0 && length > 0 ? max / length : 0;
}

double lowest_limit(double a, double b) { return a == 0 ? b : b == 0 ? a : std::min(a, b); }

// False where there is none, or no number ("max").
bool read_number(const std::string& path, int64_t* out) { return bool(std::ifstream(path) >> *out); }

// Of what a group uses, the pages of files and what the system remembers of their names: they count as used, but are given up before
// anybody is refused memory. After a model has been read they are as large as its weights.
int64_t reclaimable(const std::string& folder, bool is_v2) {
  const std::string prefix = is_v2 ? "" : "total_";  // v1's plain ones are without the groups below
  std::ifstream stat(folder + "memory.stat");
  int64_t sum = 0, bytes = 0;
  for (std::string name; stat >> name >> bytes;) {
    if (name == prefix + "active_file" || name == prefix + "inactive_file" || name == "slab_reclaimable") sum += bytes;
  }
  return sum;
}

}  // namespace

double cgroup_cores(const std::string& root) {
  double limit = 0;
  for_each_group(root, "cpu", [&](const std::string& folder, bool is_v2) {
    std::string quota, period;
    if (is_v2) {
      std::ifstream(folder + "cpu.max") >> quota >> period;
    } else {
      std::ifstream(folder + "cpu.cfs_quota_us") >> quota;
      std::ifstream(folder + "cpu.cfs_period_us") >> period;
    }
    limit = lowest_limit(limit, quota_cores(quota, period));
  });
  return limit;
}

int64_t cgroup_memory(const std::string& root) {
  constexpr int64_t kNone = std::numeric_limits<int64_t>::max();
  int64_t available = kNone;
  for_each_group(root, "memory", [&](const std::string& folder, bool is_v2) {
    int64_t limit = kNone, used = 0;
    // Beyond memory.high a process is slowed down until it stands still.
    for (const char* name : {"memory.max", "memory.high", "memory.limit_in_bytes"}) {
      int64_t bytes = 0;
      if (read_number(folder + name, &bytes)) limit = std::min(limit, bytes);
    }
    if (limit == kNone || !read_number(folder + (is_v2 ? "memory.current" : "memory.usage_in_bytes"), &used)) return;
    used = std::max<int64_t>(used - reclaimable(folder, is_v2), 0);
    available = std::min(available, std::max<int64_t>(limit - used, 0));
  });
  return available;
}

}  // namespace switchyard
