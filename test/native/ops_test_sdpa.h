// Attention over tiles of keys and values against doubles: spans attended one by one, joined, and finished with the sink.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "ops/kv_tiles.h"
#include "ops_test_support.h"

namespace {

struct SdpaCase {
  size_t group, head_dim, begin, end;
  float sink, q_size;
  size_t span = kSdpaSpan;  // positions of one call
};

// Keys and values of positions [0, end) as doubles, and in tiles of exactly their size. Cells outside [begin, end) hold NaN.
struct SdpaCache {
  std::vector<double> k, v;  // (end, head_dim)
  std::vector<Buffer<float>> tiles[2];

  SdpaCache(const SdpaCase& c, bool bf16, Random& random) : k(c.end * c.head_dim), v(c.end * c.head_dim) {
    const size_t dim = c.head_dim, cells = kKvTile * dim / (bf16 ? 2 : 1);
    std::vector<float> row[2] = {std::vector<float>(dim), std::vector<float>(dim)};
    std::vector<uint16_t> half[2] = {std::vector<uint16_t>(dim), std::vector<uint16_t>(dim)};
    for (size_t first = 0; first < c.end; first += kKvTile) {
      for (auto& of_kind : tiles) of_kind.emplace_back(cells);
      for (size_t p = first; p < first + kKvTile; p++) {
        const bool attended = p >= c.begin && p < c.end;
        for (size_t i = 0; i < dim; i++) {
          for (size_t kind = 0; kind < 2; kind++) {
            const float value = attended ? random.normal() : kNan;
            row[kind][i] = value;
            half[kind][i] = bf16_of_float(value);
            if (attended) (kind == 0 ? k : v)[p * dim + i] = bf16 ? load_bf16(&half[kind][i], 0) : value;
          }
        }
        float *keys = tiles[0].back().data(), *values = tiles[1].back().data();
        if (bf16) {
          store_kv(reinterpret_cast<uint16_t*>(keys), reinterpret_cast<uint16_t*>(values), p - first, half[0].data(),
                   half[1].data(), dim);
        } else {
          store_kv(keys, values, p - first, row[0].data(), row[1].data(), dim);
        }
      }
    }
  }
};

struct SdpaPartBuffer {
  Buffer<float> max, sum, values;
  SdpaPartBuffer(size_t group, size_t dim) : max(group), sum(group), values(group * dim) {}
  SdpaPart part() { return {max.data(), sum.data(), values.data()}; }
};

// The table's result, by spans of c.span positions.
template <bool kBf16>
std::vector<float> run_sdpa(const Ops& ops, const SdpaCase& c, SdpaCache& cache, float* q, float* sinks) {
  const size_t dim = c.head_dim;
  Buffer<float> scratch(sdpa_scratch(c.group, dim));
  SdpaPartBuffer whole(c.group, dim), next(c.group, dim);
  for (size_t begin = c.begin; begin < c.end;) {
    const size_t end = std::min(c.end, (begin / c.span + 1) * c.span), first = begin / kKvTile;
    std::vector<const void*> tiles[2];
    for (size_t kind = 0; kind < 2; kind++)
      for (size_t tile = first; tile * kKvTile < end; tile++) tiles[kind].push_back(cache.tiles[kind][tile].data());
    (kBf16 ? ops.bf16kv_sdpa : ops.f32kv_sdpa)(
        {.q = q, .group = c.group, .head_dim = dim, .k_tiles = tiles[0].data(), .v_tiles = tiles[1].data(),
         .begin = begin - first * kKvTile, .end = end - first * kKvTile, .next_tiles = tiles[0].data(), .next_count = 1,
         .scale = 1.0f / std::sqrt(static_cast<float>(dim)),
         .scratch = scratch.data(), .out = begin == c.begin ? whole.part() : next.part()});
    if (begin > c.begin) ops.f32_sdpa_merge(whole.part(), next.part(), c.group, dim);
    begin = end;
  }
  Buffer<float> out(c.group * dim);
  ops.f32_sdpa_finish(out.data(), whole.part(), sinks, c.group, dim);
  return {out.data(), out.data() + c.group * dim};
}

// Scores carry an error of kDot * sum |q k| * scale, which becomes a relative error of each weight; the weighted sum adds
// kDot again, exp, the joining of parts and the division a few units of 2^-23. A table that multiplies in bf16 rounds
// weights (2^-9 of each, in the sum of values and in the sum of weights; 2^x before that within 2^-13.7) and queries, these
// times scale * log2 e: what it owes is the result of rounded ones.
template <bool kBf16>
void test_sdpa_case(const Ops& ops, const SdpaCase& c, Random& random) {
  const size_t dim = c.head_dim;
  SdpaCache cache(c, kBf16, random);
  Buffer<float> q(c.group * dim), sinks(c.group);
  for (size_t i = 0; i < c.group * dim; i++) q[i] = random.normal() * c.q_size;
  for (size_t g = 0; g < c.group; g++) sinks[g] = c.sink + 0.1f * random.normal();
  const std::vector<float> out = run_sdpa<kBf16>(ops, c, cache, q.data(), sinks.data());

  const bool rounds = kBf16 && std::strcmp(ops.name, "avx512") == 0;
  const float f32_scale = 1.0f / std::sqrt(static_cast<float>(dim)), factor = f32_scale * 1.44269504088896341f;
  std::vector<double> scaled(c.group * dim);
  for (size_t i = 0; i < scaled.size(); i++) {
    const uint16_t half = bf16_of_float(q[i] * factor);
    scaled[i] = rounds ? load_bf16(&half, 0) * std::log(2.0) : static_cast<double>(f32_scale) * q[i];
  }
  for (size_t g = 0; g < c.group; g++) {
    std::vector<double> weight(c.end);
    double largest = sinks[g], worst = 0;
    for (size_t p = c.begin; p < c.end; p++) {
      double sum = 0;
      for (size_t i = 0; i < dim; i++) {
        weight[p] += scaled[g * dim + i] * cache.k[p * dim + i];
        sum += std::fabs(scaled[g * dim + i] * cache.k[p * dim + i]);
      }
      largest = std::fmax(largest, weight[p]);
      worst = std::fmax(worst, sum);
    }
    double total = std::exp(sinks[g] - largest);
    for (size_t p = c.begin; p < c.end; p++) total += weight[p] = std::exp(weight[p] - largest);
    for (size_t i = 0; i < dim; i++) {
      double expected = 0, sum = 0;
      for (size_t p = c.begin; p < c.end; p++) {
        expected += weight[p] / total * cache.v[p * dim + i];
        sum += weight[p] / total * std::fabs(cache.v[p * dim + i]);
      }
      const double relative = 2 * kDot * (1 + worst) + 8 * std::ldexp(1.0, -23) +
                              (rounds ? std::ldexp(1.0, -8) + std::ldexp(1.0, -12) : 0);
      check_near(label(ops, kBf16 ? "bf16kv_sdpa" : "f32kv_sdpa", {c.group, dim, c.begin, c.end, c.span, g, i}),
                 out[g * dim + i], expected, sum * relative + 1e-37);
    }
  }
}

void test_sdpa(const Ops& ops) {
  Random random;
  std::vector<SdpaCase> cases;
  for (size_t group : {1, 2, 3, 4, 5, 7, 8, 9, 12, 16})
    for (size_t dim : {2, 6, 16, 20, 32, 64, 80, 96}) cases.push_back({group, dim, 5, 53, 0.5f, 2});
  for (size_t end = 1; end <= 70; end++) cases.push_back({8, 64, 0, end, 0, 2});  // one key, then every edge
  for (size_t end = 71; end <= 300; end += 13) cases.push_back({4, 64, end > 128 ? end - 128 : 0, end, 0, 2});
  for (size_t begin : {0, 1, 15, 16, 17, 31, 32, 33, 40, 127, 128}) cases.push_back({4, 64, begin, 129, 1, 2});  // windows
  for (size_t span : {32, 64, 160}) cases.push_back({8, 64, 9, 300, -1, 2, span});  // many parts
  for (float sink : {100.0f, 1e4f, -100.0f, -1e4f}) cases.push_back({4, 64, 3, 40, sink, 2});  // all sink, no sink
  cases.push_back({4, 64, 0, 60, 0, 60});   // sharp: most weights vanish
  cases.push_back({4, 64, 0, 700, 0, 60});  // and whole parts
  cases.push_back({8, 64, 500, 3000, 0, 1});
  for (const SdpaCase& c : cases) {
    test_sdpa_case<false>(ops, c, random);
    test_sdpa_case<true>(ops, c, random);
  }
}

// With one key and the sink at 0, out = v e^s / (1 + e^s): the exponential seen alone. Two units for exp, two for the rest.
void test_exponential(const Ops& ops) {
  std::vector<float> keys(2 * kKvTile), values(2 * kKvTile), scratch(sdpa_scratch(1, 2));
  keys[f32_key_cell(0, 0)] = 1;
  values[f32_value_cell(0, 0, 2)] = 1;
  for (int step = 0; step <= 8700; step++) {
    float q[2] = {static_cast<float>(-step) / 100, 0}, sink = 0, max = 0, sum = 0, part[2], out[2];
    const void *k = keys.data(), *v = values.data();
    const SdpaPart whole{&max, &sum, part};
    ops.f32kv_sdpa({.q = q, .group = 1, .head_dim = 2, .k_tiles = &k, .v_tiles = &v, .begin = 0, .end = 1,
                    .next_tiles = &k, .next_count = 1, .scale = 1, .scratch = scratch.data(), .out = whole});
    ops.f32_sdpa_finish(out, whole, &sink, 1, 2);
    const double e = std::exp(static_cast<double>(q[0])), expected = e / (1 + e);
    check_near(label(ops, "exp", {static_cast<size_t>(step)}), out[0], expected, 4 * std::ldexp(expected, -23));
  }
}

// A score that is no number stays visible; an infinite one takes all.
template <bool kBf16>
void test_sdpa_special(const Ops& ops) {
  for (const float bad : {kNan, kInfinity, -kInfinity}) {
    SdpaCase c{1, 2, 0, 3, 0, 1};
    Random random;
    SdpaCache cache(c, kBf16, random);
    float* keys = cache.tiles[0][0].data();
    if constexpr (kBf16) reinterpret_cast<uint16_t*>(keys)[bf16_key_half(1, 0)] = bf16_of_float(bad);
    else keys[f32_key_cell(1, 0)] = bad;
    float q[2] = {1, 0}, sink = 0;
    const std::vector<float> out = run_sdpa<kBf16>(ops, c, cache, q, &sink);
    CHECK_EQ(std::isnan(out[0]), bad != -kInfinity);  // e^(inf - inf) is no number, e^-inf is 0
  }
}

}  // namespace
