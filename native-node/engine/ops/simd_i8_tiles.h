// Two planes of int8 activations against tiles of int8 weights (ops.h): the loops around the kernel of an instruction set. As
// with MXFP4 tiles, sums run over the blocks in their order whatever else one call covers.
// I::tile<kPlanes>(w, w_scale, blocks, x, x_stride, sums): the scaled integer dots of one tile with kPlanes planes x_stride
// blocks apart, 2, 4 … to I::kPlanes; sums (kPlanes, 16).
#pragma once

#include "number.h"

namespace switchyard {

template <class I, size_t kPlanes>
static inline void i8t_tile(const MatmulArgs& args, size_t tile, size_t token) {
  const size_t blocks = args.n_in / kMxfp4Block;
  alignas(64) float sums[kPlanes * kMxfp4TileRows];
  I::template tile<kPlanes>(static_cast<const int8_t*>(args.w) + tile * blocks * kI8TileBytes,
                            args.w_scale + tile * blocks * kMxfp4TileRows * 2, blocks,
                            static_cast<const I8Block*>(args.x) + token * args.x_stride, args.x_stride / 2, sums);
  const size_t first = tile * kMxfp4TileRows;
  const size_t begin = first < args.row_begin ? args.row_begin - first : 0;
  const size_t end = args.row_end - first < kMxfp4TileRows ? args.row_end - first : kMxfp4TileRows;
  float bias[kMxfp4TileRows] = {};
  if (args.bias)
    for (size_t r = begin; r < end; r++) bias[r] = load_bf16(args.bias, first + r);
  for (size_t t = 0; t < kPlanes / 2; t++) {
    const float *upper = sums + 2 * t * kMxfp4TileRows, *lower = upper + kMxfp4TileRows;
    float* y = args.y + (token + t) * args.y_stride + first;
    for (size_t r = begin; r < end; r++) y[r] = upper[r] + lower[r] + bias[r];
  }
}

// Tokens [token, end) in tiles of kPlanes, the rest in smaller ones.
template <class I, size_t kPlanes>
static inline void i8t_tokens(const MatmulArgs& args, size_t tile, size_t token, size_t end) {
  for (; end - token >= kPlanes / 2; token += kPlanes / 2) i8t_tile<I, kPlanes>(args, tile, token);
  if constexpr (kPlanes > 2) {
    if (token < end) i8t_tokens<I, kPlanes / 2>(args, tile, token, end);
  }
}

template <class I>
void simd_i8p_i8t_matmul(const MatmulArgs& args) {
  constexpr size_t kGroup = 2, kMostTokens = 64;  // tiles that stay in L1 or L2 while so many tokens pass
  const size_t last = (args.row_end + kMxfp4TileRows - 1) / kMxfp4TileRows;
  for (size_t group = args.row_begin / kMxfp4TileRows; group < last; group += kGroup) {
    const size_t group_end = last - group < kGroup ? last : group + kGroup;
    for (size_t begin = 0; begin < args.tokens; begin += kMostTokens) {
      const size_t end = args.tokens - begin < kMostTokens ? args.tokens : begin + kMostTokens;
      for (size_t tile = group; tile < group_end; tile++) i8t_tokens<I, I::kPlanes>(args, tile, begin, end);
    }
  }
}

}  // namespace switchyard
