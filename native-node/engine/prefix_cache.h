// Keys and values that outlive their sequence, so that a prompt which begins like an earlier one starts where they part.
//
// Prefixes are a tree of whole blocks. Full-attention layers keep every block of a path. Sliding layers need only the
// window before the place where a new prompt goes on, so they are kept at the ends of what was remembered (a snapshot):
// the end of a prompt, where the next turn of a conversation departs, the places a caller names, and the end of an answer.
// What was used longest ago goes first, leaves before their parents, when the pool needs blocks.
// A hit is bit-equal to a miss: keys and values of a row never depend on the step that computed them.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <span>
#include <unordered_map>
#include <vector>

#include "config.h"
#include "kv_cache.h"

namespace switchyard {

// Of a path: its parent's hash and the block's tokens. Only speed depends on its quality, since a hit compares the
// tokens: whoever makes two prompts of one hash gets nothing of the other's.
uint64_t path_hash(uint64_t parent, std::span<const int32_t> tokens);

class PrefixCache {
 public:
  PrefixCache(const ModelConfig& config, KvCache* cache);
  ~PrefixCache();
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  // Fills an empty table with the longest remembered prefix of `tokens` of at most `limit` tokens; its length. Like
  // remember(), it does without where memory for it is short.
  size_t restore(std::span<const int32_t> tokens, size_t limit, BlockTable* table);

  // Blocks of that prefix which a sequence holds already: sharing them takes nothing from the others.
  size_t shared_blocks(std::span<const int32_t> tokens, size_t limit);

  // Remembers tokens [0, end), whose keys and values are in `table`, down to whole blocks. Without effect where the
  // sliding layers have already left the window before that place.
  void remember(std::span<const int32_t> tokens, size_t end, const BlockTable& table);

  size_t node_count() const { return nodes_.size(); }

 private:
  struct Node {
    const Node* parent;  // nullptr: the first block
    uint64_t hash;       // of the path
    std::array<int32_t, kBlockTokens> tokens;
    std::vector<uint32_t> full;     // (full-attention layers)
    std::vector<uint32_t> sliding;  // (sliding layers, window blocks): a snapshot, or empty
    bool can_end;                   // a prompt can go on here
  };
  using Nodes = std::list<Node>;  // used last comes first; parents before their children
  using Path = std::vector<Nodes::iterator>;

  size_t window_blocks(size_t blocks) const;
  Nodes::iterator find(const Node* parent, uint64_t hash, std::span<const int32_t> tokens);
  Path walk(std::span<const int32_t> tokens, size_t blocks);
  Path restorable(std::span<const int32_t> tokens, size_t limit);
  void touch(const Path& path);
  void add(Path* path, std::span<const int32_t> tokens, const BlockTable& table);
  void take_snapshot(Node* node, size_t blocks, const BlockTable& table);
  bool drop_oldest();

  KvCache& cache_;
  std::vector<size_t> full_layers_, sliding_layers_;
  size_t window_ = 0;
  Nodes nodes_;
  std::unordered_multimap<uint64_t, Nodes::iterator> index_;
};

}  // namespace switchyard
