#include "mxfp4_tiles.h"

#include <algorithm>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "ops.h"

namespace switchyard {
namespace {

constexpr size_t kLine = 64 / kMxfp4BlockBytes;  // blocks of one cache line of a row

// One row's 16 bytes of a block go to the tile's four lines, four bytes to each.
void scatter(const uint8_t* block, uint8_t* lane) {
  uint32_t words[4];
  std::memcpy(words, block, sizeof words);
  for (size_t j = 0; j < 4; j++) std::memcpy(lane + 64 * j, &words[j], sizeof words[j]);
}

// A tile row of `count` rows; those that are missing stay as they are.
void pack_rows(const uint8_t* blocks, const uint8_t* scales, size_t count, size_t row_blocks, uint8_t* tiles,
               uint8_t* tile_scales) {
  for (size_t line = 0; line < row_blocks; line += kLine) {
    const size_t line_end = std::min(row_blocks, line + kLine);
    for (size_t r = 0; r < count; r++) {
      const uint8_t* row = blocks + r * row_blocks * kMxfp4BlockBytes;
      for (size_t b = line; b < line_end; b++) {
        scatter(row + b * kMxfp4BlockBytes, tiles + b * kMxfp4TileBytes + 4 * r);
        tile_scales[b * kMxfp4TileRows + r] = scales[r * row_blocks + b];
      }
    }
  }
}

#if defined(__SSE2__)  // every x86-64

// One block of 16 rows to its tile, past the caches: who reads it comes much later. `tile` is aligned to 16 bytes.
void stream_tile(const uint8_t* block, size_t row_bytes, uint8_t* tile) {
  __m128i lines[4][4];  // (line of the tile, four rows)
  for (size_t i = 0; i < 4; i++) {
    const uint8_t* from = block + 4 * i * row_bytes;
    const auto row = [&](size_t r) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + r * row_bytes)); };
    const __m128i low01 = _mm_unpacklo_epi32(row(0), row(1)), high01 = _mm_unpackhi_epi32(row(0), row(1));
    const __m128i low23 = _mm_unpacklo_epi32(row(2), row(3)), high23 = _mm_unpackhi_epi32(row(2), row(3));
    lines[0][i] = _mm_unpacklo_epi64(low01, low23);
    lines[1][i] = _mm_unpackhi_epi64(low01, low23);
    lines[2][i] = _mm_unpacklo_epi64(high01, high23);
    lines[3][i] = _mm_unpackhi_epi64(high01, high23);
  }
  for (size_t j = 0; j < 4; j++) {
    for (size_t i = 0; i < 4; i++) _mm_stream_si128(reinterpret_cast<__m128i*>(tile + 64 * j + 16 * i), lines[j][i]);
  }
}

// Scales of 16 rows and 16 blocks, transposed.
void transpose_scales(const uint8_t* scales, size_t row_blocks, uint8_t* tile_scales) {
  __m128i rows[16], next[16];
  for (size_t r = 0; r < 16; r++) rows[r] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(scales + r * row_blocks));
  for (int step = 0; step < 4; step++) {  // each interleaves the first half of the rows with the second
    for (size_t r = 0; r < 8; r++) {
      next[2 * r] = _mm_unpacklo_epi8(rows[r], rows[r + 8]);
      next[2 * r + 1] = _mm_unpackhi_epi8(rows[r], rows[r + 8]);
    }
    std::copy(next, next + 16, rows);
  }
  for (size_t b = 0; b < 16; b++) _mm_storeu_si128(reinterpret_cast<__m128i*>(tile_scales + 16 * b), rows[b]);
}

// A whole tile row, `ahead` being what will be read next: 16 rows are too many streams for the processor to foresee.
void pack_whole(const uint8_t* blocks, const uint8_t* scales, size_t row_blocks, const uint8_t* ahead, uint8_t* tiles,
                uint8_t* tile_scales) {
  for (size_t b = 0; b < row_blocks; b++) {
    for (size_t line = 0; line < 4; line++)
      _mm_prefetch(reinterpret_cast<const char*>(ahead + b * kMxfp4TileBytes + 64 * line), _MM_HINT_T0);
    stream_tile(blocks + b * kMxfp4BlockBytes, row_blocks * kMxfp4BlockBytes, tiles + b * kMxfp4TileBytes);
  }
  size_t b = 0;
  for (; b + 16 <= row_blocks; b += 16) transpose_scales(scales + b, row_blocks, tile_scales + b * kMxfp4TileRows);
  for (; b < row_blocks; b++) {
    for (size_t r = 0; r < kMxfp4TileRows; r++) tile_scales[b * kMxfp4TileRows + r] = scales[r * row_blocks + b];
  }
}

#endif

}  // namespace

size_t mxfp4_tile_rows(size_t rows) { return (rows + kMxfp4TileRows - 1) / kMxfp4TileRows; }

void pack_mxfp4(const uint8_t* blocks, const uint8_t* scales, size_t rows, size_t row_blocks, size_t begin, size_t end,
                uint8_t* tiles, uint8_t* tile_scales) {
  const size_t bytes = kMxfp4TileRows * row_blocks * kMxfp4BlockBytes, scale_bytes = kMxfp4TileRows * row_blocks;
  for (size_t i = begin; i < end; i++, tiles += bytes, tile_scales += scale_bytes) {
    const uint8_t *from = blocks + i * bytes, *from_scales = scales + i * scale_bytes;
    const size_t count = std::min(rows - i * kMxfp4TileRows, kMxfp4TileRows);
#if defined(__SSE2__)
    if (count == kMxfp4TileRows && reinterpret_cast<uintptr_t>(tiles) % 16 == 0) {
      pack_whole(from, from_scales, row_blocks, i + 1 < end ? from + bytes : from, tiles, tile_scales);
      continue;
    }
#endif
    if (count < kMxfp4TileRows) {
      std::memset(tiles, 0, bytes);
      std::memset(tile_scales, 0, scale_bytes);
    }
    pack_rows(from, from_scales, count, row_blocks, tiles, tile_scales);
  }
#if defined(__SSE2__)
  _mm_sfence();  // streamed bytes before what tells of them
#endif
}

}  // namespace switchyard
