// The sixteen values of an MXFP4 block for each scale, as f32 and as bf16 bits: a decoder loads 64 bytes instead of broadcasting and
// multiplying. A checkpoint uses a dozen of the scales, so what is used stays in L1. Built by the compiler: an initialiser
// that runs at load time would run this file's instruction set on every CPU.
#pragma once

#include <cstddef>
#include <cstdint>

namespace switchyard {

struct Mxfp4Values {
  alignas(64) uint32_t bits[256][16];
  uint32_t bf16_twice[256][16];  // each value as bf16, without loss, in both halves
};

static constexpr Mxfp4Values make_mxfp4_values() {
  constexpr uint32_t doubled[8] = {0, 1, 2, 3, 4, 6, 8, 12};
  Mxfp4Values table{};
  for (uint32_t scale = 0; scale < 256; scale++) {
    for (uint32_t i = 0; i < 8; i++) {
      // doubled[i] * 2^(scale - 128) = 1.m * 2^(scale - 128 + top)
      uint32_t top = 0;
      while (doubled[i] >> (top + 1)) top++;
      uint32_t bits = 0;
      if (scale + top >= 256) bits = 0x7f800000;                          // beyond f32
      else if (scale + top < 2) bits = doubled[i] << (scale + 21);        // subnormal: units of 2^-149
      else bits = (scale + top - 1) << 23 | (doubled[i] << (23 - top) & 0x7fffff);
      table.bits[scale][i] = doubled[i] == 0 ? 0 : bits;
      table.bits[scale][8 + i] = table.bits[scale][i] | 0x80000000;
    }
    for (uint32_t i = 0; i < 16; i++) table.bf16_twice[scale][i] = (table.bits[scale][i] >> 16) * 0x00010001u;
  }
  return table;
}

static constexpr Mxfp4Values kMxfp4Values = make_mxfp4_values();

}  // namespace switchyard
