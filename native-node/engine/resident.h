// Bringing weights from a checkpoint's files into huge pages, in parallel: read to where they stay, or piece by piece into a buffer
// that a core's own cache holds, and packed from there.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "checkpoint.h"
#include "status.h"
#include "stored_rows.h"
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

// out_of_memory where so many bytes for `what` would leave too little for everything else.
Status check_memory(const std::string& what, size_t bytes);

// A list of moves, made by rows() and its like; then run() or something else that fills the memory, and finish().
class Relocation {
 public:
  using Progress = std::function<void(double fraction)>;

  explicit Relocation(const Checkpoint& files) : files_(files) {}

  // As bf16, or as MXFP4's (rows, n_in / 32, 16) and (rows, n_in / 32); `moved` is told the new addresses, after all have been
  // moved.
  using Moved = std::function<void(const uint8_t* values, const uint8_t* scales)>;
  void rows(const StoredRows& stored, Moved moved);
  // MXFP4 as tiles (ops/mxfp4_tiles.h).
  void tiles(const StoredRows& stored, Moved moved);
  // bf16 or Q8_0 as tiles of int8 (ops/i8_tiles.h). bf16 rows come from memory where that is given.
  void int8(const StoredRows& stored, const uint16_t* memory, Moved moved);

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
  enum class Form { rows, tiles, int8 };
  struct Move {
    StoredRows stored;
    const uint8_t* memory;  // in place of the files
    Form form;
    size_t to, to_scales;  // offsets in the new memory
    Moved moved;

    // What a piece consists of: rows, or tile rows of 16.
    size_t units() const;
    size_t unit_rows() const;
    size_t unit_bytes() const;         // in the new memory
    size_t unit_scale_bytes() const;
    size_t unit_buffer_bytes() const;  // that are needed to bring one there
  };
  struct Piece {
    const Move* move;
    size_t begin, end;  // units
  };
  // Where in the new memory a piece goes, and how much it is.
  struct Target {
    size_t at, bytes, scales_at, scale_bytes;
  };
  using Buffers = std::vector<std::vector<uint8_t>>;  // (threads): what is packed from

  size_t place(size_t bytes);
  void add(const StoredRows& stored, const uint16_t* memory, Form form, Moved moved);
  static Target target_of(const Piece& piece);
  static Piece sample_of(const Move& move, size_t index);
  std::vector<Piece> pieces() const;
  static Buffers buffers_for(const std::vector<Piece>& pieces, const ThreadPool& pool);
  ReadError run_piece(const Piece& piece, uint8_t* buffer, uint8_t* to, uint8_t* to_scales);
  ReadError read_rows(const Move& move, size_t first, size_t count, uint8_t* buffer, uint8_t* to, uint8_t* to_scales);
  ReadError pack_tiles(const Piece& piece, uint8_t* buffer, uint8_t* to, uint8_t* to_scales);
  ReadError pack_int8(const Piece& piece, uint8_t* buffer, uint8_t* to, uint8_t* to_scales);

  const Checkpoint& files_;
  std::vector<Move> moves_;
  size_t bytes_ = 0;
  std::atomic<uint64_t> bad_scale_{0};
};

}  // namespace switchyard
