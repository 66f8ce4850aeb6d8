#include "rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace switchyard {

Rope::Rope(const RopeConfig& config, size_t head_dim) : inverse_frequencies_(head_dim / 2) {
  const double half = double(head_dim) / 2;
  for (size_t i = 0; i < inverse_frequencies_.size(); ++i)
    inverse_frequencies_[i] = std::pow(config.theta, -double(i) / half);
  concentration_ = config.attention_factor > 0 ? config.attention_factor : 0.1 * std::log(std::max(config.factor, 1.0)) + 1;
  if (config.factor == 1) return;

  // Dimensions that turn more often than beta_fast over the original context keep their frequency, those that turn less
  // often than beta_slow are slowed down by the factor, the ones between are blended along a ramp.
  const auto dimension_of = [&](double rotations) {
    return half * std::log(config.original_max_position_embeddings / (rotations * 2 * std::numbers::pi)) /
           std::log(config.theta);
  };
  double low = dimension_of(config.beta_fast), high = dimension_of(config.beta_slow);
  if (config.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, double(head_dim) - 1);
  if (low == high) high += 0.001;  // as in transformers: no division by zero
  for (size_t i = 0; i < inverse_frequencies_.size(); ++i) {
    const double slowed = std::clamp((double(i) - low) / (high - low), 0.0, 1.0);
    inverse_frequencies_[i] *= slowed / config.factor + (1 - slowed);
  }
}

void Rope::angles(size_t position, float* cos, float* sin) const {
  for (size_t i = 0; i < inverse_frequencies_.size(); ++i) {
    const double angle = double(position) * inverse_frequencies_[i];
    cos[i] = float(std::cos(angle) * concentration_);
    sin[i] = float(std::sin(angle) * concentration_);
  }
}

}  // namespace switchyard
