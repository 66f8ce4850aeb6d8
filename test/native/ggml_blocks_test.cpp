// ggml's blocks against their definition, element by element.
#include "ops/ggml_blocks.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "check.h"
#include "ops/mxfp4_tiles.h"
#include "ops/ops.h"

using namespace switchyard;

namespace {

std::vector<uint8_t> random_bytes(size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> bytes(count);
  for (uint8_t& byte : bytes) byte = uint8_t(random());
  return bytes;
}

int element_of(const uint8_t* block, size_t i) { return block[i / 2] >> (i % 2 * 4) & 15; }

void test_mxfp4() {
  constexpr size_t kBlocks = 300;
  const std::vector<uint8_t> row = random_bytes(kBlocks * kGgmlMxfp4Bytes, 3);
  std::vector<uint8_t> blocks(kBlocks * kMxfp4BlockBytes), scales(kBlocks);
  unpack_ggml_mxfp4(row.data(), kBlocks, NibbleOrder::halves, blocks.data(), scales.data());
  for (size_t b = 0; b < kBlocks; ++b) {
    const uint8_t* stored = row.data() + b * kGgmlMxfp4Bytes;
    CHECK_EQ(int(scales[b]), int(stored[0]));
    for (size_t i = 0; i < kMxfp4Block; ++i)
      CHECK_EQ(element_of(blocks.data() + b * 16, i), i < 16 ? stored[1 + i] & 15 : stored[1 + i - 16] >> 4);
  }
  unpack_ggml_mxfp4(row.data(), kBlocks, NibbleOrder::pairs, blocks.data(), scales.data());
  for (size_t b = 0; b < kBlocks; ++b) {
    for (size_t i = 0; i < kMxfp4Block; ++i)
      CHECK_EQ(element_of(blocks.data() + b * 16, i), element_of(row.data() + b * kGgmlMxfp4Bytes + 1, i));
  }
}

double of_half(uint16_t half) {
  const int exponent = half >> 10 & 31, mantissa = half & 1023;
  const double size = exponent == 0 ? std::ldexp(mantissa, -24) : exponent == 31 ? (mantissa ? NAN : INFINITY) : std::ldexp(1024 + mantissa, exponent - 25);
  return half & 0x8000 ? -size : size;
}

double of_bf16(uint16_t bits) {
  const uint32_t wide = uint32_t(bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

// Every scale there is, beside random integers.
void test_q8() {
  std::vector<uint8_t> row = random_bytes(65536 * kGgmlQ8Bytes, 5);
  std::vector<uint16_t> values(65536 * kMxfp4Block);
  for (size_t half = 0; half < 65536; ++half) {
    row[half * kGgmlQ8Bytes] = uint8_t(half);
    row[half * kGgmlQ8Bytes + 1] = uint8_t(half >> 8);
  }
  ggml_q8_to_bf16(row.data(), 65536, values.data());
  size_t wrong = 0, unlike = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t half = i / kMxfp4Block;
    const double scale = of_half(uint16_t(half)), exact = scale * int8_t(row[half * kGgmlQ8Bytes + 2 + i % kMxfp4Block]);
    const double element = ggml_q8_element(row.data(), i), rounded = of_bf16(values[i]);
    wrong += !(element == exact || (std::isnan(element) && std::isnan(exact)));
    const double bound = std::fabs(exact) / 256;
    unlike += std::isfinite(exact) ? !(std::fabs(rounded - exact) <= bound) : std::isfinite(rounded);
  }
  CHECK_EQ(wrong, size_t(0));
  CHECK_EQ(unlike, size_t(0));
}

// 21 rows: a tile row and a part of one.
void test_tiles() {
  constexpr size_t kRows = 21, kBlocks = 3;
  std::vector<uint8_t> w = random_bytes(kRows * kBlocks * kGgmlQ8Bytes, 7);
  for (size_t b = 0; b < kRows * kBlocks; ++b) w[b * kGgmlQ8Bytes + 1] = 0x2c;  // scales of a usual size
  w[2] = 0x80;
  const size_t tiles = mxfp4_tile_rows(kRows) * kBlocks;
  std::vector<uint8_t> packed(tiles * kI8TileBytes, 99), scales(tiles * kMxfp4TileRows * 2, 99), part = packed, part_scales = scales;
  pack_ggml_q8(w.data(), kRows, kBlocks, 0, 2, packed.data(), scales.data());
  pack_ggml_q8(w.data(), kRows, kBlocks, 1, 2, part.data(), part_scales.data());
  CHECK(std::equal(part.begin(), part.begin() + kBlocks * kI8TileBytes, packed.begin() + kBlocks * kI8TileBytes));
  for (size_t row = 0; row < 2 * kMxfp4TileRows; ++row) {
    for (size_t b = 0; b < kBlocks; ++b) {
      const uint8_t* block = w.data() + (row * kBlocks + b) * kGgmlQ8Bytes;
      const size_t tile = row / 16 * kBlocks + b, r = row % 16;
      uint16_t scale, half = 0;
      std::memcpy(&scale, &scales[2 * (tile * kMxfp4TileRows + r)], 2);
      if (row < kRows) std::memcpy(&half, block, 2);
      CHECK(std::fabs(of_bf16(scale) - of_half(half)) <= of_half(half) / 256);
      for (size_t i = 0; i < kMxfp4Block; ++i) {
        const size_t at = i % 2 * 16 + i / 2;  // even elements first
        const int q = int8_t(packed[tile * kI8TileBytes + 64 * (at / 4) + 4 * r + at % 4]);
        CHECK_EQ(q, row < kRows ? std::max<int>(int8_t(block[2 + i]), -127) : 0);
      }
    }
  }
}

}  // namespace

int main() {
  test_mxfp4();
  test_q8();
  test_tiles();
  return check_result();
}
