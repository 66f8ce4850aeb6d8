#include "i8_tiles.h"

#include <cmath>

#include "number.h"

namespace switchyard {
namespace {

constexpr uint16_t kNan = 0x7fc0;

// bf16 bits of the smallest number that is at least `most` / 127; 0 where the block quantises to zeros.
uint16_t scale_of(float most) {
  const float scale = most / 127.0f;
  if (!(scale >= kSmallestI8Scale)) return 0;
  const uint32_t bits = bits_of_float(scale);
  return uint16_t((bits + 0xffffu) >> 16);
}

// One row's 32 weights to their four bytes in each of the tile's eight lines, even elements first.
uint16_t pack_block(const uint8_t* w, uint8_t* lane) {
  float values[kMxfp4Block];
  uint32_t largest = 0;  // integer order is magnitude order, with infinity and NaN on top
  for (size_t i = 0; i < kMxfp4Block; i++) {
    values[i] = load_bf16(w, i);
    const uint32_t magnitude = bits_of_float(values[i]) & 0x7fffffffu;
    largest = magnitude > largest ? magnitude : largest;
  }
  const bool is_number = largest < 0x7f800000u;
  const uint16_t scale = is_number ? scale_of(float_of_bits(largest)) : kNan;
  const float inverse = is_number && scale ? 1.0f / float_of_bits(uint32_t(scale) << 16) : 0;
  int8_t q[kMxfp4Block] = {};
  for (size_t i = 0; i < kMxfp4Block && inverse != 0; i++)
    q[i % 2 * (kMxfp4Block / 2) + i / 2] = int8_t(std::lrintf(values[i] * inverse));
  for (size_t j = 0; j < kMxfp4Block / 4; j++) std::memcpy(lane + 64 * j, q + 4 * j, 4);
  return scale;
}

}  // namespace

void pack_i8(const void* w, size_t rows, size_t n_in, size_t begin, size_t end, uint8_t* tiles, uint8_t* scales) {
  const size_t blocks = n_in / kMxfp4Block;
  for (size_t i = begin; i < end; i++, tiles += blocks * kI8TileBytes, scales += blocks * kMxfp4TileRows * 2) {
    const size_t first = i * kMxfp4TileRows;
    const size_t count = rows - first < kMxfp4TileRows ? rows - first : kMxfp4TileRows;
    if (count < kMxfp4TileRows) {
      std::memset(tiles, 0, blocks * kI8TileBytes);
      std::memset(scales, 0, blocks * kMxfp4TileRows * 2);
    }
    for (size_t r = 0; r < count; r++) {
      const uint8_t* row = static_cast<const uint8_t*>(w) + (first + r) * n_in * 2;
      for (size_t b = 0; b < blocks; b++) {
        const uint16_t scale = pack_block(row + b * kMxfp4Block * 2, tiles + b * kI8TileBytes + 4 * r);
        std::memcpy(scales + 2 * (b * kMxfp4TileRows + r), &scale, sizeof scale);
      }
    }
  }
}

}  // namespace switchyard
