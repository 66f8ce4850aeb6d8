// How high the score of a row of the screened head can be: what its screened logit and the bound (screened_head.cpp) allow.
// `static` for the reason given in number.h; the loops become vector code of the including file, and round alike in all.
#pragma once

#include "number.h"

namespace switchyard {

// 2^-20 of the terms pays for the roundings of this sum (|noise| < 32).
template <bool kNoisy>
static inline float reach_of(const ReachArgs& args, size_t i) {
  const float bound = args.errors[i] * args.error_factor + args.norms[i] * args.norm_factor + args.tiny;
  float score = (args.y[i] + bound) * args.inverse;
  if (kNoisy) score += args.noise[i];
  const float size = score < 0 ? -score : score;
  return score + 0x1p-20f * (size + (kNoisy ? 32.0f : 0.0f));
}

template <bool kNoisy>
static inline float most_reach(const ReachArgs& args, size_t n) {
  constexpr size_t kLanes = 16;
  float most[kLanes];
  for (float& lane : most) lane = reach_of<kNoisy>(args, 0);
  const auto one = [&](size_t i, size_t lane) {
    const float reach = reach_of<kNoisy>(args, i);
    most[lane] = reach > most[lane] ? reach : most[lane];
  };
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (size_t lane = 0; lane < kLanes; lane++) one(i + lane, lane);
  for (size_t lane = 0; i + lane < n; lane++) one(i + lane, lane);
  float largest = most[0];
  for (float lane : most) largest = lane > largest ? lane : largest;
  return largest;
}

static inline float plain_most_reach(const ReachArgs& args, size_t n) {
  return args.noise ? most_reach<true>(args, n) : most_reach<false>(args, n);
}

}  // namespace switchyard
