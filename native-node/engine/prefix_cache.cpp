#include "prefix_cache.h"

#include <algorithm>
#include <iterator>
#include <new>

namespace switchyard {

uint64_t path_hash(uint64_t hash, std::span<const int32_t> tokens) {
  for (const int32_t token : tokens) {
    hash = (hash ^ uint32_t(token)) * 0x9e3779b97f4a7c15u;
    hash ^= hash >> 29;
  }
  return hash;
}

PrefixCache::PrefixCache(const ModelConfig& config, KvCache* cache)
    : cache_(*cache), window_(size_t(config.sliding_window)) {
  for (size_t layer = 0; layer < config.is_sliding.size(); ++layer)
    (config.is_sliding[layer] ? sliding_layers_ : full_layers_).push_back(layer);
  cache_.set_reclaimer([this] { return drop_oldest(); });
}

PrefixCache::~PrefixCache() {
  while (drop_oldest()) {
  }
  cache_.set_reclaimer({});
}

// Blocks that hold the window - 1 positions before position blocks * kBlockTokens.
size_t PrefixCache::window_blocks(size_t blocks) const {
  return std::min(blocks, (window_ - 1 + kBlockTokens - 1) / kBlockTokens);
}

PrefixCache::Nodes::iterator PrefixCache::find(const Node* parent, uint64_t hash, std::span<const int32_t> tokens) {
  const auto [begin, end] = index_.equal_range(hash);
  for (auto entry = begin; entry != end; ++entry) {
    const Node& node = *entry->second;
    if (node.parent == parent && std::equal(tokens.begin(), tokens.end(), node.tokens.begin())) return entry->second;
  }
  return nodes_.end();
}

// The nodes of the longest path that is there, at most `blocks` long.
PrefixCache::Path PrefixCache::walk(std::span<const int32_t> tokens, size_t blocks) {
  Path path;
  uint64_t hash = 0;
  for (size_t i = 0; i < blocks; ++i) {
    const auto block = tokens.subspan(i * kBlockTokens, kBlockTokens);
    hash = path_hash(hash, block);
    const auto node = find(path.empty() ? nullptr : &*path.back(), hash, block);
    if (node == nodes_.end()) break;
    path.push_back(node);
  }
  return path;
}

// The whole path becomes the newest, the root before all: so the oldest node of all is always a leaf.
void PrefixCache::touch(const Path& path) {
  for (auto node = path.rbegin(); node != path.rend(); ++node) nodes_.splice(nodes_.begin(), nodes_, *node);
}

// The longest path of at most `limit` tokens from whose end a prompt can go on.
PrefixCache::Path PrefixCache::restorable(std::span<const int32_t> tokens, size_t limit) {
  Path path = walk(tokens, std::min(limit, tokens.size()) / kBlockTokens);
  while (!path.empty() && !path.back()->can_end) path.pop_back();
  return path;
}

size_t PrefixCache::shared_blocks(std::span<const int32_t> tokens, size_t limit) try {
  const Path path = restorable(tokens, limit);
  size_t shared = 0;
  const auto count = [&](const std::vector<uint32_t>& blocks) {
    for (const uint32_t block : blocks) shared += cache_.is_held(block);
  };
  for (const auto& node : path) count(node->full);
  if (!path.empty()) count(path.back()->sliding);
  return shared;
} catch (const std::bad_alloc&) {
  return 0;
}

size_t PrefixCache::restore(std::span<const int32_t> tokens, size_t limit, BlockTable* table) try {
  const Path path = restorable(tokens, limit);
  if (path.empty()) return 0;
  touch(path);
  const size_t blocks = path.size(), window = window_blocks(blocks);
  for (size_t i = 0; i < full_layers_.size(); ++i) {
    std::vector<uint32_t> of_layer(blocks);
    for (size_t block = 0; block < blocks; ++block) of_layer[block] = path[block]->full[i];
    table->adopt(full_layers_[i], 0, std::move(of_layer));
  }
  for (size_t i = 0; i < sliding_layers_.size(); ++i) {
    const auto begin = path.back()->sliding.begin() + ptrdiff_t(i * window);
    table->adopt(sliding_layers_[i], blocks - window, {begin, begin + ptrdiff_t(window)});
  }
  return blocks * kBlockTokens;
} catch (const std::bad_alloc&) {
  table->release();
  return 0;
}

void PrefixCache::remember(std::span<const int32_t> tokens, size_t end, const BlockTable& table) try {
  const size_t blocks = std::min(end, tokens.size()) / kBlockTokens;
  if (blocks == 0) return;
  for (const size_t layer : sliding_layers_) {
    if (table.layer(layer).first > blocks - window_blocks(blocks)) return;
  }
  Path path = walk(tokens, blocks);
  path.reserve(blocks);
  touch(path);
  while (path.size() < blocks) add(&path, tokens.subspan(path.size() * kBlockTokens, kBlockTokens), table);
  if (!path.back()->can_end) take_snapshot(&*path.back(), blocks, table);
  // Where no layer sees everything, most nodes hold no block, and nobody's need of blocks would ever end them.
  while (nodes_.size() > cache_.total_blocks()) drop_oldest();
} catch (const std::bad_alloc&) {
}

// A node for the block after `path`, right behind its parent in age. What can fail comes first: a node without blocks
// harms nobody.
void PrefixCache::add(Path* path, std::span<const int32_t> tokens, const BlockTable& table) {
  const Node* parent = path->empty() ? nullptr : &*path->back();
  std::vector<uint32_t> full;
  for (const size_t layer : full_layers_) full.push_back(table.layer(layer).blocks[path->size()]);
  const auto place = parent ? std::next(path->back()) : nodes_.begin();
  const auto node =
      nodes_.insert(place, {parent, path_hash(parent ? parent->hash : 0, tokens), {}, {}, {}, false});
  std::copy(tokens.begin(), tokens.end(), node->tokens.begin());
  index_.emplace(node->hash, node);
  node->full = std::move(full);
  for (const uint32_t kept : node->full) cache_.keep(kept);
  path->push_back(node);
}

void PrefixCache::take_snapshot(Node* node, size_t blocks, const BlockTable& table) {
  const size_t window = window_blocks(blocks);
  std::vector<uint32_t> sliding;
  for (const size_t layer : sliding_layers_) {
    const BlockTable::Layer& held = table.layer(layer);
    const auto begin = held.blocks.begin() + ptrdiff_t(blocks - window - held.first);
    sliding.insert(sliding.end(), begin, begin + ptrdiff_t(window));
  }
  node->sliding = std::move(sliding);
  for (const uint32_t kept : node->sliding) cache_.keep(kept);
  node->can_end = true;
}

bool PrefixCache::drop_oldest() {
  if (nodes_.empty()) return false;
  const auto oldest = std::prev(nodes_.end());
  const auto [begin, end] = index_.equal_range(oldest->hash);
  const auto entry = std::find_if(begin, end, [&](const auto& candidate) { return candidate.second == oldest; });
  if (entry != end) index_.erase(entry);
  for (const uint32_t kept : oldest->full) cache_.unkeep(kept);
  for (const uint32_t kept : oldest->sliding) cache_.unkeep(kept);
  nodes_.pop_back();
  return true;
}

}  // namespace switchyard
