// The product with int8 tiles: what packing leaves of a weight, values against doubles, the largest integers, batch
// invariance to the bit.
#pragma once

#include <algorithm>
#include <cstring>

#include "ops/i8_tiles.h"
#include "ops_test_support.h"

namespace {

struct I8TileProduct {
  size_t tokens, rows, n_in, y_stride;
  Buffer<uint8_t> stored, tiles, scales;
  Buffer<I16Block> x;
  Buffer<uint16_t> bias;
  std::vector<double> w_value, x_value;

  I8TileProduct(size_t tokens, size_t rows, size_t n_in, Random& random)
      : tokens(tokens), rows(rows), n_in(n_in), y_stride(rows + 3), stored(rows * n_in * 2, 1),
        tiles((rows + 15) / 16 * (n_in / 32) * kI8TileBytes, 1), scales((rows + 15) / 16 * (n_in / 32) * 32, 1),
        x(tokens * n_in / 32), bias(rows), w_value(rows * n_in), x_value(tokens * n_in) {
    for (size_t i = 0; i < rows * n_in; i++) {
      const uint16_t half = i / n_in == 2 ? 0x4049 : bf16_of_float(random.normal() * static_cast<float>(1 + i / 32 % 3));
      std::memcpy(stored.data() + 2 * i, &half, 2);
    }
    for (size_t r = 0; r < rows; r++) bias[r] = bf16_of_float(random.normal());
    for (size_t i = 0; i < tokens * n_in; i++) {
      I16Block& block = x[i / 32];
      const float scale = 0.01f + 0.001f * static_cast<float>(random.bits() % 64);
      if (i % 32 == 0) block = {{}, {}, scale, 0};
      const auto number = [&] { return i / n_in == 1 ? -127 : static_cast<int>(random.bits() % 255) - 127; };
      const int low = number(), high = number();
      block.low[place(i)] = static_cast<int8_t>(low);
      block.high[place(i)] = static_cast<int8_t>(high);
      block.offset -= 128 * (low + 256 * high);
      x_value[i] = static_cast<double>(block.scale) * (low + 256 * high);
    }
    pack_i8(stored.data(), rows, n_in, 0, (rows + 15) / 16, tiles.data(), scales.data());
    unpack();
  }
  static size_t place(size_t i) { return i % 2 * 16 + i % 32 / 2; }
  void unpack() {
    for (size_t r = 0; r < rows; r++) {
      for (size_t i = 0; i < n_in; i++) {
        const size_t tile = r / 16 * (n_in / 32) + i / 32, p = place(i);
        const double scale = load_bf16(scales.data(), tile * 16 + r % 16);
        const int q = static_cast<int8_t>(tiles[tile * kI8TileBytes + p / 4 * 64 + r % 16 * 4 + p % 4]);
        const double value = w_value[r * n_in + i] = scale * q, was = load_bf16(stored.data(), r * n_in + i);
        if (q == -128 || std::fabs(value - was) > scale * 0.50001)
          check_failed(__FILE__, __LINE__, "a weight of " + std::to_string(was) + " became " + std::to_string(value));
      }
    }
  }
  void run(const Ops& ops, size_t first, size_t last, size_t begin, size_t end, float* y) {
    ops.i16_i8t_matmul({.x = x.data() + first * (n_in / 32), .x_stride = n_in / 32, .tokens = last - first, .w = tiles.data(),
                       .w_scale = scales.data(), .bias = rows == 16 ? nullptr : bias.data(), .n_in = n_in,
                       .y = y + first * y_stride, .y_stride = y_stride, .row_begin = begin, .row_end = end});
  }
};

void test_i8_tiles(const Ops& ops) {
  Random random;
  for (size_t n_in : {32, 96, 480, 2880}) {
    for (size_t tokens : {1, 2, 3, 4, 5, 8, 13, 70}) {
      for (size_t rows : {1, 15, 16, 45}) {
        if (tokens * n_in * rows > 1000000) continue;  // time under emulation
        I8TileProduct m(tokens, rows, n_in, random);
        std::vector<float> y(tokens * m.y_stride, -77.0f), parts = y, single = y;
        m.run(ops, 0, tokens, 0, rows, y.data());
        for (size_t t = 0; t < tokens; t++) {
          for (size_t r = 0; r < m.y_stride; r++) {
            double dot = r < rows && rows != 16 ? load_bf16(m.bias.data(), r) : 0, sum = std::fabs(dot);
            for (size_t i = 0; r < rows && i < n_in; i++) {
              dot += m.x_value[t * n_in + i] * m.w_value[r * n_in + i];
              sum += std::fabs(m.x_value[t * n_in + i] * m.w_value[r * n_in + i]);
            }
            if (r >= rows) dot = -77.0;  // padding stays as it was
            check_near(label(ops, "i16_i8t", {tokens, rows, n_in, t, r}), y[t * m.y_stride + r], dot, kDot * sum);
            if (r < rows) m.run(ops, t, t + 1, r, r + 1, single.data());
          }
        }
        const size_t half = tokens / 3, row = rows * 2 / 3;
        m.run(ops, 0, half, 0, row, parts.data()), m.run(ops, half, tokens, 0, row, parts.data());
        m.run(ops, 0, half, row, rows, parts.data()), m.run(ops, half, tokens, row, rows, parts.data());
        if (std::memcmp(y.data(), parts.data(), y.size() * sizeof(float)) != 0 ||
            std::memcmp(y.data(), single.data(), y.size() * sizeof(float)) != 0)
          check_failed(__FILE__, __LINE__, label(ops, "i16_i8t", {tokens, rows, n_in}) + ": cut differs");
      }
    }
  }
}

// Zeros stay zeros, numbers beyond the middle of the range do not overflow, what is no number stays visible.
void test_i8_packing() {
  std::vector<uint16_t> w(64, 0);
  std::vector<uint8_t> tiles(2 * kI8TileBytes, 1), scales(64, 1);
  const auto scale = [&](size_t block) { return load_bf16(scales.data(), block * 16); };
  pack_i8(w.data(), 1, 64, 0, 1, tiles.data(), scales.data());
  CHECK(std::all_of(tiles.begin(), tiles.end(), [](uint8_t byte) { return byte == 0; }) && scale(0) == 0);
  w[0] = 0x7f7f, w[32] = 0x0080;  // the largest number; the smallest normal one
  pack_i8(w.data(), 1, 64, 0, 1, tiles.data(), scales.data());
  CHECK(std::isfinite(scale(0)) && int8_t(tiles[0]) == 127 && scale(1) == 0);
  w[5] = 0x7f80, w[40] = 0xffc1;
  pack_i8(w.data(), 1, 64, 0, 1, tiles.data(), scales.data());
  CHECK(std::isnan(scale(0)) && std::isnan(scale(1)));
}

}  // namespace
