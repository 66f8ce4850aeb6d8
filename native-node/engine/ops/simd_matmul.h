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
static constexpr size_t kRowBlock = 64;     // rows whose weights stay in L2 while all tokens pass
static constexpr size_t kMostTokens = 6;    // of the widest tile of any kernel
static constexpr size_t kTokenBlock = 36;   // tokens whose activations stay in L2 while the row block passes
static constexpr size_t kDecodeBlock = 72;  // the same where each block of tokens costs a decoding of the weights
static constexpr size_t kTokenStep = 12;    // a multiple of the tokens of any tile
static constexpr size_t kChunk = 1440;      // weights of a row decoded at once: 4 rows of f32 are 23 KiB
static constexpr size_t kStride = 32;       // elements a loop turn
// Of batched decoding, where every weight serves a few tokens and memory must not wait:
static constexpr size_t kFewTokens = 16;
static constexpr size_t kFewRows = 32;    // that are fetched into L2 while as many are multiplied
static constexpr size_t kFewChunk = 768;  // elements of a row: those of six bf16 tokens are a third of L1
static constexpr size_t kOneAhead = 8;    // rows, for one token of int8: more would go before what it waits for

// The step, a multiple of `unit`, that cuts `n` into as few parts as steps of `most` do, as equal as can be.
static inline size_t equal_steps(size_t n, size_t most, size_t unit) {
  if (n <= most) return most;
  const size_t parts = (n + most - 1) / most, step = (n + parts - 1) / parts;
  return (step + unit - 1) / unit * unit;
}

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

// Adds the products of elements [0, n) to sums (kTokens, kRows, lanes). prefetch: bytes from a row to the one that a later
// tile will read in its place; asked for are kAhead of these, from `first` on.
template <class V, class K, class S, size_t kRows, size_t kTokens, size_t kAhead = kRows>
static inline void multiply_tile(const WeightRow* rows, const uint8_t* const* x, size_t n, size_t prefetch, float* sums,
                                 size_t first = 0) {
  constexpr size_t kParts = kStride / K::kStep;
  typename V::F sum[kTokens][kRows];
  for (size_t t = 0; t < kTokens; t++)
    for (size_t r = 0; r < kRows; r++) sum[t][r] = V::load(sums + (t * kRows + r) * V::kLanes);
  size_t i = 0;
  for (; i + kStride <= n; i += kStride) {
    typename K::Vec w[kRows][kParts];
    for (size_t r = 0; r < kAhead; r++) S::prefetch(rows[first + r], i, prefetch);
    if constexpr (S::kWholeBlocks)
      for (size_t r = 0; r < kRows; r++) S::load32(rows[r], i, w[r]);
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

template <class S>
static constexpr size_t token_block() {
  return S::kDecodes ? kDecodeBlock : kTokenBlock;
}

// One row tile against tokens [begin, end), at most token_block.
template <class V, class K, class S, size_t kRows>
static inline void matmul_rows(const MatmulArgs& args, size_t row, size_t begin, size_t end) {
  WeightRow rows[kRows];
  for (size_t r = 0; r < kRows; r++) rows[r] = S::row(args, row + r);
  const size_t x_stride = args.x_stride * K::kXBytes;
  const uint8_t* x = static_cast<const uint8_t*>(args.x) + begin * x_stride;
  alignas(64) float sums[token_block<S>() * kRows * V::kLanes];
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
// kMost.
template <size_t kMost, class Tile4, class Tile1>
static inline void for_each_tile(const MatmulArgs& args, const Tile4& tile4, const Tile1& tile1) {
  for (size_t block = args.row_begin; block < args.row_end; block += kRowBlock) {
    const size_t block_end = args.row_end - block < kRowBlock ? args.row_end : block + kRowBlock;
    const size_t tokens = equal_steps(args.tokens, kMost, kTokenStep);
    for (size_t begin = 0; begin < args.tokens; begin += tokens) {
      const size_t end = args.tokens - begin < tokens ? args.tokens : begin + tokens;
      size_t row = block;
      for (; row + kTileRows <= block_end; row += kTileRows) tile4(row, begin, end);
      for (; row < block_end; row++) tile1(row, begin, end);
    }
  }
}

template <class V, class K, class S>
void simd_matmul(const MatmulArgs& args) {
  for_each_tile<token_block<S>()>(
      args, [&](size_t row, size_t begin, size_t end) { matmul_rows<V, K, S, kTileRows>(args, row, begin, end); },
      [&](size_t row, size_t begin, size_t end) { matmul_rows<V, K, S, 1>(args, row, begin, end); });
}

struct Span {
  size_t begin, end;
};

// The passes over a block of weights, one for each tile of tokens, share what is to be fetched ahead: memory then delivers
// without a pause. The rows, of each kTileRows, that one pass asks for.
static inline Span ahead_rows(size_t pass, size_t passes) {
  return {pass * kTileRows / passes, (pass + 1) * kTileRows / passes};
}

// As few passes as tiles of `widest` tokens allow, as equal as can be.
static inline size_t token_passes(size_t tokens, size_t widest) { return (tokens + widest - 1) / widest; }
static inline Span pass_tokens(size_t tokens, size_t pass, size_t passes) {
  return {tokens * pass / passes, tokens * (pass + 1) / passes};
}

template <class V, class K, class S, size_t kRows, size_t kTokens>
static inline void few_tokens_tile(const WeightRow* rows, const uint8_t* const* x, size_t tokens, size_t n,
                                   size_t prefetch, Span ahead, float* sums) {
  if constexpr (kTokens > 1) {
    if (tokens < kTokens) return few_tokens_tile<V, K, S, kRows, kTokens - 1>(rows, x, tokens, n, prefetch, ahead, sums);
  }
  const size_t asked = kRows == 1 ? 0 : ahead.end - ahead.begin;
  if (asked >= 4) multiply_tile<V, K, S, kRows, kTokens, kRows>(rows, x, n, prefetch, sums);
  else if (asked >= 2) multiply_tile<V, K, S, kRows, kTokens, kRows / 2>(rows, x, n, prefetch, sums, ahead.begin);
  else if (asked == 1) multiply_tile<V, K, S, kRows, kTokens, 1>(rows, x, n, prefetch, sums, ahead.begin);
  else multiply_tile<V, K, S, kRows, kTokens, 0>(rows, x, n, prefetch, sums);
}

// Rows [row, row + rows), at most kFewRows, against all tokens, at most kFewTokens, for weights that are operands as they
// lie. In pieces of kFewChunk elements, so that a tile's activations stay in the nearest cache while all rows pass.
template <class V, class K, class S>
static inline void few_tokens_block(const MatmulArgs& args, size_t row, size_t rows) {
  alignas(64) float sums[kFewRows * kFewTokens * V::kLanes];
  for (size_t i = 0; i < rows * args.tokens * V::kLanes; i++) sums[i] = 0;
  const size_t chunk = equal_steps(args.n_in, kFewChunk, kStride);
  const size_t passes = token_passes(args.tokens, K::kTokens);
  const size_t prefetch = static_cast<size_t>(S::row(args, kFewRows).w - S::row(args, 0).w);
  for (size_t i = 0; i < args.n_in; i += chunk) {
    const size_t n = args.n_in - i < chunk ? args.n_in - i : chunk;
    for (size_t pass = 0; pass < passes; pass++) {
      const Span tokens = pass_tokens(args.tokens, pass, passes);
      const uint8_t* x[K::kTokens];
      for (size_t t = tokens.begin; t < tokens.end; t++)
        x[t - tokens.begin] = static_cast<const uint8_t*>(args.x) + (t * args.x_stride + i) * K::kXBytes;
      const auto tile = [&]<size_t kRows>(size_t r) {
        WeightRow of_tile[kRows];
        for (size_t j = 0; j < kRows; j++) of_tile[j] = S::part(S::row(args, row + r + j), i);
        few_tokens_tile<V, K, S, kRows, K::kTokens>(of_tile, x, tokens.end - tokens.begin, n, prefetch,
                                                    ahead_rows(pass, passes),
                                                    sums + (r * args.tokens + tokens.begin * kRows) * V::kLanes);
      };
      size_t r = 0;
      for (; r + kTileRows <= rows; r += kTileRows) tile.template operator()<kTileRows>(r);
      for (; r < rows; r++) tile.template operator()<1>(r);
    }
  }
  size_t r = 0;
  for (; r + kTileRows <= rows; r += kTileRows)
    finish_rows<V, kTileRows>(args, row + r, 0, args.tokens, sums + r * args.tokens * V::kLanes);
  for (; r < rows; r++) finish_rows<V, 1>(args, row + r, 0, args.tokens, sums + r * args.tokens * V::kLanes);
}

template <class V, class K, class S, size_t kRows>
static inline void one_token_tile(const MatmulArgs& args, size_t row) {
  const uint8_t* x = static_cast<const uint8_t*>(args.x);
  alignas(64) float sums[kRows * V::kLanes] = {};
  for (size_t r = 0; r < kRows; r++) {
    const WeightRow weights = S::row(args, row + r);
    multiply_tile<V, K, S, 1, 1, 0>(&weights, &x, args.n_in, 0, sums + r * V::kLanes);
  }
  finish_rows<V, kRows>(args, row, 0, 1, sums);
}

// One token waits for weights alone. Row after row they are one stream, which memory delivers faster than four, and which
// the processor's own prefetching keeps up better than requests of ours.
template <class V, class K, class S>
static inline void one_token_matmul(const MatmulArgs& args) {
  size_t row = args.row_begin;
  for (; row + kTileRows <= args.row_end; row += kTileRows) one_token_tile<V, K, S, kTileRows>(args, row);
  for (; row < args.row_end; row++) one_token_tile<V, K, S, 1>(args, row);
}

template <class V, class K, class S>
void simd_operand_matmul(const MatmulArgs& args) {
  if (args.tokens == 1) return one_token_matmul<V, K, S>(args);
  if (args.tokens <= 2 || args.tokens > kFewTokens) return simd_matmul<V, K, S>(args);
  for (size_t row = args.row_begin; row < args.row_end; row += kFewRows)
    few_tokens_block<V, K, S>(args, row, args.row_end - row < kFewRows ? args.row_end - row : kFewRows);
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
  static WeightRow part(const WeightRow& row, size_t i) { return {row.w + 2 * i, nullptr}; }  // from element i on
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

// Integer activations against tiles of MXFP4 or int8: the scaled integer dots of tiles with tokens, sums (tokens, kTiles, 16),
// each the sum over the blocks in their order. I::Block is a block of activations, I::kTileBytes and I::kScaleBytes one of a
// tile. I::few<kTiles, kTokens>(w, w_scale, blocks, x, x_stride, sums) is for at most I::kFew tokens,
// one tile, and from I::kFewOfTiles tokens on I::kTiles of them; I::tiles<kTiles>(…, tokens, sums) for 1 or I::kTiles tiles and
// at most I::kTokens tokens.
template <size_t kTiles>
static inline void finish_i8_tiles(const MatmulArgs& args, size_t tile, size_t token, size_t tokens, const float* sums) {
  constexpr size_t kRows = kTiles * kMxfp4TileRows;
  const size_t first = tile * kMxfp4TileRows;
  const size_t begin = first < args.row_begin ? args.row_begin - first : 0;
  const size_t end = args.row_end - first < kRows ? args.row_end - first : kRows;
  float bias[kRows] = {};
  if (args.bias)
    for (size_t r = begin; r < end; r++) bias[r] = load_bf16(args.bias, first + r);
  for (size_t t = 0; t < tokens; t++) {
    float* y = args.y + (token + t) * args.y_stride + first;
    for (size_t r = begin; r < end; r++) y[r] = sums[t * kRows + r] + bias[r];
  }
}

// Where a tile's weights, scales and tokens lie.
template <class I>
struct I8Tile {
  const uint8_t *w, *w_scale;
  const typename I::Block* x;
};
template <class I>
static inline I8Tile<I> i8_tile(const MatmulArgs& args, size_t tile, size_t token) {
  const size_t first_block = tile * (args.n_in / kMxfp4Block);
  return {static_cast<const uint8_t*>(args.w) + first_block * I::kTileBytes, args.w_scale + first_block * I::kScaleBytes,
          static_cast<const typename I::Block*>(args.x) + token * args.x_stride};
}

// A few tokens wait for weights: these come once, in one stream, and serve all of them.
template <class I, size_t kTokens>
static inline void i8_few_tokens(const MatmulArgs& args) {
  if constexpr (kTokens > 1) {
    if (args.tokens < kTokens) return i8_few_tokens<I, kTokens - 1>(args);
  }
  const size_t last = (args.row_end + kMxfp4TileRows - 1) / kMxfp4TileRows;
  const auto tiles = [&]<size_t kTiles>(size_t tile) {
    alignas(64) float sums[kTokens * kTiles * kMxfp4TileRows];
    const I8Tile<I> at = i8_tile<I>(args, tile, 0);
    I::template few<kTiles, kTokens>(at.w, at.w_scale, args.n_in / kMxfp4Block, at.x, args.x_stride, sums);
    finish_i8_tiles<kTiles>(args, tile, 0, kTokens, sums);
  };
  constexpr size_t kTiles = kTokens >= I::kFewOfTiles ? I::kTiles : 1;
  size_t tile = args.row_begin / kMxfp4TileRows;
  for (; last - tile >= kTiles; tile += kTiles) tiles.template operator()<kTiles>(tile);
  for (; tile < last; tile++) tiles.template operator()<1>(tile);
}

// I::tiles of an instruction set whose registers hold the sums of a few tokens: one tile in tiles of kWide tokens.
template <class I, size_t kWide>
static inline void i8_token_tiles(const uint8_t* w, const uint8_t* w_scale, size_t blocks, const typename I::Block* x,
                                  size_t x_stride, size_t tokens, float* sums) {
  for (; tokens >= kWide; tokens -= kWide, x += kWide * x_stride, sums += kWide * kMxfp4TileRows)
    I::template few<1, kWide>(w, w_scale, blocks, x, x_stride, sums);
  if constexpr (kWide > 1) {
    if (tokens > 0) i8_token_tiles<I, kWide - 1>(w, w_scale, blocks, x, x_stride, tokens, sums);
  }
}

template <class I, size_t kTiles>
static inline void i8_many_tokens(const MatmulArgs& args, size_t tile, size_t begin, size_t end) {
  alignas(64) float sums[I::kTokens * kTiles * kMxfp4TileRows];
  const I8Tile<I> at = i8_tile<I>(args, tile, begin);
  I::template tiles<kTiles>(at.w, at.w_scale, args.n_in / kMxfp4Block, at.x, args.x_stride, end - begin, sums);
  finish_i8_tiles<kTiles>(args, tile, begin, end - begin, sums);
}

template <class I>
void simd_i8_tiles_matmul(const MatmulArgs& args) {
  if (args.tokens == 0) return;
  if (args.tokens <= I::kFew) return i8_few_tokens<I, I::kFew>(args);
  constexpr size_t kGroup = kRowBlock / kMxfp4TileRows;  // tiles whose weights stay in L2 while all tokens pass
  const size_t last = (args.row_end + kMxfp4TileRows - 1) / kMxfp4TileRows;
  const size_t passes = token_passes(args.tokens, I::kTokens);
  for (size_t group = args.row_begin / kMxfp4TileRows; group < last; group += kGroup) {
    const size_t group_end = last - group < kGroup ? last : group + kGroup;
    for (size_t pass = 0; pass < passes; pass++) {
      const Span tokens = pass_tokens(args.tokens, pass, passes);
      size_t tile = group;
      for (; group_end - tile >= I::kTiles; tile += I::kTiles)
        i8_many_tokens<I, I::kTiles>(args, tile, tokens.begin, tokens.end);
      for (; tile < group_end; tile++) i8_many_tokens<I, 1>(args, tile, tokens.begin, tokens.end);
    }
  }
}

// int8 rows against vectors of integers. R::rows4<kTokens, kAhead>(w, ahead, stride, x, sums) writes the integer sums of four
// rows with kTokens tokens, at most R::kTokens: sums (kTokens, 4); kAhead rows at `ahead` are to be fetched.
template <class R, size_t kTokens>
static inline void i8_rows_tokens(const I8RowsArgs& args, size_t row, Span tokens, Span asked) {
  if constexpr (kTokens > 1) {
    if (tokens.end - tokens.begin < kTokens) return i8_rows_tokens<R, kTokens - 1>(args, row, tokens, asked);
  }
  const size_t rest = args.row_end - row < kTileRows ? args.row_end - row : kTileRows;
  const size_t distance = args.tokens == 1 ? kOneAhead : kFewRows;
  const uint8_t *w[kTileRows], *ahead[kTileRows];
  for (size_t r = 0; r < kTileRows; r++) {
    w[r] = args.w + (row + (r < rest ? r : 0)) * args.stride;
    ahead[r] = args.w + (row + distance + (asked.begin + r) % kTileRows) * args.stride;
  }
  int32_t sums[kTokens][kTileRows];
  const I8Vector* x = args.x + tokens.begin;
  const size_t count = asked.end - asked.begin;
  if (count >= 4) R::template rows4<kTokens, 4>(w, ahead, args.stride, x, sums);
  else if (count >= 2) R::template rows4<kTokens, 2>(w, ahead, args.stride, x, sums);
  else if (count == 1) R::template rows4<kTokens, 1>(w, ahead, args.stride, x, sums);
  else R::template rows4<kTokens, 0>(w, ahead, args.stride, x, sums);
  for (size_t t = 0; t < kTokens; t++)
    for (size_t r = 0; r < rest; r++)
      args.y[(tokens.begin + t) * args.y_stride + row + r] = i8_row_value(sums[t][r], args.w_scale[row + r], x[t].scale);
}

template <class R>
void simd_i8v_u8w_matmul(const I8RowsArgs& args) {
  if (args.tokens == 0) return;
  const size_t passes = token_passes(args.tokens, R::kTokens);
  for (size_t block = args.row_begin; block < args.row_end; block += kFewRows) {
    const size_t end = args.row_end - block < kFewRows ? args.row_end : block + kFewRows;
    for (size_t pass = 0; pass < passes; pass++) {
      const Span tokens = pass_tokens(args.tokens, pass, passes), asked = ahead_rows(pass, passes);
      for (size_t row = block; row < end; row += kTileRows) i8_rows_tokens<R, R::kTokens>(args, row, tokens, asked);
    }
  }
}

}  // namespace switchyard
