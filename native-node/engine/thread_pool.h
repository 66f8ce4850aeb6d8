// The engine's worker threads. One caller at a time splits a loop over them and takes part in it.
// Chunks are handed out dynamically, and a loop ends when its chunks are done, not when every worker has shown up: a
// worker that the kernel put aside costs nothing but its help.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace switchyard {

// The cores this process may use: the affinity mask, cut down by a cgroup quota. At least 1.
int available_threads();

// Of `cores` (0: not known) under a quota of so many cores' time (0: none).
int threads_within(int cores, double quota);

class ThreadPool {
 public:
  // `threads` counts the caller: threads - 1 workers are started (fewer if the system refuses more).
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return int(workers_.size()) + 1; }

  // Calls body(begin, end, thread) for pieces of [0, count) of `grain` items until all are done; thread < size() is the
  // same for one piece only. `body` must not throw. Which thread gets which piece is left to chance: results must not
  // depend on it.
  template <typename Body>
  void parallel_for(size_t count, size_t grain, Body&& body) {
    using Stored = std::remove_reference_t<Body>;
    run(
        count, grain == 0 ? 1 : grain,
        [](void* context, size_t begin, size_t end, int thread) {
          (*static_cast<Stored*>(context))(begin, end, thread);
        },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

 private:
  using Function = void (*)(void* context, size_t begin, size_t end, int thread);

  void run(size_t count, size_t grain, Function function, void* context);
  void work(int thread);
  size_t range_begin(size_t range, size_t chunks) const { return chunks * range / tickets_.size(); }
  bool take_chunk(uint32_t loop, int thread);
  bool take_from(size_t range, uint32_t loop, int thread);

  std::vector<std::thread> workers_;

  // The chunks are cut into a range for each thread, who takes those of others when its own are gone: what a thread reads
  // lies in one stretch then, for the most part, and is fetched ahead across the borders of chunks.
  struct alignas(64) Ticket {
    std::atomic<uint64_t> value{0};  // loop number in the high half, next chunk of the range in the low half
  };

  // The loop being run. Written by the caller while all tickets are closed, read by workers before they take a chunk with a
  // compare-and-swap that fails if the loop has changed since.
  std::atomic<Function> function_{nullptr};
  std::atomic<void*> context_{nullptr};
  std::atomic<size_t> count_{0}, grain_{1}, chunks_{0};

  std::vector<Ticket> tickets_;
  alignas(64) std::atomic<uint32_t> done_{0};    // chunks finished in this loop
  alignas(64) std::atomic<uint32_t> wakeup_{0};  // number of the newest loop; workers sleep on it
  std::atomic<uint32_t> sleepers_{0};
  std::atomic<bool> stopping_{false};
};

}  // namespace switchyard
