// One step of the scheduler: the planned tokens go through the model together, and what it says is sampled.
#include <algorithm>
#include <new>

#include "scheduler.h"

namespace switchyard {
namespace {

constexpr double kNewest = 0.3;  // weight of the last step in the average

Sampler::Input sampling_of(const Sequence& sequence) {
  Sampler::Input input{&sequence.request.sampling, sequence.request.never_ids, &sequence.counts, sequence.tokens.size()};
  if (sequence.constraint) sequence.constraint->limit(&input);
  return input;
}

}  // namespace

// What the model is to compute of a sequence, and which logits are wanted.
void Scheduler::add_rows(Planned* planned) {
  Sequence* sequence = planned->sequence;
  const size_t size = sequence->tokens.size(), end = sequence->computed + planned->tokens;
  for (size_t i = sequence->computed; i < end; ++i) {
    rows_.push_back({&sequence->table, sequence->tokens[i], i, i + 1 == size});
  }
  planned->first_new = size;
  planned->first_logits = needs_.size();
  if (end < size) return;
  Sampler::Input input = sampling_of(*sequence);
  rows_.back().need = &needs_.emplace_back(Sampler::need(input));
  const std::span<const int32_t> draft(sequence->drafter.draft());
  for (size_t i = 0; i < planned->drafted; ++i) {
    input.position = size + i + 1;
    input.assumed = draft.first(i + 1);
    rows_.push_back({&sequence->table, draft[i], size + i, true, &needs_.emplace_back(Sampler::need(input))});
  }
}

void Scheduler::run_step() {
  rows_.clear();
  needs_.clear();
  needs_.reserve(std::max(planned_.size(), kMostSpeculatedRows));  // rows point at them
  int64_t prefilled = 0;
  for (Planned& planned : planned_) {
    if (!planned.sequence->decodes() || planned.sequence->generated() == 0) prefilled += int64_t(planned.tokens);
    add_rows(&planned);
  }
  {
    const std::lock_guard lock(model_.compute);
    const auto begin = Clock::now();
    const auto seconds = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
    forward_->run(rows_, logits_.get());
    if (prefilled >= int64_t(kLeastRows))
      seconds_per_row_ += (seconds_per_row_ == 0 ? 1 : kNewest) * (seconds() / double(rows_.size()) - seconds_per_row_);
    // Not before: what a failed step has not written must not be remembered.
    for (const Planned& planned : planned_) planned.sequence->computed += planned.tokens;
    remember_marks();
    sample();
    if (prefilled == 0) costs_->saw(rows_.size(), seconds());
  }
  learn();
  publish(prefilled);
}

// At once, as a sliding layer soon gives back what a prompt that goes on from there needs.
void Scheduler::remember_marks() {
  for (const Planned& planned : planned_) {
    Sequence& sequence = *planned.sequence;
    for (; sequence.next_mark < sequence.marks.size(); ++sequence.next_mark) {
      const size_t mark = sequence.marks[sequence.next_mark];
      if (mark > sequence.computed) break;
      if (mark > sequence.cached) prefixes_->remember(sequence.tokens, mark, sequence.table);
    }
  }
}

void Scheduler::sample() {
  model_.pool->parallel_for(planned_.size(), 1, [&](size_t begin, size_t end, int thread) {
    for (size_t i = begin; i < end; ++i) {
      Planned& planned = planned_[i];
      if (planned.sequence->computed < planned.first_new) continue;  // its prompt is not read to the end
      try {
        sample_one(&planned, &samplers_[size_t(thread)]);
      } catch (const std::bad_alloc&) {
        planned.sequence->end(Finish::error, no_memory());
      }
    }
  });
}

// The next token, and for as long as it is the guessed one, the token after it.
void Scheduler::sample_one(Planned* planned, Sampler* sampler) {
  Sequence& sequence = *planned->sequence;
  float* logits = &logits_[planned->first_logits * size_t(model_.weights->config().vocab_size)];
  const bool is_predicted = sequence.drafter.is_predicted();
  sequence.drafted += int(planned->drafted);
  if (is_predicted) sequence.predicted_drafted += int(planned->drafted);
  for (size_t i = 0;; ++i, logits += model_.weights->config().vocab_size) {
    int32_t token = 0;
    TokenLogprob logprob;
    if (Status status = sampler->sample(sampling_of(sequence), logits, &token, &logprob); !status.ok())
      return sequence.end(Finish::error, std::move(status));
    sequence.append(token, std::move(logprob));
    if (i == planned->drafted || token != sequence.drafter.draft()[i]) return;
    ++planned->accepted;
    ++sequence.accepted;
    if (is_predicted) ++sequence.predicted_accepted;
    if (sequence.finish != Finish::none) return;
    ++sequence.computed;  // its keys and values were those of the guess
  }
}

}  // namespace switchyard
