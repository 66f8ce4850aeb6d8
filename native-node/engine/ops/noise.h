// Gumbel noise by counter: the noise of an id depends on (key, id) alone, so that any part of a vocabulary can be asked for
// in any order. Everything is `static` (see number.h) and made of operations that every compiler and instruction set
// rounds alike; a loop over it becomes vector code.
//
// argmax(logit / temperature + gumbel(id)) is a draw from the softmax: https://arxiv.org/abs/1411.0030, section 2.
#pragma once

#include "number.h"

namespace switchyard {

// ln of a positive normal float, to about 1e-7 of its value: m * 2^e with m in [sqrt(1/2), sqrt(2)), ln m by the
// polynomial of Cephes logf.
static inline float log_of_positive(float x) {
  const uint32_t bits = bits_of_float(x);
  const uint32_t shifted = bits - 0x3f3504f3u;  // sqrt(1/2)
  const int32_t exponent = static_cast<int32_t>(shifted) >> 23;
  const float m = float_of_bits(bits - (static_cast<uint32_t>(exponent) << 23)) - 1.0f;
  const float square = m * m;
  float p = 7.0376836292e-2f;
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  const float e = static_cast<float>(exponent);
  return ((p * m * square + e * -2.12194440e-4f) - 0.5f * square + m) + e * 0.693359375f;
}

// Two rounds of a 32-bit integer hash (https://github.com/skeeto/hash-prospector, lowbias32), keyed before each.
static inline uint32_t hash_of(uint32_t id, uint32_t first_key, uint32_t second_key) {
  uint32_t x = id ^ first_key;
  for (int round = 0; round < 2; round++) {
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    x ^= x >> 16;
    x += second_key;
  }
  return x;
}

// -ln(-ln(1 - u)) with u in (0, 1) from 31 bits. Small u give the large values, those that decide, and there the float
// keeps its full precision: 1 - u rounds to y, and what it lost, (1 - y) - u, is put back.
static inline float gumbel_of(uint32_t hash) {
  // Without its last 128 values, which f32 would round up to 2^31; nothing below 2^24 changes.
  const int32_t bits = static_cast<int32_t>((hash >> 1) - (hash >> 25));
  const float u = (static_cast<float>(bits) + 0.5f) * 0x1p-31f;
  const float y = 1.0f - u;  // 2^-24 to 1
  const float lost = (1.0f - y) - u;
  return -log_of_positive(-(log_of_positive(y) + lost / y));
}

static inline void plain_gumbel(float* y, uint64_t key, size_t first, size_t n) {
  const uint32_t a = static_cast<uint32_t>(key), b = static_cast<uint32_t>(key >> 32);
  for (size_t i = 0; i < n; i++) y[i] = gumbel_of(hash_of(static_cast<uint32_t>(first + i), a, b));
}

}  // namespace switchyard
