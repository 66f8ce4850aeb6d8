// Attention of a step's rows over the paged cache. Work is cut by rows, key/value heads and spans of positions: few rows of a
// long sequence are spread over all threads (each span gives a part, whoever ends a head's last one joins them), many
// rows share what they read. A row's result depends on its own position alone: spans lie at multiples of kSdpaSpan, and
// parts are joined in their order.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kv_cache.h"
#include "ops/ops.h"
#include "thread_pool.h"
#include "weights.h"

namespace switchyard {

struct LogitNeed;

// One token of one sequence. Rows of a sequence stand in the order of their positions, and their blocks are in `table`.
struct Row {
  const BlockTable* table;
  int32_t token;
  size_t position;
  bool wants_logits;
  const LogitNeed* need = nullptr;  // which of them, nullptr: all
};

class Attention {
 public:
  // For steps of at most `max_rows` rows.
  Attention(const Weights& weights, const Ops& ops, ThreadPool* pool, KvCache* cache, size_t max_rows);

  // A new step; `rows` must outlive it.
  void begin(std::span<const Row> rows);

  // out (rows, q_size) of queries that are rotated, q (rows, q_size) with `q_stride` floats from row to row. The rows' keys
  // and values are in the cache.
  void run(size_t layer, const float* q, size_t q_stride, float* out);

  uint64_t bytes_read() const { return bytes_read_; }  // of keys and values, by every row for itself

 private:
  struct Tile {                    // rows of one sequence, side by side
    size_t begin, end;             // rows
    size_t first_span, last_span;  // that any of them attends
    size_t first_part;             // of a split tile: its place in parts_
    bool split;                    // every span is a piece of its own
    size_t spans() const { return last_span - first_span + 1; }
  };
  struct Piece {  // of every key/value head
    size_t tile, span;
  };
  struct Plan {  // for the layers of one kind
    std::vector<Tile> tiles;
    std::vector<Piece> pieces;
    size_t parts = 0;
  };
  struct Scratch {  // of one thread
    std::unique_ptr<float[]> sdpa;   // sdpa_scratch()
    std::unique_ptr<float[]> parts;  // of a tile's rows, and one more
  };
  struct Positions {
    size_t begin, end;
  };
  struct Ahead {  // what a thread will read next, most likely
    const void* tiles[kSdpaAhead];
    size_t count = 0;
  };
  struct Layer {
    size_t index;
    const float* q;
    size_t q_stride;
    float* out;
  };

  void plan(bool sliding);
  void add_tiles(bool sliding, size_t begin, size_t end);
  Positions attended(bool sliding, size_t row) const;
  Ahead ahead(const Layer& layer, size_t row, size_t span, size_t head) const;
  void run_rows(const Layer& layer, const Tile& tile, size_t head, const Ahead& next, Scratch* scratch);
  void run_span(const Layer& layer, const Piece& piece, size_t head, const Ahead& next, Scratch* scratch);
  void join_spans(const Layer& layer, const Tile& tile, size_t head);
  bool attend(const Layer& layer, size_t row, size_t span, size_t head, const Ahead& next, const SdpaPart& part,
              Scratch* scratch);
  void finish(const Layer& layer, size_t row, size_t head, const SdpaPart& part);
  SdpaPart part_at(float* parts, size_t index) const;
  SdpaPart split_part(const Tile& tile, size_t row, size_t span, size_t head) const;

  const Weights& weights_;
  const ModelConfig& config_;
  const Ops& ops_;
  ThreadPool& pool_;
  KvCache& cache_;
  const size_t kv_heads_, group_, head_dim_, window_, part_floats_;
  std::vector<Scratch> scratch_;                            // (threads)
  std::unique_ptr<std::atomic<uint32_t>[]> pieces_left_;    // (tiles, kv_heads), of split tiles
  std::unique_ptr<float[]> parts_;
  size_t parts_capacity_ = 0;
  std::span<const Row> rows_;
  Plan plans_[2];  // full, sliding
  uint64_t bytes_read_ = 0;
};

}  // namespace switchyard
