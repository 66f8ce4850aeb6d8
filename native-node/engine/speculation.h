// Speculation by lookup: tokens that will probably come next are guessed from what stands in the sequence, or in a text that
// the caller predicts, and run in the same step as the last token, each in the place it would have. The sampler
// then chooses as ever, from logits that are bit-equal to those of single steps (forward.h), and a guess is kept for as long
// as it is what the sampler chose. So the tokens are the same with and without; only their number a step differs.
//
// A guessed token costs: in a mixture of experts every further row reads further experts. Whether it is worth it is decided
// step by step from how often guesses of this kind were right in this sequence, and from what steps of so many rows took.
// Guesses that were not run are scored as well, so that a sequence without repetitions costs nothing but the lookup.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ngram_index.h"
#include "weights.h"

namespace switchyard {

inline constexpr size_t kMostDrafted = 15;         // guessed tokens of one sequence in a step
inline constexpr size_t kMostSpeculatedRows = 16;  // of a step with guesses: beyond, rows cost as much as they bring

// What a step of so many rows takes, in seconds or in any unit; steps of one token a sequence.
class StepCosts {
 public:
  // `expected` [rows]: relative costs before anything is measured, ascending, for 1 to expected.size() - 1 rows.
  explicit StepCosts(std::vector<double> expected);

  double of(size_t rows) const;
  void saw(size_t rows, double seconds);
  size_t most_rows() const { return expected_.size() - 1; }

 private:
  double guess(size_t rows) const;

  std::vector<double> expected_, seen_;  // seen: a moving average, 0: never
};

// By the bytes that such steps read, [rows]: distinct experts of `rows` tokens that choose by chance. `head_bytes`: of the
// head or its copy.
std::vector<double> expected_costs(const Weights& weights, size_t head_bytes, size_t most_rows);

// The guesses for one sequence.
class Drafter {
 public:
  // Looks for tokens that may follow `tokens`: at most `most_own` of what stands there before, or `most_predicted` of
  // `predicted`, which is what the caller expects, may be empty, and must be the same each time. Without memory there is no
  // guess.
  void guess(std::span<const int32_t> tokens, size_t most_own, std::span<const int32_t> predicted, size_t most_predicted);
  void forget() { draft_.clear(); }

  const std::vector<int32_t>& draft() const { return draft_; }
  bool is_predicted() const { return is_predicted_; }  // the draft was taken from `predicted`
  // That token `index` of the draft is right, where those before it are.
  double chance(size_t index) const;
  // What the sampler has chosen in this step.
  void learn(std::span<const int32_t> chosen);

 private:
  struct Record {  // of guesses after matches of one kind; old ones fade
    double right, all;
  };
  size_t kind_of(size_t index) const;
  bool look_in(std::span<const int32_t> predicted, std::span<const int32_t> tokens, size_t least, size_t most);

  NgramIndex own_, predicted_;
  std::vector<int32_t> draft_;
  bool is_predicted_ = false;
  size_t matched_ = 0;  // tokens before the draft that agree
  size_t expected_at_ = 0, expected_by_ = 0;  // the place in `predicted` that was last guessed from, and the tokens there were
  // Longer matches are righter, and so is what a caller predicts; last, what it predicts behind a token that is another one.
  // Where nothing is known yet, what texts that quote, edit or list have shown.
  std::array<Record, 7> records_{{{1.2, 3}, {2.1, 3}, {2.7, 3}, {2.1, 3}, {2.7, 3}, {2.9, 3}, {1.5, 3}}};
};

// How many tokens of each draft a step shall verify that has `rows` rows anyway: those that together make the most tokens a
// second. nullptr: a sequence without a guess.
std::vector<size_t> share_drafts(std::span<const Drafter* const> drafters, size_t rows, const StepCosts& costs);

}  // namespace switchyard
