// Matrix products in register tiles of rows x tokens, written once; see simd_kernels.h for V and for why everything is a
// template over a type of the including file.
//
// Batch invariance: every (token, row) owns one accumulator vector that takes the elements of its dot product in
// ascending order, whatever the tile around it looks like, and the lanes are added by V::sum4, whose order is the same in
// each of its four places. A tile shape only decides what else happens in between.
//
// A kernel K multiplies operands: Vec (an operand vector of kStep elements), Element (its stored form), kXBytes, kTokens
// (the widest tile: 6, 4 or 2), load_x, load_x_n, load, load_n, store (an operand from and to the scratch) and step.
// A source S reads weights: row(args, r), load (kStep elements) or, where kWholeBlocks, load32 (32 elements, decoded
// together), load_n (ragged tail), prefetch, kDecodes (false where loading is not worth a copy), kRagged (whether n_in may
// be other than a multiple of 32).
#pragma once

#include "i8_rows.h"
#include "simd_kernels.h"

namespace switchyard {

static constexpr size_t kTileRows = 4;
static constexpr size_t kRowBlock = 64;    // rows whose weights stay in L2 while all tokens pass
static constexpr size_t kMostTokens = 6;   // of the widest tile of any kernel
static constexpr size_t kTokenBlock = 36;  // tokens whose activations stay in L2 while the row block passes
static constexpr size_t kChunk = 2048;     // weights of a row decoded at once: 4 rows of f32 are 32 KiB
static constexpr size_t kStride = 32;      // elements a loop turn

// One row of weights: MXFP4 has scales beside the blocks. Byte pointers: a tensor may lie at any address.
struct WeightRow {
  const uint8_t* w;
  const uint8_t* scale;
};

// Operands that decode_rows wrote.
template <class K>
struct ScratchRows {
  static constexpr bool kRagged = true, kWholeBlocks = false;
  static typename K::Vec load(const WeightRow& row, size_t i) {
    return K::load(reinterpret_cast<const typename K::Element*>(row.w) + i);
  }
  static typename K::Vec load_n(const WeightRow& row, size_t i, size_t n) {
    return K::load_n(reinterpret_cast<const typename K::Element*>(row.w) + i, n);
  }
  static void prefetch(const WeightRow&, size_t, size_t) {}
};

// Adds the products of elements [0, n) to sums (kTokens, kRows, lanes). prefetch: bytes from a row to the one that the
// next tile will read in its place.
template <class V, class K, class S, size_t kRows, size_t kTokens>
static inline void multiply_tile(const WeightRow* rows, const uint8_t* const* x, size_t n, size_t prefetch, float* sums) {
  constexpr size_t kParts = kStride / K::kStep;
  typename V::F sum[kTokens][kRows];
  for (size_t t = 0; t < kTokens; t++)
    for (size_t r = 0; r < kRows; r++) sum[t][r] = V::load(sums + (t * kRows + r) * V::kLanes);
  size_t i = 0;
  for (; i + kStride <= n; i += kStride) {
    typename K::Vec w[kRows][kParts];
    for (size_t r = 0; r < kRows; r++) {
      S::prefetch(rows[r], i, prefetch);
      if constexpr (S::kWholeBlocks) S::load32(rows[r], i, w[r]);
    }
    for (size_t j = 0; j < kParts; j++) {
      if constexpr (!S::kWholeBlocks)
        for (size_t r = 0; r < kRows; r++) w[r][j] = S::load(rows[r], i + j * K::kStep);
      for (size_t t = 0; t < kTokens; t++) {
        const auto v = K::load_x(x[t] + (i + j * K::kStep) * K::kXBytes);
        for (size_t r = 0; r < kRows; r++) sum[t][r] = K::step(sum[t][r], v, w[r][j]);
      }
    }
  }
  if constexpr (S::kRagged) {
    for (; i < n; i += K::kStep) {
      const size_t rest = n - i < K::kStep ? n - i : K::kStep;
      typename K::Vec w[kRows];
      for (size_t r = 0; r < kRows; r++) w[r] = S::load_n(rows[r], i, rest);
      for (size_t t = 0; t < kTokens; t++) {
        const auto v = K::load_x_n(x[t] + i * K::kXBytes, rest);
        for (size_t r = 0; r < kRows; r++) sum[t][r] = K::step(sum[t][r], v, w[r]);
      }
    }
  }
  for (size_t t = 0; t < kTokens; t++)
    for (size_t r = 0; r < kRows; r++) V::store(sums + (t * kRows + r) * V::kLanes, sum[t][r]);
}

// All tokens [0, tokens) of one row tile, in the widest tiles that fit.
template <class V, class K, class S, size_t kRows>
static inline void multiply_rows(const WeightRow* rows, const uint8_t* x, size_t x_stride, size_t tokens, size_t n,
                                 size_t prefetch, float* sums) {
  const uint8_t* tile[kMostTokens];
  for (size_t t = 0; t < tokens;) {
    for (size_t i = 0; i < kMostTokens; i++) tile[i] = x + (t + i < tokens ? t + i : t) * x_stride;
    float* tile_sums = sums + t * kRows * V::kLanes;
    if (K::kTokens >= 6 && tokens - t >= 6 && tokens - t != 8) {  // 8 are better two of 4 than 6 and 2
      if constexpr (K::kTokens >= 6) multiply_tile<V, K, S, kRows, 6>(rows, tile, n, prefetch, tile_sums);
      t += 6;
    } else if (K::kTokens >= 4 && tokens - t >= 4) {
      if constexpr (K::kTokens >= 4) multiply_tile<V, K, S, kRows, 4>(rows, tile, n, prefetch, tile_sums);
      t += 4;
    } else if (tokens - t >= 2) {
      multiply_tile<V, K, S, kRows, 2>(rows, tile, n, prefetch, tile_sums);
      t += 2;
    } else {
      multiply_tile<V, K, S, kRows, 1>(rows, tile, n, prefetch, tile_sums);
      t += 1;
    }
  }
}

template <class K, class S>
static inline void decode_row(const WeightRow& row, size_t begin, size_t n, typename K::Element* out) {
  size_t i = 0;
  if constexpr (S::kWholeBlocks) {
    typename K::Vec part[kStride / K::kStep];
    for (; i < n; i += kStride) {
      S::load32(row, begin + i, part);
      for (size_t j = 0; j < kStride / K::kStep; j++) K::store(out + i + j * K::kStep, part[j]);
    }
  } else {
    for (; i + K::kStep <= n; i += K::kStep) K::store(out + i, S::load(row, begin + i));
    if (i < n) K::store(out + i, S::load_n(row, begin + i, n - i));
  }
}

// y = lane sums + bias for tokens [begin, end) and rows [row, row + kRows); sums (end - begin, kRows, lanes).
template <class V, size_t kRows>
static inline void finish_rows(const MatmulArgs& args, size_t row, size_t begin, size_t end, const float* sums) {
  float bias[kRows] = {};
  if (args.bias)
    for (size_t r = 0; r < kRows; r++) bias[r] = load_bf16(args.bias, row + r);
  for (size_t t = begin; t < end; t++, sums += kRows * V::kLanes) {
    float total[4];
    if constexpr (kRows == 4) {
      V::sum4(V::load(sums), V::load(sums + V::kLanes), V::load(sums + 2 * V::kLanes), V::load(sums + 3 * V::kLanes),
              total);
    } else {
      total[0] = lane_sum<V>(V::load(sums));
    }
    for (size_t r = 0; r < kRows; r++) args.y[t * args.y_stride + row + r] = total[r] + bias[r];
  }
}

// One row tile against tokens [begin, end), at most kTokenBlock.
template <class V, class K, class S, size_t kRows>
static inline void matmul_rows(const MatmulArgs& args, size_t row, size_t begin, size_t end) {
  WeightRow rows[kRows];
  for (size_t r = 0; r < kRows; r++) rows[r] = S::row(args, row + r);
  const size_t x_stride = args.x_stride * K::kXBytes;
  const uint8_t* x = static_cast<const uint8_t*>(args.x) + begin * x_stride;
  alignas(64) float sums[kTokenBlock * kRows * V::kLanes];
  for (size_t i = 0; i < (end - begin) * kRows * V::kLanes; i++) sums[i] = 0;

  if (!S::kDecodes || args.tokens <= K::kTokens) {
    const size_t prefetch = static_cast<size_t>(S::row(args, row + kRows).w - rows[0].w);
    multiply_rows<V, K, S, kRows>(rows, x, x_stride, end - begin, args.n_in, prefetch, sums);
  } else {
    alignas(64) typename K::Element scratch[kRows][kChunk + kStride];
    WeightRow decoded[kRows];
    for (size_t r = 0; r < kRows; r++) decoded[r] = {reinterpret_cast<const uint8_t*>(scratch[r]), nullptr};
    for (size_t i = 0; i < args.n_in; i += kChunk) {
      const size_t n = args.n_in - i < kChunk ? args.n_in - i : kChunk;
      for (size_t r = 0; r < kRows; r++) decode_row<K, S>(rows[r], i, n, scratch[r]);
      multiply_rows<V, K, ScratchRows<K>, kRows>(decoded, x + i * K::kXBytes, x_stride, end - begin, n, 0, sums);
    }
  }
  finish_rows<V, kRows>(args, row, begin, end, sums);
}

// Calls tile4(row, begin, end) and tile1(row, begin, end) so that they cover all rows and tokens; end - begin is at most
// kTokenBlock.
template <class Tile4, class Tile1>
static inline void for_each_tile(const MatmulArgs& args, const Tile4& tile4, const Tile1& tile1) {
  for (size_t block = args.row_begin; block < args.row_end; block += kRowBlock) {
    const size_t block_end = args.row_end - block < kRowBlock ? args.row_end : block + kRowBlock;
    for (size_t begin = 0; begin < args.tokens; begin += kTokenBlock) {
      const size_t end = args.tokens - begin < kTokenBlock ? args.tokens : begin + kTokenBlock;
      size_t row = block;
      for (; row + kTileRows <= block_end; row += kTileRows) tile4(row, begin, end);
      for (; row < block_end; row++) tile1(row, begin, end);
    }
  }
}

template <class V, class K, class S>
void simd_matmul(const MatmulArgs& args) {
  for_each_tile(
      args, [&](size_t row, size_t begin, size_t end) { matmul_rows<V, K, S, kTileRows>(args, row, begin, end); },
      [&](size_t row, size_t begin, size_t end) { matmul_rows<V, K, S, 1>(args, row, begin, end); });
}

// f32 operands: activations in f32 (kXBytes 4) or bf16 (2, expanded on load), weights expanded to f32.
template <class V, size_t kBytes, size_t kWidest>
struct F32Kernel {
  using Vec = typename V::F;
  using Element = float;
  static constexpr size_t kStep = V::kLanes, kXBytes = kBytes, kTokens = kWidest;
  static Vec load_x(const uint8_t* x) {
    if constexpr (kBytes == 2) return V::load_bf16(x);
    else return V::load(reinterpret_cast<const float*>(x));
  }
  static Vec load_x_n(const uint8_t* x, size_t n) {
    if constexpr (kBytes == 2) return V::load_bf16_n(x, n);
    else return V::load_n(reinterpret_cast<const float*>(x), n);
  }
  static Vec load(const float* w) { return V::load(w); }
  static Vec load_n(const float* w, size_t n) { return V::load_n(w, n); }
  static void store(float* w, Vec v) { V::store(w, v); }
  static Vec step(Vec sum, Vec x, Vec w) { return V::fma(x, w, sum); }
};

// bf16 weights as f32 operands.
template <class V>
struct Bf16Rows {
  static constexpr bool kDecodes = true, kRagged = true, kWholeBlocks = false;
  static WeightRow row(const MatmulArgs& args, size_t r) {
    return {static_cast<const uint8_t*>(args.w) + r * args.n_in * 2, nullptr};
  }
  static typename V::F load(const WeightRow& row, size_t i) { return V::load_bf16(row.w + 2 * i); }
  static typename V::F load_n(const WeightRow& row, size_t i, size_t n) { return V::load_bf16_n(row.w + 2 * i, n); }
  static void prefetch(const WeightRow& row, size_t i, size_t ahead) { __builtin_prefetch(row.w + 2 * i + ahead, 0, 2); }
};

// MXFP4 weights as f32 operands: V::mxfp4_block expands 32 elements in their order.
template <class V>
struct Mxfp4Rows {
  static constexpr bool kDecodes = true, kRagged = false, kWholeBlocks = true;
  static WeightRow row(const MatmulArgs& args, size_t r) {
    const size_t blocks = args.n_in / kMxfp4Block;
    return {static_cast<const uint8_t*>(args.w) + r * blocks * kMxfp4BlockBytes, args.w_scale + r * blocks};
  }
  static void load32(const WeightRow& row, size_t i, typename V::F* out) {
    V::mxfp4_block(row.w + i / 2, row.scale[i / kMxfp4Block], out);
  }
  static void prefetch(const WeightRow& row, size_t i, size_t ahead) {
    __builtin_prefetch(row.w + i / 2 + ahead, 0, 2);  // four times a line: cheaper than the branch that saves three
  }
};

// int8 activations against MXFP4 tiles. I::tile<kTiles, kTokens>(w, w_scale, blocks, x, x_stride, sums) writes the scaled
// integer dots of kTiles tiles, 1 or I::kTiles, with kTokens tokens, at most I::kTokens: sums (kTokens, kTiles, 16), each
// the sum over the blocks in their order.
template <class I, size_t kTiles, size_t kTokens>
static inline void i8_tile(const MatmulArgs& args, size_t tile, size_t token) {
  constexpr size_t kRows = kTiles * kMxfp4TileRows;
  const size_t blocks = args.n_in / kMxfp4Block;
  alignas(64) float sums[kTokens * kRows];
  I::template tile<kTiles, kTokens>(static_cast<const uint8_t*>(args.w) + tile * blocks * kMxfp4TileBytes,
                                    args.w_scale + tile * blocks * kMxfp4TileRows, blocks,
                                    static_cast<const I8Block*>(args.x) + token * args.x_stride, args.x_stride, sums);
  const size_t first = tile * kMxfp4TileRows;
  const size_t begin = first < args.row_begin ? args.row_begin - first : 0;
  const size_t end = args.row_end - first < kRows ? args.row_end - first : kRows;
  float bias[kRows] = {};
  if (args.bias)
    for (size_t r = begin; r < end; r++) bias[r] = load_bf16(args.bias, first + r);
  for (size_t t = 0; t < kTokens; t++) {
    float* y = args.y + (token + t) * args.y_stride + first;
    for (size_t r = begin; r < end; r++) y[r] = sums[t * kRows + r] + bias[r];
  }
}

// Tokens [token, end) in tiles of kTokens, the rest in smaller ones.
template <class I, size_t kTiles, size_t kTokens>
static inline void i8_tokens(const MatmulArgs& args, size_t tile, size_t token, size_t end) {
  for (; end - token >= kTokens; token += kTokens) i8_tile<I, kTiles, kTokens>(args, tile, token);
  if constexpr (kTokens > 1) {
    if (token < end) i8_tokens<I, kTiles, kTokens / 2>(args, tile, token, end);
  }
}

template <class I>
void simd_i8_mxfp4t_matmul(const MatmulArgs& args) {
  constexpr size_t kGroup = kRowBlock / kMxfp4TileRows;  // tiles whose weights stay in L2 while all tokens pass
  const size_t last = (args.row_end + kMxfp4TileRows - 1) / kMxfp4TileRows;
  for (size_t group = args.row_begin / kMxfp4TileRows; group < last; group += kGroup) {
    const size_t group_end = last - group < kGroup ? last : group + kGroup;
    for (size_t begin = 0; begin < args.tokens; begin += I::kTokens) {
      const size_t end = args.tokens - begin < I::kTokens ? args.tokens : begin + I::kTokens;
      size_t tile = group;
      // One or two tokens wait for weights: tile by tile, these come in one stream.
      for (; end - begin > 2 && group_end - tile >= I::kTiles; tile += I::kTiles)
        i8_tokens<I, I::kTiles, I::kTokens>(args, tile, begin, end);
      for (; tile < group_end; tile++) i8_tokens<I, 1, I::kTokens>(args, tile, begin, end);
    }
  }
}

// int8 rows against two planes of activations. R::rows4<kTokens>(w, stride, x, sums) writes the integer sums of four rows
// with kTokens tokens, at most R::kTokens: sums (kTokens, 4, 2), high plane first.
template <class R, size_t kTokens>
static inline void i8_rows_tokens(const I8RowsArgs& args, size_t row, size_t token) {
  const size_t rest = args.row_end - row < 4 ? args.row_end - row : 4;
  const int8_t* w[4];
  for (size_t r = 0; r < 4; r++) w[r] = args.w + (row + (r < rest ? r : 0)) * args.stride;
  int32_t sums[kTokens][4][2];
  R::template rows4<kTokens>(w, args.stride, args.x + token, sums);
  for (size_t t = 0; t < kTokens; t++)
    for (size_t r = 0; r < rest; r++)
      args.y[(token + t) * args.y_stride + row + r] =
          i8_row_value(sums[t][r][0], sums[t][r][1], args.w_scale[row + r], args.x[token + t].scale);
}

template <class R>
void simd_i8p_i8w_matmul(const I8RowsArgs& args) {
  for (size_t row = args.row_begin; row < args.row_end; row += 4) {
    size_t token = 0;
    for (; token + R::kTokens <= args.tokens; token += R::kTokens) i8_rows_tokens<R, R::kTokens>(args, row, token);
    for (; token < args.tokens; token++) i8_rows_tokens<R, 1>(args, row, token);
  }
}

}  // namespace switchyard
