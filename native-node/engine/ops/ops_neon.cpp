// The table for 64-bit ARM with the integer dot product (armv8.2-a+dotprod): 4 lanes of f32. bf16 activations are
// expanded to f32, which is exact. Elsewhere this file gives nullptr.
// Run so far: ops_test under qemu-aarch64 7.2 (scripts/test-neon.sh), all of it passing; never on ARM hardware, so nothing
// is known about its speed.
#include "ops.h"

#if defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>

#include "noise.h"
#include "reach.h"
#include "simd_kernels.h"
#include "simd_matmul.h"
#include "simd_sdpa.h"

namespace switchyard {
namespace {

struct V {
  using F = float32x4_t;
  static constexpr size_t kLanes = 4;

  static F zero() { return vdupq_n_f32(0.0f); }
  static F set1(float x) { return vdupq_n_f32(x); }
  static F load(const float* p) { return vld1q_f32(p); }
  static void store(float* p, F x) { vst1q_f32(p, x); }
  static F load_n(const float* p, size_t n) {
    float rest[4] = {};
    std::memcpy(rest, p, n * sizeof(float));
    return load(rest);
  }
  static void store_n(float* p, F x, size_t n) {
    float rest[4];
    store(rest, x);
    std::memcpy(p, rest, n * sizeof(float));
  }

  static F load_bf16(const uint8_t* p) {
    return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p)), 16));
  }
  static F load_bf16_n(const uint8_t* p, size_t n) {
    uint8_t rest[8] = {};
    std::memcpy(rest, p, 2 * n);
    return load_bf16(rest);
  }
  static F lower_bf16(F pairs) { return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(pairs), 16)); }
  static F upper_bf16(F pairs) {
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(pairs), vdupq_n_u32(0xffff0000)));
  }
  static void store_bf16(uint16_t* p, F x) {
    const uint32x4_t bits = vreinterpretq_u32_f32(x);
    const uint32x4_t upper = vshrq_n_u32(bits, 16);
    // Nearest even: add 0x7fff and the last bit kept; a NaN keeps its upper half and becomes quiet instead.
    const uint32x4_t odd = vandq_u32(upper, vdupq_n_u32(1));
    const uint32x4_t rounded = vshrq_n_u32(vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd), 16);
    const uint32x4_t quiet = vorrq_u32(upper, vdupq_n_u32(0x40));
    vst1_u16(p, vmovn_u32(vbslq_u32(vceqq_f32(x, x), rounded, quiet)));
  }

  static F add(F a, F b) { return vaddq_f32(a, b); }
  static F sub(F a, F b) { return vsubq_f32(a, b); }
  static F mul(F a, F b) { return vmulq_f32(a, b); }
  static F div(F a, F b) { return vdivq_f32(a, b); }
  static F fma(F a, F b, F c) { return vfmaq_f32(c, a, b); }
  static F min(F a, F b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
  static F max(F a, F b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
  static F round(F x) { return vrndnq_f32(x); }

  static F power(int32x4_t n) { return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23)); }
  // In two factors: 2^128 and 2^-150 are no f32 values, their halves are.
  static F scale_by_power(F x, F n) {
    const int32x4_t whole = vcvtnq_s32_f32(n), half = vshrq_n_s32(whole, 1);
    return mul(mul(x, power(half)), power(vsubq_s32(whole, half)));
  }

  static void deinterleave(const float* p, F& even, F& odd) {
    const float32x4x2_t pairs = vld2q_f32(p);
    even = pairs.val[0];
    odd = pairs.val[1];
  }
  static void sum4(F a, F b, F c, F d, float* sums) {
    vst1q_f32(sums, vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d)));
  }
  static bool any_equal(F a, F b) { return vmaxvq_u32(vceqq_f32(a, b)) != 0; }

  static F max_magnitude(F most, F x) {
    const uint32x4_t magnitude = vandq_u32(vreinterpretq_u32_f32(x), vdupq_n_u32(0x7fffffff));
    return vreinterpretq_f32_u32(vmaxq_u32(vreinterpretq_u32_f32(most), magnitude));
  }
  static uint32_t largest_bits(F x) { return vmaxvq_u32(vreinterpretq_u32_f32(x)); }
  static void store_i8(int8_t* p, F x) {
    const int16x4_t words = vqmovn_s32(vcvtnq_s32_f32(x));
    const int8x8_t bytes = vqmovn_s16(vcombine_s16(words, words));
    const int32_t four = vget_lane_s32(vreinterpret_s32_s8(bytes), 0);
    std::memcpy(p, &four, sizeof four);
  }

  // Low and high nibbles of a block as doubled integers: the even and the odd elements.
  static void mxfp4_integers(const uint8_t* block, int8x16_t& even, int8x16_t& odd) {
    const int8x16_t table = vld1q_s8(kFp4Doubled);
    const uint8x16_t pairs = vld1q_u8(block);
    even = vqtbl1q_s8(table, vandq_u8(pairs, vdupq_n_u8(15)));
    odd = vqtbl1q_s8(table, vshrq_n_u8(pairs, 4));
  }

  static void mxfp4_block(const uint8_t* block, uint8_t scale, F* out) {
    int8x16_t even, odd;
    mxfp4_integers(block, even, odd);
    // Halved first: the FP4 value itself meets the scale, so that overflow happens where the definition has it.
    const F half = set1(0.5f), factor = set1(e8m0_scale(scale));
    const int8x16x2_t order = vzipq_s8(even, odd);
    for (size_t j = 0; j < 2; j++) {
      const int16x8_t words[2] = {vmovl_s8(vget_low_s8(order.val[j])), vmovl_s8(vget_high_s8(order.val[j]))};
      for (size_t k = 0; k < 2; k++) {
        const F lower = vcvtq_f32_s32(vmovl_s16(vget_low_s16(words[k])));
        const F upper = vcvtq_f32_s32(vmovl_s16(vget_high_s16(words[k])));
        out[4 * j + 2 * k] = mul(mul(lower, half), factor);
        out[4 * j + 2 * k + 1] = mul(mul(upper, half), factor);
      }
    }
  }
};

// Integer dots by sdot, lane r for row r of a quarter of a tile.
struct I8 {
  using Block = I8Block;
  static constexpr size_t kTileBytes = kMxfp4TileBytes, kScaleBytes = kMxfp4TileRows;
  static constexpr size_t kTiles = 1, kTokens = 64, kWide = 4, kFew = 2, kFewOfTiles = 1;

  template <size_t kTiles, size_t kTokens>
  static void few(const uint8_t* w, const uint8_t* w_scale, size_t blocks, const I8Block* x, size_t x_stride,
                  float* sums) {
    static_assert(kTiles == 1);
    for (size_t quarter = 0; quarter < 4; quarter++)
      quarter_tile<kTokens>(w + 16 * quarter, w_scale + 4 * quarter, blocks, x, x_stride, sums + 4 * quarter);
  }

  template <size_t kTiles>
  static void tiles(const uint8_t* w, const uint8_t* w_scale, size_t blocks, const I8Block* x, size_t x_stride,
                    size_t tokens, float* sums) {
    static_assert(kTiles == 1);
    i8_token_tiles<I8, kWide>(w, w_scale, blocks, x, x_stride, tokens, sums);
  }

  // Adds the dots of four bytes of each row: word kWord of the even elements, and of the odd ones.
  template <size_t kTokens, int kWord>
  static void step(const uint8_t* w, const int8x16_t (*x)[2], int32x4_t* dots) {
    const int8x16_t table = vld1q_s8(kFp4Doubled);
    const uint8x16_t pairs = vld1q_u8(w + 64 * kWord);
    const int8x16_t even = vqtbl1q_s8(table, vandq_u8(pairs, vdupq_n_u8(15)));
    const int8x16_t odd = vqtbl1q_s8(table, vshrq_n_u8(pairs, 4));
    for (size_t t = 0; t < kTokens; t++) {
      dots[t] = vdotq_laneq_s32(dots[t], even, x[t][0], kWord);
      dots[t] = vdotq_laneq_s32(dots[t], odd, x[t][1], kWord);
    }
  }

  template <size_t kTokens>
  static void quarter_tile(const uint8_t* w, const uint8_t* w_scale, size_t blocks, const I8Block* x, size_t x_stride,
                           float* sums) {
    float32x4_t sum[kTokens];
    for (auto& value : sum) value = V::zero();
    for (size_t b = 0; b < blocks; b++, w += kMxfp4TileBytes, w_scale += kMxfp4TileRows) {
      int8x16_t values[kTokens][2];
      int32x4_t dots[kTokens];
      for (size_t t = 0; t < kTokens; t++) {
        values[t][0] = vld1q_s8(x[t * x_stride + b].q);
        values[t][1] = vld1q_s8(x[t * x_stride + b].q + 16);
        dots[t] = vdupq_n_s32(0);
      }
      step<kTokens, 0>(w, values, dots);
      step<kTokens, 1>(w, values, dots);
      step<kTokens, 2>(w, values, dots);
      step<kTokens, 3>(w, values, dots);
      float scales[4];
      for (size_t r = 0; r < 4; r++) scales[r] = 0.5f * e8m0_scale(w_scale[r]);  // the weights are doubled
      const float32x4_t half = vld1q_f32(scales);
      for (size_t t = 0; t < kTokens; t++) {
        const float32x4_t scale = V::mul(V::set1(x[t * x_stride + b].scale), half);
        sum[t] = V::fma(vcvtq_f32_s32(dots[t]), scale, sum[t]);
      }
    }
    for (size_t t = 0; t < kTokens; t++) V::store(sums + t * kMxfp4TileRows, sum[t]);
  }
};

// The same with int8 weights and 16 bits of activations: two sums, of which the upper one counts 256 times.
struct I8Tiles {
  using Block = I16Block;
  static constexpr size_t kTileBytes = kI8TileBytes, kScaleBytes = 2 * kMxfp4TileRows;
  static constexpr size_t kTiles = 1, kTokens = 64, kWide = 2, kFew = 2, kFewOfTiles = 1;

  template <size_t kTiles, size_t kTokens>
  static void few(const uint8_t* w, const uint8_t* w_scale, size_t blocks, const I16Block* x, size_t x_stride,
                  float* sums) {
    static_assert(kTiles == 1);
    for (size_t quarter = 0; quarter < 4; quarter++)
      quarter_tile<kTokens>(w + 16 * quarter, w_scale + 8 * quarter, blocks, x, x_stride, sums + 4 * quarter);
  }

  template <size_t kTiles>
  static void tiles(const uint8_t* w, const uint8_t* w_scale, size_t blocks, const I16Block* x, size_t x_stride,
                    size_t tokens, float* sums) {
    static_assert(kTiles == 1);
    i8_token_tiles<I8Tiles, kWide>(w, w_scale, blocks, x, x_stride, tokens, sums);
  }

  // One half of the activations of kTokens tokens, even and odd elements, and what becomes of them.
  template <size_t kTokens>
  struct Half {
    int8x16_t x[kTokens][2];
    int32x4_t dots[kTokens];

    void begin(size_t t, const int8_t* from) {
      x[t][0] = vld1q_s8(from);
      x[t][1] = vld1q_s8(from + 16);
      dots[t] = vdupq_n_s32(0);
    }
    template <int kWord>
    void add(size_t t, int8x16_t even, int8x16_t odd) {
      dots[t] = vdotq_laneq_s32(dots[t], even, x[t][0], kWord);
      dots[t] = vdotq_laneq_s32(dots[t], odd, x[t][1], kWord);
    }
  };

  // Adds the dots of four bytes of each row with word kWord of the even elements, and of the odd ones.
  template <size_t kTokens, int kWord>
  static void step(const uint8_t* w, Half<kTokens>* low, Half<kTokens>* high) {
    const int8x16_t even = vreinterpretq_s8_u8(vld1q_u8(w + 64 * kWord));
    const int8x16_t odd = vreinterpretq_s8_u8(vld1q_u8(w + 64 * (4 + kWord)));
    for (size_t t = 0; t < kTokens; t++) {
      low->template add<kWord>(t, even, odd);
      high->template add<kWord>(t, even, odd);
    }
  }

  template <size_t kTokens>
  static void quarter_tile(const uint8_t* w, const uint8_t* w_scale, size_t blocks, const I16Block* x, size_t x_stride,
                           float* sums) {
    float32x4_t sum[kTokens];
    for (auto& value : sum) value = V::zero();
    for (size_t b = 0; b < blocks; b++, w += kTileBytes, w_scale += kScaleBytes, x++) {
      Half<kTokens> low, high;
      for (size_t t = 0; t < kTokens; t++) low.begin(t, x[t * x_stride].low), high.begin(t, x[t * x_stride].high);
      step<kTokens, 0>(w, &low, &high);
      step<kTokens, 1>(w, &low, &high);
      step<kTokens, 2>(w, &low, &high);
      step<kTokens, 3>(w, &low, &high);
      const float32x4_t scale = V::load_bf16(w_scale);
      for (size_t t = 0; t < kTokens; t++) {
        const int32x4_t dots = vaddq_s32(low.dots[t], vshlq_n_s32(high.dots[t], 8));
        sum[t] = V::fma(vcvtq_f32_s32(dots), V::mul(V::set1(x[t * x_stride].scale), scale), sum[t]);
      }
    }
    for (size_t t = 0; t < kTokens; t++) V::store(sums + t * kMxfp4TileRows, sum[t]);
  }
};

struct I8Rows {
  static constexpr size_t kTokens = 4;

  static int8x16_t weights(const uint8_t* w) { return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(w), vdupq_n_u8(0x80))); }

  template <size_t kTokens, size_t kAhead>
  static void rows4(const uint8_t* const* w, const uint8_t* const* ahead, size_t stride, const I8Vector* x,
                    int32_t (*sums)[4]) {
    int32x4_t sum[4][kTokens];
    for (auto& row : sum)
      for (auto& token : row) token = vdupq_n_s32(0);
    for (size_t i = 0; i < stride; i += 16) {
      int8x16_t low[kTokens];
      for (size_t t = 0; t < kTokens; t++) low[t] = vld1q_s8(x[t].low + i);
      if (i % 64 == 0)
        for (size_t r = 0; r < kAhead; r++) __builtin_prefetch(ahead[r] + i, 0, 2);
      for (size_t r = 0; r < 4; r++) {
        const int8x16_t q = weights(w[r] + i);
        for (size_t t = 0; t < kTokens; t++) sum[r][t] = vdotq_s32(sum[r][t], q, low[t]);
      }
    }
    for (size_t t = 0; t < kTokens; t++) {
      int32x4_t high[4];
      for (auto& row : high) row = vdupq_n_s32(0);
      for (size_t i = 0; i < x[t].high_count * kI8RowAlign; i += 16) {
        const int8x16_t block = vld1q_s8(x[t].high + i);
        const size_t at = x[t].high_at[i / kI8RowAlign] + i % kI8RowAlign;
        for (size_t r = 0; r < 4; r++) high[r] = vdotq_s32(high[r], weights(w[r] + at), block);
      }
      for (size_t r = 0; r < 4; r++) sums[t][r] = vaddvq_s32(vaddq_s32(sum[r][t], vshlq_n_s32(high[r], 8)));
    }
  }
};

template <size_t kXBytes>
using K = F32Kernel<V, kXBytes, 4>;  // 4 rows x 4 tokens: 16 of the 32 registers accumulate

constexpr Ops kNeon = {
    .name = "neon",
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

const Ops* ops_neon() { return &kNeon; }

}  // namespace switchyard

#else

const switchyard::Ops* switchyard::ops_neon() { return nullptr; }

#endif
