// The scheduler's part in planning: who is let in, who reads how much of its prompt in a step, and who gives its memory back.
#include <algorithm>

#include "scheduler.h"

namespace switchyard {
namespace {

// How long prompts may hold up the sequences that generate.
constexpr double kStallSeconds = 0.25;

}  // namespace

// First come, first served; a sequence is let in when all of its tokens so far fit beside what the running ones still
// need for theirs, where blocks of a common prefix that a running one holds count once. Otherwise a preempted one would come
// back too early and be thrown out again.
void Scheduler::admit() {
  const int64_t spare = int64_t(model_.weights->config().num_hidden_layers);  // a block of each layer to generate into
  int64_t promised = 0;
  for (const SequencePtr& sequence : running_) {
    promised += std::max<int64_t>(0, cache_->blocks_needed(int64_t(sequence->tokens.size()), int64_t(prefill_chunk_)) -
                                         int64_t(sequence->table.held_blocks()));
  }
  while (!waiting_.empty() && running_.size() < max_sequences_) {
    const std::vector<int32_t>& tokens = waiting_.front()->tokens;
    const int64_t needed = cache_->blocks_needed(int64_t(tokens.size()), int64_t(prefill_chunk_)) + spare;
    int64_t missing = running_.empty() ? 0 : promised + needed - int64_t(cache_->available_blocks());
    if (missing > 0) missing -= int64_t(prefixes_->shared_blocks(tokens, tokens.size() - 1));
    if (missing > 0) break;
    Sequence* sequence = running_.emplace_back(std::move(waiting_.front())).get();
    waiting_.pop_front();
    sequence->computed = prefixes_->restore(sequence->tokens, sequence->tokens.size() - 1, &sequence->table);
    // What a preempted one finds again are its own keys and values.
    if (!sequence->admitted) sequence->cached = sequence->computed;
    sequence->admitted = true;
    promised += std::max<int64_t>(0, needed - int64_t(sequence->table.held_blocks()));
  }
}

// Prompt tokens of this step, over all sequences.
size_t Scheduler::prefill_budget() const {
  const bool anyone_decodes =
      std::any_of(running_.begin(), running_.end(), [](const SequencePtr& sequence) { return sequence->decodes(); });
  if (!anyone_decodes || seconds_per_row_ == 0) return prefill_chunk_;
  const size_t rows = size_t(std::min(kStallSeconds / seconds_per_row_, double(prefill_chunk_)));
  return std::min(std::max(rows, kLeastRows), prefill_chunk_);
}

// Tokens of this step for each running sequence that still reads its prompt: equal shares of the budget, and what short
// prompts leave goes to the others.
std::vector<size_t> Scheduler::share_prefill() const {
  std::vector<size_t> shares(running_.size(), 0);
  std::vector<size_t> open;
  for (size_t i = 0; i < running_.size(); ++i) {
    if (!running_[i]->decodes()) open.push_back(i);
  }
  size_t budget = prefill_budget();
  while (budget > 0 && !open.empty()) {
    const size_t share = std::max<size_t>(budget / open.size(), 1);
    std::erase_if(open, [&](size_t i) {
      const size_t taken = std::min({share, budget, running_[i]->uncomputed() - shares[i]});
      shares[i] += taken;
      budget -= taken;
      return shares[i] == running_[i]->uncomputed();
    });
  }
  return shares;
}

// Who runs how many tokens in this step, in the order of arrival, with their blocks taken.
void Scheduler::plan() {
  planned_.clear();
  const std::vector<size_t> shares = share_prefill();
  for (size_t i = 0; i < running_.size(); ++i) {  // preemption shortens running_, behind i only
    Sequence* sequence = running_[i].get();
    const size_t tokens = sequence->decodes() ? 1 : shares[i];
    if (tokens > 0 && make_room(sequence, tokens)) planned_.push_back({sequence, tokens});
  }
}

// False: everything this sequence could take belongs to earlier ones, so it waits for the next step.
bool Scheduler::make_room(Sequence* sequence, size_t tokens) {
  while (!sequence->table.extend(sequence->computed, sequence->computed + tokens)) {
    if (running_.back().get() == sequence) return false;
    preempt_last();
  }
  return true;
}

void Scheduler::preempt_last() {
  Sequence& victim = *running_.back();
  waiting_.push_front(std::move(running_.back()));
  running_.pop_back();
  victim.table.release();
  victim.computed = victim.next_mark = 0;
  const std::lock_guard lock(mutex_);
  ++preemptions_;
}

}  // namespace switchyard
