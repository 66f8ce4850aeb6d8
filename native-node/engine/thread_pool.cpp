#include "thread_pool.h"

#include <algorithm>
#include <chrono>
#include <system_error>

#include "cgroup.h"

#ifdef __linux__
#include <pthread.h>
#include <sched.h>
#endif

namespace switchyard {
namespace {

// Longer than the serial gaps between two loops of a step, far shorter than a scheduler's time slice.
constexpr std::chrono::microseconds kSpin{20};
constexpr uint32_t kClosed = 0xffffffff;  // chunk number that no loop has

inline void pause_cpu() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins until `ready` or kSpin have passed.
template <typename Ready>
bool spin_until(Ready&& ready) {
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 32; ++i) {
      if (ready()) return true;
      pause_cpu();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  return ready();
}

#ifdef __linux__
std::vector<int> allowed_cpus() {
  std::vector<int> cpus;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
    }
  }
  return cpus;
}
#endif

}  // namespace

int threads_within(int cores, double quota) {
  if (cores <= 0) cores = int(std::thread::hardware_concurrency());
  if (quota > 0) cores = int(std::min(double(cores), quota));  // of half a core: none, and so one below
  return std::clamp(cores, 1, 1024);
}

int available_threads() {
#ifdef __linux__
  return threads_within(int(allowed_cpus().size()), cgroup_cores());
#else
  return threads_within(0, 0);
#endif
}

ThreadPool::ThreadPool(int threads) : tickets_(size_t(std::max(threads, 1))) {
  for (int thread = 1; thread < threads; ++thread) {
    try {
      workers_.emplace_back([this, thread] { work(thread); });
    } catch (const std::system_error&) {
      break;  // a thread limit: go on with those we have
    }
  }
#ifdef __linux__
  // With one thread per core a worker stays where its cache is; with fewer, the kernel knows better. The caller's own
  // thread is never pinned: it may not be ours.
  const std::vector<int> cpus = allowed_cpus();
  if (cpus.size() > 1 && cpus.size() == workers_.size() + 1) {
    for (size_t i = 0; i < workers_.size(); ++i) {
      cpu_set_t set;
      CPU_ZERO(&set);
      CPU_SET(cpus[i + 1], &set);
      pthread_setaffinity_np(workers_[i].native_handle(), sizeof set, &set);  // best effort
    }
  }
#endif
}

ThreadPool::~ThreadPool() {
  stopping_.store(true, std::memory_order_release);
  wakeup_.fetch_add(1, std::memory_order_seq_cst);
  wakeup_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(size_t count, size_t grain, Function function, void* context) {
  if (count == 0) return;
  // A chunk number has 32 bits; larger loops get larger chunks.
  grain = std::max(grain, (count >> 31) + 1);
  const size_t chunks = (count + grain - 1) / grain;
  if (chunks == 1 || workers_.empty()) {
    function(context, 0, count, 0);
    return;
  }
  const uint32_t loop = uint32_t(tickets_[0].value.load(std::memory_order_relaxed) >> 32) + 1;
  for (Ticket& ticket : tickets_) ticket.value.store(uint64_t(loop) << 32 | kClosed, std::memory_order_release);
  function_.store(function, std::memory_order_release);
  context_.store(context, std::memory_order_release);
  count_.store(count, std::memory_order_release);
  grain_.store(grain, std::memory_order_release);
  chunks_.store(chunks, std::memory_order_release);
  done_.store(0, std::memory_order_relaxed);
  for (size_t range = 0; range < tickets_.size(); ++range)
    tickets_[range].value.store(uint64_t(loop) << 32 | range_begin(range, chunks), std::memory_order_release);
  wakeup_.store(loop, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) > 0) wakeup_.notify_all();

  while (take_chunk(loop, 0)) {
  }
  const auto finished = [&] { return done_.load(std::memory_order_acquire) == chunks; };
  if (!spin_until(finished)) {
    for (uint32_t done = done_.load(std::memory_order_acquire); done != chunks;
         done = done_.load(std::memory_order_acquire)) {
      done_.wait(done, std::memory_order_acquire);
    }
  }
}

// False when `loop` has no chunk left or is over.
bool ThreadPool::take_chunk(uint32_t loop, int thread) {
  for (size_t i = 0; i < tickets_.size(); ++i) {
    if (take_from((size_t(thread) + i) % tickets_.size(), loop, thread)) return true;
  }
  return false;
}

bool ThreadPool::take_from(size_t range, uint32_t loop, int thread) {
  std::atomic<uint64_t>& next = tickets_[range].value;
  uint64_t ticket = next.load(std::memory_order_acquire);
  size_t chunk, chunks, count, grain;
  Function function;
  void* context;
  do {
    if (uint32_t(ticket >> 32) != loop) return false;
    chunk = uint32_t(ticket);
    function = function_.load(std::memory_order_acquire);
    context = context_.load(std::memory_order_acquire);
    count = count_.load(std::memory_order_acquire);
    grain = grain_.load(std::memory_order_acquire);
    chunks = chunks_.load(std::memory_order_acquire);
    if (chunk >= range_begin(range + 1, chunks)) return false;
  } while (!next.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel, std::memory_order_acquire));
  function(context, chunk * grain, std::min(count, (chunk + 1) * grain), thread);
  if (done_.fetch_add(1, std::memory_order_acq_rel) + 1 == chunks) done_.notify_one();
  return true;
}

void ThreadPool::work(int thread) {
  uint32_t seen = 0;
  for (;;) {
    const auto news = [&] { return wakeup_.load(std::memory_order_acquire) != seen; };
    if (!spin_until(news)) {
      sleepers_.fetch_add(1, std::memory_order_seq_cst);
      while (wakeup_.load(std::memory_order_seq_cst) == seen) wakeup_.wait(seen, std::memory_order_acquire);
      sleepers_.fetch_sub(1, std::memory_order_relaxed);
    }
    if (stopping_.load(std::memory_order_acquire)) return;
    seen = wakeup_.load(std::memory_order_acquire);
    while (take_chunk(seen, thread)) {
    }
  }
}

}  // namespace switchyard
