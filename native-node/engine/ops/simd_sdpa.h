// Attention of one query position over a paged KV cache, written once over a vector class V (see simd_kernels.h).
// Heads of the group go four at a time over each key and value row, so that a row is expanded once for four heads.
#pragma once

#include "simd_kernels.h"

namespace switchyard {

struct F32Kv {
  static constexpr size_t kBytes = 4;
  template <class V>
  static typename V::F load(const uint8_t* row, size_t i) {
    return V::load(reinterpret_cast<const float*>(row) + i);
  }
  template <class V>
  static typename V::F load_n(const uint8_t* row, size_t i, size_t n) {
    return V::load_n(reinterpret_cast<const float*>(row) + i, n);
  }
};

struct Bf16Kv {
  static constexpr size_t kBytes = 2;
  template <class V>
  static typename V::F load(const uint8_t* row, size_t i) {
    return V::load_bf16(row + 2 * i);
  }
  template <class V>
  static typename V::F load_n(const uint8_t* row, size_t i, size_t n) {
    return V::load_bf16_n(row + 2 * i, n);
  }
};

// Calls visit(row, index) for the rows of positions [begin, end), block by block; index counts from 0.
template <size_t kBytes, class Visit>
static inline void for_each_row(const SdpaArgs& args, const void* const* blocks, const Visit& visit) {
  const size_t row_bytes = args.head_dim * kBytes;
  for (size_t p = args.begin; p < args.end;) {
    const size_t block = p / args.block_tokens, offset = p % args.block_tokens;
    const size_t left = args.end - p, room = args.block_tokens - offset;
    const size_t rows = left < room ? left : room;
    const uint8_t* row = static_cast<const uint8_t*>(blocks[block - args.first_block]) + offset * row_bytes;
    for (size_t i = 0; i < rows; i++, row += row_bytes) visit(row, p - args.begin + i);
    p += rows;
  }
}

// scores[h][p] = scale * dot(q[h], key[p]) for heads [head, head + kHeads).
template <class V, class Kv, size_t kHeads>
static inline void sdpa_scores(const SdpaArgs& args, size_t head) {
  const size_t dim = args.head_dim, length = args.end - args.begin;
  const float* q = args.q + head * dim;
  float* scores = args.scores + head * length;
  for_each_row<Kv::kBytes>(args, args.k_blocks, [&](const uint8_t* key, size_t p) {
    typename V::F dots[4] = {V::zero(), V::zero(), V::zero(), V::zero()};
    size_t i = 0;
    for (; i + V::kLanes <= dim; i += V::kLanes) {
      const auto k = Kv::template load<V>(key, i);
      for (size_t h = 0; h < kHeads; h++) dots[h] = V::fma(V::load(q + h * dim + i), k, dots[h]);
    }
    if (i < dim) {
      const auto k = Kv::template load_n<V>(key, i, dim - i);
      for (size_t h = 0; h < kHeads; h++) dots[h] = V::fma(V::load_n(q + h * dim + i, dim - i), k, dots[h]);
    }
    float sums[4];
    V::sum4(dots[0], dots[1], dots[2], dots[3], sums);
    for (size_t h = 0; h < kHeads; h++) scores[h * length + p] = args.scale * sums[h];
  });
}

// Scores to exponentials relative to the maximum; returns 1 / their sum. The sink joins both, once.
template <class V>
static inline float sdpa_softmax(float* scores, size_t length, float sink) {
  constexpr size_t kStep = V::kLanes;
  auto largest = V::set1(sink);
  size_t p = 0;
  for (; p + kStep <= length; p += kStep) largest = V::max(V::load(scores + p), largest);
  float lanes[kStep];
  V::store(lanes, largest);
  float most = sink;
  for (float lane : lanes) most = lane > most ? lane : most;
  for (; p < length; p++) most = scores[p] > most ? scores[p] : most;

  const auto shift = V::set1(most);
  auto sum = V::zero();
  for (p = 0; p + kStep <= length; p += kStep) {
    const auto e = vector_exp<V>(V::sub(V::load(scores + p), shift));
    V::store(scores + p, e);
    sum = V::add(sum, e);
  }
  if (p < length) {
    const size_t n = length - p;
    V::store_n(scores + p, vector_exp<V>(V::sub(V::load_n(scores + p, n), shift)), n);
    sum = V::add(sum, V::load_n(scores + p, n));
  }
  return 1.0f / (lane_sum<V>(sum) + scalar_exp<V>(sink - most));
}

// out[h][i, i + 2 vectors) = sum over p of scores[h][p] * value[p], times inverse[h]; kFull: all lanes exist.
template <class V, class Kv, size_t kHeads, bool kFull>
static inline void sdpa_values_part(const SdpaArgs& args, size_t head, const float* inverse, size_t i) {
  const size_t dim = args.head_dim, length = args.end - args.begin;
  const float* scores = args.scores + head * length;
  float* out = args.out + head * dim;
  constexpr size_t kParts = kFull ? 2 : 1;
  const size_t n = dim - i < V::kLanes ? dim - i : V::kLanes;
  typename V::F sums[kHeads][kParts];
  for (auto& row : sums)
    for (auto& sum : row) sum = V::zero();
  for_each_row<Kv::kBytes>(args, args.v_blocks, [&](const uint8_t* value, size_t p) {
    for (size_t j = 0; j < kParts; j++) {
      typename V::F v;
      if constexpr (kFull) v = Kv::template load<V>(value, i + j * V::kLanes);
      else v = Kv::template load_n<V>(value, i, n);
      for (size_t h = 0; h < kHeads; h++) sums[h][j] = V::fma(V::set1(scores[h * length + p]), v, sums[h][j]);
    }
  });
  for (size_t h = 0; h < kHeads; h++) {
    for (size_t j = 0; j < kParts; j++) {
      const auto result = V::mul(sums[h][j], V::set1(inverse[h]));
      if constexpr (kFull) V::store(out + h * dim + i + j * V::kLanes, result);
      else V::store_n(out + h * dim + i, result, n);
    }
  }
}

template <class V, class Kv, size_t kHeads>
static inline void sdpa_heads(const SdpaArgs& args, size_t head) {
  const size_t dim = args.head_dim, length = args.end - args.begin;
  sdpa_scores<V, Kv, kHeads>(args, head);
  float inverse[kHeads];
  for (size_t h = 0; h < kHeads; h++)
    inverse[h] = sdpa_softmax<V>(args.scores + (head + h) * length, length, args.sinks[head + h]);
  size_t i = 0;
  for (; i + 2 * V::kLanes <= dim; i += 2 * V::kLanes) sdpa_values_part<V, Kv, kHeads, true>(args, head, inverse, i);
  for (; i < dim; i += V::kLanes) sdpa_values_part<V, Kv, kHeads, false>(args, head, inverse, i);
}

template <class V, class Kv>
void simd_sdpa(const SdpaArgs& args) {
  size_t head = 0;
  for (; head + 4 <= args.group; head += 4) sdpa_heads<V, Kv, 4>(args, head);
  for (; head < args.group; head++) sdpa_heads<V, Kv, 1>(args, head);
}

}  // namespace switchyard
