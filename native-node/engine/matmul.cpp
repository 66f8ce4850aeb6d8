#include "matmul.h"

#include <algorithm>
#include <cstring>

namespace switchyard {
namespace {

constexpr size_t kRowTile = 32;              // row counts of pieces are multiples: whole tiles of any instruction set
constexpr size_t kSwigluTile = 64;           // of pairs: these become whole blocks
constexpr size_t kLine = 64;                 // of the caches: a vector that lies across two costs two loads
constexpr size_t kPage = 4096;               // what the nearest caches tell addresses apart by
constexpr size_t kPieceBytes = 256 << 10;    // of weights: about 5 us of memory traffic
constexpr size_t kPiecesPerThread = 4;       // at least, so that a slow core can leave work to the others
constexpr size_t kPieceProducts = 32 << 10;  // multiplications below which waking a thread costs more than it brings
constexpr size_t kMostProducts = 14 << 20;   // about 0.1 ms: what the others wait for, at worst, when a loop ends
constexpr size_t kTokenStep = 12;            // a multiple of the tokens of any kernel's tile

// Of what a row of activations consists: elements, for i8 and i16 blocks of them.
size_t item_bytes(Format format) {
  switch (format) {
    case Format::f32: return sizeof(float);
    case Format::bf16: return sizeof(uint16_t);
    case Format::i8: return sizeof(I8Block);
    case Format::i16: break;
  }
  return sizeof(I16Block);
}

size_t elements_of_item(Format format) { return format == Format::i8 || format == Format::i16 ? kMxfp4Block : 1; }

// Items from row to row. Rows a multiple of a page apart would push each other out of the nearest cache.
size_t stride_of(Format format, size_t n) {
  const size_t items = n / elements_of_item(format);
  return items * item_bytes(format) % kPage == 0 ? items + (kLine + item_bytes(format) - 1) / item_bytes(format) : items;
}

using MatmulOp = void (*)(const MatmulArgs&);

MatmulOp select(const Ops& ops, Format format, const Matrix& matrix) {
  const bool mxfp4 = matrix.blocks != nullptr;
  switch (format) {
    case Format::f32: return mxfp4 ? ops.f32_mxfp4w_matmul : ops.f32_bf16w_matmul;
    case Format::bf16: return mxfp4 ? ops.bf16_mxfp4w_matmul : ops.bf16_bf16w_matmul;
    case Format::i8: return ops.i8_mxfp4t_matmul;
    case Format::i16: break;
  }
  return ops.i16_i8t_matmul;
}

// Tokens of one piece: activations of about 400 KiB, which with the weights fit the second cache. As equal as can be.
size_t tokens_per_piece(const MatmulTask& task) {
  const size_t most = task.x->format() == Format::i8 ? 128 : 72;
  if (task.tokens <= most) return task.tokens;
  const size_t pieces = (task.tokens + most - 1) / most, tokens = (task.tokens + pieces - 1) / pieces;
  return (tokens + kTokenStep - 1) / kTokenStep * kTokenStep;
}

// Rows of one piece of a task, given the rows of all tasks of the loop.
size_t rows_per_piece(const MatmulTask& task, size_t all_rows, size_t threads) {
  const size_t row_bytes = std::max<size_t>(task.linear->bytes() / task.linear->rows(), 1);
  const size_t row_products = task.linear->n_in() * tokens_per_piece(task);
  size_t rows = std::min(kPieceBytes / row_bytes, all_rows / (threads * kPiecesPerThread));
  rows = std::min(std::max(rows, kPieceProducts / row_products), std::max(kMostProducts / row_products, kRowTile));
  const size_t tile = task.swiglu ? kSwigluTile : kRowTile;
  return std::max((rows + tile - 1) / tile * tile, tile);
}

// The same matrix from row `begin` on. Tiles of rows lie as the rows do.
MatmulArgs from_row(const Matrix& matrix, size_t begin) {
  MatmulArgs args{};
  args.n_in = matrix.n_in;
  args.bias = matrix.bias ? matrix.bias + begin : nullptr;
  const size_t blocks = begin * (matrix.n_in / kMxfp4Block);
  if (matrix.blocks) {
    args.w = matrix.blocks + blocks * kMxfp4BlockBytes;
    args.w_scale = matrix.scales + blocks;
  } else if (matrix.i8) {
    args.w = matrix.i8 + blocks * kMxfp4Block;
    args.w_scale = matrix.scales + 2 * blocks;
  } else {
    args.w = matrix.bf16 + begin * matrix.n_in;
  }
  return args;
}

}  // namespace

Activations::Activations(Format format, size_t rows, size_t n)
    : format_(format), n_(n), stride_(stride_of(format, n)), row_bytes_(stride_ * item_bytes(format)),
      data_(new uint8_t[rows * row_bytes_ + kLine]) {
  rows_ = data_.get() + (kLine - reinterpret_cast<uintptr_t>(data_.get()) % kLine);
}

void Activations::encode(const Ops& ops, size_t index, size_t begin, size_t count, const float* x) {
  uint8_t* row = rows_ + index * row_bytes_;
  uint8_t* to = row + begin / elements_of_item(format_) * item_bytes(format_);
  switch (format_) {
    case Format::f32: std::memcpy(to, x, count * sizeof(float)); break;
    case Format::bf16: ops.f32_to_bf16(reinterpret_cast<uint16_t*>(to), x, count); break;
    case Format::i8: ops.f32_quantize_i8(reinterpret_cast<I8Block*>(to), x, count); break;
    case Format::i16: ops.f32_quantize_i16(reinterpret_cast<I16Block*>(to), x, count); break;
  }
}

void Activations::copy(size_t index, const Activations& from, size_t from_index) {
  std::memcpy(rows_ + index * row_bytes_, from.row(from_index), row_bytes_);
}

void Matmul::run(std::span<const MatmulTask> tasks) {
  size_t all_rows = 0;
  for (const MatmulTask& task : tasks) all_rows += task.linear->rows();
  pieces_.clear();
  for (const MatmulTask& task : tasks) {
    weight_bytes_ += task.linear->bytes();
    cut(task, all_rows);
  }
  pool_.parallel_for(pieces_.size(), 1, [&](size_t begin, size_t end, int thread) {
    for (size_t i = begin; i < end; ++i) run_piece(pieces_[i], &scratch_[size_t(thread)]);
  });
}

// Pieces of the same weights lie side by side: whoever takes one takes the next as well, most likely.
void Matmul::cut(const MatmulTask& task, size_t all_rows) {
  const size_t rows = task.linear->rows(), step = rows_per_piece(task, all_rows, size_t(pool_.size()));
  const size_t token_step = tokens_per_piece(task);
  for (size_t row = 0; row < rows; row += step) {
    for (size_t token = 0; token < task.tokens; token += token_step)
      pieces_.push_back({&task, row, std::min(rows, row + step), token, std::min(task.tokens, token + token_step)});
  }
  if (!task.swiglu && task.linear->count == 1) return;
  const Piece largest{&task, 0, std::min(rows, step), 0, token_step};
  for (Scratch& scratch : scratch_) scratch.make_room(largest);
}

void Matmul::Scratch::make_room(const Piece& piece) {
  const auto grow = [](std::vector<float>* to, size_t size) { to->resize(std::max(to->size(), size)); };
  if (piece.task->linear->count > 1) grow(&part, piece.tokens() * piece.rows());
  if (!piece.task->swiglu) return;
  grow(&y, piece.tokens() * piece.rows());
  grow(&activated, piece.rows() / 2);
}

void Matmul::run_piece(const Piece& piece, Scratch* scratch) const {
  const MatmulTask& task = *piece.task;
  const size_t y_stride = task.swiglu ? piece.rows() : task.y_stride;
  float* y = task.swiglu ? scratch->y.data() : task.y + piece.token_begin * y_stride + piece.row_begin;
  multiply(piece, task.linear->parts[0], y, y_stride);
  for (size_t part = 1; part < task.linear->count; ++part)
    add_part(piece, task.linear->parts[part], &scratch->part, y, y_stride);
  if (task.swiglu) swiglu(piece, scratch);
}

void Matmul::multiply(const Piece& piece, const Matrix& matrix, float* y, size_t y_stride) const {
  const Activations& x = *piece.task->x;
  MatmulArgs args = from_row(matrix, piece.row_begin);
  args.x = x.row(piece.task->first + piece.token_begin);
  args.x_stride = x.stride();
  args.tokens = piece.tokens();
  args.y = y;
  args.y_stride = y_stride;
  args.row_end = piece.rows();
  select(ops_, x.format(), matrix)(args);
}

// A further part of a wide matrix is added to what stands there; it may be a bias alone.
void Matmul::add_part(const Piece& piece, const Matrix& matrix, std::vector<float>* part, float* y,
                      size_t y_stride) const {
  const size_t rows = piece.rows();
  std::fill_n(part->begin(), rows * piece.tokens(), 0.0f);
  if (matrix.bf16) {
    Matrix weights = matrix;
    weights.bias = nullptr;
    multiply(piece, weights, part->data(), rows);
  }
  for (size_t token = 0; token < piece.tokens(); ++token) {
    for (size_t row = 0; row < rows; ++row) {
      const uint32_t bias_bits = matrix.bias ? uint32_t(matrix.bias[piece.row_begin + row]) << 16 : 0;
      float bias;
      std::memcpy(&bias, &bias_bits, sizeof bias);
      y[token * y_stride + row] += (*part)[token * rows + row] + bias;
    }
  }
}

void Matmul::swiglu(const Piece& piece, Scratch* scratch) const {
  const SwigluInto& into = *piece.task->swiglu;
  for (size_t token = 0; token < piece.tokens(); ++token) {
    ops_.f32_swiglu(scratch->activated.data(), &scratch->y[token * piece.rows()], piece.rows() / 2, into.limit);
    into.out->encode(ops_, piece.task->first + piece.token_begin + token, piece.row_begin / 2, piece.rows() / 2,
                     scratch->activated.data());
  }
}

}  // namespace switchyard
