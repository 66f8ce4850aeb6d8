// Bringing weights from a checkpoint's files into huge pages, in parallel: read to where they stay, or piece by piece into a buffer
// that a core's own cache holds, and packed from there.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "checkpoint.h"
#include "status.h"
#include "thread_pool.h"

namespace switchyard {

inline constexpr uint8_t kE8m0Nan = 255;  // the one scale that is no number

// Anonymous memory, in huge pages where the system gives them.
class HugeMemory {
 public:
  HugeMemory() = default;
  ~HugeMemory();
  HugeMemory(const HugeMemory&) = delete;
  HugeMemory& operator=(const HugeMemory&) = delete;

  Status allocate(size_t bytes);  // once
  uint8_t* data() const { return data_; }
  size_t bytes() const { return bytes_; }  // that were asked for

 private:
  uint8_t *data_ = nullptr, *mapped_ = nullptr;
  size_t bytes_ = 0, mapped_bytes_ = 0;
};

// out_of_memory where weights of so many bytes would leave too little for everything else.
Status check_memory(size_t bytes);

// A list of moves, made by copy() and its like; then run() or something else that fills the memory, and finish().
class Relocation {
 public:
  using Progress = std::function<void(double fraction)>;

  explicit Relocation(const Checkpoint& files) : files_(files) {}

  // `moved` is told the new address, after all pieces have been moved.
  void copy(Place from, size_t bytes, std::function<void(const void* to)> moved);
  // MXFP4 rows, (rows, row_blocks, 16) and (rows, row_blocks), as they are or as tiles (ops/mxfp4_tiles.h).
  void mxfp4(Place blocks, Place scales, size_t rows, size_t row_blocks, bool tiled,
             std::function<void(const uint8_t* blocks, const uint8_t* scales)> moved);

  // bf16 rows, (rows, 32 row_blocks), as tiles of int8 (ops/i8_tiles.h). They come from memory where that is given.
  void int8(Place from, const uint16_t* memory, size_t rows, size_t row_blocks,
            std::function<void(const uint8_t* tiles, const uint8_t* scales)> moved);

  // Fills bytes() of memory. invalid_file: a scale is 255, see bad_scale(). io_error: a file could not be read.
  Status run(ThreadPool* pool, const Progress& progress, uint8_t* memory);
  // Tells everyone the new addresses.
  void finish(const uint8_t* memory) const;

  // What lies where in the new memory, and from where it comes, as a number.
  uint64_t plan() const;
  // Whether filled memory holds what run() would put there, by a sample of every move. io_error: a file could not be read.
  Status spot_check(ThreadPool* pool, const uint8_t* memory, bool* same);

  size_t bytes() const { return bytes_; }
  // The number() of its place; 0: there is none.
  uint64_t bad_scale() const { return bad_scale_; }

 private:
  struct Move {
    Place from, scales;       // scales: MXFP4 only
    const uint8_t* memory;    // in place of `from`
    size_t bytes;             // of `from`
    size_t rows, row_blocks;  // MXFP4 and int8
    bool tiled, int8;
    size_t to, to_scales;  // offsets in the new memory
    std::function<void(const uint8_t* to, const uint8_t* to_scales)> moved;

    size_t row_bytes() const { return bytes / rows; }
  };
  struct Piece {
    const Move* move;
    size_t begin, end;  // bytes; of tiles: tile rows
  };
  // Where in the new memory a piece goes, and how much it is. Scales of rows that are not tiled go with the first piece.
  struct Target {
    size_t at, bytes, scales_at, scale_bytes;
  };
  using Buffers = std::vector<std::vector<uint8_t>>;  // (threads): what is packed from

  size_t place(size_t bytes);
  static Target target_of(const Piece& piece);
  static Piece sample_of(const Move& move, size_t index);
  std::vector<Piece> pieces() const;
  static Buffers buffers_for(const std::vector<Piece>& pieces, const ThreadPool& pool);
  ReadError run_piece(const Piece& piece, uint8_t* buffer, uint8_t* to, uint8_t* to_scales);
  ReadError read_scales(const Move& move, size_t first, size_t count, uint8_t* to);
  ReadError pack(const Piece& piece, uint8_t* buffer, uint8_t* to, uint8_t* to_scales);

  const Checkpoint& files_;
  std::vector<Move> moves_;
  size_t bytes_ = 0;
  std::atomic<uint64_t> bad_scale_{0};
};

}  // namespace switchyard
