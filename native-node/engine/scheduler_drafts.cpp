// The scheduler's part in speculation: which guesses a step verifies, and what is learned of them.
#include <algorithm>

#include "scheduler.h"

namespace switchyard {

// Which guesses this step verifies. None while prompts are read: that is when rows are dear. What a caller predicts is looked
// at even where speculation is off.
void Scheduler::speculate() {
  const bool may_guess = most_drafted_ > 0 || std::any_of(planned_.begin(), planned_.end(), [](const Planned& planned) {
                           return !planned.sequence->request.predicted.empty();
                         });
  if (!may_guess) return;
  const bool all_decode = std::all_of(planned_.begin(), planned_.end(),
                                      [](const Planned& planned) { return planned.sequence->decodes(); });
  std::vector<const Drafter*> drafters;
  for (const Planned& planned : planned_) {
    Sequence& sequence = *planned.sequence;
    sequence.drafter.forget();
    const size_t room = sequence.token_limit - sequence.tokens.size() - 1;  // the sampler adds one behind the last guess
    // What may follow a guess under a grammar is only known once the guess is chosen, and the logits are computed before.
    if (all_decode && !sequence.constraint) {
      sequence.drafter.guess(sequence.tokens, std::min(room, most_drafted_), sequence.request.predicted,
                             std::min(room, kMostDrafted));
    }
    drafters.push_back(&sequence.drafter);
  }
  if (!all_decode) return;
  std::vector<size_t> counts;
  if (always_speculate_) {
    size_t left = kMostSpeculatedRows - std::min(kMostSpeculatedRows, planned_.size());
    for (const Drafter* drafter : drafters) left -= counts.emplace_back(std::min(left, drafter->draft().size()));
  } else {
    counts = share_drafts(drafters, planned_.size(), *costs_);
  }
  for (size_t i = 0; i < planned_.size(); ++i) {
    Sequence& sequence = *planned_[i].sequence;
    // Nobody loses blocks to a guess.
    const size_t end = sequence.computed + 1 + counts[i];
    if (counts[i] > 0 && sequence.table.extend(sequence.computed, end)) planned_[i].drafted = counts[i];
  }
}

// What the guesses were worth.
void Scheduler::learn() {
  for (const Planned& planned : planned_) {
    Sequence& sequence = *planned.sequence;
    sequence.drafter.learn(std::span<const int32_t>(sequence.tokens).subspan(planned.first_new));
  }
}

}  // namespace switchyard
