// Chooses the next token from one row of logits.
// Order: logit_bias, penalties, masked ids; then temperature, min_p, top_k, top_p, each on what the one before left;
// then one draw. Nothing here is random: the draw is a pure function of (seed, position), so the same request gives the
// same tokens however it was batched, preempted or moved to another machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine.h"
#include "ops/ops.h"

namespace switchyard {

// invalid_argument names the parameter that is out of range.
Status check_sampling(const SamplingParams& params, int vocab_size);

// Uniform in [0, 1).
double random_unit(uint64_t seed, uint64_t position);

class Sampler {
 public:
  Sampler(const Ops& ops, size_t vocab_size) : ops_(ops), vocab_size_(vocab_size) {}

  struct Input {
    const SamplingParams* params;
    std::span<const int32_t> never_ids;
    const std::unordered_map<int32_t, int>* counts;  // generated tokens that penalties see
    uint64_t position;                               // of the token to be chosen, in the whole timeline
  };

  // Overwrites logits (vocab_size). `logprob` is filled when params->top_logprobs >= 0: natural logarithms of the
  // model's own distribution, before bias, penalties, masks, temperature and filters. internal when the logits hold NaN
  // or infinity, or when nothing is left to choose.
  Status sample(const Input& input, float* logits, int32_t* token, TokenLogprob* logprob);

 private:
  struct Cut {  // weights above `weight` stay, and the first `ties` of those equal to it
    float weight = 0;
    size_t ties = SIZE_MAX;
  };

  void apply_changes(const Input& input, float* logits) const;
  void read_logprob(const float* logits, int top, std::vector<std::pair<int32_t, float>>* best, double* log_sum) const;
  Status draw(const Input& input, const float* logits, float largest, int32_t* token);
  Cut cut_to_count(size_t count);
  Cut cut_to_mass(Cut cut, double share);

  const Ops& ops_;
  size_t vocab_size_;
  std::vector<float> original_;    // (vocab_size): the logits before any change, when logprobs are wanted
  std::vector<float> weights_;     // (vocab_size): exp((logit - largest) / temperature)
  std::vector<float> candidates_;  // the weights that passed the filters so far, in any order
};

}  // namespace switchyard
