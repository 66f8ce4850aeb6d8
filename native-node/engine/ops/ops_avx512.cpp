// The table for AVX-512 (F, BW, VL, DQ, VNNI, VBMI, BF16; Zen 4, Sapphire Rapids and later): 16 lanes of f32.
// Its bf16 products use vdpbf16ps, which treats subnormal operands and results as zero and rounds the two products of a
// lane on its own; all else follows IEEE. Compiled with the flags of CMakeLists.txt; elsewhere this file gives nullptr.
// One file, as each instruction set is: its flags are the file's.
#include "ops.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__) && \
    defined(__AVX512VNNI__) && defined(__AVX512VBMI__) && defined(__AVX512BF16__)
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
  using F = __m512;
  static constexpr size_t kLanes = 16;

  static F zero() { return _mm512_setzero_ps(); }
  static F set1(float x) { return _mm512_set1_ps(x); }
  static F load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, F x) { _mm512_storeu_ps(p, x); }
  static __mmask16 first(size_t n) { return static_cast<__mmask16>((1u << n) - 1); }
  static F load_n(const float* p, size_t n) { return _mm512_maskz_loadu_ps(first(n), p); }
  static void store_n(float* p, F x, size_t n) { _mm512_mask_storeu_ps(p, first(n), x); }

  static F expand(__m256i halves) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16)); }
  static F load_bf16(const uint8_t* p) { return expand(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
  static F load_bf16_n(const uint8_t* p, size_t n) { return expand(_mm256_maskz_loadu_epi16(first(n), p)); }
  static F lower_bf16(F pairs) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(pairs), 16)); }
  static F upper_bf16(F pairs) {
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(pairs), _mm512_set1_epi32(static_cast<int>(0xffff0000))));
  }
  static void store_bf16(uint16_t* p, F x) {
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i upper = _mm512_srli_epi32(bits, 16);
    // Nearest even: add 0x7fff and the last bit kept; a NaN keeps its upper half and becomes quiet instead.
    // (vcvtneps2bf16 would turn subnormals into zeros.)
    const __m512i odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    rounded = _mm512_srli_epi32(rounded, 16);
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    rounded = _mm512_mask_or_epi32(rounded, nan, upper, _mm512_set1_epi32(0x40));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(rounded));
  }

  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F div(F a, F b) { return _mm512_div_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F min(F a, F b) { return _mm512_min_ps(a, b); }
  static F max(F a, F b) { return _mm512_max_ps(a, b); }
  static F round(F x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static F scale_by_power(F x, F n) { return _mm512_scalef_ps(x, n); }

  static void deinterleave(const float* p, F& even, F& odd) {
    const __m512i evens = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const F a = load(p), b = load(p + 16);
    even = _mm512_permutex2var_ps(a, evens, b);
    odd = _mm512_permutex2var_ps(a, _mm512_or_si512(evens, _mm512_set1_epi32(1)), b);
  }
  static void sum4(F a, F b, F c, F d, float* sums) {
    // Transposing adds inside the 128-bit parts, then the four parts: every sum goes the same way.
    const F ab = add(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    const F cd = add(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    const F quads = add(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee));
    const __m256 halves = _mm256_add_ps(_mm512_castps512_ps256(quads), _mm512_extractf32x8_ps(quads, 1));
    _mm_storeu_ps(sums, _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1)));
  }
  static bool any_equal(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ) != 0; }

  static F max_magnitude(F most, F x) {
    const __m512i magnitude = _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff));
    return _mm512_castsi512_ps(_mm512_max_epu32(_mm512_castps_si512(most), magnitude));
  }
  static uint32_t largest_bits(F x) { return _mm512_reduce_max_epu32(_mm512_castps_si512(x)); }
  static void store_i8(int8_t* p, F x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x)));
  }

  static void mxfp4_block(const uint8_t* block, uint8_t scale, F* out) {
    // Byte 0 of 32-bit lane k takes the eight bits from bit 4k of the 64: nibble k and its neighbour. vpermps reads only
    // the lower four bits.
    const __m512i offsets = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60);
    const F values = _mm512_castsi512_ps(_mm512_loadu_si512(kMxfp4Values.bits[scale]));
    for (size_t j = 0; j < 2; j++) {
      int64_t sixteen;
      std::memcpy(&sixteen, block + 8 * j, sizeof sixteen);
      out[j] = _mm512_permutexvar_ps(_mm512_multishift_epi64_epi8(offsets, _mm512_set1_epi64(sixteen)), values);
    }
  }
};

// bf16 operands for vdpbf16ps, 32 to a vector. Tiles of 4 x 6 fill the registers: ten loads to 24 products leave room for
// weights that lie across cache lines, which cost two loads each.
struct Bf16Kernel {
  using Vec = __m512bh;
  using Element = uint16_t;
  static constexpr size_t kStep = 32, kXBytes = 2, kTokens = 6;
  static Vec load_x(const void* p) { return (Vec)_mm512_loadu_si512(p); }
  static Vec load_x_n(const void* p, size_t n) {
    return (Vec)_mm512_maskz_loadu_epi16(static_cast<__mmask32>((uint64_t{1} << n) - 1), p);
  }
  static Vec load(const Element* p) { return load_x(p); }
  static Vec load_n(const Element* p, size_t n) { return load_x_n(p, n); }
  static void store(Element* p, Vec v) { _mm512_storeu_si512(p, (__m512i)v); }
  static V::F step(V::F sum, Vec x, Vec w) { return _mm512_dpbf16_ps(sum, x, w); }
};

// bf16 weights are operands as they lie: no scratch.
struct Bf16OperandRows {
  static constexpr bool kDecodes = false, kRagged = true, kWholeBlocks = false;
  static WeightRow row(const MatmulArgs& args, size_t r) { return Bf16Rows<V>::row(args, r); }
  static Bf16Kernel::Vec load(const WeightRow& row, size_t i) { return Bf16Kernel::load_x(row.w + 2 * i); }
  static Bf16Kernel::Vec load_n(const WeightRow& row, size_t i, size_t n) {
    return Bf16Kernel::load_x_n(row.w + 2 * i, n);
  }
  static WeightRow part(const WeightRow& row, size_t i) { return Bf16Rows<V>::part(row, i); }
  static void prefetch(const WeightRow& row, size_t i, size_t ahead) { Bf16Rows<V>::prefetch(row, i, ahead); }
};

struct Mxfp4OperandRows {
  static constexpr bool kDecodes = true, kRagged = false, kWholeBlocks = true;
  static WeightRow row(const MatmulArgs& args, size_t r) { return Mxfp4Rows<V>::row(args, r); }
  static void load32(const WeightRow& row, size_t i, Bf16Kernel::Vec* out) {
    // Word k of a half takes the eight bits from bit 4k - 1 of its 64: one foreign bit, nibble k, three foreign bits.
    // vpermw reads the lower five; the table holds each value twice, so that the foreign bit does not matter.
    const __m512i offsets = _mm512_set4_epi64(0x003b00370033002f, 0x002b00270023001f, 0x001b00170013000f, 0x000b00070003003f);
    const __m512i block = _mm512_castsi128_si512(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row.w + i / 2)));
    const __m512i halves = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 0, 0, 0, 1, 1, 1, 1), block);
    const __m512i index = _mm512_multishift_epi64_epi8(offsets, halves);
    const __m512i values = _mm512_loadu_si512(kMxfp4Values.bf16_twice[row.scale[i / kMxfp4Block]]);
    out[0] = (Bf16Kernel::Vec)_mm512_permutexvar_epi16(index, values);
  }
  static void prefetch(const WeightRow& row, size_t i, size_t ahead) { Mxfp4Rows<V>::prefetch(row, i, ahead); }
};

// Integer dots by vpdpbusd, lane r for row r. It wants unsigned weights: 2v + 12, hence I8Block::offset.
// Zen 4 takes one zmm product and one zmm load a cycle. So two tiles share the loads of the activations, and all that is no
// product goes to other ports: vscalefps multiplies by a power of two where vmulps would wait behind the products.
struct I8 {
  using Block = I8Block;
  static constexpr size_t kTileBytes = kMxfp4TileBytes, kScaleBytes = kMxfp4TileRows;
  static constexpr size_t kTiles = 2, kTokens = 64, kJoint = 2, kFew = 6, kFewOfTiles = 5;
  static constexpr size_t kAhead = 4096;  // bytes of weights

  static __m512i broadcast(const int8_t* four) {
    int32_t word;
    std::memcpy(&word, four, sizeof word);
    return _mm512_set1_epi32(word);
  }

  // How far from a tile's byte `at` weights are asked for: behind the tiles that its stream runs into.
  static size_t ahead(size_t at, size_t tile_bytes, size_t tiles) {
    return kAhead + (at + kAhead < tile_bytes ? 0 : (tiles - 1) * tile_bytes);
  }

  // 2v + 12 by the lower nibble of each byte. The table repeats every 16 bytes, so that the upper bits of an index do not
  // matter.
  static __m512i weights_of(__m512i nibbles) {
    const __m512i table =
        _mm512_broadcast_i32x4(_mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
    return _mm512_permutexvar_epi8(nibbles, table);
  }

  // What the scales of a tile's rows are powers of: one less, as the weights are doubled. 255, which is no number, stays
  // infinite.
  static __m512 power_of(const uint8_t* w_scale) {
    __m512i exponent = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w_scale)));
    exponent = _mm512_max_epu32(_mm512_slli_epi32(exponent, 23), _mm512_set1_epi32(0x00400000));  // 0 is 2^-127
    return V::sub(_mm512_getexp_ps(_mm512_castsi512_ps(exponent)), V::set1(1));
  }

  template <size_t kTiles>
  static void add_scaled(const __m512i* dots, const __m512* power, float x_scale, __m512* sum) {
    const __m512 scale = V::set1(x_scale);
    for (size_t i = 0; i < kTiles; i++)
      sum[i] = V::fma(_mm512_cvtepi32_ps(dots[i]), V::scale_by_power(scale, power[i]), sum[i]);
  }

  // The weights of one block of a tile by nibble, low ones first.
  static void decode(const uint8_t* w, __m512i* weights) {
    for (size_t j = 0; j < 4; j++) {
      const __m512i pairs = _mm512_loadu_si512(w + 64 * j);
      weights[j] = weights_of(pairs);
      weights[4 + j] = weights_of(_mm512_srli_epi16(pairs, 4));
    }
  }

  // sum += scale * dots for kTokens tokens of a block and kTiles tiles: their chains of products run beside each other.
  template <size_t kTiles, size_t kTokens>
  static void add_block(const __m512i (*weights)[8], const __m512* power, const I8Block* x, size_t x_stride,
                        __m512 (*sum)[kTiles]) {
    __m512i dots[kTokens][kTiles];
    for (size_t t = 0; t < kTokens; t++)
      for (size_t i = 0; i < kTiles; i++) dots[t][i] = _mm512_set1_epi32(x[t * x_stride].offset);
#pragma GCC unroll 8
    for (size_t j = 0; j < 8; j++) {
      for (size_t t = 0; t < kTokens; t++) {
        const __m512i four = broadcast(x[t * x_stride].q + 4 * j);
        for (size_t i = 0; i < kTiles; i++) dots[t][i] = _mm512_dpbusd_epi32(dots[t][i], weights[i][j], four);
      }
    }
    for (size_t t = 0; t < kTokens; t++) add_scaled<kTiles>(dots[t], power, x[t * x_stride].scale, sum[t]);
  }

  // A few tokens, each with sums in registers, wait for weights, which are decoded as they are used. Memory delivers one
  // stream faster than two, but from five tokens on loads would wait for each other, were they not shared by two tiles. What
  // is asked for ahead goes on behind the tiles that the streams run into, and only into the second cache: asked into the
  // first, it leaves the processor's own prefetching at rest for a millisecond of the next product (docs/performance.md). One
  // token is best left to that alone.
  template <size_t kTiles, size_t kTokens>
  static void few(const uint8_t* w, const uint8_t* w_scale, size_t blocks, const I8Block* x, size_t x_stride,
                  float* sums) {
    const size_t tile_bytes = blocks * kMxfp4TileBytes, tile_scales = blocks * kMxfp4TileRows;
    __m512 sum[kTokens][kTiles];
    for (auto& token : sum)
      for (auto& value : token) value = V::zero();
    for (size_t b = 0; b < blocks; b++, w += kMxfp4TileBytes, w_scale += kMxfp4TileRows, x++) {
      const size_t ahead = I8::ahead(b * kMxfp4TileBytes, tile_bytes, kTiles);
      __m512i dots[kTokens][kTiles];
      for (size_t t = 0; t < kTokens; t++)
        for (size_t i = 0; i < kTiles; i++) dots[t][i] = _mm512_set1_epi32(x[t * x_stride].offset);
#pragma GCC unroll 4
      for (size_t j = 0; j < 4; j++) {
        __m512i low[kTiles], high[kTiles];
        for (size_t i = 0; i < kTiles; i++) {
          const uint8_t* pairs = w + i * tile_bytes + 64 * j;
          if constexpr (kTokens > 1) __builtin_prefetch(pairs + ahead, 0, 2);
          low[i] = weights_of(_mm512_loadu_si512(pairs));
          high[i] = weights_of(_mm512_srli_epi16(_mm512_loadu_si512(pairs), 4));
        }
        for (size_t t = 0; t < kTokens; t++) {
          const __m512i even = broadcast(x[t * x_stride].q + 4 * j), odd = broadcast(x[t * x_stride].q + 16 + 4 * j);
          for (size_t i = 0; i < kTiles; i++) dots[t][i] = _mm512_dpbusd_epi32(dots[t][i], low[i], even);
          for (size_t i = 0; i < kTiles; i++) dots[t][i] = _mm512_dpbusd_epi32(dots[t][i], high[i], odd);
        }
      }
      __m512 power[kTiles];
      for (size_t i = 0; i < kTiles; i++) power[i] = power_of(w_scale + i * tile_scales);
      for (size_t t = 0; t < kTokens; t++) add_scaled<kTiles>(dots[t], power, x[t * x_stride].scale, sum[t]);
    }
    for (size_t t = 0; t < kTokens; t++)
      for (size_t i = 0; i < kTiles; i++) V::store(sums + (t * kTiles + i) * kMxfp4TileRows, sum[t][i]);
  }

  // Many tokens: a block's weights are decoded once and stay in registers while all tokens pass; the sums need not.
  template <size_t kTiles>
  static void tiles(const uint8_t* w, const uint8_t* w_scale, size_t blocks, const I8Block* x, size_t x_stride,
                    size_t tokens, float* sums) {
    __m512 sum[kTokens][kTiles];
    for (size_t t = 0; t < tokens; t++)
      for (size_t i = 0; i < kTiles; i++) sum[t][i] = V::zero();
    for (size_t b = 0; b < blocks; b++, w += kMxfp4TileBytes, w_scale += kMxfp4TileRows) {
      __m512i weights[kTiles][8];
      __m512 power[kTiles];
      for (size_t i = 0; i < kTiles; i++) {
        const uint8_t* tile = w + i * blocks * kMxfp4TileBytes;
        for (size_t j = 0; j < kMxfp4TileBytes; j += 64)
          __builtin_prefetch(tile + kTiles * blocks * kMxfp4TileBytes + j, 0, 2);
        decode(tile, weights[i]);
        power[i] = power_of(w_scale + i * blocks * kMxfp4TileRows);
      }
      size_t t = 0;
#pragma GCC unroll 1
      for (; t + kJoint <= tokens; t += kJoint)
        add_block<kTiles, kJoint>(weights, power, x + t * x_stride + b, x_stride, sum + t);
#pragma GCC unroll 1
      for (; t < tokens; t++) add_block<kTiles, 1>(weights, power, x + t * x_stride + b, x_stride, sum + t);
    }
    for (size_t t = 0; t < tokens; t++)
      for (size_t i = 0; i < kTiles; i++) V::store(sums + (t * kTiles + i) * kMxfp4TileRows, sum[t][i]);
  }
};

// The same with int8 weights, which are unsigned as q + 128, and 16 bits of activations: two sums of products, of which the
// upper one counts 256 times.
struct I8Tiles {
  using Block = I16Block;
  static constexpr size_t kTileBytes = kI8TileBytes, kScaleBytes = 2 * kMxfp4TileRows;
  static constexpr size_t kTiles = 2, kTokens = 64, kFew = 4, kFewOfTiles = 2;

  static __m512i weights_of(const uint8_t* w) {
    return _mm512_xor_si512(_mm512_loadu_si512(w), _mm512_set1_epi8(static_cast<char>(0x80)));
  }

  static __m512 add_scaled(__m512i low, __m512i high, float x_scale, __m512 w_scale, __m512 sum) {
    const __m512i dots = _mm512_add_epi32(low, _mm512_slli_epi32(high, 8));
    return V::fma(_mm512_cvtepi32_ps(dots), V::mul(V::set1(x_scale), w_scale), sum);
  }

  template <size_t kTiles, size_t kTokens>
  static void few(const uint8_t* w, const uint8_t* w_scale, size_t blocks, const I16Block* x, size_t x_stride,
                  float* sums) {
    const size_t tile_bytes = blocks * kTileBytes;
    __m512 sum[kTokens][kTiles];
    for (auto& token : sum)
      for (auto& value : token) value = V::zero();
    for (size_t b = 0; b < blocks; b++, w += kTileBytes, w_scale += kScaleBytes, x++) {
      const size_t ahead = I8::ahead(b * kTileBytes, tile_bytes, kTiles);
      __m512i low[kTokens][kTiles], high[kTokens][kTiles];
      for (size_t t = 0; t < kTokens; t++) {
        for (size_t i = 0; i < kTiles; i++) {
          low[t][i] = _mm512_set1_epi32(x[t * x_stride].offset);
          high[t][i] = _mm512_setzero_si512();
        }
      }
#pragma GCC unroll 8
      for (size_t j = 0; j < 8; j++) {
        __m512i weights[kTiles];
        for (size_t i = 0; i < kTiles; i++) {
          const uint8_t* at = w + i * tile_bytes + 64 * j;
          if constexpr (kTokens > 1) __builtin_prefetch(at + ahead, 0, 2);
          weights[i] = weights_of(at);
        }
        for (size_t t = 0; t < kTokens; t++) {
          const __m512i x_low = I8::broadcast(x[t * x_stride].low + 4 * j);
          for (size_t i = 0; i < kTiles; i++) low[t][i] = _mm512_dpbusd_epi32(low[t][i], weights[i], x_low);
          const __m512i x_high = I8::broadcast(x[t * x_stride].high + 4 * j);
          for (size_t i = 0; i < kTiles; i++) high[t][i] = _mm512_dpbusd_epi32(high[t][i], weights[i], x_high);
        }
      }
      for (size_t i = 0; i < kTiles; i++) {
        const __m512 scale = V::load_bf16(w_scale + i * blocks * kScaleBytes);
        for (size_t t = 0; t < kTokens; t++)
          sum[t][i] = add_scaled(low[t][i], high[t][i], x[t * x_stride].scale, scale, sum[t][i]);
      }
    }
    for (size_t t = 0; t < kTokens; t++)
      for (size_t i = 0; i < kTiles; i++) V::store(sums + (t * kTiles + i) * kMxfp4TileRows, sum[t][i]);
  }

  template <size_t kTiles>
  static void tiles(const uint8_t* w, const uint8_t* w_scale, size_t blocks, const I16Block* x, size_t x_stride,
                    size_t tokens, float* sums) {
    __m512 sum[kTokens][kTiles];
    for (size_t t = 0; t < tokens; t++)
      for (size_t i = 0; i < kTiles; i++) sum[t][i] = V::zero();
    for (size_t b = 0; b < blocks; b++, w += kTileBytes, w_scale += kScaleBytes) {
      __m512i weights[kTiles][8];
      __m512 scale[kTiles];
      for (size_t i = 0; i < kTiles; i++) {
        const uint8_t* tile = w + i * blocks * kTileBytes;
        for (size_t j = 0; j < 8; j++) {
          __builtin_prefetch(tile + kTiles * blocks * kTileBytes + 64 * j, 0, 2);
          weights[i][j] = weights_of(tile + 64 * j);
        }
        scale[i] = V::load_bf16(w_scale + i * blocks * kScaleBytes);
      }
#pragma GCC unroll 1
      for (size_t t = 0; t < tokens; t++) add_block<kTiles>(weights, scale, x[t * x_stride + b], sum[t]);
    }
    for (size_t t = 0; t < tokens; t++)
      for (size_t i = 0; i < kTiles; i++) V::store(sums + (t * kTiles + i) * kMxfp4TileRows, sum[t][i]);
  }

  template <size_t kTiles>
  static void add_block(const __m512i (*weights)[8], const __m512* w_scale, const I16Block& x, __m512* sum) {
    __m512i low[kTiles], high[kTiles];
    for (size_t i = 0; i < kTiles; i++) low[i] = _mm512_set1_epi32(x.offset), high[i] = _mm512_setzero_si512();
#pragma GCC unroll 8
    for (size_t j = 0; j < 8; j++) {
      const __m512i x_low = I8::broadcast(x.low + 4 * j), x_high = I8::broadcast(x.high + 4 * j);
      for (size_t i = 0; i < kTiles; i++) low[i] = _mm512_dpbusd_epi32(low[i], weights[i][j], x_low);
      for (size_t i = 0; i < kTiles; i++) high[i] = _mm512_dpbusd_epi32(high[i], weights[i][j], x_high);
    }
    for (size_t i = 0; i < kTiles; i++) sum[i] = add_scaled(low[i], high[i], x.scale, w_scale[i], sum[i]);
  }
};

// Sums by vpdpbusd, whose first operand is unsigned: q + 128, which adds 128 times the sum of the activations. Sums wrap
// around on their way; what they come to does not.
struct I8Rows {
  static constexpr size_t kTokens = 6;  // with four rows 24 sums: ten loads to 24 products

  template <size_t kTokens, size_t kAhead>
  static void rows4(const uint8_t* const* w, const uint8_t* const* ahead, size_t stride, const I8Vector* x,
                    int32_t (*sums)[4]) {
    if constexpr (kTokens == 1) return one_token(w, stride, x[0], sums[0]);
    __m512i lanes[kTokens][4];  // in memory: indexed by variables, they could not stay in registers
    for (size_t t = 0; t < kTokens; t++) add_high(w, x[t], lanes[t]);
    __m512i sum[kTokens][4];
#pragma GCC unroll 8
    for (size_t t = 0; t < kTokens; t++)
      for (size_t r = 0; r < 4; r++) sum[t][r] = lanes[t][r];
    for (size_t i = 0; i < stride; i += 64) {
      for (size_t r = 0; r < kAhead; r++) __builtin_prefetch(ahead[r] + i, 0, 2);
      __m512i q[4];
      for (size_t r = 0; r < 4; r++) q[r] = _mm512_loadu_si512(w[r] + i);
#pragma GCC unroll 8
      for (size_t t = 0; t < kTokens; t++) {
        const __m512i low = _mm512_loadu_si512(x[t].low + i);
        for (size_t r = 0; r < 4; r++) sum[t][r] = _mm512_dpbusd_epi32(sum[t][r], q[r], low);
      }
    }
#pragma GCC unroll 8
    for (size_t t = 0; t < kTokens; t++)
      for (size_t r = 0; r < 4; r++) lanes[t][r] = sum[t][r];
    for (size_t t = 0; t < kTokens; t++) store_sums(lanes[t], 128 * static_cast<uint32_t>(x[t].sum), sums[t]);
  }

  // Row after row, as one_token_matmul; what stands out in x comes last, when the rows are in the nearest cache.
  static void one_token(const uint8_t* const* w, size_t stride, const I8Vector& x, int32_t* sums) {
    __m512i low[4], lanes[4];
    for (size_t r = 0; r < 4; r++) {
      low[r] = _mm512_setzero_si512();
      for (size_t i = 0; i < stride; i += 64)
        low[r] = _mm512_dpbusd_epi32(low[r], _mm512_loadu_si512(w[r] + i), _mm512_loadu_si512(x.low + i));
    }
    add_high(w, x, lanes);
    for (size_t r = 0; r < 4; r++) lanes[r] = _mm512_add_epi32(lanes[r], low[r]);
    store_sums(lanes, 128 * static_cast<uint32_t>(x.sum), sums);
  }

  // 256 times the products of the wide blocks.
  static void add_high(const uint8_t* const* w, const I8Vector& x, __m512i* sums) {
    __m512i sum[4] = {};
    for (size_t b = 0; b < x.high_count; b++) {
      const __m512i high = _mm512_loadu_si512(x.high + b * kI8RowAlign);
      for (size_t r = 0; r < 4; r++)
        sum[r] = _mm512_dpbusd_epi32(sum[r], _mm512_loadu_si512(w[r] + x.high_at[b]), high);
    }
    for (size_t r = 0; r < 4; r++) sums[r] = _mm512_slli_epi32(sum[r], 8);
  }

  // The lanes of four vectors added up, less `excess`.
  static void store_sums(const __m512i* rows, uint32_t excess, int32_t* sums) {
    const auto pairs = [](__m512i a, __m512i b) {
      return _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    };
    const __m512i first = pairs(rows[0], rows[1]), second = pairs(rows[2], rows[3]);
    const __m512i quads = _mm512_add_epi32(_mm512_unpacklo_epi64(first, second), _mm512_unpackhi_epi64(first, second));
    const __m256i halves = _mm256_add_epi32(_mm512_castsi512_si256(quads), _mm512_extracti64x4_epi64(quads, 1));
    const __m128i all = _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(sums), _mm_sub_epi32(all, _mm_set1_epi32(static_cast<int>(excess))));
  }
};

// Attention by vdpbf16ps. Queries are rounded to bf16 as the cached keys are, weights as well, and the sum is that of the
// rounded ones. Scores are powers of two, which vscalefps and vreduceps take apart.
struct SdpaBf16 {
  static constexpr size_t kRows = 8, kParts = 2;
  static constexpr float kScoreUnit = 0.693147180559945309f;  // ln 2

  static __m512bh pair(const float* from) {
    int32_t bits;
    std::memcpy(&bits, from, sizeof bits);
    return (__m512bh)_mm512_set1_epi32(bits);
  }

  // q: (group, head_dim / 2) pairs, such that products are scores.
  static void prepare(const SdpaArgs& args, float* q) {
    uint16_t* halves = reinterpret_cast<uint16_t*>(q);
    const size_t count = args.group * args.head_dim;
    const float factor = args.scale * 1.44269504088896341f;  // log2 e
    size_t i = 0;
    for (; i + 16 <= count; i += 16) V::store_bf16(halves + i, V::mul(V::load(args.q + i), V::set1(factor)));
    for (; i < count; i++) halves[i] = bf16_of_float(args.q[i] * factor);
  }

  template <size_t kHeads>
  static void scores(const SdpaArgs& args, size_t head, const float* q, const uint8_t* tile, Ahead* ahead, float* scores) {
    const size_t rows = args.head_dim / 2;
    q += head * rows;
    __m512 sums[kHeads][2];
    for (auto& sum : sums) sum[0] = sum[1] = V::zero();
    for (size_t row = 0; row < rows; row++) {
      const size_t at = row * kKvTile * kKvCell;
      if (head == 0) ahead->ask(kKvTile * kKvCell);
      const __m512bh first = (__m512bh)_mm512_loadu_si512(tile + at);
      const __m512bh second = (__m512bh)_mm512_loadu_si512(tile + at + 64);
      for (size_t h = 0; h < kHeads; h++) {
        const __m512bh both = pair(q + h * rows + row);
        sums[h][0] = _mm512_dpbf16_ps(sums[h][0], first, both);
        sums[h][1] = _mm512_dpbf16_ps(sums[h][1], second, both);
      }
    }
    for (size_t h = 0; h < kHeads; h++) {
      V::store(scores + h * kSdpaSpan, sums[h][0]);
      V::store(scores + h * kSdpaSpan + 16, sums[h][1]);
    }
  }

  // 2^x within 2^-13.7 of it: a polynomial of the part after the point, made for the smallest relative error on [0, 1).
  static __m512 exp2(__m512 x) {
    const __m512 part = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    __m512 p = V::fma(part, V::set1(0.07802452f), V::set1(0.22606716f));
    p = V::fma(p, part, V::set1(0.69583354f));
    p = V::fma(p, part, V::set1(0.99992522f));
    return V::scale_by_power(p, x);  // by its whole part
  }

  // In place: the 32 weights of a tile become 16 pairs where its first 16 scores were. Of eight heads with 64 elements this
  // asks for a quarter of the tiles that values() then need not ask for.
  static float weights(float* scores, size_t count, float largest, Ahead* ahead) {
    const __m512bh ones = (__m512bh)_mm512_set1_epi16(0x3f80);
    auto sum = V::zero();
    for (size_t p = 0; p < count; p += kKvTile) {
      ahead->ask(128);
      const __m512 first = exp2(V::sub(V::load(scores + p), V::set1(largest)));
      const __m512 second = exp2(V::sub(V::load(scores + p + 16), V::set1(largest)));
      const __m512bh both = _mm512_cvtne2ps_pbh(second, first);
      _mm512_storeu_si512(scores + p, (__m512i)both);
      sum = _mm512_dpbf16_ps(sum, both, ones);
    }
    return lane_sum<V>(sum);
  }

  template <size_t kHeads, size_t kVectors>
  static void values(const SpanTiles& tiles, size_t head, const float* weights, Ahead* ahead, size_t i, size_t n) {
    const size_t dim = tiles.args.head_dim;
    float* out = tiles.args.out.values + head * dim + i;
    const __mmask16 lanes = V::first(n);
    __m512 sums[kHeads][kVectors];
    for (auto& of_head : sums)
      for (auto& sum : of_head) sum = V::zero();
    for (size_t t = tiles.first; t < tiles.end; t++, weights += kKvTile) {
      const uint8_t* tile = tiles.values(t);
      const TileRange range = tiles.range(t);
      for (size_t row = range.first_row(2); row < range.end_row(2); row++) {
        const size_t at = (row * dim + i) * kKvCell;
        if (head == 0) ahead->ask(i == 0 ? kVectors * 64 : 64);
        __m512i value[kVectors];
        for (size_t j = 0; j < kVectors; j++) value[j] = _mm512_maskz_loadu_epi32(lanes, tile + at + 64 * j);
        if (row * 2 < range.begin || row * 2 + 1 >= range.end) {
          const uint32_t kept = (row * 2 < range.begin ? 0 : 0xffff) | (row * 2 + 1 >= range.end ? 0 : 0xffff0000);
          for (auto& pairs : value) pairs = _mm512_and_si512(pairs, _mm512_set1_epi32(static_cast<int>(kept)));
        }
        for (size_t h = 0; h < kHeads; h++) {
          const __m512bh weight = pair(weights + h * kSdpaSpan + row);
          for (size_t j = 0; j < kVectors; j++)
            sums[h][j] = _mm512_dpbf16_ps(sums[h][j], (__m512bh)value[j], weight);
        }
      }
    }
    for (size_t h = 0; h < kHeads; h++)
      for (size_t j = 0; j < kVectors; j++) _mm512_mask_storeu_ps(out + h * dim + 16 * j, lanes, sums[h][j]);
  }
};

using ExactKernel = F32Kernel<V, 4, 4>;

constexpr Ops kAvx512 = {
    .name = "avx512",
    .f32_rmsnorm = simd_rmsnorm<V>,
    .f32_to_bf16 = simd_to_bf16<V>,
    .f32_quantize_i8 = simd_quantize_i8<V>,
    .f32_quantize_i16 = simd_quantize_i16<V>,
    .f32_bf16w_matmul = simd_matmul<V, ExactKernel, Bf16Rows<V>>,
    .bf16_bf16w_matmul = simd_operand_matmul<V, Bf16Kernel, Bf16OperandRows>,
    .f32_mxfp4w_matmul = simd_matmul<V, ExactKernel, Mxfp4Rows<V>>,
    .bf16_mxfp4w_matmul = simd_matmul<V, Bf16Kernel, Mxfp4OperandRows>,
    .i8_mxfp4t_matmul = simd_i8_tiles_matmul<I8>,
    .i16_i8t_matmul = simd_i8_tiles_matmul<I8Tiles>,
    .i8v_u8w_matmul = simd_i8v_u8w_matmul<I8Rows>,
    .bf16_quantize_row = plain_quantize_row,
    .f32_gumbel = plain_gumbel,
    .f32_most_reach = plain_most_reach,
    .f32_swiglu = simd_swiglu<V>,
    .f32_rope = simd_rope<V>,
    .f32_axpy = simd_axpy<V>,
    .f32kv_sdpa = simd_sdpa<V, SdpaF32<V, F32Cells, 8>>,
    .bf16kv_sdpa = simd_sdpa<V, SdpaBf16>,
    .f32_sdpa_merge = simd_sdpa_merge<V>,
    .f32_sdpa_finish = simd_sdpa_finish<V>,
    .f32_argmax = simd_argmax<V>,
};

}  // namespace

const Ops* ops_avx512() { return &kAvx512; }

}  // namespace switchyard

#else

const switchyard::Ops* switchyard::ops_avx512() { return nullptr; }

#endif
