// What the tests of the operations share: random numbers, exactly sized unaligned buffers, comparison with a tolerance.
//
// Tolerance of dot products: kDot * sum |x w|. f32 rounds to 2^-24; the errors of a chain of at most n / 4 additions have
// random signs, so they grow like the square root: sqrt(2880 / 4) * 2^-24 is 1.6e-6, and the partial sums are smaller
// than sum |x w|. One wrong or missing element out of 2880 is over 1e-5. Every table is within 0.3e-6 here.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

#include "check.h"
#include "ops/number.h"
#include "ops/ops.h"

using namespace switchyard;

namespace {

constexpr double kDot = 1e-6;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Random {
  uint64_t state = 88172645463325252ull;
  uint32_t bits() {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return static_cast<uint32_t>(state >> 32);
  }
  float normal() {  // near enough: sum of four uniforms
    double sum = 0;
    for (int i = 0; i < 4; i++) sum += bits() / 4294967296.0 - 0.5;
    return static_cast<float>(sum * 1.7);
  }
};

// n elements at the very end of an allocation, `skew` bytes off its alignment.
template <typename T>
struct Buffer {
  std::vector<uint8_t> bytes;
  size_t skew;
  explicit Buffer(size_t n, size_t skew = sizeof(T)) : bytes(skew + n * sizeof(T)), skew(skew) {}
  T* data() { return reinterpret_cast<T*>(bytes.data() + skew); }
  T& operator[](size_t i) { return data()[i]; }
};

std::string label(const Ops& ops, const char* what, std::initializer_list<size_t> sizes) {
  std::string text = std::string(ops.name) + " " + what;
  for (size_t size : sizes) text += " " + std::to_string(size);
  return text;
}

void check_near(const std::string& what, double actual, double expected, double tolerance) {
  if (std::isnan(expected) && std::isnan(actual)) return;
  if (std::isinf(expected) && actual == expected) return;
  if (std::fabs(actual - expected) <= tolerance) return;
  char text[160];
  std::snprintf(text, sizeof text, ": got %.9g, expected %.9g within %.3g", actual, expected, tolerance);
  check_failed(__FILE__, __LINE__, what + text);
}

}  // namespace
