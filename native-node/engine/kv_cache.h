// The paged key/value cache: one pool of equal blocks, each the keys and values of one layer for kBlockTokens
// positions, and a block table per sequence and layer. Full-attention layers keep every block, sliding ones give back
// those that the window has left. Blocks are counted references: sequences share those of a common prefix, and the prefix
// cache keeps them after their sequences, until someone needs the room. Not thread-safe: the scheduler owns it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "config.h"
#include "ops/ops.h"
#include "status.h"

namespace switchyard {

inline constexpr size_t kBlockTokens = kKvTile;

class KvCache {
 public:
  // Room for `bytes` (at least one sequence of one step); memory is reserved here and committed as it is first used.
  static Status create(const ModelConfig& config, size_t element_bytes, int64_t bytes, std::unique_ptr<KvCache>* out);
  ~KvCache();
  KvCache(const KvCache&) = delete;
  KvCache& operator=(const KvCache&) = delete;

  // What one sequence of `tokens` takes when it is fed in steps of at most `step` tokens.
  static int64_t bytes_for(const ModelConfig& config, size_t element_bytes, int64_t tokens, int64_t step);

  // The same in blocks.
  int64_t blocks_needed(int64_t tokens, int64_t step) const;

  // The longest sequence that fits alone.
  int64_t capacity_tokens(int64_t step) const;

  size_t element_bytes() const { return element_bytes_; }
  size_t total_blocks() const { return total_blocks_; }
  size_t free_blocks() const { return free_.size(); }
  // Free, or kept by nobody but the prefix cache.
  size_t available_blocks() const { return free_.size() + only_kept_; }
  bool is_held(uint32_t block) const { return uses_[block].sequences > 0; }  // by a sequence
  size_t block_bytes() const { return block_bytes_; }
  int64_t bytes() const { return int64_t(total_blocks_ * block_bytes_); }

  // The prefix cache's own references to blocks that a sequence holds, and what ends them: called until it says false or
  // enough blocks are free.
  void keep(uint32_t block);
  void unkeep(uint32_t block);
  void set_reclaimer(std::function<bool()> reclaim_some) { reclaim_some_ = std::move(reclaim_some); }

  // A tile (ops/kv_tiles.h) of one key/value head.
  uint8_t* keys(uint32_t block, size_t kv_head) const { return memory_ + block * block_bytes_ + kv_head * head_bytes_; }
  uint8_t* values(uint32_t block, size_t kv_head) const { return keys(block, kv_head) + block_bytes_ / 2; }

 private:
  friend class BlockTable;
  KvCache() = default;
  bool make_free(size_t blocks);
  uint32_t take();
  void share(uint32_t block);
  void give_back(uint32_t block);

  struct Use {
    uint32_t sequences = 0;  // that hold the block
    uint32_t kept = 0;       // references of the prefix cache
  };

  size_t element_bytes_ = 0, head_bytes_ = 0, block_bytes_ = 0, total_blocks_ = 0;
  size_t num_layers_ = 0, num_sliding_ = 0, window_ = 0;
  std::vector<bool> is_sliding_;
  uint8_t* memory_ = nullptr;
  std::vector<uint32_t> free_;  // a stack: the block freed last is the warmest
  std::vector<Use> uses_;       // (total_blocks)
  size_t only_kept_ = 0;
  std::function<bool()> reclaim_some_;
};

// One sequence's blocks in every layer.
class BlockTable {
 public:
  explicit BlockTable(KvCache* cache) : cache_(cache), layers_(cache->num_layers_) {}
  ~BlockTable() { release(); }
  BlockTable(const BlockTable&) = delete;
  BlockTable& operator=(const BlockTable&) = delete;

  // Makes room for positions [begin, end) in every layer, where `begin` positions are already there, and gives back
  // sliding blocks that no position from `begin` on can see. False when the pool has too few: nothing was taken.
  bool extend(size_t begin, size_t end);
  // An empty layer begins with blocks of the prefix cache, of positions from first * kBlockTokens on.
  void adopt(size_t layer, size_t first, std::vector<uint32_t> blocks);
  void release();

  struct Layer {
    size_t first = 0;              // blocks before this one are gone
    std::vector<uint32_t> blocks;  // of positions from first * kBlockTokens on
  };
  const Layer& layer(size_t index) const { return layers_[index]; }
  size_t held_blocks() const;

 private:
  KvCache* cache_;
  std::vector<Layer> layers_;  // (num_hidden_layers)
};

}  // namespace switchyard
