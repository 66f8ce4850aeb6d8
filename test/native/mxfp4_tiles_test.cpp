// Packing against the layout's definition (ops.h), in one go and in pieces, for whole and ragged tiles and any address.
#include "ops/mxfp4_tiles.h"

#include <cstdint>
#include <random>
#include <vector>

#include "check.h"
#include "ops/ops.h"

using namespace switchyard;

namespace {

void test_layout(size_t rows, size_t row_blocks, size_t offset, std::mt19937* random) {
  const size_t tile_rows = mxfp4_tile_rows(rows), tiles = tile_rows * row_blocks;
  std::vector<uint8_t> blocks(rows * row_blocks * kMxfp4BlockBytes), scales(rows * row_blocks);
  for (uint8_t& byte : blocks) byte = uint8_t((*random)());
  for (uint8_t& byte : scales) byte = uint8_t((*random)());
  std::vector<uint8_t> packed(tiles * kMxfp4TileBytes + offset, 0xee), packed_scales(tiles * kMxfp4TileRows + offset, 0xee);
  const size_t half = tile_rows / 2;
  for (const auto& [begin, end] : {std::pair{size_t(0), half}, std::pair{half, tile_rows}}) {
    pack_mxfp4(blocks.data(), scales.data(), rows, row_blocks, begin, end,
               packed.data() + offset + begin * row_blocks * kMxfp4TileBytes,
               packed_scales.data() + offset + begin * row_blocks * kMxfp4TileRows);
  }
  size_t wrong = 0;
  for (size_t tile = 0; tile < tiles; ++tile) {
    for (size_t r = 0; r < kMxfp4TileRows; ++r) {
      const size_t row = tile / row_blocks * kMxfp4TileRows + r, block = row * row_blocks + tile % row_blocks;
      const bool there = row < rows;
      wrong += packed_scales[offset + tile * kMxfp4TileRows + r] != (there ? scales[block] : 0);
      for (size_t byte = 0; byte < kMxfp4BlockBytes; ++byte) {
        const size_t at = tile * kMxfp4TileBytes + byte / 4 * 64 + 4 * r + byte % 4;
        wrong += packed[offset + at] != (there ? blocks[block * kMxfp4BlockBytes + byte] : 0);
      }
    }
  }
  CHECK_EQ(wrong, size_t(0));
}

}  // namespace

int main() {
  std::mt19937 random(7);
  for (const size_t rows : {1, 15, 16, 17, 32, 48, 75}) {
    for (const size_t row_blocks : {1, 2, 3, 4, 5, 15, 16, 17, 33, 90}) {
      for (const size_t offset : {0, 1, 16}) test_layout(rows, row_blocks, offset, &random);
    }
  }
  return check_result();
}
