#include "speculation.h"

#include <algorithm>
#include <cmath>
#include <new>

namespace switchyard {
namespace {

constexpr double kNewest = 0.2;     // weight of the last step in an average
constexpr double kForgotten = 0.004;  // of what was seen, at every step of another size: a bad day is not held against it
constexpr double kMostSurprise = 3;   // times what was expected: more is not the step's own doing
constexpr double kFading = 0.94;
constexpr double kLeastGain = 1.02;  // tokens a second, beside the step without guesses

}  // namespace

StepCosts::StepCosts(std::vector<double> expected) : expected_(std::move(expected)), seen_(expected_.size(), 0) {}

// From the smallest step that was seen.
double StepCosts::guess(size_t rows) const {
  for (size_t seen = 1; seen < seen_.size(); ++seen) {
    if (seen_[seen] > 0) return seen_[seen] * expected_[rows] / expected_[seen];
  }
  return expected_[rows];
}

double StepCosts::of(size_t rows) const { return seen_[rows] > 0 ? seen_[rows] : guess(rows); }

void StepCosts::saw(size_t rows, double seconds) {
  if (rows == 0 || rows >= seen_.size() || !(seconds > 0)) return;
  const bool first_of_all = std::all_of(seen_.begin(), seen_.end(), [](double seen) { return seen == 0; });
  if (!first_of_all) seconds = std::min(seconds, kMostSurprise * of(rows));
  for (size_t other = 1; other < seen_.size(); ++other) {
    if (other != rows && seen_[other] > 0) seen_[other] += kForgotten * (guess(other) - seen_[other]);
  }
  seen_[rows] += (seen_[rows] > 0 ? kNewest : 1) * (seconds - seen_[rows]);
}

std::vector<double> expected_costs(const Weights& weights, size_t head_bytes, size_t most_rows) {
  const ModelConfig& config = weights.config();
  const double experts = double(config.num_experts), missed = 1 - double(config.experts_per_token) / experts;
  double dense = double(head_bytes), expert = 0;
  for (size_t i = 0; i < size_t(config.num_hidden_layers); ++i) {
    const LayerWeights& layer = weights.layer(i);
    for (const Linear* linear : {&layer.q, &layer.k, &layer.v, &layer.o, &layer.router}) dense += double(linear->bytes());
    expert += double(layer.gate_up[0].bytes() + layer.down[0].bytes());
  }
  std::vector<double> costs;
  for (size_t rows = 0; rows <= most_rows; ++rows)
    costs.push_back(dense + expert * experts * (1 - std::pow(missed, double(rows))));
  return costs;
}

size_t Drafter::kind_of(size_t index) const {
  const size_t matched = matched_ + index;
  if (matched == 0) return 6;
  return (matched < 4 ? 0 : matched < 8 ? 1 : 2) + (is_predicted_ ? 3 : 0);
}

// True where `predicted` has a match of at least `least` tokens and something behind it. Where nothing matches, a token of it may
// have been replaced by another one: then the rest comes as it stands there.
bool Drafter::look_in(std::span<const int32_t> predicted, std::span<const int32_t> tokens, size_t least, size_t most) {
  if (predicted.empty() || most == 0) return false;
  predicted_.add(predicted, predicted.size());
  NgramIndex::Match match = predicted_.find(predicted, tokens);
  if (match.length == 0 && expected_at_ > 0) match.at = expected_at_ + (tokens.size() - expected_by_);
  if (match.length < least || match.at == 0 || match.at >= predicted.size()) return false;
  expected_at_ = match.at;
  expected_by_ = tokens.size();
  const auto from = predicted.begin() + ptrdiff_t(match.at);
  draft_.assign(from, from + ptrdiff_t(std::min(most, predicted.size() - match.at)));
  matched_ = match.length;
  return true;
}

void Drafter::guess(std::span<const int32_t> tokens, size_t most_own, std::span<const int32_t> predicted,
                    size_t most_predicted) try {
  draft_.clear();
  if (tokens.empty()) return;
  NgramIndex::Match match;
  if (most_own > 0) {
    own_.add(tokens, tokens.size() - 1);
    match = own_.find(tokens, tokens);
  }
  is_predicted_ = look_in(predicted, tokens, match.length, most_predicted);
  if (is_predicted_ || match.length == 0) return;
  const size_t behind = tokens.size() - match.at;  // a match may run over the end: then what follows repeats
  for (size_t i = 0; i < most_own; ++i) draft_.push_back(tokens[match.at + i % behind]);
  matched_ = match.length;
} catch (const std::bad_alloc&) {
  draft_.clear();
}

double Drafter::chance(size_t index) const {
  const Record& record = records_[kind_of(index)];
  return record.right / record.all;
}

void Drafter::learn(std::span<const int32_t> chosen) {
  for (size_t i = 0; i < std::min(chosen.size(), draft_.size()); ++i) {
    const bool is_right = chosen[i] == draft_[i];
    Record& record = records_[kind_of(i)];
    record = {record.right * kFading + double(is_right), record.all * kFading + 1};
    if (!is_right) return;
  }
}

// One token after the other, each from the draft whose next one is likeliest to be kept; the best number of all is taken.
std::vector<size_t> share_drafts(std::span<const Drafter* const> drafters, size_t rows, const StepCosts& costs) {
  std::vector<size_t> counts(drafters.size(), 0), best = counts;
  if (rows == 0 || rows > costs.most_rows()) return best;
  std::vector<double> kept(drafters.size(), 1);  // the chance that all of a draft's tokens so far are right
  double tokens = double(drafters.size()), best_speed = tokens / costs.of(rows) * kLeastGain;
  while (++rows <= costs.most_rows()) {
    size_t next = drafters.size();
    double highest = 0;
    for (size_t i = 0; i < drafters.size(); ++i) {
      if (!drafters[i] || counts[i] >= drafters[i]->draft().size()) continue;
      const double chance = kept[i] * drafters[i]->chance(counts[i]);
      if (chance > highest) highest = chance, next = i;
    }
    if (next == drafters.size()) break;
    kept[next] = highest;
    ++counts[next];
    tokens += highest;
    if (tokens / costs.of(rows) > best_speed) best_speed = tokens / costs.of(rows), best = counts;
  }
  return best;
}

}  // namespace switchyard
