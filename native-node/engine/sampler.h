// Chooses the next token from one row of logits.
// Order: logit_bias, penalties, ends, masked ids; then temperature, min_p, top_k, top_p, each on what the one before left;
// then one draw: the highest logit / temperature + Gumbel noise (ops/noise.h), which needs neither a sum nor a sort, nor
// the logits that cannot win (screened_head.h). Nothing here is random: the noise is a pure function of (seed, position,
// id), so the same request gives the same tokens however it was batched, preempted or moved to another machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine.h"
#include "ops/ops.h"
#include "screened_head.h"

namespace switchyard {

// invalid_argument names the parameter that is out of range.
Status check_sampling(const SamplingParams& params, int vocab_size);

// The key of a draw's noise.
uint64_t noise_key(uint64_t seed, uint64_t position);

// Says which tokens may come next, where not all may.
class TokenFilter {
 public:
  virtual ~TokenFilter() = default;
  virtual bool allows(int32_t token) const = 0;
  // The token that stands for the part of a refused one that fits; -1: none does.
  virtual int32_t heir(int32_t token) const = 0;
  virtual void mask(float* logits, size_t vocab_size) const = 0;  // -infinity for all others
};

class Sampler {
 public:
  Sampler(const Ops& ops, size_t vocab_size) : ops_(ops), vocab_size_(vocab_size) {}

  struct Input {
    const SamplingParams* params;
    std::span<const int32_t> never_ids;
    const std::unordered_map<int32_t, int>* counts;  // generated tokens that penalties see
    uint64_t position;                               // of the token to be chosen, in the whole timeline
    const TokenFilter* filter = nullptr;             // asked about what would be chosen
    std::span<const int32_t> ends = {};              // the first stands for all of them and has their share
    std::span<const int32_t> assumed = {};           // by need() only: generated tokens that will be in `counts`, perhaps
  };

  // Which logits sample() will look at.
  static LogitNeed need(const Input& input);

  // Overwrites logits (vocab_size). `logprob` is filled when params->top_logprobs >= 0: natural logarithms of the
  // model's own distribution, before bias, penalties, masks, temperature and filters. internal when the logits hold NaN
  // or infinity, or when nothing is left to choose.
  Status sample(const Input& input, float* logits, int32_t* token, TokenLogprob* logprob);

 private:
  struct Survivor {
    int32_t id;
    float logit;
    float weight;  // exp((logit - largest) / temperature), where the mass is asked for
  };

  void apply_changes(const Input& input, float* logits) const;
  Status draw(const Input& input, const float* logits, int32_t* token);
  void read_logprob(const float* logits, int top, std::vector<std::pair<int32_t, float>>* best, double* log_sum);
  double weigh(const float* logits, float largest, float temperature);
  size_t draw_of_all(const Input& input, const float* logits);
  size_t draw_of_survivors(const Input& input);
  void keep_largest(const float* logits, double floor, size_t count);
  void keep_mass(const float* logits, float largest, const SamplingParams& params);
  Survivor find_mass_cut(float largest, double target);

  const Ops& ops_;
  size_t vocab_size_;
  std::vector<float> original_;       // (vocab_size): the logits before any change, when logprobs are wanted
  std::vector<float> scores_;         // (vocab_size): noise, then with the logits in it
  std::vector<Survivor> survivors_;   // of the filters so far, in the order of ids
  std::vector<float> largest_;        // place for keep_largest()
  std::vector<Survivor> in_bin_;      // place for find_mass_cut()
};

}  // namespace switchyard
