#include "matmul.h"

#include <algorithm>
#include <cstring>

namespace switchyard {
namespace {

constexpr size_t kRowTile = 32;              // row counts of pieces are multiples: whole tiles of any instruction set
constexpr size_t kLine = 64;                 // of the caches: a vector that lies across two costs two loads
constexpr size_t kPage = 4096;               // what the nearest caches tell addresses apart by
constexpr size_t kPieceBytes = 256 << 10;    // of weights: about 5 us of memory traffic
constexpr size_t kPiecesPerThread = 4;       // at least, so that a slow core can leave work to the others
constexpr size_t kPieceProducts = 32 << 10;  // multiplications below which waking a thread costs more than it brings

// Of what a row of activations consists: elements, for i8 blocks of them.
size_t item_bytes(Format format) {
  switch (format) {
    case Format::f32: return sizeof(float);
    case Format::bf16: return sizeof(uint16_t);
    case Format::i8:
    case Format::i8_planes: break;
  }
  return sizeof(I8Block);
}

// Items from row to row. Rows a multiple of a page apart would push each other out of the nearest cache.
size_t stride_of(Format format, size_t n) {
  if (format == Format::i8) return n / kMxfp4Block;
  if (format == Format::i8_planes) return 2 * (n / kMxfp4Block);
  return n * item_bytes(format) % kPage == 0 ? n + kLine / item_bytes(format) : n;
}

using MatmulOp = void (*)(const MatmulArgs&);

MatmulOp select(const Ops& ops, Format format, const Matrix& matrix) {
  const bool mxfp4 = matrix.blocks != nullptr;
  switch (format) {
    case Format::f32: return mxfp4 ? ops.f32_mxfp4w_matmul : ops.f32_bf16w_matmul;
    case Format::bf16: return mxfp4 ? ops.bf16_mxfp4w_matmul : ops.bf16_bf16w_matmul;
    case Format::i8: return ops.i8_mxfp4t_matmul;
    case Format::i8_planes: break;
  }
  return ops.i8p_i8t_matmul;
}

// The second plane holds what the first leaves: together about 15 bits.
void quantize_planes(const Ops& ops, I8Block* to, const float* x, size_t n) {
  const size_t blocks = n / kMxfp4Block;
  ops.f32_quantize_i8(to, x, n);
  for (size_t b = 0; b < blocks; ++b, x += kMxfp4Block) {
    float rest[kMxfp4Block];
    for (size_t i = 0; i < kMxfp4Block; ++i)
      rest[i] = x[i] - to[b].scale * float(to[b].q[i % 2 * (kMxfp4Block / 2) + i / 2]);
    ops.f32_quantize_i8(&to[blocks + b], rest, kMxfp4Block);
  }
}

// Rows of one piece of a task, given the rows of all tasks of the loop.
size_t rows_per_piece(const MatmulTask& task, size_t all_rows, size_t threads) {
  const size_t row_bytes = std::max<size_t>(task.linear->bytes() / task.linear->rows(), 1);
  size_t rows = std::min(kPieceBytes / row_bytes, all_rows / (threads * kPiecesPerThread));
  rows = std::max(rows, kPieceProducts / (task.linear->n_in() * task.tokens));
  return std::max((rows + kRowTile - 1) / kRowTile * kRowTile, kRowTile);
}

}  // namespace

Activations::Activations(Format format, size_t rows, size_t n)
    : format_(format), n_(n), stride_(stride_of(format, n)), row_bytes_(stride_ * item_bytes(format)),
      data_(new uint8_t[rows * row_bytes_ + kLine]) {
  rows_ = data_.get() + (kLine - reinterpret_cast<uintptr_t>(data_.get()) % kLine);
}

void Activations::encode(const Ops& ops, size_t index, const float* x) {
  uint8_t* to = rows_ + index * row_bytes_;
  switch (format_) {
    case Format::f32: std::memcpy(to, x, n_ * sizeof(float)); break;
    case Format::bf16: ops.f32_to_bf16(reinterpret_cast<uint16_t*>(to), x, n_); break;
    case Format::i8: ops.f32_quantize_i8(reinterpret_cast<I8Block*>(to), x, n_); break;
    case Format::i8_planes: quantize_planes(ops, reinterpret_cast<I8Block*>(to), x, n_); break;
  }
}

void Activations::copy(size_t index, const Activations& from, size_t from_index) {
  std::memcpy(rows_ + index * row_bytes_, from.row(from_index), row_bytes_);
}

void Matmul::run(std::span<const MatmulTask> tasks) {
  size_t all_rows = 0;
  for (const MatmulTask& task : tasks) all_rows += task.linear->rows();
  pieces_.clear();
  size_t scratch = 0;
  for (const MatmulTask& task : tasks) {
    weight_bytes_ += task.linear->bytes();
    const size_t rows = task.linear->rows(), step = rows_per_piece(task, all_rows, size_t(pool_.size()));
    for (size_t begin = 0; begin < rows; begin += step) pieces_.push_back({&task, begin, std::min(rows, begin + step)});
    if (task.linear->count > 1) scratch = std::max(scratch, std::min(step, rows) * task.tokens);
  }
  for (std::vector<float>& of_thread : scratch_) of_thread.resize(std::max(of_thread.size(), scratch));
  pool_.parallel_for(pieces_.size(), 1, [&](size_t begin, size_t end, int thread) {
    for (size_t i = begin; i < end; ++i) run_piece(pieces_[i], &scratch_[size_t(thread)]);
  });
}

void Matmul::run_piece(const Piece& piece, std::vector<float>* scratch) const {
  const MatmulTask& task = *piece.task;
  const size_t rows = piece.row_end - piece.row_begin;
  const Activations& x = *task.x;
  for (size_t part = 0; part < task.linear->count; ++part) {
    const Matrix& matrix = task.linear->parts[part];
    const void* tiles = matrix.blocks ? matrix.blocks : matrix.i8;
    MatmulArgs args{.x = x.row(task.first),
                    .x_stride = x.stride(),
                    .tokens = task.tokens,
                    .w = tiles ? tiles : matrix.bf16,
                    .w_scale = matrix.scales,
                    .bias = matrix.bias,
                    .n_in = matrix.n_in,
                    .y = task.y,
                    .y_stride = task.y_stride,
                    .row_begin = piece.row_begin,
                    .row_end = piece.row_end};
    if (part == 0) {
      select(ops_, x.format(), matrix)(args);
      continue;
    }
    // A further part of a wide matrix is added to what stands there; it may be a bias alone.
    std::fill_n(scratch->begin(), rows * task.tokens, 0.0f);
    if (matrix.bf16) {
      args.w = matrix.bf16 + piece.row_begin * matrix.n_in;
      args.bias = nullptr;
      args.y = scratch->data();
      args.y_stride = rows;
      args.row_begin = 0;
      args.row_end = rows;
      select(ops_, x.format(), matrix)(args);
    }
    for (size_t token = 0; token < task.tokens; ++token) {
      float* y = task.y + token * task.y_stride + piece.row_begin;
      for (size_t row = 0; row < rows; ++row) {
        uint32_t bias_bits = matrix.bias ? uint32_t(matrix.bias[piece.row_begin + row]) << 16 : 0;
        float bias;
        std::memcpy(&bias, &bias_bits, sizeof bias);
        y[row] += (*scratch)[token * rows + row] + bias;
      }
    }
  }
}

}  // namespace switchyard
