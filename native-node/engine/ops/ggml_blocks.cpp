#include "ggml_blocks.h"

#include <algorithm>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "number.h"

namespace switchyard {
namespace {

// Neighbouring elements, each in the low nibble of its byte, to the bytes of a pair.
#if defined(__SSE2__)  // every x86-64

void pair_up(const uint8_t* from, uint8_t* to) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  const __m128i nibble = _mm_set1_epi8(15), low_byte = _mm_set1_epi16(255);
  const auto joined = [&](__m128i elements) {
    return _mm_and_si128(_mm_or_si128(elements, _mm_srli_epi16(elements, 4)), low_byte);
  };
  const __m128i first = joined(_mm_and_si128(bytes, nibble));
  const __m128i second = joined(_mm_and_si128(_mm_srli_epi16(bytes, 4), nibble));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_packus_epi16(first, second));
}

#else

void pair_up(const uint8_t* from, uint8_t* to) {
  for (size_t m = 0; m < kMxfp4BlockBytes / 2; m++) {
    to[m] = uint8_t((from[2 * m] & 15) | from[2 * m + 1] << 4);
    to[m + kMxfp4BlockBytes / 2] = uint8_t(from[2 * m] >> 4 | (from[2 * m + 1] & 0xf0));
  }
}

#endif

float float_of_f16(const uint8_t* at) {
  uint16_t half;
  std::memcpy(&half, at, sizeof half);
  const uint32_t sign = uint32_t(half & 0x8000) << 16, exponent = half >> 10 & 31, mantissa = half & 1023;
  if (exponent == 0) return (sign ? -0x1p-24f : 0x1p-24f) * float(mantissa);  // subnormal
  return float_of_bits(sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | mantissa << 13);
}

}  // namespace

void unpack_ggml_mxfp4(const uint8_t* row, size_t row_blocks, NibbleOrder order, uint8_t* blocks, uint8_t* scales) {
  for (size_t b = 0; b < row_blocks; b++, row += kGgmlMxfp4Bytes, blocks += kMxfp4BlockBytes) {
    scales[b] = row[0];
    if (order == NibbleOrder::pairs) {
      std::memcpy(blocks, row + 1, kMxfp4BlockBytes);
    } else {
      pair_up(row + 1, blocks);
    }
  }
}

float ggml_q8_element(const uint8_t* data, size_t index) {
  const uint8_t* block = data + index / kMxfp4Block * kGgmlQ8Bytes;
  return float_of_f16(block) * float(int8_t(block[2 + index % kMxfp4Block]));
}

void ggml_q8_to_bf16(const uint8_t* row, size_t row_blocks, uint16_t* values) {
  for (size_t b = 0; b < row_blocks; b++, row += kGgmlQ8Bytes, values += kMxfp4Block) {
    const float scale = float_of_f16(row);
    if (!(scale - scale == 0)) {  // an infinity or NaN stays visible
      for (size_t i = 0; i < kMxfp4Block; i++) values[i] = bf16_of_float(ggml_q8_element(row, i));
      continue;
    }
    for (size_t i = 0; i < kMxfp4Block; i++) {
      const uint32_t bits = bits_of_float(scale * float(int8_t(row[2 + i])));
      values[i] = uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    }
  }
}

void pack_ggml_q8(const uint8_t* w, size_t rows, size_t row_blocks, size_t begin, size_t end, uint8_t* tiles, uint8_t* scales) {
  for (size_t i = begin; i < end; i++, tiles += row_blocks * kI8TileBytes, scales += row_blocks * kMxfp4TileRows * 2) {
    const size_t first = i * kMxfp4TileRows, count = std::min(rows - first, kMxfp4TileRows);
    if (count < kMxfp4TileRows) {
      std::memset(tiles, 0, row_blocks * kI8TileBytes);
      std::memset(scales, 0, row_blocks * kMxfp4TileRows * 2);
    }
    for (size_t r = 0; r < count; r++) {
      const uint8_t* block = w + (first + r) * row_blocks * kGgmlQ8Bytes;
      for (size_t b = 0; b < row_blocks; b++, block += kGgmlQ8Bytes) {
        const uint16_t scale = bf16_of_float(float_of_f16(block));
        int8_t q[kMxfp4Block];  // even elements first
        for (size_t e = 0; e < kMxfp4Block; e++)
          q[e % 2 * (kMxfp4Block / 2) + e / 2] = std::max<int8_t>(int8_t(block[2 + e]), -127);
        uint8_t* lane = tiles + b * kI8TileBytes + 4 * r;
        for (size_t j = 0; j < kMxfp4Block / 4; j++) std::memcpy(lane + 64 * j, q + 4 * j, 4);
        std::memcpy(scales + 2 * (b * kMxfp4TileRows + r), &scale, sizeof scale);
      }
    }
  }
}

}  // namespace switchyard
