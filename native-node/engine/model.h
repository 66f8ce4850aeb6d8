// A loaded model and what computes it: weights, the chosen ops, the mode and the threads. Immutable but for the
// threads, which one step at a time may use.
#pragma once

#include <memory>
#include <mutex>

#include "engine.h"
#include "ops/ops.h"
#include "screened_head.h"
#include "thread_pool.h"
#include "weight_cache.h"
#include "weights.h"

namespace switchyard {

struct Model {
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<Weights> weights;
  std::unique_ptr<HeadCopy> head;  // nullptr: the head is not screened
  const Ops* ops = nullptr;
  Mode mode = Mode::fast;
  int max_context = 0;
  double load_seconds = 0;
  std::string weights_cache;  // what became of it; empty: none was asked for
  std::mutex compute;  // held for a step: the pool takes one caller at a time

  EngineInfo info() const;  // without what the scheduler adds: context, sequences, KV cache

  static Status load(const EngineOptions& options, const Engine::Progress& progress, std::unique_ptr<Model>* out);
};

const char* mode_name(Mode mode);

}  // namespace switchyard
