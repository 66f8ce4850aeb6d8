// Continuous batching on one thread of its own. A step takes a part of the prompts that are still to be read (chunked
// prefill) and one token of every sequence that generates, runs them through the model together, samples, and delivers
// what each sequence got.
//
// Order of arrival decides who is admitted and who keeps its memory: when the KV cache is full, the sequence that came
// last gives its blocks back and is computed again later (preempted), which changes nothing about its tokens. The first
// one always fits, so there is always progress. Prompts share the prefill budget evenly, so that a short one does not
// wait behind a long one; while others generate, the budget is what a step of bounded length can take. What a prompt has in
// common with an earlier one is not computed again (prefix_cache.h). Where it pays, a step also verifies guessed tokens of a
// sequence (speculation.h): rows that turn out wrong are overwritten by the next step, before anything reads them.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_set>
#include <vector>

#include "forward.h"
#include "model.h"
#include "prefix_cache.h"
#include "sampler.h"
#include "sequence.h"
#include "speculation.h"

namespace switchyard {

struct SchedulerOptions {
  int max_sequences = 16;
  int prefill_chunk = 256;
  int64_t kv_bytes = 0;   // 0: what max_sequences full contexts need, at most half of the free memory
  int speculate = 0;              // tokens guessed from its own text that a step may verify for a sequence (speculation.h)
  bool always_speculate = false;  // whether or not it pays: for tests
};

class Scheduler {
 public:
  static Status create(Model* model, const SchedulerOptions& options, std::unique_ptr<Scheduler>* out);
  ~Scheduler();  // ends every sequence with Finish::cancelled and joins the thread
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  void start(Engine::Sink sink);  // once
  Status submit(GenerateRequest request, uint64_t* sequence);
  void cancel(uint64_t sequence);
  EngineStats stats() const;

  int max_context() const { return int(max_context_); }
  int64_t kv_bytes() const { return cache_->bytes(); }
  int64_t kv_tokens() const { return kv_tokens_; }
  int64_t preemptions() const;

 private:
  using SequencePtr = std::unique_ptr<Sequence>;
  using Clock = std::chrono::steady_clock;
  struct Planned {
    Sequence* sequence;
    size_t tokens;  // of this step
    size_t drafted = 0;       // guessed ones behind them
    size_t accepted = 0;      // of these, those that came true
    size_t first_logits = 0;  // the place of the first that is sampled
    size_t first_new = 0;     // in sequence->tokens: what is sampled in this step
  };

  // A step of fewer rows reads nearly all experts for little.
  static constexpr size_t kLeastRows = 32;

  explicit Scheduler(Model* model) : model_(*model) {}
  // So short that the message takes no memory itself.
  static Status no_memory() { return Status::error(Code::out_of_memory, "out of memory"); }

  void loop();
  bool take_orders(std::unordered_set<uint64_t>* cancelled);
  void end_cancelled(const std::unordered_set<uint64_t>& cancelled);
  void admit();
  void plan();
  bool make_room(Sequence* sequence, size_t tokens);
  void preempt_last();
  size_t prefill_budget() const;
  std::vector<size_t> share_prefill() const;
  void speculate();
  void add_rows(Planned* planned);
  void run_step();
  void remember_marks();
  void retire(Sequence* sequence);
  void sample();
  void sample_one(Planned* planned, Sampler* sampler);
  void learn();
  void deliver();
  void fail_all();
  void publish(int64_t prefilled);

  Model& model_;
  size_t max_sequences_ = 0, prefill_chunk_ = 0, max_context_ = 0;
  int64_t kv_tokens_ = 0;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<PrefixCache> prefixes_;
  std::unique_ptr<Forward> forward_;
  std::vector<Sampler> samplers_;    // (threads)
  std::unique_ptr<float[]> logits_;  // (max_sequences, at least kMostSpeculatedRows; vocab_size)
  size_t most_drafted_ = 0;            // of a sequence's own text; 0: only what callers predict is looked at
  bool always_speculate_ = false;
  std::unique_ptr<StepCosts> costs_;
  Engine::Sink sink_;

  // Only the scheduler's thread touches these. Both lists are in the order of arrival.
  std::list<SequencePtr> waiting_;
  std::vector<SequencePtr> running_;
  std::vector<Planned> planned_;
  std::vector<Row> rows_;
  std::vector<LogitNeed> needs_;  // of the rows that are sampled
  double seconds_per_row_ = 0;  // of steps that read prompts; a moving average

  // Shared with the callers, under mutex_.
  mutable std::mutex mutex_;
  std::condition_variable orders_;
  std::list<SequencePtr> submitted_;
  std::unordered_set<uint64_t> cancelled_;
  uint64_t next_id_ = 1;
  bool stopping_ = false;
  EngineStats stats_;
  int64_t preemptions_ = 0;
  std::deque<std::pair<Clock::time_point, int64_t>> recent_;  // generated tokens of the last seconds' steps

  std::thread thread_;
};

}  // namespace switchyard
