// Matrix products of the forward pass: activations in the format a mode wants, and many matrices in one parallel loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "ops/ops.h"
#include "thread_pool.h"
#include "weights.h"

namespace switchyard {

enum class Format { f32, bf16, i8, i8_planes };

// Rows of numbers as the matmul ops read them.
class Activations {
 public:
  Activations(Format format, size_t rows, size_t n);

  Format format() const { return format_; }
  size_t stride() const { return stride_; }  // as MatmulArgs counts it
  const uint8_t* row(size_t index) const { return rows_ + index * row_bytes_; }

  void encode(const Ops& ops, size_t index, const float* x);  // x (n)
  void copy(size_t index, const Activations& from, size_t from_index);

 private:
  Format format_;
  size_t n_, stride_, row_bytes_;
  std::unique_ptr<uint8_t[]> data_;
  uint8_t* rows_;  // in data_: (rows, n), or (rows, n / 32) of I8Block, or two of these
};

// y[t] = linear x[first + t] for t in [0, tokens).
struct MatmulTask {
  const Linear* linear;
  const Activations* x;
  size_t first, tokens;
  float* y;         // (tokens, linear->rows())
  size_t y_stride;  // floats from token to token in y
};

class Matmul {
 public:
  Matmul(const Ops& ops, ThreadPool* pool) : ops_(ops), pool_(*pool), scratch_(size_t(pool->size())) {}

  void run(std::span<const MatmulTask> tasks);

  // Weight bytes of all tasks so far, each matrix once a task: what a decode step reads.
  uint64_t weight_bytes() const { return weight_bytes_; }

 private:
  struct Piece {
    const MatmulTask* task;
    size_t row_begin, row_end;
  };
  void run_piece(const Piece& piece, std::vector<float>* scratch) const;

  const Ops& ops_;
  ThreadPool& pool_;
  std::vector<Piece> pieces_;
  std::vector<std::vector<float>> scratch_;  // per thread, for matrices of several parts
  uint64_t weight_bytes_ = 0;
};

}  // namespace switchyard
