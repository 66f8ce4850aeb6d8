// The operations other than matrix products, written once over a vector class V; each ops_<isa>.cpp instantiates them with
// its own V, which lives in an anonymous namespace: every instantiation then has internal linkage, and code compiled for
// AVX-512 can never stand in for another table's. For the same reason nothing here calls inline functions of std.
//
// V offers: F (the f32 vector), kLanes, zero, set1, load, load_n (zero filled), store, store_n, load_bf16, load_bf16_n,
// store_bf16, add, sub, mul, div, fma(a, b, c) = a * b + c, min(a, b) = a < b ? a : b, max(a, b) = a > b ? a : b (b where
// unordered), round, scale_by_power(x, n) = x * 2^n, deinterleave, sum4, any_equal, max_magnitude, largest_bits, store_i8,
// lower_bf16 and upper_bf16 (of each lane, as f32).
#pragma once

#include "number.h"
#include "ops.h"

namespace switchyard {

// Sum over the lanes of one vector, in the order of sum4.
template <class V>
static inline float lane_sum(typename V::F x) {
  float sums[4];
  V::sum4(x, V::zero(), V::zero(), V::zero(), sums);
  return sums[0];
}

// e^x within 1.1 units in the last place, measured over all of [-87, 88]; below -104 it is 0, above 88.73 infinite, NaN
// stays NaN. Cody-Waite reduction to |r| <= ln 2 / 2, then the polynomial of Cephes' expf.
template <class V>
static inline typename V::F vector_exp(typename V::F x) {
  x = V::max(V::set1(-104.0f), V::min(V::set1(88.8f), x));
  const auto n = V::round(V::mul(x, V::set1(1.44269504088896341f)));
  auto r = V::fma(n, V::set1(-0.693359375f), x);
  r = V::fma(n, V::set1(2.12194440e-4f), r);
  auto p = V::set1(1.9875691500e-4f);
  p = V::fma(p, r, V::set1(1.3981999507e-3f));
  p = V::fma(p, r, V::set1(8.3334519073e-3f));
  p = V::fma(p, r, V::set1(4.1665795894e-2f));
  p = V::fma(p, r, V::set1(1.6666665459e-1f));
  p = V::fma(p, r, V::set1(5.0000001201e-1f));
  p = V::fma(p, V::mul(r, r), r);
  return V::scale_by_power(V::add(p, V::set1(1.0f)), n);
}

template <class V>
static inline float scalar_exp(float x) {
  float lanes[V::kLanes];
  V::store(lanes, vector_exp<V>(V::set1(x)));
  return lanes[0];
}

template <class V>
void simd_rmsnorm(float* y, const float* x, const float* w, size_t n, float eps) {
  constexpr size_t kStep = V::kLanes;
  typename V::F squares[4] = {V::zero(), V::zero(), V::zero(), V::zero()};
  size_t i = 0;
  for (; i + 4 * kStep <= n; i += 4 * kStep) {
    for (size_t j = 0; j < 4; j++) {
      const auto v = V::load(x + i + j * kStep);
      squares[j] = V::fma(v, v, squares[j]);
    }
  }
  for (; i < n; i += kStep) {
    const auto v = i + kStep <= n ? V::load(x + i) : V::load_n(x + i, n - i);
    squares[0] = V::fma(v, v, squares[0]);
  }
  float sums[4];
  V::sum4(squares[0], squares[1], squares[2], squares[3], sums);
  const float mean = ((sums[0] + sums[1]) + (sums[2] + sums[3])) / static_cast<float>(n);
  const auto inverse = V::set1(1.0f / __builtin_sqrtf(mean + eps));
  for (i = 0; i + kStep <= n; i += kStep) V::store(y + i, V::mul(V::mul(V::load(x + i), inverse), V::load(w + i)));
  if (i < n) V::store_n(y + i, V::mul(V::mul(V::load_n(x + i, n - i), inverse), V::load_n(w + i, n - i)), n - i);
}

template <class V>
void simd_to_bf16(uint16_t* y, const float* x, size_t n) {
  size_t i = 0;
  for (; i + V::kLanes <= n; i += V::kLanes) V::store_bf16(y + i, V::load(x + i));
  for (; i < n; i++) y[i] = bf16_of_float(x[i]);
}

// Equal to the scalar operation bit for bit: the same divisions and roundings, in lanes.
template <class V>
void simd_quantize_i8(I8Block* y, const float* x, size_t n) {
  for (size_t b = 0; b < n / kMxfp4Block; b++, x += kMxfp4Block) {
    I8Block& block = y[b];
    auto magnitude = V::zero();
    for (size_t i = 0; i < kMxfp4Block; i += V::kLanes) magnitude = V::max_magnitude(magnitude, V::load(x + i));
    if (!begin_block(&block, V::largest_bits(magnitude), kMostI8)) continue;
    const auto inverse = V::set1(1.0f / block.scale);
    for (size_t j = 0; j < kMxfp4BlockBytes; j += V::kLanes) {
      typename V::F even, odd;
      V::deinterleave(x + 2 * j, even, odd);
      V::store_i8(block.q + j, V::mul(even, inverse));
      V::store_i8(block.q + kMxfp4BlockBytes + j, V::mul(odd, inverse));
    }
    int32_t sum = 0;
    for (size_t i = 0; i < kMxfp4Block; i++) sum += block.q[i];
    block.offset = -12 * sum;
  }
}

// Places [at, at + V::kLanes) of a block: integers z, which floats hold exactly, in two bytes.
template <class V>
static inline void store_i16(I16Block* block, size_t at, typename V::F z) {
  const auto high = V::round(V::mul(z, V::set1(1.0f / 256)));
  const auto low = V::fma(high, V::set1(-256), z);
  V::store_i8(block->high + at, high);
  V::store_i8(block->low + at, V::max(V::set1(-127), V::min(V::set1(127), low)));
}

// Equal to the scalar operation as well.
template <class V>
void simd_quantize_i16(I16Block* y, const float* x, size_t n) {
  for (size_t b = 0; b < n / kMxfp4Block; b++, x += kMxfp4Block) {
    I16Block& block = y[b];
    auto magnitude = V::zero();
    for (size_t i = 0; i < kMxfp4Block; i += V::kLanes) magnitude = V::max_magnitude(magnitude, V::load(x + i));
    if (!begin_block(&block, V::largest_bits(magnitude), kMostI16)) continue;
    const auto inverse = V::set1(1.0f / block.scale);
    for (size_t j = 0; j < kMxfp4BlockBytes; j += V::kLanes) {
      typename V::F even, odd;
      V::deinterleave(x + 2 * j, even, odd);
      store_i16<V>(&block, j, V::round(V::mul(even, inverse)));
      store_i16<V>(&block, kMxfp4BlockBytes + j, V::round(V::mul(odd, inverse)));
    }
    int32_t low = 0, high = 0;
    for (size_t i = 0; i < kMxfp4Block; i++) low += block.low[i], high += block.high[i];
    block.offset = -128 * (low + 256 * high);
  }
}

template <class V>
void simd_swiglu(float* y, const float* x, size_t n, float limit) {
  const auto high = V::set1(limit), low = V::set1(-limit), one = V::set1(1.0f);
  const auto part = [&](const float* pairs) {
    typename V::F gate, up;
    V::deinterleave(pairs, gate, up);
    gate = V::min(high, gate);
    up = V::max(low, V::min(high, up));
    const auto e = vector_exp<V>(V::mul(gate, V::set1(-1.702f)));
    return V::mul(V::div(gate, V::add(one, e)), V::add(up, one));
  };
  size_t k = 0;
  for (; k + V::kLanes <= n; k += V::kLanes) V::store(y + k, part(x + 2 * k));
  if (k < n) {
    float rest[2 * V::kLanes] = {};
    std::memcpy(rest, x + 2 * k, 2 * (n - k) * sizeof(float));
    V::store_n(y + k, part(rest), n - k);
  }
}

template <class V>
void simd_rope(float* x, const float* cos, const float* sin, size_t heads, size_t head_dim) {
  const size_t half = head_dim / 2;
  for (size_t h = 0; h < heads; h++, x += head_dim) {
    float* upper = x + half;
    for (size_t i = 0; i < half; i += V::kLanes) {
      const size_t n = half - i;
      if (n >= V::kLanes) {
        const auto a = V::load(x + i), b = V::load(upper + i), c = V::load(cos + i), s = V::load(sin + i);
        V::store(x + i, V::sub(V::mul(a, c), V::mul(b, s)));
        V::store(upper + i, V::fma(b, c, V::mul(a, s)));
      } else {
        const auto a = V::load_n(x + i, n), b = V::load_n(upper + i, n);
        const auto c = V::load_n(cos + i, n), s = V::load_n(sin + i, n);
        V::store_n(x + i, V::sub(V::mul(a, c), V::mul(b, s)), n);
        V::store_n(upper + i, V::fma(b, c, V::mul(a, s)), n);
      }
    }
  }
}

template <class V>
void simd_axpy(float* y, float a, const float* x, size_t n) {
  const auto factor = V::set1(a);
  size_t i = 0;
  for (; i + V::kLanes <= n; i += V::kLanes) V::store(y + i, V::fma(factor, V::load(x + i), V::load(y + i)));
  if (i < n) V::store_n(y + i, V::fma(factor, V::load_n(x + i, n - i), V::load_n(y + i, n - i)), n - i);
}

// The maximum first, then the first place that holds it. max(x, best) keeps best where x is NaN.
template <class V>
size_t simd_argmax(const float* x, size_t n) {
  const float infinity = __builtin_inff();
  auto best = V::set1(-infinity);
  size_t i = 0;
  for (; i + V::kLanes <= n; i += V::kLanes) best = V::max(V::load(x + i), best);
  float lanes[V::kLanes];
  V::store(lanes, best);
  float largest = -infinity;
  for (float lane : lanes) largest = lane > largest ? lane : largest;
  for (; i < n; i++) largest = x[i] > largest ? x[i] : largest;

  const auto target = V::set1(largest);
  for (i = 0; i + V::kLanes <= n && !V::any_equal(V::load(x + i), target);) i += V::kLanes;
  while (i < n && !(x[i] == largest)) i++;
  return i < n ? i : 0;  // NaN only: 0
}

}  // namespace switchyard
