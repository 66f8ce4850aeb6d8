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

enum class Format { f32, bf16, i8, i16 };

// Rows of numbers as the matmul ops read them.
class Activations {
 public:
  Activations(Format format, size_t rows, size_t n);

  Format format() const { return format_; }
  size_t stride() const { return stride_; }  // as MatmulArgs counts it
  const uint8_t* row(size_t index) const { return rows_ + index * row_bytes_; }

  void encode(const Ops& ops, size_t index, const float* x) { encode(ops, index, 0, n_, x); }  // x (n)
  // Elements [begin, begin + count) of a row: whole blocks of 32 where the format has them.
  void encode(const Ops& ops, size_t index, size_t begin, size_t count, const float* x);
  void copy(size_t index, const Activations& from, size_t from_index);

 private:
  Format format_;
  size_t n_, stride_, row_bytes_;
  std::unique_ptr<uint8_t[]> data_;
  uint8_t* rows_;  // in data_: (rows, n), or (rows, n / 32) of I8Block or I16Block
};

// What becomes of pairs of gate and up, in the cache where the product left them: out[t] = swiglu(y[t]), as activations.
struct SwigluInto {
  Activations* out;  // rows as x's, (2 n) pairs to n
  float limit;
};

// y[t] = linear x[first + t] for t in [0, tokens).
struct MatmulTask {
  const Linear* linear;
  const Activations* x;
  size_t first, tokens;
  float* y;         // (tokens, linear->rows()); nullptr with `swiglu`
  size_t y_stride;  // floats from token to token in y
  const SwigluInto* swiglu = nullptr;  // goes to row first + t of its own activations instead
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
    size_t row_begin, row_end, token_begin, token_end;
    size_t rows() const { return row_end - row_begin; }
    size_t tokens() const { return token_end - token_begin; }
  };
  struct Scratch {  // of one thread
    std::vector<float> y;          // (tokens, rows) of a piece that swiglu takes
    std::vector<float> part;       // (tokens, rows) of a further part
    std::vector<float> activated;  // (rows / 2)
    void make_room(const Piece& piece);
  };

  void cut(const MatmulTask& task, size_t all_rows);
  void run_piece(const Piece& piece, Scratch* scratch) const;
  void multiply(const Piece& piece, const Matrix& matrix, float* y, size_t y_stride) const;
  void add_part(const Piece& piece, const Matrix& matrix, std::vector<float>* part, float* y, size_t y_stride) const;
  void swiglu(const Piece& piece, Scratch* scratch) const;

  const Ops& ops_;
  ThreadPool& pool_;
  std::vector<Piece> pieces_;
  std::vector<Scratch> scratch_;  // (threads)
  uint64_t weight_bytes_ = 0;
};

}  // namespace switchyard
