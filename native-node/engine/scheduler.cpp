#include "scheduler.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <new>

#include "logits.h"
#include "memory.h"

namespace switchyard {
namespace {

constexpr std::chrono::seconds kRateWindow{5};
constexpr int64_t kLeastContext = 1024;  // tokens of KV cache that are tried for even when memory is short
constexpr int64_t kMostBlocks = 1 << 24;  // of a default cache; of gpt-oss-120b they would hold 500 GB, of a tiny model lists of 200 MB
constexpr std::chrono::milliseconds kBreath{10};

bool reserve(std::vector<TokenEvent>* events, size_t count) try {
  events->reserve(count);
  return true;
} catch (const std::bad_alloc&) {
  return false;
}

// What all sequences need at the model's full length, but no more than half of what is free. The weights are in memory by now: what is
// free is without them.
int64_t default_kv_bytes(const Model& model, const SchedulerOptions& options) {
  const ModelConfig& config = model.weights->config();
  const auto bytes_for = [&](int64_t tokens, int step) {
    return KvCache::bytes_for(config, kv_element_bytes(model.mode), tokens, step);
  };
  const int64_t one = bytes_for(model.max_context, options.prefill_chunk), least = one / model.max_context * kLeastContext;
  const int64_t block = bytes_for(1, 1) / config.num_hidden_layers;
  int64_t all = 0;
  if (__builtin_mul_overflow(one, int64_t(options.max_sequences), &all)) all = std::numeric_limits<int64_t>::max();
  return std::min({all, std::max(available_memory() / 2, least), block * kMostBlocks});
}

Status check_request(const GenerateRequest& request, int vocab_size, size_t max_context) {
  if (request.prompt.empty()) return Status::error(Code::invalid_argument, "prompt must have at least one id");
  if (request.prompt.size() >= max_context) {
    return Status::error(Code::invalid_argument, "prompt has " + std::to_string(request.prompt.size()) +
                                                     " ids, the context holds " + std::to_string(max_context) +
                                                     " with the answer");
  }
  if (request.max_tokens < 0) return Status::error(Code::invalid_argument, "max_tokens must not be negative");
  for (Status status : {
           check_ids(request.prompt, vocab_size, "prompt"),
           check_ids(request.stop_ids, vocab_size, "stop_ids"),
           check_ids(request.never_ids, vocab_size, "never_ids"),
           check_ids(request.predicted, vocab_size, "predicted"),
           check_ids(request.sampling.unpenalized_ids, vocab_size, "unpenalized_ids"),
           check_sampling(request.sampling, vocab_size),
           check_constraints(request.constraints, vocab_size),
       }) {
    if (!status.ok()) return status;
  }
  return {};
}

}  // namespace

Status Scheduler::create(Model* model, const SchedulerOptions& options, std::unique_ptr<Scheduler>* out) try {
  if (options.max_sequences < 1 || options.max_sequences > 4096)
    return Status::error(Code::invalid_argument, "max_sequences must be 1 to 4096");
  if (options.prefill_chunk < 1 || options.prefill_chunk > 65536)
    return Status::error(Code::invalid_argument, "prefill_chunk must be 1 to 65536");
  if (options.speculate < 0 || options.speculate > int(kMostDrafted))
    return Status::error(Code::invalid_argument, "speculate must be 0 to " + std::to_string(kMostDrafted));
  if (options.kv_bytes < 0) return Status::error(Code::invalid_argument, "kv_bytes must not be negative");
  const ModelConfig& config = model->weights->config();
  const size_t element_bytes = kv_element_bytes(model->mode);
  std::unique_ptr<Scheduler> scheduler(new Scheduler(model));
  scheduler->max_sequences_ = size_t(options.max_sequences);
  scheduler->prefill_chunk_ = size_t(options.prefill_chunk);

  const int64_t kv_bytes = options.kv_bytes > 0 ? options.kv_bytes : default_kv_bytes(*model, options);
  if (Status status = KvCache::create(config, element_bytes, kv_bytes, &scheduler->cache_); !status.ok()) return status;
  scheduler->prefixes_ = std::make_unique<PrefixCache>(config, scheduler->cache_.get());
  scheduler->kv_tokens_ = scheduler->cache_->capacity_tokens(options.prefill_chunk);
  scheduler->max_context_ = size_t(std::min<int64_t>(model->max_context, scheduler->kv_tokens_));

  const size_t most_logits = std::max(scheduler->max_sequences_, kMostSpeculatedRows);
  const size_t max_rows = scheduler->prefill_chunk_ + most_logits;
  if (Status status = Forward::create(*model->weights, model->head.get(), *model->ops, model->mode, model->pool.get(),
                                      scheduler->cache_.get(), max_rows, &scheduler->forward_);
      !status.ok()) {
    return status;
  }
  const size_t vocab = size_t(config.vocab_size);
  for (int thread = 0; thread < model->pool->size(); ++thread) scheduler->samplers_.emplace_back(*model->ops, vocab);
  scheduler->logits_.reset(new float[most_logits * vocab]);
  scheduler->most_drafted_ = size_t(options.speculate);
  scheduler->always_speculate_ = options.always_speculate;
  const size_t head_bytes = model->head ? model->head->bytes() : model->weights->unembedding().bytes();
  scheduler->costs_ = std::make_unique<StepCosts>(expected_costs(*model->weights, head_bytes, kMostSpeculatedRows));
  scheduler->running_.reserve(scheduler->max_sequences_);
  scheduler->stats_.kv_tokens_total = scheduler->kv_tokens_;
  *out = std::move(scheduler);
  return {};
} catch (const std::bad_alloc&) {
  return Status::error(Code::out_of_memory, "not enough memory for the scheduler's buffers");
}

Scheduler::~Scheduler() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  orders_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Scheduler::start(Engine::Sink sink) {
  if (thread_.joinable()) return;
  sink_ = std::move(sink);
  thread_ = std::thread([this] { loop(); });
}

Status Scheduler::submit(GenerateRequest request, uint64_t* sequence) try {
  if (Status status = check_request(request, model_.weights->config().vocab_size, max_context_); !status.ok())
    return status;
  const std::lock_guard lock(mutex_);
  submitted_.push_back(std::make_unique<Sequence>(next_id_, std::move(request), cache_.get(), max_context_));
  *sequence = next_id_++;
  stats_.waiting++;
  orders_.notify_one();
  return {};
} catch (const std::bad_alloc&) {
  return Status::error(Code::out_of_memory, "not enough memory for another sequence");
}

void Scheduler::cancel(uint64_t sequence) {
  const std::lock_guard lock(mutex_);
  if (sequence == 0 || sequence >= next_id_) return;
  cancelled_.insert(sequence);
  orders_.notify_one();
}

EngineStats Scheduler::stats() const {
  const std::lock_guard lock(mutex_);
  EngineStats stats = stats_;
  const auto now = Clock::now();
  // From the end of the window's first step to now: that step's own tokens were made before.
  int64_t tokens = 0;
  const Clock::time_point* begin = nullptr;
  for (const auto& [time, count] : recent_) {
    if (now - time > kRateWindow) continue;
    if (begin) {
      tokens += count;
    } else {
      begin = &time;
    }
  }
  stats.tokens_per_second = tokens > 0 ? double(tokens) / std::chrono::duration<double>(now - *begin).count() : 0;
  return stats;
}

int64_t Scheduler::preemptions() const {
  const std::lock_guard lock(mutex_);
  return preemptions_;
}

void Scheduler::loop() {
  std::unordered_set<uint64_t> cancelled;
  while (take_orders(&cancelled)) {
    if (!cancelled.empty()) {
      end_cancelled(cancelled);
      deliver();
    }
    try {
      admit();
      plan();
      speculate();
      if (!planned_.empty()) run_step();
    } catch (const std::bad_alloc&) {
      fail_all();
    }
    deliver();
  }
  for (const SequencePtr& sequence : running_) sequence->end(Finish::cancelled);
  for (const SequencePtr& sequence : waiting_) sequence->end(Finish::cancelled);
  deliver();
}

// Waits for work; false when the scheduler is to stop.
bool Scheduler::take_orders(std::unordered_set<uint64_t>* cancelled) {
  std::unique_lock lock(mutex_);
  orders_.wait(lock, [&] {
    return stopping_ || !submitted_.empty() || !cancelled_.empty() || !running_.empty() || !waiting_.empty();
  });
  waiting_.splice(waiting_.end(), submitted_);
  cancelled->clear();
  std::swap(*cancelled, cancelled_);
  return !stopping_;
}

void Scheduler::end_cancelled(const std::unordered_set<uint64_t>& cancelled) {
  const auto end_in = [&](const auto& list) {
    for (const SequencePtr& sequence : list) {
      if (cancelled.contains(sequence->id)) sequence->end(Finish::cancelled);
    }
  };
  end_in(running_);
  end_in(waiting_);
}

// An ended sequence leaves its keys and values to those that go on from it.
void Scheduler::retire(Sequence* sequence) {
  prefixes_->remember(sequence->tokens, sequence->computed, sequence->table);
  sequence->table.release();
}

// One call of the sink with every sequence's news; the ended ones leave.
void Scheduler::deliver() {
  const auto has_news = [](const SequencePtr& sequence) { return sequence->has_news(); };
  const auto news = std::count_if(running_.begin(), running_.end(), has_news) +
                    std::count_if(waiting_.begin(), waiting_.end(), has_news);
  std::vector<TokenEvent> events;
  while (!reserve(&events, size_t(news))) std::this_thread::sleep_for(kBreath);  // no end may get lost
  const auto leaves = [&](const SequencePtr& sequence) {
    if (sequence->has_news()) events.push_back(sequence->take_event());
    if (sequence->finish == Finish::none) return false;
    retire(sequence.get());
    return true;
  };
  std::erase_if(running_, leaves);
  std::erase_if(waiting_, leaves);
  {
    const std::lock_guard lock(mutex_);
    stats_.running = int(running_.size());
    stats_.waiting = int(waiting_.size() + submitted_.size());
    const double used = double(cache_->total_blocks() - cache_->available_blocks()) / double(cache_->total_blocks());
    stats_.kv_tokens_used = int64_t(used * double(kv_tokens_));
  }
  if (!events.empty() && sink_) sink_(std::move(events));
}

void Scheduler::fail_all() {
  for (const SequencePtr& sequence : running_) {
    if (sequence->finish == Finish::none) sequence->end(Finish::error, no_memory());
  }
}

void Scheduler::publish(int64_t prefilled) {
  int64_t generated = 0, drafted = 0, accepted = 0;
  for (const Planned& planned : planned_) {
    generated += int64_t(planned.sequence->tokens.size() - planned.first_new);
    drafted += int64_t(planned.drafted);
    accepted += int64_t(planned.accepted);
  }
  const std::lock_guard lock(mutex_);
  stats_.tokens_prefilled += prefilled;
  stats_.tokens_generated += generated;
  stats_.tokens_drafted += drafted;
  stats_.tokens_accepted += accepted;
  const auto now = Clock::now();
  recent_.emplace_back(now, generated);
  while (now - recent_.front().first > kRateWindow) recent_.pop_front();
}

}  // namespace switchyard
