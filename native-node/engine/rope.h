// Rotary position embedding with YaRN scaling: the angles, as cosine and sine tables for a batch of positions.
#pragma once

#include <cstddef>
#include <vector>

#include "config.h"

namespace switchyard {

class Rope {
 public:
  Rope(const RopeConfig& config, size_t head_dim);

  // cos and sin (head_dim / 2) of one position, both times the concentration. Angles are double: at 100,000 positions a
  // float angle is off by 0.004 rad.
  void angles(size_t position, float* cos, float* sin) const;

  const std::vector<double>& inverse_frequencies() const { return inverse_frequencies_; }
  double concentration() const { return concentration_; }

 private:
  std::vector<double> inverse_frequencies_;  // (head_dim / 2)
  double concentration_ = 1;
};

}  // namespace switchyard
