// The table for AVX2 with FMA: 8 lanes of f32. There is no bf16 product here: bf16 activations are expanded to f32, which
// is exact. Compiled with -mavx2 -mfma -mf16c; elsewhere this file gives nullptr.
#include "ops.h"

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

#include "mxfp4_values.h"
#include "noise.h"
#include "reach.h"
#include "simd_kernels.h"
#include "simd_matmul.h"
#include "simd_sdpa.h"

namespace switchyard {
namespace {

struct V {
  using F = __m256;
  static constexpr size_t kLanes = 8;

  static F zero() { return _mm256_setzero_ps(); }
  static F set1(float x) { return _mm256_set1_ps(x); }
  static F load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, F x) { _mm256_storeu_ps(p, x); }
  static __m256i first(size_t n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lane);
  }
  static F load_n(const float* p, size_t n) { return _mm256_maskload_ps(p, first(n)); }
  static void store_n(float* p, F x, size_t n) { _mm256_maskstore_ps(p, first(n), x); }

  static F expand(__m128i halves) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16)); }
  static F load_bf16(const uint8_t* p) { return expand(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
  static F load_bf16_n(const uint8_t* p, size_t n) {
    alignas(16) uint8_t rest[16] = {};
    std::memcpy(rest, p, 2 * n);
    return load_bf16(rest);
  }
  static F lower_bf16(F pairs) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(pairs), 16)); }
  static F upper_bf16(F pairs) {
    return _mm256_and_ps(pairs, _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(0xffff0000))));
  }
  static void store_bf16(uint16_t* p, F x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i upper = _mm256_srli_epi32(bits, 16);
    // Nearest even: add 0x7fff and the last bit kept; a NaN keeps its upper half and becomes quiet instead.
    const __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    rounded = _mm256_srli_epi32(rounded, 16);
    const __m256i quiet = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    rounded = _mm256_blendv_epi8(rounded, quiet, nan);
    const __m256i packed = _mm256_packus_epi32(rounded, rounded);
    const __m256i ordered = _mm256_permute4x64_epi64(packed, 0x08);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(ordered));
  }

  static F add(F a, F b) { return _mm256_add_ps(a, b); }
  static F sub(F a, F b) { return _mm256_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static F div(F a, F b) { return _mm256_div_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static F min(F a, F b) { return _mm256_min_ps(a, b); }
  static F max(F a, F b) { return _mm256_max_ps(a, b); }
  static F round(F x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

  static F power(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
  }
  // In two factors: 2^128 and 2^-150 are no f32 values, their halves are.
  static F scale_by_power(F x, F n) {
    const __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
    return mul(mul(x, power(half)), power(_mm256_sub_epi32(whole, half)));
  }

  static void deinterleave(const float* p, F& even, F& odd) {
    const F a = load(p), b = load(p + 8);
    even = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(_mm256_shuffle_ps(a, b, 0x88)), 0xd8));
    odd = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(_mm256_shuffle_ps(a, b, 0xdd)), 0xd8));
  }
  static void sum4(F a, F b, F c, F d, float* sums) {
    const F pairs = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    _mm_storeu_ps(sums, _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1)));
  }
  static bool any_equal(F a, F b) { return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_EQ_OQ)) != 0; }

  static F max_magnitude(F most, F x) {
    const __m256i magnitude = _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7fffffff));
    return _mm256_castsi256_ps(_mm256_max_epu32(_mm256_castps_si256(most), magnitude));
  }
  static uint32_t largest_bits(F x) {
    uint32_t lanes[8], largest = 0;
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), _mm256_castps_si256(x));
    for (uint32_t lane : lanes) largest = lane > largest ? lane : largest;
    return largest;
  }
  static void store_i8(int8_t* p, F x) {
    const __m256i whole = _mm256_cvtps_epi32(x);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(words, words));
  }

  static void mxfp4_block(const uint8_t* block, uint8_t scale, F* out) {
    const __m256i* values = reinterpret_cast<const __m256i*>(kMxfp4Values.bits[scale]);  // its first eight: magnitudes
    const F magnitudes = _mm256_castsi256_ps(_mm256_load_si256(values));
    const __m256i shifts = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
    for (size_t j = 0; j < 4; j++) {
      int32_t eight;
      std::memcpy(&eight, block + 4 * j, sizeof eight);
      const __m256i nibble = _mm256_srlv_epi32(_mm256_set1_epi32(eight), shifts);  // lane k: nibble k in its low bits
      const F magnitude = _mm256_permutevar8x32_ps(magnitudes, nibble);            // reads three bits
      const __m256i sign = _mm256_and_si256(_mm256_slli_epi32(nibble, 28), _mm256_set1_epi32(INT32_MIN));
      out[j] = _mm256_or_ps(magnitude, _mm256_castsi256_ps(sign));
    }
  }
};

// Integer dots, 32-bit lane r for row r of half a tile: unsigned weights 2v + 12 times x, pairs in 16 bits. Four of those
// add up to at most 4 * 2 * 24 * 127, which 16 bits hold.
struct I8 {
  using Block = I8Block;
  static constexpr size_t kTileBytes = kMxfp4TileBytes, kScaleBytes = kMxfp4TileRows;
  static constexpr size_t kTiles = 1, kTokens = 64, kWide = 4, kFew = 2, kFewOfTiles = 1;

  static __m256i broadcast(const int8_t* four) {
    int32_t word;
    std::memcpy(&word, four, sizeof word);
    return _mm256_set1_epi32(word);
  }

  template <size_t kTiles, size_t kTokens>
  static void few(const uint8_t* w, const uint8_t* w_scale, size_t blocks, const I8Block* x, size_t x_stride,
                  float* sums) {
    static_assert(kTiles == 1);
    for (size_t half = 0; half < 2; half++)
      half_tile<kTokens>(w + 32 * half, w_scale + 8 * half, blocks, x, x_stride, sums + 8 * half);
  }

  template <size_t kTiles>
  static void tiles(const uint8_t* w, const uint8_t* w_scale, size_t blocks, const I8Block* x, size_t x_stride,
                    size_t tokens, float* sums) {
    static_assert(kTiles == 1);
    i8_token_tiles<I8, kWide>(w, w_scale, blocks, x, x_stride, tokens, sums);
  }

  template <size_t kTokens>
  static void half_tile(const uint8_t* w, const uint8_t* w_scale, size_t blocks, const I8Block* x, size_t x_stride,
                        float* sums) {
    const __m256i table = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
    const __m256i mask = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
    __m256 sum[kTokens];
    for (auto& value : sum) value = V::zero();
    for (size_t b = 0; b < blocks; b++, w += kMxfp4TileBytes, w_scale += kMxfp4TileRows) {
      __m256i dots[kTokens];
      for (size_t t = 0; t < kTokens; t++) dots[t] = _mm256_set1_epi32(x[t * x_stride + b].offset);
      for (int shift = 0; shift < 8; shift += 4) {  // low nibbles, then high ones
        __m256i pairs[kTokens];
        for (size_t j = 0; j < 4; j++) {
          const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + 64 * j));
          const __m256i weights = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(bytes, shift), mask));
          for (size_t t = 0; t < kTokens; t++) {
            const __m256i products =
                _mm256_maddubs_epi16(weights, broadcast(x[t * x_stride + b].q + 4 * static_cast<size_t>(shift) + 4 * j));
            pairs[t] = j == 0 ? products : _mm256_add_epi16(pairs[t], products);
          }
        }
        for (size_t t = 0; t < kTokens; t++) dots[t] = _mm256_add_epi32(dots[t], _mm256_madd_epi16(pairs[t], ones));
      }
      __m256i exponent = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(w_scale)));
      exponent = _mm256_max_epu32(_mm256_slli_epi32(exponent, 23), _mm256_set1_epi32(0x00400000));  // 0 is 2^-127
      const __m256 half = V::mul(_mm256_castsi256_ps(exponent), V::set1(0.5f));  // the weights are doubled
      for (size_t t = 0; t < kTokens; t++) {
        const __m256 scale = V::mul(V::set1(x[t * x_stride + b].scale), half);
        sum[t] = V::fma(_mm256_cvtepi32_ps(dots[t]), scale, sum[t]);
      }
    }
    for (size_t t = 0; t < kTokens; t++) V::store(sums + t * kMxfp4TileRows, sum[t]);
  }
};

// The same with int8 weights and 16 bits of activations: sums of |w| * (x with the sign of w), whose pairs of at most
// 2 * 127 * 127 fit 16 bits. The upper sum counts 256 times.
struct I8Tiles {
  using Block = I16Block;
  static constexpr size_t kTileBytes = kI8TileBytes, kScaleBytes = 2 * kMxfp4TileRows;
  static constexpr size_t kTiles = 1, kTokens = 64, kWide = 2, kFew = 2, kFewOfTiles = 1;

  template <size_t kTiles, size_t kTokens>
  static void few(const uint8_t* w, const uint8_t* w_scale, size_t blocks, const I16Block* x, size_t x_stride,
                  float* sums) {
    static_assert(kTiles == 1);
    for (size_t half = 0; half < 2; half++)
      half_tile<kTokens>(w + 32 * half, w_scale + 16 * half, blocks, x, x_stride, sums + 8 * half);
  }

  template <size_t kTiles>
  static void tiles(const uint8_t* w, const uint8_t* w_scale, size_t blocks, const I16Block* x, size_t x_stride,
                    size_t tokens, float* sums) {
    static_assert(kTiles == 1);
    i8_token_tiles<I8Tiles, kWide>(w, w_scale, blocks, x, x_stride, tokens, sums);
  }

  static __m256i products(__m256i magnitude, __m256i weights, const int8_t* four) {
    const __m256i pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(I8::broadcast(four), weights));
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  }

  template <size_t kTokens>
  static void half_tile(const uint8_t* w, const uint8_t* w_scale, size_t blocks, const I16Block* x, size_t x_stride,
                        float* sums) {
    __m256 sum[kTokens];
    for (auto& value : sum) value = V::zero();
    for (size_t b = 0; b < blocks; b++, w += kTileBytes, w_scale += kScaleBytes, x++) {
      __m256i low[kTokens], high[kTokens];
      for (size_t t = 0; t < kTokens; t++) low[t] = high[t] = _mm256_setzero_si256();
      for (size_t j = 0; j < 8; j++) {
        const __m256i weights = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + 64 * j));
        const __m256i magnitude = _mm256_abs_epi8(weights);
        for (size_t t = 0; t < kTokens; t++) {
          low[t] = _mm256_add_epi32(low[t], products(magnitude, weights, x[t * x_stride].low + 4 * j));
          high[t] = _mm256_add_epi32(high[t], products(magnitude, weights, x[t * x_stride].high + 4 * j));
        }
      }
      const __m256 scale = V::load_bf16(w_scale);
      for (size_t t = 0; t < kTokens; t++) {
        const __m256i dots = _mm256_add_epi32(low[t], _mm256_slli_epi32(high[t], 8));
        sum[t] = V::fma(_mm256_cvtepi32_ps(dots), V::mul(V::set1(x[t * x_stride].scale), scale), sum[t]);
      }
    }
    for (size_t t = 0; t < kTokens; t++) V::store(sums + t * kMxfp4TileRows, sum[t]);
  }
};

// Sums of |q| * (x with the sign of q): pairs of at most 2 * 127 * 127 fit 16 bits.
struct I8Rows {
  static constexpr size_t kTokens = 2;

  static int32_t total(__m256i lanes) {
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1)));
  }

  // sum += the products of 32 weights with kTokens activations each: maddubs wants one side unsigned, and would saturate
  // were it q + 128.
  template <size_t kTokens>
  static void add(const uint8_t* w, const __m256i* x, __m256i* sum) {
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w));
    const __m256i q = _mm256_xor_si256(bytes, _mm256_set1_epi8(static_cast<char>(0x80))), magnitude = _mm256_abs_epi8(q);
    for (size_t t = 0; t < kTokens; t++) {
      const __m256i pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(x[t], q));
      sum[t] = _mm256_add_epi32(sum[t], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
  }
  static __m256i load(const int8_t* x) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)); }

  template <size_t kTokens, size_t kAhead>
  static void rows4(const uint8_t* const* w, const uint8_t* const* ahead, size_t stride, const I8Vector* x,
                    int32_t (*sums)[4]) {
    __m256i sum[4][kTokens];
    for (auto& row : sum)
      for (auto& token : row) token = _mm256_setzero_si256();
    for (size_t i = 0; i < stride; i += 32) {
      __m256i low[kTokens];
      for (size_t t = 0; t < kTokens; t++) low[t] = load(x[t].low + i);
      for (size_t r = 0; r < kAhead; r++) __builtin_prefetch(ahead[r] + i, 0, 2);
      for (size_t r = 0; r < 4; r++) add<kTokens>(w[r] + i, low, sum[r]);
    }
    for (size_t t = 0; t < kTokens; t++) {
      __m256i high[4];
      for (auto& row : high) row = _mm256_setzero_si256();
      for (size_t i = 0; i < x[t].high_count * kI8RowAlign; i += 32) {
        const __m256i block = load(x[t].high + i);
        const size_t at = x[t].high_at[i / kI8RowAlign] + i % kI8RowAlign;
        for (size_t r = 0; r < 4; r++) add<1>(w[r] + at, &block, &high[r]);
      }
      for (size_t r = 0; r < 4; r++) sums[t][r] = total(_mm256_add_epi32(sum[r][t], _mm256_slli_epi32(high[r], 8)));
    }
  }
};

template <size_t kXBytes>
using K = F32Kernel<V, kXBytes, 2>;  // 4 rows x 2 tokens: 8 of the 16 registers accumulate

constexpr Ops kAvx2 = {
    .name = "avx2",
    .f32_rmsnorm = simd_rmsnorm<V>,
    .f32_to_bf16 = simd_to_bf16<V>,
    .f32_quantize_i8 = simd_quantize_i8<V>,
    .f32_quantize_i16 = simd_quantize_i16<V>,
    .f32_bf16w_matmul = simd_matmul<V, K<4>, Bf16Rows<V>>,
    .bf16_bf16w_matmul = simd_matmul<V, K<2>, Bf16Rows<V>>,
    .f32_mxfp4w_matmul = simd_matmul<V, K<4>, Mxfp4Rows<V>>,
    .bf16_mxfp4w_matmul = simd_matmul<V, K<2>, Mxfp4Rows<V>>,
    .i8_mxfp4t_matmul = simd_i8_tiles_matmul<I8>,
    .i16_i8t_matmul = simd_i8_tiles_matmul<I8Tiles>,
    .i8v_u8w_matmul = simd_i8v_u8w_matmul<I8Rows>,
    .bf16_quantize_row = plain_quantize_row,
    .f32_gumbel = plain_gumbel,
    .f32_most_reach = plain_most_reach,
    .f32_swiglu = simd_swiglu<V>,
    .f32_rope = simd_rope<V>,
    .f32_axpy = simd_axpy<V>,
    .f32kv_sdpa = simd_sdpa<V, SdpaF32<V, F32Cells, 4>>,
    .bf16kv_sdpa = simd_sdpa<V, SdpaF32<V, Bf16Cells, 4>>,
    .f32_sdpa_merge = simd_sdpa_merge<V>,
    .f32_sdpa_finish = simd_sdpa_finish<V>,
    .f32_argmax = simd_argmax<V>,
};

}  // namespace

const Ops* ops_avx2() { return &kAvx2; }

}  // namespace switchyard

#else

const switchyard::Ops* switchyard::ops_avx2() { return nullptr; }

#endif
