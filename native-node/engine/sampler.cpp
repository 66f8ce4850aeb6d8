#include "sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>

#include "ops/noise.h"

namespace switchyard {
namespace {

constexpr float kMasked = -std::numeric_limits<float>::infinity();

// splitmix64's output function: https://prng.di.unimi.it/splitmix64.c
uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

// exp for x in [-inf, 0] with a relative error below 2e-7: exp2(n + f) with n an integer and |f| <= 1/2; below 2^-127 it is
// 0. Without a branch, and without a clamp to a constant, which the compiler would make one of: so a loop over it becomes
// vector code.
inline float exp_of_negative(float x) {
  const float t = x * 1.44269504f;
  const float shifted = t + 12582912.0f;  // 1.5 * 2^23: the sum's last bits are round(t)
  const float f = t - (shifted - 12582912.0f);
  float p = 1.535336188e-4f;
  p = p * f + 1.339887440e-3f;
  p = p * f + 9.618437357e-3f;
  p = p * f + 5.550332471e-2f;
  p = p * f + 2.402264791e-1f;
  p = p * f + 6.931472028e-1f;
  p = p * f + 1.0f;
  const uint32_t n = std::bit_cast<uint32_t>(shifted) - 0x4b400000u;
  const float scale = std::bit_cast<float>((n + 127u) << 23);
  const uint32_t in_range = 0u - uint32_t(t > -126.5f);
  return std::bit_cast<float>(std::bit_cast<uint32_t>(p * scale) & in_range);
}

Status out_of_range(const char* name, const char* range) {
  return Status::error(Code::invalid_argument, std::string(name) + " must be " + range);
}

constexpr size_t kMostChanged = 4096;  // ids of a request's biases and penalties that are computed one by one
constexpr size_t kFewSurvivors = 4096;
constexpr int kMostRejected = 16;  // choices that a filter refuses one by one: a mask of all tokens takes longer

bool has_penalties(const SamplingParams& params) {
  return params.frequency_penalty != 0 || params.presence_penalty != 0 || params.repetition_penalty != 1;
}

// Whether logit / temperature is in f32 what it should be.
bool is_ordinary(float temperature) {
  return temperature >= LogitNeed::kLeastTemperature && temperature <= LogitNeed::kMostTemperature;
}

// log(exp(a) + exp(b)); b is not -infinity.
float log_add(float a, float b) { return std::max(a, b) + std::log1p(std::exp(-std::fabs(a - b))); }

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

uint64_t noise_key(uint64_t seed, uint64_t position) {
  constexpr uint64_t kGolden = 0x9e3779b97f4a7c15ull;
  // Element `position` of the splitmix64 stream that starts at the mixed seed.
  return mix(mix(seed + kGolden) + (position + 1) * kGolden);
}

LogitNeed Sampler::need(const Input& input) {
  const SamplingParams& params = *input.params;
  LogitNeed need;
  need.masked = input.never_ids;
  for (const auto& [id, bias] : params.logit_bias) need.changed.push_back(id);
  if (has_penalties(params)) {
    for (const auto& [id, count] : *input.counts) need.changed.push_back(id);
    need.changed.insert(need.changed.end(), input.assumed.begin(), input.assumed.end());
  }
  need.changed.insert(need.changed.end(), input.ends.begin(), input.ends.end());
  std::sort(need.changed.begin(), need.changed.end());
  need.changed.erase(std::unique(need.changed.begin(), need.changed.end()), need.changed.end());
  const bool by_count = params.top_k > 0, by_floor = params.min_p > 0;
  // A logprob is a share of all; and which is next best, should a filter refuse the best, only all can tell.
  need.all = params.top_logprobs >= 0 || need.changed.size() > kMostChanged || input.filter;
  if (params.temperature == 0) return need;
  if (by_count) {
    need.top = size_t(params.top_k);  // min_p and top_p are decided among these
    need.all |= need.top > LogitNeed::kMostTop;
  } else if (by_floor) {
    need.reach = -double(params.temperature) * std::log(double(params.min_p)) * (1 + 1e-9);
  } else if (params.top_p < 1) {
    need.all = true;  // a share of all as well
  } else {
    need.noisy = true;
    need.temperature = params.temperature;
    need.noise_key = noise_key(params.seed, input.position);
    need.all |= !is_ordinary(params.temperature);
  }
  return need;
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
  for (int rejected = 0;; ++rejected) {
    if (rejected == kMostRejected) input.filter->mask(logits, vocab_size_);
    if (Status status = draw(input, logits, token); !status.ok()) return status;
    if (!input.filter || rejected == kMostRejected || input.filter->allows(*token)) break;
    // The model meant the text, not the token: what fits of it inherits its share.
    const int32_t heir = input.filter->heir(*token);
    if (heir >= 0 && logits[heir] != kMasked) logits[heir] = log_add(logits[heir], logits[*token]);
    logits[*token] = kMasked;
  }
  if (wants_logprob) logprob->logprob = float(double(original_[size_t(*token)]) - log_sum);
  return {};
}

// internal: nothing is left to choose.
Status Sampler::draw(const Input& input, const float* logits, int32_t* token) {
  const SamplingParams& params = *input.params;
  const size_t best = ops_.f32_argmax(logits, vocab_size_);
  const float largest = logits[best];
  if (largest == kMasked) return Status::error(Code::internal, "every token is masked");
  const bool by_count = params.top_k > 0 && size_t(params.top_k) < vocab_size_, by_mass = params.top_p < 1;
  if (params.temperature == 0) {
    *token = int32_t(best);
  } else if (!by_count && !by_mass && params.min_p == 0) {
    *token = int32_t(draw_of_all(input, logits));
  } else {
    const double floor =
        params.min_p > 0 ? double(largest) + double(params.temperature) * std::log(double(params.min_p)) : kMasked;
    survivors_.clear();
    if (by_count || params.min_p > 0) keep_largest(logits, floor, by_count ? size_t(params.top_k) : vocab_size_);
    if (by_mass) keep_mass(by_count || params.min_p > 0 ? nullptr : logits, largest, params);
    *token = int32_t(draw_of_survivors(input));
  }
  return {};
}

void Sampler::apply_changes(const Input& input, float* logits) const {
  const SamplingParams& params = *input.params;
  for (const auto& [id, bias] : params.logit_bias) logits[id] += bias;
  if (has_penalties(params)) {
    for (const auto& [id, count] : *input.counts) {
      float& logit = logits[id];
      logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
      logit -= params.frequency_penalty * float(count) + params.presence_penalty;
    }
  }
  for (size_t i = 1; i < input.ends.size(); ++i) {
    float& logit = logits[input.ends[i]];
    if (logit != kMasked) logits[input.ends[0]] = log_add(logits[input.ends[0]], logit);
    logit = kMasked;
  }
  for (const int32_t id : input.never_ids) logits[id] = kMasked;
}

// log(sum(exp(logits))) and the `top` largest with their logarithms, best first, ties to the lower id.
void Sampler::read_logprob(const float* logits, int top, std::vector<std::pair<int32_t, float>>* best,
                           double* log_sum) {
  const float largest = logits[ops_.f32_argmax(logits, vocab_size_)];
  *log_sum = double(largest) + std::log(weigh(logits, largest, 1));

  const auto better = [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  };
  best->clear();
  for (size_t i = 0; i < vocab_size_ && top > 0; ++i) {
    const std::pair<int32_t, float> candidate{int32_t(i), logits[i]};
    if (best->size() == size_t(top)) {
      if (!(logits[i] > best->front().second)) continue;  // a heap with the worst of the best in front
      std::pop_heap(best->begin(), best->end(), better);
      best->pop_back();
    }
    best->push_back(candidate);
    std::push_heap(best->begin(), best->end(), better);
  }
  std::sort_heap(best->begin(), best->end(), better);
  for (auto& [id, value] : *best) value = float(double(value) - *log_sum);
}

// scores_ = exp((logit - largest) / temperature); their sum, in 16 lanes.
double Sampler::weigh(const float* logits, float largest, float temperature) {
  scores_.resize(vocab_size_);
  for (size_t i = 0; i < vocab_size_; ++i) scores_[i] = exp_of_negative((logits[i] - largest) / temperature);
  constexpr size_t kLanes = 16;
  double lanes[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= vocab_size_; i += kLanes)
    for (size_t j = 0; j < kLanes; ++j) lanes[j] += scores_[i + j];
  for (; i < vocab_size_; ++i) lanes[0] += scores_[i];
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

// The highest score of all ids; ties to the lowest.
size_t Sampler::draw_of_all(const Input& input, const float* logits) {
  scores_.resize(vocab_size_);
  ops_.f32_gumbel(scores_.data(), noise_key(input.params->seed, input.position), 0, vocab_size_);
  if (is_ordinary(input.params->temperature)) {
    const float inverse = 1 / input.params->temperature;
    for (size_t i = 0; i < vocab_size_; ++i) scores_[i] += logits[i] * inverse;
    return ops_.f32_argmax(scores_.data(), vocab_size_);
  }
  const double inverse = 1 / double(input.params->temperature);
  size_t best = 0;
  double highest = kMasked;
  for (size_t i = 0; i < vocab_size_; ++i) {
    const double score = double(logits[i]) * inverse + double(scores_[i]);
    if (score > highest) highest = score, best = i;
  }
  return best;
}

// The same among the survivors: with all of them surviving, the same id.
size_t Sampler::draw_of_survivors(const Input& input) {
  const uint64_t key = noise_key(input.params->seed, input.position);
  const bool many = survivors_.size() > kFewSurvivors;
  if (many) {
    scores_.resize(vocab_size_);
    ops_.f32_gumbel(scores_.data(), key, 0, vocab_size_);
  }
  const bool ordinary = is_ordinary(input.params->temperature);
  const float inverse = ordinary ? 1 / input.params->temperature : 0;
  const double exact_inverse = 1 / double(input.params->temperature);
  size_t best = size_t(survivors_.front().id);
  double highest = kMasked;
  for (const auto& [id, logit, weight] : survivors_) {
    float noise;
    if (many) noise = scores_[size_t(id)];
    else plain_gumbel(&noise, key, size_t(id), 1);
    const double score = ordinary ? double(noise + logit * inverse) : double(logit) * exact_inverse + double(noise);
    if (score > highest) highest = score, best = size_t(id);
  }
  return best;
}

// Survivors are the `count` largest logits of those not below `floor`; of equals the lower ids.
void Sampler::keep_largest(const float* logits, double floor, size_t count) {
  size_t above = count;  // survivors larger than `cut`
  float cut = kMasked;
  if (count < vocab_size_) {
    largest_.clear();
    if (count <= kFewSurvivors) {
      // A heap with the least of the largest in front: most logits cost one comparison.
      for (size_t i = 0; i < vocab_size_; ++i) {
        if (largest_.size() == count) {
          if (!(logits[i] > largest_.front())) continue;
          std::pop_heap(largest_.begin(), largest_.end(), std::greater<float>());
          largest_.back() = logits[i];
        } else {
          largest_.push_back(logits[i]);
        }
        std::push_heap(largest_.begin(), largest_.end(), std::greater<float>());
      }
      cut = largest_.front();
    } else {
      largest_.assign(logits, logits + vocab_size_);
      const auto last = largest_.begin() + ptrdiff_t(count - 1);
      std::nth_element(largest_.begin(), last, largest_.end(), std::greater<float>());
      cut = *last;
      largest_.resize(count);
    }
    above = size_t(std::count_if(largest_.begin(), largest_.end(), [&](float logit) { return logit > cut; }));
  }
  size_t ties = count - above;
  for (size_t i = 0; i < vocab_size_; ++i) {
    const float logit = logits[i];
    if (logit < cut || double(logit) < floor || logit == kMasked) continue;
    if (count < vocab_size_ && logit == cut && ties-- == 0) {
      ties = 0;
      continue;
    }
    survivors_.push_back({int32_t(i), logit, 0});
  }
}

// Leaves the smallest set of largest survivors that holds top_p of their mass; with `logits`, of all ids.
void Sampler::keep_mass(const float* logits, float largest, const SamplingParams& params) {
  const float temperature = params.temperature;
  double total = 0, target;
  if (logits) {
    total = weigh(logits, largest, temperature);
    target = double(params.top_p) * total;
    // Where few hold nearly all, only these are looked at.
    double held = 0;
    for (const float depth : {8.0f, 24.0f, std::numeric_limits<float>::infinity()}) {
      const float least = exp_of_negative(-depth);
      survivors_.clear();
      held = 0;
      for (size_t i = 0; i < vocab_size_; ++i) {
        if (!(scores_[i] >= least) || scores_[i] == 0) continue;
        survivors_.push_back({int32_t(i), logits[i], scores_[i]});
        held += scores_[i];
      }
      if (held >= target) break;
    }
  } else {
    for (Survivor& survivor : survivors_)
      total += survivor.weight = exp_of_negative((survivor.logit - largest) / temperature);
    target = double(params.top_p) * total;
  }
  const Survivor cut = find_mass_cut(largest, target);
  std::erase_if(survivors_, [&](const Survivor& survivor) {
    return survivor.logit < cut.logit || (survivor.logit == cut.logit && survivor.id > cut.id);
  });
}

// The last survivor, from the largest logit down, that it takes to reach `target`. Mass is summed by bins of the logit first,
// so that only one bin is ever sorted.
Sampler::Survivor Sampler::find_mass_cut(float largest, double target) {
  constexpr size_t kBins = 1024;
  float smallest = largest;
  for (const Survivor& survivor : survivors_) smallest = std::min(smallest, survivor.logit);
  const double range = double(largest) - double(smallest), scale = range > 0 ? double(kBins - 1) / range : 0;
  const auto bin_of = [&](float logit) { return size_t((double(largest) - double(logit)) * scale); };
  double masses[kBins] = {};
  for (const Survivor& survivor : survivors_) masses[bin_of(survivor.logit)] += survivor.weight;
  double mass = 0;
  size_t bin = 0;
  while (bin + 1 < kBins && mass + masses[bin] < target) mass += masses[bin++];
  in_bin_.clear();
  Survivor last = survivors_.front();  // the smallest of all, should rounding leave the sum below the target
  for (const Survivor& survivor : survivors_) {
    if (bin_of(survivor.logit) == bin) in_bin_.push_back(survivor);
    if (survivor.logit <= last.logit) last = survivor;
  }
  const auto better = [](const Survivor& a, const Survivor& b) { return a.logit != b.logit ? a.logit > b.logit : a.id < b.id; };
  if (!std::is_sorted(in_bin_.begin(), in_bin_.end(), better)) std::sort(in_bin_.begin(), in_bin_.end(), better);
  for (const Survivor& survivor : in_bin_) {
    mass += survivor.weight;
    last = survivor;
    if (mass >= target) break;
  }
  return last;
}

}  // namespace switchyard
