// Number formats of the checkpoint, one element at a time. Everything here is `static`: each ops file is compiled with
// its own instruction set, and a shared inline function could leak AVX-512 code into the scalar table through the linker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "ops.h"

namespace switchyard {

[[maybe_unused]] static inline float float_of_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

[[maybe_unused]] static inline uint32_t bits_of_float(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

// Element `index` of a bf16 array, at any address.
[[maybe_unused]] static inline float load_bf16(const void* base, size_t index) {
  uint16_t half;
  std::memcpy(&half, static_cast<const uint8_t*>(base) + 2 * index, sizeof half);
  return float_of_bits(static_cast<uint32_t>(half) << 16);
}

// Round to nearest even. A NaN keeps its upper payload and gets the quiet bit, so that it cannot round to infinity.
[[maybe_unused]] static inline uint16_t bf16_of_float(float value) {
  const uint32_t bits = bits_of_float(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// E8M0: 2^(scale - 127). Scale 0 is the subnormal 2^-127; 255 (NaN) is refused when a checkpoint is loaded.
[[maybe_unused]] static inline float e8m0_scale(uint8_t scale) {
  return float_of_bits(scale == 0 ? 0x00400000u : static_cast<uint32_t>(scale) << 23);
}

// The sixteen FP4 (E2M1) values by nibble, and twice these values as integers.
static constexpr float kFp4[16] = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,  4.0f,  6.0f,
                                   -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};
static constexpr int8_t kFp4Doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// A block whose largest magnitude is below this quantises to zeros: its scale would be subnormal and 1 / scale infinite.
static constexpr float kSmallestI8Scale = 1.17549435e-38f;

// The scale of a block whose largest magnitude has these bits and becomes `most`; false where that is all: the block is
// zeros. One with an infinity or NaN in it stays visible, its scale is NaN.
template <class Block>
[[maybe_unused]] static inline bool begin_block(Block* block, uint32_t largest, float most) {
  const float scale = largest < 0x7f800000u ? float_of_bits(largest) / most : float_of_bits(0x7fc00000u);
  const bool has_numbers = scale >= kSmallestI8Scale;
  if (!has_numbers) *block = {};
  block->scale = scale < kSmallestI8Scale ? 0 : scale;
  return has_numbers;
}

// What the largest magnitude of a block becomes.
static constexpr float kMostI8 = 127, kMostI16 = 127 + 256 * 127;

}  // namespace switchyard
