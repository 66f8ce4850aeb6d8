// Moving weights from a mapped file into huge pages, in parallel, with no second copy alive: every piece's pages of the
// file are given back as soon as it has been copied.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <vector>

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

// Brings pages of a mapped file into memory. An errno where the disk fails, else 0.
int populate(const void* data, size_t bytes);
Status read_failed(int error);

// A list of moves, made by copy() and its like; then allocate(), run() or something else that fills the memory, and finish().
class Relocation {
 public:
  using Progress = std::function<void(double fraction)>;

  // `moved` is told the new address, after all pieces have been copied.
  void copy(const void* from, size_t bytes, std::function<void(const void* to)> moved);
  // MXFP4 rows, (rows, row_blocks, 16) and (rows, row_blocks), as they are or as tiles (ops/mxfp4_tiles.h).
  void mxfp4(const uint8_t* blocks, const uint8_t* scales, size_t rows, size_t row_blocks, bool tiled,
             std::function<void(const uint8_t* blocks, const uint8_t* scales)> moved);

  // bf16 rows, (rows, 32 row_blocks), as tiles of int8 (ops/i8_tiles.h). `mapped`: they lie in a file.
  void int8(const uint16_t* from, size_t rows, size_t row_blocks, bool mapped,
            std::function<void(const uint8_t* tiles, const uint8_t* scales)> moved);

  // out_of_memory: nothing was touched.
  Status allocate(HugeMemory* memory) const;
  // invalid_file: a scale is 255, see bad_scale(). io_error: the disk failed.
  Status run(ThreadPool* pool, const Progress& progress, const HugeMemory& memory);
  // Tells everyone the new addresses.
  void finish(const HugeMemory& memory) const;

  // What lies where in the new memory, and from where it comes, as a number. `place_of` gives an address's place in the files.
  uint64_t plan(const std::function<uint64_t(const void* at)>& place_of) const;
  // Whether filled memory holds what run() would put there, by a sample of every move. io_error: the disk failed.
  Status spot_check(ThreadPool* pool, const HugeMemory& memory, bool* same);

  size_t bytes() const { return bytes_; }

  const uint8_t* bad_scale() const { return bad_scale_; }
  // Whether a move read from [data, data + bytes).
  bool has_moved(const void* data, size_t bytes) const;
  // Whether a move begins at `data`.
  bool moves(const void* data) const { return sources_.contains(static_cast<const uint8_t*>(data)); }

 private:
  struct Move {
    const uint8_t *from, *scales;  // scales: MXFP4 only
    size_t bytes;                  // of `from`
    size_t rows, row_blocks;       // MXFP4 and int8
    bool tiled;
    bool int8, mapped;
    size_t to, to_scales;  // offsets in the new memory
    std::function<void(const uint8_t* to, const uint8_t* to_scales)> moved;
  };
  struct Piece {
    const Move* move;
    size_t begin, end;  // bytes; of tiles: tile rows
  };

  size_t place(size_t bytes);
  // Where in the new memory a piece goes, and how much it is. Scales of rows that are not tiled go with the first piece.
  struct Target {
    size_t at, bytes, scales_at, scale_bytes;
  };

  static Target target_of(const Piece& piece);
  static Piece sample_of(const Move& move, size_t index);
  std::vector<Piece> pieces() const;
  int run_piece(const Piece& piece, uint8_t* to, uint8_t* to_scales);
  int copy_scales(const Move& move, uint8_t* to);
  int pack(const Piece& piece, uint8_t* to, uint8_t* to_scales);
  int pack_int8(const Piece& piece, uint8_t* to, uint8_t* to_scales);
  bool check_scales(const uint8_t* scales, size_t bytes);

  std::vector<Move> moves_;
  std::map<const uint8_t*, size_t> sources_;
  size_t bytes_ = 0;
  std::atomic<const uint8_t*> bad_scale_{nullptr};
};

}  // namespace switchyard
