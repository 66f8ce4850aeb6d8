#include "sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>

namespace switchyard {
namespace {

constexpr float kMasked = -std::numeric_limits<float>::infinity();

// splitmix64's output function: https://prng.di.unimi.it/splitmix64.c
uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

// exp for x in [-inf, 0] with a relative error below 2e-7. Branch-free, so that a loop over it becomes vector code:
// exp2(n + f) with n an integer and |f| <= 1/2; below 2^-126 it is 0.
inline float exp_of_negative(float x) {
  const float t = std::max(x * 1.44269504f, -127.0f);
  const float shifted = t + 12582912.0f;  // 1.5 * 2^23: the sum's last bits are round(t)
  const float f = t - (shifted - 12582912.0f);
  float p = 1.535336188e-4f;
  p = p * f + 1.339887440e-3f;
  p = p * f + 9.618437357e-3f;
  p = p * f + 5.550332471e-2f;
  p = p * f + 2.402264791e-1f;
  p = p * f + 6.931472028e-1f;
  p = p * f + 1.0f;
  const int32_t n = std::bit_cast<int32_t>(shifted) - 0x4b400000;
  const float scale = std::bit_cast<float>((n + 127) << 23);  // n = -127 gives 0
  return p * scale;
}

Status out_of_range(const char* name, const char* range) {
  return Status::error(Code::invalid_argument, std::string(name) + " must be " + range);
}

// NaN and +infinity are a broken model; -infinity is just a token with no chance.
bool is_broken(const float* logits, size_t n) {
  bool broken = false;
  for (size_t i = 0; i < n; ++i) broken |= !(logits[i] <= std::numeric_limits<float>::max());
  return broken;
}

}  // namespace

Status check_sampling(const SamplingParams& params, int vocab_size) {
  if (!(params.temperature >= 0 && params.temperature <= 1e6f))
    return out_of_range("temperature", "a number from 0 up");
  if (!(params.top_p >= 0 && params.top_p <= 1)) return out_of_range("top_p", "0 to 1");
  if (params.top_k < 0) return out_of_range("top_k", "0 (off) or more");
  if (!(params.min_p >= 0 && params.min_p <= 1)) return out_of_range("min_p", "0 to 1");
  if (!(std::fabs(params.frequency_penalty) <= 1e6f)) return out_of_range("frequency_penalty", "a finite number");
  if (!(std::fabs(params.presence_penalty) <= 1e6f)) return out_of_range("presence_penalty", "a finite number");
  if (!(params.repetition_penalty > 0 && params.repetition_penalty <= 1e6f))
    return out_of_range("repetition_penalty", "a number above 0");
  if (params.top_logprobs < -1 || params.top_logprobs > 20) return out_of_range("top_logprobs", "-1 (off) to 20");
  for (const auto& [id, bias] : params.logit_bias) {
    if (id < 0 || id >= vocab_size)
      return Status::error(Code::invalid_argument,
                           "logit_bias names id " + std::to_string(id) + ", outside the vocabulary");
    if (!(std::fabs(bias) <= 1e6f)) return out_of_range("logit_bias", "a finite number for each id");
  }
  return {};
}

double random_unit(uint64_t seed, uint64_t position) {
  constexpr uint64_t kGolden = 0x9e3779b97f4a7c15ull;
  // Element `position` of the splitmix64 stream that starts at the mixed seed.
  return double(mix(mix(seed + kGolden) + (position + 1) * kGolden) >> 11) * 0x1p-53;
}

Status Sampler::sample(const Input& input, float* logits, int32_t* token, TokenLogprob* logprob) {
  if (is_broken(logits, vocab_size_)) return Status::error(Code::internal, "the model's logits are not finite");
  const SamplingParams& params = *input.params;
  const bool wants_logprob = params.top_logprobs >= 0;
  // Chosen and alternatives are read before anything changes; which one is chosen is only known after.
  double log_sum = 0;
  if (wants_logprob) {
    read_logprob(logits, params.top_logprobs, &logprob->top, &log_sum);
    original_.assign(logits, logits + vocab_size_);
  }
  apply_changes(input, logits);
  const size_t best = ops_.f32_argmax(logits, vocab_size_);
  const float largest = logits[best];
  if (largest == kMasked) return Status::error(Code::internal, "every token is masked");
  if (params.temperature == 0) {
    *token = int32_t(best);
  } else if (Status status = draw(input, logits, largest, token); !status.ok()) {
    return status;
  }
  if (wants_logprob) logprob->logprob = float(double(original_[size_t(*token)]) - log_sum);
  return {};
}

void Sampler::apply_changes(const Input& input, float* logits) const {
  const SamplingParams& params = *input.params;
  for (const auto& [id, bias] : params.logit_bias) logits[id] += bias;
  if (params.frequency_penalty != 0 || params.presence_penalty != 0 || params.repetition_penalty != 1) {
    for (const auto& [id, count] : *input.counts) {
      float& logit = logits[id];
      logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
      logit -= params.frequency_penalty * float(count) + params.presence_penalty;
    }
  }
  for (const int32_t id : input.never_ids) logits[id] = kMasked;
}

// log(sum(exp(logits))) and the `top` largest with their logarithms, best first, ties to the lower id.
void Sampler::read_logprob(const float* logits, int top, std::vector<std::pair<int32_t, float>>* best,
                           double* log_sum) const {
  const float largest = logits[ops_.f32_argmax(logits, vocab_size_)];
  double sum = 0;
  for (size_t i = 0; i < vocab_size_; ++i) sum += exp_of_negative(logits[i] - largest);
  *log_sum = double(largest) + std::log(sum);

  const auto better = [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  };
  best->clear();
  for (size_t i = 0; i < vocab_size_ && top > 0; ++i) {
    const std::pair<int32_t, float> candidate{int32_t(i), logits[i]};
    if (best->size() == size_t(top)) {
      if (!better(candidate, best->front())) continue;  // a heap with the worst of the best in front
      std::pop_heap(best->begin(), best->end(), better);
      best->pop_back();
    }
    best->push_back(candidate);
    std::push_heap(best->begin(), best->end(), better);
  }
  std::sort_heap(best->begin(), best->end(), better);
  for (auto& [id, value] : *best) value = float(double(value) - *log_sum);
}

Status Sampler::draw(const Input& input, const float* logits, float largest, int32_t* token) {
  const SamplingParams& params = *input.params;
  weights_.resize(vocab_size_);
  const float temperature = params.temperature;
  for (size_t i = 0; i < vocab_size_; ++i) weights_[i] = exp_of_negative((logits[i] - largest) / temperature);

  // The largest weight is 1: min_p is a cut by itself.
  Cut cut{params.min_p, SIZE_MAX};
  const bool by_count = params.top_k > 0 && size_t(params.top_k) < vocab_size_, by_mass = params.top_p < 1;
  if (by_count || by_mass) {
    candidates_.clear();
    for (const float weight : weights_) {
      if (weight > 0 && weight >= cut.weight) candidates_.push_back(weight);
    }
    if (by_count && candidates_.size() > size_t(params.top_k)) cut = cut_to_count(size_t(params.top_k));
    if (by_mass) cut = cut_to_mass(cut, params.top_p);
  }

  const auto for_each_kept = [&](auto&& visit) {
    size_t ties = cut.ties;
    for (size_t i = 0; i < vocab_size_; ++i) {
      const float weight = weights_[i];
      if (weight < cut.weight || weight == 0) continue;
      if (weight == cut.weight && cut.ties != SIZE_MAX && ties-- == 0) {
        ties = 0;
        continue;
      }
      if (!visit(i, weight)) return;
    }
  };
  double total = 0;
  for_each_kept([&](size_t, float weight) { return total += weight, true; });
  const double target = random_unit(params.seed, input.position) * total;
  double sum = 0;
  size_t chosen = vocab_size_;
  for_each_kept([&](size_t i, float weight) {
    sum += weight;
    chosen = i;  // rounding may leave the last one below the target: then it is the one
    return sum <= target;
  });
  if (chosen == vocab_size_) return Status::error(Code::internal, "no token is left to choose");
  *token = int32_t(chosen);
  return {};
}

// Leaves the `count` largest candidates; ties go to the lower ids when the cut is applied.
Sampler::Cut Sampler::cut_to_count(size_t count) {
  const auto last = candidates_.begin() + ptrdiff_t(count - 1);
  std::nth_element(candidates_.begin(), last, candidates_.end(), std::greater<float>());
  const float weight = *last;
  candidates_.resize(count);
  return {weight, size_t(std::count(candidates_.begin(), candidates_.end(), weight))};
}

// The smallest set of largest candidates that holds `share` of their mass: quickselect by mass instead of by count, so
// that no more than the part around the cut is ever ordered.
Sampler::Cut Sampler::cut_to_mass(Cut cut, double share) {
  double total = 0;
  for (const float weight : candidates_) total += weight;
  const double target = share * total;
  double above = 0;  // mass of everything already known to stay
  auto begin = candidates_.begin(), end = candidates_.end();
  while (begin != end) {
    const auto middle = begin + (end - begin) / 2;
    const float a = *begin, b = *middle, c = *(end - 1);
    const float pivot = std::max(std::min(a, b), std::min(std::max(a, b), c));
    const auto equal_begin = std::partition(begin, end, [&](float weight) { return weight > pivot; });
    const auto equal_end = std::partition(equal_begin, end, [&](float weight) { return weight == pivot; });
    double greater = 0;
    for (auto i = begin; i != equal_begin; ++i) greater += *i;
    if (begin != equal_begin && above + greater >= target) {
      end = equal_begin;
      continue;
    }
    above += greater;
    const size_t equal = size_t(equal_end - equal_begin);
    if (above + double(equal) * pivot >= target || equal_end == end) {
      const double wanted = std::ceil((target - above) / pivot);
      const size_t ties = size_t(std::clamp(wanted, 1.0, double(equal)));
      return {pivot, pivot == cut.weight ? std::min(ties, cut.ties) : ties};
    }
    above += double(equal) * pivot;
    begin = equal_end;
  }
  return cut;
}

}  // namespace switchyard
