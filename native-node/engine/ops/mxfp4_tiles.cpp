#include "mxfp4_tiles.h"

#include <cstring>

#include "ops.h"

namespace switchyard {
namespace {

// One row's 16 bytes of a block go to the tile's four lines, four bytes to each.
void scatter(const uint8_t* block, uint8_t* lane) {
  uint32_t words[4];
  std::memcpy(words, block, sizeof words);
  for (size_t j = 0; j < 4; j++) std::memcpy(lane + 64 * j, &words[j], sizeof words[j]);
}

}  // namespace

size_t mxfp4_tile_rows(size_t rows) { return (rows + kMxfp4TileRows - 1) / kMxfp4TileRows; }

void pack_mxfp4(const uint8_t* blocks, const uint8_t* scales, size_t rows, size_t row_blocks, size_t begin, size_t end,
                uint8_t* tiles, uint8_t* tile_scales) {
  constexpr size_t kLine = 64 / kMxfp4BlockBytes;  // blocks of one cache line of a row
  for (size_t i = begin; i < end; i++, tiles += row_blocks * kMxfp4TileBytes, tile_scales += row_blocks * kMxfp4TileRows) {
    const size_t first = i * kMxfp4TileRows;
    const size_t count = rows - first < kMxfp4TileRows ? rows - first : kMxfp4TileRows;
    if (count < kMxfp4TileRows) {
      std::memset(tiles, 0, row_blocks * kMxfp4TileBytes);
      std::memset(tile_scales, 0, row_blocks * kMxfp4TileRows);
    }
    for (size_t line = 0; line < row_blocks; line += kLine) {
      const size_t line_end = row_blocks - line < kLine ? row_blocks : line + kLine;
      for (size_t r = 0; r < count; r++) {
        const uint8_t* row = blocks + (first + r) * row_blocks * kMxfp4BlockBytes;
        for (size_t b = line; b < line_end; b++) {
          scatter(row + b * kMxfp4BlockBytes, tiles + b * kMxfp4TileBytes + 4 * r);
          tile_scales[b * kMxfp4TileRows + r] = scales[(first + r) * row_blocks + b];
        }
      }
    }
  }
}

}  // namespace switchyard
