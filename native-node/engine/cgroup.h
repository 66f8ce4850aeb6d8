// What a container or a service manager leaves this process of the machine: the limits of Linux control groups, versions 1 and 2. One
// may stand at any level, from the process's own group up to the root that it sees.
// https://docs.kernel.org/admin-guide/cgroup-v2.html
#pragma once

#include <cstdint>
#include <string>

namespace switchyard {

// `root` is where / lies; tests have it elsewhere.
double cgroup_cores(const std::string& root = "");    // 0: no limit
int64_t cgroup_memory(const std::string& root = "");  // bytes that may still be taken; INT64_MAX: no limit

}  // namespace switchyard
