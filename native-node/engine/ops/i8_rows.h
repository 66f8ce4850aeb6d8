// Rows of bf16 weights as int8, and the end of the product with them. `static` for the reason given in number.h; the loops
// become vector code of the including file, and round alike in all of them.
#pragma once

#include <cmath>

#include "number.h"

namespace switchyard {

// A row whose largest weight is below this quantises to zeros: products of scales must stay away from underflow.
static constexpr float kSmallestRow = 1e-30f;

// Sums of squares are f32 in 16 lanes. All addends are positive: the result is below the truth by at most n / 16 + 20
// roundings of 2^-24 each (n <= 65536: 2.5e-4 of it), and a square that underflows loses at most 2^-126, n of them 1e-33.
static inline float norm_above(const float* lanes) {
  double sum = 0;
  for (size_t j = 0; j < 16; j++) sum += lanes[j];
  return static_cast<float>(std::sqrt(sum * 1.0006 + 1e-33) * 1.0001);
}

static inline I8Row plain_quantize_row(int8_t* q, const uint16_t* w, size_t n) {
  uint32_t largest = 0;  // of 16 bits; integer order is magnitude order
  for (size_t i = 0; i < n; i++) {
    uint16_t half;
    std::memcpy(&half, reinterpret_cast<const uint8_t*>(w) + 2 * i, sizeof half);
    const uint32_t magnitude = half & 0x7fffu;
    largest = magnitude > largest ? magnitude : largest;
  }
  const float most = float_of_bits(largest << 16);
  const bool zero = most < kSmallestRow;
  I8Row row;
  row.scale = zero ? 0.0f : most / 127.0f;
  const float inverse = zero ? 0.0f : 1.0f / row.scale;
  float error[16] = {}, norm[16] = {};
  const auto one = [&](size_t i, size_t lane) {
    const float weight = load_bf16(w, i);
    const float shifted = weight * inverse + 12582912.0f;  // 1.5 * 2^23: the sum's last bits are the nearest integer
    const float value = shifted - 12582912.0f;             // at most 127: scale's rounding cannot bring it to 127.5
    q[i] = static_cast<int8_t>(static_cast<int32_t>(bits_of_float(shifted) - 0x4b400000u));
    const float rest = weight - row.scale * value;
    error[lane] += rest * rest;
    norm[lane] += weight * weight;
  };
  size_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (size_t j = 0; j < 16; j++) one(i + j, j);
  for (size_t j = 0; i + j < n; j++) one(i + j, j);
  // rest carries two roundings of values up to |w|: each at most 2^-23 |w|, in the norm 2^-22 ||w||.
  row.norm = norm_above(norm);
  row.error = norm_above(error) + row.norm * 0x1p-21f;
  return row;
}

static inline float i8_row_value(int32_t sum, float w_scale, float x_scale) {
  return static_cast<float>(sum) * (w_scale * x_scale);
}

}  // namespace switchyard
