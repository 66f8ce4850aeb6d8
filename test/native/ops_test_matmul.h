// The five matrix products: values against doubles, batch invariance to the bit, every byte of MXFP4.
#pragma once

#include <cstring>
#include <utility>

#include "ops/mxfp4_tiles.h"
#include "ops_test_support.h"

namespace {

enum class X { f32, bf16, i8 };

struct MatmulOp {
  const char* name;
  void (*Ops::*run)(const MatmulArgs&);
  X x;
  bool mxfp4;
};

constexpr MatmulOp kMatmuls[] = {
    {"f32_bf16w", &Ops::f32_bf16w_matmul, X::f32, false},    {"bf16_bf16w", &Ops::bf16_bf16w_matmul, X::bf16, false},
    {"f32_mxfp4w", &Ops::f32_mxfp4w_matmul, X::f32, true},   {"bf16_mxfp4w", &Ops::bf16_mxfp4w_matmul, X::bf16, true},
    {"i8_mxfp4t", &Ops::i8_mxfp4t_matmul, X::i8, true},
};

double mxfp4_value(uint8_t nibble, uint8_t scale) { return std::ldexp(static_cast<double>(kFp4[nibble]), scale - 127); }

// One matrix product with random data; x and w as doubles stand beside what the operation reads.
struct Matmul {
  size_t tokens, rows, n_in, x_stride, y_stride;
  std::vector<double> x_value, w_value;
  Buffer<float> x_f32;
  Buffer<uint16_t> x_bf16, bias;
  Buffer<I8Block> x_i8;
  Buffer<uint8_t> w, w_scale, tiles, tile_scales;
  MatmulArgs args;

  Matmul(const MatmulOp& op, size_t tokens, size_t rows, size_t n_in, bool with_bias, Random& random)
      : tokens(tokens), rows(rows), n_in(n_in), x_stride(n_in + 3), y_stride(rows + 2),
        x_value(tokens * n_in), w_value(rows * n_in), x_f32(extent(op, X::f32)),
        x_bf16(extent(op, X::bf16)), bias(rows), x_i8(op.x == X::i8 ? tokens * n_in / 32 : 0), w(op.mxfp4 ? rows * n_in / 2 : rows * n_in * 2, 1),
        w_scale(op.mxfp4 ? rows * (n_in / 32) : 0, 1),
        tiles(op.x == X::i8 ? mxfp4_tile_rows(rows) * (n_in / 32) * kMxfp4TileBytes : 0, 1),
        tile_scales(op.x == X::i8 ? mxfp4_tile_rows(rows) * (n_in / 32) * kMxfp4TileRows : 0, 1) {
    for (size_t t = 0; t < tokens; t++) fill_token(op, t, random);
    for (size_t r = 0; r < rows; r++) {
      fill_row(op, r, random);
      bias[r] = bf16_of_float(random.normal());
    }
    args = {.x = op.x == X::f32 ? static_cast<const void*>(x_f32.data())
                 : op.x == X::bf16 ? static_cast<const void*>(x_bf16.data()) : x_i8.data(),
            .x_stride = op.x == X::i8 ? n_in / 32 : x_stride, .tokens = tokens,
            .w = op.x == X::i8 ? tiles.data() : w.data(), .w_scale = op.x == X::i8 ? tile_scales.data() : w_scale.data(),
            .bias = with_bias ? bias.data() : nullptr, .n_in = n_in, .y = nullptr, .y_stride = y_stride,
            .row_begin = 0, .row_end = rows};
    if (op.x == X::i8) pack();
  }
  void pack() {
    pack_mxfp4(w.data(), w_scale.data(), rows, n_in / 32, 0, mxfp4_tile_rows(rows), tiles.data(), tile_scales.data());
  }
  // Position of element i in a block: even ones first.
  static size_t place(size_t i) { return i % 2 * 16 + i % 32 / 2; }
  size_t extent(const MatmulOp& op, X kind) const {
    return op.x == kind && tokens > 0 ? (tokens - 1) * x_stride + n_in : 0;
  }
  void fill_token(const MatmulOp& op, size_t t, Random& random) {
    for (size_t i = 0; i < n_in; i++) {
      const float value = random.normal();
      double& exact = x_value[t * n_in + i];
      if (op.x == X::f32) exact = x_f32[t * x_stride + i] = value;
      if (op.x == X::bf16) exact = load_bf16(&(x_bf16[t * x_stride + i] = bf16_of_float(value)), 0);
      if (op.x == X::i8) {
        I8Block& block = x_i8[t * (n_in / 32) + i / 32];
        if (i % 32 == 0) block = {{}, 0.01f + 0.001f * static_cast<float>(random.bits() % 64), 0};
        const int q = static_cast<int>(random.bits() % 255) - 127;
        block.q[place(i)] = static_cast<int8_t>(q);
        block.offset -= 12 * q;
        exact = static_cast<double>(block.scale) * q;
      }
    }
  }
  void fill_row(const MatmulOp& op, size_t r, Random& random) {
    if (!op.mxfp4) {
      for (size_t i = 0; i < n_in; i++) {
        const uint16_t half = bf16_of_float(random.normal());
        std::memcpy(w.data() + 2 * (r * n_in + i), &half, 2);
        w_value[r * n_in + i] = load_bf16(&half, 0);
      }
      return;
    }
    for (size_t i = 0; i < n_in / 2; i++) {
      const uint8_t pair = w[r * n_in / 2 + i] = static_cast<uint8_t>(random.bits());
      uint8_t& scale = w_scale[(r * n_in + 2 * i) / 32];
      if (i % 16 == 0) scale = static_cast<uint8_t>(120 + random.bits() % 6);
      w_value[r * n_in + 2 * i] = mxfp4_value(pair & 15, scale);
      w_value[r * n_in + 2 * i + 1] = mxfp4_value(pair >> 4, scale);
    }
  }
  std::vector<float> run(const Ops& ops, const MatmulOp& op) const { return run(ops, op, {0, tokens}, {0, rows}); }
  // y whole, with the part outside of the given tokens and rows untouched (-77).
  std::vector<float> run(const Ops& ops, const MatmulOp& op, std::pair<size_t, size_t> t, std::pair<size_t, size_t> r) const {
    std::vector<float> y(tokens * y_stride, -77.0f);
    run_into(ops, op, t, r, y);
    return y;
  }
  void run_into(const Ops& ops, const MatmulOp& op, std::pair<size_t, size_t> t, std::pair<size_t, size_t> r,
                std::vector<float>& y) const {
    MatmulArgs part = args;
    const size_t element = op.x == X::f32 ? 4 : op.x == X::bf16 ? 2 : sizeof(I8Block);
    part.x = static_cast<const uint8_t*>(args.x) + t.first * args.x_stride * element;
    part.tokens = t.second - t.first;
    part.y = y.data() + t.first * y_stride;
    part.row_begin = r.first, part.row_end = r.second;
    (ops.*op.run)(part);
  }
};

void test_matmul(const Ops& ops, const MatmulOp& op) {
  Random random;
  const std::vector<size_t> sizes = op.mxfp4 ? std::vector<size_t>{32, 64, 96, 256, 480, 512, 544, 2880}
                                             : std::vector<size_t>{1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 63, 65, 511, 2880, 4133};
  for (size_t n_in : sizes) {
    for (size_t tokens : {0, 1, 2, 3, 4, 5, 37}) {
      for (size_t rows : {1, 3, 4, 6, 70}) {
        if (rows == 70 && tokens * n_in > 40000) continue;  // time under emulation
        const Matmul m(op, tokens, rows, n_in, rows != 3, random);
        const std::vector<float> y = m.run(ops, op);
        for (size_t t = 0; t < tokens; t++) {
          for (size_t r = 0; r < m.y_stride; r++) {
            double dot = r < rows && m.args.bias ? load_bf16(m.args.bias, r) : 0, sum = std::fabs(dot);
            for (size_t i = 0; r < rows && i < n_in; i++) {
              dot += m.x_value[t * n_in + i] * m.w_value[r * n_in + i];
              sum += std::fabs(m.x_value[t * n_in + i] * m.w_value[r * n_in + i]);
            }
            if (r >= rows) dot = -77.0;  // padding stays as it was
            check_near(label(ops, op.name, {tokens, rows, n_in, t, r}), y[t * m.y_stride + r], dot, kDot * sum);
          }
        }
      }
    }
  }
}

// Bit-equal however a product is cut: by tokens, and by rows at any place. 2080: more than one decoded chunk.
void test_batch_invariance(const Ops& ops, const MatmulOp& op) {
  Random random;
  for (size_t n_in : {32, 480, op.mxfp4 ? 2080 : 2093}) {
    // i8: two tiles that go together, and a part of one; else more than the rows that few tokens are multiplied with at once.
    const size_t rows = op.x == X::i8 || n_in == 480 ? 45 : 13;
    for (size_t tokens : {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 17, 33, 63, 65, 73}) {
      const Matmul m(op, tokens, rows, n_in, true, random);
      const std::vector<float> whole = m.run(ops, op);
      std::vector<float> single(whole.size(), -77.0f);
      for (size_t t = 0; t < tokens; t++)
        for (size_t r = 0; r < rows; r++) m.run_into(ops, op, {t, t + 1}, {r, r + 1}, single);
      if (std::memcmp(whole.data(), single.data(), whole.size() * sizeof(float)) != 0)
        check_failed(__FILE__, __LINE__, label(ops, op.name, {tokens, n_in}) + ": one by one differs");
      for (size_t cut = 0; cut <= 13; cut++) {
        std::vector<float> parts(whole.size(), -77.0f);
        const size_t middle = tokens * cut / 13, row = rows * cut / 13;
        for (const auto& t : {std::pair<size_t, size_t>{0, middle}, {middle, tokens}})
          for (const auto& r : {std::pair<size_t, size_t>{0, row}, {row, rows}}) m.run_into(ops, op, t, r, parts);
        if (std::memcmp(whole.data(), parts.data(), whole.size() * sizeof(float)) != 0)
          check_failed(__FILE__, __LINE__, label(ops, op.name, {tokens, n_in, cut}) + ": cut differs");
      }
    }
  }
}

// Each of the 256 bytes in each place of a block, with the scales at the edges: token t is 1 at element t and 0 elsewhere,
// so that y is the weight itself, without rounding.
void test_every_byte(const Ops& ops, const MatmulOp& op) {
  Random random;
  Matmul m(op, 32, 256, 32, false, random);
  for (size_t t = 0; t < 32; t++) {
    for (size_t i = 0; i < 32; i++) {
      if (op.x == X::f32) m.x_f32[t * m.x_stride + i] = t == i ? 1.0f : 0.0f;
      if (op.x == X::bf16) m.x_bf16[t * m.x_stride + i] = t == i ? 0x3f80 : 0;
    }
    if (op.x == X::i8) {
      m.x_i8[t] = {{}, 1.0f / 64, -12 * 64};
      m.x_i8[t].q[Matmul::place(t)] = 64;
    }
  }
  for (size_t r = 0; r < 256; r++) std::memset(m.w.data() + r * 16, static_cast<int>(r), 16);
  for (int scale : {0, 1, 2, 3, 4, 100, 126, 127, 128, 251, 252, 253, 254}) {
    std::memset(m.w_scale.data(), scale, 256);
    if (op.x == X::i8) m.pack();
    for (size_t tokens : {1, 32}) {  // decoding in place, and once for many tokens
      for (size_t first = 0; first < 32; first += tokens) {
        const std::vector<float> y = m.run(ops, op, {first, first + tokens}, {0, 256});
        for (size_t t = first; t < first + tokens; t++) {
          for (size_t byte = 0; byte < 256; byte++) {
            const double weight = mxfp4_value(t % 2 ? byte >> 4 : byte & 15, static_cast<uint8_t>(scale));
            const double other = mxfp4_value(t % 2 ? byte & 15 : byte >> 4, static_cast<uint8_t>(scale));
            // Infinite when expanded; infinity times the zeros of x is no number. (The integers of i8 stay finite.)
            if (op.x != X::i8 && std::fmax(std::fabs(weight), std::fabs(other)) >= std::ldexp(1.0, 128)) continue;
            // vdpbf16ps takes subnormals for zero.
            const bool flushed = op.x == X::bf16 && std::strcmp(ops.name, "avx512") == 0 && std::fabs(weight) < std::ldexp(1.0, -126);
            const float expected = flushed ? 0.0f : static_cast<float>(weight);
            check_near(label(ops, op.name, {byte, t, static_cast<size_t>(scale)}), y[t * m.y_stride + byte], expected, 0);
          }
        }
      }
    }
  }
}

}  // namespace
