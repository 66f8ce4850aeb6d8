// How much of the machine is ours: what /proc says, cut down by the limits of control groups at every level, of both versions, without
// the pages of files that a group gives up.
#include "memory.h"

#include "cgroup.h"
#include "check.h"
#include "scratch_folder.h"

using namespace switchyard;

namespace {

constexpr int64_t kGiga = int64_t(1) << 30;

std::string number(int64_t value) { return std::to_string(value) + "\n"; }

// A root folder in which 100 GB are free.
class Machine {
 public:
  explicit Machine(const std::string& groups) {
    folder.write("proc/meminfo", "MemTotal:  209715200 kB\nMemFree:   1 kB\nMemAvailable:  104857600 kB\nHugePages_Total:  0\n");
    folder.write("proc/self/cgroup", groups);
  }
  void group(const std::string& name, const std::string& file, const std::string& text) const {
    folder.write("sys/fs/cgroup/" + name + "/" + file, text);
  }
  int64_t available() const { return available_memory(folder.path()); }
  double cores() const { return cgroup_cores(folder.path()); }

  ScratchFolder folder;
};

void test_v2() {
  const Machine free("0::/\n");
  CHECK_EQ(free.available(), 100 * kGiga);
  CHECK_EQ(free.cores(), 0.0);
  // In a container its own group is the root.
  free.group("", "memory.max", number(40 * kGiga));
  free.group("", "memory.current", number(25 * kGiga));
  CHECK_EQ(free.available(), 15 * kGiga);
  // Of what it uses, 13 GB are a model's file that was read, and 1 GB the names of files that something looked through.
  free.group("", "memory.stat",
             "anon 5\nfile 99999999999\ninactive_file " + number(12 * kGiga) + "active_file " + number(kGiga) + "shmem 7\nslab_reclaimable " +
                 number(kGiga) + "slab_unreclaimable 9\n");
  CHECK_EQ(free.available(), 29 * kGiga);
  free.group("", "memory.current", number(60 * kGiga));  // more than allowed: it was lowered
  CHECK_EQ(free.available(), 0);
  free.group("", "memory.max", "max\n");
  CHECK_EQ(free.available(), 100 * kGiga);
  free.group("", "memory.high", number(50 * kGiga));
  CHECK_EQ(free.available(), 4 * kGiga);
  free.group("", "memory.max", number(kGiga << 10));  // of more than the machine has
  free.group("", "memory.high", "max\n");
  CHECK_EQ(free.available(), 100 * kGiga);

  // A service: its limit stands at its own level or above, and the root has no such files.
  const Machine service("0::/system.slice/switchyard.service\n");
  CHECK_EQ(service.available(), 100 * kGiga);
  service.group("system.slice/switchyard.service", "memory.max", number(8 * kGiga));
  service.group("system.slice/switchyard.service", "memory.current", number(kGiga));
  service.group("system.slice/switchyard.service", "cpu.max", "150000 100000\n");
  CHECK_EQ(service.available(), 7 * kGiga);
  CHECK_EQ(service.cores(), 1.5);
  service.group("system.slice", "memory.max", number(20 * kGiga));
  service.group("system.slice", "memory.current", number(14 * kGiga));
  service.group("system.slice", "cpu.max", "max 100000\n");
  CHECK_EQ(service.available(), 6 * kGiga);
  CHECK_EQ(service.cores(), 1.5);
}

void test_v1() {
  const Machine machine("9:name=systemd:/\n4:memory:/docker/0123\n3:cpu,cpuacct:/docker/0123\n2:cpuset:/\n0::/\n");
  CHECK_EQ(machine.available(), 100 * kGiga);
  machine.group("memory/docker/0123", "memory.limit_in_bytes", "9223372036854771712\n");
  machine.group("memory/docker/0123", "memory.usage_in_bytes", number(3 * kGiga));
  CHECK_EQ(machine.available(), 100 * kGiga);
  // In the container the group is mounted as the root.
  machine.group("memory", "memory.limit_in_bytes", number(10 * kGiga));
  machine.group("memory", "memory.usage_in_bytes", number(9 * kGiga));
  machine.group("memory", "memory.stat", "cache 1\ninactive_file 5\ntotal_inactive_file " + number(4 * kGiga) + "total_active_file 0\n");
  CHECK_EQ(machine.available(), 5 * kGiga);
  machine.group("cpu,cpuacct/docker", "cpu.cfs_quota_us", "250000\n");
  machine.group("cpu,cpuacct/docker", "cpu.cfs_period_us", "100000\n");
  machine.group("cpu,cpuacct/docker/0123", "cpu.cfs_quota_us", "-1\n");
  CHECK_EQ(machine.cores(), 2.5);
}

void test_odd_files() {
  const Machine broken("\n::\n1\n0::\nx:cpu\n0::/../..\n");
  CHECK_EQ(broken.available(), 100 * kGiga);
  broken.group("", "memory.max", number(2 * kGiga));  // without memory.current
  CHECK_EQ(broken.available(), 100 * kGiga);
  broken.group("", "memory.current", "nothing\n");
  broken.group("", "cpu.max", "many few\n");
  CHECK_EQ(broken.available(), 100 * kGiga);
  CHECK_EQ(broken.cores(), 0.0);
  const ScratchFolder empty;  // not even a /proc
  CHECK(available_memory(empty.path()) > 0);
  CHECK(available_memory() > 0 && peak_rss() > 0);
}

}  // namespace

int main() {
#ifdef __linux__
  test_v2();
  test_v1();
  test_odd_files();
#endif
  return check_result();
}
